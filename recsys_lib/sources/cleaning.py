"""Clean columns of ids and numbers, with every defect located."""

import re
import unicodedata
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.sources.problems import Problem
from recsys_lib.tables import largest_whole

Cleaned = tuple[pd.Series, list[Problem]]

_INT64 = np.iinfo(np.int64)
_INVISIBLE = "[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]"
_TYPE = r":(?:token|float)(?:_seq)?$"  # of a header in the form of RecBole
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def clean_ids(values: pd.Series, column: str, table: str) -> Cleaned:
    """Return ids as strings or int64; whole floats become integers.

    Parameters
    ----------
    values : Series
        Raw ids, one a row.
    column, table : str
        Names for the messages.

    Returns
    -------
    Series
        Of dtype ``str`` or ``int64``; rows with a problem hold anything.
    list of Problem
    """
    values = plain(values)
    requirement = f"Column {column!r} of {table} must hold an id in each row"
    missing = missing_rows(values)
    problems = at_rows(
        missing, "null", column, requirement, lambda _: "none", "Drop or fill the rows."
    )
    present = values[~missing]
    if pd.api.types.is_integer_dtype(values.dtype) or pd.api.types.is_float_dtype(values.dtype):
        ids, more = _number_ids(values, missing, column, table)
    elif isinstance(values.dtype, pd.StringDtype):
        ids, more = values.astype("str"), []
    else:
        ids, more = _object_ids(values, present, column, table)
    return ids, problems + more


def clean_numbers(
    values: pd.Series,
    column: str,
    table: str,
    scale: tuple[float, float] | None = None,
    decimal: str = ".",
) -> Cleaned:
    """Return ratings or weights as float64: finite, in the scale where one is declared.

    Parameters
    ----------
    values : Series
        Numbers, or text that reads as numbers.
    column, table : str
        Names for the messages.
    scale : tuple of float, optional
        Lowest and highest allowed value.
    decimal : {".", ","}
        The decimal mark of numbers in text.
    """
    values = plain(values)
    numbers = to_float(values, decimal)
    shown = shower(values)
    missing = missing_rows(values)
    unread = np.isnan(numbers) & ~missing
    infinite = np.isinf(numbers) | (np.abs(np.nan_to_num(numbers)) > _FLOAT32_MAX)
    requirement = f"Column {column!r} of {table} must hold finite numbers"
    problems = [
        *at_rows(
            missing,
            "null",
            column,
            requirement,
            lambda _: "none",
            "Drop the rows, or give value=None for interactions without a value.",
        ),
        *at_rows(unread, "not a number", column, requirement, shown, _remedy(values, unread)),
        *at_rows(infinite, "infinite", column, requirement, shown, "Correct or drop the rows."),
    ]
    if scale is not None:
        low, high = scale
        with np.errstate(invalid="ignore"):
            outside = ((numbers < low) | (numbers > high)) & ~infinite
        problems += at_rows(
            outside,
            "outside the scale",
            column,
            f"Column {column!r} of {table} must lie in the declared scale {low:g} to {high:g}",
            shown,
            "Correct the rows, or declare the right `rating_scale`.",
        )
    return pd.Series(numbers, index=values.index), problems


def look_alikes(ids: pd.Series, column: str, table: str) -> list[Problem]:
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
    return [
        Problem(
            "look-alike ids",
            column,
            f"Ids in column {column!r} of {table} should differ in more than case, spaces, "
            "invisible signs or the way a number is written",
            " and ".join(map(ascii if twins else repr, pair)),
            "Write them alike first if they mean the same.",
            np.flatnonzero(ids.isin(alike)),
            warning=True,
        )
    ]


