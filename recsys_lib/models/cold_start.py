"""What to recommend before there is a history: neighbours by profile, segment, everybody.

These answer from a *profile*, not from a row of interactions, so they stand beside the contract of
`Recommender` rather than under it. All three are one estimate seen from three distances, the
weighted share of likes, each shrunk towards the next wider one:

    rate_i = (sum_u w_u likes_ui + m * parent_i) / (sum_u w_u trials_ui + m)

where w are the neighbours, the members of the segment, or everybody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import check_integer, check_is_fitted, check_positive, check_user_items
from recsys_lib.models.profile_space import ProfileSpace

__all__ = ["LikeRates", "ProfileNeighbours", "SegmentPopularity"]


@dataclass(kw_only=True)
class LikeRates:
    """Share of likes of each item among some users, shrunk towards a wider group.

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
        self, weights: NDArray[np.float64], parent: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Return the rates among users weighted by `weights`, shrunk towards `parent`.

        Parameters
        ----------
        weights : ndarray of shape (n_users,)
            Not negative; 0 leaves a user out.
        parent : ndarray of shape (n_items,), optional
            Rates of the wider group; by default those of everybody.

        Returns
        -------
        ndarray of shape (n_items,), float64
            In [0, 1].
        """
        check_is_fitted(self, "overall_")
        parent = self.overall_ if parent is None else parent
        likes = self._sum(self.likes_, weights) + self.prior * parent
        return np.asarray(likes / (self._trials(weights) + self.prior), dtype=np.float64)

    def _trials(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.like is None:
            return np.full(self.trials_.shape[1], weights.sum())
        return self._sum(self.trials_, weights)

    @staticmethod
    def _sum(matrix: sparse.csr_array, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        chosen = np.flatnonzero(weights)
        return np.asarray(matrix[chosen].T @ weights[chosen], dtype=np.float64)


@dataclass(kw_only=True)
class ProfileNeighbours:
    """What users with near profiles like.

    Parameters
    ----------
    n_neighbors : int
        How many users count. Users as near as the last one count too, so that the answer does not
        depend on their order in the table.
    min_similarity : float
        In [0, 1]; users farther away never count.
    columns : sequence of str, optional
        Columns of the profile that are compared; by default all that can be (see `ProfileSpace`).
    rates : LikeRates
        Fitted on the same users.

    Attributes
    ----------
    space_ : ProfileSpace
        The profiles, ready to be compared.

    Notes
    -----
    A query costs O(n_users * n_columns), and the interactions of the neighbours.

    Examples
    --------
    >>> users = pd.DataFrame({"role": ["ops", "ops", "dev"]}, index=["ann", "bob", "cyd"])
    >>> likes = sparse.csr_array([[1, 0], [1, 0], [0, 1]], dtype="float32")
    >>> rates = LikeRates(prior=1.0).fit(likes)
    >>> ProfileNeighbours(rates=rates, n_neighbors=2).fit(users).score({"role": "dev"}).round(2)
    array([0.31, 0.69])
    """

    rates: LikeRates = field(repr=False)
    n_neighbors: int = 100
    min_similarity: float = 0.5
    columns: Sequence[str] | None = None
    space_: ProfileSpace = field(init=False, repr=False, compare=False)

    def fit(self, users: pd.DataFrame) -> Self:
        """Learn the profiles of the users that `rates` were fitted on.

        Parameters
        ----------
        users : DataFrame of n_users rows
            Profiles, in the order of the rows of `user_items`.

        Returns
        -------
        Self

        Raises
        ------
        ValueError
            If there are other users than in `rates`, or no column can be compared.
        """
        check_integer("n_neighbors", self.n_neighbors, minimum=1)
        check_is_fitted(self.rates, "overall_")
        _check_rows(users, self.rates)
        self.space_ = ProfileSpace.of(users, self.columns)
        return self

    def neighbours(
        self, profile: Mapping[str, Any], *, leave_out: int | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the positions of the users nearest to `profile` and their similarities.

        Parameters
        ----------
        profile : mapping of column name to value
            What is known; columns that are absent or null make nobody near.
        leave_out : int, optional
            Position of a user who does not count: the one the profile belongs to.

        Returns
        -------
        positions : ndarray of int64, nearest first
        similarities : ndarray of float64
            In [`min_similarity`, 1].
        """
        check_is_fitted(self, "space_")
        similarity = self.space_.similarity(profile)
        if leave_out is not None:
            similarity[leave_out] = -1.0
        wanted = min(self.n_neighbors, len(similarity))
        cut = max(float(np.partition(similarity, -wanted)[-wanted]), self.min_similarity)
        near = np.flatnonzero(similarity >= cut - 1e-9)
        near = near[np.argsort(-similarity[near], kind="stable")]
        return near, similarity[near]

    def score(
        self,
        profile: Mapping[str, Any],
        *,
        leave_out: int | None = None,
        parent: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float64]:
        """Return the rate of likes of each item among the neighbours, weighted by similarity.

        Parameters
        ----------
        profile : mapping of column name to value
        leave_out : int, optional
            As of `neighbours`.
        parent : ndarray of shape (n_items,), optional
            What few neighbours are shrunk towards; by default the rates of everybody.

        Returns
        -------
        ndarray of shape (n_items,), float64
            In [0, 1]; without neighbours the `parent`.
        """
        near, similarity = self.neighbours(profile, leave_out=leave_out)
        return self.rates.rates(_scatter(near, similarity, self.rates), parent)


