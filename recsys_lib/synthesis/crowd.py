"""People: their profiles and tastes, drawn in blocks with random streams of their own.

So adding users changes no one.
"""

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.checks import Doubles, Integers, Ints
from recsys_lib.seeding import rng_from
from recsys_lib.synthesis.catalog import TRACKS, Catalog, make_catalog, tracks_in
from recsys_lib.synthesis.settings import WorldSettings

BLOCK = 1024
"""Users per block. Blocks are always drawn whole and then cut, so that a world's last people are
the same whether or not others follow."""

DEMO_USER = "nle"
"""The login of the demonstration's user: position 0 of every world."""

# A name is an initial, a consonant, a vowel (three letters, always) and one of a list of distinct
# endings: so each pair (head, ending) is another string. The letters avoid words one would not
# like to be called, and no ending is empty, so that the demo user is the only one of three letters.
_SYLLABLES = tuple(c + v for c in "bdgklmnrsvz" for v in "aeiou")
_CODAS = tuple("klmnrs")
_HEADS = [
    i + c + v
    for i in "bcdefgjklmnprstvyz"
    for c in "bdgklmnrvz"
    for v in "aeiou"
    if i != c and c + v != "ni" and i + c + v not in ("kla", "sla")
]
_COMMON = [*_CODAS, *_SYLLABLES[::2], *(a + b for a in _SYLLABLES[::3] for b in ("n", "r", "s"))]
_RARE = sorted({a + b for a in _SYLLABLES for b in (*_CODAS, *_SYLLABLES)} - set(_COMMON))
CAPACITY = 1 + len(_HEADS) * (len(_COMMON) + len(_RARE))
"""How many users can have a name."""


def on_sphere(vectors: Doubles) -> Doubles:
    r"""Return the vectors with length :math:`\sqrt K`.

    With Gaussian lab factors the affinity of such a user is then exactly N(0, 1), whatever the
    direction; with Gaussian users it would have an excess kurtosis of 6/K.

    Examples
    --------
    >>> on_sphere(np.array([[3.0, 4.0]])).round(3)
    array([[0.849, 1.131]])
    """
    length = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    return np.asarray(vectors * (np.sqrt(vectors.shape[1]) / length))


def affinity(tastes: NDArray[Any], factors: NDArray[Any]) -> Doubles:
    r"""Return :math:`\langle p_u, q_i\rangle / \sqrt K` for every pair.

    Notes
    -----
    Summed term by term rather than by a matrix product: so the same seed gives the same bits on
    every machine and for every number of users, and nobody's history flips where two labs are
    nearly equal. For K = 8 that costs 7 ms per million pairs.

    Examples
    --------
    >>> affinity(np.array([[1.0, 1.0]]), np.array([[1.0, 0.0], [1.0, 1.0]])).round(3)
    array([[0.707, 1.414]])
    """
    tastes, factors = (np.asarray(array, dtype=np.float64) for array in (tastes, factors))
    scaled = factors.T / np.sqrt(factors.shape[1])
    total = np.zeros((len(tastes), len(factors)))
    for axis, column in enumerate(scaled):
        total += tastes[:, axis, None] * column
    return total


EXPERIENCE = ("beginner", "practitioner", "expert")
_EXPERIENCE_SHARE = (0.35, 0.45, 0.20)
_EXPERIENCE_SHIFT = (-0.9, 0.1, 1.2)  # along the dimension of levels, in units of a taste's sd

# Share of each role, and how it weighs the tracks in the order of TRACKS.
_ROLES: dict[str, tuple[float, tuple[float, ...]]] = {
    #                          CMP SDC ISM NET HBD SEC CNA EUC
    "cloud administrator": (0.24, (6, 4, 2, 1, 4, 1, 1, 1)),
    "network engineer": (0.18, (1, 2, 1, 9, 1, 4, 1, 1)),
    "developer": (0.18, (2, 1, 1, 1, 1, 1, 9, 1)),
    "solution architect": (0.16, (2, 4, 3, 2, 5, 2, 2, 1)),
    "security analyst": (0.12, (1, 1, 1, 4, 1, 9, 1, 1)),
    "workplace manager": (0.12, (1, 1, 3, 1, 1, 2, 1, 9)),
}
_ONE_INTEREST = 0.4  # share of people with one interest rather than two
_SECOND_WEIGHT = 0.6  # what a second interest counts beside the first


