"""How numbers are spread: ratings against a normal curve, activity, the long tail."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from recsys_lib.plots.style import COLORS, INK, MUTED, log_ticks, new_axes, styled, write_words

__all__ = ["plot_activity", "plot_long_tail", "plot_quantiles", "plot_ratings", "rating_shares"]


_MOST_LEVELS, _BINS, _MOST_TICKS = 100, 20, 12


def rating_shares(
    ratings: ArrayLike, *, mean: float, sd: float, bounds: tuple[float, float] | None = None
) -> pd.DataFrame:
    """Count ratings beside the share that a rounded normal gives each of them.

    Parameters
    ----------
    ratings : array of shape (n_ratings,)
    mean, sd : float
        Of the normal before rounding, in rating units.
    bounds : tuple of float, optional
        Where the normal is cut off before rounding. Without it the tails beyond the scale count
        to its ends.

    Returns
    -------
    DataFrame
        Indexed by ``rating``, the whole scale between the lowest and the highest; ``count``,
        ``share`` and ``expected``, shares in [0, 1]. Ratings that are no even ladder of at most
        100 levels are counted in 20 bins, each named by its middle.

    Examples
    --------
    >>> rating_shares([1, 2, 2, 3], mean=2, sd=0.5).round(3)
            count  share  expected
    rating
    1.0         1   0.25     0.159
    2.0         2   0.50     0.683
    3.0         1   0.25     0.159
    """
    values = np.asarray(ratings, dtype=float)
    scale = _ladder(np.unique(values))
    edges = np.concatenate([[-np.inf], (scale[1:] + scale[:-1]) / 2, [np.inf]])
    expected = np.diff(_normal(mean, sd, bounds).cdf(edges))
    counts = np.bincount(np.searchsorted(edges, values, side="right") - 1, minlength=len(scale))
    shares = {"count": counts, "share": counts / counts.sum(), "expected": expected}
    return pd.DataFrame(shares, index=pd.Index(scale, name="rating"))


def _ladder(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """The even ladder that the levels stand on, or the middles of bins where they stand on none."""
    if len(levels) == 1:
        return levels
    step, width = float(np.diff(levels).min()), float(levels[-1] - levels[0])
    rungs = (levels - levels[0]) / step
    # Single precision keeps seven digits: 0.1 is not exactly a tenth.
    if width / step < _MOST_LEVELS and np.allclose(rungs, np.round(rungs), atol=0.01):
        return np.round(levels[0] + step * np.arange(round(width / step) + 1), 5)
    return levels[0] + width / _BINS * (np.arange(_BINS) + 0.5)


def _normal(mean: float, sd: float, bounds: tuple[float, float] | None) -> "stats.rv_frozen":
    if bounds is None:
        return stats.norm(mean, sd)
    low, high = ((bound - mean) / sd for bound in bounds)
    return stats.truncnorm(low, high, loc=mean, scale=sd)


@styled
def plot_ratings(
    ratings: ArrayLike,
    *,
    mean: float,
    sd: float,
    bounds: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the histogram of ratings, a normal curve over it, and what rounding makes of the curve.

    Parameters
    ----------
    ratings : array of shape (n_ratings,)
    mean, sd : float
        Of the normal, in rating units.
    bounds : tuple of float, optional
        Where the normal is cut off.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Bars are observed shares, the line is the density times one step of the scale, rings are
        the shares of the rounded normal: a bar that reaches its ring is a bar that fits.
    """
    ax = new_axes(ax)
    table = rating_shares(ratings, mean=mean, sd=sd, bounds=bounds)
    scale = table.index.to_numpy(float)
    step = scale[1] - scale[0] if len(scale) > 1 else 1.0
    ax.bar(scale, table["share"], width=0.86 * step, color=COLORS["sky"], label="ratings")
    grid = np.linspace(scale[0] - step, scale[-1] + step, 400)
    ax.plot(
        grid,
        _normal(mean, sd, bounds).pdf(grid) * step,
        color=INK,
        label=f"normal curve, mean {mean:.3g}, sd {sd:.3g}",
    )
    ax.plot(scale, table["expected"], "o", mfc="none", mec=COLORS["vermilion"], mew=2, ms=8)
    ax.lines[-1].set_label("that curve, rounded")
    if len(scale) <= _MOST_TICKS:
        ax.set_xticks(scale)
    ax.grid(axis="x", visible=False)
    ax.legend()
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    return write_words(ax, "Are the ratings normal?", "rating", "share of ratings")


