"""Split rows in two, or data sets in three, by a label of each stored entry."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.dataset import Dataset, Fold, Split
from recsys_lib.folds import keep_entries

__all__ = ["cut_rows", "rank_in_row", "split_entries"]


def rank_in_row(keys: sparse.csr_array) -> NDArray[np.int64]:
    """Rank, from 0, of each stored value within its row."""
    counts = np.diff(keys.indptr)
    row = np.repeat(np.arange(keys.shape[0]), counts)
    order = np.lexsort((keys.data, row))
    rank = np.empty(keys.nnz, dtype=np.int64)
    rank[order] = np.arange(keys.nnz) - np.repeat(keys.indptr[:-1], counts)
    return rank


def cut_rows(rows: sparse.csr_array, hidden: NDArray[np.bool_], users: NDArray[np.int64]) -> Fold:
    """Split rows by a mark on each stored entry: hidden or shown."""
    return Fold(
        fold_in=keep_entries(rows, ~hidden), targets=keep_entries(rows, hidden), users=users
    )


def split_entries(dataset: Dataset, part: NDArray[np.int8]) -> Split:
    """Split by a label of each stored entry: 0 train, 1 validation, 2 test."""
    x, users = dataset.user_items, np.arange(dataset.n_users)
    train, middle, last = (keep_entries(x, part == label) for label in (0, 1, 2))
    return Split(
        train=train,
        validation=Fold(fold_in=train, targets=middle, users=users),
        test=Fold(fold_in=train, targets=last, users=users),
        train_users=users,
    )
