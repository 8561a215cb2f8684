"""Ratings as an ordinal probit: a latent normal, cut to a target marginal."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from recsys_lib.synthesis.crowd import Blueprint, draw_crowd

Floats = NDArray[np.float64]

_PILOT_BLOCKS = 12  # about 12,000 people


def target_cdf(mean: float, sd: float, scale: tuple[int, int]) -> Floats:
    """Return P(rating <= k) of the rounded truncated normal, for every level but the highest.

    Parameters
    ----------
    mean, sd : float
        Of the normal before it is truncated to the scale and rounded.
    scale : tuple of int
        Lowest and highest rating.

    Returns
    -------
    ndarray of shape (n_levels - 1,)

    Examples
    --------
    >>> target_cdf(6, 2, (1, 10)).round(3)
    array([0.006, 0.035, 0.102, 0.227, 0.407, 0.61 , 0.79 , 0.915, 0.982])
    """
    low, high = scale
    ends = ndtr((np.array([low, high], dtype=float) - mean) / sd)
    cuts = ndtr((np.arange(low, high) + 0.5 - mean) / sd)
    return np.asarray((cuts - ends[0]) / (ends[1] - ends[0]))


def exact_thresholds(mean: float, sd: float, scale: tuple[int, int]) -> Floats:
    r"""Return the cuts that give a standard normal latent the target marginal, for any rho^2.

    :math:`t_k = \Phi^{-1}(F(k + 1/2))`.

    Examples
    --------
    >>> exact_thresholds(6, 2, (1, 10)).round(2)
    array([-2.5 , -1.81, -1.27, -0.75, -0.24,  0.28,  0.81,  1.37,  2.1 ])
    """
    return np.asarray(ndtri(target_cdf(mean, sd, scale)))


@dataclass(frozen=True)
class OrdinalProbit:
    r"""The distribution of a rating given its signal.

    A rating is ``k`` where the latent ``y = signal + noise`` falls between two cuts:
    :math:`P(r = k | s) = \Phi((t_k - s)/\sigma) - \Phi((t_{k-1} - s)/\sigma)`. Where the signal is
    itself uncertain, ``s ~ N(signal, variance)``, the same holds with
    :math:`\sigma^2 + \mathrm{variance}` in the place of :math:`\sigma^2`.

    Attributes
    ----------
    thresholds : ndarray of shape (n_levels - 1,), float64
        Increasing cuts.
    lowest : int
        The rating below the first cut.
    noise_sd : float
        Standard deviation of the noise, > 0.

    References
    ----------
    .. [1] P. McCullagh, "Regression Models for Ordinal Data", JRSS B 42 (1980), section 2.

    Examples
    --------
    >>> probit = OrdinalProbit(np.array([0.0]), 1, 1.0)
    >>> probit.expected(np.array([-9.0, 0.0, 9.0])).round(3)
    array([1. , 1.5, 2. ])
    """

    thresholds: Floats
    lowest: int
    noise_sd: float

    @property
    def highest(self) -> int:
        """The rating above the last cut."""
        return self.lowest + len(self.thresholds)

    def rate(self, latent: ArrayLike) -> NDArray[np.int8]:
        """Return the rating of each latent value."""
        levels = np.searchsorted(self.thresholds, np.asarray(latent))
        return (self.lowest + levels).astype(np.int8)

    def _above(self, cut: float, signal: ArrayLike, spread: Floats | float) -> Floats:
        return np.asarray(ndtr((np.asarray(signal) - cut) / spread))

    def _spread(self, variance: ArrayLike) -> Floats:
        return np.asarray(np.sqrt(self.noise_sd**2 + np.asarray(variance)))

    def expected(self, signal: ArrayLike, variance: ArrayLike = 0.0) -> Floats:
        """Return E[r], the prediction with the least squared error."""
        spread = self._spread(variance)
        mean = np.full(np.broadcast_shapes(np.shape(signal), spread.shape), float(self.lowest))
        for cut in self.thresholds:  # E[r] = lowest + sum_k P(r > k)
            mean += self._above(cut, signal, spread)
        return mean

    def variance(self, signal: ArrayLike) -> Floats:
        """Return Var(r | signal): the squared error that remains when the signal is known."""
        first = np.zeros(np.shape(signal))
        second = np.zeros(np.shape(signal))
        for level, cut in enumerate(self.thresholds):  # E[n^2] = sum_k (2k + 1) P(n > k)
            above = self._above(cut, signal, self.noise_sd)
            first += above
            second += (2 * level + 1) * above
        return np.asarray(second - first**2)

    def at_least(self, value: float, signal: ArrayLike, variance: ArrayLike = 0.0) -> Floats:
        """Return P(r >= value)."""
        level = int(np.ceil(value)) - self.lowest
        spread = self._spread(variance)
        if 0 < level <= len(self.thresholds):
            return self._above(self.thresholds[level - 1], signal, spread)
        shape = np.broadcast_shapes(np.shape(signal), spread.shape)
        return np.full(shape, 1.0 if level <= 0 else 0.0)

    def pmf(self, signal: ArrayLike) -> Floats:
        """Return P(r = k) for each level, along a new last axis."""
        cuts = (self.thresholds - np.asarray(signal)[..., None]) / self.noise_sd
        return np.diff(ndtr(cuts), prepend=0.0, append=1.0, axis=-1)


def rating_thresholds(plan: Blueprint) -> Floats:
    r"""Return the cuts between the levels of a rating.

    Parameters
    ----------
    plan : Blueprint

    Returns
    -------
    ndarray of shape (n_levels - 1,), float64

    Notes
    -----
    Without selection the latent rating of an observed pair is N(0, 1) over the worlds that could
    have been drawn, and :math:`t_k = \Phi^{-1}(F(k + 1/2))` gives the target marginal exactly. (In
    one world of few labs, the labs drawn move the histogram a little, as they should.)

    With selection people rate what they tend to like, which tilts the latent rating among observed
    pairs. The cuts are then the quantiles of the latent rating among the pairs that a *pilot*
    population observes: people drawn alike, from streams of their own, who face the same labs. So
    the cuts depend neither on how many people the world has nor on what these people rated, and
    P(r | s) keeps its form.
    """
    settings = plan.settings
    target = settings.rating_mean, settings.rating_sd, settings.rating_scale
    if settings.selection * settings.rho2 == 0 and settings.selection_on_rating == 0:
        return exact_thresholds(*target)
    latent = [draw_crowd(plan, block, "pilot").latent for block in range(_PILOT_BLOCKS)]
    return np.asarray(np.quantile(np.concatenate(latent), target_cdf(*target)))
