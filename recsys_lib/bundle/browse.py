"""A page to browse what a bundle recommends: whom for, the list as cards, filters, and why."""

import html
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recsys_lib.bundle.bundle import RUNGS, Bundle
from recsys_lib.bundle.rules import is_ordered
from recsys_lib.bundle.what_if import Controls, Search, WhatIf, shown_below
from recsys_lib.checks import Doubles, Ints
from recsys_lib.coldstart.content import TEXT
from recsys_lib.coldstart.profile import is_tags, tags_of
from recsys_lib.dataset import Dataset
from recsys_lib.exploration import flat_map
from recsys_lib.formatting import table as formatted
from recsys_lib.progress import has_front_end, in_voila

# Values of a column that one can choose among; a column with more is no filter.
_CHOICES = 40
# Items that lie on the map by themselves; the others lie among the nearest of them.
_LANDMARKS, _NEAREST = 300, 3
_SIMILAR, _REASONS = 5, 8
_WIDE = {"description_width": "9em"}
_SOMEBODY, _VISITOR = "Somebody in the data", "A visitor"

_FOLDER = Path(__file__).with_name("page")


def browse(bundle: Bundle, user: Any = None, *, k: int = 10) -> "Browse":
    """Show a list; in JupyterLab and Voila as cards, with controls for all that may be asked.

    Whom it is for, what they have used, filters by the columns of the catalog and how varied the
    list is can be changed there, and every item says why it is listed, what is like it, and where
    it lies on the map of all items.

    Parameters
    ----------
    bundle : Bundle
    user : id, optional
        Whose list comes first; a visitor's by default.
    k : int
        Length of the list.

    Returns
    -------
    Browse
        Shows itself as the last line of a cell; ``table`` is the list as a DataFrame.

    Examples
    --------
    >>> from recsys_lib.dataset import Dataset
    >>> from recsys_lib.models import Popularity
    >>> frame = pd.DataFrame({"user_id": ["ann", "ann", "bob"], "item_id": ["x", "y", "x"]})
    >>> dataset = Dataset.from_frame(frame, value=None)
    >>> page = browse(Bundle(model=Popularity().fit(dataset.user_items), dataset=dataset), "bob")
    >>> page.table["item_id"].tolist()
    ['y']
    """
    return Browse(bundle, user, k=k)


def unknowns(bundle: Bundle) -> list[str]:
    """Return what a bundle cannot say for want of data, in sentences.

    Parameters
    ----------
    bundle : Bundle

    Returns
    -------
    list of str
        Empty where nothing is missing.
    """
    dataset, said = bundle.dataset, []
    if dataset.items is None or "title" not in dataset.items:
        said.append("Items have no titles; their ids stand in the place of them.")
    elif untitled := int(dataset.items["title"].isna().sum()):
        said.append(f"Of {dataset.n_items:,} items {untitled:,} have no title; ids stand for them.")
    if not choices(dataset.items):
        said.append("The catalog has no column to filter by.")
    if dataset.users is None:
        said.append("No profiles are known, so a visitor gets what is popular until they use it.")
    if bundle.calibrator is None:
        said.append("The model was not calibrated: where it answers, probabilities are unknown.")
    return said


def contributions(bundle: Bundle, history: Mapping[Any, float], item: Any) -> pd.DataFrame:
    """Return how much each item of a history speaks for another item, most first.

    Parameters
    ----------
    bundle : Bundle
    history : mapping of item id to rating
    item : id

    Returns
    -------
    DataFrame
        ``item_id, title, gain``: by how much the model's score would drop without that item of the
        history. Of 256 items and more, a model without a formula is asked about the 255 most like
        the one; the others are 0.

    Raises
    ------
    DataError
        If an item is unknown, or a rating is outside the scale.
    """
    dataset = bundle.dataset
    seen = bundle._requests.people(bundle._requests.questions([{"history": history}])).seen
    gains = bundle._answerer.gains_of(seen, dataset.item_positions([item]))[:, 0]
    ids = dataset.item_ids.take(seen.indices)
    found = pd.DataFrame({"item_id": ids, "title": bundle._titles.take(seen.indices)})
    found["gain"] = gains
    return found.sort_values("gain", ascending=False, kind="stable", ignore_index=True)


