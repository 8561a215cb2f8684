"""An autoencoder of infinite width with a closed form: kernel ridge regression over users."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import linalg, sparse

from recsys_lib.checks import CSR, Floats, Integers, check_memory
from recsys_lib.dataset import Fold
from recsys_lib.models.base import Arrays, Cost, Recommender
from recsys_lib.models.baselines import answer_empty_rows, item_shares, products, users_per_item
from recsys_lib.ranking import slices
from recsys_lib.seeding import rng_from

# Users whose rows are turned into kernels at once while landmarks are regressed on all users.
_BLOCK = 2048

# The penalty where none is given, in units of n_users / n_items. On the validation users of four
# datasets, on which that is 0.3 to 17, two to eight ranked about as well.
_USERS_PER_ITEM = 4.0
# The sharpness for one user an item, what each e-fold more adds, and the least.
_SHARPNESS, _MORE, _LEAST_SHARPNESS = 2.0, 0.3, 0.5


@dataclass(kw_only=True)
class KernelAE(Recommender):
    r"""Autoencoder in the space of an exponential kernel between users' rows.

    A linear autoencoder predicts an item from single items. What it cannot say is that two films
    *together* mean something that neither means alone. Higher-order linear models add a feature for
    each such pair [2]_, which is affordable for some thousand pairs. Here all of them are added, of
    every order, at the price of one matrix of users x users.

    Derivation. Let :math:`\tilde x = Dx / \|Dx\|` be the row with item weights :math:`D_{ii} =
    n_i^{-\text{popularity\_power}}`, scaled to length 1, and let :math:`\varphi` hold every product
    of :math:`m` of its entries, weighted by :math:`\sqrt{\gamma^m / m!}`, for all :math:`m \ge 0`.
    The squared-error autoencoder on these features,

    .. math:: \min_W \sum_u \|x_u - \varphi(\tilde x_u) W\|^2 + \lambda \|W\|^2,

    has by the representer theorem the scores

    .. math:: s(x) = k(x)^\top (K + \lambda I)^{-1} X, \qquad
       k(x, v) \propto \langle \varphi(\tilde x), \varphi(\tilde v) \rangle
       \propto e^{\gamma (\cos(x, v) - 1)},

    the sum over :math:`m` being the exponential series. With :math:`\gamma \to 0` only single items
    count, and it is a linear autoencoder; with large :math:`\gamma` only near duplicates of the row
    speak, and it is a nearest neighbor. The penalty is :math:`\lambda = \text{l2} \cdot \gamma
    e^{-\gamma}`, where :math:`\gamma e^{-\gamma}` is the weight of single items in the series: so
    `l2` means the same at every sharpness, namely the penalty of that linear autoencoder.

    Autoencoders of infinite width by neural tangent kernels [1]_ have this form too; the
    exponential kernel has one number to say how far it looks, and ranks better on the datasets
    that this was developed on.

    Parameters
    ----------
    sharpness : float, optional
        :math:`\gamma`, how fast a user's weight grows with the cosine; positive. By default
        ``2 + 0.3 * log(users of an item)``, 0.5 at least: the more is known of an item, the finer
        may people be told apart. Within 3 % of the best ndcg@100 of the validation users on six
        tables, from 0.6 to 300 users an item.
    l2 : float, optional
        Penalty of the linear part, against rows of length 1; positive. By default
        ``4 * n_users / n_items``: against plain rows that is four times the mean number of users
        of an item, as zero-diagonal regressions need it.
    popularity_power : float
        Common items tell less about a person: each weighs ``n_users ** -popularity_power``, >= 0.
    landmarks : int
        Number of training users that features are built on, >= 1. With fewer training users than
        that the solution is exact; else it is the best in the span of as many random users.
    seed : int
        Of the choice of landmarks.

    Attributes
    ----------
    sharpness_ : float
        As it was taken.
    users_ : csr_array of shape (n_landmarks, n_items), float32
        The landmarks' weighted rows of length 1.
    coefficients_ : ndarray of shape (n_landmarks, n_items), float32
        What a landmark's similarity adds to the score of each item.
    item_weights_ : ndarray of shape (n_items,), float32
        The diagonal of :math:`D`.
    item_shares_ : ndarray of shape (n_items,), float32
        Popularity: the answer to an empty row.

    Notes
    -----
    With m landmarks: m ** 3 / 3 + m ** 2 * n_items multiplications where they are all users, else
    n_users * m ** 2 in addition; memory 4 m (m + 2 n_items) bytes, four times that with landmarks,
    refused before it starts where the machine has less. A row is scored with m * n_items
    multiplications.

    References
    ----------
    .. [1] N. Sachdeva, M. Dhaliwal, C.-J. Wu, J. McAuley, "Infinite Recommendation Networks",
       NeurIPS 2022, eq. 2. Differs: the kernel, and the weights of the items.
    .. [2] H. Steck, D. Liang, "Negative Interactions for Improved Collaborative Filtering: Don't go
       Deeper, go Higher", RecSys 2021.

    Examples
    --------
    >>> likes = sparse.csr_array([[1, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]])
    >>> KernelAE().fit(likes).recommend(likes[[3]], k=1).items
    array([[1]], dtype=int32)
    """

    sharpness: float | None = None
    l2: float | None = None
    popularity_power: float = 0.1
    landmarks: int = 8000
    seed: int = 0

    sharpness_: float = field(init=False, repr=False, compare=False)
    users_: CSR = field(init=False, repr=False, compare=False)
    coefficients_: Floats = field(init=False, repr=False, compare=False)
    item_weights_: Floats = field(init=False, repr=False, compare=False)
    item_shares_: Floats = field(init=False, repr=False, compare=False)

    def cost(self, user_items: CSR) -> Cost:
        """Return what the regression on landmarks takes; see `Recommender.cost`."""
        n_users, n_items = user_items.shape
        m = min(n_users, self.landmarks)
        rest = n_users if m < n_users else 0
        return Cost(m**2 * (m / 3 + n_items + rest), 16 * m * (m + n_items))

    def _fit(self, x: CSR, validation: Fold | None) -> None:
        n_users, n_items = x.shape
        m = min(n_users, self.landmarks)
        exact = m == n_users
        check_memory(
            4 * m * (m + 2 * n_items) if exact else 16 * m * (m + n_items),
            f"A kernel of {m} users with coefficients for {n_items} items",
            "Use fewer `landmarks`.",
        )
        self.item_shares_ = item_shares(x)
        counts = np.maximum(np.bincount(x.indices, minlength=n_items), 1)
        self.item_weights_ = (counts ** -float(self.popularity_power)).astype(np.float32)
        self.sharpness_ = float(self.suited_to(x).config()["sharpness"])
        rows = self._unit_rows(x)
        if exact:
            self.users_ = rows
            self.coefficients_ = self._solve_all(x)
        else:
            chosen = rng_from(self.seed, "landmarks").choice(n_users, m, replace=False)
            self.users_ = rows[np.sort(chosen)]
            self.coefficients_ = self._solve_landmarks(x, rows)

    def _suited(self, x: CSR) -> dict[str, Any]:
        fine = _SHARPNESS + _MORE * math.log(users_per_item(x))
        return {
            "l2": _USERS_PER_ITEM * x.shape[0] / x.shape[1],
            "sharpness": max(fine, _LEAST_SHARPNESS),
        }

    def _restore(self, arrays: Arrays) -> None:
        if "sharpness" not in arrays:  # saved until 0.2, when it was always given
            arrays["sharpness"] = np.array(self.sharpness)
        super()._restore(arrays)

    def _ridge(self, x: CSR) -> float:
        l2 = float(self.suited_to(x).config()["l2"])
        # Below 1e-4 the kernel is not positive definite in float32.
        return max(l2 * self.sharpness_ * math.exp(-self.sharpness_), 1e-4)

    def _unit_rows(self, x: CSR) -> CSR:
        from sklearn.preprocessing import normalize

        data = x.data * self.item_weights_[x.indices]
        return normalize(sparse.csr_array((data, x.indices, x.indptr), shape=x.shape))

    def _kernel(self, rows: CSR) -> Floats:
        """Kernel between rows of length 1 and the landmarks, (n_rows, n_landmarks)."""
        return self._of_cosines((rows @ self.users_.T).toarray())

    def _of_cosines(self, cosines: Floats) -> Floats:
        cosines -= 1
        cosines *= np.float32(self.sharpness_)
        return np.asarray(np.exp(cosines, out=cosines))

    def _solve_all(self, x: CSR) -> Floats:
        kernel = self._kernel(self.users_)
        kernel[np.diag_indices_from(kernel)] += np.float32(self._ridge(x))
        factor = linalg.cho_factor(kernel.T, lower=True, overwrite_a=True, check_finite=False)
        targets = np.asfortranarray(x.toarray(order="F"))
        solved = linalg.cho_solve(factor, targets, overwrite_b=True, check_finite=False)
        return np.ascontiguousarray(solved)

    def _solve_landmarks(self, x: CSR, rows: CSR) -> Floats:
        """Regress all users on their kernels with the landmarks; float64, as it squares them."""
        kernel = self._kernel(self.users_).astype(np.float64)
        # A trace of the identity keeps equal landmarks solvable.
        normal = self._ridge(x) * (kernel + 1e-6 * np.eye(len(kernel)))
        moments = np.zeros((len(kernel), x.shape[1]))
        for part in slices(x.shape[0], _BLOCK):
            block = self._kernel(rows[part]).astype(np.float64)
            normal += block.T @ block
            moments += (x[part].T @ block).T
        factor = linalg.cho_factor(normal, lower=True, overwrite_a=True, check_finite=False)
        solved = linalg.cho_solve(factor, moments, overwrite_b=True, check_finite=False)
        return np.ascontiguousarray(solved, dtype=np.float32)

    def _item_vectors(self) -> Floats:
        return self.coefficients_.T

    def _score(self, x: CSR) -> Floats:
        scores = products(self._kernel(self._unit_rows(x)), self.coefficients_.T)
        return answer_empty_rows(scores, x, self.item_shares_)

    def gains(self, row: CSR, items: Integers) -> Floats | None:
        """Return what each entry adds by its part of the cosines; see `Recommender.gains`."""
        if np.count_nonzero(row.data) < 2:
            return None
        # In double precision: what is left of a row may be little.
        values = row.data.astype(np.float64) * self.item_weights_[row.indices]
        shared = self.users_[:, row.indices].T.toarray() * values[:, None]
        lengths = np.sqrt(np.square(values).sum() - np.square(values))
        cosines = (shared.sum(axis=0) - shared) / lengths[:, None]
        without = self._of_cosines(cosines.astype(np.float32)) @ self.coefficients_[:, items]
        return self.score(row, items=items) - without
