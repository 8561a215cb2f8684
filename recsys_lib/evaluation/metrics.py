"""Ranking metrics: ranked lists and targets in, one value per user out.

Each function reads a :class:`Hits`, so that all metrics of a report share one look-up. A user
without targets has no value (NaN): a list cannot be right or wrong about nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from recsys_lib.checks import check_integer

__all__ = [
    "Hits",
    "find_hits",
    "hit_rate_at_k",
    "map_at_k",
    "mrr_at_k",
    "ndcg_at_k",
    "precision_at_k",
    "recall_at_k",
]


@dataclass(frozen=True)
class Hits:
    """Which places of the ranked lists hold a target, and how many targets there are.

    Attributes
    ----------
    hit : ndarray of shape (n_rows, width), bool
        True where the item in that place is one of the user's targets.
    n_targets : ndarray of shape (n_rows,), int64
        Number of targets of each user.
    """

    hit: NDArray[np.bool_]
    n_targets: NDArray[np.int64]

    def until(self, k: int) -> NDArray[np.bool_]:
        """Return the first `k` places; `ValueError` if the lists are shorter than that."""
        check_integer("k", k, minimum=1)
        if k > self.hit.shape[1]:
            raise ValueError(
                f"`k` must not exceed the length of the lists, {self.hit.shape[1]}; got {k}. "
                "Make longer lists with top_k(scores, k)."
            )
        return self.hit[:, :k]

    def per_target(
        self, total: NDArray[np.float64], best: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return `total` / `best`, NaN for users without targets."""
        has_targets = self.n_targets > 0
        return np.divide(total, best, out=np.full(len(total), np.nan), where=has_targets)


def find_hits(items: ArrayLike, targets: sparse.csr_array) -> Hits:
    """Look up which listed items are targets.

    Parameters
    ----------
    items : array of shape (n_rows, width), int
        Item positions, best first, no item twice in a row; -1 where a list is short.
    targets : csr_array of shape (n_rows, n_items)
        Every stored entry is a target.

    Returns
    -------
    Hits

    Raises
    ------
    ValueError
        If the rows differ in number or an item lies outside the catalog.

    Notes
    -----
    One binary search per listed item in the sorted (row, item) keys: O(n_rows width log nnz), no
    loop over users and no dense matrix.

    Examples
    --------
    >>> targets = sparse.csr_array([[1, 0, 1], [0, 0, 0]])
    >>> find_hits([[2, 1], [0, -1]], targets)
    Hits(hit=array([[ True, False], [False, False]]), n_targets=array([2, 0]))
    """
    listed = np.asarray(items, dtype=np.int64)
    n_rows, n_items = targets.shape
    if listed.ndim != 2 or len(listed) != n_rows:
        raise ValueError(
            f"`items` must have one list for each of the {n_rows} rows of `targets`; got shape "
            f"{listed.shape}."
        )
    if listed.size and (listed.max() >= n_items or listed.min() < -1):
        raise ValueError(
            f"`items` must be positions in 0..{n_items - 1}, or -1; got {listed.min()} to "
            f"{listed.max()}. Map ids with Dataset.item_positions."
        )
    n_targets = np.diff(targets.indptr).astype(np.int64)
    rows = np.arange(n_rows, dtype=np.int64)
    keys = np.repeat(rows, n_targets) * n_items + targets.indices
    if not targets.has_sorted_indices:
        keys.sort()
    wanted = rows[:, None] * n_items + listed
    # A sentinel above every key makes the position returned for "beyond the end" a valid one.
    keys = np.append(keys, np.iinfo(np.int64).max)
    hit = (keys[np.searchsorted(keys, wanted)] == wanted) & (listed >= 0)
    return Hits(hit=hit, n_targets=n_targets)


def recall_at_k(hits: Hits, k: int) -> NDArray[np.float64]:
    r"""Share of the findable targets that the list holds: hits / min(k, \|targets\|).

    The denominator makes a perfect list 1 also for users with more than `k` targets; many
    libraries divide by \|targets\|, and their values are lower.

    Parameters
    ----------
    hits : Hits
    k : int
        List length.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        In [0, 1]; NaN without targets.

    References
    ----------
    .. [1] D. Liang, R. Krishnan, M. Hoffman, T. Jebara, "Variational Autoencoders for
       Collaborative Filtering", WWW 2018, section 4.2.

    Examples
    --------
    >>> targets = sparse.csr_array([[1, 0, 1, 1], [0, 1, 0, 0]])
    >>> recall_at_k(find_hits([[0, 1], [0, 1]], targets), k=2)
    array([0.5, 1. ])
    """
    total = hits.until(k).sum(axis=1).astype(np.float64)
    return hits.per_target(total, np.minimum(k, hits.n_targets).astype(np.float64))


