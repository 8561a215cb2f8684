"""Training and what it learned: the curve of errors, the map of items."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from recsys_lib.plots.style import COLOURS, INK, MARKERS, MUTED, new_axes, styled, write_words

__all__ = ["plot_history", "plot_item_map"]


@styled
def plot_history(
    history: pd.DataFrame,
    *,
    levels: Mapping[str, float] | None = None,
    best: int | None = None,
    title: str = "Does it converge, and where does it stop?",
    ylabel: str = "RMSE (rating units)",
    ax: Axes | None = None,
) -> Axes:
    """Draw errors by epoch.

    Parameters
    ----------
    history : DataFrame
        Indexed by epoch, one column a curve.
    levels : mapping of str to float, optional
        Errors that do not train, such as the mean and the oracle: horizontal lines with names.
    best : int, optional
        The epoch whose weights are kept.
    title, ylabel : str
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = new_axes(ax, height=4.2)
    colours = [COLOURS[name] for name in ("sky", "blue", "vermilion", "purple")]
    for place, (name, values) in enumerate(history.items()):
        colour = colours[place % len(colours)]
        ax.plot(history.index, values, MARKERS[place] + "-", ms=4, color=colour, label=str(name))
    for name, level in (levels or {}).items():
        ax.axhline(level, color=MUTED, lw=1.1, ls="--")
        ax.text(1.01, level, name, transform=ax.get_yaxis_transform(), va="center", color=MUTED)
    if best is not None:
        ax.axvline(best, color=COLOURS["vermilion"], lw=1.2, label=f"kept: epoch {best}")
    ax.legend(loc="upper right")
    return write_words(ax, title, "epoch", ylabel)


@styled
def plot_item_map(
    places: ArrayLike,
    groups: pd.Series,
    *,
    title: str = "What has it learned about the items?",
    shares: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw items as points, coloured and shaped by group, with the name at each group's middle.

    Parameters
    ----------
    places : array of shape (n_items, 2)
    groups : Series of length n_items
        A group that the model was never told, such as the track.
    title : str
    shares : tuple of float, optional
        Share of the variance along each axis, in [0, 1].
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = new_axes(ax, width=7.0, height=5.2)
    points = np.asarray(places, dtype=float)
    colours = list(COLOURS.values())
    for place, name in enumerate(sorted(groups.unique())):
        mine = points[(groups == name).to_numpy()]
        colour = colours[place % len(colours)]
        shape = MARKERS[(place + place // len(colours)) % len(MARKERS)]
        ax.scatter(mine[:, 0], mine[:, 1], marker=shape, s=28, color=colour, alpha=0.75, lw=0)
        ax.annotate(
            str(name),
            np.median(mine, axis=0),
            ha="center",
            va="center",
            weight="bold",
            color=INK,
            size=9,
            bbox={"boxstyle": "round,pad=0.2", "fc": "white", "ec": colour, "alpha": 0.85},
        )
    words = [
        f"component {i + 1}" + (f" ({s:.0%})" if s else "") for i, s in enumerate(shares or (0, 0))
    ]
    ax.set(xticks=[], yticks=[])
    return write_words(ax, title, *words)
