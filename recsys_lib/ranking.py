"""Ranked lists: one rule for ties, masks and short lists, for every model."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import CSR, Doubles, Floats, Integers, Ints, Mask, check_room
from recsys_lib.formatting import card
from recsys_lib.seeding import rng_from

# Which items: a slice, or positions. And the scores of all rows for these items.
Items = slice | Integers
Block = Callable[[Items], Floats]

# Scores held at once: they stay in the cache between being computed and being compared.
_TILE = 2**19
_LEAST_WIDTH = 1024
# Items of the first block whose best say what cannot win.
_FIRST = 256


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
    scores: Floats

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


def slices(n: int, size: int) -> list[slice]:
    """Return slices of at most `size` that cover `n` rows, one after the other.

    Examples
    --------
    >>> slices(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def entry_rows(x: CSR) -> NDArray[np.intp]:
    """Return the row of each stored entry, in the order of ``x.indices`` and ``x.data``.

    Examples
    --------
    >>> entry_rows(sparse.csr_array([[0, 1], [0, 0], [1, 1]]))
    array([0, 2, 2])
    """
    return np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))


def each_alone(items: Integers, n_items: int) -> CSR:
    """Return a row for each item, in which there is a 1 for it and nothing else.

    Examples
    --------
    >>> each_alone(np.array([2, 0]), 3).toarray()
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    parts = (np.ones(len(items), np.float32), items, np.arange(len(items) + 1))
    return sparse.csr_array(parts, shape=(len(items), n_items))


def entries_of(x: CSR, rows: Integers) -> NDArray[np.intp]:
    """Return where the entries of some rows are in ``x.indices`` and ``x.data``, row by row.

    Examples
    --------
    >>> entries_of(sparse.csr_array([[0, 1], [0, 0], [1, 1]]), np.array([2, 0]))
    array([1, 2, 0])
    """
    lengths = np.diff(x.indptr)[rows]
    first = x.indptr[rows] - (np.cumsum(lengths) - lengths)
    return np.repeat(first, lengths) + np.arange(lengths.sum())


def mask_seen(scores: Floats, seen: CSR) -> Floats:
    """Set the scores of the entries stored in `seen` to -inf, in place, and return them.

    Minus infinity, never 0: on raw logits or centered ratings a zero may outrank every unseen item.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_items), float32
    seen : csr_array of shape (n_rows, n_items)
    """
    scores[entry_rows(seen), seen.indices] = -np.inf
    return scores


def top_k(scores: Floats, k: int, *, exclude: CSR | None = None, seed: int = 0) -> TopK:
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
    values = np.asarray(scores, dtype=np.float32)
    if values.ndim != 2:
        raise ValueError(f"`scores` must have shape (n_rows, n_items); got {values.shape}.")
    return top_k_of(blocks_of(values), values.shape, k, exclude=exclude, seed=seed)


def blocks_of(scores: Floats) -> Block:
    """Return what copies blocks of items out of scores that are there already."""
    return lambda items: np.array(scores[:, items])


def top_k_of(
    block: Block, shape: tuple[int, int], k: int, *, exclude: CSR | None = None, seed: int = 0
) -> TopK:
    """Return the lists of `top_k` for scores that are computed block by block of items.

    Parameters
    ----------
    block : callable
        Returns for a slice of items the scores of all rows, (n_rows, n_block) float32, in memory
        of their own.
    shape : (n_rows, n_items)
    k, exclude, seed
        As in `top_k`.

    Returns
    -------
    TopK

    Notes
    -----
    About a million scores are held at a time, whatever the number of items. Of a block only what
    can win is sorted: scores that reach the last place of the list so far. For items in no order of
    quality that is k log(n_items / k) for each row.
    """
    n_rows, n_items = shape
    check_room(n_rows, k, n_items)
    if exclude is not None and exclude.shape != tuple(shape):
        raise ValueError(
            f"`exclude` must have the shape of `scores`, {tuple(shape)}; got {exclude.shape}."
        )
    hidden = None if exclude is None else _by_column(sparse.csr_array(exclude))
    best = _Best(n_rows, min(k, max(n_items, 1)), *_tie_order(seed, n_items))
    width = max(_TILE // max(n_rows, 1), _LEAST_WIDTH)
    for part in slices(n_items if n_rows else 0, width):
        values = without_nan(block(part))
        if hidden is not None:
            among = slice(*np.searchsorted(hidden[1], (part.start, part.stop)))
            values[hidden[0][among], hidden[1][among] - part.start] = -np.inf
        best.take(values, part)
    return best.ranked(k)


class _Best:
    """The best of each row so far, as keys: the score and the order among ties in one number.

    Parameters
    ----------
    n_rows, k : int
    order : ndarray of shape (n_items,), int64
        Of equal scores the item with the largest number comes first.
    items : ndarray of shape (n_items,), int32
        The item with each number.
    """

    def __init__(self, n_rows: int, k: int, order: Ints, items: NDArray[np.int32]) -> None:
        self.keys = np.zeros((n_rows, k), dtype=np.uint64)  # 0: no item
        self.cut = np.full((n_rows, 1), np.finfo(np.float32).min, dtype=np.float32)
        self.order, self.items, self.begun = order, items, False
        self.rows: list[NDArray[np.intp]] = []
        self.waiting: list[NDArray[np.uint64]] = []

    def take(self, values: Floats, part: slice) -> None:
        """Look at the scores of one more block of items."""
        n_rows, k = self.keys.shape
        width = values.shape[1]
        cut = self.cut
        if not self.begun:  # the best of the first few say what cannot win
            first = min(width, max(_FIRST, 4 * k))
            at = max(first - k, 0)
            cut = np.maximum(cut, np.partition(values[:, :first], at, axis=1)[:, at, None])
        cut = cut if self.begun or width >= k else self.cut
        row, column = np.divmod(np.flatnonzero(values >= cut), width)
        self.rows.append(row)
        self.waiting.append(_keys(values[row, column], self.order[part][column]))
        if not self.begun or sum(map(len, self.rows)) > n_rows * k:
            self._merge()
            self.begun = True

    def _merge(self) -> None:
        row, key = np.concatenate(self.rows), np.concatenate(self.waiting)
        self.rows, self.waiting = [], []
        counts = np.bincount(row, minlength=len(self.keys))
        touched = np.flatnonzero(counts)
        if not len(touched):
            return
        order = np.argsort(row.astype(np.uint16) if len(counts) < 2**16 else row, kind="stable")
        row, key = row[order], key[order]
        k, width = self.keys.shape[1], int(counts.max())
        table = np.zeros((len(touched), k + width), dtype=np.uint64)
        table[:, :k] = self.keys[touched]
        place = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
        table[np.searchsorted(touched, row), k + place] = key
        kept = np.partition(table, width, axis=1)[:, width:]
        self.keys[touched] = kept
        least = kept.min(axis=1)
        self.cut[touched[least > 0], 0] = _scores(least[least > 0])

    def ranked(self, length: int) -> TopK:
        """Return the lists, padded to a length."""
        if self.rows:
            self._merge()
        keys = np.sort(self.keys, axis=1)[:, ::-1]
        items = np.full((len(keys), length), -1, dtype=np.int32)
        scores = np.full((len(keys), length), -np.inf, dtype=np.float32)
        there = np.nonzero(keys)
        items[there] = self.items[(keys[there] & np.uint64(2**32 - 1)).astype(np.int64)]
        scores[there] = _scores(keys[there])
        return TopK(items, scores)


def ranking_keys(scores: NDArray[np.floating[Any]], seed: int = 0) -> NDArray[np.uint64]:
    """Return one number an item that is larger the earlier `top_k` lists it, and 0 where never.

    Examples
    --------
    >>> np.argsort(-ranking_keys(np.array([0.5, -np.inf, 2.0])).astype(float)).tolist()
    [2, 0, 1]
    """
    values = np.asarray(scores, dtype=np.float32)
    keys = _keys(values, _tie_order(seed, len(values))[0])
    keys[values == -np.inf] = 0
    return keys


def _keys(scores: Floats, order: Ints) -> NDArray[np.uint64]:
    """One number for each score, larger for a larger score, then for a larger `order`."""
    bits = (scores + np.float32(0)).view(np.uint32)  # -0 is 0
    upward = np.where(bits >> 31, ~bits, bits | np.uint32(2**31))
    return upward.astype(np.uint64) << np.uint64(32) | order.astype(np.uint64)


def _scores(keys: NDArray[np.uint64]) -> Floats:
    """The scores in `_keys`."""
    upward = (keys >> np.uint64(32)).astype(np.uint32)
    bits = np.where(upward >> 31, upward & np.uint32(2**31 - 1), ~upward)
    return bits.view(np.float32)


@lru_cache(maxsize=4)
def _tie_order(seed: int, n_items: int) -> tuple[Ints, NDArray[np.int32]]:
    """A number for each item, of equal scores the largest is listed first; and the item of each."""
    order = n_items - 1 - rng_from(seed, "ties").permutation(n_items)
    items = np.empty(n_items, dtype=np.int32)
    items[order] = np.arange(n_items, dtype=np.int32)
    order.setflags(write=False)
    return order, items


def _by_column(x: CSR) -> tuple[NDArray[np.intp], Integers]:
    """Rows and columns of the entries, by column."""
    order = np.argsort(x.indices, kind="stable")
    return entry_rows(x)[order], x.indices[order]


def without_nan(values: Floats) -> Floats:
    """Return scores as they are; `ValueError` names the row where one is NaN."""
    # max() propagates NaN without the boolean matrix that isnan() would make.
    if np.isnan(values.max(initial=-np.inf)):
        row = int(np.flatnonzero(np.isnan(values).any(axis=1))[0])
        raise ValueError(f"`scores` must not be NaN; row {row} holds NaN. The model has diverged.")
    return values


def negative_log_likelihood(scores: Floats, seen: CSR, targets: CSR) -> float:
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


def ties_at(best: Floats, k: int) -> Mask:
    """Return whether the list of `k` is cut through a group of equal scores, given a longer one.

    Where many are, the tie-break decides what is listed, not the model.

    Examples
    --------
    >>> ties_at(top_k(np.array([[1, 1, 0], [2, 1, 0]], dtype="float32"), 2).scores, 1)
    array([ True, False])
    """
    return (best[:, k - 1] == best[:, k]) & ~np.isneginf(best[:, k])


def ndcg(hit: Mask, n_targets: Integers) -> Doubles:
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


def hits_of_lists(items: Integers, targets: CSR) -> Mask:
    """Return which places of the lists of `items` hold a target, (n_rows, k).

    Notes
    -----
    One binary search per listed item in the sorted (row, item) keys: O(n_rows k log nnz), no
    loop over users and no dense matrix.
    """
    n_rows, n_items = targets.shape
    keys = entry_rows(targets) * n_items + targets.indices
    if not targets.has_sorted_indices:
        keys.sort()
    wanted = np.arange(n_rows)[:, None] * n_items + items
    # A sentinel above every key makes the position returned for "beyond the end" a valid one.
    keys = np.append(keys, np.iinfo(np.int64).max)
    return np.asarray((keys[np.searchsorted(keys, wanted)] == wanted) & (items >= 0))


def ndcg_of_lists(items: Integers, targets: CSR) -> Doubles:
    """Return the `ndcg` of each list; NaN for a row without targets.

    Parameters
    ----------
    items : ndarray of shape (n_rows, k), int
        The lists; -1 where one is too short.
    targets : csr_array of shape (n_rows, n_items)

    Returns
    -------
    ndarray of shape (n_rows,), float64
    """
    return ndcg(hits_of_lists(items, targets), np.diff(targets.indptr))
