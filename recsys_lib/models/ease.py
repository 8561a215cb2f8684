r"""EASE and EDLAE: ridge regressions of every item on all others, by one matrix inverse.

With rows :math:`x_u`, row weights :math:`w_u`, a ridge :math:`\lambda_i` for each item and

.. math:: P = \Big(\sum_u w_u x_u x_u^\top + \mathrm{diag}(\lambda)\Big)^{-1},

the weights :math:`B` that minimize :math:`\sum_u w_u \|x_u - x_u B\|^2 + \sum_{ij} \lambda_i
B_{ij}^2` with a zero diagonal are :math:`B_{ij} = -P_{ij} / P_{jj}` [1]_. The inverse is taken of
the smaller side: of items, or, by the identity of Woodbury, of users.

References
----------
.. [1] H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, eq. 8.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack

from recsys_lib.checks import CSR, Doubles, Floats, Integers, Ints, check_memory
from recsys_lib.dataset import Fold
from recsys_lib.models.base import Arrays, Cost, Recommender, unpacked
from recsys_lib.models.baselines import answer_empty_rows, item_shares, products, users_per_item
from recsys_lib.models.knn import scale_rows
from recsys_lib.ranking import each_alone, entry_rows, slices

Solver = Literal["auto", "items", "users"]

# Rows of a dense matrix handled at once; bounds the temporaries to a few percent of the matrix.
_BLOCK = 256

# Changed rows, in items, up to which an update costs clearly less than a fit.
_FEW_CHANGES = 0.25

# Users of an item, at least, that the default penalty is made for: regressions on items with fewer
# repeat the accidents of single people.
_FEW_USERS = 5.0


def gram(x: CSR) -> Floats:
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
    mirror(inverse.T)
    return inverse.T


def mirror(matrix: Floats) -> None:
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
    r"""The weights themselves, where there are fewer items than users.

    Attributes
    ----------
    blocks : ndarray of shape (n_items * n_items,), float32
        The matrix :math:`B` in blocks of 256 columns, each contiguous: a block stays in the cache
        while the rows of a batch run through it, which halves the time of scoring.
    diagonal : ndarray of shape (n_items,), float32, or None
        :math:`\mathrm{diag}(P)`; not there in what was saved before 0.3.
    """

    blocks: Floats
    diagonal: Floats | None = None

    def score(self, x: CSR) -> Floats:
        """Return ``x @ B``, dense."""
        out = np.empty(x.shape, dtype=np.float32)
        blocks = _column_blocks(self.blocks, x.shape[1])
        for items, block in zip(slices(x.shape[1], _BLOCK), blocks, strict=True):
            out[:, items] = x @ block
        return out

    def weights(self, x: CSR, items: Integers) -> Floats:
        """Return the weights of the entries of a row, ``B[x.indices][:, items]``."""
        starts = items - items % _BLOCK
        widths = np.minimum(_BLOCK, x.shape[1] - starts)
        firsts = starts * x.shape[1] + items - starts
        return self.blocks[firsts + np.outer(x.indices, widths)]

    def inverse(self, n_items: int) -> Floats | None:
        """Return :math:`P`, of shape (n_items, n_items), if its diagonal is known."""
        if self.diagonal is None:
            return None
        weights = np.hstack([*_column_blocks(self.blocks, n_items)])
        weights *= -self.diagonal
        weights[np.diag_indices_from(weights)] = self.diagonal
        return weights


def _column_blocks(flat: Floats, n: int) -> Iterator[Floats]:
    """The blocks of columns that lie one after the other in `flat`, as views."""
    for block in slices(n, _BLOCK):
        yield flat[block.start * n : block.stop * n].reshape(n, -1)


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

    rows: CSR
    kernel: Floats
    ridge: Floats
    diagonal: Floats

    def score(self, x: CSR) -> Floats:
        """Return ``x @ B``, dense, without forming `B`."""
        through_users = products((x @ self.rows.T).toarray(), self.kernel)  # which is symmetric
        scores = (self.rows.T @ through_users.T).T / self.diagonal
        # What is left of x P on the entries of the row, where B has its zero diagonal.
        scores[entry_rows(x), x.indices] += x.data * (
            1 - 1 / (self.ridge * self.diagonal)[x.indices]
        )
        return np.ascontiguousarray(scores)


def solve(x: CSR, ridge: NDArray[np.floating], *, solver: Solver = "auto") -> Primal | Dual:
    """Solve the regressions of the module's docstring.

    Parameters
    ----------
    x : csr_array of shape (n_users, n_items), float32
        Binary or weighted rows: times the root of the user's weight :math:`w`.
    ridge : ndarray of shape (n_items,)
        The penalty of each item as a predictor, positive.
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
    if by_users:
        return _by_users(x, ridge)
    matrix = gram(x)
    matrix[np.diag_indices_from(matrix)] += ridge.astype(np.float32)
    return _weights_of(invert(matrix))


