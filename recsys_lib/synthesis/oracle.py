"""Oracles: the best possible scores, given the full truth or only a user's history."""

from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from recsys_lib.checks import check_choice, check_positive, check_user_items
from recsys_lib.dataset import Fold
from recsys_lib.synthesis.posterior import (
    Evidence,
    Gaussian,
    Likelihood,
    mixture_moments,
    products,
    sphere_moments,
    taste_posterior,
)
from recsys_lib.synthesis.truth import Among, Truth

Floats = NDArray[np.float64]

_NODES, _WEIGHTS = hermegauss(7)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_MOST = 4.0  # log rate from which on a lab has been taken for sure


class Predictive(NamedTuple):
    """Posterior predictive quantities of each user and lab; arrays of shape (n_rows, n_items).

    Attributes
    ----------
    signal, variance : ndarray
        Of the signal, as for a lab that the user is told to try.
    hidden : ndarray
        About the probability that the lab was taken, given that it is not among those shown.
    taken_signal, taken_variance : ndarray
        Of the signal, given that the lab was taken all the same.
    rate : ndarray
        Expected arrivals by the time of the user's clock, at the posterior's mean.
    """

    signal: Floats
    variance: Floats
    hidden: Floats
    taken_signal: Floats
    taken_variance: Floats
    rate: Floats


def hidden_chance(rate: Floats, share: float) -> Floats:
    """Return P(taken | not shown) at a known rate.

    Parameters
    ----------
    rate : ndarray
        Expected arrivals by the time of the user's clock.
    share : float
        Share of each history that is shown, in (0, 1]. Where that is all of it, what counts is
        what comes next, and the rate itself is returned.

    Returns
    -------
    ndarray

    Examples
    --------
    >>> hidden_chance(np.array([0.1, 50.0]), 0.8).round(3)
    array([0.021, 1.   ])
    """
    if share == 1:
        return rate
    taken = -np.expm1(-rate)
    return np.asarray((1 - share) * taken / (1 - share * taken))


def predict(found: Gaussian, likelihood: Likelihood) -> Predictive:
    r"""Integrate over a posterior of users.

    Parameters
    ----------
    found : Gaussian
        Posterior of n rows.
    likelihood : Likelihood

    Returns
    -------
    Predictive

    Notes
    -----
    Signal and log rate of a lab are jointly Gaussian under the posterior. That a lab was taken
    speaks for a high rate, and so for a high signal: the log rate is weighted by the chance of
    being taken and hidden (7 Gauss-Hermite nodes), and the signal follows by regression on it.
    Ratings that are held out are ratings of labs that were taken, so this, and not the plain
    posterior, is what they are distributed by.
    """
    signals, rates = likelihood.signal.rows, likelihood.log_rate.rows
    signal, log_rate = likelihood.signal.at(found.mean), likelihood.log_rate.at(found.mean)
    variance = _quadratic(found.covariance, signals, signals)
    spread = np.sqrt(_quadratic(found.covariance, rates, rates))
    hidden, first, second = (np.zeros_like(signal) for _ in range(3))
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        rate = np.exp(np.minimum(log_rate + node * spread, _MOST))
        chance = weight * hidden_chance(rate, likelihood.share)
        hidden += chance
        first += node * chance
        second += node**2 * chance
    first /= hidden
    second = second / hidden - first**2
    slope = _quadratic(found.covariance, signals, rates) / spread
    left = variance + slope**2 * (second - 1.0)
    return Predictive(
        signal=signal,
        variance=variance,
        hidden=hidden,
        taken_signal=signal + slope * first,
        taken_variance=np.maximum(left, 0.0),
        rate=np.exp(np.minimum(log_rate, _MOST)),
    )


def _quadratic(covariance: Floats, left: Floats, right: Floats) -> Floats:
    """``left_i' C_u right_i`` for each user and item."""
    return np.asarray(covariance.reshape(len(covariance), -1) @ products(left, right).T)


By = Literal["rating", "like", "exposure", "liked_exposure"]

# Of a like, for who has shown none yet: the oracles need a share of the history above 0.
_NOT_YET = 0.2
_ROWS = 1024


