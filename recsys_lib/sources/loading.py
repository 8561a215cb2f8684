"""From files to a `Dataset` in one call."""

import warnings
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from recsys_lib.checks import check_choice
from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError
from recsys_lib.sources.columns import AUTO
from recsys_lib.sources.doors import open_source
from recsys_lib.sources.interactions import read_table
from recsys_lib.sources.options import TextOptions, with_text_options
from recsys_lib.sources.problems import Mode
from recsys_lib.sources.profiles import read_catalog, read_users
from recsys_lib.sources.reduction import Reduction
from recsys_lib.sources.tables import Source, Table, as_frame, list_places


@with_text_options
def load_dataset(
    source: Source,
    items: Source | None = None,
    users: Source | None = None,
    *,
    user: str = "auto",
    item: str = "auto",
    value: str | None = "auto",
    timestamp: str | None = "auto",
    rating_scale: tuple[float, float] | None = None,
    duplicates: Literal["error", "last", "mean", "sum"] = "error",
    mode: Mode = "strict",
    table: str | None = None,
    query: str | None = None,
    reduce: Reduction | None = None,
    title: str | None = "auto",
    **reading: Any,
) -> Dataset:
    """Read interactions, and where given catalog and profiles, as one `Dataset`.

    Parameters
    ----------
    source : DataFrame, str or Path
        Interactions; see `read_interactions`.
    items, users : DataFrame, str or Path, optional
        Catalog and profiles; see `read_catalog` and `read_users`. Items of the catalog that
        nobody used become empty columns; users without interactions, empty rows.
    user, item, value, timestamp, rating_scale, duplicates, mode, table, query, reduce, **reading
        Of the interactions; see `read_interactions`. Columns `user` and `item` have the same names
        in profiles and catalog, or are recognized there; `encoding`, `decimal` and `escape` apply
        to them too. Without `rating_scale` the scale is the range of the ratings read.
    title : str or None
        Column of the catalog that is shown to people; see `read_catalog`.

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
    check_choice("duplicates", duplicates, ("error", "last", "mean", "sum"))
    options = TextOptions(**reading)
    shared = replace(options, delimiter=None, quoting=None, columns=None, date_format=None)
    opened = open_source(source, table, query, options)
    names = (user, item, value, timestamp)
    frame = read_table(opened, names, options, rating_scale, duplicates, mode, reduce)
    catalog = profiles = None
    if items is not None:
        items = as_frame(items)
        key = _key(items, item, shared)
        catalog = read_catalog(items, item=key, title=title, mode=mode, **vars(shared))
        frame, catalog = _join(frame, catalog, "item", opened, mode)
    if users is not None:
        users = as_frame(users)
        key = _key(users, user, shared)
        profiles = read_users(users, user=key, mode=mode, **vars(shared))
        frame, profiles = _join(frame, profiles, "user", opened, mode)
    return Dataset.from_frame(
        frame,
        value="value" if "value" in frame else None,
        timestamp="timestamp" if "timestamp" in frame else None,
        items=catalog,
        users=profiles,
        rating_scale=rating_scale,
        duplicates=duplicates,
    )


def _key(source: Source, given: str, options: TextOptions) -> str:
    """Return the name of the interactions' id column where the other table has it too."""
    return given if str(given) in open_source(source, None, None, options).columns else AUTO


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
    message = (
        f"Each {role} of {table.name} must be listed in the {named} ({len(other):,} rows)"
        f"; {ids.iloc[int(unknown[0])]!r} is not"
    )
    if mode == "strict":
        raise DataError(
            f"{message} ({list_places(table, unknown)}). Complete the {named}, or read with "
            f'mode="lenient", which adds rows without contents.'
        )
    extra = pd.Index(ids.iloc[unknown].unique(), name=column)
    warnings.warn(f"{message}: {len(extra):,} rows without contents added.", stacklevel=4)
    return frame, other.reindex(other.index.append(extra))


def _one_type(ids: pd.Series, index: pd.Index) -> tuple[pd.Series, pd.Index]:
    """Return both as integers where the strings are plain integers, else both as strings."""
    texts = index if ids.dtype == np.int64 else ids
    if not texts.astype("str").str.fullmatch(r"-?(0|[1-9]\d{0,17})").all():
        return ids.astype("str"), index.astype("str")
    return ids.astype("int64"), index.astype("int64")