def _weights_of(inverse: Floats) -> Primal:
    """Return the weights that follow from :math:`P`, in its memory."""
    spread = inverse.diagonal().copy()
    scale = -1 / spread
    np.fill_diagonal(inverse, 0)
    # Rows of a symmetric matrix are its columns, so each block of columns takes the place of the
    # rows it comes from, and no second matrix is needed.
    flat = inverse.reshape(-1)
    blocks = _column_blocks(flat, len(inverse))
    for block, rows in zip(blocks, slices(len(inverse), _BLOCK), strict=True):
        block[:] = (inverse[rows] * scale[rows, None]).T
    return Primal(blocks=flat, diagonal=spread)


def _moved(
    solution: Primal | Dual, n_items: int, ridge: Doubles, changes: CSR, signs: Doubles
) -> Primal | None:
    r"""Return the solution after :math:`P^{-1}` has changed by a sum of rows, if that is cheaper.

    With the changed rows V and their signs c, :math:`P' = P - P V^\top (C^{-1} + V P
    V^\top)^{-1} V P` (Woodbury). New items begin with nothing but their ridge.
    """
    old = solution.inverse(n_items) if isinstance(solution, Primal) else None
    if old is None or changes.shape[0] > _FEW_CHANGES * n_items:
        return None
    inverse = np.diag(1 / ridge).astype(np.float32)
    inverse[:n_items, :n_items] = old
    through = np.asarray(changes @ inverse)
    small = np.diag(1 / signs) + np.asarray(changes @ through.T).T
    inverse -= through.T @ np.linalg.solve(small.astype(np.float64), through).astype(np.float32)
    return _weights_of(inverse)


def _by_users(x: CSR, ridge: NDArray[np.floating]) -> Dual:
    inverse_ridge = (1 / ridge).astype(np.float32)
    # Half of the ridge on either side keeps the product symmetric, which `gram` relies on.
    kernel = gram((x * np.sqrt(inverse_ridge)).T.tocsr())
    kernel[np.diag_indices_from(kernel)] += 1
    kernel = invert(kernel)
    rows = sparse.csr_array(x * inverse_ridge)
    return Dual(
        rows=rows,
        kernel=kernel,
        ridge=ridge.astype(np.float32),
        diagonal=inverse_ridge - _quadratic_forms(rows, kernel),
    )


def _quadratic_forms(rows: CSR, kernel: Floats) -> Floats:
    """For each column ``c`` of `rows`, ``c' K c``, in blocks of users."""
    forms = np.zeros(rows.shape[1], dtype=np.float64)
    for part in slices(rows.shape[0], _BLOCK):
        product = (rows.T @ kernel[:, part]).T
        forms += np.asarray(rows[part].multiply(product).sum(axis=0)).ravel()
    return forms.astype(np.float32)


@dataclass(kw_only=True)
class Penalized(Recommender):
    """What the regressions of this family share: the penalty, and popularity for empty rows."""

    _is_linear: ClassVar[bool] = True
    _in_threads: ClassVar[bool] = True

    l2: float | None = None

    item_shares_: Floats = field(init=False, repr=False, compare=False)

    #: The penalty where none is given, in users of an item.
    _users: ClassVar[float] = 4.0

    def _suited(self, x: CSR) -> dict[str, Any]:
        squares = float(np.square(x.data, dtype=np.float64).mean()) if x.nnz else 1.0
        return {"l2": self._users * max(users_per_item(x), _FEW_USERS) * squares}

    def _weighted(self, x: CSR) -> tuple[CSR, Doubles]:
        """The rows times the root of each user's weight in the error, and each item's ridge."""
        return x, np.full(x.shape[1], float(self.suited_to(x).config()["l2"]))

    def _item_scale(self) -> Floats | None:
        """The factor applied to each item's scores; None for no scaling."""
        return None


