"""The one look of every figure: paper, ink, colors that color-blind readers can tell apart."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter

__all__ = [
    "COLORS",
    "GRID",
    "INK",
    "MARKERS",
    "MUTED",
    "PAPER",
    "new_axes",
    "new_figure",
    "styled",
    "write_words",
]

# A figure brings its own paper and ink. A transparent one has to take a gray that is weak on white
# and weak on black; an opaque one has the same contrast on both pages.
PAPER = "#fbfaf6"
INK = "#26282b"
MUTED = "#6b7075"
GRID = "#e4e1d8"
#: Okabe and Ito (2008), without black and with the yellow darkened: it vanishes on light paper.
COLORS = {
    "blue": "#0072b2",
    "vermilion": "#d55e00",
    "green": "#009e73",
    "orange": "#e69f00",
    "purple": "#b8568f",
    "sky": "#56b4e9",
    "olive": "#8a8423",
    "gray": "#9a9da1",
}
#: Groups differ in shape as well as in color.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")

_STYLE: dict[str, Any] = {
    "figure.dpi": 110,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.h_pad": 0.16,
    "figure.constrained_layout.w_pad": 0.16,
    "axes.facecolor": PAPER,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlepad": 10,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.prop_cycle": f"cycler(color={list(COLORS.values())})",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "text.color": INK,
    "font.size": 10,
    "font.family": "sans-serif",
    "legend.facecolor": PAPER,
    "legend.edgecolor": "none",
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "patch.edgecolor": PAPER,
}

_MOST_SIDE_BY_SIDE = 3
#: Inches that a page has room for; a wider figure would be scaled down and blurred.
PAGE = 8.8
# Numbers between two powers of ten that a logarithmic axis has room for, by what it spans.
_TICKS = ((12, (1.0, 2.0, 5.0)), (500, (1.0, 3.0)), (float("inf"), (1.0,)))

P = ParamSpec("P")
R = TypeVar("R")


def styled(plot: Callable[P, R]) -> Callable[P, R]:
    """Give a plot the house style while it draws, and leave matplotlib's settings as they were."""

    @wraps(plot)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context(_STYLE):
            result = plot(*args, **kwargs)
            interactive = mpl.is_interactive()
        # The first figure of a session starts its backend, and that of a notebook switches to
        # interactive: taken back with the style, no later figure would be shown.
        mpl.interactive(interactive)
        return result

    return drawn


def new_figure(
    n_cols: int = 1, *, width: float = 7.6, height: float = 3.8, **options: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure with `n_cols` axes side by side, in two rows where they are more than three.

    It has `width` x `height` inches a row, `PAGE` in width at most. Only called by functions that
    are `styled`, so that it gets the paper and the resolution.
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


def log_ticks(axis: Axis, span: float) -> None:
    """Write plain numbers on a logarithmic axis that spans `span`, its high over its low."""
    subs = next(subs for limit, subs in _TICKS if span < limit)
    axis.set_major_locator(LogLocator(subs=subs, numticks=30))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def write_question(axes: Sequence[Axes], title: str) -> None:
    """Write the title of a figure, over the left edge of the axes like that of a single one."""
    if len(axes) == 1:
        axes[0].set_title(title)
        return
    figure: Any = axes[0].figure
    words = figure.suptitle(title, x=0.012, ha="left", size=12, weight="bold", color=INK)
    figure.draw_without_rendering()
    words.set_x(axes[0].get_position().x0)


def write_legend(axes: Sequence[Axes]) -> None:
    """Name every mark once, also one that only a later panel has: beside one panel, below more."""
    known: dict[str, Artist] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            known.setdefault(label, handle)
    if not known:
        return
    if len(axes) == 1:
        axes[0].legend(
            known.values(), known, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False
        )
        return
    figure = axes[0].figure
    n_rows = -(-len(known) // 5)
    place = {"loc": "outside lower center", "ncols": -(-len(known) // n_rows)}
    figure.legend(known.values(), known, frameon=False, borderaxespad=1.2, **place)
    # A legend outside keeps twice the usual distance.
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(h_pad=0.09)


def write_words(ax: Axes, title: str, xlabel: str = "", ylabel: str = "") -> Axes:
    """Write the words of a plot and return its axes."""
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    return ax