def precision_at_k(hits: Hits, k: int) -> NDArray[np.float64]:
    """Share of the `k` places that hold a target: hits / k.

    A list that is shorter than `k` is still divided by `k`, and a user with fewer than `k` targets
    cannot reach 1.

    Parameters
    ----------
    hits : Hits
    k : int
        List length.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        In [0, 1]; NaN without targets.

    References
    ----------
    .. [1] C. D. Manning, P. Raghavan, H. Schuetze, "Introduction to Information Retrieval", 2008,
       section 8.4.

    Examples
    --------
    >>> precision_at_k(find_hits([[0, 1]], sparse.csr_array([[1, 0, 1]])), k=2)
    array([0.5])
    """
    total = hits.until(k).sum(axis=1).astype(np.float64)
    return hits.per_target(total, np.full(len(total), float(k)))


def hit_rate_at_k(hits: Hits, k: int) -> NDArray[np.float64]:
    """1 if the list holds any target, else 0.

    Parameters
    ----------
    hits : Hits
    k : int
        List length.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        0 or 1; NaN without targets.

    References
    ----------
    .. [1] M. Deshpande, G. Karypis, "Item-based top-N recommendation algorithms", ACM TOIS 22(1),
       2004, section 6.

    Examples
    --------
    >>> hit_rate_at_k(find_hits([[0, 1], [0, 1]], sparse.csr_array([[0, 1, 1], [0, 0, 1]])), k=2)
    array([1., 0.])
    """
    found = (hits.until(k).sum(axis=1) > 0).astype(np.float64)
    return hits.per_target(found, np.ones(len(found)))


def mrr_at_k(hits: Hits, k: int) -> NDArray[np.float64]:
    """1 / place of the first target, 0 if the list holds none.

    Parameters
    ----------
    hits : Hits
    k : int
        List length.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        In [0, 1]; NaN without targets.

    References
    ----------
    .. [1] E. M. Voorhees, "The TREC-8 Question Answering Track Report", 1999.

    Examples
    --------
    >>> mrr_at_k(find_hits([[0, 1, 2]], sparse.csr_array([[0, 1, 1]])), k=3)
    array([0.5])
    """
    hit = hits.until(k)
    first = hit.any(axis=1) / (hit.argmax(axis=1) + 1.0)
    return hits.per_target(first, np.ones(len(first)))


def map_at_k(hits: Hits, k: int) -> NDArray[np.float64]:
    r"""Average precision: the precision at each hit, summed, over min(k, \|targets\|).

    Libraries that divide by \|targets\| (trec_eval, ranx) give lower values to users with more than
    `k` targets.

    Parameters
    ----------
    hits : Hits
    k : int
        List length.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        In [0, 1]; NaN without targets.

    References
    ----------
    .. [1] C. D. Manning, P. Raghavan, H. Schuetze, "Introduction to Information Retrieval", 2008,
       eq. 8.8; truncated at `k` as in the Million Song Dataset Challenge (B. McFee et al., 2012).

    Examples
    --------
    >>> map_at_k(find_hits([[0, 1, 2]], sparse.csr_array([[1, 0, 1]])), k=3).round(4)
    array([0.8333])
    """
    hit = hits.until(k)
    precision = np.cumsum(hit, axis=1) / np.arange(1.0, k + 1.0)
    return hits.per_target(
        (precision * hit).sum(axis=1), np.minimum(k, hits.n_targets).astype(float)
    )


def ndcg_at_k(hits: Hits, k: int) -> NDArray[np.float64]:
    r"""Discounted gain of the list over that of the best list: binary gains, 1 / log2(place + 1).

    The best list holds min(k, \|targets\|) targets first.

    Parameters
    ----------
    hits : Hits
    k : int
        List length.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        In [0, 1]; NaN without targets.

    References
    ----------
    .. [1] D. Liang, R. Krishnan, M. Hoffman, T. Jebara, "Variational Autoencoders for
       Collaborative Filtering", WWW 2018, section 4.2.

    Examples
    --------
    >>> ndcg_at_k(find_hits([[0, 1, 2]], sparse.csr_array([[0, 1, 0]])), k=3).round(4)
    array([0.6309])
    """
    discount = 1.0 / np.log2(np.arange(2.0, k + 2.0))
    best = np.concatenate([[0.0], np.cumsum(discount)])
    # Added place by place, as `best` is, so that a perfect list is 1 to the last bit.
    gain = np.cumsum(hits.until(k) * discount, axis=1)[:, -1]
    return hits.per_target(gain, best[np.minimum(k, hits.n_targets)])
