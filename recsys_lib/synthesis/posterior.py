"""The posterior of a user's taste given a history, with all labs known."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import gammaln, hyp1f1, log_ndtr, ndtr

from recsys_lib.ranking import entry_rows
from recsys_lib.synthesis.truth import Truth

Floats = NDArray[np.float64]
Evidence = Literal["ratings", "likes", "interactions"]

_FLAT = 1.0 / np.sqrt(2 * np.pi)
_LOG_RATES = (-30.0, 4.0)  # from never to surely
_CLOCK_SD = 1.0  # prior spread of the log clock: that of activity, and what tastes add to it
_STEPS = 25
_ROUNDS = 3
_TOLERANCE = 0.02  # of the last Newton step; what is left after it is about its square
_LONGEST = 2.0  # of one Newton step in any coordinate, in prior standard deviations


class Gaussian(NamedTuple):
    """Means of shape (..., dim) and covariances of shape (..., dim, dim)."""

    mean: Floats
    covariance: Floats


def sphere_moments(means: Floats) -> Gaussian:
    r"""Return mean and covariance of :math:`\sqrt K v/\|v\|` for :math:`v \sim N(m, I_K)`.

    Parameters
    ----------
    means : ndarray of shape (n, K)
        :math:`m`, one per row.

    Returns
    -------
    Gaussian
        Of n means and covariances.

    Notes
    -----
    With :math:`x = -\|m\|^2/2`, from :math:`E[v f(\|v\|^2)] = m E[f(\chi^2_{K+2})]` and
    :math:`E[vv' f] = I\,E[f(\chi^2_{K+2})] + mm'\,E[f(\chi^2_{K+4})]` (noncentral) [1]_.

    References
    ----------
    .. [1] M. E. Bock, "Minimax Estimators of the Mean of a Multivariate Normal Distribution",
       Annals of Statistics 3 (1975), theorems A and B.

    Examples
    --------
    >>> sphere_moments(np.zeros((1, 3))).covariance[0].round(6)
    array([[1., 0., 0.],
           [0., 1., 0.],
           [0., 0., 1.]])
    """
    size = means.shape[1]
    x = -0.5 * (means**2).sum(axis=1)
    ratio = np.exp(gammaln((size + 1) / 2) - gammaln(size / 2 + 1)) / np.sqrt(2)
    first = np.sqrt(size) * ratio * hyp1f1(0.5, size / 2 + 1, x)
    mean = first[:, None] * means
    across = hyp1f1(1.0, size / 2 + 1, x)[:, None, None] * np.eye(size)
    along = size / (size + 2) * hyp1f1(1.0, size / 2 + 2, x)
    second = across + along[:, None, None] * _outer(means)
    return Gaussian(mean, second - _outer(mean))


def _outer(rows: Floats) -> Floats:
    return np.asarray(rows[:, :, None] * rows[:, None, :])


def mixture_moments(parts: Gaussian, share: Floats) -> Gaussian:
    """Return mean and covariance of a mixture.

    Parameters
    ----------
    parts : Gaussian
        Of n components.
    share : ndarray of shape (n,)
        Their weights; sum to 1.

    Returns
    -------
    Gaussian
    """
    mean = share @ parts.mean
    spread = parts.covariance + _outer(parts.mean - mean)
    return Gaussian(mean, np.tensordot(share, spread, axes=1))


def sphere_tilt(given: Gaussian, size: int) -> Floats:
    r"""Return the precision to add to the first `size` coordinates so that :math:`E\|p\|^2 = K`.

    Parameters
    ----------
    given : Gaussian
        Of n distributions.
    size : int
        :math:`K`; the first coordinates are the taste.

    Returns
    -------
    ndarray of shape (n,)
        Negative where the given taste is too short.
    """
    mean = given.mean[:, :size]
    precision, turn = np.linalg.eigh(np.linalg.inv(given.covariance[:, :size, :size]))
    pulled = precision * np.einsum("nij,ni->nj", turn, mean)
    low, high = -precision[:, :1] * (1 - 1e-6), np.full((len(mean), 1), 1e4)
    for _ in range(60):
        middle = (low + high) / 2
        length = ((pulled / (precision + middle)) ** 2 + 1 / (precision + middle)).sum(1)
        long = length[:, None] > size
        low, high = np.where(long, middle, low), np.where(long, high, middle)
    return np.asarray((low + high)[:, 0] / 2)


def held_to_sphere(given: Gaussian, size: int) -> Gaussian:
    r"""Return the moments of Gaussians with their first `size` coordinates on the sphere.

    Parameters
    ----------
    given : Gaussian
        Of n distributions.
    size : int
        :math:`K`; the first coordinates are the taste, with :math:`\|p\|^2 = K` known.

    Returns
    -------
    Gaussian

    Notes
    -----
    The saddle point: :math:`e^{-\lambda\|p\|^2/2}` is multiplied in with the :math:`\lambda` that
    makes :math:`E\|p\|^2 = K`, and what still varies with :math:`\|p\|^2` is regressed out of the
    covariance. Exact without information, where it changes nothing.
    """
    tilt = sphere_tilt(given, size)
    precision = np.linalg.inv(given.covariance)
    pull = np.einsum("nij,nj->ni", precision, given.mean)
    places = np.arange(size)
    precision[:, places, places] += tilt[:, None]
    covariance = np.linalg.inv(precision)
    mean = np.einsum("nij,nj->ni", covariance, pull)
    taste, block = mean[:, :size], covariance[:, :size, :size]
    # Covariance with, and variance of, |p|^2 under a Gaussian.
    along = 2 * np.einsum("nij,nj->ni", covariance[:, :, :size], taste)
    radial = 2 * (block**2).sum(axis=(1, 2)) + 2 * (along[:, :size] * taste).sum(axis=1)
    return Gaussian(mean, covariance - _outer(along) / radial[:, None, None])


class Affine(NamedTuple):
    """A number per user and lab that is linear in the user's unknowns: ``offset + z @ rows.T``."""

    rows: Floats
    offset: Floats

    def at(self, z: Floats) -> Floats:
        """Return it for every lab, shape (n_rows, n_items)."""
        return np.asarray(self.offset + z @ self.rows.T)

    def of_pairs(self, z: Floats, items: NDArray[np.integer]) -> Floats:
        """Return it for the pairs ``(z[j], items[j])``."""
        return np.asarray(self.offset[items] + np.einsum("jd,jd->j", z, self.rows[items]))


