"""Validation metrics for models that train in epochs or choose weights.

The definition of the metric that is reported lives in `recsys_lib.evaluation`; a model may not
know that package, so the one number that training needs is computed here. A test holds the two
against each other.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.ranking import TopK, negative_log_likelihood, top_k

__all__ = ["mean_ndcg", "mean_nll", "ndcg_of_lists"]

Score = Callable[[sparse.csr_array], NDArray[np.float32]]


def mean_ndcg(score: Score, fold: Fold, *, k: int = 100, batch_size: int = 512) -> float:
    """Return ndcg@k of `score` over the users of `fold` that have targets.

    Parameters
    ----------
    score : callable
        ``score(user_items) -> ndarray of shape (n_rows, n_items), float32``.
    fold : Fold
        What the model sees of each user, and what it must find.
    k : int
        List length, >= 1.
    batch_size : int
        Rows scored at once.

    Returns
    -------
    float
        In [0, 1]; NaN where no user has a target.

    Examples
    --------
    >>> rows = sparse.csr_array([[1, 0, 0]]), sparse.csr_array([[0, 0, 1]])
    >>> fold = Fold(fold_in=rows[0], targets=rows[1], users=np.array([0]))
    >>> round(mean_ndcg(lambda x: np.array([[9, 2, 1]], dtype="float32"), fold), 4)
    0.6309
    """
    fold_in, targets = sparse.csr_array(fold.fold_in), sparse.csr_array(fold.targets)
    values = []
    for start in range(0, fold_in.shape[0], batch_size):
        rows = slice(start, start + batch_size)
        seen = fold_in[rows]
        values.append(ndcg_of_lists(top_k(score(seen), k, exclude=seen), targets[rows]))
    every = np.concatenate(values) if values else np.empty(0)
    every = every[~np.isnan(every)]
    return float(every.mean()) if len(every) else float("nan")


def mean_nll(score: Score, fold: Fold, *, batch_size: int = 512) -> float:
    """Return the negative log-likelihood of one target, in nats; see `negative_log_likelihood`."""
    fold_in, targets = sparse.csr_array(fold.fold_in), sparse.csr_array(fold.targets)
    total = 0.0
    for start in range(0, fold_in.shape[0], batch_size):
        rows = slice(start, start + batch_size)
        if targets[rows].nnz:
            mean = negative_log_likelihood(score(fold_in[rows]), fold_in[rows], targets[rows])
            total += mean * targets[rows].nnz
    return total / targets.nnz if targets.nnz else float("nan")


def ndcg_of_lists(top: TopK, targets: sparse.csr_array) -> NDArray[np.float64]:
    """Return ndcg of each list, over the ideal of min(k, number of targets).

    Parameters
    ----------
    top : TopK
        Lists of shape (n_rows, k).
    targets : csr_array of shape (n_rows, n_items)

    Returns
    -------
    ndarray of shape (n_rows,), float64
        NaN for a row without targets.
    """
    n_rows, k = top.items.shape
    counts = np.diff(targets.indptr)
    wanted = np.repeat(np.arange(n_rows), counts) * targets.shape[1] + targets.indices
    listed = np.arange(n_rows)[:, None] * targets.shape[1] + top.items
    hits = np.isin(listed, wanted) & (top.items >= 0)
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.append(np.nan, np.cumsum(discounts))[np.minimum(counts, k)]
    return (hits * discounts).sum(axis=1) / ideal
