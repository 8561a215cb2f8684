"""What to look at before any model: counts, groups, pairs of items, steps of a clickstream.

And what a model has learned of it, beside data without taste.
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse

from recsys_lib.checks import CSR, Doubles, Ints, Mask, check_integer, check_kind, check_user_items
from recsys_lib.dataset import Dataset, Split
from recsys_lib.errors import DataError
from recsys_lib.formatting import percent
from recsys_lib.renamed import old_names
from recsys_lib.seeding import rng_from, seed_from

__all__ = [
    "count_steps",
    "favorite_group",
    "flat_map",
    "group_labels",
    "group_lift",
    "history",
    "item_lift",
    "liking_by_group",
    "neighbor_agreement",
    "observed_means",
    "overview",
    "spectrum",
    "split_overview",
    "without_taste",
]

#: Labels of rows without a group of their own: nothing is known of them, or too few have it.
LEFT_OVER = ("none", "other")

__getattr__ = old_names(__name__, {"like_threshold": "recsys_lib.dataset:Dataset.like_threshold"})


def __dir__() -> list[str]:
    return sorted(__all__)


def overview(dataset: Dataset) -> pd.DataFrame:
    """Return the counts that describe a dataset, as a table to show.

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
    check_kind("dataset", dataset, Dataset)
    per_user = np.diff(dataset.user_items.indptr)
    per_item = _item_counts(dataset.user_items)
    rows = {
        "users": f"{dataset.n_users:,}",
        "items": f"{dataset.n_items:,}",
        "interactions": f"{dataset.n_interactions:,}",
        "density": percent(dataset.density, 2),
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


def observed_means(user_items: CSR) -> pd.DataFrame:
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
    user_items = check_user_items(user_items)
    counts = _item_counts(user_items)
    weights = user_items.data.astype(np.float64)
    sums = np.bincount(user_items.indices, weights=weights, minlength=len(counts))
    means = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return pd.DataFrame({"count": counts, "mean": means})


def _item_counts(user_items: CSR) -> Ints:
    return np.bincount(user_items.indices, minlength=user_items.shape[1])


def history(dataset: Dataset, user: Any) -> pd.DataFrame:
    """Return what a user has used: the best rated first, or without ratings the latest.

    Parameters
    ----------
    dataset : Dataset
    user : id

    Returns
    -------
    DataFrame
        ``item_id``, ``title`` where the catalog has one, ``value`` (ratings only) and
        ``timestamp`` where it is known.

    Examples
    --------
    >>> frame = pd.DataFrame({"user_id": ["ann", "ann"], "item_id": ["x", "y"], "value": [3, 5]})
    >>> history(Dataset.from_frame(frame), "ann")["item_id"].tolist()
    ['y', 'x']
    """
    check_kind("dataset", dataset, Dataset)
    one = dataset.take_users(dataset.user_positions([user]))
    frame = one.to_frame().drop(columns="user_id")
    if dataset.items is not None and "title" in dataset.items:
        frame.insert(1, "title", dataset.items["title"].reindex(frame["item_id"]).to_numpy())
    if dataset.rating_scale is None:
        frame = frame.drop(columns="value")
    order = next(name for name in ("value", "timestamp", "item_id") if name in frame)
    return frame.sort_values(order, ascending=order == "item_id", kind="stable", ignore_index=True)


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
    check_kind("split", split, Split)
    return split._facts()


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


def spectrum(vectors: ArrayLike) -> Doubles:
    """Return the share of the variance along each principal direction, largest first.

    Parameters
    ----------
    vectors : array of shape (n_items, n_dims)

    Returns
    -------
    ndarray of shape (min(n_items, n_dims),), float64
        Sums to 1, or all 0 where the vectors are equal. A cliff after the k-th says that the
        vectors live in k dimensions.

    Examples
    --------
    >>> spectrum([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]]).round(2)
    array([0.5, 0.5, 0. ])
    """
    x = np.asarray(vectors, dtype=np.float64)
    squares = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2
    return np.asarray(squares / (squares.sum() or 1.0))


def neighbor_agreement(vectors: ArrayLike, groups: pd.Series, *, k: int = 5) -> tuple[float, float]:
    """Return how often an item's nearest neighbors are of its own group, and how often by chance.

    Parameters
    ----------
    vectors : array of shape (n_items, n_dims)
        Compared by the cosine, after their mean is taken off.
    groups : Series of length n_items
        Such as the track, which the model was never told.
    k : int
        Neighbors of each item, >= 1; at most all others.

    Returns
    -------
    agreement, chance : float
        In [0, 1].

    Examples
    --------
    >>> vectors = [[1, 0], [1, 0.1], [-1, 0], [-1, 0.1]]
    >>> found, chance = neighbor_agreement(vectors, pd.Series(["a", "a", "b", "b"]), k=1)
    >>> found, round(chance, 2)
    (1.0, 0.33)
    """
    check_integer("k", k, minimum=1)
    x = np.asarray(vectors, dtype=np.float64)
    x = x - x.mean(axis=0)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    likeness = x @ x.T
    np.fill_diagonal(likeness, -np.inf)
    k = min(k, len(x) - 1)
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, :k]
    names = groups.to_numpy()
    sizes = groups.map(groups.value_counts()).to_numpy()
    named = _named(groups)
    agreement = float((names[nearest] == names[:, None])[named].mean())
    return agreement, float((sizes - 1)[named].mean() / max(1, len(names) - 1))


