"""Beyond accuracy: how much of the catalog is shown, how evenly, and how far into the tail."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from recsys_lib.checks import check_fraction
from recsys_lib.evaluation.metrics import find_hits, recall_at_k

__all__ = [
    "coverage",
    "exposure",
    "gini",
    "keep_entries",
    "novelty_at_k",
    "tail_items",
    "tail_recall_at_k",
]


def exposure(items: NDArray[np.integer], n_items: int) -> NDArray[np.int64]:
    """Return how often each item is listed.

    Parameters
    ----------
    items : ndarray of shape (n_rows, k), int
        Ranked lists; -1 where a list is short.
    n_items : int
        Size of the catalog.

    Returns
    -------
    ndarray of shape (n_items,), int64

    Examples
    --------
    >>> exposure(np.array([[0, 2], [0, -1]]), n_items=4)
    array([2, 0, 1, 0])
    """
    return np.bincount(items[items >= 0], minlength=n_items)


def coverage(counts: ArrayLike) -> float:
    """Share of the catalog that is listed to anyone.

    Parameters
    ----------
    counts : array of shape (n_items,)
        How often each item is listed, see `exposure`.

    Returns
    -------
    float
        In [0, 1]. It grows with the number of users, so compare it on the same users only.

    References
    ----------
    .. [1] M. Ge, C. Delgado-Battenfeld, D. Jannach, "Beyond accuracy: evaluating recommender
       systems by coverage and serendipity", RecSys 2010, section 2.1.

    Examples
    --------
    >>> coverage([2, 0, 1, 0])
    0.5
    """
    return float(np.mean(np.asarray(counts) > 0))


def gini(counts: ArrayLike) -> float:
    """Gini coefficient of exposure: 0 if all items are listed equally often, near 1 if one is.

    Parameters
    ----------
    counts : array of shape (n_items,)
        How often each item is listed, items never listed included.

    Returns
    -------
    float
        In [0, 1 - 1/n_items]; NaN if nothing is listed.

    References
    ----------
    .. [1] D. Fleder, K. Hosanagar, "Blockbuster culture's next rise or fall", Management Science
       55(5), 2009, section 3.

    Examples
    --------
    >>> gini([1, 1, 1, 1]), gini([0, 0, 0, 4])
    (0.0, 0.75)
    """
    ordered = np.sort(np.asarray(counts, dtype=np.float64))
    total, n_items = ordered.sum(), len(ordered)
    if total == 0:
        return float("nan")
    places = np.arange(1, n_items + 1)
    return float(((2 * places - n_items - 1) @ ordered) / (n_items * total))


def novelty_at_k(
    items: NDArray[np.integer], item_counts: NDArray[np.integer], k: int
) -> NDArray[np.float64]:
    """Mean self-information of the listed items, in bits: -log2 of their share of interactions.

    One interaction is added to every item, so that an item nobody has used is very new, not
    infinitely so.

    Parameters
    ----------
    items : ndarray of shape (n_rows, width), int
        Ranked lists, width >= k; -1 where a list is short.
    item_counts : ndarray of shape (n_items,), int
        Interactions of each item in the *training* data.
    k : int
        List length.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        >= 0; NaN for an empty list.

    References
    ----------
    .. [1] T. Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems",
       PNAS 107(10), 2010 (surprisal). S. Vargas, P. Castells, RecSys 2011, section 4.1 (free
       discovery).

    Examples
    --------
    >>> novelty_at_k(np.array([[0, 1], [2, -1]]), np.array([13, 5, 0]), k=2).round(2)
    array([1.2 , 4.39])
    """
    smoothed = np.asarray(item_counts, dtype=np.float64) + 1.0
    bits = np.append(np.log2(smoothed.sum()) - np.log2(smoothed), 0.0)  # item -1 reads the last one
    listed = items[:, :k]
    filled = (listed >= 0).sum(axis=1)
    total = bits[listed].sum(axis=1)
    return np.divide(total, filled, out=np.full(len(total), np.nan), where=filled > 0)


def tail_items(item_counts: ArrayLike, *, head_share: float = 1 / 3) -> NDArray[np.bool_]:
    """Return which items are in the long tail: all but the fewest that hold `head_share`.

    Parameters
    ----------
    item_counts : array of shape (n_items,), int
        Interactions of each item in the *training* data.
    head_share : float
        Share of all interactions that the short head holds, in (0, 1).

    Returns
    -------
    ndarray of shape (n_items,), bool
        Items with equally many interactions as the last of the head belong to the head.

    References
    ----------
    .. [1] P. Cremonesi, Y. Koren, R. Turrin, "Performance of recommender algorithms on top-N
       recommendation tasks", RecSys 2010, section 3.2: the short head holds 33 % of the ratings.

    Examples
    --------
    >>> tail_items([50, 20, 20, 10], head_share=0.5)
    array([False,  True,  True,  True])
    """
    check_fraction("head_share", head_share)
    counts = np.asarray(item_counts, dtype=np.float64)
    descending = np.sort(counts)[::-1]
    last = int(np.searchsorted(np.cumsum(descending), head_share * counts.sum()))
    return np.asarray(counts < descending[min(last, len(counts) - 1)])


def tail_recall_at_k(
    items: NDArray[np.integer], targets: sparse.csr_array, tail: NDArray[np.bool_], k: int
) -> NDArray[np.float64]:
    r"""Recall that counts long-tail targets only: tail hits / min(k, \|tail targets\|).

    Parameters
    ----------
    items : ndarray of shape (n_rows, width), int
        Ranked lists of the *whole* catalog, width >= k.
    targets : csr_array of shape (n_rows, n_items)
    tail : ndarray of shape (n_items,), bool
        Which items count, see `tail_items`.
    k : int
        List length.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        In [0, 1]; NaN for users without a target in the tail.

    References
    ----------
    .. [1] P. Cremonesi, Y. Koren, R. Turrin, RecSys 2010, section 5 (long-tail recall), with the
       denominator of `recall_at_k`.

    Examples
    --------
    >>> targets = sparse.csr_array([[1, 1, 0], [1, 0, 0]])
    >>> tail_recall_at_k(np.array([[0, 1], [0, 1]]), targets, np.array([False, True, True]), k=2)
    array([ 1., nan])
    """
    return recall_at_k(find_hits(items, keep_entries(targets, tail[targets.indices])), k)


def keep_entries(matrix: sparse.csr_array, keep: NDArray[np.bool_]) -> sparse.csr_array:
    """Return `matrix` with the stored entries that are kept; the shape stays.

    Examples
    --------
    >>> keep_entries(sparse.csr_array([[1, 2], [0, 3]]), np.array([True, False, True])).toarray()
    array([[1, 0], [0, 3]])
    """
    before = np.concatenate([[0], np.cumsum(keep)])
    parts = (matrix.data[keep], matrix.indices[keep], before[matrix.indptr])
    return sparse.csr_array(parts, shape=matrix.shape)
