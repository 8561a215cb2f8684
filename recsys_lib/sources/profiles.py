"""Catalogs and user profiles: one row an item or a user, read as interactions are."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.checks import check_choice
from recsys_lib.errors import DataError
from recsys_lib.sources.cleaning import clean_ids, numeric_if_plain, repeated_headers
from recsys_lib.sources.columns import AUTO, find_column, matches
from recsys_lib.sources.connections import is_engine
from recsys_lib.sources.doors import open_source
from recsys_lib.sources.options import TextOptions, with_text_options
from recsys_lib.sources.problems import Mode, Problem, settle
from recsys_lib.sources.tables import FrameTable, Table, as_frame


@with_text_options
def read_catalog(
    source: pd.DataFrame | str | Path,
    *,
    item: str = "auto",
    title: str | None = "auto",
    mode: Mode = "strict",
    table: str | None = None,
    query: str | None = None,
    **reading: Any,
) -> pd.DataFrame:
    """Read what is known of each item.

    Parameters
    ----------
    source : DataFrame, str or Path
        See `read_interactions`, databases included. A DataFrame may have the ids in its named
        index.
    item : str
        Column of the ids; by default recognized (also ``id``).
    title : str or None
        Column to be shown to people; by default recognized, with a warning where it is not. None
        where there is none.
    mode, table, query, **reading
        See `read_interactions`.

    Returns
    -------
    DataFrame
        Indexed by ``item_id``, one row an item, in the order of the source; the title is in the
        column ``title``, other columns keep their names. A text column is made numeric where all
        of its fields are numbers and none has a leading zero, as postal codes have.

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
    options = TextOptions(**reading)
    opened = _open(source, table, query, options)
    frame = _read("item", opened, item, mode, options)
    name = _title_column(frame, title, opened.name)
    if name is not None and name != "title":
        if "title" in frame:
            frame = frame.drop(columns="title")
        frame = frame.rename(columns={name: "title"})
    return frame


@with_text_options
def read_users(
    source: pd.DataFrame | str | Path,
    *,
    user: str = "auto",
    mode: Mode = "strict",
    table: str | None = None,
    query: str | None = None,
    **reading: Any,
) -> pd.DataFrame:
    """Read what is known of each user.

    Parameters
    ----------
    source : DataFrame, str or Path
        See `read_interactions`, databases included. A DataFrame may have the ids in its named
        index.
    user : str
        Column of the ids; by default recognized (also ``id``).
    mode, table, query, **reading
        See `read_interactions`.

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
    options = TextOptions(**reading)
    opened = _open(source, table, query, options)
    return _read("user", opened, user, mode, options)


def _title_column(frame: pd.DataFrame, given: str | None, table: str) -> str | None:
    """Return the column of titles; a warning where there are texts and none has the name of one."""
    columns = [str(column) for column in frame.columns]
    found = matches("title", columns)
    texts = [name for name, kind in frame.dtypes.items() if isinstance(kind, pd.StringDtype)]
    if given == AUTO and not found and texts:
        warnings.warn(
            f"{table}: no column is recognized as the title among {texts}, so that items are shown "
            'by their ids. Name it with title="...", or give title=None.',
            stacklevel=4,
        )
    return find_column("title", columns, given, table, required=False)


def _open(source: Any, table: str | None, query: str | None, options: TextOptions) -> Table:
    source = source if is_engine(source) else as_frame(source)
    if isinstance(source, pd.DataFrame) and source.index.name not in (None, *source.columns):
        source = source.reset_index()
    return open_source(source, table, query, options)


def _read(role: str, table: Table, given: str, mode: Mode, options: TextOptions) -> pd.DataFrame:
    """Read all columns, check the ids and make them the index."""
    check_choice("mode", mode, ("strict", "lenient"))
    column = _id_column(role, table, given)
    raw = table.read(table.columns)
    if raw.empty:
        raise DataError(f"{table.name} must have at least one row; it has none. Check the export.")
    ids, problems = clean_ids(raw[column], column, table.name)
    headers = repeated_headers(raw, {column: column for column in raw}, table.name)
    problems = headers + problems
    again = np.flatnonzero(ids.duplicated().to_numpy())
    if len(again) and not any(problem.fatal for problem in problems):
        problems.append(_repeated(ids, again, column, table.name))
    frame = raw.drop(columns=column)
    if not isinstance(table, FrameTable):
        frame = frame.apply(numeric_if_plain, decimal=options.decimal)
    frame = frame.assign(**{"\0id": ids})
    frame = settle(frame, problems, table, mode)
    return frame.set_index("\0id").rename_axis(f"{role}_id")


def _id_column(role: str, table: Table, given: str) -> str:
    """Return the column of ids: here a plain ``id`` can only mean one thing."""
    if given == AUTO and not matches(role, table.columns):
        plain = [column for column in table.columns if column.lower() == "id"]
        given = plain[0] if len(plain) == 1 else given
    return str(find_column(role, table.columns, given, table.name, required=True))


def _repeated(ids: pd.Series, again: NDArray[np.int64], column: str, table: str) -> Problem:
    return Problem(
        "repeated id",
        column,
        f"Column {column!r} of {table} must hold each id once",
        f"{ids.iloc[int(again[0])]!r} again",
        "Keep one row for each id.",
        again,
    )