@dataclass(kw_only=True)
class SegmentPopularity:
    """What the members of the same segment like: all users with the same value in a few columns.

    Parameters
    ----------
    columns : sequence of str
        The columns that make the segment, such as ``("role",)``.
    rates : LikeRates
        Fitted on the same users.

    Attributes
    ----------
    users_ : DataFrame
        The columns, in the order of the rows of `user_items`.

    Examples
    --------
    >>> users = pd.DataFrame({"role": ["ops", "ops", "dev"]}, index=["ann", "bob", "cyd"])
    >>> likes = sparse.csr_array([[1, 0], [1, 0], [0, 1]], dtype="float32")
    >>> rates = LikeRates(prior=1.0).fit(likes)
    >>> SegmentPopularity(rates=rates, columns=["role"]).fit(users).members({"role": "ops"})
    array([0, 1])
    """

    rates: LikeRates = field(repr=False)
    columns: Sequence[str]
    users_: pd.DataFrame = field(init=False, repr=False, compare=False)

    def fit(self, users: pd.DataFrame) -> Self:
        """Learn the segments of the users that `rates` were fitted on.

        Parameters
        ----------
        users : DataFrame of n_users rows

        Returns
        -------
        Self

        Raises
        ------
        ValueError
            If a column is not in `users`, or there are other users than in `rates`.
        """
        _check_rows(users, self.rates)
        absent = [column for column in self.columns if column not in users.columns]
        if absent or not self.columns:
            raise ValueError(
                f"`columns` must be among those of the profiles, {list(users.columns)}; got "
                f"{list(self.columns)}. Name at least one of them."
            )
        self.users_ = users[list(self.columns)].reset_index(drop=True)
        return self

    def members(self, profile: Mapping[str, Any]) -> NDArray[np.int64]:
        """Return the positions of the users of the profile's segment.

        Parameters
        ----------
        profile : mapping of column name to value

        Returns
        -------
        ndarray of int64
            Empty where the profile leaves a column of the segment open.
        """
        check_is_fitted(self, "users_")
        same = np.ones(len(self.users_), dtype=bool)
        for column in self.columns:
            value = profile.get(column)
            if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
                return np.empty(0, dtype=np.int64)
            same &= (self.users_[column] == value).fillna(False).to_numpy(dtype=bool)
        return np.flatnonzero(same)

    def score(self, profile: Mapping[str, Any]) -> NDArray[np.float64]:
        """Return the rate of likes of each item among the members; without any, of everybody.

        Parameters
        ----------
        profile : mapping of column name to value

        Returns
        -------
        ndarray of shape (n_items,), float64
            In [0, 1].
        """
        members = self.members(profile)
        return self.rates.rates(_scatter(members, np.ones(len(members)), self.rates))


def _scatter(
    users: NDArray[np.int64], weights: NDArray[np.float64], rates: LikeRates
) -> NDArray[np.float64]:
    """Return one weight a user, zero for those not among `users`."""
    everybody = np.zeros(rates.likes_.shape[0])
    everybody[users] = weights
    return everybody


def _check_rows(users: pd.DataFrame, rates: LikeRates) -> None:
    if len(users) != rates.likes_.shape[0]:
        raise ValueError(
            f"`users` must have one row for each of the {rates.likes_.shape[0]} users of `rates`; "
            f"got {len(users)}. Give Dataset.users of the same dataset."
        )
