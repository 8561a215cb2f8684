"""Weighted matrix factorization for interactions, on the `implicit` library."""

from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import ThreadpoolController

from recsys_lib.dataset import Fold
from recsys_lib.models.base import Arrays, Cost, Recommender
from recsys_lib.models.baselines import blocks_of_factors, density, item_shares, users_per_item
from recsys_lib.ranking import Block
from recsys_lib.seeding import rng_from

# The default penalty, in roots of the users of an item. On the validation users of four data sets,
# with 10 to 219 of them, the best were 1 to 5 roots, and dense tables suffer from more.
_PENALTY = 4.5


@dataclass(kw_only=True)
class ALS(Recommender):
    r"""Implicit-feedback matrix factorization by alternating least squares [1]_.

    Minimizes :math:`\sum_{ui} c_{ui} (t_{ui} - \langle p_u, q_i \rangle)^2 + \lambda (\|P\|_F^2 +
    \|Q\|_F^2)` over *all* cells, with :math:`t = 1, c = \alpha x_{ui}` where an interaction is
    stored and :math:`t = 0, c = 1` elsewhere. A row is folded in by its exact ridge solution, so
    seen and unseen users are scored alike.

    Parameters
    ----------
    latent_dim : int
        Number of factors, >= 1. Sparse tables gain up to 256; dense ones lose little.
    alpha : float, optional
        Confidence of one interaction against that of a missing one; positive. By default
        ``density ** -0.5``: the rarer an interaction, the more it says.
    l2 : float, optional
        The penalty :math:`\lambda`, in numbers of interactions; positive. By default 4.5 times the
        square root of the mean number of users of an item.
    epochs : int
        Number of alternations, >= 1.
    seed : int
        Of the start.

    Attributes
    ----------
    alpha_, l2_ : float
        The settings that were used.
    item_factors_ : ndarray of shape (n_items, latent_dim), float32
        The matrix :math:`Q`.
    item_shares_ : ndarray of shape (n_items,), float32
        Popularity: the answer to an empty row.

    Notes
    -----
    O(epochs * (nnz * latent_dim + (n_users + n_items) * latent_dim ** 2)) by conjugate gradients.
    The items start from a random projection of the users, so relabeling the items relabels the
    factors.

    References
    ----------
    .. [1] Y. Hu, Y. Koren, C. Volinsky, "Collaborative Filtering for Implicit Feedback Datasets",
       ICDM 2008, eq. 3.

    Examples
    --------
    >>> likes = sparse.csr_array([[1, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]])
    >>> ALS(latent_dim=2, l2=0.1).fit(likes).recommend(likes[[3]], k=1).items
    array([[1]], dtype=int32)
    """

    _in_threads: ClassVar[bool] = True

    latent_dim: int = 256
    alpha: float | None = None
    l2: float | None = None
    epochs: int = 15
    seed: int = 0

    alpha_: float = field(init=False, repr=False, compare=False)
    l2_: float = field(init=False, repr=False, compare=False)

    item_factors_: NDArray[np.float32] = field(init=False, repr=False, compare=False)
    item_shares_: NDArray[np.float32] = field(init=False, repr=False, compare=False)

    def cost(self, user_items: sparse.csr_array) -> Cost:
        """Return what four products for each user and item take; see `Recommender.cost`."""
        vectors, d = sum(user_items.shape), self.latent_dim
        return Cost(4.0 * self.epochs * vectors * d**2, 8 * vectors * d)

    def _suited(self, x: sparse.csr_array) -> dict[str, Any]:
        return {"alpha": density(x) ** -0.5, "l2": _PENALTY * users_per_item(x) ** 0.5}

    def _fit(self, x: sparse.csr_array, validation: Fold | None) -> None:
        self.__dict__.pop("_folding_in", None)
        own = self.suited_to(x).config()
        self.alpha_, self.l2_ = own["alpha"], own["l2"]
        self.item_shares_ = item_shares(x)
        rng = rng_from(self.seed, "factors")
        directions = rng.normal(size=(x.shape[0], self.latent_dim)).astype(np.float32)
        start = np.asarray(x.T @ directions)
        with _single_blas_thread():
            model = self._backend()
            model.user_factors = 0.01 * directions
            # A single number has no spread, and its size takes the place of it.
            spread = float(start.std()) or float(np.abs(start).max()) or 1.0
            model.item_factors = start * np.float32(0.01 / spread)
            model.fit(_matrix(x), show_progress=False)
        self.item_factors_ = model.item_factors

    @cached_property
    def _folding_in(self) -> Any:
        """The solver, which keeps the Gram matrix of the item factors."""
        model = self._backend()
        model.item_factors = self.item_factors_
        return model

    def _backend(self) -> Any:
        # Its factory would choose a GPU by itself; the device is the caller's choice.
        from implicit.cpu.als import AlternatingLeastSquares

        return AlternatingLeastSquares(
            factors=self.latent_dim,
            regularization=self.l2_,
            alpha=self.alpha_,
            iterations=self.epochs,
            dtype=np.float32,
        )

    def _blocks(self, x: sparse.csr_array) -> Block:
        with _single_blas_thread():
            users = self._folding_in.recalculate_user(np.arange(x.shape[0]), _matrix(x))
        return blocks_of_factors(users, self.item_factors_, x, self.item_shares_)

    def gains(
        self, row: sparse.csr_array, items: NDArray[np.integer[Any]]
    ) -> NDArray[np.float32] | None:
        """Return what each entry adds to scores, by one factorization; see `Recommender.gains`.

        A row without an entry has a system of equations that differs by one outer product
        (Sherman-Morrison). None where there would be nothing left.
        """
        strength = self.alpha_ * row.data.astype(np.float64)
        if row.nnz < 2 or not (strength > 0).all():
            return None
        own = self.item_factors_[row.indices].astype(np.float64)
        matrix = self._folding_in.YtY + self.l2_ * np.eye(own.shape[1])
        matrix += own.T @ ((strength - 1)[:, None] * own)
        moved = np.linalg.solve(matrix, own.T).T
        lever = np.einsum("ij,ij->i", own, moved)
        rest = own @ (strength @ moved) - strength * lever
        share = strength - (strength - 1) * rest / (1 - (strength - 1) * lever)
        return (share[:, None] * (moved @ self.item_factors_[items].T)).astype(np.float32)

    def _restore(self, arrays: Arrays) -> None:
        super()._restore(arrays)
        if "l2" not in arrays:  # saved before 0.2, when both were always given
            self.alpha_, self.l2_ = self.config()["alpha"], self.config()["l2"]


def _single_blas_thread() -> Any:
    """Limit BLAS to one thread while `implicit` runs its own, as it recommends."""
    return _loaded_libraries().limit(limits=1, user_api="blas")


@cache
def _loaded_libraries() -> ThreadpoolController:
    # To look for them takes longer than to fold somebody in. Imported first: a limit holds only
    # for the libraries that are loaded by then.
    import implicit.cpu.als  # noqa: F401

    return ThreadpoolController()


def _matrix(x: sparse.csr_array) -> sparse.csr_matrix:
    """Convert to the matrix class and 32-bit indices that `implicit` needs."""
    parts = (x.data, x.indices.astype(np.int32), x.indptr.astype(np.int32))
    return sparse.csr_matrix(parts, shape=x.shape)
