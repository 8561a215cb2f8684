"""Batches of runs: settings beside the luck of seeds and users, and what a run costs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from recsys_lib.plots.style import COLORS, INK, MUTED, new_axes, new_figure, styled, write_words

__all__ = ["plot_behind", "plot_resources", "plot_settings"]

_TWO_SIDED = 1.96  # standard errors of a 95 % interval


@styled
def plot_settings(
    runs: pd.DataFrame,
    *,
    xlabel: str,
    ylabel: str = "",
    order: Sequence[str] | None = None,
    title: str = "Does the setting matter more than luck?",
    ax: Axes | None = None,
) -> Axes:
    """Draw each run of a batch by its setting, with the mean and how far other users would move it.

    Parameters
    ----------
    runs : DataFrame
        One row a run: ``setting``, ``value`` and ``se``, its standard error over users (NaN: none).
    xlabel, ylabel : str
        The metric with its unit and which way is better; what the settings differ in.
    order : sequence of str, optional
        Settings from top to bottom; as they come in `runs` by default.
    title : str
    ax : Axes, optional

    Returns
    -------
    Axes
        A dot a run: their spread is the luck of the seeds. The bar is the 95 % interval of one run
        over users.
    """
    settings = list(order if order is not None else dict.fromkeys(runs["setting"]))
    ax = new_axes(ax, height=1.6 + 0.42 * len(settings))
    for row, setting in enumerate(settings):
        its = runs[runs["setting"] == setting]
        mean, reach = its["value"].mean(), _TWO_SIDED * its["se"].mean()
        if np.isfinite(reach):
            ax.plot([mean - reach, mean + reach], [row, row], color=COLORS["sky"], lw=9, alpha=0.4)
        ax.plot([mean, mean], [row - 0.3, row + 0.3], color=INK, lw=1.6)
        ax.plot(its["value"], [row] * len(its), "o", color=COLORS["blue"], ms=6, alpha=0.85)
    handles = [
        ax.plot([], [], "o", color=COLORS["blue"], label="a run: one seed")[0],
        ax.plot([], [], color=INK, lw=1.6, label="mean of the seeds")[0],
        ax.plot([], [], color=COLORS["sky"], lw=9, alpha=0.4, label="other users, 95 %")[0],
    ]
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0)
    _name_rows(ax, settings)
    write_words(ax, "", xlabel, ylabel)
    ax.set_title(title, pad=28)
    return ax


@styled
def plot_behind(
    table: pd.DataFrame,
    *,
    best: str,
    xlabel: str,
    ylabel: str = "",
    title: str = "Which settings are really behind?",
    ax: Axes | None = None,
) -> Axes:
    """Draw how far each setting is behind the best, with its interval.

    Parameters
    ----------
    table : DataFrame
        Indexed by setting, first row on top: ``behind`` (positive: worse), ``low``, ``high``, and
        ``distinguishable``, whether that is more than luck.
    best : str
        What they are behind of.
    xlabel, ylabel, title : str
    ax : Axes, optional

    Returns
    -------
    Axes
        A setting that can be told from the best is filled; one that cannot is hollow.
    """
    ax = new_axes(ax, height=1.4 + 0.42 * max(len(table), 1))
    ax.axvline(0, color=COLORS["vermilion"], lw=1.2, ls="--")
    ax.text(0, 1.01, f" best: {best}", transform=ax.get_xaxis_transform(), color=MUTED, size=9)
    for row, (_, entry) in enumerate(table.iterrows()):
        sure = bool(entry["distinguishable"])
        color = COLORS["blue" if sure else "gray"]
        ax.plot([entry["low"], entry["high"]], [row, row], color=color, lw=2)
        ax.plot(entry["behind"], row, "o", ms=8, mec=color, mew=1.8, mfc=color if sure else "none")
    _name_rows(ax, list(table.index))
    write_words(ax, "", xlabel, ylabel)
    ax.set_title(title, pad=20)
    return ax


@styled
def plot_resources(
    runs: pd.DataFrame,
    *,
    ylabel: str = "",
    order: Sequence[str] | None = None,
    title: str = "What does a run cost?",
) -> list[Axes]:
    """Draw the time and the memory of each run by its setting.

    Parameters
    ----------
    runs : DataFrame
        One row a run: ``setting``, ``seconds`` and ``memory_mb``.
    ylabel : str
        What the settings differ in.
    order : sequence of str, optional
        Settings from top to bottom; as they come in `runs` by default.
    title : str

    Returns
    -------
    list of Axes
        Time, memory.
    """
    settings = list(order if order is not None else dict.fromkeys(runs["setting"]))
    height = 1.4 + 0.36 * len(settings)
    _, axes = new_figure(2, width=8.6, height=height, sharey=True)
    rows = runs["setting"].map({name: row for row, name in enumerate(settings)})
    for ax, column, words in zip(
        axes, ("seconds", "memory_mb"), ("seconds", "peak memory (MB)"), strict=True
    ):
        ax.plot(runs[column], rows, "o", color=COLORS["blue"], ms=6, alpha=0.8)
        ax.set_xlim(0, 1.08 * runs[column].max())
        write_words(ax, "", words)
    _name_rows(axes[0], settings)
    write_words(axes[0], title, "seconds of a run", ylabel)
    return axes


def _name_rows(ax: Axes, names: Sequence[str]) -> None:
    ax.set_yticks(range(len(names)), [str(name) for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
