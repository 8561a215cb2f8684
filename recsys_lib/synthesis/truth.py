"""The truth of a world: every user's expected rating of every lab, and their exposure to it.

Ratings are an ordinal probit: a latent normal, cut to a target marginal.
"""

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from recsys_lib.artifacts import check_replaceable, read_arrays, write_arrays
from recsys_lib.checks import CSR, Doubles, Floats, Integers, check_choice, check_positions
from recsys_lib.dataset import Fold
from recsys_lib.errors import ArtifactError
from recsys_lib.ranking import entry_rows
from recsys_lib.synthesis.crowd import Blueprint, draw_crowd, inclusion_probabilities
from recsys_lib.synthesis.settings import WorldSettings

Among = Literal["all", "taken"]

_PILOT_BLOCKS = 12  # about 12,000 people
_ROWS = 4096  # users whose dense rows are held at once where the caller asked for totals


def target_cdf(mean: float, sd: float, scale: tuple[int, int]) -> Doubles:
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


def exact_thresholds(mean: float, sd: float, scale: tuple[int, int]) -> Doubles:
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

    thresholds: Doubles
    lowest: int
    noise_sd: float

    def rate(self, latent: ArrayLike) -> NDArray[np.int8]:
        """Return the rating of each latent value."""
        levels = np.searchsorted(self.thresholds, np.asarray(latent))
        return (self.lowest + levels).astype(np.int8)

    def _above(self, cut: float, signal: ArrayLike, spread: Doubles | float) -> Doubles:
        return np.asarray(ndtr((np.asarray(signal) - cut) / spread))

    def _spread(self, variance: ArrayLike) -> Doubles:
        return np.asarray(np.sqrt(self.noise_sd**2 + np.asarray(variance)))

    def expected(self, signal: ArrayLike, variance: ArrayLike = 0.0) -> Doubles:
        """Return E[r], the prediction with the least squared error."""
        spread = self._spread(variance)
        mean = np.full(np.broadcast_shapes(np.shape(signal), spread.shape), float(self.lowest))
        for cut in self.thresholds:  # E[r] = lowest + sum_k P(r > k)
            mean += self._above(cut, signal, spread)
        return mean

    def variance(self, signal: ArrayLike) -> Doubles:
        """Return Var(r | signal): the squared error that remains when the signal is known."""
        first = np.zeros(np.shape(signal))
        second = np.zeros(np.shape(signal))
        for level, cut in enumerate(self.thresholds):  # E[n^2] = sum_k (2k + 1) P(n > k)
            above = self._above(cut, signal, self.noise_sd)
            first += above
            second += (2 * level + 1) * above
        return np.asarray(second - first**2)

    def at_least(self, value: float, signal: ArrayLike, variance: ArrayLike = 0.0) -> Doubles:
        """Return P(r >= value)."""
        level = int(np.ceil(value)) - self.lowest
        spread = self._spread(variance)
        if 0 < level <= len(self.thresholds):
            return self._above(self.thresholds[level - 1], signal, spread)
        shape = np.broadcast_shapes(np.shape(signal), spread.shape)
        return np.full(shape, 1.0 if level <= 0 else 0.0)


class Affine(NamedTuple):
    """A number per user and lab that is linear in the user's unknowns: ``offset + z @ rows.T``."""

    rows: Doubles
    offset: Doubles

    def at(self, z: Doubles) -> Doubles:
        """Return it for every lab, shape (n_rows, n_items)."""
        return np.asarray(self.offset + z @ self.rows.T)

    def of_pairs(self, z: Doubles, items: Integers) -> Doubles:
        """Return it for the pairs ``(z[j], items[j])``."""
        return np.asarray(self.offset[items] + np.einsum("jd,jd->j", z, self.rows[items]))


