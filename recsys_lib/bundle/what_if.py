"""What if this person had used something else: a list, and in JupyterLab controls to edit it."""

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from recsys_lib.bundle.bundle import Bundle
from recsys_lib.checks import check_integer
from recsys_lib.formatting import table as formatted
from recsys_lib.naming import find_id, find_ids, folded
from recsys_lib.progress import has_front_end, in_voila

#: Matches of a search that are shown, and changes that are told.
_MATCHES, _TOLD = 20, 5


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
    titles = ["", *bundle._titles[bundle.dataset.item_positions(clicks)]]
    lists: list[pd.DataFrame] = []
    for step, title in enumerate(titles):
        now = bundle.recommend(history=clicks[:step] or None, profile=profile, k=k)
        before = lists[-1]["item_id"] if lists else []
        now.insert(0, "step", step)
        now.insert(1, "clicked", title)
        lists.append(now.assign(stayed=now["item_id"].isin(before)))
    return pd.concat(lists, ignore_index=True)


class WhatIf:
    """The list of a person whose history is edited, and where its items stood before.

    Shows itself as the last line of a cell; in a front end there are controls to edit the history
    further. `what_if` is its name in notebooks.

    Parameters
    ----------
    bundle : Bundle
    user : id, optional
        A visitor, who has used nothing so far, by default.
    add : mapping of item id to rating, optional
        Items this person is to have used as well; one in the history is rated anew. The controls
        begin with this edit, and reset to it.
    drop : iterable of item ids
        Items this person is never to have used.
    k : int
        Length of the list.

    Raises
    ------
    DataError
        If a user or item is unknown, or a rating is outside the scale.

    Attributes
    ----------
    history : dict
        Rating by item id as the data has it, best first.
    edited : dict
        The same after the edit.
    """

    def __init__(
        self,
        bundle: Bundle,
        user: Any = None,
        *,
        add: Mapping[Any, float] | None = None,
        drop: Iterable[Any] = (),
        k: int = 10,
    ) -> None:
        check_integer("k", k, minimum=1)  # later it would be an error of the display
        self.bundle, self.k = bundle, k
        self.user: Any = None
        self.profile: Mapping[str, Any] | None = None
        self.rules: dict[str, Any] = {}
        self.history: dict[Any, float] = {}
        if user is not None:
            dataset = bundle.dataset
            position = find_id(dataset.user_ids, user, "user")
            self.user, row = dataset.user_ids[position], dataset.user_items[[position]]
            best = np.argsort(-row.data, kind="stable")
            items = dataset.item_ids.take(row.indices[best])
            self.history = dict(zip(items, row.data[best].tolist(), strict=True))
        self.edited = self.history
        for item in _known(bundle, drop):
            self.remove(item)
        for item, value in zip(_known(bundle, add or {}), (add or {}).values(), strict=True):
            self.rate(item, value)
        self._start = self.edited

    def reset(self) -> None:
        """Go back to the edit that this began with."""
        self.edited = self._start

    def turn(self, *, profile: Mapping[str, Any] | None, rules: Mapping[str, Any]) -> None:
        """Ask by another profile, None for the user's own, and by other rules."""
        self.profile, self.rules = profile, dict(rules)
        self.__dict__.pop("_before", None)

    def rate(self, item: Any, value: float = 1.0) -> None:
        """Let the person have used an item of the dataset, with this rating."""
        self.edited = self.edited | {item: self.bundle._requests.rating(item, value)}

    def remove(self, item: Any) -> None:
        """Let the person not have used an item of the dataset."""
        self.edited = {one: value for one, value in self.edited.items() if one != item}

    @property
    def add(self) -> dict[Any, float]:
        """Rating by item id: what is used as well, or rated anew."""
        history = self.history
        return {one: value for one, value in self.edited.items() if history.get(one) != value}

    @property
    def drop(self) -> list[Any]:
        """Items of the history that are taken out."""
        return [item for item in self.history if item not in self.edited]

    @cached_property
    def _before(self) -> pd.DataFrame:
        """The list as it was before the edit, by item id."""
        # The whole catalog: what is on the list now may have stood far down before. A varied list
        # is chosen from the best, and its order further down means nothing.
        varied = self.rules.get("diversity") or self.rules.get("limit_per")
        k = self.k if varied else self.bundle.dataset.n_items
        before = self._ask(self.history, k, because=False)
        return before.set_index("item_id")[["rank", "probability", "title"]]

    def _ask(self, history: Mapping[Any, float], k: int, *, because: bool) -> pd.DataFrame:
        asked = {"user": self.user, "history": history, "profile": self.profile}
        found = self.bundle.recommend_many([asked], k=k, because=because, **self.rules)
        return found.reset_index(drop=True)

    @property
    def listed(self) -> pd.DataFrame:
        """The list, as of `Bundle.recommend`, with what `table` says of ranks."""
        after = self._ask(self.edited, self.k, because=True)
        before = self._before.reindex(after["item_id"])
        after.insert(1, "was", before["rank"].astype("Int64").array)
        rows = zip(after["rank"], after["was"], after["item_id"], strict=True)
        after.insert(1, "moved", [self._moved(*row) for row in rows])
        return after.assign(before=before["probability"].to_numpy())

    @property
    def table(self) -> pd.DataFrame:
        """The list after the edit, and where its items stood before.

        ``rank, moved, was, item_id, title, probability, before``. `was` and `before` are the rank
        and the probability before the edit. `moved` says how the rank changed: ``"▲ 3"``,
        ``"▼ 1"``, ``"="``, ``"new"`` for an item that stood below the list, and ``"dropped"`` for
        one that had been used and so had no rank (`was` is missing).
        """
        columns = ["rank", "moved", "was", "item_id", "title", "probability", "before"]
        return self.listed[columns]

    def _moved(self, rank: int, was: Any, item: Any) -> str:
        if item in self.history:
            return "dropped"
        if pd.isna(was) or was > self.k:
            return "new"
        if was == rank:
            return "="
        return f"▲ {was - rank:.0f}" if was > rank else f"▼ {rank - was:.0f}"

    @cached_property
    def names(self) -> dict[Any, str]:
        """Title and id of each item of the dataset, by id; the id alone where no title is."""
        titles = self._titles.items()
        return {one: title if title == str(one) else f"{title} · {one}" for one, title in titles}

    @cached_property
    def _titles(self) -> dict[Any, str]:
        return dict(zip(self.bundle.dataset.item_ids, self.bundle._titles, strict=True))

    @property
    def summary(self) -> str:
        """What was edited, in words."""
        scale = self.bundle.dataset.rating_scale
        parts = [f"without {self._titles[item]}" for item in self.drop]
        for item, value in self.add.items():
            was = f" instead of {self.history[item]:g}" if item in self.history else ""
            rated = f" ({value:g}{was})" if scale else ""
            parts.append(f"with {self._titles[item]}{rated}")
        parts[_TOLD:] = [f"and {len(parts) - _TOLD} more"] * (len(parts) > _TOLD)
        return "What if: " + "; ".join(parts) if parts else "The history as it is"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        table = self.table
        listed = self._before[self._before["rank"] <= self.k]
        gone = listed[~listed.index.isin(table["item_id"])]
        left = [f"{row.title} (was {row.rank})" for row in gone.itertuples()]
        last = f"No longer listed: {'; '.join(left)}" if left else "Nothing left the list"
        shown = formatted(table)
        above, below = (f"<p>{html.escape(one)}.</p>" for one in (self.summary, last))
        return {
            "text/html": above + shown._repr_html_() + below,
            "text/plain": f"{self.summary}.\n\n{shown!r}\n\n{last}.",
        }

    def _ipython_display_(self) -> None:
        if not has_front_end() or in_voila():  # which shows no output that comes later
            raise NotImplementedError  # IPython then takes the static view
        from IPython.display import display

        controls = Controls(self)
        display(controls.box)
        controls.changed = shown_below(self._repr_mimebundle_)