@dataclass(frozen=True)
class Profiles:
    """All possible profiles: every combination of role, two interests and experience.

    Attributes
    ----------
    table : DataFrame
        ``role, interests, experience`` of each profile; interests are tracks joined by ", ".
    share : ndarray of shape (n_profiles,)
        How frequent each profile is; sums to 1.
    means : ndarray of shape (n_profiles, latent_dim)
        Where its people's tastes center before they are put on the sphere; the spread around
        that is 1 in every direction.
    """

    table: pd.DataFrame
    share: Doubles
    means: Doubles

    def draw(self, uniforms: Doubles) -> Ints:
        """Return the profile of each uniform number in [0, 1)."""
        edges = np.cumsum(self.share)
        return np.asarray(np.searchsorted(edges[:-1], uniforms, side="right"))


def all_profiles(latent_dim: int, strength: float) -> Profiles:
    """List every profile with its share and its place in taste space.

    Parameters
    ----------
    latent_dim : int
        Dimensions of taste.
    strength : float
        Length of the mean taste in the plane of tracks, in standard deviations of a taste.

    Returns
    -------
    Profiles

    Examples
    --------
    >>> profiles = all_profiles(8, 2.0)
    >>> profiles.table.iloc[0].to_list()
    ['cloud administrator', 'CMP', 'beginner']
    >>> round(float(profiles.share.sum()), 6)
    1.0
    """
    tracks = tracks_in(latent_dim)
    rows, shares, means = [], [], []
    for role, (role_share, weights) in _ROLES.items():
        wish = np.array(weights) / sum(weights)
        for first in range(len(TRACKS)):
            for second in range(len(TRACKS)):
                share, place = _interests(first, second, wish, tracks)
                for step, experience in enumerate(EXPERIENCE):
                    names = dict.fromkeys((TRACKS[first], TRACKS[second]))
                    rows.append((role, ", ".join(names), experience))
                    shares.append(role_share * share * _EXPERIENCE_SHARE[step])
                    shift = np.eye(latent_dim)[-1] * _EXPERIENCE_SHIFT[step] * min(1.0, strength)
                    means.append(strength * place + shift)
    table = pd.DataFrame(rows, columns=["role", "interests", "experience"])
    return Profiles(table=table, share=np.array(shares), means=np.array(means))


def _interests(first: int, second: int, wish: Doubles, tracks: Doubles) -> tuple[float, Doubles]:
    """Return the share and direction of two interests in a role; the same twice is one interest."""
    if first == second:
        share, place = wish[first] * _ONE_INTEREST, tracks[first]
    else:
        share = wish[first] * (1 - _ONE_INTEREST) * wish[second] / (1 - wish[first])
        place = tracks[first] + _SECOND_WEIGHT * tracks[second]
    # What the role likes as a whole moves everybody in it a little, whatever they named.
    place = place + 0.5 * wish @ tracks
    return float(share), place / np.linalg.norm(place)


