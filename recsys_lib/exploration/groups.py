"""Groups of people and items, and what the ones think of the others."""

import re

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from recsys_lib.checks import check_integer
from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError

__all__ = ["favorite_group", "group_labels", "liking_by_group"]

_MOST_GROUPS = 40
# What things are called is no group; a job title may be one, but not by its first word.
_NAMES = re.compile(r"title|name", re.IGNORECASE)
_NAMED = re.compile(r".*(title|name)", re.IGNORECASE)


def group_labels(
    frame: pd.DataFrame | None, ids: pd.Index, column: str = "", *, max_groups: int = 8
) -> pd.Series:
    """Return one label per row, rare ones together, fit for a figure.

    Parameters
    ----------
    frame : DataFrame or None
        Users or items.
    ids : Index
        Of its rows; without a frame they are all in the group ``"all"``.
    column : str
        Text or categories. Where there are more than 40 different ones, as with lists of genres,
        the first word counts; words are separated by spaces or ``|``. Empty takes the first column
        with groups of two rows or more on average, by whole values if there is one, else by first
        words; never one called title or name.
    max_groups : int
        Labels that are kept, the most frequent ones; the others become ``"other"``.

    Returns
    -------
    Series of str, indexed by `ids`
        Named as the column; ``"none"`` where the value is missing.

    Raises
    ------
    DataError
        If there is no such column.

    Examples
    --------
    >>> films = pd.DataFrame({"genre": ["Film Noir", "Film Noir", "Western", None]})
    >>> group_labels(films, films.index, "genre", max_groups=1).tolist()
    ['Film Noir', 'Film Noir', 'other', 'none']
    """
    check_integer("max_groups", max_groups, minimum=1)
    name = _group_column(frame, column)
    if frame is None or name is None:
        return pd.Series("all", index=ids, name="group")
    first, missing = _words(frame[name]), frame[name].isna()
    kept = first[~missing].value_counts().index[:max_groups]
    return first.where(first.isin(kept), "other").where(~missing, "none").astype("str")


def _group_column(frame: pd.DataFrame | None, column: str) -> str | None:
    """The column asked for, or the first that makes groups, or None."""
    columns = [] if frame is None else [str(name) for name in frame.columns]
    if column and column not in columns:
        raise DataError(
            f"The column {column!r} must exist; there are {', '.join(columns) or 'none'}. "
            'Choose one of them, or "" for the first that makes groups.'
        )
    if column or frame is None:
        return column or None
    texts = frame.select_dtypes(exclude=["number", "datetime", "timedelta"])
    counts = [
        {
            str(name): read(values.dropna()).nunique()
            for name, values in texts.items()
            if not left_out.fullmatch(str(name))
        }
        for read, left_out in ((_whole, _NAMES), (_words, _NAMED))
    ]
    # Values of which each row has its own are no groups, however few rows there are.
    most = min(_MOST_GROUPS, len(frame) // 2)
    return next((name for count in counts for name in count if 2 <= count[name] <= most), None)


def _whole(values: pd.Series) -> pd.Series:
    return values.astype("object").astype("str")


def _words(values: pd.Series) -> pd.Series:
    """The values as text, or their first words where they are too many to be groups."""
    text = _whole(values)
    if text.nunique() <= _MOST_GROUPS:
        return text
    return text.str.split(r"[|\s]+", regex=True, n=1).str[0]


def liking_by_group(dataset: Dataset, users: pd.Series, items: pd.Series) -> pd.DataFrame:
    """Return how each group of users likes each group of items, beside what everybody does.

    Parameters
    ----------
    dataset : Dataset
    users, items : Series of length n_users, n_items
        The group of each position; their names become those of the table's axes.

    Returns
    -------
    DataFrame
        Item groups down, user groups across; NaN where no interaction joins two. Of ratings the
        mean less the mean of all, in rating units; of likes the share of the user group's likes
        less the share of all likes that are of the item group, in percentage points.

    Examples
    --------
    >>> frame = pd.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "x"], "value": [5, 3]})
    >>> dataset = Dataset.from_frame(frame)
    >>> roles, tracks = pd.Series(["dev", "ops"], name="role"), pd.Series(["net"], name="track")
    >>> liking_by_group(dataset, roles, tracks)
    role   dev  ops
    track
    net    1.0 -1.0
    """
    coo = dataset.user_items.tocoo()
    cells = pd.DataFrame(
        {
            "item": items.to_numpy()[coo.col],
            "user": users.to_numpy()[coo.row],
            "value": coo.data.astype(np.float64),
        }
    )
    how = "sum" if dataset.rating_scale is None else "mean"
    table = cells.pivot_table(index="item", columns="user", values="value", aggfunc=how)
    table = table.rename_axis(index=items.name, columns=users.name)
    if dataset.rating_scale is not None:
        return table - cells["value"].mean()
    shares, everybody = table / table.sum(), table.sum(axis=1) / len(cells)
    return 100 * shares.sub(everybody, axis=0)


def favorite_group(values: ArrayLike, groups: pd.Series) -> pd.Series:
    """Return the group of items that each row has most of, on average over the group's items.

    Parameters
    ----------
    values : array of shape (n_users, n_items)
        Such as true expected ratings, or likes as ones.
    groups : Series of length n_items
        Group of each item.

    Returns
    -------
    Series of length n_users
        Of labels, named as `groups`; among equals the first by name.

    Examples
    --------
    >>> tracks = pd.Series(["cloud", "cloud", "data"], name="track")
    >>> favorite_group([[9, 1, 4], [3, 3, 4]], tracks).tolist()
    ['cloud', 'data']
    """
    labels, place = np.unique(groups.to_numpy(str), return_inverse=True)
    member = place[:, None] == np.arange(len(labels))
    means = np.asarray(values, dtype=np.float64) @ (member / member.sum(axis=0))
    return pd.Series(labels[means.argmax(axis=1)], name=groups.name)
