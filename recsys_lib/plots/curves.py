"""Curves side by side: how something changes with a setting, for several models at once."""

import textwrap
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter, PercentFormatter

from recsys_lib.plots.style import (
    COLORS,
    INK,
    MARKERS,
    MUTED,
    new_figure,
    styled,
    write_legend,
    write_question,
)

__all__ = ["plot_agreement", "plot_approach", "plot_curves"]

#: Curves that are no models: what is due, or possible. Drawn in ink, dashed.
_REFERENCES = ("fold-in oracle", "omniscient")
_SHARES = ("share", "low", "high")
_HUES = ("blue", "vermilion", "green", "orange", "purple", "sky", "olive")
_MARKED = 12  # points of a curve up to which each has its mark; beyond, marks would hide it


@styled
def plot_curves(
    panels: pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    title: str,
    xlabel: str | Sequence[str] | None = None,
    ylabel: str | None = None,
    bands: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]] | None = None,
    log_x: Sequence[str] = (),
    log_y: bool = False,
    share_y: bool = True,
    percent: bool = False,
    levels: Mapping[str, float] | None = None,
    height: float = 3.9,
) -> list[Axes]:
    """Draw curves in panels side by side; a name has one color and one mark in all of them.

    Parameters
    ----------
    panels : DataFrame or mapping of str to DataFrame
        One column a curve, the index is x, NaN is no point; or such a table for each heading.
    title : str
        The question of the figure.
    xlabel : str or sequence of str, optional
        Of all panels, or of each; else the names of the tables' indices.
    ylabel : str, optional
        Left of the first panel; else the name of its table's columns.
    bands : mapping of str to pair of DataFrame, optional
        Heading -> lower and upper ends of the intervals, each shaped like the panel's table.
    log_x : sequence of str
        Headings of the panels whose x is logarithmic; its ticks are the points.
    log_y, share_y, percent : bool
        Logarithmic y; one y for all panels; y in percent.
    levels : mapping of str to float, optional
        Dashed horizontal lines with their names at the right of the last panel.
    height : float
        Inches.

    Returns
    -------
    list of Axes
    """
    if isinstance(panels, pd.DataFrame):
        panels = {"": panels}
    width = 7.6 if len(panels) == 1 else 2.6 + 3.0 * len(panels)
    _, axes = new_figure(len(panels), width=width, height=height, sharey=share_y)
    # In the order of first appearance over all panels.
    found = dict.fromkeys(name for table in panels.values() for name in table.columns)
    names = [name for name in found if name not in _REFERENCES]
    labels = _x_labels(panels, xlabel)
    for ax, (heading, table), label in zip(axes, panels.items(), labels, strict=True):
        for name in table.columns:
            ends = [end[name] for end in (bands or {}).get(heading, ())]
            place = names.index(name) if name in names else None
            _draw(ax, table[name], place, ends)
        if heading in log_x:
            ax.set_xscale("log")
            ax.set_xticks(table.index, [f"{tick:,g}" for tick in table.index])
            ax.xaxis.set_minor_formatter(NullFormatter())
        elif pd.api.types.is_integer_dtype(table.index):
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if log_y:
            ax.set_yscale("log")
        for level in (levels or {}).values():
            ax.axhline(level, color=MUTED, lw=1.1, ls="--", zorder=1)
        ax.set_xlabel(_wrapped(label, len(panels)))
        if heading:
            ax.set_title(heading, size=10, weight="normal")
    _name_levels(axes[-1], levels or {})
    first = next(iter(panels.values()))
    axes[0].set_ylabel(str(first.columns.name or "") if ylabel is None else ylabel)
    if percent:
        axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    write_legend(axes)
    write_question(axes, title)
    return axes


def _x_labels(
    panels: Mapping[str, pd.DataFrame], xlabel: str | Sequence[str] | None
) -> Sequence[str]:
    if xlabel is None:
        return [str(table.index.name or "") for table in panels.values()]
    return [xlabel] * len(panels) if isinstance(xlabel, str) else xlabel