def rating_thresholds(plan: Blueprint) -> Doubles:
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


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Truth:
    r"""Everything the generator knows and no model may see.

    Attributes
    ----------
    settings : WorldSettings
        The settings of the world.
    tastes : ndarray of shape (n_users, latent_dim), float32
        :math:`p_u`, on the sphere of radius :math:`\sqrt K`.
    user_bias : ndarray of shape (n_users,), float32
        How generous each user is, N(0, 1).
    profile : ndarray of shape (n_users,), int32
        Row of each user in `profile_means`.
    n_taken : ndarray of shape (n_users,), int32
        How many labs each user takes.
    item_factors : ndarray of shape (n_items, latent_dim), float64
        :math:`q_i \sim N(0, I)`.
    item_bias, log_weight : ndarray of shape (n_items,), float64
        How good and how visible each lab is.
    thresholds : ndarray of shape (n_levels - 1,), float64
        The cuts between ratings.
    profile_means : ndarray of shape (n_profiles, latent_dim), float64
        Center of each profile before the sphere; the spread around it is 1 in each direction.
    profile_share : ndarray of shape (n_profiles,), float64
        How frequent each profile is.

    Notes
    -----
    Dense quantities are computed for the users asked for, never for all of them by default.

    Examples
    --------
    >>> from recsys_lib.synthesis import make_world
    >>> truth = make_world(n_users=50, n_items=20).truth
    >>> truth.expected_rating([0]).shape
    (1, 20)
    """

    settings: WorldSettings
    tastes: Floats
    user_bias: Floats
    profile: NDArray[np.int32]
    n_taken: NDArray[np.int32]
    item_factors: Doubles
    item_bias: Doubles
    log_weight: Doubles
    thresholds: Doubles
    profile_means: Doubles
    profile_share: Doubles

    def __repr__(self) -> str:
        rho2, seed = self.settings.rho2, self.settings.seed
        return f"Truth({self.n_users:,} users x {self.n_items:,} items, rho2 {rho2:g}, seed {seed})"

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.tastes)

    @property
    def n_items(self) -> int:
        """Number of labs."""
        return len(self.item_factors)

    @property
    def probit(self) -> OrdinalProbit:
        """The distribution of a rating given its signal."""
        return OrdinalProbit(self.thresholds, self.settings.rating_scale[0], self.settings.noise_sd)

    def shift_when_taken(self, rate: Doubles) -> Doubles:
        r"""Return how far selection shifts the latent rating of a pair that was taken.

        Parameters
        ----------
        rate : ndarray
            Expected arrivals of the pair by the time its user stops: ``-log(1 - P(taken))``.

        Returns
        -------
        ndarray
            On the latent scale; 0 unless ``selection_on_rating`` is not.

        Notes
        -----
        Taking with odds :math:`e^{\lambda y}` turns :math:`y \sim N(s, \sigma^2)` into
        :math:`N(s + \lambda\sigma^2, \sigma^2)` while it is rare. In general :math:`\lambda` is
        multiplied by the slope of log P(taken) in the log rate, which falls to 0 for labs that
        everybody takes.
        """
        strength = self.settings.selection_on_rating * self.settings.noise_sd**2
        return np.asarray(strength * rate / np.expm1(rate)) if strength else np.zeros_like(rate)

    @cached_property
    def affine(self) -> Affine:
        """The signal of each lab by a user's taste and bias."""
        taste = (self.settings.taste_variance / self.settings.latent_dim) ** 0.5
        bias = (self.settings.bias_variance / 2) ** 0.5
        rows = np.column_stack([taste * self.item_factors, np.full(self.n_items, bias)])
        return Affine(rows, bias * self.item_bias)

    def _people(self, users: ArrayLike) -> Doubles:
        """Return taste and bias of some users, as `affine` takes them."""
        users = check_positions("users", users, self.n_users)
        return np.column_stack([self.tastes[users], self.user_bias[users]]).astype(np.float64)

    def signal(self, users: ArrayLike) -> Doubles:
        """Return the true signal of some users for every lab.

        Parameters
        ----------
        users : array_like of int
            Positions.

        Returns
        -------
        ndarray of shape (n_rows, n_items), float64
            On the latent scale, where ratings have variance 1 before selection.
        """
        return self.affine.at(self._people(users))

    def signal_of_pairs(self, users: ArrayLike, items: ArrayLike) -> Doubles:
        """Return the true signal of each pair ``(users[j], items[j])``."""
        return self.affine.of_pairs(self._people(users), np.asarray(items, dtype=np.int64))

    def _signal(self, users: ArrayLike, among: Among) -> Doubles:
        """Return the signal, shifted by selection where only taken pairs are meant."""
        check_choice("among", among, ("all", "taken"))
        signal = self.signal(users)
        if among == "taken" and self.settings.selection_on_rating:
            taken = np.clip(self.inclusion(users), 1e-12, 1 - 1e-9)
            signal += self.shift_when_taken(-np.log1p(-taken))
        return signal

    def expected_rating(self, users: ArrayLike, *, among: Among = "all") -> Doubles:
        """Return E[r | signal]: the prediction with the least squared error.

        Parameters
        ----------
        users : array_like of int
            Positions.
        among : {"all", "taken"}
            "all": if everybody rated everything. "taken": of pairs that are observed, which
            differs only where ``selection_on_rating`` > 0.

        Returns
        -------
        ndarray of shape (n_rows, n_items), float64
            In rating units.
        """
        return self.probit.expected(self._signal(users, among))

    def like_probability(
        self, users: ArrayLike, min_value: float = 7, *, among: Among = "all"
    ) -> Doubles:
        """Return P(r >= min_value | signal).

        Parameters
        ----------
        users : array_like of int
            Positions.
        min_value : float
            Lowest rating that counts as a like.
        among : {"all", "taken"}
            See `expected_rating`.

        Returns
        -------
        ndarray of shape (n_rows, n_items), float64
        """
        return self.probit.at_least(min_value, self._signal(users, among))

    def like_chances(self, fold: Fold, min_value: float = 7) -> Doubles:
        """Return P(r >= min_value | signal) of the targets of a fold, in their stored order."""
        users = fold.users[entry_rows(fold.targets)]
        signal = self.signal_of_pairs(users, fold.targets.indices)
        return self.probit.at_least(min_value, signal)

    def exposure(self, users: ArrayLike) -> Doubles:
        r"""Return the log propensity :math:`\eta` of taking each lab, up to a constant per user.

        The next lab a user takes is ``i`` with probability proportional to :math:`e^{\eta_{ui}}`
        among those not yet taken.
        """
        slope = self.settings.selection + self.settings.selection_on_rating
        return np.asarray(self.log_weight + slope * self.signal(users))

    def inclusion(self, users: ArrayLike) -> Doubles:
        """Return the probability that each lab is among those the user takes.

        Returns
        -------
        ndarray of shape (n_rows, n_items), float64
            Each row sums to the number of labs that the user takes. To be inverted as a weight.

        Notes
        -----
        The Poisson-clock approximation of Plackett-Luce inclusion, within about 0.01.
        """
        users = np.asarray(users, dtype=np.int64)
        return inclusion_probabilities(self.exposure(users), self.n_taken[users])

    def irreducible_rmse(self, user_items: CSR) -> float:
        """Return the RMSE that remains when the truth is known.

        Parameters
        ----------
        user_items : csr_array of shape (n_users, n_items)
            Its stored pairs are averaged over, all of which were taken.

        Returns
        -------
        float
            In rating units.
        """
        total = 0.0
        for start in range(0, self.n_users, _ROWS):
            part = user_items[start : start + _ROWS]
            users = np.arange(start, start + part.shape[0])
            signal = self._signal(users, "taken")[entry_rows(part), part.indices]
            total += float(self.probit.variance(signal).sum())
        return float(np.sqrt(total / max(1, user_items.nnz)))

    def save(self, path: Path | str) -> None:
        """Write the truth as one ``.npz`` file, atomically; only another truth is replaced."""
        check_replaceable(path, ours=lambda file: "settings" in read_arrays(file))
        arrays = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "settings"
        }
        settings = np.array(json.dumps(dataclasses.asdict(self.settings)))
        write_arrays(path, settings=settings, **arrays)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Load a saved truth; `ArtifactError` if it is damaged or something else."""
        arrays = read_arrays(path)
        try:
            stored = json.loads(str(arrays.pop("settings")))
            stored["rating_scale"] = tuple(stored["rating_scale"])
            return cls(settings=WorldSettings(**stored), **arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"{path} must be the truth of a world; {error}. Save it again with World.save()."
            ) from error
