"""Interactions from a DataFrame or files: recognized, checked, in the names of the house."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from recsys_lib.checks import check_choice
from recsys_lib.errors import DataError
from recsys_lib.sources.cleaning import look_alikes
from recsys_lib.sources.doors import Names, clean_roles, find_roles, open_source, reduce_table
from recsys_lib.sources.options import TextOptions, with_text_options
from recsys_lib.sources.problems import Mode, Problem, report, settle
from recsys_lib.sources.reduction import Reduction
from recsys_lib.sources.tables import Table
from recsys_lib.tables import merge_duplicates

#: What becomes of rows that repeat a pair of user and item.
Duplicates = Literal["keep", "error", "last", "mean", "sum"]


@with_text_options
def read_interactions(
    source: pd.DataFrame | str | Path,
    *,
    user: str = "auto",
    item: str = "auto",
    value: str | None = "auto",
    timestamp: str | None = "auto",
    rating_scale: tuple[float, float] | None = None,
    duplicates: Duplicates = "keep",
    mode: Mode = "strict",
    table: str | None = None,
    query: str | None = None,
    reduce: Reduction | None = None,
    **reading: Any,
) -> pd.DataFrame:
    """Read who used or rated what, from a DataFrame, files or a database.

    Parameters
    ----------
    source : DataFrame, str or Path
        A DataFrame, or any table that Arrow can take (polars, pyarrow); a path of CSV, TSV,
        MovieLens or RecBole text, JSON lines or Parquet, compressed or not; a folder of such files,
        ``key=value`` partitions included; a glob; a snapshot; or a database (see `table`).
    user, item : str
        Columns of the ids; by default recognized by their names.
    value, timestamp : str or None
        Columns of ratings or weights and of times; by default recognized, and left out where there
        is none. None leaves one out that is there: ``value=None`` reads implicit feedback.
    rating_scale : tuple of float, optional
        Lowest and highest rating; one outside is an error.
    duplicates : {"keep", "error", "last", "mean", "sum"}
        What becomes of rows that repeat a pair: kept, refused, the latest in time (without times:
        in the file), or the mean or the sum of their values with the latest time.
    mode : {"strict", "lenient"}
        "strict" raises at the first problem; "lenient" drops the rows concerned and warns.
    table, query : str, optional
        What to read of a database, whose URL is the source: ``sqlite:///shop.db``,
        ``duckdb:///events.duckdb``, ``postgresql://user@host/database``, ``trino://...``,
        ``impala://...``; or a backend that `ibis` has connected. Secrets never stand in the URL:
        see `sources.engines.open_engine`.
    reduce : Reduction, optional
        How events become interactions, and which users and items are kept; the engine does it.
    **reading
        How text is written: `encoding`, `delimiter`, `decimal`, `quoting`, `escape`, `columns` and
        `date_format`; see `sources.options.TextOptions`.

    Returns
    -------
    DataFrame
        ``user_id`` and ``item_id`` (str or int64), ``value`` (float64) and ``timestamp``
        (datetime64[ns, UTC]) where there are such columns, one row an interaction, in the order of
        the source.

    Raises
    ------
    DataError
        Where the source cannot be read or its contents are wrong; names file, column and rows.

    Notes
    -----
    Ids in text files are strings, always: ``007`` keeps its zeros, and a type does not hang on
    what other rows hold. Parquet, JSON lines and DataFrames keep whole numbers as integers. Only
    an empty field is null; ``NA`` may be somebody's name. Reading takes about 5 s and 1 GB for
    1e7 Parquet rows with integer ids, on one core.

    Examples
    --------
    >>> frame = pd.DataFrame({"user": ["ann", "bob"], "film": [7, 7], "stars": [4, 5]})
    >>> read_interactions(frame, item="film")
      user_id  item_id  value
    0     ann        7    4.0
    1     bob        7    5.0
    """
    options = TextOptions(**reading)
    opened = open_source(source, table, query, options)
    roles = (user, item, value, timestamp)
    frame = read_table(opened, roles, options, rating_scale, duplicates, mode, reduce)
    if duplicates == "keep" or duplicates == "error":
        return frame
    return merge_duplicates(frame, duplicates, ("user_id", "item_id"), "timestamp")


def read_table(
    table: Table,
    names: Names,
    options: TextOptions,
    rating_scale: tuple[float, float] | None,
    duplicates: Duplicates,
    mode: Mode,
    reduction: Reduction | None = None,
) -> pd.DataFrame:
    """Read and check an open table; in strict mode row i of the result is row i of the table."""
    check_choice("mode", mode, ("strict", "lenient"))
    check_choice("duplicates", duplicates, ("keep", "error", "last", "mean", "sum"))
    if reduction is not None:
        roles = find_roles(table, names, reduction)
        engine, pairs = reduce_table(table, roles, reduction, mode, options)
        table = engine.holding(pairs.order_by(["user_id", "item_id"]))
        names, options = ("user_id", "item_id", "value", "auto"), TextOptions()
    frame, problems = _read(table, names, options, rating_scale)
    if duplicates == "error":
        problems += find_duplicates(frame, table.name)
    return settle(frame, problems, table, mode)


@with_text_options
def validate_interactions(
    source: pd.DataFrame | str | Path,
    *,
    user: str = "auto",
    item: str = "auto",
    value: str | None = "auto",
    timestamp: str | None = "auto",
    rating_scale: tuple[float, float] | None = None,
    table: str | None = None,
    query: str | None = None,
    **reading: Any,
) -> pd.DataFrame:
    """List everything wrong or odd in a table of interactions, without raising for its rows.

    Parameters
    ----------
    source, user, item, value, timestamp, rating_scale, table, query, **reading
        See `read_interactions`.

    Returns
    -------
    DataFrame
        One row a problem: ``check, column, severity, rows, places, first, remedy``. Errors are
        what strict mode raises and lenient mode drops; warnings may be intended: repeated pairs,
        and ids that differ only in case, spaces, invisible signs or the way a number is written.

    Raises
    ------
    DataError
        Where the source cannot be read at all, or has no columns for user and item.

    Examples
    --------
    >>> frame = pd.DataFrame({"user": ["ann", "Ann"], "item": [7, 7], "rating": ["4", "good"]})
    >>> validate_interactions(frame)[["check", "column", "severity", "places"]]
                check   column severity               places
    0    not a number   rating    error              index 1
    1  look-alike ids  user_id  warning  index 0 and index 1
    """
    options = TextOptions(**reading)
    opened = open_source(source, table, query, options)
    frame, problems = _read(opened, (user, item, value, timestamp), options, rating_scale)
    problems += find_duplicates(frame, opened.name, warning=True)
    for name in ("user_id", "item_id"):
        problems += look_alikes(frame[name], name, opened.name)
    return report(problems, opened)


def find_duplicates(frame: pd.DataFrame, table: str, *, warning: bool = False) -> list[Problem]:
    """Return the problem of rows that repeat an earlier pair of user and item."""
    rows = np.flatnonzero(frame.duplicated(["user_id", "item_id"]).to_numpy())
    if not len(rows):
        return []
    first = frame.iloc[int(rows[0])]
    return [
        Problem(
            "repeated pair",
            "user_id, item_id",
            f"{table} must have each pair of user and item once",
            f"user {first['user_id']!r} and item {first['item_id']!r} again",
            'Choose what repeated pairs mean: duplicates="last", "mean" or "sum".',
            rows,
            warning=warning,
        )
    ]


def _read(
    table: Table, names: Names, options: TextOptions, scale: tuple[float, float] | None
) -> tuple[pd.DataFrame, list[Problem]]:
    """Read and clean the columns that play a role; nothing is dropped or raised for a row."""
    roles = find_roles(table, names)
    raw = table.read(list(roles.values()))
    if raw.empty:
        raise DataError(
            f"{table.name} must have at least one row; it has the columns {table.columns} and no "
            "rows. Check the export."
        )
    clean, problems = clean_roles(raw, roles, table.name, options, scale)
    return pd.DataFrame(clean), problems
