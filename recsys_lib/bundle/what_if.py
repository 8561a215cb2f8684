"""What if this person had used something else: a list, and in JupyterLab controls to edit it."""

import html
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from recsys_lib.bundle.bundle import Bundle
from recsys_lib.errors import DataError
from recsys_lib.formatting import table as formatted
from recsys_lib.front_end import has_front_end
from recsys_lib.naming import find_id, find_ids

#: Matches of a search that are shown.
_MATCHES = 20


def history_of(bundle: Bundle, user: Any) -> pd.DataFrame:
    """Return what a user of the bundle has used, best rated first.

    Parameters
    ----------
    bundle : Bundle
    user : id

    Returns
    -------
    DataFrame
        ``item_id, title, value``.

    Raises
    ------
    DataError
        If the user is unknown.
    """
    dataset = bundle.dataset
    row = dataset.user_items[[find_id(dataset.user_ids, user, "user")]]
    frame = pd.DataFrame({"item_id": dataset.item_ids.take(row.indices), "value": row.data})
    frame.insert(1, "title", bundle._titles.take(row.indices))
    return frame.sort_values("value", ascending=False, kind="stable", ignore_index=True)


def list_change(
    bundle: Bundle,
    user: Any,
    *,
    add: Mapping[Any, float] | None = None,
    drop: Iterable[Any] = (),
    k: int = 10,
) -> pd.DataFrame:
    """Return the list of a user whose history is edited, and where its items stood before.

    Parameters
    ----------
    bundle : Bundle
    user : id
    add : mapping of item id to rating, optional
        Items this person is to have used as well; one in the history is rated anew.
    drop : iterable of item ids
        Items this person is never to have used.
    k : int
        Length of the list.

    Returns
    -------
    DataFrame
        ``rank, moved, was, item_id, title, probability, before``. `was` and `before` are the rank
        and the probability before the edit. `moved` says how the rank changed: ``"▲ 3"``,
        ``"▼ 1"``, ``"="``, ``"new"`` for an item that stood below the list, and ``"dropped"`` for
        one that had been used and so had no rank (`was` is missing).

    Raises
    ------
    DataError
        If a user or item is unknown, or a rating is outside the scale.
    """
    return WhatIf(bundle, user, add=add, drop=drop, k=k).table


def list_by_list(
    bundle: Bundle, clicks: Sequence[Any], *, profile: Mapping[str, Any] | None = None, k: int = 10
) -> pd.DataFrame:
    """Return the lists of a newcomer, before the first item used and after each.

    Parameters
    ----------
    bundle : Bundle
    clicks : sequence of item ids
        What is used, one after the other.
    profile : mapping of column name to value, optional
    k : int
        Length of a list.

    Returns
    -------
    DataFrame
        The rows of `Bundle.recommend` with ``step``, 0 to the number of clicks, ``clicked``, the
        title of the latest, and ``stayed``: whether the item was on the list before.

    Raises
    ------
    DataError
        If an item or something of the profile is unknown.
    """
    clicks = _known(bundle, clicks)
    titles = ["", *_titles(bundle, clicks)]
    lists: list[pd.DataFrame] = []
    for step, title in enumerate(titles):
        now = bundle.recommend(history=clicks[:step] or None, profile=profile, k=k)
        before = lists[-1]["item_id"] if lists else []
        now.insert(0, "step", step)
        now.insert(1, "clicked", title)
        lists.append(now.assign(stayed=now["item_id"].isin(before)))
    return pd.concat(lists, ignore_index=True)


def what_if(
    bundle: Bundle,
    user: Any,
    *,
    add: Mapping[Any, float] | None = None,
    drop: Iterable[Any] = (),
    k: int = 10,
) -> "WhatIf":
    """Show `list_change`; in a front end with controls to edit the history further.

    Parameters
    ----------
    bundle, user, add, drop, k
        As of `list_change`; the controls begin with this edit, and reset to it.

    Returns
    -------
    WhatIf
        Shows itself as the last line of a cell; ``table`` is the DataFrame of `list_change`.
    """
    return WhatIf(bundle, user, add=add, drop=drop, k=k)


