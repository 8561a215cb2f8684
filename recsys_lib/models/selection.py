"""Greedy ensemble selection, judged by lists for validation users."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.models._validation import ndcg_of_lists
from recsys_lib.ranking import top_k

__all__ = ["greedy_weights"]

Floats = NDArray[np.float32]

# A sum of scores lists few items that none of its parts has among its own best 3 k.
_REACH = 3


def greedy_weights(
    scores: Sequence[Floats],
    seen: sparse.csr_array,
    targets: sparse.csr_array,
    *,
    rounds: int,
    k: int,
) -> NDArray[np.float64]:
    """Choose weights for a sum of scores by greedy selection with replacement.

    Parameters
    ----------
    scores : sequence of ndarray of shape (n_rows, n_items), float32
        One for each model, on comparable scales.
    seen, targets : csr_array of shape (n_rows, n_items)
        What may not be listed, and what should be.
    rounds : int
        Number of votes given.
    k : int
        Length of the lists that are judged.

    Returns
    -------
    ndarray of shape (n_models,), float64
        Non-negative, sum 1: the shares of votes at the best mean ndcg on the way.

    Notes
    -----
    Only items among the best ``3 k`` of some model are summed and sorted, so a round costs little
    for large catalogs.

    Examples
    --------
    >>> good, bad = np.array([[0, 2, 1]], "float32"), np.array([[0, 1, 2]], "float32")
    >>> seen, wanted = sparse.csr_array([[1, 0, 0]]), sparse.csr_array([[0, 1, 0]])
    >>> greedy_weights([bad, good], seen, wanted, rounds=3, k=1)
    array([0., 1.])
    """
    parts, wanted = _contenders(scores, seen, targets, k)
    votes = np.zeros(len(parts))
    total = np.zeros_like(parts[0])
    best_value, best_votes = -1.0, votes
    for _ in range(rounds):
        values = [_mean_ndcg(total + part, wanted, k) for part in parts]
        chosen = int(np.argmax(values))
        total += parts[chosen]
        votes = votes + (np.arange(len(parts)) == chosen)
        # A longer sum has to be better, not equal: fewer members are fitted and scored.
        if values[chosen] > best_value + 1e-9:
            best_value, best_votes = values[chosen], votes
    return best_votes / best_votes.sum()


def _mean_ndcg(scores: Floats, wanted: sparse.csr_array, k: int) -> float:
    return float(np.nanmean(ndcg_of_lists(top_k(scores, k), wanted)))


def _contenders(
    scores: Sequence[Floats], seen: sparse.csr_array, targets: sparse.csr_array, k: int
) -> tuple[list[Floats], sparse.csr_array]:
    """Scores and targets of the items that any model would list, side by side, padded by -inf.

    Targets that no model lists get columns that are never listed, to keep the ideal unchanged.
    """
    n_rows, n_items = seen.shape
    listed = np.zeros((n_rows, n_items), dtype=bool)
    for each in scores:
        top = top_k(each, min(_REACH * k, n_items), exclude=seen).items
        rows, places = np.nonzero(top >= 0)
        listed[rows, top[rows, places]] = True
    counts = listed.sum(axis=1)
    order = np.argsort(~listed, axis=1, kind="stable")[:, : max(int(counts.max()), 1)]
    real = np.arange(order.shape[1]) < counts[:, None]
    parts = [np.where(real, np.take_along_axis(each, order, 1), -np.inf) for each in scores]
    wanted = _dense(targets)
    hits = np.take_along_axis(wanted, order, 1) & real
    missed = wanted.sum(axis=1) - hits.sum(axis=1)
    never = np.arange(max(int(missed.max(initial=0)), 1)) < missed[:, None]
    parts = [
        np.hstack([part, np.full(never.shape, -np.inf, np.float32)]).astype(np.float32)
        for part in parts
    ]
    return parts, sparse.csr_array(np.hstack([hits, never]))


def _dense(rows: sparse.csr_array) -> NDArray[np.bool_]:
    out = np.zeros(rows.shape, dtype=bool)
    out[np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)), rows.indices] = True
    return out
