"""Ranked lists: one rule for ties, masks and short lists, for every model."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.cards import card
from recsys_lib.checks import check_integer
from recsys_lib.seeding import rng_from

__all__ = ["TopK", "top_k"]


class TopK(NamedTuple):
    """Ranked lists of items, best first.

    Attributes
    ----------
    items : ndarray of shape (n_rows, k), int32
        Item positions; -1 where the list is shorter than k.
    scores : ndarray of shape (n_rows, k), float32
        Their scores, not increasing along a row; -inf where the list is shorter than k.

    Examples
    --------
    >>> top = top_k(np.array([[0.5, 2.0, 1.0]]), 2)
    >>> top.table(item_ids=pd.Index(["x", "y", "z"]))
       row  rank item_id  score
    0    0     1       y    2.0
    1    0     2       z    1.0
    """

    items: NDArray[np.int32]
    scores: NDArray[np.float32]

    def table(self, item_ids: pd.Index, user_ids: pd.Index | None = None) -> pd.DataFrame:
        """Return the lists with the ids of a dataset, one row for each item listed.

        Parameters
        ----------
        item_ids : Index of length n_items
            Of the dataset: ``dataset.item_ids``.
        user_ids : Index of length n_rows, optional
            Names of the rows; by default they are numbered.

        Returns
        -------
        DataFrame
            Columns ``row, rank, item_id, score``.
        """
        rows, places = np.nonzero(self.items >= 0)
        return pd.DataFrame(
            {
                "row": rows if user_ids is None else user_ids.take(rows),
                "rank": places + 1,
                "item_id": item_ids.take(self.items[rows, places]),
                "score": self.scores[rows, places],
            }
        )

    def _repr_html_(self) -> str:
        n_rows, k = self.items.shape
        shown = [[str(item) if item >= 0 else None for item in row[:10]] for row in self.items[:10]]
        ranks = [f"rank {place + 1}" for place in range(min(k, 10))]
        frame = pd.DataFrame(shown, [f"row {row}" for row in range(len(shown))], ranks)
        more = "" if (n_rows, k) <= (10, 10) else f", of which the first {len(shown)} are shown"
        title = f"{n_rows:,} lists of {k} item positions{more}"
        return card(title, frame) + "Ids: <code>table(dataset.item_ids)</code>"


def entry_rows(x: sparse.csr_array) -> NDArray[np.intp]:
    """Return the row of each stored entry, in the order of ``x.indices`` and ``x.data``.

    Examples
    --------
    >>> entry_rows(sparse.csr_array([[0, 1], [0, 0], [1, 1]]))
    array([0, 2, 2])
    """
    return np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))


def mask_seen(scores: NDArray[np.float32], seen: sparse.csr_array) -> NDArray[np.float32]:
    """Set the scores of the entries stored in `seen` to -inf, in place, and return them.

    Minus infinity, never 0: on raw logits or centered ratings a zero may outrank every unseen item.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_items), float32
    seen : csr_array of shape (n_rows, n_items)
    """
    rows = entry_rows(seen)
    scores[rows, seen.indices] = -np.inf
    return scores


def top_k(
    scores: NDArray[np.float32],
    k: int,
    *,
    exclude: sparse.csr_array | None = None,
    seed: int = 0,
) -> TopK:
    """Return the `k` best items of each row, best first.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_items), float
        Higher is better; -inf marks items that may not be listed. Not modified.
    k : int
        List length, >= 1. A list with fewer candidates is padded with item -1 and score -inf.
    exclude : csr_array of shape (n_rows, n_items), optional
        Items that may not be listed, such as those the user has already used.
    seed : int
        Equal scores are ordered by a random permutation of the items that depends on this seed
        only. Ordering them by position would favor popular items wherever positions follow
        popularity, as they do when items are numbered in order of first appearance.

    Returns
    -------
    TopK
        `items` int32 and `scores` float32, both of shape (n_rows, k).

    Raises
    ------
    ValueError
        If a score is NaN, or shapes differ.

    Notes
    -----
    O(n_items) per row for the selection and O(k log k) for the order.

    Examples
    --------
    >>> top = top_k(np.array([[0.1, 0.9, -np.inf]], dtype="float32"), 3)
    >>> top.items, top.scores
    (array([[ 1,  0, -1]], dtype=int32), array([[ 0.9,  0.1, -inf]], dtype=float32))
    """
    check_integer("k", k, minimum=1)
    values = _candidates(scores, exclude)
    n_items = values.shape[1]
    width = min(k, n_items)
    priority = rng_from(seed, "ties").permutation(n_items)
    items = _select(values, width, priority)
    # Sorting by priority first and then stably by score makes the permutation the tie-break.
    items = np.take_along_axis(items, np.argsort(priority[items], axis=1), axis=1)
    best = np.take_along_axis(values, items, axis=1)
    rank = np.argsort(-best, axis=1, kind="stable")
    best = np.take_along_axis(best, rank, axis=1)
    items = np.take_along_axis(items, rank, axis=1).astype(np.int32)
    items[np.isneginf(best)] = -1
    if width < k:
        pad = ((0, 0), (0, k - width))
        items = np.pad(items, pad, constant_values=-1)
        best = np.pad(best, pad, constant_values=-np.inf)
    return TopK(items.astype(np.int32, copy=False), best)


def _candidates(
    scores: NDArray[np.float32], exclude: sparse.csr_array | None
) -> NDArray[np.float32]:
    values = np.asarray(scores, dtype=np.float32)
    if values.ndim != 2:
        raise ValueError(f"`scores` must have shape (n_rows, n_items); got {values.shape}.")
    # max() propagates NaN without the boolean matrix that isnan() would make.
    if np.isnan(values.max(initial=-np.inf)):
        row = int(np.flatnonzero(np.isnan(values).any(axis=1))[0])
        raise ValueError(f"`scores` must not be NaN; row {row} holds NaN. The model has diverged.")
    if exclude is None:
        return values
    if exclude.shape != values.shape:
        raise ValueError(
            f"`exclude` must have the shape of `scores`, {values.shape}; got {exclude.shape}."
        )
    return mask_seen(values.copy(), sparse.csr_array(exclude))


def _select(
    values: NDArray[np.float32], width: int, priority: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The `width` largest of each row in any order; ties at the cut go to the lowest priority."""
    n_rows, n_items = values.shape
    if width == n_items:
        return np.broadcast_to(np.arange(n_items), values.shape)
    # partition with a threshold is several times faster here than argpartition, which NumPy does
    # not vectorise for 32-bit floats, and which would settle ties at the cut arbitrarily.
    cut = np.partition(values, n_items - width, axis=1)[:, n_items - width, None]
    chosen = values >= cut
    tied = np.flatnonzero(np.count_nonzero(chosen, axis=1) > width)
    if len(tied):
        order = np.argsort(priority)
        level = (values[tied] == cut[tied])[:, order]
        room = width - np.count_nonzero(values[tied] > cut[tied], axis=1, keepdims=True)
        surplus = level & (np.cumsum(level, axis=1, dtype=np.int32) > room)
        dropped = np.empty_like(surplus)
        dropped[:, order] = surplus
        chosen[tied] &= ~dropped
    return np.nonzero(chosen)[1].reshape(n_rows, width)


