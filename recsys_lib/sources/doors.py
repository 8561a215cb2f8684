"""Open any source, find its columns, and clean or reduce them."""

from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from recsys_lib.errors import ConfigError
from recsys_lib.sources.cleaning import (
    clean_ids,
    clean_numbers,
    numeric_if_plain,
    repeated_headers,
)
from recsys_lib.sources.columns import distinct, find_column
from recsys_lib.sources.connections import is_engine
from recsys_lib.sources.engines import (
    EngineTable,
    limit,
    open_engine,
    over_frame,
    over_parquet,
)
from recsys_lib.sources.options import TextOptions
from recsys_lib.sources.parquet import ParquetTable
from recsys_lib.sources.problems import Mode, Problem, settle
from recsys_lib.sources.reduction import Reduction
from recsys_lib.sources.tables import Table, open_table
from recsys_lib.sources.times import clean_times

__all__ = ["Names", "clean_roles", "find_roles", "open_source", "reduce_table"]


#: Names of the columns of user, item, value and timestamp; "auto" recognizes them, None has none.
Names: TypeAlias = tuple[str, str, str | None, str | None]


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


def find_roles(table: Table, names: Names, reduction: Reduction | None = None) -> dict[str, str]:
    """Return the columns that play a role, as ``user_id``, ``item_id`` and so on.

    The names are those of the columns of user, item, value and timestamp.
    """
    user, item, value, timestamp = names
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
    options: TextOptions,
    limits: tuple[str | None, int | None] = (None, None),
) -> tuple[EngineTable, Any]:
    """Return the engine that holds the table, and the expression of its reduced pairs.

    The limits are memory and threads of an embedded DuckDB.
    """
    if isinstance(table, EngineTable):
        engine = table
    elif isinstance(table, ParquetTable) and not _needs_reading(table, roles, reduction):
        engine = over_parquet(table.files, table.name)
    else:
        engine = over_frame(_cleaned(table, roles, mode, options), table.name)
        roles = {name: name for name in roles}
    limit(engine, *limits)
    return engine, engine.reduced(roles, reduction)


def clean_roles(
    raw: pd.DataFrame,
    roles: dict[str, str],
    table: str,
    options: TextOptions,
    scale: tuple[float, float] | None = None,
) -> tuple[dict[str, pd.Series], list[Problem]]:
    """Return the columns with a role clean, and all that is wrong with them."""
    clean: dict[str, pd.Series] = {}
    problems = repeated_headers(raw, roles, table)
    for name, column in roles.items():
        values = raw[column]
        if name in ("user_id", "item_id"):
            clean[name], found = clean_ids(values, column, table)
        elif name == "timestamp":
            clean[name], found = clean_times(values, column, table, options.date_format)
        elif name == "event":
            clean[name], found = values.astype("str"), []
        else:
            bounds = scale if name == "value" else None
            clean[name], found = clean_numbers(values, column, table, bounds, options.decimal)
        problems += found
    return clean, problems


def _needs_reading(table: ParquetTable, roles: dict[str, str], reduction: Reduction) -> bool:
    """Say whether age is asked for and times are numbers, whose unit an engine cannot tell."""
    import pyarrow as pa

    if reduction.half_life is None:
        return False
    return not pa.types.is_temporal(table.type_of(roles["timestamp"]))


def _cleaned(table: Table, roles: dict[str, str], mode: Mode, options: TextOptions) -> pd.DataFrame:
    """Return a table in memory with the columns of the roles clean and the others for `where`."""
    raw = table.read(table.columns)
    clean, problems = clean_roles(raw, roles, table.name, options)
    others = [column for column in table.columns if column not in clean]
    numeric = raw[others].apply(numeric_if_plain, decimal=options.decimal)
    return settle(pd.DataFrame(clean).join(numeric), problems, table, mode)
