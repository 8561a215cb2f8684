"""Working time: a year of weeks with busy mornings, quiet nights and quieter weekends."""

import datetime as dt

import numpy as np
from numpy.typing import NDArray

__all__ = ["WEEKS", "at_working_time", "first_monday"]

WEEKS = 50
"""Weeks in which sessions begin; what is left of the year lets the last ones end."""

_WEEKDAY = np.array([1] * 7 + [10, 30, 50, 55, 50, 30, 45, 50, 45, 40, 30, 18, 14, 14, 12, 8, 4.0])
_WEEK = np.concatenate([*[_WEEKDAY] * 5, *[_WEEKDAY * 0.25] * 2])
_BUSY = np.concatenate([[0.0], np.cumsum(_WEEK) / _WEEK.sum()])
_HOUR = 3600.0


def first_monday(year: int) -> int:
    """Return the first Monday of a year at midnight UTC, in seconds since 1970.

    Examples
    --------
    >>> dt.datetime.fromtimestamp(first_monday(2020), dt.UTC).isoformat()
    '2020-01-06T00:00:00+00:00'
    """
    new_year = dt.datetime(year, 1, 1, tzinfo=dt.UTC)
    return int((new_year + dt.timedelta(days=-new_year.weekday() % 7)).timestamp())


def at_working_time(share: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the second of the year by which a given share of its activity has happened.

    Parameters
    ----------
    share : ndarray of float
        In [0, 1].

    Returns
    -------
    ndarray of int64
        Seconds since the first Monday; increasing in `share`.

    Examples
    --------
    >>> at_working_time(np.array([0.0, 0.01, 1.0])) // 3600
    array([   0,   64, 8400])
    """
    week, within = np.divmod(np.asarray(share) * WEEKS, 1.0)
    hours = np.interp(within, _BUSY, np.arange(len(_BUSY)))
    return np.floor((week * len(_WEEK) + hours) * _HOUR).astype(np.int64)
