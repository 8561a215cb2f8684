"""Columns made clean: ids, numbers and times, with every defect located."""

import math
import uuid
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.sources.problems import Problem
from recsys_lib.tables import largest_whole

Cleaned = tuple[pd.Series, list[Problem]]

_FLOAT32_MAX = float(np.finfo(np.float32).max)
# Magnitudes that tell seconds, milliseconds, microseconds and nanoseconds since 1970 apart:
# each unit reaches from 1973 to the year 5138 before it would be taken for the next.
_UNITS = ((1e11, "s", 10**9), (1e14, "ms", 10**6), (1e17, "us", 10**3), (math.inf, "ns", 1))

# A time of the day, and one that says its zone.
_CLOCK = r"^\d{4}-?\d\d-?\d\d[T ]\d\d"
_ZONE = _CLOCK + r".*(?:Z|[+-]\d\d(?::?\d\d)?)$"


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
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    requirement = f"Column {column!r} of {table} must hold an id in each row"
    missing = _missing(values)
    problems = _at(missing, "null", column, requirement, lambda _: "none", "Drop or fill the rows.")
    present = values[~missing]
    if pd.api.types.is_integer_dtype(values.dtype) or pd.api.types.is_float_dtype(values.dtype):
        ids, more = _number_ids(values, missing, column, table)
    elif isinstance(values.dtype, pd.StringDtype):
        ids, more = values.astype("str"), []
    else:
        ids, more = _object_ids(values, present, column, table)
    return ids, problems + more


