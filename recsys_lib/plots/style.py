"""The one look of every figure: paper, ink, colors that color-blind readers can tell apart."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

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
    """Return a figure of `width` x `height` inches with `n_cols` axes side by side.

    Only called by functions that are `styled`, so that it gets the paper and the resolution.
    """
    figure, grid = plt.subplots(1, n_cols, figsize=(width, height), squeeze=False, **options)
    # A hairline around the paper. Notebooks crop a figure to what is drawn, which without it would
    # be the letters at its edge.
    frame = Rectangle((0, 0), 1, 1, transform=figure.transFigure, fill=False, edgecolor=GRID)
    figure.add_artist(frame)
    return figure, list(grid[0])


def new_axes(ax: Axes | None, *, width: float = 7.6, height: float = 3.8) -> Axes:
    """Return `ax`, or the axes of a new figure of `width` x `height` inches."""
    return ax if ax is not None else new_figure(width=width, height=height)[1][0]


def write_words(ax: Axes, title: str, xlabel: str = "", ylabel: str = "") -> Axes:
    """Write the words of a plot and return its axes."""
    ax.set(title=title, xlabel=xlabel, ylabel=ylabel)
    return ax
