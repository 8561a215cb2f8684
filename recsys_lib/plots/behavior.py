"""What people did: two views of one user, the funnel, what selection hides."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import ConciseDateFormatter
from numpy.typing import ArrayLike

from recsys_lib.plots.style import (
    COLORS,
    INK,
    MARKERS,
    MUTED,
    new_axes,
    new_figure,
    shorten,
    styled,
    write_words,
)

__all__ = ["plot_funnel", "plot_selection", "plot_two_views"]


@styled
def plot_two_views(
    ratings: pd.DataFrame,
    events: pd.DataFrame,
    *,
    user: str,
    scale: tuple[float, float],
    steps: Sequence[str] = ("view", "start", "complete"),
) -> list[Axes]:
    """Draw the same user twice: what they said of each item, and what they did with it.

    Parameters
    ----------
    ratings : DataFrame
        ``item_id, value`` of one user, one row an item; with a ``title`` that is what is written.
    events : DataFrame
        ``item_id, event, timestamp`` of the same user.
    user : str
        Their name, for the titles.
    scale : tuple of float
        Lowest and highest rating.
    steps : sequence of str
        The values of ``event`` to draw, weakest first.

    Returns
    -------
    list of Axes
        Explicit ratings and clickstream; the items are the same rows in both, best rated on top.
    """
    ordered = ratings.sort_values("value", kind="stable")
    row = pd.Series(np.arange(len(ordered)), index=ordered["item_id"].to_numpy())
    _, (said, did) = new_figure(
        2, width=10.2, height=1.4 + 0.24 * len(row), sharey=True, width_ratios=[2, 3]
    )
    said.hlines(row, scale[0], ordered["value"], color=COLORS["sky"], lw=2)
    said.plot(ordered["value"], row, "o", color=COLORS["blue"], ms=6)
    said.set_yticks(row, [shorten(title, 40) for title in ordered.get("title", ordered["item_id"])])
    said.set_xlim(scale[0], scale[1] + 0.5)
    said.set_xlabel("rating")
    said.set_title(f"What {user} said", pad=24)
    colors = [COLORS["sky"], COLORS["orange"], COLORS["vermilion"]]
    known_items = events[events["item_id"].isin(row.index)]
    for place, name in enumerate(steps):
        known = known_items[known_items["event"] == name]
        did.plot(
            known["timestamp"],
            row[known["item_id"]],
            MARKERS[place],
            color=colors[place % 3],
            ms=5 + place,
            mec=INK if place else "none",
            mew=0.5,
            label=name,
        )
    did.xaxis.set_major_formatter(ConciseDateFormatter(did.xaxis.get_major_locator()))
    # Above the axes, and the titles above that: marks may stand anywhere inside.
    did.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, handletextpad=0.2, borderaxespad=0)
    did.set_title(f"What {user} did", pad=24)
    return [said, did]


@styled
def plot_funnel(steps: pd.Series, *, title: str, noun: str, ax: Axes | None = None) -> Axes:
    """Draw a funnel: how many are left after each step.

    Parameters
    ----------
    steps : Series of int
        Indexed by the name of the step, first step first, not increasing.
    title, noun : str
        Of the figure; what is counted, in the plural.
    ax : Axes, optional

    Returns
    -------
    Axes
        Each bar says its count, and after the first its share of the step before.
    """
    ax = new_axes(ax, height=1.3 + 0.55 * len(steps))
    counts = steps.to_numpy(float)
    colors = [COLORS["sky"], COLORS["orange"], COLORS["vermilion"], COLORS["purple"]]
    names = [str(name) for name in steps.index]
    ax.barh(names, counts, color=[colors[i % 4] for i in range(len(counts))], height=0.7)
    for row, count in enumerate(counts):
        of_previous = f", {count / counts[row - 1]:.0%} of the step before" if row else ""
        inside = count > 0.6 * counts[0]
        ax.text(
            count - 0.01 * counts[0] if inside else count + 0.01 * counts[0],
            row,
            f"{count:,.0f}{of_previous}",
            va="center",
            ha="right" if inside else "left",
            color=INK,
        )
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    return write_words(ax, title, noun)


@styled
def plot_selection(
    observed: ArrayLike,
    true: ArrayLike,
    counts: ArrayLike,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean of the ratings one sees against the mean over everybody.

    Parameters
    ----------
    observed, true : array of shape (n_items,)
        Mean observed rating, and mean expected rating over all users, in rating units.
    counts : array of shape (n_items,)
        Ratings behind each observed mean; they size the dots.
    ax : Axes, optional

    Returns
    -------
    Axes
        On the diagonal the observed mean is the truth; above it those who rate like it more.
    """
    ax = new_axes(ax, width=5.6, height=4.6)
    x, y = np.asarray(true, dtype=float), np.asarray(observed, dtype=float)
    n = np.asarray(counts, dtype=float)
    ax.scatter(x, y, s=8 + 90 * n / max(1.0, n.max()), color=COLORS["blue"], alpha=0.55, lw=0)
    ends = np.array([np.nanmin([x.min(), np.nanmin(y)]), np.nanmax([x.max(), np.nanmax(y)])])
    ax.plot(ends, ends, "--", color=MUTED, lw=1.2, label="observed = true")
    ax.legend(loc="lower right")
    return write_words(
        ax,
        "What do observed means hide?",
        "true mean over all users (rating units)",
        "mean of the observed ratings",
    )
