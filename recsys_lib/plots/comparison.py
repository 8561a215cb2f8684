"""Models side by side: intervals between a floor and a ceiling, and whether probabilities hold."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from recsys_lib.plots import style
from recsys_lib.plots.style import COLORS, GRID, MUTED, PAPER, styled

#: Color and mark of each role in a comparison: what is being shown, what it is held against.
_ROLES = {
    "floor": {"color": COLORS["gray"], "marker": "s"},
    "model": {"color": COLORS["blue"]},
    "ceiling": {"color": COLORS["vermilion"], "marker": "D"},
}
_RING: dict[str, Any] = {"mfc": "none", "mec": COLORS["vermilion"], "mew": 1.8}


@styled
def plot_comparison(
    table: pd.DataFrame, *, title: str, xlabel: str, ax: Axes | None = None
) -> Axes:
    """Draw one number per model with its interval, between the floor and the ceiling.

    Parameters
    ----------
    table : DataFrame
        As of `evaluation.leaderboard`: indexed by model, first row on top: ``value``, ``low`` and
        ``high`` (NaN: no interval), ``role`` in {"floor", "model", "ceiling"}, and optionally
        ``gap``, the share of the gap closed, in [0, 1].
    title, xlabel : str
        Of the figure; the metric with its unit and which way is better.
    ax : Axes, optional

    Returns
    -------
    Axes
        Lines at the floors and ceilings go through the figure; the share of the gap closed stands
        at the right.
    """
    ax = style.new_axes(ax, height=1.3 + 0.36 * len(table))
    for value, role in zip(table["value"], table["role"], strict=True):
        if role != "model":
            ax.axvline(value, color=_ROLES[role]["color"], lw=1, ls="--", zorder=0)
    style.interval_rows(ax, table, "value", [_ROLES[role] for role in table["role"]])
    if "gap" in table and table["gap"].notna().any():
        gaps = ["" if np.isnan(gap) else f"{gap:z.0%}" for gap in table["gap"]]
        style.write_beside(ax, gaps, "gap closed")
    return style.write_words(ax, title, xlabel)


@styled
def plot_cost(table: pd.DataFrame, *, ylabel: str, ax: Axes | None = None) -> Axes:
    """Draw accuracy against training time; a line joins the models that nothing cheaper beats.

    Parameters
    ----------
    table : DataFrame
        Indexed by model: ``seconds``, positive, and ``value``, higher is better; optionally
        ``low`` and ``high``, its interval.
    ylabel : str
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = style.new_axes(ax, height=4.4)
    ordered = table.sort_values("seconds", kind="stable")
    best_before = ordered["value"].cummax().shift(fill_value=-np.inf)
    front = ordered[ordered["value"] > best_before]
    ax.step(front["seconds"], front["value"], where="post", color=COLORS["orange"], zorder=2)
    if {"low", "high"} <= set(table):
        ax.vlines(table["seconds"], table["low"], table["high"], color=GRID, lw=2, zorder=1)
    colors = [COLORS["blue" if name in front.index else "gray"] for name in table.index]
    ax.scatter(table["seconds"], table["value"], s=44, c=colors, zorder=3)
    ax.set_xscale("log")
    ax.margins(x=0.14, y=0.1)
    style.log_ticks(ax.xaxis, table["seconds"].max() / table["seconds"].min())
    style.tell(ax, table["value"], ax.yaxis)
    seconds = "time to fit once (seconds, logarithmic)"
    style.write_words(ax, "What does a better list cost?", seconds, ylabel)
    _name_points(ax, ordered["seconds"], ordered["value"])
    return ax


#: Places of a name around its point, in points; nearest first.
_AROUND = [
    (reach * x, reach * y)
    for reach in (9, 16, 26, 38)
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1), (0.8, 0.8), (0.8, -0.8), (-0.8, 0.8))
]
_SIDES = {1: "left", 0: "center", -1: "right"}
_LEADER = {"arrowstyle": "-", "color": GRID, "lw": 1.0, "shrinkB": 4}


