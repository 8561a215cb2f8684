"""The evidence in a history: gradient and curvature of its log-likelihood in the user's taste."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import log_ndtr, ndtr

from recsys_lib.synthesis.truth import Truth

__all__ = ["Evidence", "Predictors", "Terms", "predictors", "probit_derivatives", "taste_terms"]

Floats = NDArray[np.float64]
Evidence = Literal["ratings", "likes", "interactions"]

_FLAT = 1.0 / np.sqrt(2 * np.pi)
_LOG_RATES = (-30.0, 4.0)  # from never to surely


@dataclass(frozen=True)
class Predictors:
    r"""Linear predictors in a user's unknowns ``z = (taste, bias, log clock)``.

    The signal is ``signal_offset + signal_rows @ z``. A lab has been taken by the time the user's
    clock shows, with the log rate ``rate_offset + rate_rows @ z``: Plackett-Luce as a race [1]_,
    in which labs are independent given the clock.

    Attributes
    ----------
    signal_rows, rate_rows : ndarray of shape (n_items, K + 2)
    signal_offset, rate_offset : ndarray of shape (n_items,)

    References
    ----------
    .. [1] L. L. Thurstone's race in continuous time; J. I. Yellott, J. Math. Psych. 15 (1977).
    """

    signal_rows: Floats
    signal_offset: Floats
    rate_rows: Floats
    rate_offset: Floats

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return int(self.signal_rows.shape[1])


@dataclass(frozen=True)
class Terms:
    """Gradient (n, dim) and curvature (n, dim, dim, positive semi-definite) in ``z``."""

    gradient: Floats
    curvature: Floats


def predictors(truth: Truth) -> Predictors:
    """Return the linear predictors of a world."""
    settings = truth.settings
    taste = (settings.taste_variance / settings.latent_dim) ** 0.5 * truth.item_factors
    bias = (settings.bias_variance / 2) ** 0.5
    slope = settings.selection + settings.selection_on_rating
    ones, zeros = np.ones((truth.n_items, 1)), np.zeros((truth.n_items, 1))
    return Predictors(
        signal_rows=np.hstack([taste, bias * ones, zeros]),
        signal_offset=bias * truth.item_bias,
        # A user's bias moves all rates alike, so the clock takes it up.
        rate_rows=np.hstack([slope * taste, zeros, ones]),
        rate_offset=truth.log_weight + slope * bias * truth.item_bias,
    )


def taste_terms(
    z: Floats,
    shown: sparse.csr_array,
    truth: Truth,
    linear: Predictors,
    *,
    evidence: Evidence,
    share: float,
    min_value: float,
) -> Terms:
    """Return the gradient and curvature of a batch of histories at ``z``.

    Parameters
    ----------
    z : ndarray of shape (n_rows, K + 2)
    shown : csr_array of shape (n_rows, n_items)
        The part of each history that is seen.
    truth : Truth
    linear : Predictors
    evidence : {"ratings", "likes", "interactions"}
        What a stored pair says: its rating, that it was rated `min_value` or more, or no more
        than that it was taken.
    share : float
        Share of each history that is seen, in (0, 1].
    min_value : float
        For "likes".

    Returns
    -------
    Terms

    Notes
    -----
    A pair is stored with probability ``g = share * P(taken) [* P(like)]``: Fisher scoring of that
    Bernoulli, plus the ordinal probit of the ratings with its exact curvature, as the probit is
    log-concave. Nothing stored says nothing: the row of a newcomer, not of one who refused all.
    """
    size = linear.size
    gradient, curvature = np.zeros((len(z), size)), np.zeros((len(z), size, size))
    if evidence == "ratings":
        _add_ratings(z, shown, truth, linear, gradient, curvature)
    if linear.rate_rows[:, :-2].any() or evidence == "likes":
        like = min_value if evidence == "likes" else None
        _add_presence(z, shown, truth, linear, share, like, gradient, curvature)
    return Terms(gradient, curvature)


def _products(left: Floats, right: Floats) -> Floats:
    """Return row-wise outer products, flattened."""
    return np.asarray((left[:, :, None] * right[:, None, :]).reshape(len(left), -1))


def _add_ratings(
    z: Floats,
    shown: sparse.csr_array,
    truth: Truth,
    linear: Predictors,
    gradient: Floats,
    curvature: Floats,
) -> None:
    rows, items = np.repeat(np.arange(len(z)), np.diff(shown.indptr)), shown.indices
    signal = linear.signal_offset[items]
    signal += np.einsum("jd,jd->j", z[rows], linear.signal_rows[items])
    rate = linear.rate_offset[items] + np.einsum("jd,jd->j", z[rows], linear.rate_rows[items])
    signal += truth.shift_when_taken(np.exp(np.clip(rate, *_LOG_RATES)))
    slope, bend = probit_derivatives(truth, shown.data, signal)
    for values, pieces, into in (
        (slope, linear.signal_rows, gradient),
        (bend, _products(linear.signal_rows, linear.signal_rows), curvature),
    ):
        weights = sparse.csr_array((values, items, shown.indptr), shape=shown.shape)
        into += np.asarray(weights @ pieces).reshape(into.shape)


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


def _add_presence(
    z: Floats,
    shown: sparse.csr_array,
    truth: Truth,
    linear: Predictors,
    share: float,
    like: float | None,
    gradient: Floats,
    curvature: Floats,
) -> None:
    rows = np.repeat(np.arange(len(z)), np.diff(shown.indptr))
    rate = linear.rate_offset + z @ linear.rate_rows.T
    np.exp(np.clip(rate, *_LOG_RATES, out=rate), out=rate)
    taken = -np.expm1(-rate)
    chance = share * taken
    # d log(chance) along the rate and, for likes, along the signal.
    parts = [(rate * (1 - taken) / taken, linear.rate_rows)]
    if like is not None:
        signal = linear.signal_offset + z @ linear.signal_rows.T + truth.shift_when_taken(rate)
        chance *= truth.probit.at_least(like, signal)
        parts.append((_like_slope(truth, like, signal), linear.signal_rows))
    # Fisher's weight g / (1 - g); the gradient's (x - g) / (1 - g) is 1 where a pair is stored.
    weight = chance / np.maximum(1 - chance, 1e-9)
    weight[np.diff(shown.indptr) == 0] = 0.0
    surprise = -weight
    surprise[rows, shown.indices] = 1.0
    for left, left_rows in parts:
        gradient += (surprise * left) @ left_rows
        for right, right_rows in parts:
            pieces = (weight * left * right) @ _products(left_rows, right_rows)
            curvature += pieces.reshape(curvature.shape)


def _like_slope(truth: Truth, value: float, signal: Floats) -> Floats:
    """Derivative in the signal of log P(r >= value)."""
    level = int(np.ceil(value)) - truth.settings.rating_scale[0]
    if not 0 < level <= len(truth.thresholds):
        return np.zeros_like(signal)
    edge = (signal - truth.thresholds[level - 1]) / truth.settings.noise_sd
    return np.asarray(_FLAT * np.exp(-0.5 * edge**2 - log_ndtr(edge)) / truth.settings.noise_sd)
