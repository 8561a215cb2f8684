"""Draw users in blocks, each with its own random streams, so that adding users changes no one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_lib.seeding import rng_from
from recsys_lib.synthesis.catalog import Catalog
from recsys_lib.synthesis.exposure import arrival_keys, chosen, draw_counts
from recsys_lib.synthesis.profiles import Profiles
from recsys_lib.synthesis.settings import WorldSettings
from recsys_lib.synthesis.taste import affinity, on_sphere

__all__ = ["BLOCK", "Crowd", "Taken", "draw_crowd", "latent_ratings", "true_signal"]

BLOCK = 1024
"""Users per block. Blocks are always drawn whole and then cut, so that a world's last people are
the same whether or not others follow."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Crowd:
    """One block of users.

    Attributes
    ----------
    profile : ndarray of shape (BLOCK,), int64
    tastes : ndarray of shape (BLOCK, latent_dim)
        On the sphere of radius ``sqrt(latent_dim)``.
    bias : ndarray of shape (BLOCK,)
        How generous each one is, N(0, 1).
    n_taken : ndarray of shape (BLOCK,), int64
        How many labs each one takes.
    """

    profile: NDArray[np.int64]
    tastes: Floats
    bias: Floats
    n_taken: NDArray[np.int64]


@dataclass(frozen=True)
class Taken:
    """The labs that a block of users took, in order.

    Attributes
    ----------
    rows, items : ndarray of shape (n_taken,), int64
        Row in the block, ascending, and position in the catalog.
    signal, latent : ndarray of shape (n_taken,)
        The true signal of each pair, and the latent rating (signal and noise).
    keys : ndarray of shape (BLOCK, n_items)
        Arrival of every lab; the rest of the order tells what was looked at next.
    """

    rows: NDArray[np.int64]
    items: NDArray[np.int64]
    signal: Floats
    latent: Floats
    keys: Floats


def draw_crowd(
    settings: WorldSettings, profiles: Profiles, block: int, stream: str = "users"
) -> Crowd:
    """Draw the users of a block.

    Parameters
    ----------
    settings : WorldSettings
    profiles : Profiles
    block : int
        Which block.
    stream : str
        "users" for the world's people; another word for people who are drawn alike and never meet
        them, such as the pilot of the calibration.

    Returns
    -------
    Crowd
    """
    seed, part = settings.seed, str(block)
    profile = profiles.draw(rng_from(seed, stream, "profile", part).random(BLOCK))
    spread = rng_from(seed, stream, "taste", part).standard_normal((BLOCK, settings.latent_dim))
    counts = draw_counts(
        rng_from(seed, stream, "activity", part).standard_normal(BLOCK),
        settings.ratings_per_user,
        settings.activity_spread,
        settings.min_ratings,
        settings.max_ratings,
    )
    if block == 0 and stream == "users":
        counts[0] = _demo_count(settings)
    return Crowd(
        profile=profile,
        tastes=on_sphere(profiles.means[profile] + spread),
        bias=rng_from(seed, stream, "bias", part).standard_normal(BLOCK),
        n_taken=counts,
    )


def _demo_count(settings: WorldSettings) -> int:
    """Return the history length of the demo user: a little above the mean."""
    wanted = max(8, round(1.5 * settings.ratings_per_user))
    return min(max(wanted, settings.min_ratings), settings.max_ratings)


def true_signal(settings: WorldSettings, catalog: Catalog, tastes: Floats, bias: Floats) -> Floats:
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


def latent_ratings(
    settings: WorldSettings, catalog: Catalog, crowd: Crowd, block: int, stream: str = "users"
) -> Taken:
    """Draw which labs the users of a block take, and their latent ratings.

    Notes
    -----
    The noise of every pair is drawn, taken or not: worlds that differ in selection alone then
    hold the same opinions, differently observed.
    """
    seed, part = settings.seed, str(block)
    signal = true_signal(settings, catalog, crowd.tastes, crowd.bias)
    latent = rng_from(seed, stream, "noise", part).standard_normal(signal.shape)
    latent *= settings.noise_sd
    latent += signal
    log_rates = catalog.log_weight + settings.selection * signal
    if settings.selection_on_rating:
        log_rates += settings.selection_on_rating * latent
    keys = arrival_keys(log_rates, rng_from(seed, stream, "arrival", part))
    rows, items = chosen(keys, crowd.n_taken)
    return Taken(
        rows=rows,
        items=items,
        signal=signal[rows, items],
        latent=latent[rows, items],
        keys=keys,
    )