what_if = WhatIf


def shown_below(view: Callable[[], dict[str, str]]) -> Callable[[], None]:
    """Show a MIME bundle in an output of its own, and return what shows the one of then.

    It is saved with the notebook, where widgets are not.
    """
    from IPython.display import display

    handle = display(view(), raw=True, display_id=True)
    return lambda: handle.update(view(), raw=True)


def _known(bundle: Bundle, ids: Iterable[Any]) -> list[Any]:
    """Return item ids as the dataset has them; `DataError` names an unknown one."""
    known = bundle.dataset.item_ids
    return known.take(find_ids(known, ids, "item")).tolist()


class Search:
    """Widgets to find something by typing: a text, and a list of what matches all its words.

    Parameters
    ----------
    names : mapping of id to str
        What is searched.
    what : str
        What they are the names of, as in "titles and ids".
    rows : int
        How many matches are in sight.

    Attributes
    ----------
    search : ipywidgets.Text
    matches : ipywidgets.Select
        The first of what matches; its value is an id, or None.
    found : ipywidgets.HTML
        How many match.
    parts : list
        The three, from above.
    """

    def __init__(self, names: Mapping[Any, str], what: str, *, rows: int = 8) -> None:
        import ipywidgets as widgets

        self.names = names
        self._folded = [(folded(name), one) for one, name in names.items()]
        look = {"style": {"description_width": "4em"}}
        self.search = widgets.Text(
            placeholder=f"Search {what}", description="search", layout={"width": "auto"}, **look
        )
        # As wide as the longest label: a native list cuts what is wider.
        wide = {"width": "max-content", "min_width": "calc(100% - 4px)"}
        self.matches = widgets.Select(rows=rows, description="found", layout=wide, **look)
        self.found = widgets.HTML()
        self.search.observe(lambda _: self.find(), names="value")
        self.matches.observe(lambda _: self._choose(), names="value")
        box = widgets.Box([self.matches], layout={"overflow": "auto"})
        self.parts = [self.search, box, self.found]

    def find(self) -> None:
        """List what matches all words of the search, or what stands there unasked."""
        if words := folded(self.search.value).split():
            every = [one for name, one in self._folded if all(word in name for word in words)]
            found, n = every[:_MATCHES], len(every)
            shown = f"; the first {_MATCHES} are shown" if n > _MATCHES else ""
            of = f"{n:,} {'match' if n == 1 else 'matches'}{shown}" if n else "Nothing matches"
        else:
            found, of = self._unasked()
        self.found.value = f'<span role="status">{html.escape(of)}</span>'
        chosen = self.matches.value
        self.matches.options = [(self._label(one), one) for one in found]
        self.matches.value = chosen if chosen in found else None
        self._choose()

    def _unasked(self) -> tuple[list[Any], str]:
        """Return what is listed where nothing is searched, and what it is."""
        return list(self.names)[:_MATCHES], f"{len(self.names):,} in all; search for others"

    def _label(self, one: Any) -> str:
        return self.names[one]

    def _choose(self) -> None:
        """Follow a choice among the matches."""