@dataclass(kw_only=True)
class Dropped(Penalized):
    """The penalty of dropout, weights of users and a discount of popularity, as in `EDLAE`."""

    dropout: float = 0.5
    activity_power: float = 0.0
    popularity_discount: float = 0.0

    _users: ClassVar[float] = 2.0

    def _weighted(self, x: CSR) -> tuple[CSR, Doubles]:
        rows, ridge = super()._weighted(x)
        squares = np.square(x.data, dtype=np.float64)
        if self.activity_power > 0:
            counts = np.maximum(np.diff(x.indptr), 1).astype(np.float64)
            weights = counts**-self.activity_power
            weights /= weights.mean()
            squares *= weights[entry_rows(x)]
            rows = scale_rows(x, np.sqrt(weights))
        held_back = np.bincount(x.indices, squares, x.shape[1])
        return rows, ridge + self.dropout / (1 - self.dropout) * held_back

    def _item_scale(self) -> Floats | None:
        if self.popularity_discount == 0:
            return None
        used = self.item_shares_[self.item_shares_ > 0]
        # An item that nobody used is discounted as the least used one: 0 ** -power is infinite.
        shares = np.maximum(self.item_shares_, used.min(initial=1))
        return np.asarray(shares**-self.popularity_discount, dtype=np.float32)


@dataclass(kw_only=True)
class EASE(Penalized):
    r"""Shallow linear autoencoder with a zero diagonal [1]_.

    Minimizes :math:`\|X - XB\|_F^2 + \lambda \|B\|_F^2` subject to :math:`\mathrm{diag}(B) = 0`;
    column ``j`` of :math:`B` predicts item ``j`` from all others, and scores are :math:`xB`.

    Parameters
    ----------
    l2 : float, optional
        The penalty :math:`\lambda`, in numbers of interactions; positive. By default four times the
        mean number of users of an item, which is within 2 % of the best ndcg@100 on the validation
        users of MovieLens 100K and 1M and CiteULike-a.
    solver : {"auto", "items", "users"}
        Which side to invert: by default the smaller one. The scores are the same.

    Attributes
    ----------
    solution_ : Primal or Dual
        :math:`B` as a matrix, or in factored form where there are fewer users than items.
    item_shares_ : ndarray of shape (n_items,), float32
        Popularity: the answer to an empty row.

    Notes
    -----
    With n the smaller of users and items: n ** 3 multiplications and little more than 4 n ** 2
    bytes; too much for the machine is a `MemoryError` before it starts. Values of the rows are
    used as they are, binary or weighted.

    References
    ----------
    .. [1] H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, eq. 8.
       https://arxiv.org/abs/1905.03375

    Examples
    --------
    >>> likes = sparse.csr_array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [1, 0, 0]])
    >>> EASE(l2=1.0).fit(likes).recommend(likes[[3]], k=1).items
    array([[1]], dtype=int32)
    """

    solver: Solver = "auto"

    solution_: Primal | Dual = field(init=False, repr=False, compare=False)

    def _fit(self, x: CSR, validation: Fold | None) -> None:
        self.item_shares_ = item_shares(x)
        self.solution_ = solve(*self._weighted(x), solver=self.solver)

    def cost(self, user_items: CSR) -> Cost:
        """Return what the inverse takes; see `Recommender.cost`."""
        side = min(user_items.shape)
        # The Cholesky factor and the inverse from it, of which symmetry saves half.
        return Cost(side**3 / 2, 4.2 * side**2)

    def updated(self, before: CSR, after: CSR) -> Self | None:
        """Return the model refitted on rows that have grown; see `Recommender.updated`.

        Equal to a fit but for rounding. With r changed rows, up to a quarter of the items:
        O(n_items ** 2 * r) instead of O(n_items ** 3); else it is a fit.
        """
        if not np.array_equal(item_shares(before), self.item_shares_):
            return None
        model = dataclasses.replace(self, l2=self.suited_to(before).config()["l2"])
        old = sparse.csr_array(before, copy=True)
        old.resize(after.shape)
        (_, ridge), (weighted, new_ridge) = model._weighted(old), model._weighted(after)
        changed = np.flatnonzero((old != after).sum(axis=1))
        pinned = np.flatnonzero(ridge != new_ridge)
        known = changed[np.diff(old.indptr)[changed] > 0]
        items = sparse.eye_array(after.shape[1], format="csr")[pinned]
        rows, moved = [after[changed], old[known], items], (new_ridge - ridge)[pinned]
        signs = np.concatenate([np.ones(len(changed)), -np.ones(len(known)), moved])
        stacked = sparse.csr_array(sparse.vstack(rows, format="csr"), dtype=np.float32)
        solution = None
        if weighted is after:  # users count alike
            solution = _moved(self.solution_, before.shape[1], ridge, stacked, signs)
        if solution is None:
            return model.fit(after)
        model.n_items_, model.item_shares_ = after.shape[1], item_shares(after)
        model.solution_ = solution
        return model

    def _relate(self, items: Ints) -> Floats:
        """Partial correlations, -P_ij / sqrt(P_ii P_jj), which are sqrt(B_ij B_ji)."""
        weights = self.solution_.score(each_alone(items, self.n_items_))
        diagonal = self.solution_.diagonal
        return weights if diagonal is None else weights * np.sqrt(diagonal / diagonal[items, None])

    def gains(self, row: CSR, items: Integers) -> Floats | None:
        """Look the weights up where they are known; see `Recommender.gains`."""
        if isinstance(self.solution_, Dual) or np.count_nonzero(row.data) < 2:
            return super().gains(row, items)
        found = row.data[:, None] * self.solution_.weights(row, np.asarray(items, dtype=np.int64))
        scale = self._item_scale()
        return found if scale is None else found * scale[items]

    def _score(self, x: CSR) -> Floats:
        scores = self.solution_.score(x)
        scale = self._item_scale()
        if scale is not None:
            scores *= scale
        return answer_empty_rows(scores, x, self.item_shares_)

    def _restore(self, arrays: Arrays) -> None:
        super()._restore(arrays)
        kind = Primal if "blocks" in arrays else Dual
        names = [part.name for part in dataclasses.fields(kind)]
        self.solution_ = kind(**unpacked(arrays, names, self.n_items_))


