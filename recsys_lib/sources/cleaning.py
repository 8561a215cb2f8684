"""Clean columns of ids and numbers; all problems at once, then raised, dropped or listed."""

import re
import unicodedata
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from recsys_lib.checks import Doubles, Ints, Mask
from recsys_lib.errors import DataError, warn
from recsys_lib.sources.options import Mode
from recsys_lib.sources.tables import Table, list_places
from recsys_lib.tables import kind_of, largest_whole

_INT64 = np.iinfo(np.int64)
_INVISIBLE = "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]"
_TYPE = r":(?:token|float)(?:_seq)?$"  # of a header in the form of RecBole
_FLOAT32_MAX = float(np.finfo(np.float32).max)
# Share of the rows that may be dropped without another look at the file.
_MOST_DROPPED = 0.5


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
        place = f"; {list_places(table, self.rows)}" if len(self.rows) else ""
        evidence = f" has {self.evidence}" if len(self.rows) else f"; {self.evidence}"
        if len(self.rows) > 1:
            evidence = f" (the first has {self.evidence})"
        return f"{self.requirement}{place}{evidence}. {self.remedy}"


def settle(
    frame: pd.DataFrame, problems: Sequence[Problem], table: Table, mode: Mode
) -> pd.DataFrame:
    """Raise the first problem, or return the frame without the affected rows and warn.

    Parameters
    ----------
    frame : DataFrame
        One row a record of the table, in its order.
    problems : sequence of Problem
    table : Table
        Tells where the rows are.
    mode : {"strict", "lenient"}

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
    if fatal or (serious and mode == "strict"):
        first = (fatal or serious)[0]
        others = len(serious) - 1
        more = f" {others} other problem{'s' * (others > 1)}: see validate_interactions(...)."
        said = first.message(table)
        if not fatal and len(first.rows) < _MOST_DROPPED * len(frame) and "lenient" not in said:
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
            *(list_places(table, one.rows) if len(one.rows) else "", one.evidence, one.remedy),
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


def clean_ids(column: Column) -> Cleaned:
    """Return ids as strings or int64; whole floats become integers.

    Returns
    -------
    Series
        Of dtype ``str`` or ``int64``; rows with a problem hold anything.
    list of Problem
    """
    values = column.cells
    if pd.api.types.is_integer_dtype(values.dtype) or pd.api.types.is_float_dtype(values.dtype):
        ids, problems = _number_ids(column)
    elif isinstance(values.dtype, pd.StringDtype):
        ids, problems = values.astype("str"), []
    else:
        ids, problems = _object_ids(column)
    return ids, column.nulls("hold an id in each row", "Drop or fill the rows.") + problems


def clean_numbers(
    column: Column, scale: tuple[float, float] | None = None, decimal: str = "."
) -> Cleaned:
    """Return ratings or weights as float64: finite, in the scale where one is declared.

    Parameters
    ----------
    column : Column
        Numbers, or text that reads as numbers.
    scale : tuple of float, optional
        Lowest and highest allowed value.
    decimal : {".", ","}
        The decimal mark of numbers in text.
    """
    numbers = to_float(column.cells, decimal)
    unread = np.isnan(numbers) & ~column.missing
    infinite = np.isinf(numbers) | (np.abs(np.nan_to_num(numbers)) > _FLOAT32_MAX)
    must = "hold finite numbers"
    remedy = "Drop the rows, or give value=None for interactions without a value."
    problems = column.nulls(must, remedy)
    remedy = "Correct or drop the rows."
    first = column.cells[unread].iloc[0] if unread.any() else None
    if isinstance(first, str) and re.fullmatch(r"\s*-?\d+,\d+\s*", first):
        remedy = 'Give decimal="," if the comma is the decimal mark, or correct the rows.'
    problems += column.problem("not a number", unread, f"Column {column} must {must}", remedy)
    remedy = "Correct or drop the rows."
    problems += column.problem("infinite", infinite, f"Column {column} must {must}", remedy)
    if scale is not None:
        low, high = scale
        with np.errstate(invalid="ignore"):
            outside = ((numbers < low) | (numbers > high)) & ~infinite
        problems += column.problem(
            "outside the scale",
            outside,
            f"Column {column} must lie in the declared scale {low:g} to {high:g}",
            "Correct the rows, or declare the right `rating_scale`.",
        )
    return pd.Series(numbers, index=column.cells.index), problems


def look_alikes(ids: pd.Series, name: str, table: str) -> list[Problem]:
    """Return a warning where ids differ only in what is hard to see, or as numbers are written."""
    if not isinstance(ids.dtype, pd.StringDtype):
        return []
    unique = pd.Series(ids.dropna().unique())
    folded = unique.str.normalize("NFKC").str.replace(_INVISIBLE, "", regex=True)
    folded = folded.str.strip().str.casefold()
    folded = folded.str.replace(r"^(-?)0*(\d+)(?:\.0*)?$", r"\1\2", regex=True)
    alike = unique[folded.duplicated(keep=False)]
    if alike.empty:
        return []
    pair = list(alike[folded[alike.index] == folded[alike.index[0]]])[:2]
    twins = len({unicodedata.normalize("NFKC", one) for one in pair}) == 1
    column = Column.of(ids, name, table)
    return column.problem(
        "look-alike ids",
        ids.isin(alike).to_numpy(),
        f"Ids in column {column} should differ in more than case, spaces, invisible signs or the "
        "way a number is written",
        "Write them alike first if they mean the same.",
        " and ".join(map(ascii if twins else repr, pair)),
        warning=True,
    )


def repeated_headers(raw: pd.DataFrame, roles: Mapping[str, str], table: str) -> list[Problem]:
    """Return the problem of rows that repeat the header line, as joined files have them."""
    columns = [column for column in roles.values() if isinstance(raw[column].dtype, pd.StringDtype)]
    if len(columns) < 2:
        return []
    again = np.ones(len(raw), dtype=bool)
    for column in columns:
        cells = raw.loc[again, column].str.strip("\ufeff \t").fillna("")
        again[again] = (cells.str.replace(_TYPE, "", regex=True) == column).to_numpy(dtype=bool)
    return Column.of(raw[columns[0]], ", ".join(columns), table).problem(
        "repeated header",
        again,
        f"{table} must have one header line",
        'Remove the line, or read with mode="lenient", which drops it.',
        "it again",
    )


def numeric_if_plain(values: pd.Series, decimal: str = ".") -> pd.Series:
    """Return a text column as numbers where every field is one and no zero leads."""
    if not isinstance(values.dtype, pd.StringDtype):
        return values
    present = values.dropna()
    number = rf"-?(0|[1-9]\d{{0,14}})({re.escape(decimal)}\d+)?"
    if present.empty or not present.str.fullmatch(number).all():
        return values
    return pd.to_numeric(values.str.replace(decimal, ".", regex=False))


def to_float(values: pd.Series, decimal: str = ".") -> Doubles:
    """Return numbers, NaN where there is none; complex and dates are none."""
    if values.dtype == object:
        values = values.map(lambda one: _number_or_none(one, decimal))
    elif decimal == "," and isinstance(values.dtype, pd.StringDtype):
        values = values.str.replace(".", "?", regex=False).str.replace(",", ".", regex=False)
    if not (
        pd.api.types.is_numeric_dtype(values.dtype)
        or pd.api.types.is_bool_dtype(values.dtype)
        or isinstance(values.dtype, pd.StringDtype)
        or values.dtype == object
    ) or pd.api.types.is_complex_dtype(values.dtype):
        return np.full(len(values), np.nan)
    numbers = pd.to_numeric(values, errors="coerce")
    return numbers.to_numpy(np.float64, na_value=np.nan)


def _plain(values: pd.Series) -> pd.Series:
    """Return a column without categories and Arrow types; its whole numbers stay exact."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        kind = values.cat.categories.dtype
        return values.astype(object if values.hasnans and kind.kind in "iu" else kind)
    if isinstance(values.dtype, pd.ArrowDtype):
        array = pa.chunked_array(values.array.__arrow_array__())
        found = array.to_pandas(integer_object_nulls=True)
        return _plain(pd.Series(found.to_numpy(), index=values.index, dtype=found.dtype))
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