@dataclass(frozen=True)
class _Oracle:
    """What all oracles are asked for."""

    truth: Truth
    by: By = "rating"
    _: KW_ONLY
    share: float = 0.8
    min_value: float = 7.0
    among: Among = "taken"

    def __post_init__(self) -> None:
        check_choice("by", self.by, ("rating", "like", "exposure", "liked_exposure"))
        check_choice("among", self.among, ("all", "taken"))
        check_positive("share", self.share)
        if self.share > 1:
            raise ValueError(f"`share` must be at most 1; got {self.share!r}.")

    @property
    def predicts(self) -> str:
        """Whether the scores are in rating units."""
        return "rating" if self.by == "rating" else "rank"


@dataclass(frozen=True)
class OmniscientOracle(_Oracle):
    r"""The best possible scores when every user's taste is known.

    Parameters
    ----------
    truth : Truth
    by : {"rating", "like", "exposure", "liked_exposure"}
        What the scores are best for. "rating": E[r], for RMSE. "like": P(r >= min_value), for
        what would be liked if it were tried. "exposure": the log propensity, for what will be
        interacted with. "liked_exposure": P(taken and liked), for likes that were held out.
    share : float
        Share of each history that is shown to the models, in (0, 1]; matters to
        "liked_exposure" alone.
    min_value : float
        Lowest rating that counts as a like.
    among : {"taken", "all"}
        Whether "rating" and "like" are of pairs that were taken, as held-out ratings are, or of
        any lab that the user may be told to try. For who knows the truth the two differ only
        where ``selection_on_rating`` > 0.

    Notes
    -----
    Labs are drawn one by one with odds :math:`e^\eta` (Plackett-Luce), so whatever part of a
    history is held out, a lab of higher :math:`\eta` is likelier to be in it: exchanging two
    neighbors of the order never helps any measure that discounts by rank.

    Examples
    --------
    >>> from recsys_lib.synthesis import make_world
    >>> world = make_world(n_users=50, n_items=20)
    >>> fold_in = world.dataset().user_items[:3]
    >>> OmniscientOracle(world.truth).score_users([0, 1, 2], fold_in).shape
    (3, 20)
    """

    def score_users(self, users: ArrayLike, fold_in: Any = None) -> NDArray[np.float32]:
        """Return the scores of some users.

        Parameters
        ----------
        users : array_like of int
            Positions in the world.
        fold_in : sparse array, optional
            Not used: the truth says more.

        Returns
        -------
        ndarray of shape (n_rows, n_items), float32
        """
        truth = self.truth
        if self.by == "rating":
            scores = truth.expected_rating(users, among=self.among)
        elif self.by == "like":
            scores = truth.like_probability(users, self.min_value, among=self.among)
        elif self.by == "exposure":
            scores = truth.exposure(users)
        else:
            rate = -np.log1p(-np.minimum(truth.inclusion(users), 1 - 1e-12))
            liked = truth.like_probability(users, self.min_value, among="taken")
            scores = hidden_chance(rate, self.share) * liked
        return scores.astype(np.float32)


