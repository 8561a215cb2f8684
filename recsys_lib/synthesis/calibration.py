"""Calibrate the rating cuts so that observed ratings have the target histogram."""

import numpy as np
from numpy.typing import NDArray

from recsys_lib.synthesis.catalog import Catalog
from recsys_lib.synthesis.crowd import draw_crowd, latent_ratings
from recsys_lib.synthesis.profiles import Profiles
from recsys_lib.synthesis.scale import exact_thresholds, target_cdf
from recsys_lib.synthesis.settings import WorldSettings

__all__ = ["PILOT_BLOCKS", "rating_thresholds"]

PILOT_BLOCKS = 12
"""Blocks of the pilot population, about 12,000 people."""


def rating_thresholds(
    settings: WorldSettings, catalog: Catalog, profiles: Profiles
) -> NDArray[np.float64]:
    r"""Return the cuts between the levels of a rating.

    Parameters
    ----------
    settings : WorldSettings
    catalog : Catalog
    profiles : Profiles

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
    target = settings.rating_mean, settings.rating_sd, settings.rating_scale
    if settings.selection * settings.rho2 == 0 and settings.selection_on_rating == 0:
        return exact_thresholds(*target)
    latent = [
        latent_ratings(
            settings, catalog, draw_crowd(settings, profiles, block, "pilot"), block, "pilot"
        ).latent
        for block in range(PILOT_BLOCKS)
    ]
    return np.asarray(np.quantile(np.concatenate(latent), target_cdf(*target)))
