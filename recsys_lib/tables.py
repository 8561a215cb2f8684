"""Tables whose rows have places and whose columns have problems: raised, dropped or listed."""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from recsys_lib.checks import Doubles, Ints, Mask
from recsys_lib.errors import DataError, warn

#: "strict" raises at the first problem; "lenient" drops the affected rows and warns.
Mode: TypeAlias = Literal["strict", "lenient"]

_LISTED = 5
# Share of the rows that may be dropped without another look at the file.
_MOST_DROPPED = 0.5


class Table(ABC):
    """The interface of every input."""

    name: str
    columns: list[str]

    @abstractmethod
    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return these columns as a DataFrame with a RangeIndex, one row a record."""

    def rows(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return what `read` does; `DataError` if there is no row."""
        found = self.read(columns)
        if found.empty:
            raise DataError(
                f"{self.name} must have at least one row; it has the columns {self.columns} and no "
                "rows. Check the export, and what was selected of it."
            )
        return found

    def where(self, positions: Ints) -> list[str]:
        """Return the place of each row; its number, counted from 1, where there is no better."""
        return [f"row {position + 1}" for position in positions]


def list_places(table: Table, positions: Ints) -> str:
    """Return the first places and how many more there are: ``"line 3, line 9 and 4 more"``."""
    shown = table.where(positions[:_LISTED])
    more = len(positions) - len(shown)
    *first, last = [*shown, f"{more:,} more"] if more else shown
    return f"{', '.join(first)} and {last}" if first else last


def check_names(columns: Sequence[str], table: str, remedy: str) -> None:
    """Raise `DataError` where a name stands for several columns."""
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise DataError(
            f"Columns of {table} must have one name each; {repeated} occur twice. {remedy}"
        )


