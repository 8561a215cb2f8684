"""Interactions, catalogs and profiles from any source: recognized, checked, in one form."""

from typing import Any

import numpy as np
import pandas as pd

from recsys_lib.checks import check_choice
from recsys_lib.cleaning import (
    clean_columns,
    find_duplicates,
    look_alikes,
    merge_duplicates,
    rows_by_id,
    typed_if_plain,
)
from recsys_lib.dataset import Dataset, assemble
from recsys_lib.errors import DataError, warn
from recsys_lib.sources.columns import find_column, find_roles, matches
from recsys_lib.sources.formats import ParquetTable
from recsys_lib.sources.open import Source, open_source
from recsys_lib.sources.options import AUTO, ReadOptions, options_of, takes_options
from recsys_lib.sources.sql import EngineTable, embedded
from recsys_lib.tables import FrameTable, Mode, Problem, Table, list_places, report, settle


@takes_options("user item value timestamp rating_scale duplicates mode table query reduce")
def read_interactions(source: Source, **options: Any) -> pd.DataFrame:
    """Read who used or rated what, from a DataFrame, files or a database.

    Parameters
    ----------
    source : DataFrame, str or Path
        A DataFrame, or any table that Arrow can take (polars, pyarrow); a path of CSV, TSV,
        MovieLens or RecBole text, JSON lines or Parquet, compressed or not; a folder of such files,
        ``key=value`` partitions included; a glob; a snapshot; or a database (see `table`).
    **options
        See `sources.ReadOptions`. Which column is what: `user`, `item`, `value`, `timestamp`. What
        to make of the rows: `rating_scale`, `duplicates`, `mode` ("strict" or "lenient"), `reduce`.
        What to read of a database: `table` or `query`. How text is written: `encoding`,
        `delimiter`, `decimal`, `quoting`, `escape`, `columns`, `date_format`.

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
    asked = options_of(read_interactions, options)
    frame = read_table(open_source(source, asked), asked)
    return merge_duplicates(frame, asked.duplicates)


@takes_options("user item value timestamp rating_scale table query")
def validate_interactions(source: Source, **options: Any) -> pd.DataFrame:
    """List everything wrong or odd in a table of interactions, without raising for its rows.

    Parameters
    ----------
    source, **options
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
    asked = options_of(validate_interactions, options)
    opened = open_source(source, asked)
    frame, problems = _read_roles(opened, asked)
    problems += find_duplicates(frame, opened, warning=True)
    for name in ("user_id", "item_id"):
        problems += look_alikes(frame[name], name, opened.name)
    return report(problems, opened)


@takes_options(
    "user item value timestamp rating_scale duplicates mode table query reduce title",
    duplicates="error",
)
def load_dataset(
    source: Source, items: Source | None = None, users: Source | None = None, **options: Any
) -> Dataset:
    """Read interactions, and where given catalog and profiles, as one `Dataset`.

    Parameters
    ----------
    source : DataFrame, str or Path
        Interactions; see `read_interactions`.
    items, users : DataFrame, str or Path, optional
        Catalog and profiles; see `read_catalog` and `read_users`. Items of the catalog that
        nobody used become empty columns; users without interactions, empty rows.
    **options
        Of the interactions; see `read_interactions`. Columns `user` and `item` have the same names
        in profiles and catalog, or are recognized there; `encoding`, `decimal` and `escape` apply
        to them too. `title` is the column of the catalog that is shown to people; see
        `read_catalog`. Without `rating_scale` the scale is the range of the ratings read. Repeated
        pairs are an error by default.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        Where something cannot be read or is wrong, and in strict mode where interactions name an
        item or user that catalog or profiles do not have. In lenient mode these get a row
        without contents there, so that no interaction is lost.

    Examples
    --------
    >>> likes = pd.DataFrame({"user_id": ["ann", "bob"], "item_id": ["x", "y"], "rating": [4, 5]})
    >>> load_dataset(likes, items=pd.DataFrame({"item_id": ["x", "y", "z"]}))
    Dataset(2 users x 3 items, 2 interactions, density 33.33 %, ratings 4 to 5)
    """
    merge = options.get("duplicates", "error")
    check_choice("duplicates", merge, ("error", "last", "mean", "sum"))
    asked = options_of(load_dataset, options)
    opened = open_source(source, asked)
    frame = read_table(opened, asked)
    shared = ReadOptions(
        mode=asked.mode, encoding=asked.encoding, decimal=asked.decimal, escape=asked.escape
    )
    catalog = profiles = None
    if items is not None:
        catalog, table = _rows_of("item", items, asked.item, shared)
        catalog = _titled(catalog, asked.title, table.name)
        frame, catalog = _join(frame, catalog, "item", opened, asked.mode)
    if users is not None:
        profiles, _ = _rows_of("user", users, asked.user, shared)
        frame, profiles = _join(frame, profiles, "user", opened, asked.mode)
    return assemble(
        frame, items=catalog, users=profiles, rating_scale=asked.rating_scale, duplicates=merge
    )


