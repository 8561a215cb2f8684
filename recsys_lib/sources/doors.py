"""One way in for every source: opened by what it is, reduced where it lies if that is asked for."""

from pathlib import Path
from typing import Any

import pandas as pd

from recsys_lib.errors import ConfigError
from recsys_lib.sources.cleaning import clean_ids, clean_numbers, clean_times, numeric_if_plain
from recsys_lib.sources.columns import distinct, find_column
from recsys_lib.sources.engines import (
    EngineTable,
    is_engine,
    limit,
    open_engine,
    over_frame,
    over_parquet,
)
from recsys_lib.sources.problems import Mode, Problem, settle
from recsys_lib.sources.reduction import Reduction
from recsys_lib.sources.tables import ParquetTable, Table, open_table
from recsys_lib.sources.text import TextOptions

__all__ = ["find_roles", "open_source", "reduce_table"]


def open_source(source: Any, table: str | None, query: str | None, options: TextOptions) -> Table:
    """Open a DataFrame, files or a database; see `read_interactions`."""
    if is_engine(source):
        return open_engine(source, table=table, query=query)
    if table is not None or query is not None:
        name = source if isinstance(source, (str, Path)) else type(source).__name__
        raise ConfigError(
            f"`table` and `query` must go with a database; the source is {str(name)!r}. "
            "Leave them out, or give a URL such as duckdb:///events.duckdb."
        )
    return open_table(source, options)


def find_roles(
    table: Table,
    user: str,
    item: str,
    value: str | None,
    timestamp: str | None,
    reduction: Reduction | None = None,
) -> dict[str, str]:
    """Return the columns that play a role, under the names of the house."""
    asked = {
        "user_id": ("user", user, True),
        "item_id": ("item", item, True),
        "value": ("value", value, False),
        "timestamp": ("timestamp", timestamp, False),
    }
    if reduction is not None:
        if reduction.weights is not None:
            asked["event"] = ("event", reduction.event, True)
        if reduction.dwell_cap is not None:
            asked["dwell"] = ("dwell", reduction.dwell, True)
        if reduction.half_life is not None:
            asked["timestamp"] = ("timestamp", timestamp or "auto", True)
    found = {
        name: find_column(role, table.columns, given, table.name, required=required)
        for name, (role, given, required) in asked.items()
    }
    distinct({asked[name][0]: column for name, column in found.items()}, table.name)
    return {name: column for name, column in found.items() if column is not None}


def reduce_table(
    table: Table,
    roles: dict[str, str],
    reduction: Reduction,
    mode: Mode,
    limits: tuple[str | None, int | None] = (None, None),
) -> tuple[EngineTable, Any]:
    """Return the engine that holds the table, and the expression of its reduced pairs.

    The limits are memory and threads of an embedded DuckDB.
    """
    if isinstance(table, EngineTable):
        engine = table
    elif isinstance(table, ParquetTable):
        engine = over_parquet(table.paths, table.name)
    else:
        engine = over_frame(_cleaned(table, roles, mode), table.name)
        roles = {name: name for name in roles}
    limit(engine, *limits)
    return engine, engine.reduced(roles, reduction)


def _cleaned(table: Table, roles: dict[str, str], mode: Mode) -> pd.DataFrame:
    """Return a table in memory with the columns of the roles clean and the others for `where`."""
    raw = table.read(table.columns)
    clean: dict[str, pd.Series] = {}
    problems: list[Problem] = []
    for name, column in roles.items():
        if name in ("user_id", "item_id"):
            clean[name], found = clean_ids(raw[column], column, table.name)
        elif name == "timestamp":
            clean[name], found = clean_times(raw[column], column, table.name)
        elif name == "event":
            clean[name], found = raw[column].astype("str"), []
        else:
            clean[name], found = clean_numbers(raw[column], column, table.name, None)
        problems += found
    others = [column for column in table.columns if column not in clean]
    frame = pd.DataFrame(clean)
    return settle(frame.join(raw[others].apply(numeric_if_plain)), problems, table, mode)
