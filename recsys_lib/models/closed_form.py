r"""Ridge regressions of every item on all others, solved at once by one matrix inverse.

With rows :math:`x_u`, row weights :math:`w_u`, a ridge :math:`\lambda_i` for each item and

.. math:: P = \Big(\sum_u w_u x_u x_u^\top + \mathrm{diag}(\lambda)\Big)^{-1},

the weights :math:`B` that minimize :math:`\sum_u w_u \|x_u - x_u B\|^2 + \sum_{ij} \lambda_i
B_{ij}^2` with a zero diagonal are :math:`B_{ij} = -P_{ij} / P_{jj}` [1]_. The inverse is taken of
the smaller side: of items, or, by the identity of Woodbury, of users.

References
----------
.. [1] H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, eq. 8.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack

from recsys_lib._system import cores
from recsys_lib.checks import check_memory
from recsys_lib.models.base import Arrays
from recsys_lib.models.knn import scale_rows
from recsys_lib.ranking import entry_rows

__all__ = ["Dual", "Primal", "Solver", "gram", "invert", "restore", "solve"]

Floats = NDArray[np.float32]
Solver = Literal["auto", "items", "users"]

# Rows of a dense matrix handled at once; bounds the temporaries to a few percent of the matrix.
_BLOCK = 256

# Multiplications from which a product is worth the start of threads, a millisecond or so.
_WORTH_THREADS = 20_000_000


def gram(x: sparse.csr_array) -> Floats:
    """Return ``x.T @ x`` densely, with the upper triangle filled and the rest zero or the same.

    Parameters
    ----------
    x : csr_array of shape (n_rows, n_columns), float32

    Returns
    -------
    ndarray of shape (n_columns, n_columns), float32, C order

    Notes
    -----
    O(sum of n_row ** 2) time. The product goes into its place block by block: a sparse product of
    the whole would need three times the memory of the dense result.
    """
    n = x.shape[1]
    out = np.zeros((n, n), dtype=np.float32)
    columns = x.T.tocsr()
    for start in range(0, n, _BLOCK):
        rows = columns[start : start + _BLOCK]
        # Only the columns from `start` on: the factorization reads one triangle.
        out[start : start + _BLOCK, start:] = (rows @ x[:, start:]).toarray()
    return out


def invert(matrix: Floats) -> Floats:
    """Invert a symmetric positive definite matrix in place, from its upper triangle.

    Parameters
    ----------
    matrix : ndarray of shape (n, n), float32, C order
        Overwritten.

    Returns
    -------
    ndarray of shape (n, n), float32
        The whole inverse, in the memory of `matrix`.

    Raises
    ------
    ValueError
        If it is not positive definite in float32.

    Notes
    -----
    Cholesky factor and its inverse by LAPACK (``spotrf``, ``spotri``): n ** 3 multiplications, half
    of what an LU inverse takes, and no second matrix.
    """
    # LAPACK counts columns first: its lower triangle of the transposed view is our upper one.
    factor, failed = lapack.spotrf(matrix.T, lower=1, clean=0, overwrite_a=1)
    if failed:
        raise ValueError(
            f"`l2` must make the regressions solvable in float32; item {failed - 1} is a "
            "combination of others. Raise `l2`."
        )
    inverse, _ = lapack.spotri(factor, lower=1, overwrite_c=1)
    _mirror(inverse.T)
    return inverse.T


def _mirror(matrix: Floats) -> None:
    """Copy the upper triangle to the lower one, in place and without a second matrix."""
    n = len(matrix)
    for i in range(0, n, _BLOCK):
        rows = slice(i, i + _BLOCK)
        corner = np.triu(matrix[rows, rows])
        matrix[rows, rows] = corner + np.triu(corner, 1).T
        for j in range(i + _BLOCK, n, _BLOCK):
            matrix[j : j + _BLOCK, rows] = matrix[rows, j : j + _BLOCK].T


@dataclass(frozen=True, kw_only=True)
class Primal:
    """The weights themselves, where there are fewer items than users.

    Attributes
    ----------
    blocks : ndarray of shape (n_items * n_items,), float32
        The matrix :math:`B` in blocks of 256 columns, each contiguous: a block stays in the cache
        while the rows of a batch run through it, which halves the time of scoring.
    """

    blocks: Floats

    def score(self, x: sparse.csr_array) -> Floats:
        """Return ``x @ B``, dense, on all cores this process may use."""
        out = np.empty(x.shape, dtype=np.float32)
        n_threads = cores()
        if x.nnz * x.shape[1] < _WORTH_THREADS:
            n_threads = 1
        # Cut where the work is equal, not the number of rows.
        cuts = np.searchsorted(x.indptr, np.linspace(0, x.nnz, n_threads + 1)[1:-1])
        bounds = [0, *cuts.tolist(), x.shape[0]]

        def part(start: int, stop: int) -> None:
            rows, done = x[start:stop], 0
            for block in _column_blocks(self.blocks, x.shape[1]):
                out[start:stop, done : done + block.shape[1]] = rows @ block
                done += block.shape[1]

        if n_threads == 1:
            part(0, x.shape[0])
            return out
        with ThreadPoolExecutor(n_threads) as pool:  # SciPy's product runs on one core
            list(pool.map(part, bounds[:-1], bounds[1:]))
        return out

    def arrays(self) -> Arrays:
        """Return the parts as arrays, for `restore`."""
        return {"blocks": self.blocks}


def _column_blocks(flat: Floats, n: int) -> Iterator[Floats]:
    """The blocks of columns that lie one after the other in `flat`, as views."""
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        yield flat[start * n : stop * n].reshape(n, stop - start)


@dataclass(frozen=True, kw_only=True)
class Dual:
    r"""The same weights in factored form, where there are fewer users than items.

    With :math:`\Lambda = \mathrm{diag}(\lambda)` and the rows :math:`X` times
    :math:`\sqrt{w}`, :math:`P = \Lambda^{-1} - \Lambda^{-1} X^\top (I + X \Lambda^{-1}
    X^\top)^{-1} X \Lambda^{-1}`, so the scores :math:`xB` need only a matrix of users x users.

    Attributes
    ----------
    rows : csr_array of shape (n_users, n_items), float32
        The weighted training rows divided by the ridge, :math:`X \Lambda^{-1}`.
    kernel : ndarray of shape (n_users, n_users), float32
        :math:`(I + X \Lambda^{-1} X^\top)^{-1}`.
    ridge : ndarray of shape (n_items,), float32
        :math:`\lambda`.
    diagonal : ndarray of shape (n_items,), float32
        :math:`\mathrm{diag}(P)`.
    """

    rows: sparse.csr_array
    kernel: Floats
    ridge: Floats
    diagonal: Floats

    def score(self, x: sparse.csr_array) -> Floats:
        """Return ``x @ B``, dense, without forming `B`."""
        through_users = (x @ self.rows.T).toarray() @ self.kernel
        scores = (self.rows.T @ through_users.T).T / self.diagonal
        # What is left of x P on the entries of the row, where B has its zero diagonal.
        scores[entry_rows(x), x.indices] += x.data * (
            1 - 1 / (self.ridge * self.diagonal)[x.indices]
        )
        return np.ascontiguousarray(scores)

    def arrays(self) -> Arrays:
        """Return the parts as arrays, for `restore`."""
        return {
            "rows_data": self.rows.data,
            "rows_indices": self.rows.indices,
            "rows_indptr": self.rows.indptr,
            "kernel": self.kernel,
            "ridge": self.ridge,
            "diagonal": self.diagonal,
        }


def restore(arrays: Arrays) -> Primal | Dual:
    """Rebuild what `solve` returned from its `arrays`."""
    if "blocks" in arrays:
        return Primal(blocks=arrays["blocks"])
    parts = (arrays["rows_data"], arrays["rows_indices"], arrays["rows_indptr"])
    shape = (len(arrays["kernel"]), len(arrays["ridge"]))
    return Dual(
        rows=sparse.csr_array(parts, shape=shape),
        kernel=arrays["kernel"],
        ridge=arrays["ridge"],
        diagonal=arrays["diagonal"],
    )


def solve(
    x: sparse.csr_array,
    ridge: NDArray[np.floating],
    row_weights: NDArray[np.floating] | None = None,
    *,
    solver: Solver = "auto",
) -> Primal | Dual:
    """Solve the regressions of the module's docstring.

    Parameters
    ----------
    x : csr_array of shape (n_users, n_items), float32
        Binary or weighted rows.
    ridge : ndarray of shape (n_items,)
        The penalty of each item as a predictor, positive.
    row_weights : ndarray of shape (n_users,), optional
        How much each user counts; 1 by default.
    solver : {"auto", "items", "users"}
        Which side to invert: by default the smaller. The scores are the same.

    Returns
    -------
    Primal or Dual

    Raises
    ------
    MemoryError
        If it would need more memory than is available; before anything is allocated.
    ValueError
        If the ridge is too small for float32.

    Notes
    -----
    With n the size of the inverted side: n ** 3 multiplications, and 4 n ** 2 bytes for the result
    plus a few percent while it is computed.
    """
    n_users, n_items = x.shape
    by_users = n_users < n_items if solver == "auto" else solver == "users"
    n = n_users if by_users else n_items
    check_memory(
        int(4.2 * n * n) + 64 * n * _BLOCK + 24 * x.nnz,
        f"Inverting a matrix of {n} x {n} {'users' if by_users else 'items'}",
        "Keep fewer items, or use a model with factors (ALS, PureSVD).",
    )
    rows = x if row_weights is None else scale_rows(x, np.sqrt(row_weights))
    return _by_users(rows, ridge) if by_users else _by_items(rows, ridge)


def _by_items(x: sparse.csr_array, ridge: NDArray[np.floating]) -> Primal:
    matrix = gram(x)
    diagonal = np.arange(len(matrix))
    matrix[diagonal, diagonal] += ridge.astype(np.float32)
    inverse = invert(matrix)
    scale = -1 / inverse.diagonal()
    inverse[diagonal, diagonal] = 0
    # Rows of a symmetric matrix are its columns, so each block of columns takes the place of the
    # rows it comes from, and no second matrix is needed.
    flat = inverse.reshape(-1)
    for number, block in enumerate(_column_blocks(flat, len(inverse))):
        rows = slice(number * _BLOCK, (number + 1) * _BLOCK)
        block[:] = (inverse[rows] * scale[rows, None]).T
    return Primal(blocks=flat)


def _by_users(x: sparse.csr_array, ridge: NDArray[np.floating]) -> Dual:
    inverse_ridge = (1 / ridge).astype(np.float32)
    # Half of the ridge on either side keeps the product symmetric, which `gram` relies on.
    kernel = gram((x * np.sqrt(inverse_ridge)).T.tocsr())
    diagonal = np.arange(len(kernel))
    kernel[diagonal, diagonal] += 1
    kernel = invert(kernel)
    rows = sparse.csr_array(x * inverse_ridge)
    return Dual(
        rows=rows,
        kernel=kernel,
        ridge=ridge.astype(np.float32),
        diagonal=inverse_ridge - _quadratic_forms(rows, kernel),
    )


def _quadratic_forms(rows: sparse.csr_array, kernel: Floats) -> Floats:
    """For each column ``c`` of `rows`, ``c' K c``, in blocks of users."""
    forms = np.zeros(rows.shape[1], dtype=np.float64)
    for start in range(0, rows.shape[0], _BLOCK):
        part = slice(start, start + _BLOCK)
        product = (rows.T @ kernel[:, part]).T
        forms += np.asarray(rows[part].multiply(product).sum(axis=0)).ravel()
    return forms.astype(np.float32)