@takes_options("item title mode table query")
def read_catalog(source: Source, **options: Any) -> pd.DataFrame:
    """Read what is known of each item.

    Parameters
    ----------
    source : DataFrame, str or Path
        See `read_interactions`, databases included. A DataFrame may have the ids in its named
        index.
    **options
        See `sources.ReadOptions`: `item`, the column of the ids (also recognized as ``id``);
        `title`, the column to be shown to people; `mode`, `table`, `query`, and how text is
        written.

    Returns
    -------
    DataFrame
        Indexed by ``item_id``, one row an item, in the order of the source; the title is in the
        column ``title``, other columns keep their names. A text column is made numeric where all
        of its fields are numbers and none has a leading zero, as postal codes have, and a column of
        true and false where all are one of these.

    Raises
    ------
    DataError
        Where an id is null or occurs twice, or the source cannot be read.

    Examples
    --------
    >>> read_catalog(pd.DataFrame({"movie_id": [7], "movie_title": ["Alien"], "year": [1979]}))
             title  year
    item_id
    7        Alien  1979
    """
    asked = options_of(read_catalog, options)
    frame, table = _rows_of("item", source, asked.item, asked, named=True)
    return _titled(frame, asked.title, table.name)


@takes_options("user mode table query")
def read_users(source: Source, **options: Any) -> pd.DataFrame:
    """Read what is known of each user.

    Parameters
    ----------
    source : DataFrame, str or Path
        See `read_interactions`, databases included. A DataFrame may have the ids in its named
        index.
    **options
        See `sources.ReadOptions`: `user`, the column of the ids (also recognized as ``id``);
        `mode`, `table`, `query`, and how text is written.

    Returns
    -------
    DataFrame
        Indexed by ``user_id``; as of `read_catalog`.

    Raises
    ------
    DataError
        Where an id is null or occurs twice, or the source cannot be read.

    Examples
    --------
    >>> read_users(pd.DataFrame({"id": ["nle"], "role": ["architect"]}))
                  role
    user_id
    nle      architect
    """
    asked = options_of(read_users, options)
    return _rows_of("user", source, asked.user, asked, named=True)[0]


def read_table(table: Table, options: ReadOptions) -> pd.DataFrame:
    """Read and check an open table; in strict mode row i of the result is row i of the table."""
    mode, duplicates = options.mode, options.duplicates
    if options.reduce is not None:
        engine, pairs = reduce_table(table, options)
        table = engine.fetched(pairs.order_by(["user_id", "item_id"]))
        scale = options.rating_scale
        options = ReadOptions(user="user_id", item="item_id", value="value", rating_scale=scale)
    frame, problems = _read_roles(table, options)
    if duplicates == "error":
        problems += find_duplicates(frame, table)
    return settle(frame, problems, table, mode)


def reduce_table(table: Table, options: ReadOptions) -> tuple[EngineTable, Any]:
    """Return the engine that holds the table, and the expression of its reduced pairs."""
    rule = options.reduce
    assert rule is not None
    roles = find_roles(table, options)
    if isinstance(table, EngineTable):
        engine = table
    elif isinstance(table, ParquetTable):
        engine = embedded([str(path) for path in table.paths], table.name)
    else:
        raw = table.rows(table.columns)
        how: dict[str, Any] = {"decimal": options.decimal, "date_format": options.date_format}
        clean, problems = clean_columns(raw, roles, table, **how)
        others = raw[[column for column in table.columns if column not in clean]]
        numeric = others.apply(typed_if_plain, decimal=options.decimal)
        frame = settle(clean.join(numeric), problems, table, options.mode)
        engine = embedded(frame, table.name)
        roles = {name: name for name in roles}
    engine.limit(options.memory, options.threads)
    return engine, engine.reduced(roles, rule)


