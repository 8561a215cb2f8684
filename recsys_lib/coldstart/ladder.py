"""The cold-start ladder: rates of likes in the nearest group with enough evidence.

It answers from a *profile*, not from a row of interactions, so it stands beside the contract of
`Recommender` rather than under it. Every rung is the same estimate over an ever wider group, the
weighted share of likes, shrunk toward that of the next wider one:

    rate_i = (sum_u w_u likes_ui + m * parent_i) / (sum_u w_u trials_ui + m)

where w are the neighbors, the members of the segment, or everybody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from scipy import sparse

from recsys_lib.checks import (
    CSR,
    Doubles,
    Ints,
    check_integer,
    check_is_fitted,
    check_positive,
    check_user_items,
)
from recsys_lib.coldstart.profile import ProfileSpace, is_null
from recsys_lib.ranking import entries_of

__all__ = ["Ladder"]

_MAX_SEGMENTS = 50
# Strength of the shrinkage of neighbors toward the regression, in users.
_NEIGHBORS_PRIOR = 50.0


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
    likes_ : csr_array of shape (n_users, n_items), float32
        1 for a like and, stored as well, 0 for a rating that is none.
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
    likes_: CSR = field(init=False, repr=False, compare=False)
    overall_: Doubles = field(init=False, repr=False, compare=False)

    def fit(self, user_items: CSR) -> Self:
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
        least = -np.inf if self.like is None else self.like
        liked = (x.data >= least).astype(np.float32)
        self.likes_ = sparse.csr_array((liked, x.indices, x.indptr), shape=x.shape)
        likes = np.bincount(x.indices, liked, x.shape[1])
        trials = np.bincount(x.indices, minlength=x.shape[1])
        trials = np.full(len(trials), x.shape[0]) if self.like is None else trials
        mean = likes.sum() / max(trials.sum(), 1.0)
        self.overall_ = (likes + self.prior * mean) / (trials + self.prior)
        return self

    def among(self, users: Ints, weights: Doubles, parent: Doubles, prior: float) -> Doubles:
        """Return the rates among some users, shrunk toward those of a wider group.

        Parameters
        ----------
        users : ndarray of int64
            Positions.
        weights : ndarray of float64
            Of each of them, not negative.
        parent : ndarray of shape (n_items,)
            Rates of the wider group.
        prior : float
            Strength of the shrinkage, in users.

        Returns
        -------
        ndarray of shape (n_items,), float64
            In [0, 1]; of nobody the `parent`.
        """
        n_items = len(self.overall_)
        shares = np.repeat(weights, np.diff(self.likes_.indptr)[users])
        entries = entries_of(self.likes_, users)
        items = self.likes_.indices[entries]
        likes = np.bincount(items, shares * self.likes_.data[entries], n_items)
        trials = np.bincount(items, shares, n_items) if self.like is not None else weights.sum()
        return np.asarray((likes + prior * parent) / (trials + prior), dtype=np.float64)


@dataclass(kw_only=True)
class ProfileRegression:
    r"""A ridge regression of likes on the profile, one per item.

    For item i, over the users known to like it or not (its trials),

    .. math:: \min_{b, w} \sum_u (y_{ui} - r_i - b - x_u^\top w)^2 + b^2 + \lambda \|w\|^2,

    where y is 1 for a like, r the rate of everybody and x the profile (`ProfileSpace.features`).
    The offset b is there because those who rated an item are rarely a fair sample of all profiles.
    Neighbors are few and rated little; this pools all users who share a role, a tag or an age,
    which is why their rates are best shrunk toward it.

    Parameters
    ----------
    rates : LikeRates
        Fitted on the same users.
    space : ProfileSpace
        Their profiles.
    l2 : float
        Penalty, in users; must be positive.

    Attributes
    ----------
    weights_ : ndarray of shape (1 + n_features, n_items), float64
        The offset and the weights of each item.

    Notes
    -----
    Without ratings all items share one Gram matrix: O(n_users * n_features^2). With ratings each
    has its own: O(n_interactions * n_features^2) time, and a batch of items in memory.

    Examples
    --------
    >>> from scipy import sparse
    >>> users = pd.DataFrame({"role": ["ops", "ops", "dev", "dev"]})
    >>> likes = sparse.csr_array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype="float32")
    >>> rates = LikeRates(prior=1.0).fit(likes)
    >>> model = ProfileRegression(rates=rates, space=ProfileSpace.of(users), l2=1.0).fit()
    >>> model.score({"role": "dev"}).round(2)
    array([0.17, 0.83])
    """

    rates: LikeRates = field(repr=False)
    space: ProfileSpace = field(repr=False)
    l2: float = 20.0
    weights_: Doubles = field(init=False, repr=False, compare=False)

    def fit(self) -> Self:
        """Solve the regression of each item.

        Returns
        -------
        Self
        """
        check_positive("l2", self.l2)
        features = self.space.features()
        x = np.hstack([np.ones((len(features), 1)), features])
        ridge = np.diag([1.0, *np.full(features.shape[1], self.l2)])
        overall = self.rates.overall_
        if self.rates.like is None:
            gaps = x.T @ self.rates.likes_ - np.outer(x.sum(axis=0), overall)
            self.weights_ = np.linalg.solve(x.T @ x + ridge, gaps)
            return self
        likes = self.rates.likes_.tocsc()
        self.weights_ = np.zeros((x.shape[1], len(overall)))
        for item in np.flatnonzero(np.diff(likes.indptr)):
            part = slice(likes.indptr[item], likes.indptr[item + 1])
            seen = x[likes.indices[part]]
            gap = likes.data[part] - overall[item]
            self.weights_[:, item] = np.linalg.solve(seen.T @ seen + ridge, seen.T @ gap)
        return self

    def score(self, profile: Mapping[str, Any]) -> Doubles:
        """Return the expected rate of likes of each item given the profile.

        Parameters
        ----------
        profile : mapping of column name to value
            What is unknown counts as the mean.

        Returns
        -------
        ndarray of shape (n_items,), float64
            In [0, 1].
        """
        said = self.rates.overall_ + self.weights_[0]
        said = said + self.space.encode(profile) @ self.weights_[1:]
        return np.asarray(np.clip(said, 0.0, 1.0), dtype=np.float64)


class RungAnswer(NamedTuple):
    """The answer of a rung.

    Attributes
    ----------
    rung : str
        ``"profile neighbors"``, ``"segment popularity"`` or ``"popularity"``.
    rates : ndarray of shape (n_items,), float64
        Estimated probability of a like, in [0, 1].
    because : str
        What the group shares with the person, such as ``"role=ops"``.
    """

    rung: str
    rates: Doubles
    because: str


@dataclass(kw_only=True)
class Ladder:
    """Similar profiles, else the segment, else everyone.

    Each rung is shrunk toward the next, so that a small group moves the list a little and a large
    one decides it; neighbors toward a regression on the profile, in which everybody speaks who
    shares a part of it.

    Parameters
    ----------
    like : float, optional
        Of `LikeRates`.
    prior : float
        Of `LikeRates`.
    n_neighbors : int
        How many users with similar profiles count (see `ProfileSpace`), weighted by similarity.
        Ties with the last one count too, so that the answer does not depend on the order of the
        table.
    min_similarity : float
        In [0, 1]; users farther away never count, and with nobody as near the segment answers.
    segment : sequence of str, optional
        Columns of the profile that are the same in a segment, such as ``["role"]``; by default the
        first column of text with 2 to 50 values.
    l2 : float
        Of `ProfileRegression`.

    Attributes
    ----------
    rates_ : LikeRates
    regression_ : ProfileRegression or None
        None where there are no profiles, or none that can be compared.
    segments_ : DataFrame or None
        The columns of the segment; None where there are no profiles, or no column makes one.

    Notes
    -----
    A query costs O(n_users * n_columns), and the interactions of the neighbors.

    Examples
    --------
    >>> users = pd.DataFrame({"role": ["ops", "ops", "dev"], "years": [1, 2, 9]})
    >>> likes = sparse.csr_array([[1, 0], [1, 0], [0, 1]], dtype="float32")
    >>> ladder = Ladder(n_neighbors=1, min_similarity=0.6).fit(likes, users)
    >>> [ladder.answer(p).rung for p in ({"role": "dev", "years": 8}, {"role": "dev"}, {})]
    ['profile neighbors', 'segment popularity', 'popularity']
    """

    like: float | None = None
    prior: float = 10.0
    n_neighbors: int = 100
    min_similarity: float = 0.5
    segment: Sequence[str] | None = None
    l2: float = 20.0
    rates_: LikeRates = field(init=False, repr=False, compare=False)
    regression_: ProfileRegression | None = field(init=False, repr=False, compare=False)
    segments_: pd.DataFrame | None = field(init=False, repr=False, compare=False)

    def config(self) -> dict[str, Any]:
        """Return the settings by name, without those that `fit` learns."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.init}

    def fit(self, user_items: CSR, users: pd.DataFrame | None = None) -> Self:
        """Fit on users with known profiles.

        Parameters
        ----------
        user_items : csr_array of shape (n_users, n_items)
        users : DataFrame of n_users rows, optional
            Profiles, in the order of the rows.

        Returns
        -------
        Self

        Raises
        ------
        ValueError
            If `users` has other rows.
        """
        check_integer("n_neighbors", self.n_neighbors, minimum=1)
        self.rates_ = LikeRates(like=self.like, prior=self.prior).fit(user_items)
        self.regression_ = self.segments_ = None
        if users is None or users.columns.empty:
            return self
        if len(users) != user_items.shape[0]:
            raise ValueError(
                f"`users` must have one row for each of the {user_items.shape[0]} users of "
                f"`user_items`; got {len(users)}. Give Dataset.users of the same dataset."
            )
        columns = [self.segment] if isinstance(self.segment, str) else self.segment
        columns = _segment_columns(users) if columns is None else list(columns)
        self.segments_ = users[columns].reset_index(drop=True) if columns else None
        if (space := ProfileSpace.of(users)) is not None:
            self.regression_ = ProfileRegression(rates=self.rates_, space=space, l2=self.l2).fit()
        return self

    def neighbors(
        self, profile: Mapping[str, Any], *, leave_out: int | None = None
    ) -> tuple[Ints, Doubles]:
        """Return the positions of the users nearest to `profile` and their similarities.

        Parameters
        ----------
        profile : mapping of column name to value
            What is known; absent or null columns match nobody.
        leave_out : int, optional
            Position of the user whose profile it is; they do not count.

        Returns
        -------
        positions : ndarray of int64
        similarities : ndarray of float64
            In [`min_similarity`, 1].
        """
        if self.regression_ is None or not profile:
            return np.empty(0, dtype=np.int64), np.empty(0)
        similarity = self.regression_.space.similarity(profile)
        if leave_out is not None:
            similarity[leave_out] = -1.0
        near = np.flatnonzero(similarity >= self.min_similarity - 1e-9)
        if len(near) > self.n_neighbors:
            cut = np.partition(similarity[near], -self.n_neighbors)[-self.n_neighbors]
            near = near[similarity[near] >= cut - 1e-9]
        return near, similarity[near]

    def members(self, profile: Mapping[str, Any]) -> Ints:
        """Return the positions of the users of the profile's segment.

        Parameters
        ----------
        profile : mapping of column name to value

        Returns
        -------
        ndarray of int64
            Empty where the profile leaves a column of the segment open.
        """
        if self.segments_ is None or any(is_null(profile.get(name)) for name in self.segments_):
            return np.empty(0, dtype=np.int64)
        same = np.ones(len(self.segments_), dtype=bool)
        for name in self.segments_:
            same &= (self.segments_[name] == profile[name]).fillna(False).to_numpy(dtype=bool)
        return np.flatnonzero(same)

    def segment_rates(self, members: Ints) -> Doubles:
        """Return the rates among the members of a segment, shrunk toward those of everybody."""
        overall, weights = self.rates_.overall_, np.ones(len(members))
        return self.rates_.among(members, weights, overall, self.prior)

    def answer(
        self, profile: Mapping[str, Any], *, leave_out: int | None = None, because: bool = True
    ) -> RungAnswer:
        """Return the answer of the first rung that has evidence for this profile.

        Parameters
        ----------
        profile : mapping of column name to value
            May be incomplete or empty.
        leave_out : int, optional
            Position of the user whose profile it is; they are not their own neighbor.
        because : bool
            Whether to say what the neighbors share.

        Returns
        -------
        RungAnswer

        Raises
        ------
        DataError
            If a value is of the wrong kind, or a category that no user has.
        """
        check_is_fitted(self, "rates_")
        near, similarity = self.neighbors(profile, leave_out=leave_out)
        if self.regression_ is not None and len(near):
            parent = self.regression_.score(profile)
            rates = self.rates_.among(near, similarity, parent, _NEIGHBORS_PRIOR)
            shared = self.regression_.space.shared(profile, near) if because else ""
            return RungAnswer("profile neighbors", rates, shared)
        members = self.members(profile)
        if self.segments_ is None or not len(members):
            return RungAnswer("popularity", self.rates_.overall_, "")
        shared = ", ".join(f"{name}={profile[name]}" for name in self.segments_)
        return RungAnswer("segment popularity", self.segment_rates(members), shared)


def _segment_columns(users: pd.DataFrame) -> list[str]:
    """Return the first column of text with few values, and enough users for each."""
    for name in users.select_dtypes(exclude=["number"]).columns:
        values = users[name].dropna()
        n_values = values.astype(str).nunique()
        if not values.map(pd.api.types.is_scalar).all():
            continue  # lists of tags make no segment
        if 2 <= n_values <= min(_MAX_SEGMENTS, max(2, len(users) // 5)):
            return [str(name)]
    return []
