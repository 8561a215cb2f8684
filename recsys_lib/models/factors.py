"""Matrix factorization: PureSVD, BiasedSVD and ALS, users and items as short vectors."""

from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from scipy import sparse
from threadpoolctl import ThreadpoolController, threadpool_limits

from recsys_lib.checks import CSR, Doubles, Floats, Integers, check_positive
from recsys_lib.dataset import Fold
from recsys_lib.models.base import RULES, Arrays, Cost, Recommender, Rules
from recsys_lib.models.baselines import (
    Biases,
    blocks_of_factors,
    density,
    fit_biases,
    item_shares,
    users_per_item,
)
from recsys_lib.ranking import Block, entry_rows
from recsys_lib.seeding import rng_from, seed_from

# Standard deviation of the ratings of MovieLens, for which the penalty of `BiasedSVD` was chosen.
_SPREAD = 1.125


def ridge_rows(x: CSR, features: Doubles, penalty: Doubles) -> Doubles:
    r"""Solve one ridge regression per row of `x`, over the entries that the row stores.

    .. math:: w_r = \arg\min_w \sum_{j \in r} (x_{rj} - \langle w, f_j \rangle)^2
       + \sum_d \text{penalty}_d\, w_d^2

    Parameters
    ----------
    x : csr_array of shape (n_rows, n_columns)
    features : ndarray of shape (n_columns, n_features), float64
    penalty : ndarray of shape (n_features,), float64
        Positive.

    Returns
    -------
    ndarray of shape (n_rows, n_features), float64
        Zero for an empty row.

    Notes
    -----
    O(nnz * n_features ** 2 + n_rows * n_features ** 3), one row after the other.
    """
    solution, ridge = np.zeros((x.shape[0], features.shape[1])), np.diag(penalty)
    # BLAS threads cost more than they bring on matrices as small as these.
    with threadpool_limits(1, "blas"):
        for row in np.flatnonzero(np.diff(x.indptr)):
            part = slice(x.indptr[row], x.indptr[row + 1])
            design = features[x.indices[part]]
            normal = design.T @ design + ridge
            solution[row] = np.linalg.solve(normal, x.data[part] @ design)
    return solution


