"""What is in the data: ratings, activity, the long tail, who used what, groups and their tastes."""

import textwrap
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.dates import ConciseDateFormatter
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from scipy import stats

from recsys_lib.checks import CSR, Doubles, Ints, check_numbers, check_user_items
from recsys_lib.exploration import LEFT_OVER, group_lift
from recsys_lib.formatting import percent
from recsys_lib.plots import style
from recsys_lib.plots.style import COLORS, INK, MARKERS, MUTED, PAPER, styled

_MOST_LEVELS, _BINS, _MOST_TICKS, _MOST_SHOWN = 100, 20, 12, 200
_MOST_DIRECTIONS = 24
_EVENTS = ("view", "start", "complete")  # weakest first
_STEPS = ("sky", "orange", "vermilion", "purple")
_FAINT = "#bdb9ae"
# Where a distribution is cut off, below and above; and one that is not.
Bounds: TypeAlias = tuple[float, float]
_ALL = (-np.inf, np.inf)


def rating_shares(
    ratings: ArrayLike, *, mean: float, sd: float, bounds: Bounds = _ALL
) -> pd.DataFrame:
    """Count ratings beside the share that a rounded normal gives each of them.

    Parameters
    ----------
    ratings : array of shape (n_ratings,)
    mean, sd : float
        Of the normal before rounding, in rating units.
    bounds : tuple of float, optional
        Where the normal is cut off before rounding. Without it the tails beyond the scale count
        to its ends.

    Returns
    -------
    DataFrame
        Indexed by ``rating``, the whole scale between the lowest and the highest; ``count``,
        ``share`` and ``expected``, shares in [0, 1]. Ratings that are no even ladder of at most
        100 levels are counted in 20 bins, each named by its middle.

    Examples
    --------
    >>> rating_shares([1, 2, 2, 3], mean=2, sd=0.5).round(3)
            count  share  expected
    rating
    1.0         1   0.25     0.159
    2.0         2   0.50     0.683
    3.0         1   0.25     0.159
    """
    values = check_numbers("ratings", ratings)
    scale = _ladder(np.unique(values))
    edges = np.concatenate([[-np.inf], (scale[1:] + scale[:-1]) / 2, [np.inf]])
    expected = np.diff(_normal(mean, sd, bounds).cdf(edges))
    counts = np.bincount(np.searchsorted(edges, values, side="right") - 1, minlength=len(scale))
    shares = {"count": counts, "share": counts / counts.sum(), "expected": expected}
    return pd.DataFrame(shares, index=pd.Index(scale, name="rating"))


def _ladder(levels: Doubles) -> Doubles:
    """The even ladder that the levels stand on, or the middles of bins where they stand on none."""
    if len(levels) == 1:
        return levels
    step, width = float(np.diff(levels).min()), float(levels[-1] - levels[0])
    rungs = (levels - levels[0]) / step
    # Single precision keeps seven digits: 0.1 is not exactly a tenth.
    if width / step < _MOST_LEVELS and np.allclose(rungs, np.round(rungs), atol=0.01):
        return np.round(levels[0] + step * np.arange(round(width / step) + 1), 5)
    return levels[0] + width / _BINS * (np.arange(_BINS) + 0.5)


def _normal(mean: float, sd: float, bounds: Bounds) -> "stats.rv_frozen":
    low, high = ((bound - mean) / sd for bound in bounds)
    return stats.truncnorm(low, high, loc=mean, scale=sd)


