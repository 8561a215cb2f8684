"""Posterior predictive distributions: integrate the posterior of a user for each lab."""

from typing import NamedTuple

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import NDArray

from recsys_lib.synthesis.evidence import Predictors
from recsys_lib.synthesis.sphere import Gaussian

__all__ = ["Predictive", "hidden_chance", "predict"]

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


def predict(found: Gaussian, linear: Predictors, share: float) -> Predictive:
    r"""Integrate over a posterior of users.

    Parameters
    ----------
    found : Gaussian
        Posterior of n rows.
    linear : Predictors
    share : float
        Share of each history that is shown.

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
    signal = linear.signal_offset + found.mean @ linear.signal_rows.T
    variance = _quadratic(found.covariance, linear.signal_rows, linear.signal_rows)
    log_rate = linear.rate_offset + found.mean @ linear.rate_rows.T
    spread = np.sqrt(_quadratic(found.covariance, linear.rate_rows, linear.rate_rows))
    hidden, first, second = (np.zeros_like(signal) for _ in range(3))
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        rate = np.exp(np.minimum(log_rate + node * spread, _MOST))
        chance = weight * hidden_chance(rate, share)
        hidden += chance
        first += node * chance
        second += node**2 * chance
    first /= hidden
    second = second / hidden - first**2
    slope = _quadratic(found.covariance, linear.signal_rows, linear.rate_rows) / spread
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
    products = (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)
    return np.asarray(covariance.reshape(len(covariance), -1) @ products.T)