def item_places(bundle: Bundle, *, seed: int = 0) -> Doubles:
    """Place the items in the plane: near ones are alike to the model, or used by the same people.

    Parameters
    ----------
    bundle : Bundle
    seed : int

    Returns
    -------
    ndarray of shape (n_items, 2), float64

    Notes
    -----
    The 300 items that are used most are placed by `exploration.flat_map`, which takes a second, and
    each other item in the middle of the three of them that are nearest.
    """
    dataset = bundle.dataset
    order = _most_used(dataset)
    landmarks, others = order[:_LANDMARKS], order[_LANDMARKS:]
    alike = bundle._answerer.model.item_similarity(landmarks.tolist())
    if alike is None:
        alike = (bundle._columns[landmarks] @ bundle._columns.T).toarray()
    places = np.empty((dataset.n_items, 2))
    places[landmarks] = flat_map(alike[:, landmarks], seed=seed)
    nearest = np.argsort(-alike[:, others], axis=0)[:_NEAREST]
    places[others] = places[landmarks][nearest].mean(axis=0)
    return places


def _most_used(dataset: Dataset) -> Ints:
    user_items = dataset.user_items
    uses = np.bincount(user_items.indices, minlength=user_items.shape[1])
    return np.argsort(-uses, kind="stable")


def choices(table: pd.DataFrame | None) -> dict[str, list[tuple[str, Any]]]:
    """Return the columns of a catalog or of profiles to choose in, and their values.

    Parameters
    ----------
    table : DataFrame, optional

    Returns
    -------
    dict
        Label and value of each choice, by column; of tags, each one. Text, and columns with more
        than 40 values that are no numbers, are left out; of many numbers 40 are offered.

    Examples
    --------
    >>> choices(pd.DataFrame({"title": ["a", "b"], "track": ["NET", "SEC"], "minutes": [90, 45]}))
    {'track': [('NET', 'NET'), ('SEC', 'SEC')], 'minutes': [('45', 45), ('90', 90)]}
    """
    found: dict[str, list[tuple[str, Any]]] = {}
    if table is None:
        return {}
    for name in table.columns.difference(TEXT, sort=False):
        values = table[name].dropna()
        try:
            if is_tags(values):
                values = pd.Series([tag for value in values for tag in tags_of(value)])
            levels = values.drop_duplicates().sort_values()
        except TypeError:  # a column that nobody can choose in
            continue
        if is_ordered(values) and len(levels) > _CHOICES:
            levels = levels.iloc[np.linspace(0, len(levels) - 1, _CHOICES).round().astype(int)]
        if 1 < len(levels) <= _CHOICES:
            found[str(name)] = [(_words(one), one) for one in levels.tolist()]
    return found


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, pd.Timestamp):
        return str(value.tz_localize(None)).removesuffix(" 00:00:00")
    return f"{value:.10g}" if isinstance(value, float) else str(value)


class Browse:
    """A list with all that may be asked of it; made by `browse`.

    Parameters
    ----------
    bundle, user, k
        As of `browse`.

    Attributes
    ----------
    edit : WhatIf
        The person, what they have used, and the rules; another one when another person is chosen.
    """

    def __init__(self, bundle: Bundle, user: Any = None, *, k: int = 10) -> None:
        self.edit = WhatIf(bundle, user, k=k)

    @property
    def table(self) -> pd.DataFrame:
        """The list, with reasons; see `Bundle.recommend`."""
        columns = ["rank", "item_id", "title", "probability", "rung", "because"]
        return self.edit.listed[columns]

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        shown = formatted(self.table)
        notes = " ".join(unknowns(self.edit.bundle))
        return {
            "text/html": f"{shown._repr_html_()}<p>{html.escape(notes)}</p>",
            "text/plain": f"{shown!r}\n\n{notes}",
        }

    def _ipython_display_(self) -> None:
        if not has_front_end():
            raise NotImplementedError  # IPython then takes the static view
        from IPython.display import display

        page = Page(self)
        display(page.box)
        if not in_voila():
            page.show = shown_below(lambda: _folded(self))


def _folded(page: Browse) -> dict[str, str]:
    view = page._repr_mimebundle_()
    kept = f"<details><summary>As saved with the notebook</summary>{view['text/html']}</details>"
    return view | {"text/html": kept}


@cache
def _views() -> Any:
    """The HTML of what changes; `autoescape` makes text of whatever users wrote."""
    from jinja2 import Environment

    source = (_FOLDER / "page.html.j2").read_text(encoding="utf-8")
    return Environment(autoescape=True).from_string(source).module