class WhatIf:
    """A person's list under an edited history; made by `what_if`.

    Parameters
    ----------
    bundle, user, add, drop, k
        As of `list_change`.

    Attributes
    ----------
    history : dict
        Rating by item id as the data has it, best first.
    add : dict
        Rating by item id: what is used as well, or rated anew.
    drop : set
        Items of the history that are taken out.
    """

    def __init__(
        self,
        bundle: Bundle,
        user: Any,
        *,
        add: Mapping[Any, float] | None = None,
        drop: Iterable[Any] = (),
        k: int = 10,
    ) -> None:
        self.bundle, self.k = bundle, k
        self.user = bundle.dataset.user_ids[find_id(bundle.dataset.user_ids, user, "user")]
        known = history_of(bundle, self.user)
        self.history = dict(zip(known["item_id"], known["value"], strict=True))
        # The whole catalog: what is on the list now may have stood far down before.
        before = bundle.recommend(self.user, k=bundle.dataset.n_items)
        self._before = before.set_index("item_id")[["rank", "probability", "title"]]
        self._start = (dict(add or {}), list(drop))
        self.reset()

    def reset(self) -> None:
        """Go back to the edit that this began with."""
        self.add: dict[Any, float] = {}
        self.drop: set[Any] = set()
        add, drop = self._start
        for item in _known(self.bundle, drop):
            self.remove(item)
        for item, value in zip(_known(self.bundle, add), add.values(), strict=True):
            self.rate(item, value)

    def rate(self, item: Any, value: float = 1.0) -> None:
        """Let the person have used an item of the dataset, with this rating."""
        low, high = self.bundle.dataset.rating_scale or (-np.inf, np.inf)
        if not low <= value <= high:
            raise DataError(
                f"The rating of {item!r} must be from {low:g} to {high:g}; got {value!r}. "
                "Choose one on the scale."
            )
        self.drop.discard(item)
        self.add.pop(item, None)
        if self.history.get(item) != value:
            self.add[item] = float(value)

    def remove(self, item: Any) -> None:
        """Let the person not have used an item of the dataset."""
        self.add.pop(item, None)
        if item in self.history:
            self.drop.add(item)

    @property
    def edited(self) -> dict[Any, float]:
        """The history after the edit, rating by item id."""
        kept = {item: float(value) for item, value in self.history.items() if item not in self.drop}
        return kept | self.add

    @property
    def table(self) -> pd.DataFrame:
        """What `list_change` returns."""
        after = self.bundle.recommend(self.user, history=self.edited, k=self.k)
        before = self._before.reindex(after["item_id"])
        table = after[["rank", "item_id", "title", "probability"]].copy()
        table.insert(1, "was", before["rank"].astype("Int64").array)
        ranks = zip(table["rank"], table["was"], strict=True)
        table.insert(1, "moved", [self._moved(rank, was) for rank, was in ranks])
        table["before"] = before["probability"].to_numpy()
        return table

    def _moved(self, rank: int, was: Any) -> str:
        if pd.isna(was):
            return "dropped"
        if was > self.k:
            return "new"
        if was == rank:
            return "="
        return f"▲ {was - rank:.0f}" if was > rank else f"▼ {rank - was:.0f}"

    @cached_property
    def names(self) -> dict[Any, str]:
        """Title and id of each item of the dataset, by id; the id alone where no title is."""
        ids = self.bundle.dataset.item_ids
        pairs = zip(ids, self.bundle._titles, strict=True)
        return {one: title if title == str(one) else f"{title} · {one}" for one, title in pairs}

    @property
    def summary(self) -> str:
        """What was edited, in words."""
        names = dict(zip(self.edited, _titles(self.bundle, self.edited), strict=True))
        scale = self.bundle.dataset.rating_scale
        parts = [f"without {title}" for title in _titles(self.bundle, self.drop)]
        for item, value in self.add.items():
            was = f" instead of {self.history[item]:g}" if item in self.history else ""
            rated = f" ({value:g}{was})" if scale else ""
            parts.append(f"with {names[item]}{rated}")
        return "What if: " + "; ".join(parts) if parts else "The history as it is"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        table = self.table
        listed = self._before[self._before["rank"] <= self.k]
        gone = listed[~listed.index.isin(table["item_id"])]
        left = [
            f"{title} (was {rank})" for title, rank in zip(gone["title"], gone["rank"], strict=True)
        ]
        last = f"No longer listed: {'; '.join(left)}" if left else "Nothing left the list"
        shown = formatted(table)
        above, below = (f"<p>{html.escape(one)}.</p>" for one in (self.summary, last))
        return {
            "text/html": above + shown._repr_html_() + below,
            "text/plain": f"{self.summary}.\n\n{shown!r}\n\n{last}.",
        }

    def _ipython_display_(self) -> None:
        if not has_front_end():
            raise NotImplementedError  # IPython then takes the static view
        from IPython.display import display

        controls = Controls(self)
        if any(name.startswith("VOILA_") for name in os.environ):
            # Voila shows no output that comes after the page, only widgets that change.
            import ipywidgets as widgets

            page = widgets.HTML()
            controls.show = lambda view: setattr(page, "value", view["text/html"])
            controls.show(self._repr_mimebundle_())
            display(widgets.VBox([controls.box, page]))
            return
        display(controls.box)
        # An output of its own: it is saved with the notebook, where widgets are not.
        handle = display(self._repr_mimebundle_(), raw=True, display_id=True)
        controls.show = lambda view: handle.update(view, raw=True)


