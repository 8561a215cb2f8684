"""Curves: how something changes with a setting, an epoch, or the length of a history."""

import textwrap
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter

from recsys_lib.checks import CSR
from recsys_lib.plots import style
from recsys_lib.plots.style import COLORS, INK, MARKERS, MUTED, styled

#: Curves that are no models: what is due, or possible. Drawn in ink, dashed.
_REFERENCES = ("fold-in oracle", "omniscient")
_HUES = ("blue", "vermilion", "green", "orange", "purple", "sky", "olive")
_MARKED = 12  # points of a curve up to which each has its mark; beyond, marks would hide it
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
_ERROR_HUES = ("sky", "blue", "vermilion", "purple")
_RUNGS = ("gray", "sky", "green", "vermilion", "purple", "orange", "olive")
_DUE: dict[str, Any] = {"color": INK, "marker": None, "ls": "--"}
_TITLE_LENGTH, _HEAD_LENGTH = 34, 13
_PASSING = "#d9d6cd"


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
        Left of the first panel; else the name of its table's columns, where `share_y`.
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
    _, axes = style.new_figure(len(panels), width=width, height=height, sharey=share_y)
    # In the order of first appearance over all panels.
    found = dict.fromkeys(name for table in panels.values() for name in table.columns)
    names = [name for name in found if name not in _REFERENCES]
    given = [xlabel] * len(panels) if isinstance(xlabel, str) else xlabel
    labels = given or [str(table.index.name or "") for table in panels.values()]
    for ax, (heading, table), label in zip(axes, panels.items(), labels, strict=True):
        for name in table.columns:
            ends = [end[name] for end in (bands or {}).get(heading, ())]
            look = _look(names.index(name)) if name in names else _DUE
            _draw(ax, table[name], ends, **look)
        if heading in log_x:
            ax.update_datalim([(x, 0.0) for x in table.index], updatey=False)  # all may be unknown
            ax.set_xscale("log")
            told = _apart(table.index)
            ax.set_xticks(told, [f"{tick:,g}" for tick in told])
            ax.xaxis.set_minor_formatter(NullFormatter())
        elif pd.api.types.is_integer_dtype(table.index):
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        if log_y:
            ax.set_yscale("log")
        style.name_levels(ax, levels or {}, written=ax is axes[-1])
        style.name_panel(ax, heading, _wrapped(label, len(panels)))
    if percent:
        axes[0].yaxis.set_major_formatter(style.Percents())
    if ylabel is None:  # without `share_y` each has a unit of its own
        ylabel = str(next(iter(panels.values())).columns.name or "") if share_y else ""
    return style.finish(axes, title, ylabel, beside=not levels)  # names of levels stand there