class Page:
    """Widgets around a list: whom it is for, what they have used, filters, and a card an item.

    Parameters
    ----------
    browse : Browse

    Attributes
    ----------
    box : ipywidgets.VBox
    item : id or None
        Whose card is open.
    listed : DataFrame
        As of `WhatIf.listed`.
    show : callable
        Called after each change.
    """

    def __init__(self, browse: Browse) -> None:
        import ipywidgets as widgets

        self.browse, self.bundle = browse, browse.edit.bundle
        self.item: Any = None
        self.show: Callable[[], Any] = lambda: None
        self.places = ThreadPoolExecutor(1).submit(item_places, self.bundle)
        self.controls = Controls(browse.edit)
        self.controls.changed = self.refresh
        self.people = _People(self.bundle.dataset.user_ids, self._meet)
        self.who = widgets.RadioButtons(options=[_SOMEBODY, _VISITOR], layout={"width": "auto"})
        self.who.value = _VISITOR if browse.edit.user is None else _SOMEBODY
        self.profile = _questions(self.bundle.dataset.users, _choice)
        self.where = _questions(self.bundle.dataset.items, _filter)
        self.diversity = widgets.FloatSlider(
            min=0, max=1, step=0.1, description="variety", readout_format=".1f", style=_WIDE
        )
        self.diversity.tooltip = "0 lists the best; above, what is like others is held back"
        self.diversity.continuous_update = False
        self.status = widgets.HTML()
        self.cards = [_Card(self) for _ in range(browse.edit.k)]
        self.box = self._laid_out()
        self.who.observe(lambda _: self._meet(self.people.matches.value), names="value")
        for one in [*self.profile.values(), *self.where.values(), self.diversity]:
            one.observe(lambda _: self._ask(), names="value")
        self._meet(browse.edit.user)

    def _laid_out(self) -> Any:
        import ipywidgets as widgets

        def column(title: str, *parts: Any, flex: str = "0 0 auto") -> Any:
            head = widgets.HTML(f"<div class='rs-page'><h2>{title}</h2></div>")
            return widgets.VBox([head, *parts], layout={"flex": flex, "min_width": "0"})

        dataset = self.bundle.dataset
        facts = f"{dataset.n_users:,} people and {dataset.n_items:,} items"
        notes = [f"{type(self.bundle.model).__name__} of {facts}.", *unknowns(self.bundle)]
        about = widgets.HTML(f"<div class='rs-page'><small>{' '.join(notes)}</small></div>")
        self.known = widgets.VBox(self.people.parts)
        self.told = widgets.VBox(list(self.profile.values()))
        person = column("Whom for?", self.who, self.known, self.told)
        used = column("What have they used?", self.controls.box)
        asked = column("What may be listed?", *self.where.values(), self.diversity, about)
        asked = widgets.VBox([used, asked], layout={"flex": "1 1 300px", "min_width": "0"})
        asked.add_class("rs-asked")
        listed = column("The list", self.status, *(one.box for one in self.cards), flex="2 1 360px")
        wrap = {"flex_flow": "row wrap", "grid_gap": "8px 28px"}
        columns = widgets.HBox([asked, listed], layout=wrap)
        style = widgets.HTML(f"<style>{(_FOLDER / 'page.css').read_text(encoding='utf-8')}</style>")
        return widgets.VBox([style, person, columns]).add_class("rs-browse")

    def _meet(self, user: Any) -> None:
        """Turn to a person, or to a visitor who has used nothing so far."""
        visitor, before = self.who.value == _VISITOR, self.browse.edit
        for part, hidden in ((self.known, visitor), (self.told, not visitor)):
            part.layout.display = "none" if hidden else ""
        known = [user, before.user, self.bundle.dataset.user_ids[0]]
        user = None if visitor else next(one for one in known if one is not None)
        edit = before if user == before.user else WhatIf(self.bundle, user, k=before.k)
        self.browse.edit = self.controls.edit = edit
        self.controls.find()
        self._ask()

    def _ask(self) -> None:
        """Take over the profile and the rules."""
        told, where = _answers(self.profile), _answers(self.where)
        profile = told if self.who.value == _VISITOR and told else None
        rules = {"where": where, "diversity": self.diversity.value}
        self.browse.edit.turn(profile=profile, rules=rules)
        self.refresh()

    def refresh(self) -> None:
        """Show the list, and what is in the open card."""
        edit, users = self.browse.edit, self.bundle.dataset.users
        self.listed = edit.listed
        profile = edit.profile or {}
        if edit.user is not None and users is not None:
            profile = users.loc[edit.user].dropna().to_dict()
        name = _VISITOR if edit.user is None else edit.user
        who = " · ".join([str(name), *map(_words, profile.values())])
        known = [{"known": one} for one in self.listed["probability"].notna()]
        self.status.value = _views().status(who, len(edit.edited), edit.summary, edit.k, known)
        self._fill()
        self.show()

    def _fill(self) -> None:
        for card, row in zip_longest(self.cards, self.listed.to_dict("records")):
            card.fill(row)

    def open(self, item: Any) -> None:
        """Open the card of an item, or close it where it is open."""
        self.item = None if item == self.item else item
        self._fill()

    def why(self, row: Mapping[str, Any]) -> str:
        """Return what an open card says of an item: what speaks for it, what is like it, a map."""
        gains = pd.DataFrame()
        if row["rung"].startswith(RUNGS[0]):
            gains = contributions(self.bundle, self.browse.edit.edited, row["item_id"])
            sizes = gains["gain"].abs()
            gains["share"] = sizes / sizes.max()
            gains = gains[gains.index.isin(sizes[sizes > 0].nlargest(_REASONS).index)]
        similar = self.bundle.similar(row["item_id"], k=_SIMILAR).to_dict("records")
        return str(_views().why(row, gains.to_dict("records"), similar, self._dots(row["item_id"])))

    def _dots(self, item: Any) -> list[tuple[str, float, float, float, str]]:
        """Return the map, as group, place, radius and title of each dot, the last on top."""
        dataset = self.bundle.dataset
        places = self.places.result()
        low, high = places.min(axis=0), places.max(axis=0)
        at = (places - low) / np.maximum(high - low, 1e-9) * [96, 66] + 2
        groups = (
            ("all", _most_used(dataset)[:_LANDMARKS], 0.7),
            ("used", dataset.item_positions(self.browse.edit.edited), 1.1),
            ("listed", dataset.item_positions(self.listed["item_id"]), 1.3),
            ("this", dataset.item_positions([item]), 2.0),
        )
        return [
            (group, *at[i], radius, self.bundle._titles[i])
            for group, positions, radius in groups
            for i in positions
        ]