@styled
def plot_quantiles(
    ratings: ArrayLike,
    *,
    mean: float,
    sd: float,
    bounds: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a Q-Q plot of ratings against a normal: on the diagonal, they agree.

    Parameters
    ----------
    ratings, mean, sd, bounds, ax
        As of `plot_ratings`.

    Returns
    -------
    Axes
        The stairs are all quantiles; each tread is one rating. Its dot stands at the mean of the
        normal between the quantiles where the tread begins and ends, so the dots of a rounded
        normal lie on the diagonal, except where the scale cuts a tail.
    """
    ax = new_axes(ax, width=4.6, height=4.2)
    normal = _normal(mean, sd, bounds)
    values = np.asarray(ratings, dtype=float)
    levels, edges = _treads(values)
    n = len(values)
    at = normal.ppf(np.clip(edges, 1 / (2 * n), 1 - 1 / (2 * n)))
    ax.plot(np.repeat(at, 2)[1:-1], np.repeat(levels, 2), color=COLORS["sky"], label="quantiles")
    low, high = min(at[0], levels[0]), max(at[-1], levels[-1])
    ax.plot([low, high], [low, high], "--", color=MUTED, lw=1.2, label="the same distribution")
    ax.plot(_centers(normal, edges), levels, "o", color=COLORS["blue"], ms=6, label="one rating")
    ax.set_aspect("equal", adjustable="datalim")
    ax.legend(loc="upper left")
    return write_words(ax, "Quantile against quantile", "quantile of the normal", "rating")


def _treads(ratings: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Levels of a discrete sample and the probabilities between which each lies."""
    levels, counts = np.unique(ratings, return_counts=True)
    return levels, np.concatenate([[0.0], np.cumsum(counts) / len(ratings)])


def _centers(normal: "stats.rv_frozen", edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean quantile of the normal between neighboring probabilities."""
    middle = np.linspace(edges[:-1], edges[1:], 201)
    inside = (middle[1:] + middle[:-1]) / 2
    return np.asarray(normal.ppf(inside).mean(axis=0))


@styled
def plot_long_tail(
    counts: ArrayLike, *, head_share: float = 1 / 3, noun: str = "items", ax: Axes | None = None
) -> Axes:
    """Draw interactions by popularity rank, the short head apart from the long tail.

    Parameters
    ----------
    counts : array of shape (n_items,)
        Interactions of each item, in any order.
    head_share : float
        Share of all interactions that the head holds.
    noun : str
        What is counted, in the plural.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = new_axes(ax)
    ordered = np.sort(np.asarray(counts, dtype=float))[::-1]
    head = int(np.searchsorted(np.cumsum(ordered), head_share * ordered.sum())) + 1
    colors = np.where(np.arange(len(ordered)) < head, COLORS["vermilion"], COLORS["sky"])
    ax.bar(np.arange(1, len(ordered) + 1), ordered, width=1.0, color=list(colors), linewidth=0)
    words = f"{head} of {len(ordered):,} {noun} hold {head_share:.0%} of the interactions"
    ax.annotate(
        words,
        xy=(head, ordered[head - 1]),
        xytext=(0.30, 0.72),
        textcoords="axes fraction",
        color=COLORS["vermilion"],
        arrowprops={"arrowstyle": "-", "color": COLORS["vermilion"]},
    )
    ax.grid(axis="x", visible=False)
    ax.set_xlim(0, len(ordered) + 1)
    return write_words(ax, "How long is the tail?", f"{noun} by popularity", "interactions")


@styled
def plot_activity(
    counts: ArrayLike,
    *,
    noun: str = "users",
    title: str = "How active are the users?",
    xlabel: str = "interactions of a user (log)",
    ax: Axes | None = None,
) -> Axes:
    """Draw how many users have just so many interactions, on a logarithmic axis, with the median.

    Parameters
    ----------
    counts : array of shape (n_users,)
        Interactions of each user; what is below 1 is counted in the title, not drawn.
    noun : str
        Who is counted, in the plural.
    title, xlabel : str
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = new_axes(ax)
    values = np.asarray(counts, dtype=float)
    active = values[values >= 1]
    # Whole edges, and heights per whole number: on a logarithmic axis bins hold one number here and
    # many there, and bare counts would go up and down for no reason but that.
    edges = np.unique(np.round(np.geomspace(active.min(), active.max() + 1, 32))) - 0.5
    heights = np.histogram(active, bins=edges)[0] / np.diff(edges)
    ax.bar(edges[:-1], heights, width=np.diff(edges), align="edge", color=COLORS["sky"])
    median = float(np.median(active))
    ax.axvline(median, color=COLORS["vermilion"])
    ax.text(median, ax.get_ylim()[1], f" median {median:g}", color=COLORS["vermilion"], va="top")
    ax.set_xscale("log")
    log_ticks(ax.xaxis, active.max() / active.min())
    silent = len(values) - len(active)
    aside = f" ({silent:,} have none)" if silent else ""
    return write_words(ax, f"{title}{aside}", xlabel, f"{noun} with just so many")
