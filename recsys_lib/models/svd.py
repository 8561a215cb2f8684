"""Matrix factorizations: of ratings by alternating ridge regressions, of interactions by SVD."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg
from threadpoolctl import threadpool_limits

from recsys_lib.checks import check_positive
from recsys_lib.dataset import Fold
from recsys_lib.models.base import RULES, Arrays, Recommender, Rules
from recsys_lib.models.baselines import Biases, blocks_of_factors, density, fit_biases, item_shares
from recsys_lib.ranking import Block
from recsys_lib.seeding import rng_from

Floats = NDArray[np.float64]

# Numbers held by one batch of gathered factors: 64 MB of float64.
_BATCH_NUMBERS = 8_000_000


def ridge_rows(x: sparse.csr_array, features: Floats, penalty: Floats) -> Floats:
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
    Rows of similar length are gathered, padded with zero features and solved together: O(nnz *
    n_features ** 2 + n_rows * n_features ** 3), about 64 MB at a time.
    """
    counts = np.diff(x.indptr)
    solution = np.zeros((x.shape[0], features.shape[1]))
    padded = np.vstack([features, np.zeros(features.shape[1])])
    # BLAS threads cost more than they bring on matrices as small as these.
    with threadpool_limits(1, "blas"):
        for rows in _batches_by_length(counts, features.shape[1]):
            solution[rows] = _solve_batch(x, rows, padded, penalty)
    return solution


def _solve_batch(
    x: sparse.csr_array, rows: NDArray[np.intp], padded: Floats, penalty: Floats
) -> Floats:
    """Solve the regressions of some rows; the last of the `padded` features is zero."""
    counts = np.diff(x.indptr)[rows]
    # An index past the row's own entries points to the zero feature and to target zero.
    inside = np.arange(int(counts.max())) < counts[:, None]
    at = np.where(inside, x.indptr[rows][:, None] + np.arange(inside.shape[1]), 0)
    design = padded[np.where(inside, x.indices[at], len(padded) - 1)]
    targets = np.where(inside, x.data[at], 0.0)
    normal = design.transpose(0, 2, 1) @ design
    diagonal = np.arange(len(penalty))
    normal[:, diagonal, diagonal] += penalty
    moments = np.einsum("rld,rl->rd", design, targets)
    return np.asarray(np.linalg.solve(normal, moments[:, :, None])[:, :, 0])


def _batches_by_length(counts: NDArray[np.integer], n_features: int) -> Iterator[NDArray[np.intp]]:
    """Positions of the non-empty rows, shortest first, in batches that fit the memory bound."""
    order = np.argsort(counts, kind="stable")
    order = order[counts[order] > 0]
    start = 0
    while start < len(order):
        # The longest row of a batch decides its padded size; doubling lengths bound the waste.
        shortest = int(counts[order[start]])
        stop = int(np.searchsorted(counts[order], 2 * shortest, "right"))
        room = _BATCH_NUMBERS // ((2 * shortest + n_features) * n_features)
        stop = min(stop, start + max(1, room))
        yield order[start:stop]
        start = stop