@styled
def plot_ratings(
    ratings: ArrayLike, *, mean: float, sd: float, bounds: Bounds = _ALL, ax: Axes | None = None
) -> Axes:
    """Draw the histogram of ratings, a normal curve over it, and what rounding makes of the curve.

    Parameters
    ----------
    ratings : array of shape (n_ratings,)
    mean, sd : float
        Of the normal, in rating units.
    bounds : tuple of float, optional
        Where the normal is cut off.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Bars are observed shares, the line is the density times one step of the scale, rings are
        the shares of the rounded normal: a bar that reaches its ring is a bar that fits.
    """
    ax = style.new_axes(ax)
    table = rating_shares(ratings, mean=mean, sd=sd, bounds=bounds)
    scale = table.index.to_numpy(float)
    step = scale[1] - scale[0] if len(scale) > 1 else 1.0
    ax.bar(scale, table["share"], width=0.86 * step, color=COLORS["sky"], label="ratings")
    grid = np.linspace(scale[0] - step, scale[-1] + step, 400)
    words = f"normal curve, mean {mean:.3g}, sd {sd:.3g}"
    ax.plot(grid, _normal(mean, sd, bounds).pdf(grid) * step, color=INK, label=words)
    rings: dict[str, Any] = {"mfc": "none", "mec": COLORS["vermilion"], "mew": 2, "ms": 8}
    ax.plot(scale, table["expected"], "o", label="that curve, rounded", **rings)
    if len(scale) <= _MOST_TICKS:
        ax.set_xticks(scale)
    ax.grid(axis="x", visible=False)
    ax.yaxis.set_major_formatter(style.Percents())
    style.tell(ax, table["share"], ax.yaxis)
    title, ylabel = "Are the ratings normal?", "share of ratings"
    return style.write_words(ax, title, "rating", ylabel, legend=True)


@styled
def plot_quantiles(
    ratings: ArrayLike, *, mean: float, sd: float, bounds: Bounds = _ALL, ax: Axes | None = None
) -> Axes:
    """Draw a Q-Q plot of ratings against a normal: on the diagonal, they agree.

    Parameters
    ----------
    ratings, mean, sd, bounds, ax
        As of `plot_ratings`.

    Returns
    -------
    Axes
        The stairs are all quantiles; each tread is one rating. Its dot stands at the mean of the
        normal between the quantiles where the tread begins and ends, so the dots of a rounded
        normal lie on the diagonal, except where the scale cuts a tail.
    """
    ax = style.new_axes(ax, width=4.6, height=4.2)
    normal = _normal(mean, sd, bounds)
    values = check_numbers("ratings", ratings)
    n = len(values)
    levels, counts = np.unique(values, return_counts=True)
    # The probabilities between which each level lies.
    edges = np.concatenate([[0.0], np.cumsum(counts) / n])
    at = normal.ppf(np.clip(edges, 1 / (2 * n), 1 - 1 / (2 * n)))
    ax.plot(np.repeat(at, 2)[1:-1], np.repeat(levels, 2), color=COLORS["sky"], label="quantiles")
    low, high = min(at[0], levels[0]), max(at[-1], levels[-1])
    ax.plot([low, high], [low, high], "--", color=MUTED, lw=1.2, label="the same distribution")
    steps = np.linspace(edges[:-1], edges[1:], 201)
    centers = normal.ppf((steps[1:] + steps[:-1]) / 2).mean(axis=0)
    ax.plot(centers, levels, "o", color=COLORS["blue"], ms=6, label="one rating")
    ax.set_aspect("equal", adjustable="datalim")
    ax.legend(loc="upper left")
    return style.write_words(ax, "Quantile against quantile", "quantile of the normal", "rating")