@dataclass(frozen=True)
class Likelihood:
    r"""How likely histories are under their users' unknowns ``z = (taste, bias, log clock)``.

    A lab has been taken by the time that the user's clock shows, with the log rate `log_rate`:
    Plackett-Luce as a race [1]_, in which labs are independent given the clock.

    Attributes
    ----------
    truth : Truth
    evidence : {"ratings", "likes", "interactions"}
        What a stored pair says: its rating, that it was rated `min_value` or more, or no more
        than that it was taken.
    share : float
        Share of each history that is seen, in (0, 1].
    min_value : float
        For "likes".

    References
    ----------
    .. [1] L. L. Thurstone's race in continuous time; J. I. Yellott, J. Math. Psych. 15 (1977).
    """

    truth: Truth
    evidence: Evidence
    share: float
    min_value: float

    @cached_property
    def signal(self) -> Affine:
        """The true signal of each lab."""
        truth, settings = self.truth, self.truth.settings
        taste = (settings.taste_variance / settings.latent_dim) ** 0.5 * truth.item_factors
        bias = (settings.bias_variance / 2) ** 0.5
        ones, zeros = np.ones((truth.n_items, 1)), np.zeros((truth.n_items, 1))
        return Affine(np.hstack([taste, bias * ones, zeros]), bias * truth.item_bias)

    @cached_property
    def log_rate(self) -> Affine:
        """The log rate at which each lab is taken."""
        truth, settings = self.truth, self.truth.settings
        slope = settings.selection + settings.selection_on_rating
        rows = slope * self.signal.rows
        rows[:, -2:] = 0.0, 1.0  # a user's bias moves all rates alike: the clock takes it up
        bias = slope * (settings.bias_variance / 2) ** 0.5
        return Affine(rows, truth.log_weight + bias * truth.item_bias)

    @cached_property
    def usual_clock(self) -> float:
        """The log clock at which a user of median activity stops."""
        settings = self.truth.settings
        slope = settings.selection + settings.selection_on_rating
        tastes = 0.5 * slope**2 * settings.taste_variance  # log of the mean rate over tastes
        median = np.log(settings.ratings_per_user) - 0.5 * settings.activity_spread**2
        return float(median - tastes - np.log(np.exp(self.log_rate.offset).sum()))

    def terms(self, z: Floats, shown: sparse.csr_array) -> tuple[Floats, Floats]:
        """Return gradient and curvature of the log-likelihood of a batch of histories at ``z``.

        Parameters
        ----------
        z : ndarray of shape (n_rows, K + 2)
        shown : csr_array of shape (n_rows, n_items)
            The part of each history that is seen.

        Returns
        -------
        gradient : ndarray of shape (n_rows, K + 2)
        curvature : ndarray of shape (n_rows, K + 2, K + 2)
            Positive semi-definite.

        Notes
        -----
        A pair is stored with probability ``g = share * P(taken) [* P(like)]``: Fisher scoring of
        that Bernoulli, plus the ordinal probit of the ratings with its exact curvature, as the
        probit is log-concave. Nothing stored says nothing: the row of a newcomer, not of one who
        refused all.
        """
        gradient, curvature = np.zeros_like(z), np.zeros((*z.shape, z.shape[1]))
        if self.evidence == "ratings":
            self._add_ratings(z, shown, gradient, curvature)
        if self.log_rate.rows[:, :-2].any() or self.evidence == "likes":
            self._add_presence(z, shown, gradient, curvature)
        return gradient, curvature

    def _add_ratings(
        self, z: Floats, shown: sparse.csr_array, gradient: Floats, curvature: Floats
    ) -> None:
        rows, items = entry_rows(shown), shown.indices
        signal = self.signal.of_pairs(z[rows], items)
        rate = np.exp(np.clip(self.log_rate.of_pairs(z[rows], items), *_LOG_RATES))
        signal += self.truth.shift_when_taken(rate)
        slope, bend = probit_derivatives(self.truth, shown.data, signal)
        pieces = self.signal.rows
        for values, part, into in (
            (slope, pieces, gradient),
            (bend, products(pieces, pieces), curvature),
        ):
            weights = sparse.csr_array((values, items, shown.indptr), shape=shown.shape)
            into += np.asarray(weights @ part).reshape(into.shape)

    def _add_presence(
        self, z: Floats, shown: sparse.csr_array, gradient: Floats, curvature: Floats
    ) -> None:
        rows = entry_rows(shown)
        rate = np.exp(np.clip(self.log_rate.at(z), *_LOG_RATES))
        taken = -np.expm1(-rate)
        chance = self.share * taken
        # d log(chance) along the rate and, for likes, along the signal.
        parts = [(rate * (1 - taken) / taken, self.log_rate.rows)]
        if self.evidence == "likes":
            signal = self.signal.at(z) + self.truth.shift_when_taken(rate)
            chance *= self.truth.probit.at_least(self.min_value, signal)
            parts.append((_like_slope(self.truth, self.min_value, signal), self.signal.rows))
        # Fisher's weight g / (1 - g); the gradient's (x - g) / (1 - g) is 1 where a pair is stored.
        weight = chance / np.maximum(1 - chance, 1e-9)
        weight[np.diff(shown.indptr) == 0] = 0.0
        surprise = -weight
        surprise[rows, shown.indices] = 1.0
        for left, left_rows in parts:
            gradient += (surprise * left) @ left_rows
            for right, right_rows in parts:
                pieces = (weight * left * right) @ products(left_rows, right_rows)
                curvature += pieces.reshape(curvature.shape)


