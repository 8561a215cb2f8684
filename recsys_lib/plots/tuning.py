"""A search for settings: how it went, what mattered, where the best lies, and what it bought."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from recsys_lib.plots.style import (
    COLORS,
    INK,
    MUTED,
    log_ticks,
    new_axes,
    new_figure,
    styled,
    write_legend,
    write_question,
    write_words,
)

__all__ = ["plot_gains", "plot_importance", "plot_searches", "plot_slices"]

_GIVEN, _TRIED, _BEST = COLORS["gray"], COLORS["sky"], COLORS["vermilion"]


@styled
def plot_searches(
    searches: Mapping[str, pd.DataFrame],
    metric: str,
    *,
    title: str = "What did each trial find?",
    ylabel: str | None = None,
) -> list[Axes]:
    """Draw the trials of searches side by side, and the best so far as a line.

    Parameters
    ----------
    searches : mapping of str to DataFrame
        Name of the model -> its trials: ``trial``, ``state`` in {"complete", "pruned", "failed"},
        the metric (NaN where it was not reached) and ``best``, the best so far.
    metric : str
        The column that is searched for.
    title, ylabel : str
        Of the figure; the metric with its part and which way is better.

    Returns
    -------
    list of Axes
        On one scale. The square is the model as given; crosses at the foot are trials that were
        given up or failed.
    """
    _, axes = new_figure(len(searches), width=2.5 * len(searches) + 0.6, sharey=True)
    for ax, (name, trials) in zip(axes, searches.items(), strict=True):
        complete = trials[trials["state"] == "complete"]
        ax.step(trials["trial"], trials["best"], where="post", color=_BEST, label="best so far")
        ax.plot(complete["trial"], complete[metric], "o", color=_TRIED, ms=5, label="trial")
        given = trials.iloc[:1]
        ax.plot(given["trial"], given[metric], "s", color=INK, ms=6, label="as given")
        _mark_lost(ax, trials["trial"], trials["state"])
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        _name(ax, name, "trial")
    axes[0].set_ylabel(ylabel or metric)
    write_legend(axes)
    write_question(axes, title)
    return axes


def _mark_lost(ax: Axes, places: pd.Series, states: pd.Series) -> None:
    """Put a cross at the foot for each trial without a value, by what became of it."""
    for state, shape, words in (("pruned", "x", "given up early"), ("failed", "+", "failed")):
        lost = places[states == state]
        if len(lost):
            foot = np.full(len(lost), 0.03)
            where = ax.get_xaxis_transform()
            ax.plot(lost, foot, shape, color=MUTED, ms=6, mew=1.5, transform=where, label=words)


def _name(ax: Axes, name: str, xlabel: str) -> None:
    """Write what one of several axes is about, smaller than the title of all."""
    ax.set_title(str(name), fontweight="normal", fontsize=10)
    ax.set_xlabel(xlabel)


@styled
def plot_importance(
    shares: Mapping[str, pd.Series], *, title: str = "Which setting matters?"
) -> list[Axes]:
    """Draw the share of the metric's variance that each hyper-parameter explains.

    Parameters
    ----------
    shares : mapping of str to Series
        Name of the model -> share in [0, 1] by hyper-parameter, largest first.
    title : str

    Returns
    -------
    list of Axes
        Side by side, on one scale.
    """
    rows = max(len(one) for one in shares.values())
    size = {"width": 3.1 * len(shares) + 0.8, "height": 1.7 + 0.34 * rows}
    _, axes = new_figure(len(shares), **size, sharex=True)
    for ax, (name, share) in zip(axes, shares.items(), strict=True):
        places = np.arange(len(share))
        ax.barh(places, share, color=COLORS["sky"], height=0.7)
        ax.set_yticks(places, [str(key) for key in share.index])
        ax.set_ylim(rows - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        ax.xaxis.set_major_formatter(PercentFormatter(1))
        _name(ax, name, "share of the variance")
    axes[0].set_xlim(0, 1)
    if len(shares) == 1:
        title = f"{title[:-1]} to {next(iter(shares))}?"
    write_question(axes, title)
    return axes


@styled
def plot_slices(
    trials: pd.DataFrame,
    metric: str,
    names: Sequence[str],
    *,
    log: Collection[str] = (),
    title: str = "Where does the best lie?",
    ylabel: str | None = None,
) -> list[Axes]:
    """Draw the metric against each hyper-parameter, one dot a trial.

    Parameters
    ----------
    trials : DataFrame
        Of one search, as in `plot_searches`.
    metric : str
    names : sequence of str
        The hyper-parameters, a column each.
    log : collection of str
        Those of them on a logarithmic axis.
    title, ylabel : str

    Returns
    -------
    list of Axes
        The square is the model as given, the diamond the best; crosses at the foot are trials that
        were given up or failed. Words and tuples stand as labels.
    """
    found = trials[trials[metric].notna()]
    best = found.index[int(np.argmax(found[metric] == found["best"].iloc[-1]))]
    width = 2.5 * len(names) + 0.6
    _, axes = new_figure(len(names), width=width, height=3.9, sharey=True)
    for ax, name in zip(axes, names, strict=True):
        places = _places(ax, trials[name], log=name in log)
        ax.plot(places[found.index], found[metric], "o", color=_TRIED, ms=5, label="trial")
        given = found.index[:1]
        ax.plot(places[given], found.loc[given, metric], "s", color=INK, ms=6, label="as given")
        ax.plot(places[best], found.loc[best, metric], "D", color=_BEST, ms=6, label="best")
        _mark_lost(ax, places, trials["state"])
        ax.set_xlabel(name)
        ax.margins(y=0.1)  # room for the crosses
    axes[0].set_ylabel(ylabel or metric)
    write_legend(axes)
    write_question(axes, title)
    return axes


def _places(ax: Axes, values: pd.Series, *, log: bool) -> pd.Series:
    """Numbers as they are; anything else counted, with its words on the axis."""
    if pd.api.types.is_numeric_dtype(values):
        if log:
            ax.set_xscale("log")
            log_ticks(ax.xaxis, values.max() / values.min())
        return values.astype(float)
    words = values.map(str)
    kinds = sorted(words.unique())
    ax.set_xticks(range(len(kinds)), kinds, rotation=30 if len(kinds) > 3 else 0)
    ax.set_xlim(-0.5, len(kinds) - 0.5)
    return words.map({word: place for place, word in enumerate(kinds)}).astype(float)


@styled
def plot_gains(
    table: pd.DataFrame, *, xlabel: str, title: str = "What did tuning buy?", ax: Axes | None = None
) -> Axes:
    """Draw by how much tuning made each model better, with its interval.

    Parameters
    ----------
    table : DataFrame
        Indexed by model, first row on top: ``gain`` with ``low`` and ``high``, positive where it
        is better; ``as given`` and ``tuned``, the metric before and after; optionally ``certain``,
        whether it is more than luck, and ``promised``, the gain on the people who chose.
    xlabel, title : str
        Of the figure; the metric with its part.
    ax : Axes, optional

    Returns
    -------
    Axes
        An interval that touches the line at zero is no gain for certain. The ring is what was
        promised. Before and after stand at the right.
    """
    ax = new_axes(ax, height=1.5 + 0.42 * len(table))
    ax.axvline(0, color=MUTED, lw=1.2, zorder=0)
    for row, (_, entry) in enumerate(table.iterrows()):
        certain = entry["low"] > 0 or entry["high"] < 0
        color = COLORS["blue"] if entry.get("certain", certain) else _GIVEN
        ax.plot([entry["low"], entry["high"]], [row, row], color=color, lw=3, alpha=0.5)
        ax.plot(entry["gain"], row, "o", color=color, ms=7)
        if "promised" in table:
            ax.plot(entry["promised"], row, "o", mfc="none", mec=_BEST, mew=1.6, ms=11)
        words = f"{entry['as given']:.3f} → {entry['tuned']:.3f}"
        ax.text(1.02, row, words, transform=ax.get_yaxis_transform(), va="center", color=INK)
    ax.text(1.02, 1.02, "as given → tuned", transform=ax.transAxes, color=MUTED, size=9)
    if "promised" in table:
        ax.lines[-1].set_label("promised on validation")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
    ax.set_yticks(range(len(table)), [str(name) for name in table.index])
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    write_words(ax, "", xlabel)
    ax.set_title(title, pad=28)  # over the legend: marks may stand anywhere inside
    return ax