@dataclass(frozen=True)
class Blueprint:
    """What the people of a world are drawn from: its settings, and what follows from them."""

    settings: WorldSettings
    catalog: Catalog
    profiles: Profiles

    @classmethod
    def of(cls, settings: WorldSettings) -> Self:
        """Return the blueprint of some settings; it does not depend on the number of users."""
        profiles = all_profiles(settings.latent_dim, settings.profile_strength)
        return cls(settings, make_catalog(settings), profiles)

    @property
    def n_blocks(self) -> int:
        """How many blocks hold all users."""
        return -(-self.settings.n_users // BLOCK)

    def in_world(self, block: int) -> int:
        """Return how many users of a block are in the world: all, except in the last block."""
        return min(BLOCK, self.settings.n_users - block * BLOCK)


@dataclass(frozen=True)
class Crowd:
    """One block of users, with the labs they took, by user and in order of arrival.

    Attributes
    ----------
    profile : ndarray of shape (BLOCK,), int64
    tastes : ndarray of shape (BLOCK, latent_dim)
        On the sphere of radius ``sqrt(latent_dim)``.
    bias : ndarray of shape (BLOCK,)
        How generous each one is, N(0, 1).
    n_taken : ndarray of shape (BLOCK,), int64
        How many labs each one takes.
    rows, items : ndarray of shape (sum of n_taken,), int64
        Row in the block, ascending, and position in the catalog, of each lab taken.
    signal, latent : ndarray of shape (sum of n_taken,)
        The true signal of each pair, and the latent rating (signal and noise).
    keys : ndarray of shape (BLOCK, n_items)
        Arrival of every lab; the rest of the order tells what was looked at next.
    """

    profile: Ints
    tastes: Doubles
    bias: Doubles
    n_taken: Ints
    rows: Ints
    items: Ints
    signal: Doubles
    latent: Doubles
    keys: Doubles


def draw_crowd(plan: Blueprint, block: int, stream: str = "users") -> Crowd:
    """Draw the users of a block, the labs they take and their latent ratings.

    Parameters
    ----------
    plan : Blueprint
    block : int
        Which block.
    stream : str
        "users" for the world's people; another word for people who are drawn alike and never meet
        them, such as the pilot of the calibration.

    Returns
    -------
    Crowd

    Notes
    -----
    The noise of every pair is drawn, taken or not: worlds that differ in selection alone then
    hold the same opinions, differently observed.
    """
    settings, catalog, profiles = plan.settings, plan.catalog, plan.profiles

    def rng(what: str) -> np.random.Generator:
        return rng_from(settings.seed, stream, what, str(block))

    profile = profiles.draw(rng("profile").random(BLOCK))
    spread = rng("taste").standard_normal((BLOCK, settings.latent_dim))
    tastes = on_sphere(profiles.means[profile] + spread)
    bias = rng("bias").standard_normal(BLOCK)
    n_taken = _counts(settings, rng("activity").standard_normal(BLOCK))
    if block == 0 and stream == "users":  # the demo user: a little above the mean
        wanted = max(8, round(1.5 * settings.ratings_per_user))
        n_taken[0] = min(max(wanted, settings.min_ratings), settings.max_ratings)
    signal = _true_signal(settings, catalog, tastes, bias)
    latent = rng("noise").standard_normal(signal.shape)
    latent *= settings.noise_sd
    latent += signal
    log_rates = catalog.log_weight + settings.selection * signal
    if settings.selection_on_rating:
        log_rates += settings.selection_on_rating * latent
    keys = arrival_keys(log_rates, rng("arrival"))
    rows, items = chosen(keys, n_taken)
    pairs = rows, items
    return Crowd(profile, tastes, bias, n_taken, *pairs, signal[pairs], latent[pairs], keys)


def _counts(settings: WorldSettings, normals: Doubles) -> Ints:
    """Return log-normal numbers of labs, with the mean of the settings before they are clipped."""
    spread = settings.activity_spread
    counts = np.exp(np.log(settings.ratings_per_user) - 0.5 * spread**2 + spread * normals)
    return np.clip(np.rint(counts), settings.min_ratings, settings.max_ratings).astype(np.int64)


def _true_signal(
    settings: WorldSettings, catalog: Catalog, tastes: Doubles, bias: Doubles
) -> Doubles:
    r"""Return the signal of every pair.

    .. math:: s_{ui} = \sqrt{v_b}\,(b_u + b_i)/\sqrt2 + \sqrt{v_f}\,\langle p_u, q_i\rangle/\sqrt K

    Parameters
    ----------
    settings : WorldSettings
    catalog : Catalog
    tastes : ndarray of shape (n_users, latent_dim)
    bias : ndarray of shape (n_users,)

    Returns
    -------
    ndarray of shape (n_users, n_items)
        N(0, rho2) over the worlds that could have been drawn.
    """
    signal = affinity(tastes, catalog.factors)
    signal *= settings.taste_variance**0.5
    scale = (settings.bias_variance / 2) ** 0.5
    signal += scale * bias[:, None]
    signal += scale * catalog.bias
    return signal


def arrival_keys(log_rates: Doubles, rng: np.random.Generator) -> Doubles:
    r"""Return when each lab would be taken: the smallest keys of a row come first.

    Parameters
    ----------
    log_rates : ndarray of shape (n_users, n_items)
        Log propensities; a constant per row changes nothing.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of shape (n_users, n_items), float64
        Logarithms of exponential arrival times with these rates, that is minus
        :math:`\eta + \mathrm{Gumbel}`.

    Notes
    -----
    The first to arrive is ``i`` with probability :math:`e^{\eta_i}/\sum_j e^{\eta_j}`, and so on
    among the rest: sorting the keys is a Plackett-Luce draw without replacement [1]_.

    References
    ----------
    .. [1] J. I. Yellott, "The Relationship between Luce's Choice Axiom, Thurstone's Theory of
       Comparative Judgment, and the Double Exponential Distribution", J. Math. Psych. 15 (1977);
       W. Kool et al., "Stochastic Beams and Where to Find Them", ICML 2019, eq. 5-7.
    """
    keys = rng.standard_exponential(log_rates.shape)
    np.log(keys, out=keys)
    keys -= log_rates
    return keys


def chosen(keys: Doubles, counts: Ints) -> tuple[Ints, Ints]:
    """Return the cells with the ``counts[u]`` smallest keys of each row, in order of arrival.

    Parameters
    ----------
    keys : ndarray of shape (n_users, n_items)
    counts : ndarray of shape (n_users,), int
        At most n_items each.

    Returns
    -------
    rows, items : ndarray of shape (sum of counts,), int64
        Rows ascend; within a row the first item arrived first.

    Examples
    --------
    >>> chosen(np.array([[0.3, 0.1, 0.2]]), np.array([2]))
    (array([0, 0]), array([1, 2]))
    """
    order = np.argsort(keys, axis=1)
    rows, places = np.nonzero(np.arange(keys.shape[1]) < counts[:, None])
    return rows, order[rows, places]


def inclusion_probabilities(log_rates: Doubles, counts: Integers) -> Doubles:
    r"""Return how likely each item is among the first ``counts[u]`` arrivals of its row.

    Parameters
    ----------
    log_rates : ndarray of shape (n_users, n_items)
        Log propensities.
    counts : ndarray of shape (n_users,), int
        At most n_items each.

    Returns
    -------
    ndarray of shape (n_users, n_items)
        Each row sums to its count.

    Notes
    -----
    Arrivals until a time :math:`\tau` are independent, :math:`1 - e^{-w_i\tau}`, and :math:`\tau`
    is solved for so that the expected number is the count. Against the exact draw the error is of
    the order of 1 over the count; 40 bisections of n_users x n_items exponentials.

    Examples
    --------
    >>> inclusion_probabilities(np.zeros((1, 4)), np.array([2])).round(3)
    array([[0.5, 0.5, 0.5, 0.5]])
    """
    rates = np.exp(log_rates - log_rates.max(axis=1, keepdims=True))
    wanted = np.asarray(counts, dtype=float)[:, None]
    low, high = np.full_like(wanted, -20.0), np.full_like(wanted, 60.0)
    for _ in range(40):
        middle = (low + high) / 2
        few = (-np.expm1(-rates * np.exp(middle))).sum(axis=1, keepdims=True) < wanted
        low, high = np.where(few, middle, low), np.where(few, high, middle)
    return np.asarray(-np.expm1(-rates * np.exp((low + high) / 2)))


def login_names(n_users: int, seed: int = 0) -> NDArray[np.object_]:
    """Return one login name per user; the first is the demo user, ``nle``.

    Parameters
    ----------
    n_users : int
        At most `CAPACITY`.
    seed : int
        Names of the same seed agree as far as both lists reach.

    Returns
    -------
    ndarray of shape (n_users,), object
        Distinct lower-case strings of 3 to 7 letters. Like their people they are made up.

    Raises
    ------
    ValueError
        If there are more users than names.

    Examples
    --------
    >>> login_names(3)[0], len(set(login_names(5000)))
    ('nle', 5000)
    """
    if n_users > CAPACITY:
        raise ValueError(
            f"`n_users` must be at most {CAPACITY:,}, the number of login names; got {n_users:,}."
        )
    rng = rng_from(seed, "users", "names")
    heads, common, rare = (np.array(part, dtype=object) for part in (_HEADS, _COMMON, _RARE))
    names = np.empty(n_users, dtype=object)
    names[:1] = DEMO_USER
    start = 1
    for endings in (common, rare):  # short names first, long ones where those run out
        codes = _scattered(len(heads) * len(endings), n_users - start, rng)
        picked = heads[codes % len(heads)] + endings[codes // len(heads)]
        names[start : start + len(codes)] = picked
        start += len(codes)
    return names


def _scattered(size: int, count: int, rng: np.random.Generator) -> Ints:
    """Return the first `count` terms of a walk over `size` codes that repeats none."""
    step = int(size * 0.618) + int(rng.integers(0, size // 10))
    while math.gcd(step, size) != 1:
        step += 1
    offset = int(rng.integers(size))
    return (offset + step * np.arange(max(0, min(count, size)), dtype=np.int64)) % size
