"""Columns of times: dates as text or digits, numbers since 1970, days of a spreadsheet."""

import math
import re
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from recsys_lib.checks import Doubles, Mask
from recsys_lib.tables import Cleaned, Column, Problem, shown, to_float

#: Nanoseconds in one unit of numbers that are times.
FACTORS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1, "serial": 86_400 * 10**9}
_WORDS = {
    "": "ISO 8601, or numbers since 1970",
    "s": "seconds since 1970",
    "serial": "days of a spreadsheet",
    "%Y%m": "year and month",
}
_WITHOUT = "or give timestamp=None to read without times."
# Magnitudes that tell seconds, milliseconds, microseconds and nanoseconds since 1970 apart:
# each unit reaches from 1973 to the year 5138 before it would be taken for the next.
_LIMITS = ((1e11, "s"), (1e14, "ms"), (1e17, "us"), (math.inf, "ns"))
# Numbers whose digits are a date, by how many there are. Of six and ten all must be: others in the
# same range may well be seconds.
_CALENDARS = {4: "%Y", 6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_YEARS = (1900, 2100)
_SERIALS = (20_000, 60_000)  # days of 1954 to 2064, counted from the end of 1899
_SERIAL_ZERO = 25_569  # the serial number of 1970-01-01

# What pandas doesn't take for ISO 8601: signs of it, what is replaced, and by what.
_REWRITTEN = (
    (r"UTC$|GMT$", r"\s*(?:UTC|GMT)$", "Z"),
    (r"^\d{4}-\d\d-\d\dZ$", r"^(\d{4}-\d\d-\d\d)Z$", r"\1"),
    (r"^\d{4}/", r"^(\d{4})/(\d\d)/(\d\d)", r"\1-\2-\3"),
)

# A time of the day, and one that says its zone.
_CLOCK = r"^\d{4}[-/]?\d\d[-/]?\d\d[T ]\d\d"
_ZONE = _CLOCK + r".*(?:Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)$"
# A date whose first two numbers may be day and month, or month and day.
_DAY_AND_MONTH = re.compile(
    r"\d{1,2}([/.-])\d{1,2}\1(\d{4}|\d\d)(?:([T ])\d{1,2}:\d\d(:\d\d)?( ?[AP]M)?)?", re.IGNORECASE
)


def clean_times(column: Column, date_format: str | None = None) -> Cleaned:
    """Return times as UTC datetimes; numbers are dates by their digits, or counts since 1970.

    Parameters
    ----------
    column : Column
        Datetimes, ISO 8601 text, or numbers (also as text). Times without a zone are UTC.
    date_format : str, optional
        See `ReadOptions`.

    Notes
    -----
    Numbers such as 20240131 or 2024 are dates. The median of others tells their unit: below 1e11
    seconds, below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds. Where text can be
    read with the day or the month first, or numbers may be days of a spreadsheet, the problem asks
    for `date_format`. Text of which only a part has a zone is a warning.
    """
    values, missing = column.cells, column.missing
    dated = pd.api.types.is_datetime64_any_dtype(values.dtype)
    numbers = np.full(len(values), np.nan) if dated else to_float(values)
    read_as, choices = date_format, list[str]()
    if date_format is None and not dated:
        read_as, choices = _recognized(values, numbers, missing)
    if choices:
        return _undecided(column, choices)
    times = _in_range(values if dated else _parsed(values, numbers, missing, read_as))
    wanted = _WORDS.get(read_as or "", f"written as {read_as!r}")
    problems = column.nulls("hold times", f"Drop the rows, {_WITHOUT}")
    problems += column.problem(
        "not a time",
        times.isna().to_numpy() & ~missing,
        f"Column {column} must hold times: {wanted}, in the years 1678 to 2261",
        f'Correct or drop the rows, say how they are written with date_format="...", {_WITHOUT}',
    )
    return times, problems if read_as or dated else problems + _mixed_zones(column)


def _recognized(values: pd.Series, numbers: Doubles, missing: Mask) -> tuple[str | None, list[str]]:
    """Return the format of times (None: ISO 8601), or those to choose from."""
    finite = np.isfinite(numbers)
    if finite.any() and finite.sum() >= (~finite & ~missing).sum():
        return format_of_numbers(numbers[finite])
    return _format_of_text(values[~missing])


def format_of_numbers(numbers: Doubles) -> tuple[str, list[str]]:
    """Return how numbers are to be read as times, or the formats to choose from."""
    middle = float(np.median(np.abs(numbers)))
    digits = len(f"{middle:.0f}")
    calendar = _CALENDARS.get(digits)
    if calendar is not None:
        years = numbers // 10 ** (digits - 4)
        whole = (numbers == np.floor(numbers)) & (years >= _YEARS[0]) & (years <= _YEARS[1])
        sure = whole.mean() > 0.5
        if digits in (6, 10):
            sure = whole.all() and _calendar(numbers, calendar).notna().all()
        if sure:
            return (calendar, []) if digits != 6 else ("", ["%Y%m", "s"])
    if ((numbers >= _SERIALS[0]) & (numbers <= _SERIALS[1])).all():
        return "", ["serial", "s"]
    return next(unit for limit, unit in _LIMITS if middle < limit), []


def _format_of_text(values: pd.Series) -> tuple[str | None, list[str]]:
    """Return the one format that reads dates such as 31/01/2024, or both where two do."""
    texts = _texts(values).dropna()
    found = _DAY_AND_MONTH.fullmatch(texts.iloc[0]) if len(texts) else None
    if found is None:
        return None, []
    texts = pd.Series(texts.unique())
    sign, year, gap, seconds, half = found.groups()
    ending = "%Y" if len(year) == 4 else "%y"
    if gap:
        hour, after = ("%I", re.sub("[AP]M", "%p", half.upper())) if half else ("%H", "")
        ending += f"{gap}{hour}:%M{':%S' if seconds else ''}{after}"
    formats = [f"%d{sign}%m{sign}{ending}", f"%m{sign}%d{sign}{ending}"]
    if sign == ".":  # with dots the day is first everywhere
        return formats[0], []
    day, month = (
        pd.to_datetime(texts, format=one, errors="coerce").notna().mean() for one in formats
    )
    if max(day, month) < 0.5:
        return None, []
    return (None, formats) if day == month else (formats[int(month > day)], [])


def _undecided(column: Column, choices: list[str]) -> Cleaned:
    """Return the problem that asks which format is meant; no row can be dropped to mend it."""
    day = {one: "day first" if one.startswith("%d") else "month first" for one in choices}
    asked = " or ".join(f'date_format="{one}" ({_WORDS.get(one, day[one])})' for one in choices)
    nothing = pd.Series(pd.NaT, index=column.cells.index, dtype="datetime64[ns, UTC]")
    return nothing, column.problem(
        "ambiguous times",
        ~column.missing,
        f"Times in column {column} must have one meaning",
        f"Give {asked}, {_WITHOUT}",
        fatal=True,
    )


def _parsed(values: pd.Series, numbers: Doubles, missing: Mask, read_as: str | None) -> pd.Series:
    """Return datetimes of any unit, with or without a zone; NaT where there is no time."""
    if read_as in FACTORS:
        since = numbers - _SERIAL_ZERO * (read_as == "serial")
        # One number beyond would make pandas go through all of them one by one.
        since = np.where(np.abs(since) < 9.2e18 / FACTORS[read_as], since, np.nan)
        unit = "D" if read_as == "serial" else read_as
        return pd.to_datetime(pd.Series(since, index=values.index), unit=unit)
    if read_as is not None and read_as in _CALENDARS.values() and np.isfinite(numbers).any():
        return _calendar(numbers, read_as).set_axis(values.index)
    text = _texts(values).where(~missing, None)
    if read_as is not None:
        return pd.to_datetime(text, format=read_as, utc=True, errors="coerce")
    for found, sign, written in _REWRITTEN:
        # Replacing takes ten times as long as looking whether there is anything to replace.
        if text.str.contains(found, regex=True).any():
            text = text.str.replace(sign, written, regex=True)
    return pd.to_datetime(text.astype(object), format="ISO8601", utc=True, errors="coerce")


def _in_range(times: pd.Series) -> pd.Series:
    """Return UTC datetimes in nanoseconds, NaT beyond the years that these can hold."""
    zoned = times.dt.tz_localize("UTC") if times.dt.tz is None else times.dt.tz_convert("UTC")
    low, high = pd.Timestamp.min.tz_localize("UTC"), pd.Timestamp.max.tz_localize("UTC")
    return zoned.where((zoned > low) & (zoned < high)).dt.as_unit("ns")


def _calendar(numbers: Doubles, date_format: str) -> pd.Series:
    """Return the dates that the digits of whole numbers write, NaT where they write none."""
    whole = np.isfinite(numbers) & (numbers == np.floor(numbers)) & (np.abs(numbers) < 2**53)
    digits = pd.Series(np.where(whole, numbers, 0).astype(np.int64)).astype("str")
    # pandas would read 2024111 as the first of November, or the eleventh of January.
    right = digits.str.len() == 2 + 2 * date_format.count("%")
    return pd.to_datetime(digits.where(right, None), format=date_format, errors="coerce")


def _texts(values: pd.Series) -> pd.Series:
    """Return times as ISO 8601 text, None where a cell is no time."""
    if not isinstance(values.dtype, pd.StringDtype):
        values = values.map(_time_text)
    return values.astype("str").str.strip()


def _time_text(value: Any) -> str | None:
    """Return one cell of a mixed column as ISO 8601 text, None where it is no time."""
    if isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, date) and not pd.isna(value) else None


def _mixed_zones(column: Column) -> list[Problem]:
    """Return a warning where some times say their zone and others, of the same column, none."""
    text = _texts(column.cells)
    zoned = text.str.contains(_ZONE).to_numpy(dtype=bool, na_value=False)
    clocks = text.str.contains(_CLOCK).to_numpy(dtype=bool, na_value=False)
    bare = clocks & ~zoned
    if not zoned.any() or not bare.any():
        return []
    fewer, others = (zoned, "none") if zoned.sum() < bare.sum() else (bare, "a zone")
    return column.problem(
        "mixed time zones",
        fewer,
        f"Times in column {column} should all say their zone, or none",
        "Times without a zone are taken as UTC; add the zone where that is wrong.",
        f"{shown(column.cells[fewer].iloc[0])}, others have {others}",
        warning=True,
    )
