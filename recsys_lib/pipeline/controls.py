"""The controls of a what-if: widgets that edit a history and show the list that follows."""

import html
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from recsys_lib.pipeline.what_if import WhatIf

#: Matches of a search that are shown.
_MATCHES = 20


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

    def __init__(self, edit: "WhatIf") -> None:
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
