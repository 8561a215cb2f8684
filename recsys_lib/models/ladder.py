"""The cold-start ladder: the nearest group with enough evidence answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import check_is_fitted
from recsys_lib.models.cold_start import ProfileNeighbors, ProfileRegression, SegmentPopularity
from recsys_lib.models.like_rates import LikeRates

__all__ = ["Ladder", "RungAnswer", "blend", "each_profile_once"]

_MAX_SEGMENTS = 50


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
    rates: NDArray[np.float64]
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
    n_neighbors, min_similarity : int, float
        Of `ProfileNeighbors`; with no user as near as that the segment answers.
    segment : sequence of str, optional
        Of `SegmentPopularity`; by default the first column of text with 2 to 50 values.
    l2 : float
        Of `ProfileRegression`.

    Attributes
    ----------
    rates_ : LikeRates
    neighbors_ : ProfileNeighbors or None
        None where there are no profiles, or none that can be compared.
    regression_ : ProfileRegression or None
        None where there are no neighbors.
    segments_ : SegmentPopularity or None
        None where there are no profiles, or no column makes a segment.

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
    neighbours_: ProfileNeighbors | None = field(init=False, repr=False, compare=False)
    regression_: ProfileRegression | None = field(init=False, repr=False, compare=False)
    segments_: SegmentPopularity | None = field(init=False, repr=False, compare=False)

    def fit(self, user_items: sparse.csr_array, users: pd.DataFrame | None = None) -> Self:
        """Fit on users with known profiles.

        Parameters
        ----------
        user_items : csr_array of shape (n_users, n_items)
        users : DataFrame of n_users rows, optional
            Profiles, in the order of the rows.

        Returns
        -------
        Self
        """
        self.rates_ = LikeRates(like=self.like, prior=self.prior).fit(user_items)
        self.neighbours_ = self.regression_ = self.segments_ = None
        if users is None or users.columns.empty:
            return self
        columns = _segment_columns(users) if self.segment is None else self.segment
        if len(columns):
            self.segments_ = SegmentPopularity(rates=self.rates_, columns=columns).fit(users)
        found = ProfileNeighbors(
            rates=self.rates_, n_neighbors=self.n_neighbors, min_similarity=self.min_similarity
        )
        try:
            self.neighbours_ = found.fit(users)
        except ValueError:  # no column can be compared: this ladder lacks the rung
            return self
        space = self.neighbours_.space_
        self.regression_ = ProfileRegression(rates=self.rates_, space=space, l2=self.l2).fit()
        return self

    def answer(self, profile: Mapping[str, Any], *, leave_out: int | None = None) -> RungAnswer:
        """Return the answer of the first rung that has evidence for this profile.

        Parameters
        ----------
        profile : mapping of column name to value
            May be incomplete or empty.
        leave_out : int, optional
            Position of the user whose profile it is; they are not their own neighbor.

        Returns
        -------
        RungAnswer

        Raises
        ------
        DataError
            If a value is of the wrong kind, or a category that no user has.
        """
        check_is_fitted(self, "rates_")
        if self.neighbours_ is not None and self.regression_ is not None and profile:
            near, similarity = self.neighbours_.neighbours(profile, leave_out=leave_out)
            if len(near):
                parent = self.regression_.score(profile)
                rates = self.neighbours_.rates_among(near, similarity, parent)
                shared = self.neighbours_.space_.shared(profile, near)
                return RungAnswer("profile neighbors", rates, shared)
        if self.segments_ is None or not len(self.segments_.members(profile)):
            return RungAnswer("popularity", self.rates_.overall_, "")
        shared = ", ".join(f"{name}={profile[name]}" for name in self.segments_.columns)
        return RungAnswer("segment popularity", self.segments_.score(profile), shared)


def each_profile_once(
    answer: Callable[[Mapping[str, Any]], NDArray[np.float64]],
    users: pd.DataFrame | None,
    positions: NDArray[np.integer[Any]],
) -> list[NDArray[np.float64]]:
    """Return `answer` for each user's profile, computed once per distinct profile."""
    if users is None:
        return [answer({})] * len(positions)
    profiles = users.iloc[np.asarray(positions, dtype=np.int64)].to_dict("records")
    keys = [repr(profile) for profile in profiles]
    known = {
        key: answer(profile) for key, profile in dict(zip(keys, profiles, strict=True)).items()
    }
    return [known[key] for key in keys]


def blend(
    scores: NDArray[np.floating[Any]],
    rates: NDArray[np.floating[Any]],
    weight: float,
    candidates: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """Return one order from a model's scores and a rung's rates, each standardized.

    Parameters
    ----------
    scores, rates : ndarray of shape (n_items,), float
        On scales of their own.
    weight : float
        Of the scores, in [0, 1].
    candidates : ndarray of shape (n_items,), bool
        Items that may be listed; mean and standard deviation are taken over these.

    Returns
    -------
    ndarray of shape (n_items,), float32

    Notes
    -----
    The weight n / (n + b) after n interactions counts the rung as b interactions, so that the list
    moves smoothly from one to the other. With b = 4 the blend was better than either at 1, 2, 5
    and 10 interactions, for EASE on likes, on MovieLens 100K and on the default world.

    Examples
    --------
    >>> blend(np.array([9.0, 0.0, 3.0]), np.array([0.1, 0.3, 0.2]), 0.5, np.ones(3, bool)).round(2)
    array([ 0.06,  0.08, -0.13], dtype=float32)
    """
    parts = []
    for values in (scores, rates):
        among = np.asarray(values, dtype=np.float64)[candidates]
        spread = among.std() if among.size else 0.0
        center = among.mean() if among.size else 0.0
        parts.append((values - center) / spread if spread > 0 else np.zeros(len(values)))
    return np.asarray(weight * parts[0] + (1 - weight) * parts[1], dtype=np.float32)


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