class _People(Search):
    """A search for a person; whoever is chosen is met."""

    def __init__(self, ids: pd.Index, meet: Callable[[Any], None]) -> None:
        super().__init__({one: str(one) for one in ids}, "people", rows=4)
        self._meet = meet
        self.find()

    def _choose(self) -> None:
        if self.matches.value is not None:
            self._meet(self.matches.value)


class _Card:
    """An item of the list: its rank, title, probability, rung and reason, and two buttons."""

    def __init__(self, page: Page) -> None:
        import ipywidgets as widgets

        self.page, self.item = page, None
        self.text, self.more = widgets.HTML(), widgets.HTML()
        self.ask, self.add = widgets.Button(), widgets.Button(description="Used it")
        self.ask.on_click(lambda _: page.open(self.item))
        self.add.on_click(lambda _: page.controls.rate(self.item))
        self.box = widgets.VBox([self.text, widgets.HBox([self.ask, self.add]), self.more])
        self.box.add_class("rs-card")

    def fill(self, row: Mapping[str, Any] | None) -> None:
        """Show a row of the list, or nothing where it is too short."""
        self.box.layout.display = "none" if row is None else ""
        if row is None:
            return
        self.item = row["item_id"]
        is_open = self.item == self.page.item
        self.text.value = str(_views().card(row))
        self.ask.description = "Close" if is_open else "Why?"
        self.ask.tooltip, self.add.tooltip = f"Why {row['title']}?", f"Add {row['title']}"
        self.more.value = self.page.why(row) if is_open else ""


def _questions(table: pd.DataFrame | None, widget: Callable[..., Any]) -> dict[str, Any]:
    """Return a widget for each column that one can choose in."""
    return {
        name: widget(
            values,
            description=name.replace("_", " "),
            tooltip=name,
            style=_WIDE,
            layout={"width": "auto"},
        )
        for name, values in choices(table).items()
    }


def _choice(values: list[tuple[str, Any]], **look: Any) -> Any:
    import ipywidgets as widgets

    # Of None nothing would be shown as chosen.
    return widgets.Dropdown(options=[("not known", ""), *values], **look)


def _filter(values: list[tuple[str, Any]], **look: Any) -> Any:
    import ipywidgets as widgets

    if is_ordered(pd.Series([value for _, value in values])):
        look |= {"value": (values[0][1], values[-1][1]), "continuous_update": False}
        return widgets.SelectionRangeSlider(options=values, **look)
    return widgets.SelectMultiple(options=values, rows=min(4, len(values)), **look)


def _answers(questions: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was chosen, by column, as profiles and rules have it."""
    found: dict[str, Any] = {}
    for name, one in questions.items():
        ends = [value for _, value in (one.options[0], one.options[-1])]
        if hasattr(one, "readout"):  # a slider; over its whole range it asks nothing
            low, high = one.value
            found[name] = None if [low, high] == ends else {"min": low, "max": high}
        else:
            found[name] = list(one.value) or None if isinstance(one.value, tuple) else one.value
    return {name: value for name, value in found.items() if value not in (None, "")}