def negative_log_likelihood(
    scores: NDArray[np.float32], seen: sparse.csr_array, targets: sparse.csr_array
) -> float:
    """Return the mean of -log p over the targets, where p is the softmax over the unseen items.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_items), float
        Logits.
    seen, targets : csr_array of shape (n_rows, n_items)
        What may not be listed, and what is used next.

    Returns
    -------
    float
        In nats for one target; NaN without targets. log(n) is a blind guess among n items.

    Examples
    --------
    >>> seen, wanted = sparse.csr_array([[1, 0, 0]]), sparse.csr_array([[0, 1, 0]])
    >>> round(negative_log_likelihood(np.zeros((1, 3), "float32"), seen, wanted), 4)
    0.6931
    """
    if not targets.nnz:
        return float("nan")
    logits = mask_seen(np.array(scores, dtype=np.float64), seen)
    logits -= logits.max(axis=1, keepdims=True)
    chosen = entry_rows(targets), targets.indices
    log_sums = np.log(np.exp(logits).sum(axis=1))
    return float((log_sums[chosen[0]] - logits[chosen]).mean())


def tie_share(
    scores: NDArray[np.float32], k: int, *, exclude: sparse.csr_array | None = None
) -> float:
    """Share of rows whose list of length `k` is cut through a group of equal scores.

    If the share is high, the tie-break decides what is listed, not the model.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_items), float
    k : int
        List length, >= 1.
    exclude : csr_array of shape (n_rows, n_items), optional

    Returns
    -------
    float
        In [0, 1].

    Examples
    --------
    >>> tie_share(np.array([[1, 1, 0], [2, 1, 0]], dtype="float32"), 1)
    0.5
    """
    check_integer("k", k, minimum=1)
    values = _candidates(scores, exclude)
    if k >= values.shape[1] or not len(values):
        return 0.0
    descending = -np.partition(-values, (k - 1, k), axis=1)
    at_cut, below = descending[:, k - 1], descending[:, k]
    return float(np.mean((at_cut == below) & ~np.isneginf(at_cut)))


def ndcg(hit: NDArray[np.bool_], n_targets: NDArray[np.integer]) -> NDArray[np.float64]:
    r"""Return the discounted gain of lists over that of the best lists.

    Gains are binary, discounted by 1 / log2(place + 1); the best list holds min(k, \|targets\|)
    targets first.

    Parameters
    ----------
    hit : ndarray of shape (n_rows, k), bool
        Whether the item in a place is a target.
    n_targets : ndarray of shape (n_rows,), int

    Returns
    -------
    ndarray of shape (n_rows,), float64
        In [0, 1]; NaN without targets.

    Examples
    --------
    >>> ndcg(np.array([[False, True, False]]), np.array([1])).round(4)
    array([0.6309])
    """
    k = hit.shape[1]
    discount = 1.0 / np.log2(np.arange(2.0, k + 2.0))
    best = np.append(np.nan, np.cumsum(discount))
    # Added place by place, as `best` is, so that a perfect list is 1 to the last bit.
    gain = np.cumsum(hit * discount, axis=1)[:, -1]
    return np.asarray(gain / best[np.minimum(k, n_targets)])


def ndcg_of_lists(top: TopK, targets: sparse.csr_array) -> NDArray[np.float64]:
    """Return the `ndcg` of each list; NaN for a row without targets.

    Parameters
    ----------
    top : TopK
        Lists of shape (n_rows, k).
    targets : csr_array of shape (n_rows, n_items)

    Returns
    -------
    ndarray of shape (n_rows,), float64
    """
    n_rows, n_items = targets.shape
    wanted = entry_rows(targets) * n_items + targets.indices
    listed = np.arange(n_rows)[:, None] * n_items + top.items
    return ndcg(np.isin(listed, wanted) & (top.items >= 0), np.diff(targets.indptr))
