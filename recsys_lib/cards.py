"""How objects show themselves in a notebook: a title, and a small table of what they hold."""

import dataclasses
import html
from collections.abc import Mapping
from typing import Any

import pandas as pd

from recsys_lib.formatting import table


class Shown:
    """Base of dataclasses that show themselves: as a card in a notebook, in one line elsewhere.

    By default the card has all fields, and the line those that are not at their default.
    """

    def __init_subclass__(cls) -> None:
        if "__repr__" not in cls.__dict__:
            # Else @dataclass would write one, of all fields.
            cls.__repr__ = super(cls, cls).__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        fields = [f for f in _fields(self) if not _is_default(getattr(self, f.name), f.default)]
        said = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields)
        return f"{type(self).__name__}({said})"

    def _facts(self) -> Mapping[str, Any] | pd.DataFrame:
        """Return what the card holds, by name."""
        return {f.name: getattr(self, f.name) for f in _fields(self)}

    def _title(self) -> str:
        """Return the heading of the card."""
        return type(self).__name__

    def _repr_html_(self) -> str:
        return card(self._title(), self._facts())


def _fields(shown: Any) -> list[dataclasses.Field[Any]]:
    return [f for f in dataclasses.fields(shown) if f.init]


def _is_default(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(value == default)


def card(title: str, facts: Mapping[str, Any] | pd.DataFrame, *, digits: int = 4) -> str:
    """Return HTML of a heading over a table; whatever users wrote is escaped.

    Parameters
    ----------
    title : str
    facts : mapping of name to value, or DataFrame
    digits : int
        Decimals of numbers that are not whole.

    Examples
    --------
    >>> card("<b>", {"users": 5235})[:31]
    '<strong>&lt;b&gt;</strong><tabl'
    """
    if isinstance(facts, Mapping):
        facts = pd.DataFrame({"": pd.Series(facts, dtype=object)})
    return f"<strong>{html.escape(title)}</strong>{table(facts, digits=digits)._repr_html_()}"
