"""Newcomers: what each rung is worth as a history grows, and a list that moves click by click."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from recsys_lib.plots.style import (
    COLORS,
    INK,
    MARKERS,
    MUTED,
    new_axes,
    shorten,
    styled,
    write_words,
)

__all__ = ["plot_list_moves", "plot_newcomers"]

_TITLE_LENGTH = 34
_HEAD_LENGTH = 13
_CAME = ("blue", "vermilion", "green", "purple", "orange", "sky", "olive")
_PASSING = "#d9d6cd"


@styled
def plot_newcomers(
    table: pd.DataFrame,
    *,
    ladder: str,
    ceiling: str | None = None,
    title: str = "What can be said to a newcomer?",
    ylabel: str = "ndcg (higher is better)",
    ax: Axes | None = None,
) -> Axes:
    """Draw a metric of each rung against the length of the history.

    Parameters
    ----------
    table : DataFrame
        ``n_history``, ``model``, ``value``, ``se``, as of `newcomer_curve`.
    ladder : str
        The model drawn bold, with a band of one standard error: all rungs together.
    ceiling : str, optional
        The model drawn as a dashed line: who knows the truth.
    title, ylabel : str
    ax : Axes, optional

    Returns
    -------
    Axes
        The lengths stand at equal distances.
    """
    ax = new_axes(ax, height=4.4)
    lengths = sorted(table["n_history"].unique())
    places = {length: place for place, length in enumerate(lengths)}
    names = [name for name in table["model"].unique() if name not in (ladder, ceiling)]
    colors = ["gray", "sky", "green", "vermilion", "purple", "orange", "olive"]
    order = [*names, *([ceiling] if ceiling else []), ladder]
    for name in order:
        part = table[table["model"] == name].sort_values("n_history")
        x = part["n_history"].map(places).to_numpy(float)
        y, error = part["value"].to_numpy(float), part["se"].to_numpy(float)
        if name == ladder:
            ax.fill_between(x, y - error, y + error, color=COLORS["blue"], alpha=0.15, lw=0)
            ax.plot(x, y, "o-", color=COLORS["blue"], lw=3, ms=7, label=name)
        elif name == ceiling:
            ax.plot(x, y, "D--", color=INK, lw=1.2, ms=4, label=name)
        else:
            place = names.index(name)
            color = COLORS[colors[place % len(colors)]]
            ax.plot(x, y, MARKERS[place % 8] + "-", color=color, ms=5, label=name)
    ax.set_xticks(range(len(lengths)), [f"{length:g}" for length in lengths])
    # In the order in which the lines end, so that the eye goes straight across.
    ends = table[table["n_history"] == lengths[-1]].set_index("model")["value"]
    lines = {str(line.get_label()): line for line in ax.lines}
    shown = [name for name in ends.sort_values(ascending=False).index if name in lines]
    ax.legend([lines[name] for name in shown], shown, loc="upper left")
    return write_words(ax, title, "items of the history that are known", ylabel)


@styled
def plot_list_moves(
    lists: pd.DataFrame,
    steps: Sequence[str],
    *,
    title: str = "How does the list move, click by click?",
    ax: Axes | None = None,
) -> Axes:
    """Draw the ranks of a list from step to step.

    Parameters
    ----------
    lists : DataFrame
        ``step`` (0, 1, ...), ``rank`` (1, 2, ...), ``item_id`` and ``title``, one row an item of a
        list.
    steps : sequence of str
        What stands above each step; broken into short lines.
    title : str
    ax : Axes, optional

    Returns
    -------
    Axes
        A line for each item: gray for those of the first list, colored for those that came later
        and stayed, faint for those that only passed through.
    """
    n_ranks, last = int(lists["rank"].max()), int(lists["step"].max())
    ax = new_axes(ax, width=11.0, height=1.9 + 0.36 * n_ranks)
    first, final = (set(lists.loc[lists["step"] == step, "item_id"]) for step in (0, last))
    came = dict.fromkeys(lists.loc[lists["item_id"].isin(final - first), "item_id"])
    colors = {item: COLORS[_CAME[place % len(_CAME)]] for place, item in enumerate(came)}
    for item, part in lists.groupby("item_id", sort=False):
        color = colors.get(item, COLORS["gray"] if item in first else _PASSING)
        part = part.sort_values("step")
        # A gap in the steps is a gap in the line: the item was off the list meanwhile.
        for _, run in part.groupby(part["step"] - np.arange(len(part))):
            width = 2.4 if item in colors else 1.4
            ax.plot(run["step"], run["rank"], "o-", color=color, lw=width, ms=5)
        for step, side, align in ((0, -0.1, "right"), (last, 0.1, "left")):
            for rank in part.loc[part["step"] == step, "rank"]:
                ink = colors.get(item, MUTED)
                shown = shorten(part["title"].iloc[0], _TITLE_LENGTH)
                ax.text(step + side, rank, shown, ha=align, va="center", size=9, color=ink)
    words = ["\n".join(textwrap.wrap(step, _HEAD_LENGTH)) for step in steps]
    ax.set_xticks(range(last + 1), words)
    ax.xaxis.tick_top()
    ax.set_yticks(range(1, n_ranks + 1))
    ax.set(xlim=(-0.3, last + 0.3), ylim=(n_ranks + 0.5, 0.5))
    ax.tick_params(length=0)
    ax.yaxis.set_tick_params(labelleft=False)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.grid(visible=False)
    ax.set_title(title, pad=16)
    return ax