class Controls(Search):
    """Widgets that edit a `WhatIf`: a search, the matches, a rating, and buttons.

    Parameters
    ----------
    edit : WhatIf

    Attributes
    ----------
    box : ipywidgets.VBox
    changed : callable
        Called after each edit.
    """

    def __init__(self, edit: WhatIf) -> None:
        import ipywidgets as widgets

        super().__init__(edit.names, "titles and ids")
        self.edit = edit
        self.changed: Callable[[], None] = lambda: None
        dataset = edit.bundle.dataset
        low, high = dataset.rating_scale or (1.0, 1.0)
        step = _step(dataset.user_items.data)
        self.rating = widgets.FloatSlider(
            value=high,
            min=low,
            max=high,
            step=step,
            description="rating",
            tooltip="rating",
            readout_format=".0f" if step.is_integer() else ".2f",
        )
        self.use = widgets.Button(description="Add")
        self.leave = widgets.Button(description="Drop")
        self.back = widgets.Button(description="Reset")
        self.use.on_click(lambda _: self.rate(self.matches.value))
        self.leave.on_click(lambda _: self._apply(lambda: self.edit.remove(self.matches.value)))
        self.back.on_click(lambda _: self._apply(lambda: self.edit.reset()))
        rating = [self.rating] if dataset.rating_scale else []
        buttons = widgets.HBox(
            [*rating, self.use, self.leave, self.back], layout={"flex_flow": "row wrap"}
        )
        self.box = widgets.VBox([*self.parts, buttons])
        self.find()

    def _unasked(self) -> tuple[list[Any], str]:
        edit = self.edit
        found = [*(item for item in edit.add if item not in edit.history), *edit.history]
        items = f"{len(found):,} item{'s' * (len(found) != 1)}"
        return found, f"The history, {items}; search for others to add"

    def _label(self, item: Any) -> str:
        edit = self.edit
        if item in edit.drop:
            return f"{self.names[item]} (dropped)"
        if item not in edit.edited:
            return self.names[item]
        rated = f" {edit.edited[item]:g}" if edit.bundle.dataset.rating_scale else ""
        return f"{self.names[item]} ({'added' if item in edit.add else 'used'}{rated})"

    def _choose(self) -> None:
        item = self.matches.value
        used = item in self.edit.edited
        rated = bool(self.edit.bundle.dataset.rating_scale)
        self.use.description = "Rate" if used and rated else "Add"
        self.use.disabled = item is None or (used and not rated)
        self.leave.disabled = not used
        if used and rated:
            self.rating.value = self.edit.edited[item]

    def rate(self, item: Any) -> None:
        """Let the person have used an item, with the rating of the slider."""
        self._apply(lambda: self.edit.rate(item, self.rating.value))

    def _apply(self, change: Callable[[], None]) -> None:
        change()
        self.find()
        self.changed()


def _step(ratings: Any) -> float:
    """Return the step of a slider: the smallest gap of the ratings, at most a hundred steps."""
    levels = np.unique(ratings)
    return float(max(np.diff(levels).min(initial=1.0), np.ptp(levels) / 100))
