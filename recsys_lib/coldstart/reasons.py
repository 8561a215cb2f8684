"""Explanations: how much a score would lose without each item of the history."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import check_user_items
from recsys_lib.models.base import Recommender
from recsys_lib.ranking import entries_of


def leave_one_out_gains(
    model: Recommender,
    row: sparse.csr_array,
    items: NDArray[np.integer[Any]],
    batch_size: int = 512,
    *,
    among: NDArray[np.integer[Any]] | None = None,
) -> NDArray[np.float32]:
    """Return how much each item of a history raises the scores of some items.

    Parameters
    ----------
    model : Recommender
        Fitted; any model, since only its scores are used.
    row : csr_array of shape (1, n_items)
        The history, of n entries.
    items : ndarray of shape (k,), int
        Positions of the items asked about.
    batch_size : int
        Copies of the row scored at once.
    among : ndarray of shape (n,), int, optional
        Places of the entries asked about, in `row.indices`; by default all.

    Returns
    -------
    ndarray of shape (n, k), float32
        Score with the whole history less score without entry i.

    Notes
    -----
    Scores n + 1 rows, but where the model knows the `gains` without.

    Examples
    --------
    >>> from recsys_lib.models import EASE
    >>> likes = sparse.csr_array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]], dtype="float32")
    >>> model = EASE(l2=1.0).fit(likes)
    >>> leave_one_out_gains(model, likes[[2]], np.array([0])).round(2)
    array([[ 0.55],
           [-0.18]], dtype=float32)
    """
    row = check_user_items(row, n_items=model.n_items_)
    places = np.arange(row.nnz) if among is None else among
    known = model.gains(row, items)
    if known is not None:
        return known[places]
    full = model.score(row, items=items)[0]
    found = np.empty((len(places), len(items)), dtype=np.float32)
    for start in range(0, len(places), batch_size):
        part = slice(start, start + batch_size)
        found[part] = full - model.score_without(row, places[part], items=items)
    return found


def with_left_out(rows: sparse.csr_array) -> sparse.csr_array:
    """Return each row followed by its copies, each without one of its entries.

    Examples
    --------
    >>> with_left_out(sparse.csr_array([[0, 5, 3], [1, 0, 0]])).toarray()
    array([[0, 5, 3],
           [0, 0, 3],
           [0, 5, 0],
           [1, 0, 0],
           [0, 0, 0]])
    """
    lengths = np.diff(rows.indptr)
    copied = np.repeat(np.arange(len(lengths)), lengths + 1)
    first = np.cumsum(lengths + 1) - (lengths + 1)
    left_out = np.arange(len(copied)) - first[copied] - 1  # -1 in the row itself
    entries, sizes = entries_of(rows, copied), lengths[copied]
    kept = entries != np.repeat(np.where(left_out < 0, -1, rows.indptr[copied] + left_out), sizes)
    indptr = np.concatenate([[0], np.cumsum(sizes - (left_out >= 0))])
    parts = (rows.data[entries[kept]], rows.indices[entries[kept]], indptr)
    return sparse.csr_array(parts, shape=(len(copied), rows.shape[1]))
