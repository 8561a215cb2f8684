"""What is in a data set and in a split, counted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.dataset import Dataset, Split


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


def _item_counts(user_items: sparse.csr_array) -> NDArray[np.int64]:
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
    one = dataset.take_users(dataset.user_positions([user]))
    frame = one.to_frame().drop(columns="user_id")
    if dataset.items is not None and "title" in dataset.items:
        frame.insert(1, "title", dataset.items["title"].reindex(frame["item_id"]).to_numpy())
    order = "value"
    if dataset.rating_scale is None:
        frame = frame.drop(columns="value")
        order = "timestamp" if "timestamp" in frame else "item_id"
    down = order != "item_id"
    return frame.sort_values(order, ascending=not down, kind="stable", ignore_index=True)


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
