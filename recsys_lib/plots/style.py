"""The one look of every figure: paper, ink, colors that color-blind readers can tell apart."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter

_STYLE = mpl.rc_params_from_file(
    Path(__file__).with_name("recsys.mplstyle"), use_default_template=False
)
PAPER, INK = _STYLE["figure.facecolor"], _STYLE["text.color"]
MUTED, GRID = _STYLE["axes.edgecolor"], _STYLE["grid.color"]
_NAMES = ("blue", "vermilion", "green", "orange", "purple", "sky", "olive", "gray")
#: Colors that color-blind readers can tell apart, by name.
COLORS: dict[str, str] = dict(zip(_NAMES, _STYLE["axes.prop_cycle"].by_key()["color"], strict=True))
#: Groups differ in shape as well as in color.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")

_MOST_SIDE_BY_SIDE = 3
#: Inches that a page has room for; a wider figure would be scaled down and blurred.
PAGE = 8.8
# Numbers between two powers of ten that a logarithmic axis has room for, by what it spans.
_FINE = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
_TICKS = ((3, _FINE), (12, (1.0, 2.0, 5.0)), (500, (1.0, 3.0)), (float("inf"), (1.0,)))
# Points between two lines of small text.
_LINE = 11

#: What is seen in axes: a sentence, or numbers by name, and the axis that they stand along.
TOLD: WeakKeyDictionary[Axes, tuple[pd.Series | str, Axis]] = WeakKeyDictionary()

P = ParamSpec("P")
R = TypeVar("R")


def styled(plot: Callable[P, R]) -> Callable[P, R]:
    """Give a plot the house style while it draws, and leave matplotlib's settings as they were.

    Parameters
    ----------
    plot : callable
        A function that draws.

    Returns
    -------
    callable
        The same function, to be called in the same way.
    """

    @wraps(plot)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context(_STYLE):
            result: Any = plot(*args, **kwargs)
            for ax in result[:1] if isinstance(result, list) else [result]:
                if isinstance(ax, Axes):
                    as_written(ax.figure)
            interactive = mpl.is_interactive()
        # The first figure of a session starts its backend, and that of a notebook switches to
        # interactive: taken back with the style, no later figure would be shown.
        mpl.interactive(interactive)
        return result

    return drawn


def as_written(figure: Any) -> None:
    """Show names with two dollar signs as they are: no formulas, as ticks of logarithms may be."""
    for text in figure.findobj(Text):
        text.set_parse_math("$" not in text.get_text() or "\\math" in text.get_text())


def new_figure(
    n_cols: int = 1, *, width: float = 7.6, height: float = 3.8, **options: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure with `n_cols` axes side by side, in two rows where they are more than three.

    Only called by functions that are `styled`, so that it gets the paper and the resolution.

    Parameters
    ----------
    n_cols : int
        Number of axes.
    width, height : float
        Inches of a row; `PAGE` in width at most.
    **options
        Of `matplotlib.pyplot.subplots`.

    Returns
    -------
    figure : Figure
    axes : list of Axes
    """
    n_rows = 2 if n_cols > _MOST_SIDE_BY_SIDE else 1
    shape = (n_rows, -(-n_cols // n_rows))
    size = (min(width, PAGE), n_rows * height)
    figure, grid = plt.subplots(*shape, figsize=size, squeeze=False, **options)
    for spare in grid.flat[n_cols:]:
        spare.remove()
    # A hairline around the paper. Notebooks crop a figure to what is drawn, which without it would
    # be the letters at its edge.
    frame = Rectangle((0, 0), 1, 1, transform=figure.transFigure, fill=False, edgecolor=GRID)
    figure.add_artist(frame)
    return figure, list(grid.flat[:n_cols])


def new_axes(ax: Axes | None, *, width: float = 7.6, height: float = 3.8) -> Axes:
    """Return `ax`, or the axes of a new figure of `width` x `height` inches."""
    return ax if ax is not None else new_figure(width=width, height=height)[1][0]


def shorten(text: object, length: int) -> str:
    """Return a text of at most `length` characters; an ellipsis says where it was cut."""
    whole = str(text)
    return whole if len(whole) <= length else whole[: length - 1].rstrip() + "…"


class Percents(PercentFormatter):
    """Formats shares with the decimals that they need.

    Examples
    --------
    >>> [Percents()(share) for share in (0.0, 0.15, 0.125, 0.0025)]
    ['0%', '15%', '12.5%', '0.25%']
    """

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the label of a tick."""
        return f"{100 * x:z.3g}%"


def log_ticks(axis: Axis, span: float) -> None:
    """Write plain numbers on a logarithmic axis that spans `span`, its high over its low."""
    subs = next(subs for limit, subs in _TICKS if span < limit)
    axis.set_major_locator(LogLocator(subs=subs, numticks=30))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def name_rows(ax: Axes, names: Iterable[object], n_rows: int | None = None) -> None:
    """Name the rows of a plot, first on top; leave room for `n_rows` where panels differ."""
    words = [shorten(name, 56) for name in names]
    ax.set_yticks(range(len(words)), words)
    ax.set_ylim((n_rows or max(1, len(words))) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)


def interval_rows(
    ax: Axes,
    table: pd.DataFrame,
    value: str,
    looks: Sequence[Mapping[str, Any]],
    **options: Any,
) -> None:
    """Draw a mark with its interval for each row of a table, first row on top.

    Parameters
    ----------
    ax : Axes
    table : DataFrame
        Indexed by the names of the rows: the column `value`, ``low`` and ``high`` (NaN: none).
    value : str
    looks : sequence of mapping
        ``color``, and what else the mark of each row has of a line.
    **options
        Of the intervals.
    """
    bar: dict[str, Any] = {"lw": 3, "alpha": 0.55, "capstyle": "projecting", **options}
    colors = [look["color"] for look in looks]
    ax.hlines(range(len(table)), table["low"], table["high"], colors, zorder=2, **bar)
    for row, (place, look) in enumerate(zip(table[value], looks, strict=True)):
        ax.plot(place, row, **{"marker": "o", "ls": "none", "ms": 7, **look})
    name_rows(ax, table.index)
    tell(ax, table[value])


def bars(
    ax: Axes,
    values: pd.Series,
    *,
    color: str | Sequence[str] = COLORS["sky"],
    n_rows: int | None = None,
    **options: Any,
) -> None:
    """Draw a horizontal bar for each value, named by the index, first on top."""
    ax.barh(range(len(values)), values, color=color, height=0.7, **options)
    name_rows(ax, values.index, n_rows)
    tell(ax, values)


def tell(ax: Axes, what: pd.Series | str, axis: Axis | None = None) -> None:
    """Keep what is seen for the text of a figure: a sentence, or numbers by name along an axis."""
    TOLD[ax] = what, axis or ax.xaxis


def finish(axes: list[Axes], title: str, ylabel: str = "", *, beside: bool = True) -> list[Axes]:
    """Write the words of panels and return them; `beside` is that of `write_legend`.

    The title stands over the left edge of the axes, like that of a single one.
    """
    axes[0].set_ylabel(ylabel)
    write_legend(axes, beside=beside)
    if len(axes) == 1 and not axes[0].get_title(loc="left"):
        axes[0].set_title(title)
        return axes
    figure: Any = axes[0].figure
    words = figure.suptitle(title, x=0.012, ha="left", size=12, weight="bold", color=INK)
    figure.draw_without_rendering()
    words.set_x(axes[0].get_position().x0)
    return axes


def write_legend(axes: Sequence[Axes], *, beside: bool = True) -> None:
    """Name every mark once, also one that only a later panel has: beside one panel, else below."""
    known: dict[str, Artist] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            known.setdefault(label, handle)
    if not known:
        return
    words = [shorten(label, 40) for label in known]
    if len(axes) == 1 and beside:
        place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
        axes[0].legend(known.values(), words, frameon=False, **place)
        return
    figure: Any = axes[0].figure
    # Five in a row, fewer of names that are longer than usual.
    n_rows = -(-len(known) // max(1, min(5, 110 // max(map(len, words)))))
    place = {"loc": "outside lower center", "ncols": -(-len(known) // n_rows)}
    figure.legend(known.values(), words, frameon=False, borderaxespad=1.2, **place)
    # A legend outside keeps twice the usual distance.
    figure.get_layout_engine().set(h_pad=0.09)


def write_words(
    ax: Axes, title: str, xlabel: str = "", ylabel: str = "", *, legend: bool = False
) -> Axes:
    """Write the words of a plot, with a legend between axes and title, and return its axes."""
    labels = ax.get_legend_handles_labels()[1]
    n_cols = 2 if sum(map(len, labels)) > max(80, 20 * len(labels)) else 4
    if legend:  # marks may stand anywhere inside
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=n_cols, borderaxespad=0)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.set_title(title, pad=10 + 16 * max(1, -(-len(labels) // n_cols)) if legend else None)
    return ax


def name_panel(ax: Axes, name: str, xlabel: str) -> None:
    """Write what one of several axes is about, smaller than the title of all."""
    ax.set_title(str(name), size=10, weight="normal")
    ax.set_xlabel(xlabel)


def write_beside(ax: Axes, words: Iterable[str], heading: str) -> None:
    """Write a word at the right of each row, under a heading."""
    for row, word in enumerate(words):
        ax.text(1.02, row, word, transform=ax.get_yaxis_transform(), va="center", color=INK)
    ax.text(1.02, 1.02, heading, transform=ax.transAxes, color=MUTED, size=9)


def name_levels(ax: Axes, levels: Mapping[str, float], *, written: bool = True) -> None:
    """Draw dashed lines across, with their names at the right, none on another."""
    for level in levels.values():
        ax.axhline(level, color=MUTED, lw=1.1, ls="--", zorder=1)
    if not written:
        return
    figure: Any = ax.figure
    figure.draw_without_rendering()  # places are known only then
    points = 72 / figure.dpi
    place = points * ax.bbox.y1 + _LINE / 2  # no name stands in the legend above
    for name, level in sorted(levels.items(), key=lambda one: -one[1]):
        height = points * ax.transData.transform((0, level))[1]
        place = min(height, place - _LINE)
        words: dict[str, Any] = {"va": "center", "size": 9, "color": MUTED}
        at: dict[str, Any] = {"xycoords": ax.get_yaxis_transform(), "textcoords": "offset points"}
        ax.annotate(shorten(name, 30), (1.02, level), (0, place - height), **at, **words)
