"""Runs and searches: settings beside the luck of seeds and users, and what a search bought."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from recsys_lib.plots import style
from recsys_lib.plots.style import COLORS, INK, MUTED, styled

_GIVEN, _TRIED, _BEST = COLORS["gray"], COLORS["sky"], COLORS["vermilion"]
_TWO_SIDED = 1.96  # standard errors of a 95 % interval
_ALIKE = 1e-4  # smaller differences are none, in any metric


@styled
def plot_settings(
    runs: pd.DataFrame,
    *,
    xlabel: str,
    ylabel: str = "",
    order: Sequence[str] | None = None,
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
    ax : Axes, optional

    Returns
    -------
    Axes
        A dot a run: their spread is the luck of the seeds. The bar is the 95 % interval of one run
        over users.
    """
    order = list(order if order is not None else dict.fromkeys(runs["setting"]))
    table = runs.groupby("setting")[["value", "se"]].mean().loc[order]
    reach = _TWO_SIDED * table["se"]
    table = table.assign(low=table["value"] - reach, high=table["value"] + reach)
    ax = style.new_axes(ax, height=1.6 + 0.42 * len(table))
    looks = [{"color": COLORS["sky"], "marker": "none"}] * len(table)
    style.interval_rows(ax, table, "value", looks, lw=9, label="other users, 95 %")
    rows = np.arange(len(table))
    ax.vlines(table["value"], rows - 0.3, rows + 0.3, color=INK, lw=1.6, label="mean of the seeds")
    places = runs["setting"].map({name: row for row, name in enumerate(order)})
    look: dict[str, Any] = {"color": COLORS["blue"], "ms": 6, "alpha": 0.85}
    ax.plot(runs["value"], places, "o", label="a run: one seed", **look)
    title = "Does the setting matter more than luck?"
    return style.write_words(ax, title, xlabel, ylabel, legend=True)


@styled
def plot_behind(
    table: pd.DataFrame, *, best: str, xlabel: str, ylabel: str = "", ax: Axes | None = None
) -> Axes:
    """Draw how far each setting is behind the best, with its interval.

    Parameters
    ----------
    table : DataFrame
        Indexed by setting, first row on top: ``behind`` (positive: worse), ``low``, ``high``, and
        ``distinguishable``, whether that is more than luck.
    best : str
        What they are behind of.
    xlabel, ylabel : str
    ax : Axes, optional

    Returns
    -------
    Axes
        A setting that can be told from the best is filled; one that cannot is hollow.
    """
    ax = style.new_axes(ax, height=1.4 + 0.42 * max(len(table), 1))
    ax.axvline(0, color=COLORS["vermilion"], lw=1.2, ls="--")
    alike = {"color": COLORS["gray"], "mfc": "none", "mew": 1.8}
    looks = [{"color": COLORS["blue"]} if told else alike for told in table["distinguishable"]]
    style.interval_rows(ax, table, "behind", looks)
    if table[["behind", "low", "high"]].abs().max(axis=None) < _ALIKE:
        ax.set_xlim(-100 * _ALIKE, 100 * _ALIKE)  # an axis of millionths would show noise
        style.tell(ax, f"All are within {_ALIKE:g} of the best: there is no difference.")
        best = f"{best}, and the others are alike"
    style.write_words(ax, "", xlabel, ylabel)
    ax.set_title("Which settings are really behind?", pad=20)
    ax.text(0, 1.01, f" best: {best}", transform=ax.get_xaxis_transform(), color=MUTED, size=9)
    return ax


