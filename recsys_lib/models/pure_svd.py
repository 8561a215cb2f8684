"""Truncated singular value decomposition of the interactions, zeros included."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg

from recsys_lib.dataset import Fold
from recsys_lib.models.base import Recommender
from recsys_lib.models.popularity import answer_empty_rows, item_shares
from recsys_lib.seeding import rng_from

__all__ = ["PureSVD"]


@dataclass(kw_only=True)
class PureSVD(Recommender):
    r"""Projection of the row on the strongest right singular vectors [1]_.

    With :math:`X \approx U S V^\top` of rank `latent_dim`, scores are :math:`x V V^\top`: the best
    linear autoencoder with a bottleneck of that width.

    Parameters
    ----------
    latent_dim : int
        Number of singular vectors, >= 1. If there are fewer, min(n_users, n_items), half of those
        are used, since all of them would only reproduce the row.
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

    latent_dim: int = 50
    seed: int = 0

    item_factors_: NDArray[np.float32] = field(init=False, repr=False, compare=False)
    item_shares_: NDArray[np.float32] = field(init=False, repr=False, compare=False)

    def _fit(self, x: sparse.csr_array, validation: Fold | None) -> None:
        smaller = min(x.shape)
        latent_dim = self.latent_dim if self.latent_dim <= smaller else max(1, smaller // 2)
        self.item_shares_ = item_shares(x)
        if latent_dim == smaller or not x.data.any():  # ARPACK finds all but the last
            right = np.linalg.svd(x.toarray(), full_matrices=False)[2][:latent_dim]
        else:
            start = rng_from(self.seed, "start").normal(size=smaller)
            right = linalg.svds(x.astype(np.float64), latent_dim, v0=start)[2]
        self.item_factors_ = np.ascontiguousarray(right.T, dtype=np.float32)

    def _score(self, x: sparse.csr_array) -> NDArray[np.float32]:
        scores = np.asarray(x @ self.item_factors_) @ self.item_factors_.T
        return answer_empty_rows(scores, x, self.item_shares_)