def _name_points(ax: Axes, xs: pd.Series, ys: pd.Series) -> None:
    """Write each point's name beside it, where it covers no other point and no other name."""
    figure: Any = ax.figure
    figure.draw_without_rendering()
    points = ax.transData.transform(np.column_stack([xs, ys]))
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in points]
    for name, x, y in zip(xs.index, xs, ys, strict=True):
        label = ax.annotate(str(name), (x, y), (0, 0), textcoords="offset points", size=9, zorder=4)
        label.set_path_effects([withStroke(linewidth=3, foreground=PAPER)])
        for shift in _AROUND:
            label.set(ha=_SIDES[np.sign(shift[0])], va="center", position=shift)
            box = label.get_window_extent()
            inside = ax.bbox.contains(*box.min) and ax.bbox.contains(*box.max)
            if inside and not box.count_overlaps(taken):
                break
        taken.append(box)
        if max(map(abs, shift)) > _AROUND[0][0]:
            ax.annotate("", (x, y), shift, textcoords="offset points", arrowprops=_LEADER, zorder=2)


@styled
def plot_wins(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the share of users for whom each model is the best of all.

    Parameters
    ----------
    table : DataFrame
        Indexed by model, first row on top: ``alone`` and ``shared``, in [0, 1], as
        `evaluation.wins` returns them.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = style.new_axes(ax, height=1.4 + 0.3 * len(table))
    style.bars(ax, table["alone"], color=COLORS["blue"], label="best alone")
    style.bars(ax, table["shared"], left=table["alone"], label="best with others")
    style.tell(ax, table["alone"] + table["shared"])
    ax.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter(style.Percents())
    ax.set_xlim(left=0)  # also where nobody wins
    return style.write_words(ax, "Who wins for whom?", "share of users", legend=True)


@styled
def plot_reliability(
    bins: pd.DataFrame,
    *,
    title: str = "Does a probability mean what it says?",
    label: str = "share that came true",
    ylabel: str = "share that came true",
    ax: Axes | None = None,
) -> Axes:
    """Draw how often people liked what was given a probability, bin by bin.

    Parameters
    ----------
    bins : DataFrame
        ``predicted`` and ``observed``, both in [0, 1], ``n``; optionally ``observed_low`` and
        ``observed_high``, an interval, and ``true``, the mean true probability where it is known.
    title, label, ylabel : str
        Of the figure; of the dots, and of their axis.
    ax : Axes, optional

    Returns
    -------
    Axes
        On the diagonal a probability means what it says; the area of a dot is its count.
    """
    ax = style.new_axes(ax, width=6.8, height=4.8)
    ax.plot([0, 1], [0, 1], "--", color=MUTED, lw=1.2, label="means what it says")
    color, size = COLORS["blue"], 10 + 90 * bins["n"] / bins["n"].max()
    if "observed_low" in bins:
        ends = bins["observed_low"], bins["observed_high"]
        ax.vlines(bins["predicted"], *ends, color=color, lw=1.5)
    ax.scatter(bins["predicted"], bins["observed"], s=size, color=color, alpha=0.8, label=label)
    if "true" in bins:
        ax.plot(bins["predicted"], bins["true"], "D", label="true probability", **_RING)
    end = _end(bins.filter(["predicted", "observed", "observed_high"]))  # no interval is cut
    ax.set(xlim=(-0.03 * end, 1.03 * end), ylim=(-0.03 * end, 1.03 * end))  # whole dots at ends
    ax.set_aspect("equal")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(style.Percents())
    gaps = (bins["observed"] - bins["predicted"]).abs()
    given, came = (
        f"{bins[name].min():.0%} to {bins[name].max():.0%}" for name in ("predicted", "observed")
    )
    style.tell(ax, f"Given {given}, came true {came}; the widest gap is {gaps.max():.1%}.")
    style.write_legend([ax])
    return style.write_words(ax, title, "probability given", ylabel)


def _end(probabilities: pd.Series | pd.DataFrame) -> float:
    """Where an axis of probabilities ends: at 1, or sooner where all of them are small."""
    highest = float(np.nanmax(probabilities.to_numpy(float), initial=0.0))
    return 1.0 if highest > 0.4 or highest == 0 else 1.3 * highest


@styled
def plot_recommendations(table: pd.DataFrame, *, title: str, ax: Axes | None = None) -> Axes:
    """Draw a list of recommendations as bars of probability, best on top.

    Parameters
    ----------
    table : DataFrame
        ``title`` and ``probability`` in [0, 1], best first; optionally ``true``, the true
        probability, drawn as a diamond.
    title : str
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = style.new_axes(ax, width=8.6, height=1.2 + 0.34 * len(table))
    style.bars(ax, table.set_index("title")["probability"], label="probability given")
    if "true" in table:
        ax.plot(table["true"], range(len(table)), "D", label="true probability", **_RING)
    ax.set_xlim(0, _end(table["probability"]))
    ax.xaxis.set_major_formatter(style.Percents())
    return style.write_words(ax, title, "probability that it comes true", legend="true" in table)