@dataclass
class FrameTable(Table):
    """A DataFrame already in memory; rows are named by their index labels.

    `row` is what a row is called: an index of its lines names those of a file.
    """

    frame: pd.DataFrame
    name: str = "the DataFrame"
    row: str = "index"
    columns: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.columns = [str(column) for column in self.frame.columns]
        check_names(self.columns, self.name, "Rename or drop the copies.")

    def read(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the columns; the DataFrame that was given is not modified."""
        missing = [column for column in columns if column not in self.columns]
        if missing:
            raise DataError(
                f"Column {missing[0]!r} must be in the table; it has "
                f"{', '.join(map(repr, self.columns)) or 'no columns'}. Name the columns with "
                "user=, item=, value=, timestamp=, or let `load_dataset` find them."
            )
        taken = self.frame.iloc[:, [self.columns.index(column) for column in columns]]
        taken = taken.reset_index(drop=True)
        taken.columns = pd.Index(columns)
        for column in [name for name in columns if taken[name].dtype == object]:
            broken = np.flatnonzero(taken[column].map(_is_broken).to_numpy(dtype=bool))
            if len(broken):
                raise DataError(
                    f"Text of {self.name} must be whole Unicode characters; column {column!r}, "
                    f"{list_places(self, broken)}, holds half of one, a lone surrogate. "
                    "Correct or drop the rows."
                )
        return taken

    def where(self, positions: Ints) -> list[str]:
        """Return index labels, ``"index 17"``, or whatever a row is called."""
        return [f"{self.row} {label!r}" for label in self.frame.index.take(positions).tolist()]


def _is_broken(value: object) -> bool:
    """Say whether a text has a lone surrogate, which no file can hold."""
    return isinstance(value, str) and value != value.encode(errors="ignore").decode()


@dataclass(frozen=True)
class Problem:
    """One kind of problem in one column, with the rows that have it.

    Attributes
    ----------
    check : str
        Short name, such as ``"not a number"``.
    column : str
        The column, as the table calls it.
    requirement : str
        What must hold; the start of the error message.
    evidence : str
        What the first affected row has instead.
    remedy : str
        What to do.
    rows : ndarray of int64
        0-based positions of the affected rows, ascending.
    fatal : bool
        Whether dropping rows would not fix it.
    warning : bool
        Whether it may be intended: reported, never raised and never dropped.
    """

    check: str
    column: str
    requirement: str
    evidence: str
    remedy: str
    rows: Ints
    fatal: bool = False
    warning: bool = False

    def message(self, table: Table) -> str:
        """Return the error: requirement; evidence with its place. Remedy."""
        several = len(self.rows) > 1
        evidence = f"(the first has {self.evidence})" if several else f"has {self.evidence}"
        return f"{self.requirement}; {list_places(table, self.rows)} {evidence}. {self.remedy}"


def settle(
    frame: pd.DataFrame, problems: Sequence[Problem], table: Table, mode: Mode | None = None
) -> pd.DataFrame:
    """Raise the first problem, or return the frame without the affected rows and warn.

    Parameters
    ----------
    frame : DataFrame
        One row a record of the table, in its order.
    problems : sequence of Problem
    table : Table
        Tells where the rows are.
    mode : {"strict", "lenient"}, optional
        By default strict, for who takes no options of reading.

    Returns
    -------
    DataFrame
        With a RangeIndex.

    Raises
    ------
    DataError
        In strict mode for any problem, in lenient mode for one that dropping rows would not fix.
    """
    serious = [problem for problem in problems if not problem.warning]
    fatal = [problem for problem in serious if problem.fatal]
    if fatal or (serious and mode != "lenient"):
        first = (fatal or serious)[0]
        others = len(serious) - 1
        more = f" {others} other problem{'s' * (others > 1)}: see validate_interactions(...)."
        said = first.message(table)
        few = not fatal and len(first.rows) < _MOST_DROPPED * len(frame)
        if mode is None and re.search("(decimal|date_format|mode)=", first.remedy):
            said += " (These are options of `load_dataset`.)"
        elif mode is not None and few and "lenient" not in said:
            said += ' Or read with mode="lenient", which drops such rows.'
        raise DataError(said + more * (others > 0))
    if not serious:
        return frame
    drop = np.unique(np.concatenate([problem.rows for problem in serious]))
    kept = frame.drop(index=drop).reset_index(drop=True)
    if kept.empty:
        most = max(serious, key=lambda problem: len(problem.rows))
        raise DataError(
            f"{table.name} must have rows without problems; all {len(frame):,} have some, "
            f"{len(most.rows):,} of them this: {most.message(table)}"
        )
    what = ", ".join(f"{len(one.rows):,} {one.check} in {one.column!r}" for one in serious)
    warn(f"{table.name}: {len(drop):,} of {len(frame):,} rows dropped ({what}).")
    return kept


def report(problems: Sequence[Problem], table: Table) -> pd.DataFrame:
    """Return the problems as a table: check, column, severity, rows, places, first, remedy."""
    rows = [
        (
            *(one.check, one.column, "warning" if one.warning else "error", len(one.rows)),
            *(list_places(table, one.rows), one.evidence, one.remedy),
        )
        for one in problems
    ]
    names = ["check", "column", "severity", "rows", "places", "first", "remedy"]
    return pd.DataFrame(rows, columns=names)


Cleaned: TypeAlias = tuple[pd.Series, list[Problem]]


@dataclass(frozen=True, eq=False)
class Column:
    """A column of raw values, one a row, with the names that messages call it by.

    Attributes
    ----------
    cells : Series
        Without categories and Arrow types; whole numbers stay exact.
    name, table : str
    missing : ndarray of bool
        Which rows hold nothing: null, or text of spaces only.
    """

    cells: pd.Series
    name: str
    table: str
    missing: Mask

    @classmethod
    def of(cls, values: pd.Series, name: str, table: str) -> "Column":
        """Return a column of a table as it was read."""
        values = _plain(values)
        return cls(values, name, table, _missing_rows(values))

    def __str__(self) -> str:
        return f"{self.name!r} of {self.table}"

    def problem(
        self,
        check: str,
        rows: NDArray[Any],
        requirement: str,
        remedy: str,
        evidence: str = "",
        **kind: bool,
    ) -> list[Problem]:
        """Return the problem of some rows, or nothing; by default the first is the evidence.

        Parameters
        ----------
        check, requirement, remedy : str
            See `Problem`.
        rows : ndarray
            Positions, or a mask of all rows.
        evidence : str
            What the first of these rows has.
        **kind
            ``fatal`` or ``warning``.
        """
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        if not len(rows):
            return []
        evidence = evidence or shown(self.cells.iloc[int(rows[0])])
        return [Problem(check, self.name, requirement, evidence, remedy, rows, **kind)]

    def nulls(self, must: str, remedy: str) -> list[Problem]:
        """Return the problem of rows that hold nothing."""
        return self.problem("null", self.missing, f"Column {self} must {must}", remedy, "none")


def to_float(values: pd.Series, decimal: str = ".") -> Doubles:
    """Return numbers, NaN where there is none; complex and dates are none."""
    written = isinstance(values.dtype, pd.StringDtype) or values.dtype == object
    if written and decimal == ",":
        values = values.replace({r"\.": "?", ",": "."}, regex=True)
    if written:
        values = pd.to_numeric(values, errors="coerce")
    if values.dtype.kind not in "biuf":
        return np.full(len(values), np.nan)
    return values.to_numpy(np.float64, na_value=np.nan)


def _plain(values: pd.Series) -> pd.Series:
    """Return a column without categories and Arrow types; its whole numbers stay exact."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        kind = values.cat.categories.dtype
        return values.astype(object if values.hasnans and kind.kind in "iu" else kind)
    if isinstance(values.dtype, pd.ArrowDtype):
        array = pa.chunked_array(values.array.__arrow_array__())
        return _plain(array.to_pandas(integer_object_nulls=True).set_axis(values.index))
    return values


def _missing_rows(values: pd.Series) -> Mask:
    """Say which rows hold nothing: null, or text of spaces only."""
    missing = values.isna().to_numpy(dtype=bool)
    if isinstance(values.dtype, pd.StringDtype):
        missing = missing | (values.str.strip() == "").fillna(False).to_numpy(dtype=bool)
    elif values.dtype == object:
        blank = values.map(lambda one: isinstance(one, str) and not one.strip())
        missing = missing | blank.to_numpy(dtype=bool)
    return missing


def shown(value: Any) -> str:
    """Return a cell as it was written, without NumPy's type around it."""
    plain = value.item() if isinstance(value, np.generic) else value
    return f"{plain!r:.80}"
