"""Tables as people read them: aligned, with the digits that matter and no more.

And cards, by which objects show themselves in a notebook: a title, and a table of what they hold.
"""

import dataclasses
import html
import math
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

_MISSING = "–"
_LEFT = ' style="text-align: left"'


class Table(pd.DataFrame):  # type: ignore[misc]
    """A DataFrame that shows itself for reading; whatever is computed from it is a plain one.

    Made by `table`.
    """

    _metadata: ClassVar[list[str]] = ["_digits", "_percent"]

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def __repr__(self) -> str:
        if self.empty:
            return "none"
        cells, left = self._cells()
        padded = {}
        for name, texts in cells.items():
            width = max(map(len, [name, *texts])) if name in left else 0
            padded[name.ljust(width)] = [text.ljust(width) for text in texts]
        return pd.DataFrame(padded, index=self._labels()).to_string()

    def _repr_html_(self) -> str:
        if self.empty:
            return "<em>none</em>"
        cells, left = self._cells()
        heads = [f"<th{_LEFT if name in left else ''}>{html.escape(name)}</th>" for name in cells]
        lines = [f"<tr><th></th>{''.join(heads)}</tr>"]
        for position, label in enumerate(self._labels()):
            row = [
                f"<td{_LEFT if name in left else ''}>{_as_html(texts[position])}</td>"
                for name, texts in cells.items()
            ]
            lines.append(f"<tr><th{_LEFT}>{html.escape(label)}</th>{''.join(row)}</tr>")
        head, *body = lines
        return f"<table><thead>{head}</thead><tbody>\n" + "\n".join(body) + "\n</tbody></table>"

    def _cells(self) -> tuple[dict[str, list[str]], set[str]]:
        """Return the texts of each column by its heading, and the headings of text columns."""
        cells, left = {}, set()
        for position, name in enumerate(self.columns):
            values, heading = self.iloc[:, position], _label(name)
            names = _is_name(name)
            if not names and all(_is_number(value) or _is_missing(value) for value in values):
                known = [float(value) for value in values if not _is_missing(value)]
                digits, percent = _decimals(known, self._digits), name in self._percent
                cells[heading] = [_text(value, digits, percent) for value in values]
            else:
                cells[heading] = [_alone(value, "" if names else ",") for value in values]
                left.add(heading)
        return cells, left

    def _labels(self) -> list[str]:
        """Return the labels of the rows; what repeats in an outer level stands once."""
        if isinstance(self.index, pd.RangeIndex):
            return [""] * len(self)
        if not isinstance(self.index, pd.MultiIndex):
            return [_label(label) for label in self.index]
        labels, before = [], ()
        for parts in self.index:
            shown = [
                "" if parts[: i + 1] == before[: i + 1] else _label(p) for i, p in enumerate(parts)
            ]
            labels.append(" · ".join(part for part in shown if part))
            before = parts
        return labels


def table(
    data: pd.DataFrame | pd.Series | Mapping[str, Any],
    *,
    digits: int = 3,
    percent: Iterable[Hashable] = (),
) -> Table:
    """Return a table for reading.

    Text is aligned left and numbers right. A column gets the decimals that its numbers need, at
    most `digits`, and thousands separators, but for ids and years; times are shown to the minute, a
    missing value is a dash, and the row numbers of an unnamed index are left out.

    Parameters
    ----------
    data : DataFrame, Series or mapping of row label to value
        What to show.
    digits : int
        Most decimals; none in a column that reaches 1,000.
    percent : iterable of column names
        Columns of shares, shown in percent.

    Returns
    -------
    Table
        A DataFrame with the same values.

    Examples
    --------
    >>> frame = pd.DataFrame({"users": [5235, 12], "rmse": [0.91234, None]}, ["EASE", "SVD"])
    >>> table(frame)
          users   rmse
    EASE  5,235  0.912
    SVD      12      –
    """
    if isinstance(data, Mapping):
        data = pd.Series(data, name="value", dtype=object)
    frame = data.to_frame() if isinstance(data, pd.Series) else data
    result = Table(frame)
    object.__setattr__(result, "_digits", digits)
    object.__setattr__(result, "_percent", frozenset(percent))
    return result


def percent(share: float, digits: int) -> str:
    """Return a share in percent; of one that would read as 0, the first two digits.

    >>> percent(0.2222, 1), percent(0.00047, 1)
    ('22.2%', '0.047%')
    """
    small = 0 < 1000 * share < 10 ** (2 - digits)
    return f"{100 * share:.2g}%" if small else f"{share:.{digits}%}"


def _decimals(numbers: list[float], digits: int) -> int:
    """Return how many decimals a column shows: up to `digits`, and none that say nothing."""
    finite = [number for number in numbers if math.isfinite(number)]
    if any(abs(number) >= 1000 for number in finite):
        return 0
    for fewer in range(digits):
        if all(math.isclose(number, round(number, fewer), abs_tol=1e-9) for number in finite):
            return fewer
    return digits


def _alone(value: Any, thousands: str) -> str:
    """Return a value of a column that holds more than numbers, or numbers that are names."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if _is_number(value) and not _is_missing(value):
        return f"{value:{thousands}.0f}" if float(value).is_integer() else f"{value:.4g}"
    return _label(value) or _MISSING


def _text(value: Any, digits: int, percent: bool) -> str:
    if _is_missing(value):
        return _MISSING
    if math.isinf(value):
        return f"{value:g}"
    if percent:
        return f"{value:z.0%}".replace("%", " %")
    rounded = round(float(value), digits) + 0.0  # without the sign of -0.0
    if rounded == 0 and value != 0:
        return f"{value:.1g}"
    return f"{rounded:,.{digits}f}"


def _label(value: Any) -> str:
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}" if value == value.normalize() else f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, tuple | list | set | np.ndarray):
        return ", ".join(map(str, value))
    return "" if _is_missing(value) else str(value)


def _is_name(column: Hashable) -> bool:
    """Say whether the numbers of a column are names, with which nobody counts."""
    return str(column).lower().endswith(("_id", "year"))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _is_missing(value: Any) -> bool:
    return (
        value is None or value is pd.NaT or value is pd.NA or (_is_number(value) and value != value)
    )


def _as_html(text: str) -> str:
    # Alone in its element, a dollar sign begins no formula in JupyterLab.
    return html.escape(text).replace("\n", "<br>").replace("$", "<span>$</span>")


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
