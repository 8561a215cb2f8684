"""Figures on a page: sharp on dense screens, small, and with text for screen readers."""

import io
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.dates import AutoDateFormatter, ConciseDateFormatter, num2date
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, PercentFormatter
from PIL import Image

from recsys_lib.checks import Doubles
from recsys_lib.plots.style import TOLD, as_written

_DPI = 110
#: Pixels for each one that a figure takes on the page.
_DENSITY = 2
_N_COLORS = 256


def show_picture(figure: Figure | Axes, alt: str | None = None) -> bytes:
    """Show a figure in the notebook that runs, if one does, close it, and return it as a PNG.

    Parameters
    ----------
    figure : Figure or Axes
    alt : str, optional
        What it shows, in words; by default as of `describe`.

    Returns
    -------
    bytes
        The same for the same figure. A palette makes it a third of the size: figures have few
        colors.
    """
    whole: Any = figure.figure if isinstance(figure, Axes) else figure
    drawn, png = io.BytesIO(), io.BytesIO()
    as_written(whole)
    # Without `Software` the file does not depend on the version of Matplotlib.
    whole.savefig(drawn, dpi=_DENSITY * _DPI, bbox_inches="tight", metadata={"Software": None})
    image = Image.open(drawn).convert("RGB")
    image.quantize(_N_COLORS, dither=Image.Dither.NONE).save(png, "PNG", optimize=True)
    _display(png.getvalue(), image.width, image.height, alt or describe(whole))
    plt.close(whole)
    return png.getvalue()