def plot_approach(
    tables: Mapping[str, pd.DataFrame],
    *,
    title: str = "What brings a model nearer to the ceiling?",
    xlabel: Sequence[str],
    logarithmic: Sequence[str] = (),
) -> list[Axes]:
    """Draw how much of the way from popularity to the oracle models go as the data grow.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Heading of the panel -> ``x, model, share, low, high``, as of `tuning.approach_ceiling`.
    title : str
    xlabel : sequence of str
        Of each panel.
    logarithmic : sequence of str
        Headings of the panels with a logarithmic x.

    Returns
    -------
    list of Axes
        From a little below the floor to a little above the ceiling; what is worse leaves below.
    """
    wide = {
        heading: [table.set_index(["x", "model"])[column].unstack() for column in _SHARES]  # noqa: PD010
        for heading, table in tables.items()
    }
    # Unstacking sorts by name; the order of the families is theirs.
    order = list(dict.fromkeys(name for table in tables.values() for name in table["model"]))
    axes = plot_curves(
        {heading: share[order] for heading, (share, _, _) in wide.items()},
        bands={heading: (low, high) for heading, (_, low, high) in wide.items()},
        title=title,
        xlabel=xlabel,
        ylabel="share of the gap closed",
        log_x=logarithmic,
        percent=True,
        levels={"fold-in oracle": 1.0, "popularity": 0.0},
        height=4.6,
    )
    axes[0].set_ylim(-0.12, 1.12)
    return axes


@styled
def plot_agreement(
    panels: Mapping[str, pd.DataFrame],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    height: float = 3.9,
) -> list[Axes]:
    """Draw each model as a point: what one measure says of it, and what another does.

    Parameters
    ----------
    panels : mapping of str to DataFrame
        Heading of the panel -> indexed by model, the first column is x and the second y; more of
        either is better.
    title, xlabel, ylabel : str
    height : float
        Inches.

    Returns
    -------
    list of Axes
        Side by side, each with its own x and y; the heading also says the rank correlation: 1 where
        both order the models alike, -1 where one is the reverse of the other.
    """
    _, axes = new_figure(len(panels), width=2.6 + 3.0 * len(panels), height=height)
    names = list(dict.fromkeys(name for table in panels.values() for name in table.index))
    for ax, (heading, table) in zip(axes, panels.items(), strict=True):
        for name, (x, y) in zip(table.index, table.to_numpy(float), strict=True):
            place = names.index(name)
            color, mark = COLORS[_HUES[place % len(_HUES)]], MARKERS[place % len(MARKERS)]
            ax.plot(x, y, mark, ms=9, color=color, label=str(name), linestyle="none")
        ax.margins(0.15)
        ranks = table.rank()
        agreement = ranks.iloc[:, 0].corr(ranks.iloc[:, 1])
        words = f"{heading}\nrank correlation {agreement:+.1f}"
        ax.set_title(words, size=10, weight="normal")
        ax.set_xlabel(_wrapped(xlabel, len(panels)))
    axes[0].set_ylabel(ylabel)
    write_legend(axes)
    write_question(axes, title)
    return axes


def _wrapped(label: str, n_panels: int) -> str:
    """Break a label into lines that its panel has room for."""
    return textwrap.fill(label, 28) if n_panels > 2 else label


def _draw(ax: Axes, curve: pd.Series, place: int | None, ends: Sequence[pd.Series]) -> None:
    known, color, line, mark = curve.dropna(), INK, "--", None
    if place is not None:
        color, line = COLORS[_HUES[place % len(_HUES)]], "-"
        mark = MARKERS[place % len(MARKERS)] if len(known) <= _MARKED else None
    ax.plot(known, line, marker=mark, ms=5, color=color, label=str(curve.name), zorder=3)
    if len(ends):
        low, high = (end[known.index] for end in ends)
        ax.fill_between(known.index, low, high, color=color, alpha=0.13, lw=0)


def _name_levels(ax: Axes, levels: Mapping[str, float]) -> None:
    for name, level in levels.items():
        place = ax.get_yaxis_transform()
        ax.text(1.02, level, name, transform=place, va="center", color=MUTED, size=9)
