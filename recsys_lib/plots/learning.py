"""Training and what it learned: the curve of errors, the map of items."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike
from scipy import sparse

from recsys_lib.plots.curves import plot_curves
from recsys_lib.plots.style import COLORS, MARKERS, MUTED, new_axes, styled, write_words

__all__ = ["error_table", "plot_history", "plot_item_map", "plot_spectrum", "plot_terms"]

#: Columns of a history, and what they are called in a figure.
_TERMS = {
    "reconstruction": "reconstruction (nats)",
    "kl": "divergence (nats)",
    "anneal": "weight of the divergence",
    "ndcg@100": "ndcg@100 of the validation",
}

_ERRORS = {
    "train_rmse": "Train error",
    "reconstruction": "Train error",
    "validation_rmse": "Validation error",
    "validation_nll": "Validation error",
    "reconstruction_rmse": "Reconstruction error",
    "ndcg@100": "ndcg@100",
}

_LEFT_OVER = ("none", "other")
_FAINT = "#bdb9ae"


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
    colors = [COLORS[name] for name in ("sky", "blue", "vermilion", "purple")]
    for place, (name, values) in enumerate(history.items()):
        color = colors[place % len(colors)]
        ax.plot(history.index, values, MARKERS[place] + "-", ms=4, color=color, label=str(name))
    for name, level in (levels or {}).items():
        ax.axhline(level, color=MUTED, lw=1.1, ls="--")
        ax.text(1.01, level, name, transform=ax.get_yaxis_transform(), va="center", color=MUTED)
    if best is not None:
        ax.axvline(best, color=COLORS["vermilion"], lw=1.2, label=f"kept: epoch {best}")
    # Above the axes, and the title above that: curves and lines stand anywhere inside.
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    write_words(ax, "", "epoch", ylabel)
    ax.set_title(title, pad=26)
    return ax


def error_table(model: Any, rows: sparse.csr_array) -> pd.DataFrame:
    """Return the errors of a fitted autoencoder by epoch, under the names of figures and tables.

    Parameters
    ----------
    model : Autoencoder or MultDAE
        Fitted with a validation fold.
    rows : csr_array
        What it was trained on: the likelihood of a row of likes becomes that of one like.

    Returns
    -------
    DataFrame
        Indexed by epoch; ``Train error``, ``Validation error``, and ``Reconstruction error`` or
        ``ndcg@100``.
    """
    history = model.history_.set_index("epoch")
    if "reconstruction" in history:
        history["reconstruction"] *= rows.shape[0] / max(1, rows.nnz)
    return history[[name for name in _ERRORS if name in history]].rename(columns=_ERRORS)


@styled
def plot_item_map(
    places: ArrayLike,
    groups: pd.Series,
    *,
    title: str = "What has it learned about the items?",
    ax: Axes | None = None,
) -> Axes:
    """Draw items as points, colored and shaped by group.

    Parameters
    ----------
    places : array of shape (n_items, 2)
        As of `recsys_lib.exploration.flat_map`: the axes mean nothing and carry no numbers.
    groups : Series of length n_items
        A group that the model was never told, such as the track.
    title : str
    ax : Axes, optional

    Returns
    -------
    Axes
        With a legend at the right: a group may stand in several islands, so that a name at its
        middle would stand where none of it is.
    """
    ax = new_axes(ax, width=7.4, height=5.0)
    points = np.asarray(places, dtype=float)
    colors = list(COLORS.values())
    # What is left over is drawn below the groups and takes no color from them.
    names = sorted(groups.unique(), key=lambda name: (name not in _LEFT_OVER, str(name)))
    places_taken = 0
    for name in names:
        mine = points[(groups == name).to_numpy()]
        color, shape, size = _FAINT, "o", 14
        if name not in _LEFT_OVER:
            color, size = colors[places_taken % len(colors)], 34
            turn = places_taken // len(colors)
            shape = MARKERS[(places_taken + turn) % len(MARKERS)]
            places_taken += 1
        label = str(name)
        ax.scatter(mine[:, 0], mine[:, 1], marker=shape, s=size, color=color, lw=0, label=label)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), title=str(groups.name or ""))
    ax.set(xticks=[], yticks=[])
    ax.spines[["left", "bottom"]].set_visible(False)
    return write_words(ax, title)


@styled
def plot_spectrum(
    shares: ArrayLike, *, true: int | None = None, n: int = 24, ax: Axes | None = None
) -> Axes:
    """Draw the share of the variance along each principal direction.

    Parameters
    ----------
    shares : array of shape (n_dims,)
        Largest first, in [0, 1].
    true : int, optional
        Number of dimensions that the world was made with; a line stands behind as many bars.
    n : int
        At most so many bars.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = new_axes(ax, height=3.2)
    drawn = np.asarray(shares, dtype=float)[:n]
    ax.bar(np.arange(1, len(drawn) + 1), drawn, color=COLORS["sky"])
    if true is not None:
        ax.axvline(true + 0.5, color=COLORS["vermilion"], ls="--")
        words = f" the world has {true}"
        ax.text(true + 0.5, drawn.max(), words, color=COLORS["vermilion"], va="top")
    ax.grid(axis="x", visible=False)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    title = "How many directions do tastes have?"
    return write_words(ax, title, "principal direction", "share of the variance")


def plot_terms(
    models: Mapping[str, Any], *, title: str = "Which term gives way to which?"
) -> list[Axes]:
    """Draw the terms of an objective epoch by epoch, one panel a term.

    Parameters
    ----------
    models : mapping of str to object
        Name -> what has a table ``history_``: ``epoch`` and any of ``reconstruction, kl, anneal,
        ndcg@100``.
    title : str

    Returns
    -------
    list of Axes
        In that order, for the terms that some model has.
    """
    histories = {name: model.history_.set_index("epoch") for name, model in models.items()}
    panels = {
        words: pd.DataFrame({name: one[term] for name, one in histories.items() if term in one})
        for term, words in _TERMS.items()
    }
    known = {words: table for words, table in panels.items() if len(table)}
    return plot_curves(known, title=title, xlabel="epoch", share_y=False)
