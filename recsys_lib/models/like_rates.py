"""Shares of likes among some users, shrunk toward a wider group."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import check_is_fitted, check_positive, check_user_items

__all__ = ["LikeRates"]


@dataclass(kw_only=True)
class LikeRates:
    """Share of likes of each item among some users, shrunk toward a wider group.

    Parameters
    ----------
    like : float or None
        Ratings of at least this are likes, and only those who rated an item count as its trials:
        the rate estimates whether somebody would like the item once they use it. None for implicit
        feedback: every stored entry is a like and every user a trial, so that the rate estimates
        whether somebody uses the item.
    prior : float
        Strength m of the shrinkage, in users; must be positive.

    Attributes
    ----------
    likes_, trials_ : csr_array of shape (n_users, n_items), float32
        Indicators of likes, and of ratings (of nothing where `like` is None).
    overall_ : ndarray of shape (n_items,), float64
        Rates among all users.

    Examples
    --------
    >>> ratings = sparse.csr_array([[5.0, 2.0], [4.0, 0.0], [5.0, 5.0]], dtype="float32")
    >>> LikeRates(like=4.0, prior=1.0).fit(ratings).overall_.round(2)
    array([0.95, 0.6 ])
    """

    like: float | None = None
    prior: float = 10.0
    likes_: sparse.csr_array = field(init=False, repr=False, compare=False)
    trials_: sparse.csr_array = field(init=False, repr=False, compare=False)
    overall_: NDArray[np.float64] = field(init=False, repr=False, compare=False)

    def fit(self, user_items: sparse.csr_array) -> Self:
        """Count likes and trials.

        Parameters
        ----------
        user_items : csr_array of shape (n_users, n_items)

        Returns
        -------
        Self
        """
        check_positive("prior", self.prior)
        x = check_user_items(user_items)
        ones = np.ones(x.nnz, dtype=np.float32)
        self.trials_ = sparse.csr_array((ones, x.indices, x.indptr), shape=x.shape)
        liked = ones if self.like is None else (x.data >= self.like).astype(np.float32)
        self.likes_ = sparse.csr_array((liked, x.indices, x.indptr), shape=x.shape)
        everybody = np.ones(x.shape[0])
        likes = self._sum(self.likes_, everybody)
        trials = self._trials(everybody)
        mean = likes.sum() / max(trials.sum(), 1.0)
        self.overall_ = (likes + self.prior * mean) / (trials + self.prior)
        return self

    def rates(
        self,
        weights: NDArray[np.float64],
        parent: NDArray[np.float64] | None = None,
        prior: float | None = None,
    ) -> NDArray[np.float64]:
        """Return the rates among users weighted by `weights`, shrunk toward `parent`.

        Parameters
        ----------
        weights : ndarray of shape (n_users,)
            Not negative; 0 leaves a user out.
        parent : ndarray of shape (n_items,), optional
            Rates of the wider group; by default those of everybody.
        prior : float, optional
            Strength of the shrinkage; by default that of the class.

        Returns
        -------
        ndarray of shape (n_items,), float64
            In [0, 1].
        """
        check_is_fitted(self, "overall_")
        parent = self.overall_ if parent is None else parent
        prior = self.prior if prior is None else prior
        likes = self._sum(self.likes_, weights) + prior * parent
        return np.asarray(likes / (self._trials(weights) + prior), dtype=np.float64)

    def _trials(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.like is None:
            return np.full(self.trials_.shape[1], weights.sum())
        return self._sum(self.trials_, weights)

    @staticmethod
    def _sum(matrix: sparse.csr_array, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        chosen = np.flatnonzero(weights)
        return np.asarray(matrix[chosen].T @ weights[chosen], dtype=np.float64)
