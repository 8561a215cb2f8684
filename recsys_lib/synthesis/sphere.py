"""Moments of Gaussians on the sphere of tastes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, hyp1f1

__all__ = ["Gaussian", "held_to_sphere", "mixture_moments", "sphere_moments", "sphere_tilt"]

Floats = NDArray[np.float64]


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