@dataclass(kw_only=True)
class BiasedSVD(Recommender):
    r"""Ratings as mean + biases + inner product of user and item factors.

    .. math:: \hat r_{ui} = \mu + b_u + b_i + \langle p_u, q_i \rangle

    Minimizes the squared error of the stored ratings plus `l2` (times `spread_`) times the squared
    norm of each :math:`p_u` and :math:`q_i` plus the dampings times the squared biases. Each
    half-step is an exact ridge regression for all users, then for all items [1]_; the same
    regression folds in a row that was never seen.

    Parameters
    ----------
    latent_dim : int
        Number of factors, >= 1.
    l2 : float
        Penalty of the factors, in numbers of ratings that vary as those of MovieLens, from 1 to 5;
        positive. It grows with the spread of the ratings, so that it suits any scale.
    epochs : int
        Number of alternations, >= 1.
    user_damping, item_damping : float
        Penalty of the biases, as in `Bias`; positive.
    seed : int
        Of the start.

    Attributes
    ----------
    biases_ : Biases
        Mean and item biases.
    item_factors_ : ndarray of shape (n_items, latent_dim), float64
        The matrix :math:`Q`.
    spread_ : float
        Standard deviation of the ratings, in units of that of MovieLens, 1.125.

    Notes
    -----
    O(epochs * (nnz * latent_dim ** 2 + (n_users + n_items) * latent_dim ** 3)). The start is a
    random projection of the users, so relabeling the items relabels the solution.

    References
    ----------
    .. [1] Y. Zhou, D. Wilkinson, R. Schreiber, R. Pan, "Large-Scale Parallel Collaborative
       Filtering for the Netflix Prize", AAIM 2008. Differs: biases; a fixed penalty
       instead of one that grows with the number of ratings, which would shrink heavy users most.

    Examples
    --------
    >>> ratings = sparse.csr_array([[5, 1, 5, 1], [1, 5, 1, 5], [5, 1, 5, 0], [1, 5, 1, 0]])
    >>> scores = BiasedSVD(latent_dim=1, l2=0.1, seed=0).fit(ratings).score(ratings[[2, 3]])
    >>> bool(scores[0, 3] < 2 < 4 < scores[1, 3])
    True
    """

    predicts: ClassVar[Literal["rating", "rank"]] = "rating"
    _rules: ClassVar[Rules] = {
        **RULES,
        "user_damping": check_positive,
        "item_damping": check_positive,
    }

    latent_dim: int = 40
    l2: float = 15.0
    epochs: int = 10
    user_damping: float = 5.0
    item_damping: float = 2.0
    seed: int = 0

    biases_: Biases = field(init=False, repr=False, compare=False)
    item_factors_: Doubles = field(init=False, repr=False, compare=False)
    # Models that were saved before do not have it.
    spread_: float = field(init=False, repr=False, compare=False, default=1.0)

    def _fit(self, x: CSR, validation: Fold | None) -> None:
        # Equal ratings have no spread, and no factors whatever the penalty.
        self.spread_ = float(x.data.std(dtype=np.float64)) / _SPREAD or 1.0
        self.biases_ = fit_biases(x, user_damping=self.user_damping, item_damping=self.item_damping)
        self.item_factors_ = self._start(x)
        columns = x.T.tocsr()
        mean = self.biases_.mean
        for _ in range(self.epochs):
            users = self._users(x)
            rest = _without(columns, mean, users[:, 0])
            features = np.column_stack([np.ones(len(users)), users[:, 1:]])
            items = ridge_rows(rest, features, self._penalty(self.item_damping))
            self.biases_ = self.biases_._replace(items=items[:, 0])
            self.item_factors_ = items[:, 1:]

    def _start(self, x: CSR) -> Doubles:
        """Item factors at the start: the deviations of random groups of users, scaled to 0.1."""
        directions = rng_from(self.seed, "factors").normal(size=(x.shape[0], self.latent_dim))
        start = np.asarray(self.biases_.deviations(x).T @ directions)
        # A single number has no spread, and its size takes the place of it.
        return start * (0.1 / (float(start.std()) or float(np.abs(start).max()) or 1.0))

    def _penalty(self, damping: float) -> Doubles:
        return np.array([damping] + [self.l2 * self.spread_] * self.latent_dim)

    def _users(self, x: CSR) -> Doubles:
        """Bias and factors of each row, (n_rows, 1 + latent_dim)."""
        rest = _without(x, self.biases_.mean, self.biases_.items)
        features = np.column_stack([np.ones(x.shape[1]), self.item_factors_])
        return ridge_rows(rest, features, self._penalty(self.user_damping))

    def _score(self, x: CSR) -> Floats:
        users = self._users(x)
        scores = users[:, 1:] @ self.item_factors_.T
        scores += users[:, :1] + (self.biases_.mean + self.biases_.items)
        return scores.astype(np.float32)

    def _restore(self, arrays: Arrays) -> None:
        super()._restore(arrays)
        self.biases_ = Biases.from_arrays(arrays)


def _without(x: CSR, mean: float, column_bias: Doubles) -> CSR:
    """Return the ratings minus the mean and the bias of their column."""
    rest = x.data.astype(np.float64) - mean - column_bias[x.indices]
    return sparse.csr_array((rest, x.indices, x.indptr), shape=x.shape)


# Directions by default: at least, at most, and the numbers that all items' vectors may hold.
_LEAST, _MOST, _NUMBERS = 10, 800, 2**26
# Rounds of the power iteration that finds them.
_ROUNDS = 4