def products(left: Floats, right: Floats) -> Floats:
    """Return row-wise outer products, flattened."""
    return np.asarray((left[:, :, None] * right[:, None, :]).reshape(len(left), -1))


def probit_derivatives(
    truth: Truth, ratings: NDArray[np.float32], signal: Floats
) -> tuple[Floats, Floats]:
    """First and negative second derivative in the signal of log P(r | signal)."""
    sigma = truth.settings.noise_sd
    level = np.rint(ratings).astype(np.int64) - truth.settings.rating_scale[0]
    cuts = np.concatenate([[-40.0], truth.thresholds, [40.0]])  # as good as infinite
    low, high = (cuts[level] - signal) / sigma, (cuts[level + 1] - signal) / sigma
    at_low, at_high = (_FLAT * np.exp(-0.5 * edge**2) for edge in (low, high))
    # On the far side of the mean the two tails are subtracted, so that no digits are lost.
    far = low > 0
    mass = ndtr(np.where(far, -low, high)) - ndtr(np.where(far, -high, low))
    mass = np.maximum(mass, 1e-300)
    slope = (at_low - at_high) / (mass * sigma)
    bend = (high * at_high - low * at_low) / (mass * sigma**2) + slope**2
    return slope, np.clip(bend, 0.0, 1.0 / sigma**2)


