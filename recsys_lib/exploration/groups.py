"""Groups of people and items, which items meet, what counts as a like; data without taste."""

import dataclasses
import re

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from recsys_lib.checks import check_integer
from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError
from recsys_lib.seeding import rng_from

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


def item_lift(user_items: sparse.csr_array) -> NDArray[np.float64]:
    """Return how much more often two items meet in one user than by chance.

    Chance is that everybody has as many items as they have, and every item as many users: the
    configuration model. Without the first, active users, who have more of everything, would lift
    every pair.

    Parameters
    ----------
    user_items : csr_array of shape (n_users, n_items)
        Stored entries count, whatever their value.

    Returns
    -------
    ndarray of shape (n_items, n_items), float64
        1 is chance, 0 is never. NaN on the diagonal and for items without users.

    References
    ----------
    .. [1] M. E. J. Newman, "Networks", 2nd ed. 2018, section 12.1 (configuration model), with
       users' degrees: E_ij = n_i n_j sum_u d_u (d_u - 1) / (sum_u d_u)^2.

    Examples
    --------
    >>> both = sparse.csr_array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1]])
    >>> item_lift(both).round(1)
    array([[nan, 2.7, 0. , 0. ],
           [2.7, nan, 0. , 1.3],
           [0. , 0. , nan, 4. ],
           [0. , 1.3, 4. , nan]])
    """
    seen = user_items.copy()
    seen.data = np.ones(seen.nnz)
    meetings = np.asarray((seen.T @ seen).toarray(), dtype=np.float64)
    counts = meetings.diagonal().copy()
    degrees = np.diff(seen.indptr).astype(np.float64)
    pairs_per_end = (degrees * (degrees - 1)).sum() / max(1.0, degrees.sum()) ** 2
    chance = np.outer(counts, counts) * pairs_per_end
    lift = np.divide(meetings, chance, out=np.full_like(meetings, np.nan), where=chance > 0)
    np.fill_diagonal(lift, np.nan)
    return lift


def group_lift(lift: NDArray[np.float64], groups: pd.Series) -> tuple[float, float]:
    """Return the mean lift of two items of one group, and of two groups; NaN without such pairs.

    Examples
    --------
    >>> lift = np.array([[np.nan, 2.0, 0.5], [2.0, np.nan, 1.0], [0.5, 1.0, np.nan]])
    >>> group_lift(lift, pd.Series(["net", "net", "cmp"]))
    (2.0, 0.75)
    """
    names, known = groups.to_numpy(), ~np.isnan(lift)
    same = names[:, None] == names
    within, between = (lift[known & pair] for pair in (same, ~same))
    means = [float(part.mean()) if len(part) else float("nan") for part in (within, between)]
    return means[0], means[1]


def without_taste(dataset: Dataset, *, seed: int = 0) -> Dataset:
    """Return the data set with its taste taken out: the leak test for data of unknown truth.

    A model that seems to learn something from it has seen the answers.

    Parameters
    ----------
    dataset : Dataset
    seed : int
        Of the draw.

    Returns
    -------
    Dataset
        Ratings are dealt out again over the same pairs: who used what stays, and so does the
        histogram. Of likes everybody draws as many anew, popular items with the odds they had;
        times go.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"user_id": range(4), "item_id": range(4), "value": [1, 2, 3, 4]})
    >>> without_taste(Dataset.from_frame(frame)).user_items.data
    array([2., 4., 1., 3.], dtype=float32)
    """
    x, rng = dataset.user_items, rng_from(seed, "exploration", "shuffle")
    if dataset.rating_scale is not None:
        dealt = sparse.csr_array((rng.permutation(x.data), x.indices, x.indptr), shape=x.shape)
        return dataclasses.replace(dataset, user_items=dealt)
    counts = np.bincount(x.indices, minlength=x.shape[1])
    known = np.flatnonzero(counts)
    odds = counts[known] / counts.sum()
    drawn = [np.sort(rng.choice(known, size=n, replace=False, p=odds)) for n in np.diff(x.indptr)]
    redrawn = sparse.csr_array((x.data, np.concatenate(drawn), x.indptr), shape=x.shape)
    return dataclasses.replace(dataset, user_items=redrawn, timestamps=None)