def leading_directions(x: CSR, width: int, seed: int) -> tuple[Floats, Floats]:
    """Return the strongest right singular vectors of a sparse matrix, and how strong they are.

    Parameters
    ----------
    x : csr_array of shape (n_users, n_items), float32
    width : int
        At most min(n_users, n_items).
    seed : int
        Of the start: a random projection of the users.

    Returns
    -------
    vectors : ndarray of shape (n_items, width), float32
    values : ndarray of shape (width,), float32

    Notes
    -----
    Randomized: exact where there are at most ``width + 10`` singular values, else the last
    directions are mixtures with their neighbors. Four rounds of the power iteration.

    References
    ----------
    .. [1] N. Halko, P. Martinsson, J. Tropp, "Finding Structure with Randomness", SIAM Review
       53(2), 2011, algorithm 4.4.
    """
    from sklearn.utils.extmath import randomized_svd

    start = seed_from(seed, "directions")
    vectors, values, _ = randomized_svd(
        x.T, width, n_iter=_ROUNDS, transpose=False, random_state=start
    )
    return vectors.astype(np.float32), values.astype(np.float32)


def project(x: CSR, factors: Floats, scales: Floats) -> Floats:
    """Return the factors of rows, (n_rows, latent_dim), as `PureSVD` folds them in."""
    scaled = sparse.csr_array((x.data * scales[x.indices], x.indices, x.indptr), shape=x.shape)
    return np.asarray(scaled @ factors)