@dataclass(kw_only=True)
class EDLAE(Dropped, EASE):
    r"""EASE trained with dropout, to restore only what was dropped [1]_.

    Minimizes the expected squared error of the *dropped* entries, where each entry of the input is
    dropped with probability :math:`p`, plus :math:`\lambda \|B\|_F^2`. In closed form that is EASE
    with the penalty :math:`\lambda + \frac{p}{1-p} \sum_u x_{ui}^2` for item :math:`i`: popular
    items, from which much can be copied, are held back in proportion.

    Parameters
    ----------
    l2 : float, optional
        The penalty :math:`\lambda`, in numbers of interactions; positive. By default twice the mean
        number of users of an item: dropout is a penalty already.
    dropout : float
        The probability :math:`p`, 0 <= p < 1; 0 is EASE.
    activity_power : float
        Users count ``n_interactions ** -activity_power`` in the error, on average 1; >= 0. Squared
        error is paid per entry, so at 0 those who use most decide; the metrics count people alike.
    popularity_discount : float
        Scores are divided by ``n_users ** popularity_discount``; >= 0. Regressions on counts lean
        toward what is common; validation users say by how much.
    solver : {"auto", "items", "users"}
        Which side to invert: by default the smaller one. The scores are the same.

    Notes
    -----
    Cost and attributes as in `EASE`. Emphasis on the dropped entries only is the case a = 1, b = 0
    of [1]_, and makes the zero diagonal superfluous as a constraint: it follows. The defaults are
    the paper's model; `activity_power` and `popularity_discount` are not in it.

    References
    ----------
    .. [1] H. Steck, "Autoencoders that don't overfit towards the Identity", NeurIPS 2020, eq. 10.

    Examples
    --------
    >>> likes = sparse.csr_array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [1, 0, 0]])
    >>> EDLAE(l2=1.0, dropout=0.5).fit(likes).recommend(likes[[3]], k=1).items
    array([[1]], dtype=int32)
    """