def plot_approach(
    tables: Mapping[str, pd.DataFrame], *, xlabel: Sequence[str], logarithmic: Sequence[str] = ()
) -> list[Axes]:
    """Draw how much of the way from popularity to the oracle models go as the data grow.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Heading of the panel -> ``x, model, share, low, high``, as of `tuning.approach_ceiling`.
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
        heading: table.pivot_table(["share", "low", "high"], "x", "model", dropna=False)
        for heading, table in tables.items()
    }
    # Pivoting sorts by name; the order of the families is theirs.
    order = list(dict.fromkeys(name for table in tables.values() for name in table["model"]))
    axes = plot_curves(
        {heading: table["share"][order] for heading, table in wide.items()},
        bands={heading: (table["low"], table["high"]) for heading, table in wide.items()},
        title="What brings a model nearer to the ceiling?",
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
    panels: Mapping[str, pd.DataFrame], *, title: str, xlabel: str, ylabel: str
) -> list[Axes]:
    """Draw each model as a point: what one measure says of it, and what another does.

    Parameters
    ----------
    panels : mapping of str to DataFrame
        Heading of the panel -> indexed by model, the first column is x and the second y; more of
        either is better.
    title, xlabel, ylabel : str

    Returns
    -------
    list of Axes
        Side by side, each with its own x and y; the heading also says the rank correlation: 1 where
        both order the models alike, -1 where one is the reverse of the other.
    """
    _, axes = style.new_figure(len(panels), width=2.6 + 3.0 * len(panels), height=3.9)
    names = list(dict.fromkeys(name for table in panels.values() for name in table.index))
    for ax, (heading, table) in zip(axes, panels.items(), strict=True):
        for name, (x, y) in zip(table.index, table.to_numpy(float), strict=True):
            ax.plot(x, y, ms=9, ls="none", label=str(name), **_look(names.index(name)))
        ax.margins(0.15)
        ranks = table.rank()
        agreement = ranks.iloc[:, 0].corr(ranks.iloc[:, 1])
        words = f"{heading}\nrank correlation {agreement:+z.1f}"
        style.name_panel(ax, words, _wrapped(xlabel, len(panels)))
        style.tell(ax, "")  # the heading says it
    return style.finish(axes, title, ylabel)


def _wrapped(label: str, n_panels: int) -> str:
    """Break a label into lines that its panel has room for."""
    return textwrap.fill(label, 28) if n_panels > 2 else label


def _look(place: int) -> dict[str, Any]:
    """Return the color and the mark of a curve by its place among the names."""
    color, mark = COLORS[_HUES[place % len(_HUES)]], MARKERS[place % len(MARKERS)]
    return {"color": color, "marker": mark}


def _apart(ticks: pd.Index) -> list[float]:
    """Return ticks of a logarithmic axis whose labels have room, the largest among them.

    Examples
    --------
    >>> _apart(pd.Index([500, 1_000, 8_000, 10_000]))
    [500, 1000, 10000]
    """
    places = np.log(ticks.to_numpy(dtype=np.float64))
    room, told = 0.12 * (places.max() - places.min()), [len(places) - 1]
    for place in range(len(places) - 2, -1, -1):
        if places[told[-1]] - places[place] >= room:
            told.append(place)
    return ticks[told[::-1]].tolist()


def _draw(ax: Axes, curve: pd.Series, ends: Sequence[pd.Series] = (), **look: Any) -> None:
    """Draw a curve where it is known, with its interval."""
    known = curve.dropna()
    if len(known) > _MARKED:
        look["marker"] = None
    if len(known) == 1:  # nothing is seen of a dash
        look["marker"] = look.get("marker") or "_"
    ax.plot(known, **{"ms": 5, "label": str(curve.name), "zorder": 3, **look})
    if len(ends):
        low, high = (end[known.index] for end in ends)
        ax.fill_between(known.index, low, high, color=look["color"], alpha=0.13, lw=0)


@styled
def plot_history(
    history: pd.DataFrame,
    *,
    levels: Mapping[str, float] | None = None,
    best: int | None = None,
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
    ylabel : str
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    ax = style.new_axes(ax, height=4.2)
    for name, color, mark in zip(history, cycle(_ERROR_HUES), cycle(MARKERS), strict=False):
        look: dict[str, Any] = {"color": COLORS[color], "marker": mark, "ms": 4}
        ax.plot(history[name], label=style.shorten(name, 24), **look)
    style.name_levels(ax, levels or {})
    if best is not None:
        ax.axvline(best, color=COLORS["vermilion"], lw=1.2, label=f"kept: epoch {best}")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    title = "Does it converge, and where does it stop?"
    return style.write_words(ax, title, "epoch", ylabel, legend=True)


def error_table(model: Any, rows: CSR) -> pd.DataFrame:
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


def plot_terms(models: Mapping[str, Any]) -> list[Axes]:
    """Draw the terms of an objective epoch by epoch, one panel a term.

    Parameters
    ----------
    models : mapping of str to object
        Name -> what has a table ``history_``: ``epoch`` and any of ``reconstruction, kl, anneal,
        ndcg@100``.

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
    return plot_curves(known, title="Which term gives way to which?", xlabel="epoch", share_y=False)