def _number_ids(column: Column) -> Cleaned:
    """Return whole numbers as int64; a NaN has made pandas store them as floats."""
    values, missing = column.cells, column.missing
    floats = pd.api.types.is_float_dtype(values.dtype)
    if floats:
        numbers = values.to_numpy(np.float64, na_value=np.nan)
        # Past its precision a float skips whole numbers, so two ids could have become one.
        limit = largest_whole(values.to_numpy(na_value=np.nan).dtype)
        with np.errstate(invalid="ignore"):
            bad = ~(np.abs(numbers) < limit) | (np.floor(numbers) != numbers)
        bad &= ~missing
    elif values.dtype == object:
        bad = values.map(lambda one: isinstance(one, int) and not _INT64.min <= one <= _INT64.max)
        bad = bad.to_numpy(dtype=bool)
    else:
        bad = (values > _INT64.max).to_numpy(dtype=bool, na_value=False)
    problems = column.problem(
        "not an id",
        bad,
        f"Ids in column {column} must be strings or whole numbers"
        + ("" if floats else " below 2**63"),
        "Cast the column to strings.",
    )
    wrong = missing | bad
    return (values.where(~wrong, 0) if wrong.any() else values).astype("int64"), problems


def _object_ids(column: Column) -> Cleaned:
    """Return Python objects as strings or integers, all of one kind."""
    values = column.cells
    present = values[~column.missing].map(_simple)
    kinds = present.map(kind_of)
    counts = kinds.value_counts()
    common = str(counts.index[0]) if len(counts) else "str"
    if len(counts) > 1 or common not in ("int", "str"):
        odd = present[kinds != common] if len(counts) > 1 else present
        mixture = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
        # Half strings and half integers is no slip in a few rows: nothing sensible can be dropped.
        return values.map(repr).astype("str"), column.problem(
            "mixed types",
            np.asarray(odd.index, dtype=np.int64),
            f"Ids in column {column} must be all strings or all whole numbers",
            "Cast the column to strings, or read it as text where ids have leading zeros.",
            f"{shown(odd.iloc[0])} ({mixture} in all)",
            fatal=True,
        )
    ids = values.copy()
    ids[present.index] = present
    if common == "str":
        return ids.astype("str"), []
    # Not `map`, which makes floats of whole numbers beside a null.
    exact = pd.Series([_simple(one) for one in ids], index=ids.index, dtype=object)
    return _number_ids(replace(column, cells=exact))


def _simple(value: Any) -> Any:
    """Return an id of a database as text or a Python integer where it is one."""
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    return int(value) if isinstance(value, np.integer) else value


def _number_or_none(value: Any, decimal: str) -> float | None:
    """Return one cell of a mixed column as a number, None where it is not one."""
    if isinstance(value, (complex, list, dict, set)):
        return None
    if isinstance(value, str) and decimal == ",":
        value = value.replace(".", "?").replace(",", ".")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def shown(value: Any) -> str:
    """Return a cell as it was written, without NumPy's type around it."""
    plain = value.item() if isinstance(value, np.generic) else value
    return f"{plain!r:.80}"
