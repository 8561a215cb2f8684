"""The posterior of a user's taste given a history, with all labs known."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.synthesis.evidence import Evidence, Predictors, Terms, taste_terms
from recsys_lib.synthesis.sphere import Gaussian, held_to_sphere, sphere_tilt
from recsys_lib.synthesis.truth import Truth

__all__ = ["CLOCK_SD", "taste_posterior", "usual_clock"]

Floats = NDArray[np.float64]

CLOCK_SD = 1.0
"""Prior spread of the log clock: that of activity, and what tastes add to it."""

_STEPS = 25
_ROUNDS = 3
_TOLERANCE = 0.02  # of the last Newton step; what is left after it is about its square
_LONGEST = 2.0  # of one Newton step in any coordinate, in prior standard deviations


def taste_posterior(
    shown: sparse.csr_array,
    prior: Gaussian,
    truth: Truth,
    linear: Predictors,
    *,
    evidence: Evidence,
    share: float,
    min_value: float,
) -> Gaussian:
    r"""Return mean and covariance of ``z = (taste, bias, log clock)`` of each row.

    Parameters
    ----------
    shown : csr_array of shape (n_rows, n_items), float32
    prior : Gaussian
        Of the taste of each row: means (n_rows, K), covariances (n_rows, K, K).
    truth : Truth
    linear : Predictors
    evidence, share, min_value
        See `taste_terms`.

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
    size = prior.mean.shape[1]
    mode, precision = _prior(prior, truth, linear)
    pull = np.einsum("nij,nj->ni", precision, mode)
    places = np.arange(size)

    def terms(z: Floats, rows: NDArray[np.intp]) -> Terms:
        return taste_terms(
            z, shown[rows], truth, linear, evidence=evidence, share=share, min_value=min_value
        )

    for _ in range(_ROUNDS):
        found = _newton(mode, pull, precision, terms)
        mode = found.mean
        precision[:, places, places] += sphere_tilt(found, size)[:, None]
    return held_to_sphere(found, size)


def _newton(
    start: Floats,
    pull: Floats,
    precision: Floats,
    terms: Callable[[Floats, NDArray[np.intp]], Terms],
) -> Gaussian:
    """Return the posterior mode (Gaussian prior) and the inverse curvature there."""
    mode, curvature = start.copy(), precision.copy()
    # A row stops by its own step alone, so that it does not matter which others are beside it.
    rows = np.arange(len(mode))
    for _ in range(_STEPS):
        here, at = mode[rows], terms(mode[rows], rows)
        uphill = at.gradient + pull[rows] - np.einsum("nij,nj->ni", precision[rows], here)
        curvature[rows] = precision[rows] + at.curvature
        step = np.linalg.solve(curvature[rows], uphill[:, :, None])[:, :, 0]
        longest = np.abs(step).max(axis=1)
        mode[rows] += step * np.minimum(1.0, _LONGEST / np.maximum(longest, 1e-12))[:, None]
        rows = rows[longest > _TOLERANCE]
        if not len(rows):
            break
    return Gaussian(mode, np.asarray(np.linalg.inv(curvature), dtype=np.float64))


def _prior(prior: Gaussian, truth: Truth, linear: Predictors) -> tuple[Floats, Floats]:
    """Return the prior means and precisions of all unknowns."""
    rows, size = prior.mean.shape
    mean = np.hstack([prior.mean, np.zeros((rows, 2))])
    mean[:, -1] = usual_clock(truth, linear)
    precision = np.zeros((rows, size + 2, size + 2))
    precision[:, :size, :size] = np.linalg.inv(prior.covariance)
    precision[:, size, size] = 1.0
    precision[:, size + 1, size + 1] = 1.0 / CLOCK_SD**2
    return mean, precision


def usual_clock(truth: Truth, linear: Predictors) -> float:
    """Return the log clock at which a user of median activity stops."""
    settings = truth.settings
    slope = settings.selection + settings.selection_on_rating
    tastes = 0.5 * slope**2 * settings.taste_variance  # log of the mean rate over tastes
    median = np.log(settings.ratings_per_user) - 0.5 * settings.activity_spread**2
    return float(median - tastes - np.log(np.exp(linear.rate_offset).sum()))