@styled
def plot_resources(
    runs: pd.DataFrame, *, ylabel: str = "", order: Sequence[str] | None = None
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

    Returns
    -------
    list of Axes
        Time, memory.
    """
    settings = list(order if order is not None else dict.fromkeys(runs["setting"]))
    height = 1.4 + 0.36 * len(settings)
    _, axes = style.new_figure(2, width=8.6, height=height, sharey=True)
    rows = runs["setting"].map({name: row for row, name in enumerate(settings)})
    columns = {"seconds": "seconds of a run", "memory_mb": "peak memory (MB)"}
    for ax, (column, words) in zip(axes, columns.items(), strict=True):
        ax.plot(runs[column], rows, "o", color=COLORS["blue"], ms=6, alpha=0.8)
        ax.set_xlim(0, 1.08 * runs[column].max())
        style.name_rows(ax, settings)
        style.write_words(ax, "", words)
    style.write_words(axes[0], "What does a run cost?", columns["seconds"], ylabel)
    return axes


@styled
def plot_searches(
    searches: Mapping[str, pd.DataFrame], metric: str, *, ylabel: str | None = None
) -> list[Axes]:
    """Draw the trials of searches side by side, and the best so far as a line.

    Parameters
    ----------
    searches : mapping of str to DataFrame
        Name of the model -> its trials: ``trial``, ``state`` in {"complete", "pruned", "failed"},
        the metric (NaN where it was not reached) and ``best``, the best so far.
    metric : str
        The column that is searched for.
    ylabel : str
        The metric with its part and which way is better.

    Returns
    -------
    list of Axes
        On one scale. The square is the model as given; crosses at the foot are trials that were
        given up or failed.
    """
    _, axes = style.new_figure(len(searches), width=2.5 * len(searches) + 0.6, sharey=True)
    for ax, (name, trials) in zip(axes, searches.items(), strict=True):
        ax.step(trials["trial"], trials["best"], where="post", color=_BEST, label="best so far")
        _draw_trials(ax, trials["trial"], trials, metric)
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
        style.name_panel(ax, name, "trial")
    return style.finish(axes, "What did each trial find?", ylabel or metric)


def _draw_trials(ax: Axes, places: pd.Series, trials: pd.DataFrame, metric: str) -> None:
    """Draw a dot a trial, a square the first; without a value a cross at the foot, by its state."""
    done = trials[metric].dropna()
    ax.plot(places[done.index], done, "o", color=_TRIED, ms=5, label="trial")
    ax.plot(places.iloc[:1], trials[metric].iloc[:1], "s", color=INK, ms=6, label="as given")
    for state, shape, words in (("pruned", "x", "given up early"), ("failed", "+", "failed")):
        lost = places[trials["state"] == state]
        if len(lost):
            foot = np.full(len(lost), 0.03)
            where = ax.get_xaxis_transform()
            ax.plot(lost, foot, shape, color=MUTED, ms=6, mew=1.5, transform=where, label=words)


@styled
def plot_importance(shares: Mapping[str, pd.Series]) -> list[Axes]:
    """Draw the share of the metric's variance that each hyper-parameter explains.

    Parameters
    ----------
    shares : mapping of str to Series
        Name of the model -> share in [0, 1] by hyper-parameter, largest first.

    Returns
    -------
    list of Axes
        Side by side, on one scale.
    """
    rows = max(len(one) for one in shares.values())
    size: dict[str, Any] = {"width": 3.1 * len(shares) + 0.8, "height": 1.7 + 0.34 * rows}
    _, axes = style.new_figure(len(shares), **size, sharex=True)
    for ax, (name, share) in zip(axes, shares.items(), strict=True):
        style.bars(ax, share, n_rows=rows)
        ax.xaxis.set_major_formatter(style.Percents())
        style.name_panel(ax, name, "share of the variance")
    axes[0].set_xlim(0, 1)
    only = f" to {next(iter(shares))}" if len(shares) == 1 else ""
    return style.finish(axes, f"Which setting matters{only}?")


@styled
def plot_slices(
    trials: pd.DataFrame,
    metric: str,
    names: Sequence[str],
    *,
    log: Collection[str] = (),
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
    ylabel : str
        As of `plot_searches`.

    Returns
    -------
    list of Axes
        The square is the model as given, the diamond the best; crosses at the foot are trials that
        were given up or failed. Words and tuples stand as labels.
    """
    best = trials.index[(trials[metric] == trials["best"].iloc[-1])][0]
    width = 2.5 * len(names) + 0.6
    _, axes = style.new_figure(len(names), width=width, height=3.9, sharey=True)
    for ax, name in zip(axes, names, strict=True):
        places = _places(ax, trials[name], log=name in log)
        _draw_trials(ax, places, trials, metric)
        ax.plot(places[best], trials.loc[best, metric], "D", color=_BEST, ms=6, label="best")
        ax.set_xlabel(name)
        ax.margins(y=0.1)  # room for the crosses
    return style.finish(axes, "Where does the best lie?", ylabel or metric)


def _places(ax: Axes, values: pd.Series, *, log: bool) -> pd.Series:
    """Numbers as they are; anything else counted, with its words on the axis."""
    if pd.api.types.is_numeric_dtype(values):
        if log:
            ax.set_xscale("log")
            style.log_ticks(ax.xaxis, values.max() / values.min())
        if values.min() == values.max():
            ax.set_xticks(values.iloc[:1])
        return values.astype(float)
    words = values.map(str)
    kinds = sorted(words.unique())
    ax.set_xticks(range(len(kinds)), kinds, rotation=30 if len(kinds) > 3 else 0)
    ax.set_xlim(-0.5, len(kinds) - 0.5)
    return words.map({word: place for place, word in enumerate(kinds)}).astype(float)


@styled
def plot_gains(table: pd.DataFrame, *, xlabel: str, ax: Axes | None = None) -> Axes:
    """Draw by how much tuning made each model better, with its interval.

    Parameters
    ----------
    table : DataFrame
        Indexed by model, first row on top: ``gain`` with ``low`` and ``high``, positive where it
        is better; ``as given`` and ``tuned``, the metric before and after; ``certain``, whether it
        is more than luck; ``promised``, the gain on the people who chose.
    xlabel : str
        The metric with its part.
    ax : Axes, optional

    Returns
    -------
    Axes
        An interval that touches the line at zero is no gain for certain. The ring is what was
        promised. Before and after stand at the right.
    """
    ax = style.new_axes(ax, height=1.5 + 0.42 * len(table))
    ax.axvline(0, color=MUTED, lw=1.2, zorder=0)
    looks = [{"color": COLORS["blue"] if sure else _GIVEN} for sure in table["certain"]]
    style.interval_rows(ax, table, "gain", looks)
    rings: dict[str, Any] = {"mfc": "none", "mec": _BEST, "mew": 1.6, "ms": 11}
    rows = range(len(table))
    ax.plot(table["promised"], rows, "o", label="promised on validation", **rings)
    words = [f"{a:.3f} → {b:.3f}" for a, b in zip(table["as given"], table["tuned"], strict=True)]
    style.write_beside(ax, words, "as given → tuned")
    return style.write_words(ax, "What did tuning buy?", xlabel, legend=True)