@dataclass(kw_only=True)
class BiasedSVD(Recommender):
    r"""Ratings as mean + biases + inner product of user and item factors.

    .. math:: \hat r_{ui} = \mu + b_u + b_i + \langle p_u, q_i \rangle

    Minimizes the squared error of the stored ratings plus `l2` times the squared norm of each
    :math:`p_u` and :math:`q_i` plus the dampings times the squared biases. Each half-step is an
    exact ridge regression for all users, then for all items [1]_; the same regression folds in a
    row that was never seen.

    Parameters
    ----------
    latent_dim : int
        Number of factors, >= 1.
    l2 : float
        Penalty of the factors, in numbers of ratings; positive.
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
    item_factors_: Floats = field(init=False, repr=False, compare=False)

    def _fit(self, x: sparse.csr_array, validation: Fold | None) -> None:
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

    def _start(self, x: sparse.csr_array) -> Floats:
        """Item factors at the start: the deviations of random groups of users, scaled to 0.1."""
        directions = rng_from(self.seed, "factors").normal(size=(x.shape[0], self.latent_dim))
        start = np.asarray(self.biases_.deviations(x).T @ directions)
        # A single number has no spread, and its size takes the place of it.
        return start * (0.1 / (float(start.std()) or float(np.abs(start).max()) or 1.0))

    def _penalty(self, damping: float) -> Floats:
        return np.array([damping] + [self.l2] * self.latent_dim)

    def _users(self, x: sparse.csr_array) -> Floats:
        """Bias and factors of each row, (n_rows, 1 + latent_dim)."""
        rest = _without(x, self.biases_.mean, self.biases_.items)
        features = np.column_stack([np.ones(x.shape[1]), self.item_factors_])
        return ridge_rows(rest, features, self._penalty(self.user_damping))

    def _score(self, x: sparse.csr_array) -> NDArray[np.float32]:
        users = self._users(x)
        scores = users[:, 1:] @ self.item_factors_.T
        scores += users[:, :1] + (self.biases_.mean + self.biases_.items)
        return scores.astype(np.float32)

    def _restore(self, arrays: Arrays) -> None:
        super()._restore(arrays)
        self.biases_ = Biases.from_arrays(arrays)


def _without(x: sparse.csr_array, mean: float, column_bias: Floats) -> sparse.csr_array:
    """Return the ratings minus the mean and the bias of their column."""
    rest = x.data.astype(np.float64) - mean - column_bias[x.indices]
    return sparse.csr_array((rest, x.indices, x.indptr), shape=x.shape)


# Directions by default, at least: a small dense table has more to say than one.
_LEAST = 8


@dataclass(kw_only=True)
class PureSVD(Recommender):
    r"""Projection of the row on the strongest right singular vectors [1]_.

    With :math:`X \approx U S V^\top` of rank `latent_dim`, scores are :math:`x V V^\top`: the best
    linear autoencoder with a bottleneck of that width.

    Parameters
    ----------
    latent_dim : int, optional
        Number of singular vectors, >= 1. If there are fewer, min(n_users, n_items), half of those
        are used, since all of them would only reproduce the row. By default ``(min(n_users,
        n_items) / density ** 2) ** (1 / 3) / 3``: the rarer an interaction, the more directions it
        takes to tell people apart.
    seed : int
        Of the start vector of the iteration; the result does not depend on it beyond rounding.

    Attributes
    ----------
    item_factors_ : ndarray of shape (n_items, latent_dim), float32
        The matrix :math:`V`, orthonormal columns; `latent_dim` as it was taken.
    item_shares_ : ndarray of shape (n_items,), float32
        Popularity: the answer to an empty row.

    Notes
    -----
    ARPACK on the sparse matrix: O(nnz * latent_dim) per iteration, and never a dense copy, except
    where all singular vectors are asked for.

    References
    ----------
    .. [1] P. Cremonesi, Y. Koren, R. Turrin, "Performance of Recommender Algorithms on Top-N
       Recommendation Tasks", RecSys 2010, section 3.3.

    Examples
    --------
    >>> likes = sparse.csr_array([[1, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]])
    >>> PureSVD(latent_dim=1).fit(likes).recommend(likes[[3]], k=1).items
    array([[1]], dtype=int32)
    """

    _in_threads: ClassVar[bool] = True

    latent_dim: int | None = None
    seed: int = 0

    item_factors_: NDArray[np.float32] = field(init=False, repr=False, compare=False)
    item_shares_: NDArray[np.float32] = field(init=False, repr=False, compare=False)

    def _suited(self, x: sparse.csr_array) -> dict[str, Any]:
        smaller = min(x.shape)
        wide = (smaller / density(x) ** 2) ** (1 / 3) / 3
        return {"latent_dim": max(1, min(max(round(wide), _LEAST), smaller // 2))}

    def _fit(self, x: sparse.csr_array, validation: Fold | None) -> None:
        smaller = min(x.shape)
        latent_dim = int(self.suited_to(x).config()["latent_dim"])
        latent_dim = latent_dim if latent_dim <= smaller else max(1, smaller // 2)
        self.item_shares_ = item_shares(x)
        if latent_dim == smaller or not x.data.any():  # ARPACK finds all but the last
            right = np.linalg.svd(x.toarray(), full_matrices=False)[2][:latent_dim]
        else:
            start = rng_from(self.seed, "start").normal(size=smaller)
            right = linalg.svds(x.astype(np.float64), latent_dim, v0=start)[2]
        self.item_factors_ = np.ascontiguousarray(right.T, dtype=np.float32)

    def _blocks(self, x: sparse.csr_array) -> Block:
        rows = np.asarray(x @ self.item_factors_)
        return blocks_of_factors(rows, self.item_factors_, x, self.item_shares_)