@styled
def plot_long_tail(counts: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Draw interactions by popularity rank, the short head apart from the long tail.

    Where the most popular item has ten times as many as the last one of the head, both axes are
    logarithmic: else the head would hide behind the axis.

    Parameters
    ----------
    counts : array of shape (n_items,)
        Interactions of each item, in any order.
    ax : Axes, optional

    Returns
    -------
    Axes
        The head are the fewest items that hold a third of the interactions.
    """
    ax = style.new_axes(ax)
    ordered = np.sort(check_numbers("counts", counts))[::-1]
    head = int(np.searchsorted(np.cumsum(ordered), ordered.sum() / 3)) + 1
    ink = COLORS["vermilion"]
    # One outline, and not a bar for each item, of which there may be many thousands.
    edges = np.arange(len(ordered) + 1) + 0.5
    steep = ordered[0] > 10 * ordered[head - 1]
    # Areas mean nothing on a logarithmic axis.
    look: dict[str, Any] = {"linewidth": 2} if steep else {"fill": True}
    ax.stairs(ordered, edges, color=COLORS["sky"], **look)
    ax.stairs(ordered[:head], edges[: head + 1], color=ink, **look)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    held = ordered[:head].sum() / ordered.sum()  # of few items, more than was asked for
    words = f"{head:,} of {len(ordered):,} items hold {held:.0%} of the interactions"
    arrow: dict[str, Any] = {"arrowstyle": "-", "color": ink}
    if steep:
        least = max(ordered[-1], 1)
        ax.set(xscale="log", yscale="log", ylim=(least / 2, 4 * ordered[0]))
        style.log_ticks(ax.xaxis, len(ordered))
        style.log_ticks(ax.yaxis, ordered[0] / least)
    elif ordered[int(0.3 * len(ordered))] > 0.68 * ordered[0]:  # bars would stand behind the words
        ax.set_ylim(0, 1.55 * ordered[0])
    where = (0.30, 0.9) if steep else (0.30, 0.72)
    place: dict[str, Any] = {"xytext": where, "textcoords": "axes fraction", "color": ink}
    ax.annotate(words, xy=(head, ordered[head - 1]), arrowprops=arrow, **place)
    ax.grid(axis="x", visible=False)
    ax.set_xlim(0.5 if steep else 0, len(ordered) + 1)
    ends = f"the most popular has {ordered[0]:,.0f}, the least {ordered[-1]:,.0f}"
    style.tell(ax, f"{words}; {ends}.")
    logarithmic = " (log)" if steep else ""
    labels = f"items by popularity{logarithmic}", f"interactions{logarithmic}"
    return style.write_words(ax, "How long is the tail?", *labels)


@styled
def plot_activity(
    counts: ArrayLike,
    *,
    noun: str = "users",
    title: str = "How active are the users?",
    xlabel: str = "interactions of a user (log)",
    ax: Axes | None = None,
) -> Axes:
    """Draw how many users have just so many interactions, on a logarithmic axis, with the median.

    Parameters
    ----------
    counts : array of shape (n_users,)
        Interactions of each user; what is below 1 is counted in the title, not drawn.
    noun : str
        Who is counted, in the plural.
    title, xlabel : str
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = style.new_axes(ax)
    values = np.asarray(counts, dtype=float)
    active = check_numbers("counts", values[values >= 1])
    # Whole edges, and heights per whole number: on a logarithmic axis bins hold one number here and
    # many there, and bare counts would go up and down for no reason but that.
    edges = np.unique(np.round(np.geomspace(active.min(), active.max() + 1, 32))) - 0.5
    heights = np.histogram(active, bins=edges)[0] / np.diff(edges)
    ax.bar(edges[:-1], heights, width=np.diff(edges), align="edge", color=COLORS["sky"])
    median = float(np.median(active))
    ax.axvline(median, color=COLORS["vermilion"])
    ax.text(median, ax.get_ylim()[1], f" median {median:g}", color=COLORS["vermilion"], va="top")
    ax.set_xscale("log")
    style.log_ticks(ax.xaxis, active.max() / active.min())
    ax.xaxis.set_major_formatter(lambda count, _: f"{count:g}" if count >= 1 else "")
    ax.locator_params(axis="y", integer=True)
    if len(edges) == 2:  # all alike
        ax.set_xticks([median])
    style.tell(ax, f"The median is {median:,g}, the range {active.min():,g} to {active.max():,g}.")
    silent = len(values) - len(active)
    aside = f" ({silent:,} have none)" if silent else ""
    return style.write_words(ax, f"{title}{aside}", xlabel, f"{noun} with just so many")


@styled
def plot_user_items(user_items: CSR, *, ax: Axes | None = None) -> Axes:
    """Draw the observed cells of the matrix: popular items to the left, active users on top.

    Parameters
    ----------
    user_items : csr_array of shape (n_users, n_items)
    ax : Axes, optional

    Returns
    -------
    Axes
        One filled cell for each stored pair of the rows and columns shown: at most 200 of each,
        evenly spaced along the order.
    """
    user_items = check_user_items(user_items)
    ax = style.new_axes(ax, height=4.4)
    rows = _evenly(np.diff(user_items.indptr))
    cols = _evenly(np.bincount(user_items.indices, minlength=user_items.shape[1]))
    seen = user_items[rows][:, cols].tocoo()
    seen.data[:] = 1  # a rating of 0 is known, too
    colors = ListedColormap(["none", COLORS["blue"]])
    ax.imshow(seen.toarray(), colors, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
    style.tell(ax, f"{seen.nnz:,} of the {len(rows) * len(cols):,} pairs shown are known.")
    share = user_items.nnz / max(1, user_items.shape[0] * user_items.shape[1])
    return style.write_words(
        ax,
        f"Who used what? {percent(share, 1)} of all pairs are known",
        f"{len(cols)} of {user_items.shape[1]:,} items, popular first",
        f"{len(rows)} of {user_items.shape[0]:,} users, active first",
    )


def _evenly(counts: Ints) -> Ints:
    """Some positions, largest count first, evenly spaced along that order."""
    order = np.argsort(-counts, kind="stable")
    return order[np.linspace(0, len(order) - 1, min(_MOST_SHOWN, len(order))).astype(int)]


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
        Format of the numbers; by default one decimal, two where all are below 1, with a sign where
        there is a `center`.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = style.new_axes(ax, height=1.2 + 0.36 * len(table))
    # Blue to brown, not red to green: the two ends stay apart for every kind of color vision.
    colors = "crest" if center is None else sns.diverging_palette(30, 250, s=85, as_cmap=True)
    digits = 2 if table.abs().max(axis=None) < 1 else 1
    fmt = fmt or f"{'z' if center is None else '+z'}.{digits}f"
    numbers: dict[str, Any] = {"annot": True, "fmt": fmt, "annot_kws": {"size": 9}}
    cells: dict[str, Any] = {"cmap": colors, "center": center, "cbar_kws": {"label": label}}
    cells |= {"linewidths": 1, "linecolor": PAPER, "xticklabels": False, "yticklabels": False}
    sns.heatmap(table, ax=ax, **numbers, **cells)
    ax.tick_params(length=0)
    named = [style.shorten(name, 30) for name in table.index]
    ax.set_yticks(np.arange(len(named)) + 0.5, named, va="center")
    heads = [textwrap.fill(style.shorten(name, 40), 14) for name in table.columns]
    ax.set_xticks(np.arange(len(heads)) + 0.5, heads)
    return style.write_words(ax, title, str(table.columns.name or ""), str(table.index.name or ""))


@styled
def plot_cooccurrence(lift: ArrayLike, groups: pd.Series, *, ax: Axes | None = None) -> Axes:
    """Draw how much more often two items meet in one user than by chance, ordered by group.

    Parameters
    ----------
    lift : array of shape (n_items, n_items)
        Users who have both over what independence predicts: 1 is chance; NaN stays blank.
    groups : Series of length n_items
        Group of each item; lines separate the groups.
    ax : Axes, optional

    Returns
    -------
    Axes
        Logarithmic colors, so that twice as often and half as often are equally strong.
    """
    ax = style.new_axes(ax, width=6.4, height=5.4)
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
    # A name is written where there is room for it.
    wide = (ends - starts > len(order) / 30) & (len(names) > 1)
    named = [style.shorten(name, 24) * bool(room) for name, room in zip(names, wide, strict=True)]
    ax.set_xticks((starts + ends - 1) / 2, named, rotation=90)
    ax.set_yticks((starts + ends - 1) / 2, named)
    ax.tick_params(length=0)
    ax.grid(visible=False)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.7, ticks=[-2, -1, 0, 1, 2])
    bar.set_ticklabels(["¼ x", "½ x", "chance", "2 x", "4 x"])
    places = ("in a group", "across groups") if len(names) > 1 else ("",)
    lifts = zip(places, group_lift(np.asarray(lift, dtype=float), groups), strict=False)
    times = [f"{mean:.2f} times as often {place}".strip() for place, mean in lifts if mean == mean]
    style.tell(ax, f"Against chance, two items meet {', '.join(times)}." if times else "")
    return style.write_words(ax, "Which items meet in the same user?")


@styled
def plot_two_views(
    ratings: pd.DataFrame, events: pd.DataFrame, *, user: str, scale: tuple[float, float]
) -> list[Axes]:
    """Draw the same user twice: what they said of each item, and what they did with it.

    Parameters
    ----------
    ratings : DataFrame
        ``item_id, value`` of one user, one row an item; with a ``title`` that is what is written.
    events : DataFrame
        ``item_id, event, timestamp`` of the same user; drawn are views, starts and completions.
    user : str
        Their name, for the titles.
    scale : tuple of float
        Lowest and highest rating.

    Returns
    -------
    list of Axes
        Explicit ratings and clickstream; the items are the same rows in both, best rated on top.
    """
    ordered = ratings.sort_values("value", kind="stable")
    row = pd.Series(np.arange(len(ordered)), index=ordered["item_id"].to_numpy())
    size: dict[str, Any] = {"width": 10.2, "height": 1.4 + 0.24 * len(row)}
    _, (said, did) = style.new_figure(2, **size, sharey=True, width_ratios=[2, 3])
    said.hlines(row, scale[0], ordered["value"], color=COLORS["sky"], lw=2)
    said.plot(ordered["value"], row, "o", color=COLORS["blue"], ms=6)
    titles = [style.shorten(title, 40) for title in ordered.get("title", ordered["item_id"])]
    said.set_yticks(row, titles)
    said.set_xlim(scale[0], scale[1] + 0.5)
    said.locator_params(axis="x", integer=True)
    style.tell(said, ordered["value"].set_axis(pd.Index(titles)))
    style.write_words(said, f"What {user} said", "rating")
    known = events[events["item_id"].isin(row.index)]
    for place, name in enumerate(_EVENTS):
        done = known[known["event"] == name]
        look: dict[str, Any] = {"color": COLORS[_STEPS[place % 3]], "ms": 5 + place, "label": name}
        look |= {"mec": INK if place else "none", "mew": 0.5}
        did.plot(done["timestamp"], row[done["item_id"]], MARKERS[place], **look)
    did.xaxis.set_major_formatter(ConciseDateFormatter(did.xaxis.get_major_locator()))
    counts = known["event"].value_counts()
    style.tell(did, f"Events: {', '.join(f'{counts.get(name, 0):,} {name}' for name in _EVENTS)}.")
    style.write_words(did, f"What {user} did", legend=True)
    said.set_title(f"What {user} said", pad=26)
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
    ax = style.new_axes(ax, height=1.3 + 0.55 * len(steps))
    counts = steps.astype(float)
    style.bars(ax, counts, color=[COLORS[_STEPS[place % 4]] for place in range(len(steps))])
    shares = (counts / counts.shift()).to_list()
    for row, (count, share) in enumerate(zip(counts, shares, strict=True)):
        before = f", {share:.0%} of the step before" if np.isfinite(share) else ""
        words = f"{count:,.0f}{before}"
        inside = count > 0.6 * counts.iloc[0]
        place = count + (-0.01 if inside else 0.01) * counts.iloc[0]
        ax.text(place, row, words, va="center", ha="right" if inside else "left", color=INK)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    return style.write_words(ax, title, noun)


@styled
def plot_selection(
    observed: ArrayLike, true: ArrayLike, counts: ArrayLike, *, ax: Axes | None = None
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
    ax = style.new_axes(ax, width=5.6, height=4.6)
    x, y, n = (np.asarray(values, dtype=float) for values in (true, observed, counts))
    known = np.isfinite(x) & np.isfinite(y)  # an item without ratings has no observed mean
    x, y, n = x[known], y[known], n[known]
    ax.scatter(x, y, s=8 + 90 * n / max(1.0, n.max()), color=COLORS["blue"], alpha=0.55, lw=0)
    ends = np.array([np.min([x, y]), np.max([x, y])])
    ax.plot(ends, ends, "--", color=MUTED, lw=1.2, label="observed = true")
    ax.legend(loc="lower right")
    above = f"{np.mean(y > x):.0%} of {len(x):,} items look better than they are"
    style.tell(ax, f"{above}; the mean difference is {np.mean(y - x):+.2f}.")
    title, xlabel = "What do observed means hide?", "true mean over all users (rating units)"
    return style.write_words(ax, title, xlabel, "mean of the observed ratings")


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
    ax = style.new_axes(ax, width=7.4, height=5.0)
    points = np.asarray(places, dtype=float)
    colors = list(COLORS.values())
    # What is left over is drawn below the groups and takes no color from them.
    left_over = [name for name in LEFT_OVER if name in set(groups)]
    named = sorted(set(groups) - set(left_over), key=str)
    looks: dict[str, Any] = {name: {"color": _FAINT, "s": 14} for name in left_over}
    for place, name in enumerate(named):
        mark = MARKERS[(place + place // len(colors)) % len(MARKERS)]
        looks[name] = {"color": colors[place % len(colors)], "marker": mark, "s": 34}
    for name, look in looks.items():
        mine = points[(groups == name).to_numpy()]
        ax.scatter(mine[:, 0], mine[:, 1], lw=0, label=style.shorten(name, 40), **look)
    ax.set(xticks=[], yticks=[])
    ax.spines[["left", "bottom"]].set_visible(False)
    told = f"{len(points):,} points"
    sizes = [f"{name} {n:,}" for name, n in groups.value_counts().items()]
    if len(sizes) > 1:
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), title=str(groups.name or ""))
        told += f" by {groups.name or 'group'}: {', '.join(sizes)}"
    style.tell(ax, f"{told}.")
    return style.write_words(ax, title)


@styled
def plot_spectrum(shares: ArrayLike, *, true: int | None = None, ax: Axes | None = None) -> Axes:
    """Draw the share of the variance along each principal direction.

    Parameters
    ----------
    shares : array of shape (n_dims,)
        Largest first, in [0, 1].
    true : int, optional
        Number of dimensions that the world was made with; a line stands behind as many bars.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = style.new_axes(ax, height=3.2)
    drawn = check_numbers("shares", shares)[:_MOST_DIRECTIONS]
    ax.bar(np.arange(1, len(drawn) + 1), drawn, color=COLORS["sky"])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if true is not None:
        ax.axvline(true + 0.5, color=COLORS["vermilion"], ls="--")
        words = f" the world has {true}"
        ax.text(true + 0.5, drawn.max(), words, color=COLORS["vermilion"], va="top")
    ax.grid(axis="x", visible=False)
    ax.yaxis.set_major_formatter(style.Percents())
    first = f"the first {true or len(drawn)} together {drawn[:true].sum():.0%}"
    style.tell(ax, f"The first direction has {drawn[0]:.0%} of the variance, {first}.")
    title = "How many directions do tastes have?"
    return style.write_words(ax, title, "principal direction", "share of the variance")