def _display(png: bytes, width: int, height: int, alt: str) -> None:
    from IPython import display, get_ipython

    if get_ipython() is not None:
        size = {"width": width // _DENSITY, "height": height // _DENSITY}
        display.display(display.Image(png, alt=alt, **size))


def describe(figure: Figure) -> str:
    """Return what a figure shows: its titles, and a sentence or two of numbers for each axes.

    Parameters
    ----------
    figure : Figure
        Of this package, whose functions keep what is seen, or any other: then words and numbers
        come from labels, lines, bars, points and cells.

    Returns
    -------
    str

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> figure, ax = plt.subplots()
    >>> _ = ax.plot([1, 2, 3], [0.1, 0.3, 0.2], label="EASE")
    >>> _ = ax.set(title="Does more help?", xlabel="years", ylabel="ndcg@10")
    >>> describe(figure)
    'Does more help? ndcg@10 by years (1 to 3): EASE from 0.1 to 0.2, highest 0.3.'
    >>> plt.close(figure)
    """
    words = [figure.get_suptitle()]
    for ax in figure.axes:
        if ax.get_label() != "<colorbar>":
            words += [ax.get_title(loc=place) for place in ("left", "center", "right")]
            words.append(_seen(ax))
    sentences = dict.fromkeys(" ".join(word.split()) for word in words if word.strip())
    return " ".join(one if one[-1] in ".?!" else f"{one}." for one in sentences)


def _seen(ax: Axes) -> str:
    """Return what is in the axes: as told by whoever drew them, or read off them."""
    if ax in TOLD:
        told, axis = TOLD[ax]
        return told if isinstance(told, str) else _ranked(told, axis)
    meshes: list[Any] = [one for one in ax.collections if isinstance(one, QuadMesh)]
    for mesh in [*ax.images, *meshes]:
        return _cells(ax, np.ma.filled(np.ma.asarray(mesh.get_array(), float), np.nan))
    for bars in ax.containers:
        heights = [bar.get_height() for bar in bars if isinstance(bar, Rectangle)]
        return _ranked(pd.Series(heights, index=_names(ax.xaxis, len(heights))), ax.yaxis)
    return _drawn(ax)


def _names(axis: Axis, size: int) -> list[str]:
    """Return what is written along an axis, or numbers where it does not name each place."""
    names = [label.get_text() for label in axis.get_ticklabels()]
    return names if len(names) == size else [str(place + 1) for place in range(size)]


def _ranked(values: pd.Series, axis: Axis) -> str:
    """Return named numbers from the highest to the lowest, the middle of many left out."""
    ordered = values.dropna().sort_values(ascending=False, kind="stable")
    said = [f"{name} ({_number(axis, value)})" for name, value in ordered.items()]
    if len(said) > 8:
        said = [*said[:4], f"{len(said) - 6} others", *said[-2:]]
    label = axis.get_label_text() or "Values"
    return f"{label}, from the highest: {', '.join(said)}." if said else ""


def _cells(ax: Axes, cells: Doubles) -> str:
    """Return where a table of colored cells is highest and lowest."""
    if np.ndim(cells) != 2 or np.isnan(cells).all():
        return ""
    rows, columns = _names(ax.yaxis, cells.shape[0]), _names(ax.xaxis, cells.shape[1])
    ends = []
    for word, place in (("highest", np.nanargmax(cells)), ("lowest", np.nanargmin(cells))):
        row, column = divmod(int(place), len(columns))
        ends.append(f"{word} {cells[row, column]:.3g} at {rows[row]}, {columns[column]}")
    return f"{len(rows)} by {len(columns)} cells: {'; '.join(ends)}."


def _drawn(ax: Axes) -> str:
    """Return the course of each line, or the ranges of points where there are no lines."""
    lines: list[Any] = [line for line in ax.lines if line.get_transform() == ax.transData]
    lines = [line for line in lines if np.isfinite(line.get_xydata()).all(axis=1).any()]
    named = [line for line in lines if not str(line.get_label()).startswith("_")]
    if curves := [line for line in named if line.get_linestyle() != "None"]:
        x = np.concatenate([line.get_xydata()[:, 0] for line in curves])
        courses = "; ".join(_course(ax, line) for line in curves)
        start = f"{ax.get_ylabel()} by" if ax.get_ylabel() else "By"
        return f"{start} {ax.get_xlabel() or 'x'} ({_range(ax.xaxis, x)}): {courses}."
    marks: list[Any] = [one for one in ax.collections if isinstance(one, PathCollection)]
    dots = [(str(one.get_label()), one.get_offsets()) for one in marks]
    dots += [(str(line.get_label()), line.get_xydata()) for line in lines]
    said = []
    for label, places in dots:
        name = f"{len(places):,} points" if label.startswith("_") else label
        points: Any = np.ma.filled(np.ma.asarray(places, dtype=float), np.nan)
        x, y = points.reshape(-1, 2).T
        along = f"{ax.get_xlabel() or 'x'} {_range(ax.xaxis, x)}"
        said.append(f"{name}: {along}, {ax.get_ylabel() or 'y'} {_range(ax.yaxis, y)}")
    return "; ".join(said) + "." if said else ""


def _course(ax: Axes, line: Any) -> str:
    known = line.get_xydata()[:, 1]
    known = known[np.isfinite(known)]
    first, last, top = (_number(ax.yaxis, value) for value in (known[0], known[-1], known.max()))
    highest = "" if top in (first, last) else f", highest {top}"
    return f"{line.get_label()} from {first} to {last}{highest}"


def _range(axis: Axis, values: Doubles) -> str:
    known = values[np.isfinite(values)]
    return " to ".join(_number(axis, end) for end in dict.fromkeys((known.min(), known.max())))


def _number(axis: Axis, value: float) -> str:
    """Return a number as its axis writes it."""
    formatter: Any = axis.get_major_formatter()
    if isinstance(formatter, AutoDateFormatter | ConciseDateFormatter):
        return f"{num2date(value):%Y-%m-%d}"
    if isinstance(formatter, FuncFormatter):  # names in the place of numbers
        return str(formatter(value) or f"{value:.3g}")
    if isinstance(formatter, PercentFormatter):
        return f"{value:.0%}" if abs(value) >= 0.1 else f"{value:z.1%}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:z.3g}"
