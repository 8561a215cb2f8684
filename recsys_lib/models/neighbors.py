"""Shared by the neighborhood models: shrunk cosine similarities and their top k."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import check_choice, check_integer, check_nonnegative

__all__ = [
    "Feedback",
    "check_neighborhood",
    "nearest_rows",
    "pattern",
    "scale_rows",
]

Feedback = Literal["explicit", "implicit"]

# Dense similarities held at once, in numbers: 64 MB of float32.
_BLOCK_NUMBERS = 16_000_000
# Share of pairs with something in common below which the others are not looked at.
_FEW = 0.05


def check_neighborhood(feedback: str, neighbours: int, shrinkage: float, damping: float) -> None:
    """Check the hyper-parameters that both neighborhood models have."""
    check_choice("feedback", feedback, ("explicit", "implicit"))
    check_integer("neighbours", neighbours, minimum=1)
    check_nonnegative("shrinkage", shrinkage)
    check_nonnegative("damping", damping)


def pattern(x: sparse.csr_array) -> sparse.csr_array:
    """Return `x` with every stored value replaced by 1; shares the index arrays."""
    return sparse.csr_array((np.ones_like(x.data), x.indices, x.indptr), shape=x.shape)


def scale_rows(x: sparse.csr_array, factors: NDArray[np.floating]) -> sparse.csr_array:
    """Return `x` with row ``r`` multiplied by ``factors[r]``, float32; shares the index arrays."""
    data = x.data * np.repeat(factors, np.diff(x.indptr))
    return sparse.csr_array((data.astype(np.float32), x.indices, x.indptr), shape=x.shape)


def nearest_rows(
    left: sparse.csr_array,
    right: sparse.csr_array,
    *,
    neighbours: int,
    shrinkage: float,
    skip_self: bool = False,
) -> sparse.csr_array:
    r"""Return for each row of `left` its most similar rows of `right`.

    .. math:: s_{ab} = \frac{\langle l_a, r_b \rangle}{\|l_a\| \|r_b\|}
       \cdot \frac{n_{ab}}{n_{ab} + \text{shrinkage}}

    with :math:`n_{ab}` the number of columns that both store: a cosine over few common columns is
    mostly luck. Only positive similarities are kept.

    Parameters
    ----------
    left : csr_array of shape (n_left, n_columns), float32
    right : csr_array of shape (n_right, n_columns), float32
    neighbors : int
        Number of rows of `right` kept for each row of `left`, >= 1. Ties at the cut go by position.
    shrinkage : float
        >= 0.
    skip_self : bool
        `left` is `right`, and no row is its own neighbor.

    Returns
    -------
    csr_array of shape (n_left, n_right), float32

    Notes
    -----
    Computed in blocks of rows; about 64 MB are dense at any time. Where a row of `left` is compared
    with itself, of a wide catalog with few users only pairs with something in common are looked at.
    """
    left_unit, right_unit = _unit_rows(left), _unit_rows(right).T.tocsr()
    left_seen, right_seen = pattern(left), pattern(right).T.tocsr()
    parts = []
    for rows in _row_blocks(left.shape[0], right.shape[0]):
        found = left_unit[rows] @ right_unit
        common = left_seen[rows] @ right_seen if shrinkage > 0 else pattern(found)
        # Users who score come in batches, which must not change how their ties are settled.
        if skip_self and found.nnz < _FEW * found.shape[0] * found.shape[1]:
            common.data /= common.data + np.float32(shrinkage)
            parts.append(_largest_stored(found.multiply(common).tocsr(), rows.start, neighbours))
            continue
        block = found.toarray()
        if shrinkage > 0:
            common = common.toarray()
            block *= common / (common + np.float32(shrinkage))
        if skip_self:
            block[np.arange(block.shape[0]), np.arange(rows.start, rows.stop)] = 0
        parts.append(_largest(block, neighbours))
    if not parts:
        return sparse.csr_array((left.shape[0], right.shape[0]), dtype=np.float32)
    return sparse.csr_array(sparse.vstack(parts, format="csr"))


def _unit_rows(x: sparse.csr_array) -> sparse.csr_array:
    norms = np.sqrt(np.asarray(x.multiply(x).sum(axis=1)).ravel())
    return scale_rows(x, 1.0 / np.where(norms > 0, norms, 1.0))


def _row_blocks(n_rows: int, n_columns: int) -> Iterator[slice]:
    step = max(1, _BLOCK_NUMBERS // max(1, n_columns))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def _largest(block: NDArray[np.float32], k: int) -> sparse.csr_array:
    """The `k` largest positive entries of each row, as CSR."""
    if k < block.shape[1]:
        kept = np.argpartition(block, block.shape[1] - k, axis=1)[:, -k:]
        kept.sort(axis=1)
    else:
        kept = np.tile(np.arange(block.shape[1]), (block.shape[0], 1))
    values = np.take_along_axis(block, kept, axis=1)
    indptr = np.arange(0, values.size + 1, values.shape[1])
    found = sparse.csr_array((values.ravel(), kept.ravel(), indptr), shape=block.shape)
    found.data[found.data < 0] = 0
    found.eliminate_zeros()
    return found


def _largest_stored(block: sparse.csr_array, start: int, k: int) -> sparse.csr_array:
    """As `_largest`, of few stored entries; row 0 is row `start` of the whole, itself left out."""
    row = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    order = np.lexsort((block.indices, -block.data, row))
    order = order[(block.data[order] > 0) & (block.indices[order] != row[order] + start)]
    counts = np.bincount(row[order], minlength=block.shape[0])
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = np.sort(order[rank < k])
    parts = (block.data[kept], (row[kept], block.indices[kept]))
    return sparse.csr_array(parts, shape=block.shape)