def clean_numbers(
    values: pd.Series, column: str, table: str, scale: tuple[float, float] | None
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
    """
    numbers = _to_float(values)
    shown = _show(values)
    missing = _missing(values)
    unread = np.isnan(numbers) & ~missing
    infinite = np.isinf(numbers) | (np.abs(np.nan_to_num(numbers)) > _FLOAT32_MAX)
    requirement = f"Column {column!r} of {table} must hold finite numbers"
    problems = [
        *_at(
            missing,
            "null",
            column,
            requirement,
            lambda _: "none",
            "Drop the rows, or give value=None for interactions without a value.",
        ),
        *_at(unread, "not a number", column, requirement, shown, "Correct or drop the rows."),
        *_at(infinite, "infinite", column, requirement, shown, "Correct or drop the rows."),
    ]
    if scale is not None:
        low, high = scale
        with np.errstate(invalid="ignore"):
            outside = ((numbers < low) | (numbers > high)) & ~infinite
        problems += _at(
            outside,
            "outside the scale",
            column,
            f"Column {column!r} of {table} must lie in the declared scale {low:g} to {high:g}",
            shown,
            "Correct the rows, or declare the right `rating_scale`.",
        )
    return pd.Series(numbers, index=values.index), problems


def clean_times(values: pd.Series, column: str, table: str) -> Cleaned:
    """Return times as UTC datetimes; numbers count since 1970 in a unit told by their size.

    Parameters
    ----------
    values : Series
        Datetimes, ISO 8601 text, or numbers (also as text). Times without a zone are UTC.
    column, table : str
        Names for the messages.

    Notes
    -----
    The median tells the unit of numbers: below 1e11 seconds, below 1e14 milliseconds, below 1e17
    microseconds, else nanoseconds. Text of which a part has a zone and a part none is a warning.
    """
    times = _to_times(values)
    missing = _missing(values)
    requirement = f"Column {column!r} of {table} must hold times"
    problems = [
        *_at(
            missing,
            "null",
            column,
            requirement,
            lambda _: "none",
            "Drop the rows, or give timestamp=None to read without times.",
        ),
        *_at(
            times.isna().to_numpy() & ~missing,
            "not a time",
            column,
            f"{requirement}: ISO 8601, or numbers since 1970",
            _show(values),
            "Correct or drop the rows, or give timestamp=None to read without times.",
        ),
    ]
    return times, problems + _mixed_zones(values, column, table)


def look_alikes(ids: pd.Series, column: str, table: str) -> list[Problem]:
    """Return a warning where ids differ only in case or outer spaces."""
    if not isinstance(ids.dtype, pd.StringDtype):
        return []
    unique = pd.Series(ids.dropna().unique())
    folded = unique.str.strip().str.casefold()
    alike = unique[folded.duplicated(keep=False)]
    if alike.empty:
        return []
    pair = list(alike[folded[alike.index] == folded[alike.index[0]]])[:2]
    return [
        Problem(
            "look-alike ids",
            column,
            f"Ids in column {column!r} of {table} should differ in more than case or spaces",
            " and ".join(repr(one) for one in pair),
            "Strip and lower the column first if they mean the same.",
            np.flatnonzero(ids.isin(alike)),
            warning=True,
        )
    ]


def _mixed_zones(values: pd.Series, column: str, table: str) -> list[Problem]:
    """Return a warning where some times say their zone and others, of the same column, none."""
    if values.dtype == object:
        values = values.where(values.map(lambda one: isinstance(one, str)), None).astype("str")
    if not isinstance(values.dtype, pd.StringDtype):
        return []
    text = values.str.strip()
    clocks = text.str.contains(_CLOCK).to_numpy(dtype=bool, na_value=False)
    zoned = text.str.contains(_ZONE).to_numpy(dtype=bool, na_value=False)
    if not zoned.any() or not (clocks & ~zoned).any():
        return []
    fewer = zoned.sum() < (clocks & ~zoned).sum()
    rows = np.flatnonzero(zoned if fewer else clocks & ~zoned)
    others = "others have none" if fewer else "others have a zone"
    return [
        Problem(
            "mixed time zones",
            column,
            f"Times in column {column!r} of {table} should all say their zone, or none",
            f"{_shown(values.iloc[int(rows[0])])}, {others}",
            "Times without a zone are taken as UTC; add the zone where that is wrong.",
            rows,
            warning=True,
        )
    ]


def numeric_if_plain(values: pd.Series) -> pd.Series:
    """Return a text column as numbers where every field is one and no zero leads."""
    if not isinstance(values.dtype, pd.StringDtype):
        return values
    present = values.dropna()
    if present.empty or not present.str.fullmatch(r"-?(0|[1-9]\d{0,14})(\.\d+)?").all():
        return values
    return pd.to_numeric(values)


def _number_ids(
    values: pd.Series, missing: NDArray[np.bool_], column: str, table: str
) -> tuple[pd.Series, list[Problem]]:
    """Return whole numbers as int64; a NaN has made pandas store them as floats."""
    numbers = values.to_numpy(np.float64, na_value=np.nan)
    exact = pd.api.types.is_integer_dtype(values.dtype)
    with np.errstate(invalid="ignore"):
        # Past it floats skip integers, so two ids could have become one.
        limit = 2.0**63 if exact else largest_whole(values.to_numpy(na_value=np.nan).dtype)
        bad = ~missing & (~np.isfinite(numbers) | (np.abs(numbers) >= limit))
        bad |= ~missing & (np.floor(numbers) != numbers) & (not exact)
    problems = _at(
        bad,
        "not an id",
        column,
        f"Ids in column {column!r} of {table} must be strings or whole numbers",
        _show(values),
        "Cast the column to strings.",
    )
    if exact and not missing.any() and not bad.any():
        return values.astype("int64"), problems
    filled = values.where(~(missing | bad), 0)
    return filled.astype("int64"), problems


def _object_ids(
    values: pd.Series, present: pd.Series, column: str, table: str
) -> tuple[pd.Series, list[Problem]]:
    """Return Python objects as strings or integers, all of one kind."""
    present = present.map(lambda one: str(one) if isinstance(one, uuid.UUID) else one)
    kinds = present.map(_kind)
    counts = kinds.value_counts()
    requirement = f"Ids in column {column!r} of {table} must be all strings or all whole numbers"
    remedy = "Cast the column to strings."
    common = str(counts.index[0]) if len(counts) else "str"
    if len(counts) > 1 or common not in ("int", "str"):
        odd = present[kinds != common] if len(counts) > 1 else present
        mixture = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
        evidence = f"{_shown(odd.iloc[0])} ({mixture} in all)"
        rows = np.asarray(odd.index, dtype=np.int64)
        # Half strings and half integers is no slip in a few rows: nothing sensible can be dropped.
        problem = Problem("mixed types", column, requirement, evidence, remedy, rows, fatal=True)
        return values.map(repr).astype("str"), [problem]
    ids = values.copy()
    ids[present.index] = present
    if common == "str":
        return ids.astype("str"), []
    return _number_ids(pd.to_numeric(ids, errors="coerce"), _missing(values), column, table)


def _kind(value: object) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "bool"
    if isinstance(value, (int, np.integer)):
        return "int"
    return "str" if isinstance(value, str) else type(value).__name__


def _missing(values: pd.Series) -> NDArray[np.bool_]:
    """Say which rows hold nothing: null, or text of spaces only."""
    missing = values.isna().to_numpy(dtype=bool)
    if isinstance(values.dtype, pd.StringDtype):
        missing = missing | (values.str.strip() == "").fillna(False).to_numpy(dtype=bool)
    elif values.dtype == object:
        blank = values.map(lambda one: isinstance(one, str) and not one.strip())
        missing = missing | blank.to_numpy(dtype=bool)
    return missing


def _to_float(values: pd.Series) -> NDArray[np.float64]:
    """Return numbers, NaN where there is none; complex and dates are none."""
    if values.dtype == object:
        values = values.map(_number_or_none)
    if not (
        pd.api.types.is_numeric_dtype(values.dtype)
        or pd.api.types.is_bool_dtype(values.dtype)
        or isinstance(values.dtype, pd.StringDtype)
        or values.dtype == object
    ) or pd.api.types.is_complex_dtype(values.dtype):
        return np.full(len(values), np.nan)
    numbers = pd.to_numeric(values, errors="coerce")
    return numbers.to_numpy(np.float64, na_value=np.nan)


def _number_or_none(value: Any) -> float | None:
    """Return one cell of a mixed column as a number, None where it is not one."""
    if isinstance(value, (complex, list, dict, set)):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _to_times(values: pd.Series) -> pd.Series:
    """Return UTC datetimes in nanoseconds, NaT where there is no time."""
    if not pd.api.types.is_datetime64_any_dtype(values.dtype):
        numbers = _to_float(values)
        finite = np.isfinite(numbers)
        if finite.any() and finite.sum() >= (~finite & ~_missing(values)).sum():
            return _from_numbers(numbers, finite, values.index)
        text = values if isinstance(values.dtype, pd.StringDtype) else values.map(_time_text)
        text = text.astype(object).where(~_missing(values), None)
        values = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    zoned = values.dt.tz_localize("UTC") if values.dt.tz is None else values.dt.tz_convert("UTC")
    low, high = pd.Timestamp.min.tz_localize("UTC"), pd.Timestamp.max.tz_localize("UTC")
    return zoned.where((zoned > low) & (zoned < high)).dt.as_unit("ns")


def _time_text(value: Any) -> str | None:
    """Return one cell of a mixed column as ISO 8601 text, None where it is no time."""
    if isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, date) and not pd.isna(value) else None


def _from_numbers(
    numbers: NDArray[np.float64], finite: NDArray[np.bool_], index: pd.Index
) -> pd.Series:
    middle = float(np.median(np.abs(numbers[finite])))
    factor = next(factor for limit, _, factor in _UNITS if middle < limit)
    fits = finite & (np.abs(np.where(finite, numbers, 0.0)) < 9.2e18 / factor)
    nanoseconds = np.full(len(numbers), np.iinfo(np.int64).min)
    # Whole and fractional parts apart: a float holds nanoseconds of today to 256 only.
    whole = np.floor(numbers[fits])
    part = np.round((numbers[fits] - whole) * factor).astype(np.int64)
    nanoseconds[fits] = whole.astype(np.int64) * factor + part
    return pd.Series(nanoseconds.view("datetime64[ns]"), index=index).dt.tz_localize("UTC")


def _at(
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


def _show(values: pd.Series) -> Callable[[int], str]:
    return lambda row: _shown(values.iloc[row])


def _shown(value: Any) -> str:
    """Return a cell as it was written, without NumPy's type around it."""
    plain = value.item() if isinstance(value, np.generic) else value
    return f"{plain!r:.80}"