def _known(bundle: Bundle, ids: Iterable[Any]) -> list[Any]:
    """Return item ids as the dataset has them; `DataError` names an unknown one."""
    known = bundle.dataset.item_ids
    return known.take(find_ids(known, ids, "item")).tolist()


def _titles(bundle: Bundle, ids: Iterable[Any]) -> list[str]:
    """Return titles of items, their ids where there is none."""
    return bundle._titles.take(find_ids(bundle.dataset.item_ids, ids, "item")).tolist()


class Controls:
    """Widgets that edit a `WhatIf`: a search, the matches, a rating, and buttons.

    Parameters
    ----------
    edit : WhatIf

    Attributes
    ----------
    box : ipywidgets.VBox
    show : callable
        Told the new view, as a MIME bundle, after each edit.
    """

    def __init__(self, edit: WhatIf) -> None:
        import ipywidgets as widgets

        self.edit = edit
        self.show: Any = lambda _: None
        dataset = edit.bundle.dataset
        self._folded = [(name.casefold(), item) for item, name in edit.names.items()]
        self.search = widgets.Text(placeholder="Search titles and ids", layout={"width": "auto"})
        # As wide as the longest label: a native list cuts what is wider.
        wide = {"width": "max-content", "min_width": "calc(100% - 4px)"}
        self.matches = widgets.Select(rows=8, layout=wide)
        self.found = widgets.HTML()
        low, high = dataset.rating_scale or (1.0, 1.0)
        step = _step(dataset.user_items.data)
        self.rating = widgets.FloatSlider(
            value=high,
            min=low,
            max=high,
            step=step,
            description="rating",
            readout_format=".0f" if step.is_integer() else ".2f",
        )
        self.use = widgets.Button(description="Add")
        self.leave = widgets.Button(description="Drop")
        self.back = widgets.Button(description="Reset")
        self.search.observe(lambda _: self._find(), names="value")
        self.matches.observe(lambda _: self._choose(), names="value")
        self.use.on_click(lambda _: self._rate())
        self.leave.on_click(lambda _: self._apply(self.edit.remove))
        self.back.on_click(lambda _: self._apply(lambda _item: self.edit.reset()))
        rating = [self.rating] if dataset.rating_scale else []
        self.box = widgets.VBox(
            [
                self.search,
                widgets.Box([self.matches], layout={"overflow": "auto"}),
                self.found,
                widgets.HBox([*rating, self.use, self.leave, self.back]),
            ]
        )
        self._find()

    def _find(self) -> None:
        """List what matches all words of the search; the history where nothing is searched."""
        words = self.search.value.casefold().split()
        if words:
            every = [item for name, item in self._folded if all(word in name for word in words)]
            found = every[:_MATCHES]
            shown = f"; the first {_MATCHES} are shown" if len(every) > _MATCHES else ""
            of = f"{len(every):,} matches{shown}" if every else "Nothing matches"
        else:
            found = [*(item for item in self.edit.add if item not in self.edit.history)]
            found += self.edit.history
            of = f"The history, {len(found):,} items; search for others to add"
        self.found.value = html.escape(of)
        chosen = self.matches.value
        self.matches.options = [(self._label(item), item) for item in found]
        self.matches.value = chosen if chosen in found else None
        self._choose()

    def _label(self, item: Any) -> str:
        edit = self.edit
        if item in edit.drop:
            return f"{self.edit.names[item]} (dropped)"
        if item not in edit.edited:
            return self.edit.names[item]
        rated = f" {edit.edited[item]:g}" if edit.bundle.dataset.rating_scale else ""
        return f"{self.edit.names[item]} ({'added' if item in edit.add else 'used'}{rated})"

    def _choose(self) -> None:
        item = self.matches.value
        used = item in self.edit.edited
        rated = bool(self.edit.bundle.dataset.rating_scale)
        self.use.description = "Rate" if used and rated else "Add"
        self.use.disabled = item is None or (used and not rated)
        self.leave.disabled = not used
        if used and rated:
            self.rating.value = self.edit.edited[item]

    def _rate(self) -> None:
        self._apply(lambda item: self.edit.rate(item, self.rating.value))

    def _apply(self, change: Any) -> None:
        change(self.matches.value)
        self._find()
        self.show(self.edit._repr_mimebundle_())


def _step(ratings: Any) -> float:
    """Return the step of a slider: the smallest gap of the ratings, at most a hundred steps."""
    levels = np.unique(ratings)
    if len(levels) < 2:
        return 1.0
    return float(max(np.diff(levels).min(), (levels[-1] - levels[0]) / 100))
