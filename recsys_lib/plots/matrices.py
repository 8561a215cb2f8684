"""Tables as pictures: who rates what, which go together, which group likes which."""

import textwrap
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from scipy import sparse

from recsys_lib.plots.style import COLORS, INK, PAPER, new_axes, styled, write_words

__all__ = ["plot_cooccurrence", "plot_heatmap", "plot_user_items"]


@styled
def plot_user_items(
    user_items: sparse.csr_array, *, n_users: int = 200, n_items: int = 200, ax: Axes | None = None
) -> Axes:
    """Draw the observed cells of the matrix: popular items to the left, active users on top.

    Parameters
    ----------
    user_items : csr_array of shape (n_users, n_items)
    n_users, n_items : int
        At most so many rows and columns, evenly spaced along the order.
    ax : Axes, optional

    Returns
    -------
    Axes
        One mark for each stored pair of the rows and columns shown.
    """
    ax = new_axes(ax, height=4.4)
    rows = _evenly(np.diff(user_items.indptr), n_users)
    cols = _evenly(np.bincount(user_items.indices, minlength=user_items.shape[1]), n_items)
    seen = user_items[rows][:, cols].tocoo()
    ax.scatter(seen.col, seen.row, s=3, marker="s", color=COLORS["blue"], linewidths=0)
    ax.set(xlim=(-1, len(cols)), ylim=(len(rows), -1), xticks=[], yticks=[])
    ax.grid(visible=False)
    share = user_items.nnz / max(1, user_items.shape[0] * user_items.shape[1])
    return write_words(
        ax,
        f"Who used what? {share:.1%} of all pairs are known",
        f"{len(cols)} of {user_items.shape[1]:,} items, popular first",
        f"{len(rows)} of {user_items.shape[0]:,} users, active first",
    )


def _evenly(counts: ArrayLike, n: int) -> Any:
    """At most `n` positions, largest count first, evenly spaced along that order."""
    order = np.argsort(-np.asarray(counts), kind="stable")
    return order[np.unique(np.linspace(0, len(order) - 1, min(n, len(order))).astype(int))]


@styled
def plot_heatmap(
    table: pd.DataFrame,
    *,
    title: str,
    label: str,
    center: float | None = None,
    fmt: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a table of numbers as colored cells with the numbers in them.

    Parameters
    ----------
    table : DataFrame
        Names of index and columns become the axes' words; NaN stays blank.
    title, label : str
        Of the figure; of the colors, with the unit.
    center : float, optional
        Neutral value of a scale of two colors; without it light is low and dark is high.
    fmt : str, optional
        Format of the numbers; by default one decimal, with a sign where there is a `center`.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = new_axes(ax, height=1.2 + 0.36 * len(table))
    # Blue to brown, not red to green: the two ends stay apart for every kind of color vision.
    colors = "crest" if center is None else sns.diverging_palette(30, 250, s=85, as_cmap=True)
    sns.heatmap(
        table,
        ax=ax,
        cmap=colors,
        center=center,
        annot=True,
        fmt=fmt or (".1f" if center is None else "+.1f"),
        annot_kws={"size": 9},
        linewidths=1,
        linecolor=PAPER,
        cbar_kws={"label": label},
    )
    ax.tick_params(length=0)
    ax.set_yticklabels(ax.get_yticklabels(), rotation=0)
    names = [textwrap.fill(label.get_text(), 14) for label in ax.get_xticklabels()]
    ax.set_xticks(ax.get_xticks(), names, rotation=0)
    return write_words(ax, title, str(table.columns.name or ""), str(table.index.name or ""))


@styled
def plot_cooccurrence(
    lift: ArrayLike, groups: pd.Series, *, noun: str = "items", ax: Axes | None = None
) -> Axes:
    """Draw how much more often two items meet in one user than by chance, ordered by group.

    Parameters
    ----------
    lift : array of shape (n_items, n_items)
        Users who have both over what independence predicts: 1 is chance; NaN stays blank.
    groups : Series of length n_items
        Group of each item; lines separate the groups.
    noun : str
        What the rows are, in the plural.
    ax : Axes, optional

    Returns
    -------
    Axes
        Logarithmic colors, so that twice as often and half as often are equally strong.
    """
    ax = new_axes(ax, width=6.4, height=5.4)
    order = np.argsort(groups.astype(str).to_numpy(), kind="stable")
    # A pair that never met has no logarithm; the color scale ends at a quarter anyway.
    strength = np.log2(np.maximum(np.asarray(lift, dtype=float), 2.0**-8))[np.ix_(order, order)]
    colors = sns.diverging_palette(30, 250, s=85, as_cmap=True)
    image = ax.imshow(strength, cmap=colors, vmin=-2, vmax=2, interpolation="nearest")
    names, starts = np.unique(groups.astype(str).to_numpy()[order], return_index=True)
    ends = np.append(starts[1:], len(order))
    for start in starts[1:]:
        ax.axhline(start - 0.5, color=INK, lw=0.5)
        ax.axvline(start - 0.5, color=INK, lw=0.5)
    ax.set_xticks((starts + ends - 1) / 2, names, rotation=90)
    ax.set_yticks((starts + ends - 1) / 2, names)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.7, ticks=[-2, -1, 0, 1, 2])
    bar.set_ticklabels(["¼ x", "½ x", "chance", "2 x", "4 x"])
    return write_words(ax, f"Which {noun} meet in the same user?")
