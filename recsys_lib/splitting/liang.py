"""The random streams of Liang et al. (2018), so that a split of ML-20M is theirs, user by user.

Their notebook seeds NumPy's legacy global generator with 98765 three times: before permuting the
users, before hiding interactions of the validation users, and before those of the test users. A
`RandomState` of that seed is the same stream without touching the global one.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.dataset import Dataset, Fold
from recsys_lib.ranking import entry_rows
from recsys_lib.splitting.entries import cut_rows

#: The seed of the authors' notebook.
SEED = 98765

# A held-out user with fewer interactions, after foreign items are dropped, is shown whole.
_ENOUGH = 5


def _stream() -> np.random.RandomState:
    return np.random.RandomState(SEED)


def order_users(dataset: Dataset, users: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return `users` in their order: sorted by external id, then permuted.

    Parameters
    ----------
    dataset : Dataset
    users : ndarray of shape (n,), int64
        Rows of the users with enough interactions.

    Returns
    -------
    ndarray of shape (n,), int64
        Training users first, then validation users, then test users.
    """
    by_id = users[np.asarray(dataset.user_ids.take(users).argsort())]
    return by_id[_stream().permutation(len(by_id))]


def training_items(dataset: Dataset, train_users: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the items that training users have, in order of first appearance.

    Parameters
    ----------
    dataset : Dataset
    train_users : ndarray of shape (n,), int64

    Returns
    -------
    ndarray of shape (n_kept_items,), int64
        Columns of the data set. Appearance is by user id, then by item id, as the rows of ML-20M's
        file are ordered.
    """
    users = train_users[np.asarray(dataset.user_ids.take(train_users).argsort())]
    rows = dataset.user_items[users]
    row = entry_rows(rows)
    place_of = np.empty(dataset.n_items, dtype=np.int64)
    place_of[np.asarray(dataset.item_ids.argsort())] = np.arange(dataset.n_items)
    in_file_order = np.lexsort((place_of[rows.indices], row))
    return np.asarray(pd.unique(rows.indices[in_file_order]), dtype=np.int64)


def select_rows(
    dataset: Dataset, users: NDArray[np.int64], items: NDArray[np.int64]
) -> sparse.csr_array:
    """Return the interactions of `users` with `items`, both in the order given."""
    column_of = np.full(dataset.n_items, -1, dtype=np.int64)
    column_of[items] = np.arange(len(items))
    held = dataset.user_items[users].tocoo()
    known = column_of[held.col] >= 0
    rows = sparse.csr_array(
        (held.data[known], (held.row[known], column_of[held.col[known]])),
        shape=(len(users), len(items)),
    )
    rows.sort_indices()
    return rows


def cut_fold(
    dataset: Dataset, users: NDArray[np.int64], items: NDArray[np.int64], hidden_share: float
) -> Fold:
    """Hide interactions of held-out users with their stream.

    Parameters
    ----------
    dataset : Dataset
    users : ndarray of shape (n,), int64
        Validation or test users, in any order; it is kept.
    items : ndarray of shape (n_kept_items,), int64
        See `training_items`; interactions with other items are dropped.
    hidden_share : float
        Of each user's interactions that many are hidden, rounded down.

    Returns
    -------
    Fold
        Its columns are `items`. Users with fewer than 5 interactions have no targets.
    """
    rows = select_rows(dataset, users, items)
    place_of = np.empty(len(items), dtype=np.int64)
    place_of[np.asarray(dataset.item_ids.take(items).argsort())] = np.arange(len(items))
    hidden = np.zeros(rows.nnz, dtype=bool)
    stream = _stream()
    for row in np.asarray(dataset.user_ids.take(users).argsort()):
        start, stop = int(rows.indptr[row]), int(rows.indptr[row + 1])
        n = stop - start
        if n >= _ENOUGH:
            drawn = stream.choice(n, size=int(hidden_share * n), replace=False)
            # They number a user's interactions in the order of the file, by item id.
            by_id = np.argsort(place_of[rows.indices[start:stop]])
            hidden[start + by_id[drawn]] = True
    return cut_rows(rows, hidden, users)