def _like_slope(truth: Truth, value: float, signal: Floats) -> Floats:
    """Derivative in the signal of log P(r >= value)."""
    level = int(np.ceil(value)) - truth.settings.rating_scale[0]
    if not 0 < level <= len(truth.thresholds):
        return np.zeros_like(signal)
    edge = (signal - truth.thresholds[level - 1]) / truth.settings.noise_sd
    return np.asarray(_FLAT * np.exp(-0.5 * edge**2 - log_ndtr(edge)) / truth.settings.noise_sd)


def taste_posterior(likelihood: Likelihood, shown: sparse.csr_array, prior: Gaussian) -> Gaussian:
    r"""Return mean and covariance of ``z = (taste, bias, log clock)`` of each row.

    Parameters
    ----------
    likelihood : Likelihood
    shown : csr_array of shape (n_rows, n_items), float32
    prior : Gaussian
        Of the taste of each row: means (n_rows, K), covariances (n_rows, K, K).

    Returns
    -------
    Gaussian
        Of shape (n_rows, K + 2) and (n_rows, K + 2, K + 2).

    Notes
    -----
    Laplace's approximation: Newton to the mode, the curvature there as precision; then the taste
    is held to its sphere (`held_to_sphere`), whose tilt also moves the point that is expanded
    around. Against a long Markov chain with the exact prior the predictions differ by about 0.1
    rating units (rms), which is 0.003 in RMSE.
    """
    rows, size = prior.mean.shape
    mode = np.hstack([prior.mean, np.zeros((rows, 2))])
    mode[:, -1] = likelihood.usual_clock
    precision = np.zeros((rows, size + 2, size + 2))
    precision[:, :size, :size] = np.linalg.inv(prior.covariance)
    precision[:, size, size] = 1.0
    precision[:, size + 1, size + 1] = 1.0 / _CLOCK_SD**2
    pull = np.einsum("nij,nj->ni", precision, mode)
    places = np.arange(size)
    for _ in range(_ROUNDS):
        found = _newton(mode, pull, precision, likelihood, shown)
        mode = found.mean
        precision[:, places, places] += sphere_tilt(found, size)[:, None]
    return held_to_sphere(found, size)


def _newton(
    start: Floats,
    pull: Floats,
    precision: Floats,
    likelihood: Likelihood,
    shown: sparse.csr_array,
) -> Gaussian:
    """Return the posterior mode (Gaussian prior) and the inverse curvature there."""
    mode, curvature = start.copy(), precision.copy()
    # A row stops by its own step alone, so that it does not matter which others are beside it.
    rows = np.arange(len(mode))
    for _ in range(_STEPS):
        here = mode[rows]
        gradient, bend = likelihood.terms(here, shown[rows])
        uphill = gradient + pull[rows] - np.einsum("nij,nj->ni", precision[rows], here)
        curvature[rows] = precision[rows] + bend
        step = np.linalg.solve(curvature[rows], uphill[:, :, None])[:, :, 0]
        longest = np.abs(step).max(axis=1)
        mode[rows] += step * np.minimum(1.0, _LONGEST / np.maximum(longest, 1e-12))[:, None]
        rows = rows[longest > _TOLERANCE]
        if not len(rows):
            break
    return Gaussian(mode, np.asarray(np.linalg.inv(curvature), dtype=np.float64))