@styled
def plot_newcomers(
    table: pd.DataFrame,
    *,
    ladder: str,
    ceiling: str | None = None,
    ylabel: str = "ndcg (higher is better)",
    ax: Axes | None = None,
) -> Axes:
    """Draw a metric of each rung against the length of the history.

    Parameters
    ----------
    table : DataFrame
        ``n_history``, ``model``, ``value``, ``se``, as of `newcomer_curve`.
    ladder : str
        The model drawn bold, with a band of one standard error: all rungs together.
    ceiling : str, optional
        The model drawn as a dashed line: who knows the truth.
    ylabel : str
    ax : Axes, optional

    Returns
    -------
    Axes
        The lengths stand at equal distances.
    """
    ax = style.new_axes(ax, height=4.4)
    wide = table.pivot_table(["value", "se"], "n_history", "model", dropna=False)
    lengths = list(wide.index)
    values, errors = (wide.reset_index(drop=True)[column] for column in ("value", "se"))
    rungs = [name for name in table["model"].unique() if name not in (ladder, ceiling)]
    for name, color, mark in zip(rungs, cycle(_RUNGS), cycle(MARKERS), strict=False):
        _draw(ax, values[name], color=COLORS[color], marker=mark)
    if ceiling:
        _draw(ax, values[ceiling], **_DUE)
    ends = values[ladder] - errors[ladder], values[ladder] + errors[ladder]
    _draw(ax, values[ladder], ends, color=COLORS["blue"], marker="o", lw=3, ms=7)
    ax.set_xticks(range(len(lengths)), [f"{length:g}" for length in lengths])
    # Beside the axes, in the order in which the lines end: the eye goes straight across.
    lines = {str(line.get_label()): line for line in ax.lines}
    shown = [name for name in values.iloc[-1].sort_values(ascending=False).index if name in lines]
    ax.legend([lines[name] for name in shown], shown, loc="center left", bbox_to_anchor=(1, 0.5))
    title, xlabel = "What can be said to a newcomer?", "items of the history that are known"
    return style.write_words(ax, title, xlabel, ylabel)


@styled
def plot_variety(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how the distance within lists and their ndcg change with `diversity`.

    Parameters
    ----------
    table : DataFrame
        Of `evaluation.variety_table`.
    ax : Axes, optional

    Returns
    -------
    Axes
        Changes in percent, with bands of 95 %.
    """
    ax = style.new_axes(ax, height=3.9)
    names = {"distance": "distance within a list", "ndcg": "ndcg"}
    for (name, label), color, mark in zip(names.items(), ("blue", "orange"), MARKERS, strict=False):
        value, low, high = (100 * table[f"{name}_{end}"] for end in ("change", "low", "high"))
        _draw(ax, value.rename(label), (low, high), color=COLORS[color], marker=mark)
    ax.axhline(0, color=COLORS["gray"], lw=0.8, zorder=1)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return style.write_words(ax, "What does variety cost?", "diversity", "change (%)")


@styled
def plot_list_moves(lists: pd.DataFrame, steps: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Draw the ranks of a list from step to step.

    Parameters
    ----------
    lists : DataFrame
        ``step`` (0, 1, ...), ``rank`` (1, 2, ...), ``item_id`` and ``title``, one row an item of a
        list.
    steps : sequence of str
        What stands above each step; broken into short lines.
    ax : Axes, optional

    Returns
    -------
    Axes
        A line for each item: gray for those of the first list, colored for those that came later
        and stayed, faint for those that only passed through.
    """
    n_ranks, last = int(lists["rank"].max()), int(lists["step"].max())
    ax = style.new_axes(ax, width=11.0, height=1.9 + 0.36 * n_ranks)
    first, final = (set(lists.loc[lists["step"] == step, "item_id"]) for step in (0, last))
    came = dict.fromkeys(lists.loc[lists["item_id"].isin(final - first), "item_id"])
    colors = {item: COLORS[_HUES[place % len(_HUES)]] for place, item in enumerate(came)}
    for item, part in lists.groupby("item_id", sort=False):
        color = colors.get(item, COLORS["gray"] if item in first else _PASSING)
        part = part.sort_values("step")
        # A gap in the steps is a gap in the line: the item was off the list meanwhile.
        for _, run in part.groupby(part["step"] - np.arange(len(part))):
            width = 2.4 if item in colors else 1.4
            ax.plot(run["step"], run["rank"], "o-", color=color, lw=width, ms=5)
        words: dict[str, Any] = {"va": "center", "size": 9, "color": colors.get(item, MUTED)}
        for step, side, align in ((0, -0.1, "right"), (last, 0.1, "left")):
            for rank in part.loc[part["step"] == step, "rank"]:
                shown = style.shorten(part["title"].iloc[0], _TITLE_LENGTH)
                ax.text(step + side, rank, shown, ha=align, **words)
    ax.set_xticks(range(last + 1), ["\n".join(textwrap.wrap(step, _HEAD_LENGTH)) for step in steps])
    ax.xaxis.tick_top()
    ax.set_yticks(range(1, n_ranks + 1))
    ax.set(xlim=(-0.3, last + 0.3), ylim=(n_ranks + 0.5, 0.5))
    ax.tick_params(length=0)
    ax.yaxis.set_tick_params(labelleft=False)
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.grid(visible=False)
    ax.set_title("How does the list move, click by click?", pad=16)
    style.tell(ax, f"Items of the first list in the last: {len(first & final)} of {len(first)}.")
    return ax
