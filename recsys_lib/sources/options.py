"""Options of reading, declared once for every function that reads."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from recsys_lib.errors import ConfigError

__all__ = ["UNITS", "TextOptions", "with_text_options"]

#: What numbers can mean as times: units since 1970, and days of a spreadsheet.
UNITS = ("s", "ms", "us", "ns", "serial")

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    r"""How a table is written, where that should not be recognized.

    Parameters
    ----------
    encoding : str, optional
        Of text files. By default UTF-8, or what a byte-order mark says.
    delimiter : str, optional
        What separates the fields. Recognized by default among tab, ``::``, ``,``, ``;``, ``|`` and
        blanks.
    decimal : {".", ","}
        The decimal mark of numbers.
    quoting : bool, optional
        Whether quotation marks enclose fields (True) or are characters like any other (False). By
        default they enclose fields, and one that does not enclose a whole field is an error.
    escape : str, optional
        Character before a quotation mark that belongs to the field, such as a backslash. By default
        such a mark is doubled.
    columns : sequence of str, optional
        Names of all columns of a text file that has no header line.
    date_format : str, optional
        How times are written: a format such as ``"%d/%m/%Y"``; ``"s"``, ``"ms"``, ``"us"`` or
        ``"ns"`` for numbers since 1970; ``"serial"`` for the day numbers of spreadsheets. By
        default recognized, with a question where more than one is possible.
    """

    encoding: str | None = None
    delimiter: str | None = None
    decimal: Literal[".", ","] = "."
    quoting: bool | None = None
    escape: str | None = None
    columns: Sequence[str] | None = None
    date_format: str | None = None

    def __post_init__(self) -> None:
        for name, right, wanted in (
            ("decimal", self.decimal in (".", ","), '"." or ","'),
            ("quoting", self.quoting in (None, True, False), "True, False or None"),
            ("delimiter", self.delimiter != "", "one or more characters"),
            ("escape", self.escape is None or len(self.escape) == 1, "one character"),
            ("date_format", _is_date_format(self.date_format), f'"%d/%m/%Y" or one of {UNITS}'),
        ):
            if not right:
                raise ConfigError(
                    f"`{name}` must be {wanted}; got {getattr(self, name)!r}. Correct it, or leave "
                    "it out."
                )


def with_text_options(function: Function) -> Function:
    """Show the options of `TextOptions` in the signature of a function with ``**reading``."""
    signature = inspect.signature(function)
    options = [
        inspect.Parameter(
            one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=one.type
        )
        for one in fields(TextOptions)
    ]
    given = list(signature.parameters.values())[:-1]
    shown = signature.replace(parameters=[*given, *options])
    function.__signature__ = shown  # type: ignore[attr-defined]
    return function


def _is_date_format(given: str | None) -> bool:
    return given is None or given in UNITS or "%" in given
