"""Options of reading, declared once for every function that reads."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from recsys_lib.checks import check_choice
from recsys_lib.cleaning import Duplicates
from recsys_lib.errors import ConfigError
from recsys_lib.naming import did_you_mean
from recsys_lib.sources.reduction import Reduction
from recsys_lib.tables import Mode
from recsys_lib.times import FACTORS

#: Says that a column is to be recognized by its name.
AUTO = "auto"
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    r"""What to read from a source, and how it is written where that should not be recognized.

    Parameters
    ----------
    user, item : str
        Columns of the ids; by default recognized by their names.
    value, timestamp : str or None
        Columns of ratings or weights and of times; by default recognized, and left out where there
        is none. None leaves one out that is there: ``value=None`` reads implicit feedback.
    title : str or None
        Column of a catalog to be shown to people; by default recognized, with a warning where it
        is not. None where there is none.
    rating_scale : tuple of float, optional
        Lowest and highest rating; one outside is an error.
    duplicates : {"keep", "error", "last", "mean", "sum"}
        What becomes of rows that repeat a pair: kept, refused, the latest in time (without times:
        in the file), or the mean or the sum of their values with the latest time.
    mode : {"strict", "lenient"}
        "strict" raises at the first problem; "lenient" drops the rows concerned and warns.
    table, query : str, optional
        What to read of a database, whose URL is the source: ``sqlite:///shop.db``,
        ``duckdb:///events.duckdb``, ``postgresql://user@host/database``, ``trino://...``,
        ``impala://...``; or a backend that `ibis` has connected. Secrets never stand in the URL:
        see `sources.sql.open_engine`.
    reduce : Reduction, optional
        How events become interactions, and which users and items are kept; the engine does it.
    memory : str, optional
        Cap of the embedded DuckDB, such as ``"2GB"``; beyond that it spills to disk.
    threads : int, optional
        Threads of the embedded DuckDB.
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

    Examples
    --------
    >>> ReadOptions(quoting="no")
    Traceback (most recent call last):
    ValueError: `quoting` must be one of None, True, False; got 'no'.
    """

    user: str = AUTO
    item: str = AUTO
    value: str | None = AUTO
    timestamp: str | None = AUTO
    title: str | None = AUTO
    rating_scale: tuple[float, float] | None = None
    duplicates: Duplicates = "keep"
    mode: Mode = "strict"
    table: str | None = None
    query: str | None = None
    reduce: Reduction | None = None
    memory: str | None = None
    threads: int | None = None
    encoding: str | None = None
    delimiter: str | None = None
    decimal: Literal[".", ","] = "."
    quoting: bool | None = None
    escape: str | None = None
    columns: Sequence[str] | None = None
    date_format: str | None = None

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, get_args(Mode))
        check_choice("duplicates", self.duplicates, get_args(Duplicates))
        check_choice("decimal", self.decimal, (".", ","))
        check_choice("quoting", self.quoting, (None, True, False))
        if self.date_format not in (None, *FACTORS) and "%" not in str(self.date_format):
            raise ConfigError(
                f'`date_format` must be such as "%d/%m/%Y", or one of {tuple(FACTORS)}; got '
                f"{self.date_format!r}. Correct it, or leave it out."
            )


#: How text is written: taken by every function that reads.
_TEXT = "encoding delimiter decimal quoting escape columns date_format"


def takes_options(names: str, **defaults: Any) -> Callable[[Function], Function]:
    """Show options of `ReadOptions` in the signature of a function with ``**options``.

    Parameters
    ----------
    names : str
        Those that it takes besides the ones for text, with blanks between.
    **defaults
        Where they differ from those of `ReadOptions`.
    """
    declared = inspect.signature(ReadOptions).parameters

    def show(function: Function) -> Function:
        signature = inspect.signature(function)
        own = list(signature.parameters.values())[:-1]
        options = [
            declared[name].replace(default=defaults.get(name, declared[name].default))
            for name in f"{names} {_TEXT}".split()
        ]
        shown = signature.replace(parameters=[*own, *options])
        function.__signature__ = shown  # type: ignore[attr-defined]
        return function

    return show


def options_of(function: Callable[..., Any], given: Mapping[str, Any]) -> ReadOptions:
    """Return the options that a function was given, checked against its signature.

    Raises
    ------
    TypeError
        If it takes no option of that name; the message suggests near ones.

    Examples
    --------
    >>> @takes_options("user item")
    ... def read(source, **options): ...
    >>> options_of(read, {"usr": "login"})
    Traceback (most recent call last):
    TypeError: read() has no option 'usr'. Did you mean 'user'?
    """
    shown = inspect.signature(function).parameters.values()
    known = {one.name: one.default for one in shown if one.kind is one.KEYWORD_ONLY}
    for name in given:
        if name not in known:
            near = did_you_mean(name, known) or f" It has: {', '.join(known)}."
            raise TypeError(f"{function.__name__}() has no option {name!r}.{near}")
    return ReadOptions(**{**known, **given})