def repeated_headers(raw: pd.DataFrame, roles: Mapping[str, str], table: str) -> list[Problem]:
    """Return the problem of rows that repeat the header line, as joined files have them."""
    columns = [column for column in roles.values() if isinstance(raw[column].dtype, pd.StringDtype)]
    if len(columns) < 2:
        return []
    again = np.ones(len(raw), dtype=bool)
    for column in columns:
        cells = raw.loc[again, column].str.strip("\ufeff \t").fillna("")
        again[again] = (cells.str.replace(_TYPE, "", regex=True) == column).to_numpy(dtype=bool)
    return at_rows(
        again,
        "repeated header",
        ", ".join(columns),
        f"{table} must have one header line",
        lambda _: "it again",
        'Remove the line, or read with mode="lenient", which drops it.',
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


def plain(values: pd.Series) -> pd.Series:
    """Return a column without categories and Arrow types; its whole numbers stay exact."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        kind = values.cat.categories.dtype
        return values.astype(object if values.hasnans and kind.kind in "iu" else kind)
    if isinstance(values.dtype, pd.ArrowDtype):
        import pyarrow as pa

        array = pa.chunked_array(values.array.__arrow_array__())
        found = array.to_pandas(integer_object_nulls=True)
        return plain(pd.Series(found.to_numpy(), index=values.index, dtype=found.dtype))
    return values


def _number_ids(
    values: pd.Series, missing: NDArray[np.bool_], column: str, table: str
) -> tuple[pd.Series, list[Problem]]:
    """Return whole numbers as int64; a NaN has made pandas store them as floats."""
    if pd.api.types.is_float_dtype(values.dtype):
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
    problems = at_rows(
        bad,
        "not an id",
        column,
        f"Ids in column {column!r} of {table} must be strings or whole numbers"
        + ("" if pd.api.types.is_float_dtype(values.dtype) else " below 2**63"),
        shower(values),
        "Cast the column to strings.",
    )
    if not missing.any() and not bad.any():
        return values.astype("int64"), problems
    return values.where(~(missing | bad), 0).astype("int64"), problems


def _object_ids(
    values: pd.Series, present: pd.Series, column: str, table: str
) -> tuple[pd.Series, list[Problem]]:
    """Return Python objects as strings or integers, all of one kind."""
    present = present.map(_simple)
    kinds = present.map(_kind)
    counts = kinds.value_counts()
    requirement = f"Ids in column {column!r} of {table} must be all strings or all whole numbers"
    remedy = "Cast the column to strings."
    common = str(counts.index[0]) if len(counts) else "str"
    if len(counts) > 1 or common not in ("int", "str"):
        odd = present[kinds != common] if len(counts) > 1 else present
        mixture = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
        evidence = f"{shown(odd.iloc[0])} ({mixture} in all)"
        rows = np.asarray(odd.index, dtype=np.int64)
        # Half strings and half integers is no slip in a few rows: nothing sensible can be dropped.
        problem = Problem("mixed types", column, requirement, evidence, remedy, rows, fatal=True)
        return values.map(repr).astype("str"), [problem]
    ids = values.copy()
    ids[present.index] = present
    if common == "str":
        return ids.astype("str"), []
    # Not `map`, which makes floats of whole numbers beside a null.
    exact = pd.Series([_simple(one) for one in ids], index=ids.index, dtype=object)
    return _number_ids(exact, missing_rows(values), column, table)


def _simple(value: Any) -> Any:
    """Return an id of a database as text or a Python integer where it is one."""
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, Decimal) and value.is_finite() and value == value.to_integral_value():
        return int(value)
    return int(value) if isinstance(value, np.integer) else value


def _kind(value: object) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "bool"
    if isinstance(value, (int, np.integer)):
        return "int"
    return "str" if isinstance(value, str) else type(value).__name__


def missing_rows(values: pd.Series) -> NDArray[np.bool_]:
    """Say which rows hold nothing: null, or text of spaces only."""
    missing = values.isna().to_numpy(dtype=bool)
    if isinstance(values.dtype, pd.StringDtype):
        missing = missing | (values.str.strip() == "").fillna(False).to_numpy(dtype=bool)
    elif values.dtype == object:
        blank = values.map(lambda one: isinstance(one, str) and not one.strip())
        missing = missing | blank.to_numpy(dtype=bool)
    return missing


def to_float(values: pd.Series, decimal: str = ".") -> NDArray[np.float64]:
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


def _remedy(values: pd.Series, unread: NDArray[np.bool_]) -> str:
    """Say what to do about text that is no number; a comma may be its decimal mark."""
    first = values.iloc[int(np.flatnonzero(unread)[0])] if unread.any() else None
    if isinstance(first, str) and re.fullmatch(r"\s*-?\d+,\d+\s*", first):
        return 'Give decimal="," if the comma is the decimal mark, or correct the rows.'
    return "Correct or drop the rows."


def at_rows(
    bad: NDArray[np.bool_],
    check: str,
    column: str,
    requirement: str,
    show: Callable[[int], str],
    remedy: str,
) -> list[Problem]:
    """Return the problem of the rows where `bad` holds, or nothing."""
    rows = np.flatnonzero(bad)
    if not len(rows):
        return []
    return [Problem(check, column, requirement, show(int(rows[0])), remedy, rows)]


def shower(values: pd.Series) -> Callable[[int], str]:
    """Return a function that shows the cell of a row."""
    return lambda row: shown(values.iloc[row])


def shown(value: Any) -> str:
    """Return a cell as it was written, without NumPy's type around it."""
    plain = value.item() if isinstance(value, np.generic) else value
    return f"{plain!r:.80}"