def _read_roles(table: Table, options: ReadOptions) -> tuple[pd.DataFrame, list[Problem]]:
    """Read and clean the columns that play a role; nothing is dropped or raised for a row."""
    roles = find_roles(table, options)
    return clean_columns(
        table.rows(list(roles.values())),
        roles,
        table,
        scale=options.rating_scale,
        decimal=options.decimal,
        date_format=options.date_format,
    )


def _rows_of(
    role: str, source: Any, given: str, options: ReadOptions, *, named: bool = False
) -> tuple[pd.DataFrame, Table]:
    """Read all columns, check the ids and make them the index.

    A column of ids that is not `named` for this table is used where the table has it.
    """
    table = open_source(source, options)
    if not named and str(given) not in table.columns:
        given = AUTO
    if given == AUTO and not matches(role, table.columns):
        plain = [column for column in table.columns if column.lower() == "id"]
        given = plain[0] if len(plain) == 1 else given  # here it can only mean one thing
    name = str(find_column(role, table.columns, given, table.name, required=True))
    frame = rows_by_id(table, name, options.mode).rename_axis(f"{role}_id")
    if not (isinstance(table, FrameTable) and table.row == "index"):
        frame = frame.apply(typed_if_plain, decimal=options.decimal)
    return frame, table


def _titled(frame: pd.DataFrame, given: str | None, table: str) -> pd.DataFrame:
    """Name the column of titles so; warn where there are texts and none is called like one."""
    columns = [str(column) for column in frame.columns]
    texts = [name for name, kind in frame.dtypes.items() if isinstance(kind, pd.StringDtype)]
    if given == AUTO and not matches("title", columns) and texts:
        warn(
            f"{table}: no column is recognized as the title among {texts}, so that items are shown "
            'by their ids. Name it with title="...", or give title=None.'
        )
    name = find_column("title", columns, given, table, required=False)
    if name is None or name == "title":
        return frame
    return frame.drop(columns="title", errors="ignore").rename(columns={name: "title"})


def _join(
    frame: pd.DataFrame, other: pd.DataFrame, role: str, table: Table, mode: Mode
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make the ids of both tables one type, and check that `other` lists every id used."""
    column = f"{role}_id"
    ids = frame[column]
    if ids.dtype != other.index.dtype:
        ids, index = _one_type(ids, other.index)
        frame = frame.assign(**{column: ids})
        other = other.set_axis(index.rename(column))
    unknown = np.flatnonzero(~ids.isin(other.index).to_numpy())
    if not len(unknown):
        return frame, other
    named = "catalog" if role == "item" else "profiles"
    first = ids.iloc[unknown[:1]].tolist()[0]
    alike = other.index[other.index.astype("str").str.lstrip("0") == str(first).lstrip("0")]
    message = (
        f"Each {role} of {table.name} must be listed in the {named} ({len(other):,} rows)"
        f"; {first!r} is not"
    )
    if len(alike):
        message += f", {alike[0]!r} is, and leading zeros count"
    if mode == "strict":
        raise DataError(
            f"{message} ({list_places(table, unknown)}). "
            f"{'Write both alike' if len(alike) else f'Complete the {named}'}, or read with "
            'mode="lenient", which adds rows without contents.'
        )
    extra = pd.Index(ids.iloc[unknown].unique(), name=column)
    warn(f"{message}: {len(extra):,} rows without contents added.")
    return frame, other.reindex(other.index.append(extra))


def _one_type(ids: pd.Series, index: pd.Index) -> tuple[pd.Series, pd.Index]:
    """Return both as integers where the strings are plain integers, else both as strings."""
    texts = index if ids.dtype == np.int64 else ids
    if not texts.astype("str").str.fullmatch(r"-?(0|[1-9]\d{0,17})").all():
        return ids.astype("str"), index.astype("str")
    return ids.astype("int64"), index.astype("int64")
