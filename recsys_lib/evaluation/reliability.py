"""Calibration quality: reliability table, Brier score, calibration error."""

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from recsys_lib.checks import check_choice, check_integer

__all__ = ["brier_score", "expected_calibration_error", "reliability_table"]

Binning = Literal["quantile", "uniform"]


def brier_score(probability: ArrayLike, liked: ArrayLike) -> float:
    """Mean squared difference between probability and outcome; 0 is perfect.

    Parameters
    ----------
    probability : array of shape (n,), float
        In [0, 1].
    liked : array of shape (n,), bool or float
        Outcomes, or true probabilities where a world knows them.

    References
    ----------
    .. [1] G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly
       Weather Review 78(1), 1950.

    Examples
    --------
    >>> brier_score([0.8, 0.4], [True, False])
    0.1
    """
    p, y = _forecasts(probability, liked)
    return float(np.mean((p - y) ** 2))


def reliability_table(
    probability: ArrayLike,
    liked: ArrayLike,
    *,
    n_bins: int = 10,
    binning: Binning = "quantile",
    true: ArrayLike | None = None,
) -> pd.DataFrame:
    """Compare forecast and observed frequencies, bin by bin.

    Parameters
    ----------
    probability : array of shape (n,), float
        In [0, 1].
    liked : array of shape (n,), bool or float
        Outcomes, or true probabilities where a world knows them.
    n_bins : int
        Number of bins to aim for; equal forecasts share a bin, and empty bins are left out.
    binning : {"quantile", "uniform"}
        Bins of about equally many forecasts, or of equal width on [0, 1].
    true : array of shape (n,), float, optional
        True probabilities, where a world knows them.

    Returns
    -------
    DataFrame
        Columns ``low, high`` (the bin's range of forecasts), ``n, predicted, observed``,
        ``observed_low, observed_high``, the 95 % Wilson interval of the observed share, and with
        `true` its mean, ``true``.

    References
    ----------
    .. [1] A. H. Murphy, R. L. Winkler, "Reliability of subjective probability forecasts", JRSS C
       26(1), 1977. Interval: E. B. Wilson, JASA 22, 1927.

    Examples
    --------
    >>> table = reliability_table([0.1, 0.1, 0.9, 0.9], [0, 1, 1, 1], n_bins=2)
    >>> table[["n", "predicted", "observed"]]
       n  predicted  observed
    0  2        0.1       0.5
    1  2        0.9       1.0
    """
    p, y = _forecasts(probability, liked)
    label = _bins(p, n_bins, binning)
    cells = pd.DataFrame({"p": p, "y": y})
    if true is not None:
        cells["true"] = _forecasts(true, liked)[0]
    grouped = cells.groupby(label)
    table = pd.DataFrame(
        {
            "low": grouped["p"].min(),
            "high": grouped["p"].max(),
            "n": grouped["p"].size(),
            "predicted": grouped["p"].mean(),
            "observed": grouped["y"].mean(),
        }
    ).reset_index(drop=True)
    n, share, z = table["n"], table["observed"], 1.959964
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    table = table.assign(observed_low=middle - reach, observed_high=middle + reach)
    return table if true is None else table.assign(true=grouped["true"].mean().to_numpy())


def expected_calibration_error(
    probability: ArrayLike,
    liked: ArrayLike,
    *,
    n_bins: int = 10,
    binning: Binning = "quantile",
) -> float:
    r"""Mean \|predicted - observed\| over bins, weighted by their size; 0 is perfect.

    Parameters
    ----------
    probability, liked, n_bins, binning
        As in `reliability_table`. The value depends on the bins, so state them beside it; with few
        cells per bin it is above 0 also for perfect forecasts.

    References
    ----------
    .. [1] M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining Well Calibrated Probabilities Using
       Bayesian Binning", AAAI 2015, section 4.

    Examples
    --------
    >>> round(expected_calibration_error([0.1, 0.1, 0.9, 0.9], [0, 1, 1, 1], n_bins=2), 3)
    0.25
    """
    table = reliability_table(probability, liked, n_bins=n_bins, binning=binning)
    gap = (table["predicted"] - table["observed"]).abs()
    return float((gap * table["n"]).sum() / table["n"].sum())


def _forecasts(
    probability: ArrayLike, liked: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    p, y = np.asarray(probability, dtype=np.float64), np.asarray(liked, dtype=np.float64)
    if p.ndim != 1 or p.shape != y.shape or not len(p):
        raise ValueError(
            "`probability` and `liked` must be of one length, at least 1; got shapes "
            f"{p.shape} and {y.shape}."
        )
    if not ((p >= 0) & (p <= 1)).all() or not ((y >= 0) & (y <= 1)).all():
        raise ValueError(
            "`probability` and `liked` must lie in [0, 1]; some values don't. "
            "Map scores with Calibrator.probability and leave out unlisted items."
        )
    return p, y


def _bins(p: NDArray[np.float64], n_bins: int, binning: Binning) -> NDArray[np.int64]:
    """Bin of each forecast; equal forecasts share one."""
    check_integer("n_bins", n_bins, minimum=1)
    check_choice("binning", binning, ("quantile", "uniform"))
    if binning == "uniform":
        return np.minimum((p * n_bins).astype(np.int64), n_bins - 1)
    inner = np.quantile(p, np.arange(1, n_bins) / n_bins, method="higher")
    return np.searchsorted(np.unique(inner), p, side="right")