@dataclass(kw_only=True)
class PureSVD(Recommender):
    r"""Projection of the row on the strongest right singular vectors [1]_, of a weighted matrix.

    Entries count less the more their user and their item have:
    :math:`\tilde X = D_U^{-a/2} X D_I^{-p/2}`, with the numbers of entries :math:`D`,
    `activity_power` :math:`a` and `popularity_power` :math:`p`. With
    :math:`\tilde X \approx U S V^\top` of rank `latent_dim`, scores are
    :math:`x D_I^{-p/2} V V^\top D_I^{p/2}`: a linear autoencoder with a bottleneck of that width,
    whose directions are not those of the few most active users and most used items. With
    :math:`a = p = 0` it is PureSVD as published; with 1 the ideal low-pass filter of [2]_.

    Parameters
    ----------
    latent_dim : int, optional
        Number of singular vectors, >= 1. If there are fewer, min(n_users, n_items), half of those
        are used, since all of them would only reproduce the row. By default ``(min(n_users,
        n_items) / density) ** (2 / 3) / 21.8 - 8``: the rarer an interaction, the more directions
        it takes to tell people apart; from 10 to 800, and at most 256 MB of them.
    activity_power, popularity_power : float
        How far users and items count less the more entries they have, >= 0.
    seed : int
        Of the start of the iteration; what the result owes to it is small.

    Attributes
    ----------
    item_factors_ : ndarray of shape (n_items, latent_dim), float32
        The matrix :math:`D_I^{p/2} V`; `latent_dim` as it was taken.
    item_scales_ : ndarray of shape (n_items,), float32
        The diagonal of :math:`D_I^{-p}`, by which entries of a row are multiplied before they are
        projected on the item factors.
    item_shares_ : ndarray of shape (n_items,), float32
        Popularity: the answer to an empty row.

    Notes
    -----
    `leading_directions` on the sparse matrix; never a dense copy.

    The weights are the same on all tables: ndcg@100 of the validation users with the best
    `latent_dim` rose from .398 to .430 (default world), .452 to .465 (MovieLens 100K), .459 to .481
    (MovieLens 1M), .303 to .340 (CiteULike-a) and .156 to .203 (a part of Gowalla).

    References
    ----------
    .. [1] P. Cremonesi, Y. Koren, R. Turrin, "Performance of Recommender Algorithms on Top-N
       Recommendation Tasks", RecSys 2010, section 3.3.
    .. [2] Y. Shen et al., "How Powerful is Graph Convolution for Recommendation?", CIKM 2021,
       section 4.1 (GF-CF). Differs: powers between 0 and 1, and no neighborhood part.

    Examples
    --------
    >>> likes = sparse.csr_array([[1, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]])
    >>> PureSVD(latent_dim=1).fit(likes).recommend(likes[[3]], k=1).items
    array([[1]], dtype=int32)
    """

    _in_threads: ClassVar[bool] = True

    latent_dim: int | None = None
    activity_power: float = 0.7
    popularity_power: float = 0.7
    seed: int = 0

    item_factors_: Floats = field(init=False, repr=False, compare=False)
    item_scales_: Floats = field(init=False, repr=False, compare=False)
    item_shares_: Floats = field(init=False, repr=False, compare=False)

    _is_linear = True

    def _suited(self, x: CSR) -> dict[str, Any]:
        smaller = min(x.shape)
        wide = round((smaller / density(x)) ** (2 / 3) / 21.8) - 8
        most = min(_MOST, smaller // 2, _NUMBERS // x.shape[1])
        return {"latent_dim": max(1, min(max(wide, _LEAST), most))}

    def cost(self, user_items: CSR) -> Cost:
        """Return what the power iteration takes; see `Recommender.cost`."""
        width = self.suited_to(user_items).config()["latent_dim"]
        return cost_of_directions(user_items, width)

    def _fit(self, x: CSR, validation: Fold | None) -> None:
        smaller = min(x.shape)
        latent_dim = int(self.suited_to(x).config()["latent_dim"])
        latent_dim = latent_dim if latent_dim <= smaller else max(1, smaller // 2)
        self.item_shares_ = item_shares(x)
        users = np.maximum(np.diff(x.indptr), 1) ** (-self.activity_power / 2)
        counts = np.maximum(np.bincount(x.indices, minlength=x.shape[1]), 1)
        items = np.asarray(counts ** (-self.popularity_power / 2), dtype=np.float32)
        data = (x.data * users[entry_rows(x)] * items[x.indices]).astype(np.float32)
        weighted = sparse.csr_array((data, x.indices, x.indptr), shape=x.shape)
        vectors, _ = leading_directions(weighted, latent_dim, self.seed)
        self.item_factors_ = vectors / items[:, None]
        self.item_scales_ = np.square(items)

    def _restore(self, arrays: Arrays) -> None:
        if "item_scales" not in arrays:  # as it was saved until 0.2
            self.activity_power = self.popularity_power = 0.0
            arrays["item_scales"] = np.ones(self.n_items_, dtype=np.float32)
        super()._restore(arrays)

    def _blocks(self, x: CSR) -> Block:
        rows = project(x, self.item_factors_, self.item_scales_)
        return blocks_of_factors(rows, self.item_factors_, x, self.item_shares_)


def cost_of_directions(x: CSR, width: int) -> Cost:
    """Return what `leading_directions` takes, products of sparse and of tall matrices."""
    sides = sum(x.shape)
    # An entry of a sparse matrix is multiplied at a fifteenth of the speed of a dense one.
    return Cost(4.0 * _ROUNDS * width * (15 * x.nnz + sides * width), 12 * width * sides)


# The default penalty, in roots of the users of an item. On the validation users of four datasets,
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
       ICDM 2008, eq. 3. Differs: confidence is :math:`\alpha x`, not :math:`1 + \alpha x`.

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

    item_factors_: Floats = field(init=False, repr=False, compare=False)
    item_shares_: Floats = field(init=False, repr=False, compare=False)

    def cost(self, user_items: CSR) -> Cost:
        """Return what four products for each user and item take; see `Recommender.cost`."""
        vectors, d = sum(user_items.shape), self.latent_dim
        return Cost(4.0 * self.epochs * vectors * d**2, 8 * vectors * d)

    def _suited(self, x: CSR) -> dict[str, Any]:
        return {"alpha": density(x) ** -0.5, "l2": _PENALTY * users_per_item(x) ** 0.5}

    def _fit(self, x: CSR, validation: Fold | None) -> None:
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

    def _blocks(self, x: CSR) -> Block:
        with _single_blas_thread():
            users = self._folding_in.recalculate_user(np.arange(x.shape[0]), _matrix(x))
        return blocks_of_factors(users, self.item_factors_, x, self.item_shares_)

    def gains(self, row: CSR, items: Integers) -> Floats | None:
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


def _matrix(x: CSR) -> sparse.csr_matrix:
    """Convert to the matrix class and 32-bit indices that `implicit` needs."""
    parts = (x.data, x.indices.astype(np.int32), x.indptr.astype(np.int32))
    return sparse.csr_matrix(parts, shape=x.shape)