@dataclass(frozen=True)
class FoldInOracle(_Oracle):
    """The best possible scores from a user's history when everything about the labs is known.

    It is the ceiling of trained models: they see the same row, and have yet to learn the labs.

    Parameters
    ----------
    truth : Truth
    by : {"rating", "like", "exposure", "liked_exposure"}
        What the scores are best for; see `OmniscientOracle`. For "exposure" and "liked_exposure"
        they are the probabilities that a lab not shown was taken (and liked) all the same.
    evidence : {"ratings", "likes", "interactions"}
        What the stored entries of a row are: ratings on the world's scale; ones for what was
        rated `min_value` or more (``Dataset.implicit``); ones for whatever was taken.
    share : float
        Share of each history that the rows show, in (0, 1]: 0.8 for the splits' default.
    min_value : float
        Lowest rating that counts as a like.
    among : {"taken", "all"}
        Whether "rating" and "like" are of labs that were taken, as held-out ratings are, or of
        any lab that the user may be told to try. They differ where ``selection`` > 0: that a lab
        was taken speaks for it.

    Notes
    -----
    *What was taken is evidence too.* With ``selection`` > 0 people take what suits them, so which
    labs are in a row, and which are not, says much about the taste; a model that reads rows can
    learn that, and a ceiling without it could be beaten. It is used here, together with the
    ratings: see `taste_terms` for the likelihood and `taste_posterior` for its approximation.

    Predictions integrate the posterior: E[r] over it, not r at its mean. The prior is that of the
    population; an empty row gets the population's answer.

    About 0.2 ms per row of 252 labs.

    Examples
    --------
    >>> from recsys_lib.synthesis import make_world
    >>> world = make_world(n_users=50, n_items=20)
    >>> FoldInOracle(world.truth).score(world.dataset().user_items[:3]).shape
    (3, 20)
    """

    evidence: Evidence = field(default="ratings", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("evidence", self.evidence, ("ratings", "likes", "interactions"))

    def posterior(self, user_items: Any) -> Gaussian:
        """Return mean and covariance of each row's (taste, bias, log clock).

        Parameters
        ----------
        user_items : sparse array of shape (n_rows, n_items)

        Returns
        -------
        Gaussian
            Of shape (n_rows, K + 2) and (n_rows, K + 2, K + 2).
        """
        shown = check_user_items(user_items, n_items=self.truth.n_items)
        return taste_posterior(self._likelihood, shown, _population(self.truth, shown.shape[0]))

    def encode(self, user_items: Any) -> tuple[Floats, Floats]:
        """Return the mean and log variance of each row's taste, as an encoder does for its code.

        Parameters
        ----------
        user_items : sparse array of shape (n_rows, n_items)

        Returns
        -------
        mean, log_variance : ndarray of shape (n_rows, latent_dim), float64
            On the axes of ``truth.tastes``: what can be known of a taste, and the doubt that is
            due.
        """
        found, size = self.posterior(user_items), self.truth.settings.latent_dim
        variance = found.covariance.diagonal(axis1=1, axis2=2)
        return found.mean[:, :size], np.log(variance[:, :size])

    def score(self, user_items: Any) -> NDArray[np.float32]:
        """Return the scores of rows, whether or not their users are in the world.

        Parameters
        ----------
        user_items : sparse array of shape (n_rows, n_items)

        Returns
        -------
        ndarray of shape (n_rows, n_items), float32
        """
        shown = check_user_items(user_items, n_items=self.truth.n_items)
        return self._scores(shown, _population(self.truth, shown.shape[0]))

    @cached_property
    def _likelihood(self) -> Likelihood:
        return Likelihood(self.truth, self.evidence, self.share, self.min_value)

    def _scores(self, shown: sparse.csr_array, prior: Gaussian) -> NDArray[np.float32]:
        self._check_values(shown)
        scores = np.empty(shown.shape, dtype=np.float32)
        for start in range(0, shown.shape[0], _ROWS):
            rows = slice(start, start + _ROWS)
            part = Gaussian(prior.mean[rows], prior.covariance[rows])
            scores[rows] = self._integrate(taste_posterior(self._likelihood, shown[rows], part))
        return scores

    def _check_values(self, shown: sparse.csr_array) -> None:
        low, high = self.truth.settings.rating_scale
        if self.evidence != "ratings" or not shown.nnz:
            return
        least, most = shown.data.min(), shown.data.max()
        # Ten of the lowest ratings and no other are no history, they are a mistaken view.
        if least < low or most > high or (most == low and shown.nnz >= 10):
            raise ValueError(
                f"`user_items` must hold ratings of {low} to {high}; got {least:g} to {most:g}. "
                "Say evidence='likes' or 'interactions' for rows of ones."
            )

    def _integrate(self, found: Gaussian) -> Floats:
        """Return the posterior expectation of the requested quantity."""
        probit, seen = self.truth.probit, predict(found, self._likelihood)
        shift = self.truth.shift_when_taken(seen.rate)
        taken = seen.taken_signal + shift, seen.taken_variance
        asked = taken if self.among == "taken" else (seen.signal, seen.variance)
        if self.by == "rating":
            return probit.expected(*asked)
        if self.by == "like":
            return probit.at_least(self.min_value, *asked)
        if self.by == "exposure":
            return seen.hidden
        return seen.hidden * probit.at_least(self.min_value, *taken)


@dataclass(frozen=True)
class ProfileOracle(FoldInOracle):
    """The fold-in oracle that also sees the user's profile: the cold-start ceiling.

    With an empty row it says what can be said of somebody of whom only role, interests and
    experience are known.

    Parameters
    ----------
    truth, by, evidence, share, min_value, among
        See `FoldInOracle`.

    Examples
    --------
    >>> from recsys_lib.synthesis import make_world
    >>> world = make_world(n_users=50, n_items=20)
    >>> nobody = sparse.csr_array((2, 20), dtype="float32")
    >>> ProfileOracle(world.truth).score_users([0, 1], nobody).shape
    (2, 20)
    """

    def score_users(self, users: ArrayLike, fold_in: Any) -> NDArray[np.float32]:
        """Return the scores of some users of the world.

        Parameters
        ----------
        users : array_like of int
            Positions in the world.
        fold_in : sparse array of shape (n_rows, n_items)
            What is seen of each; may be empty.

        Returns
        -------
        ndarray of shape (n_rows, n_items), float32
        """
        shown = check_user_items(fold_in, n_items=self.truth.n_items, name="fold_in")
        kinds = sphere_moments(self.truth.profile_means)
        mine = self.truth.profile[np.asarray(users, dtype=np.int64)]
        return self._scores(shown, Gaussian(kinds.mean[mine], kinds.covariance[mine]))


def oracles_of_likes(
    truth: Truth, *, min_value: float = 7.0, share: float = 0.8
) -> dict[str, FoldInOracle | OmniscientOracle]:
    """Return the oracles for ranking when both the shown and the hidden interactions are likes.

    Parameters
    ----------
    truth : Truth
    min_value : float
        Lowest rating that counts as a like: models see a 1 for each, ``Dataset.implicit``.
    share : float
        Share of the likes of a person that is shown, in (0, 1].

    Returns
    -------
    dict
        ``"fold-in oracle"``, which sees the same ones as the models, and ``"omniscient"``: the
        names that `evaluation.leaderboard` knows.

    Examples
    --------
    >>> from recsys_lib.synthesis import make_world
    >>> list(oracles_of_likes(make_world(n_users=5, n_items=20).truth))
    ['fold-in oracle', 'omniscient']
    """
    asked: dict[str, Any] = {"by": "liked_exposure", "min_value": min_value, "share": share}
    return _ceilings(truth, "likes", **asked)


def newcomer_oracle(
    truth: Truth, fold: Fold, n_shown: int, *, min_value: float = 7.0
) -> ProfileOracle:
    """Return the ceiling for newcomers with a profile and `n_shown` likes.

    Parameters
    ----------
    truth : Truth
    fold : Fold
        The newcomers with all their likes. How many they have on average says which share of their
        likes the oracle may take `n_shown` for.
    n_shown : int
        >= 0.
    min_value : float
        Lowest rating that counts as a like.

    Examples
    --------
    >>> import numpy as np
    >>> from recsys_lib.synthesis import make_world
    >>> world = make_world(n_users=5, n_items=20)
    >>> row = sparse.csr_array(np.ones((1, 20), dtype="float32"))
    >>> fold = Fold(fold_in=row, targets=sparse.csr_array((1, 20)), users=np.array([0]))
    >>> newcomer_oracle(world.truth, fold, 5).share
    0.25
    """
    usual = (fold.fold_in.nnz + fold.targets.nnz) / fold.n_rows
    share = max(n_shown, _NOT_YET) / max(usual, n_shown)
    return ProfileOracle(
        truth, by="liked_exposure", evidence="likes", min_value=min_value, share=share
    )


def oracles_of(world: Any, **asked: Any) -> dict[str, FoldInOracle | OmniscientOracle]:
    """Return the ceilings of a table: the fold-in oracle and the omniscient one.

    Parameters
    ----------
    world : World or None
        None, as on data whose truth nobody knows, has no oracles.
    **asked
        Passed on to both, such as ``by`` and ``min_value``.

    Returns
    -------
    dict
        By the names that `evaluation.leaderboard` knows; empty without a world.

    Examples
    --------
    >>> oracles_of(None)
    {}
    """
    return {} if world is None else _ceilings(world.truth, "ratings", **asked)


def _ceilings(
    truth: Truth, evidence: Evidence, **asked: Any
) -> dict[str, FoldInOracle | OmniscientOracle]:
    return {
        "fold-in oracle": FoldInOracle(truth, evidence=evidence, **asked),
        "omniscient": OmniscientOracle(truth, **asked),
    }


def _population(truth: Truth, n_rows: int) -> Gaussian:
    """Return the population mean and covariance of tastes, repeated for each row."""
    prior = mixture_moments(sphere_moments(truth.profile_means), truth.profile_share)
    size = truth.settings.latent_dim
    return Gaussian(
        np.broadcast_to(prior.mean, (n_rows, size)),
        np.broadcast_to(prior.covariance, (n_rows, size, size)),
    )
