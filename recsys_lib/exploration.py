"""What to look at before any model: counts, groups, pairs of items, steps of a clickstream."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import check_integer
from recsys_lib.dataset import Dataset, Split
from recsys_lib.errors import DataError

__all__ = [
    "count_steps",
    "group_labels",
    "item_lift",
    "mean_by_group",
    "observed_means",
    "overview",
    "split_overview",
]


def overview(dataset: Dataset) -> pd.DataFrame:
    """Return the counts that describe a data set, as a table to show.

    Parameters
    ----------
    dataset : Dataset

    Returns
    -------
    DataFrame
        Column ``value``, as text, indexed by what it is.

    Examples
    --------
    >>> frame = pd.DataFrame({"user_id": ["ann", "bob"], "item_id": ["x", "x"], "value": [5, 3]})
    >>> overview(Dataset.from_frame(frame)).loc[["users", "density"]]
               value
    users          2
    density  100.00%
    """
    per_user = np.diff(dataset.user_items.indptr)
    per_item = _item_counts(dataset.user_items)
    rows = {
        "users": f"{dataset.n_users:,}",
        "items": f"{dataset.n_items:,}",
        "interactions": f"{dataset.n_interactions:,}",
        "density": f"{dataset.density:.2%}",
        "interactions of a user: median, highest": f"{np.median(per_user):g}, {per_user.max():,}",
        "interactions of an item: median, highest": f"{np.median(per_item):g}, {per_item.max():,}",
        "users without any": f"{int((per_user == 0).sum()):,}",
        "items without any": f"{int((per_item == 0).sum()):,}",
    }
    if dataset.rating_scale is not None:
        low, high = dataset.rating_scale
        data = dataset.user_items.data.astype(np.float64)
        rows["rating scale"] = f"{low:g} to {high:g}"
        rows["ratings: mean, standard deviation"] = f"{data.mean():.2f}, {data.std():.2f}"
    if dataset.timestamps is not None and dataset.n_interactions:
        first, last = pd.to_datetime([dataset.timestamps.min(), dataset.timestamps.max()])
        rows["first, last"] = f"{first:%Y-%m-%d}, {last:%Y-%m-%d}"
    return pd.DataFrame({"value": pd.Series(rows)})


def _item_counts(user_items: sparse.csr_array) -> NDArray[np.int64]:
    return np.bincount(user_items.indices, minlength=user_items.shape[1])


def like_threshold(dataset: Dataset, wanted: float = 0.0) -> float:
    """Return the rating from which on an item counts as liked.

    Parameters
    ----------
    dataset : Dataset
        With a rating scale.
    wanted : float
        The threshold, in rating units; 0 takes the lowest rating in the upper third of the scale:
        7 of 1 to 10, 4 of 1 to 5.

    Returns
    -------
    float

    Raises
    ------
    DataError
        If the data set has no ratings, or `wanted` lies outside their scale.

    Examples
    --------
    >>> frame = pd.DataFrame({"user_id": [1, 2, 3], "item_id": [1, 2, 3], "value": [1, 4, 5]})
    >>> like_threshold(Dataset.from_frame(frame))
    4.0
    """
    if dataset.rating_scale is None:
        raise DataError(
            "The data set must have a rating scale to tell likes; it has interactions only. "
            "Every interaction is a like there."
        )
    low, high = dataset.rating_scale
    if wanted == 0.0 and not low < 0 < high:
        levels = np.unique(dataset.user_items.data)
        # A hair lower: 2/3 of a scale from 1 to 10 is 7 on paper and may be 7.000001 in floats.
        return float(levels[levels >= low + 2 / 3 * (high - low) - 1e-6].min())
    if not low < wanted <= high:
        raise DataError(
            f"A like must be a rating above {low:g} and up to {high:g}; got {wanted:g}. "
            f"Try {low + 2 / 3 * (high - low):g}."
        )
    return float(wanted)


def observed_means(user_items: sparse.csr_array) -> pd.DataFrame:
    """Return how often each item was rated and the mean of these ratings.

    Parameters
    ----------
    user_items : csr_array of shape (n_users, n_items)

    Returns
    -------
    DataFrame
        ``count`` and ``mean`` in rating units, one row per item position; NaN where nobody rated.

    Examples
    --------
    >>> observed_means(sparse.csr_array([[4.0, 0.0], [5.0, 0.0]]))
       count  mean
    0      2   4.5
    1      0   NaN
    """
    counts = _item_counts(user_items)
    weights = user_items.data.astype(np.float64)
    sums = np.bincount(user_items.indices, weights=weights, minlength=len(counts))
    means = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return pd.DataFrame({"count": counts, "mean": means})


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
        that makes groups of two rows or more on average so.
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
        return pd.Series("all", index=ids, name="everything")
    first, missing = _words(frame[name]), frame[name].isna()
    kept = first[~missing].value_counts().index[:max_groups]
    return first.where(first.isin(kept), "other").where(~missing, "none").astype("str")


_MOST_GROUPS = 40


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
    for name, values in texts.items():
        # A name of each row's own is no group, however few rows there are.
        if 2 <= _words(values.dropna()).nunique() <= min(_MOST_GROUPS, len(values) // 2):
            return str(name)
    return None


def _words(values: pd.Series) -> pd.Series:
    """The values as text, or their first words where they are too many to be groups."""
    text = values.astype("object").astype("str")
    if text.nunique() <= _MOST_GROUPS:
        return text
    return text.str.split(r"[|\s]+", regex=True, n=1).str[0]


def mean_by_group(dataset: Dataset, users: pd.Series, items: pd.Series) -> pd.DataFrame:
    """Return the mean rating of each group of items by each group of users.

    Parameters
    ----------
    dataset : Dataset
    users, items : Series of length n_users, n_items
        The group of each position; their names become those of the table's axes.

    Returns
    -------
    DataFrame
        Item groups down, user groups across, in rating units; NaN where no rating joins two.

    Examples
    --------
    >>> frame = pd.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "x"], "value": [5, 3]})
    >>> dataset = Dataset.from_frame(frame)
    >>> roles, tracks = pd.Series(["dev", "ops"], name="role"), pd.Series(["net"], name="track")
    >>> mean_by_group(dataset, roles, tracks)
    role   dev  ops
    track
    net    5.0  3.0
    """
    coo = dataset.user_items.tocoo()
    cells = pd.DataFrame(
        {
            "item": items.to_numpy()[coo.col],
            "user": users.to_numpy()[coo.row],
            "value": coo.data.astype(np.float64),
        }
    )
    table = cells.pivot_table(index="item", columns="user", values="value", aggfunc="mean")
    return table.rename_axis(index=items.name, columns=users.name)


def count_steps(
    events: pd.DataFrame, steps: Sequence[str] = ("view", "start", "complete")
) -> pd.Series:
    """Return how many pairs of user and item reach each step of a clickstream.

    Parameters
    ----------
    events : DataFrame
        ``user_id, item_id, event``; a pair may have several events of one kind.
    steps : sequence of str
        Values of ``event``, first step first.

    Returns
    -------
    Series of int64
        Indexed by step. A pair that reached a step counts at every step before it, whether or not
        that was logged.

    Examples
    --------
    >>> what = ["view", "start", "view"]
    >>> clicks = pd.DataFrame({"user_id": 1, "item_id": [7, 7, 8], "event": what})
    >>> count_steps(clicks, ("view", "start")).to_dict()
    {'view': 2, 'start': 1}
    """
    place = {step: number for number, step in enumerate(steps)}
    reached = events["event"].astype("str").map(place)
    furthest = reached.groupby([events["user_id"], events["item_id"]], observed=True).max()
    counts = [int((furthest >= number).sum()) for number in range(len(steps))]
    return pd.Series(counts, index=list(steps), dtype="int64")


def split_overview(split: Split) -> pd.DataFrame:
    """Return what each part of a split holds.

    Parameters
    ----------
    split : Split

    Returns
    -------
    DataFrame
        Indexed by part: ``users``, interactions ``shown`` to the model and ``hidden`` from it, and
        the ``use`` of the part.

    Examples
    --------
    >>> from recsys_lib.splitting import split_ratings
    >>> table = pd.DataFrame([(u, i, 3) for u in range(5) for i in range(4)])
    >>> table.columns = ["user_id", "item_id", "value"]
    >>> split_overview(split_ratings(Dataset.from_frame(table)))[["shown", "hidden"]]
                shown  hidden
    part
    train          16       0
    validation     16       2
    test           16       2
    """
    folds = {"validation": split.validation, "test": split.test}
    rows = {"train": (len(split.train_users), split.train.nnz, 0, "to learn from")}
    for (name, fold), use in zip(folds.items(), ("to choose by", "to report"), strict=True):
        rows[name] = (_active(fold.targets), fold.fold_in.nnz, fold.targets.nnz, use)
    table = pd.DataFrame.from_dict(
        rows, orient="index", columns=["users", "shown", "hidden", "use"]
    )
    return table.rename_axis("part")


def _active(matrix: sparse.csr_array) -> int:
    return int(np.count_nonzero(np.diff(matrix.indptr)))
