"""Compare models by user: whom each serves best."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from recsys_lib.dataset import Fold
from recsys_lib.evaluation.report import Report
from recsys_lib.evaluation.segments import by_history_length, by_item_popularity, by_mainstream

__all__ = ["audience_table", "item_table", "wins"]

_TASTES = ("rare taste", "mixed taste", "usual taste")


def audience_table(
    reports: Sequence[Report],
    fold: Fold,
    item_counts: ArrayLike,
    metric: str,
    *,
    n_groups: int = 3,
) -> pd.DataFrame:
    """Return one metric of each model by history length and by how mainstream the users are.

    Parameters
    ----------
    reports : sequence of Report
        All on `fold`.
    fold : Fold
    item_counts : array of shape (n_items,), int
        Interactions of each item in the training data.
    metric : str
        A per-user metric.
    n_groups : int
        Groups of history length; see `by_history_length`. Tastes are three; see `by_mainstream`.

    Returns
    -------
    DataFrame of shape (n_models, n_segments)
        Indexed by ``model`` in the order given.

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.evaluation import MostPopular, evaluate
    >>> seen = sparse.csr_array([[1.0, 0, 0], [0, 1.0, 1.0]])
    >>> wanted = sparse.csr_array([[0, 1.0, 0], [1.0, 0, 0]])
    >>> fold = Fold(fold_in=seen, targets=wanted, users=np.arange(2))
    >>> report = evaluate(MostPopular([9, 5, 2]), fold, ["recall@1"], name="popularity")
    >>> audience_table([report], fold, [9, 5, 2], "recall@1", n_groups=2)
    people      saw 1  saw 2  rare taste  mixed taste
    model
    popularity    1.0    1.0         1.0          1.0
    """
    rows = {}
    for report in reports:
        seen = by_history_length(report, [metric], n_groups=n_groups, n_resamples=1)
        taste = by_mainstream(report, fold, item_counts, [metric], n_groups=3, n_resamples=1)
        names = [f"saw {label}" for label in seen["segment"]]
        names += list(_TASTES[: len(taste)])
        values = pd.concat([seen["value"], taste["value"]]).to_numpy()
        rows[report.name] = pd.Series(values, index=names)
    return pd.DataFrame(rows).T.rename_axis(index="model", columns="people")


def item_table(
    reports: Sequence[Report],
    fold: Fold,
    item_counts: ArrayLike,
    *,
    k: int = 20,
    n_buckets: int = 3,
) -> pd.DataFrame:
    """Return recall@k of each model among rare and among popular items; see `by_item_popularity`.

    Parameters
    ----------
    reports : sequence of Report
        All on `fold`.
    fold : Fold
    item_counts : array of shape (n_items,), int
        Interactions of each item in the training data.
    k : int
        List length.
    n_buckets : int
        Number of buckets of items, each with about equally many interactions.

    Returns
    -------
    DataFrame of shape (n_models, n_buckets)
        Indexed by ``model`` in the order given, popular items first.

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.evaluation import MostPopular, evaluate
    >>> wanted = sparse.csr_array(np.eye(3)[[0, 0, 2]])
    >>> fold = Fold(fold_in=sparse.csr_array((3, 3)), targets=wanted, users=np.arange(3))
    >>> report = evaluate(MostPopular([9, 5, 4]), fold, ["recall@1"], name="popularity")
    >>> item_table([report], fold, [9, 5, 4], k=1, n_buckets=2)
    used in training    9  4-5
    model
    popularity        1.0  0.0
    """
    rows = {}
    for report in reports:
        cut = by_item_popularity(report, fold, item_counts, k=k, n_buckets=n_buckets, n_resamples=1)
        rows[report.name] = cut.set_index(cut["segment"].astype(str))["value"]
    return pd.DataFrame(rows).T.rename_axis(index="model", columns="used in training")


def wins(reports: Sequence[Report], metric: str) -> pd.DataFrame:
    """Count for how many users each model is the best of all.

    A model that leads the mean may serve half of the people worse than its rivals do; where many
    models win alone, a blend of them has something to gain.

    Parameters
    ----------
    reports : sequence of Report
        On one fold, at least two.
    metric : str
        A per-user metric where higher is better.

    Returns
    -------
    DataFrame
        Indexed by ``model``, most wins first: ``alone``, the share of users for whom it is strictly
        best; ``shared``, for whom it is best together with others. Users for whom every model has
        the same value count for none.

    Raises
    ------
    ValueError
        If fewer than two reports are given, or they are on different users.

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.evaluation import MostPopular, evaluate
    >>> wanted = sparse.csr_array(np.eye(3)[[0, 0, 2]])
    >>> fold = Fold(fold_in=sparse.csr_array((3, 3)), targets=wanted, users=np.arange(3))
    >>> counts = {"A": [9, 1, 0], "B": [0, 1, 9]}
    >>> reports = [evaluate(MostPopular(c), fold, ["recall@1"], name=n) for n, c in counts.items()]
    >>> wins(reports, "recall@1").round(2)
           alone  shared
    model
    A       0.67     0.0
    B       0.33     0.0
    """
    users = {tuple(report.users.index) for report in reports}
    if len(reports) < 2 or len(users) != 1:
        raise ValueError(
            f"`reports` must be of at least two models on the same users; got {len(reports)} on "
            f"{len(users)} sets of users. Evaluate them on one fold."
        )
    values = np.column_stack([report.sample(metric).per_user for report in reports])
    best = values.max(axis=1, keepdims=True)
    first = (values == best) & (values.min(axis=1, keepdims=True) < best)
    alone = first & (first.sum(axis=1, keepdims=True) == 1)
    table = pd.DataFrame(
        {"alone": alone.mean(axis=0), "shared": (first & ~alone).mean(axis=0)},
        index=pd.Index([report.name for report in reports], name="model"),
    )
    return table.sort_values(["alone", "shared"], ascending=False, kind="stable")