def flat_map(vectors: ArrayLike, *, seed: int = 0) -> Doubles:
    """Place items in the plane so that near vectors stay near.

    Parameters
    ----------
    vectors : array of shape (n_items, n_dims)
        Fewer than four, or of one dimension, are laid out by their principal components.
    seed : int

    Returns
    -------
    ndarray of shape (n_items, 2), float64
        Neighborhoods mean something; axes, distances between far items and sizes do not.

    Notes
    -----
    t-SNE [1]_ on cosines, from the principal components: O(n_items log n_items), seconds for a
    thousand items.

    References
    ----------
    .. [1] L. van der Maaten, G. Hinton, "Visualizing Data using t-SNE", JMLR 9, 2008.

    Examples
    --------
    >>> flat_map(np.eye(6)).shape
    (6, 2)
    >>> flat_map(np.eye(1)).shape
    (1, 2)
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    x = np.asarray(vectors, dtype=np.float64)
    if len(x) < 4 or x.shape[1] < 2:
        left, sizes, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
        few = (left * sizes)[:, :2]
        return np.pad(few, ((0, 0), (0, 2 - few.shape[1])))
    perplexity = min(20.0, (len(x) - 1) / 3)
    flat = TSNE(
        perplexity=perplexity,
        metric="cosine",
        init="pca",
        max_iter=500,
        random_state=seed_from(seed, "exploration", "map"),
    )
    # Hundreds of tiny parallel steps: threads would wait for one another longer than they work.
    with threadpool_limits(1):
        return np.asarray(flat.fit_transform(x - x.mean(axis=0)), dtype=np.float64)


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
        Text, categories or lists. Of a list, ``drama|crime``, the first entry counts, and where
        there are more than 40 different texts, the first word of it. Empty takes the first column
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
    first = _words(frame[name])
    missing = frame[name].isna() | first.eq("")  # an empty list
    kept = first[~missing].value_counts().index[:max_groups]
    return first.where(first.isin(kept), "other").where(~missing, "none").astype("str")


def _group_column(frame: pd.DataFrame | None, column: str) -> str | None:
    """The column asked for, or the first that makes groups, or None."""
    columns = [] if frame is None else [str(name) for name in frame.columns]
    if column and column not in columns:
        raise DataError(
            f"The column {column!r} must exist; there are {', '.join(columns) or 'none'}. "
            'Take "", which is the first that makes groups, or one that is there.'
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
    """The values as text; the entries of a list have bars between them."""
    alone = values.map(lambda one: one if pd.api.types.is_scalar(one) else "|".join(map(str, one)))
    return alone.astype("object").astype("str")


def _words(values: pd.Series) -> pd.Series:
    """The first entries of lists, or the first words where the texts are too many to be groups."""
    text = _whole(values)
    ends = r"\|" if text.nunique() <= _MOST_GROUPS else r"[|;,\s]+"
    return text.str.split(ends, regex=True, n=1).str[0]


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


def item_lift(user_items: CSR) -> Doubles:
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
    seen = check_user_items(user_items).copy()
    seen.data = np.ones(seen.nnz)
    meetings = np.asarray((seen.T @ seen).toarray(), dtype=np.float64)
    counts = meetings.diagonal().copy()
    degrees = np.diff(seen.indptr).astype(np.float64)
    pairs_per_end = (degrees * (degrees - 1)).sum() / max(1.0, degrees.sum()) ** 2
    chance = np.outer(counts, counts) * pairs_per_end
    lift = np.divide(meetings, chance, out=np.full_like(meetings, np.nan), where=chance > 0)
    np.fill_diagonal(lift, np.nan)
    return lift


def group_lift(lift: Doubles, groups: pd.Series) -> tuple[float, float]:
    """Return the mean lift of two items of one group, and of two groups; NaN without such pairs.

    Parameters
    ----------
    lift : ndarray of shape (n_items, n_items), float64
        As `item_lift` returns it; NaN on the diagonal.
    groups : Series of length n_items
        The group of each item, such as its track.

    Returns
    -------
    within, between : float

    Examples
    --------
    >>> lift = np.array([[np.nan, 2.0, 0.5], [2.0, np.nan, 1.0], [0.5, 1.0, np.nan]])
    >>> group_lift(lift, pd.Series(["net", "net", "cmp"]))
    (2.0, 0.75)
    """
    names, named = groups.to_numpy(), _named(groups)
    known = ~np.isnan(lift) & named & named[:, None]
    same = names[:, None] == names
    within, between = (lift[known & pair] for pair in (same, ~same))
    means = [float(part.mean()) if len(part) else float("nan") for part in (within, between)]
    return means[0], means[1]


def _named(groups: pd.Series) -> Mask:
    """Whether each row is in a group of its own: those left over have nothing in common."""
    named = ~groups.isin(LEFT_OVER).to_numpy()
    return named | ~named.any()


def without_taste(dataset: Dataset, *, seed: int = 0) -> Dataset:
    """Return the dataset with its taste taken out: the leak test for data of unknown truth.

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
    counts = _item_counts(x)
    known = np.flatnonzero(counts)
    odds = counts[known] / counts.sum()
    drawn = [np.sort(rng.choice(known, size=n, replace=False, p=odds)) for n in np.diff(x.indptr)]
    redrawn = sparse.csr_array((x.data, np.concatenate(drawn), x.indptr), shape=x.shape)
    return dataclasses.replace(dataset, user_items=redrawn, timestamps=None)
