"""The clickstream: views, starts and completions, from the same draw as the ratings."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from recsys_lib.checks import Doubles, Ints, Mask
from recsys_lib.errors import ConfigError
from recsys_lib.seeding import rng_from
from recsys_lib.synthesis.crowd import BLOCK, Blueprint, Crowd, chosen, draw_crowd

Columns = tuple[NDArray[Any], ...]  # row, item, kind, session, seconds, dwell

EVENTS = ("view", "start", "complete")
"""The funnel, in its order."""

_REVISIT_SLOPE = 0.6  # log of the revisit rate per unit of signal
_SESSIONS = 100_000  # per user at most, in the numbering of sessions
_AFTER = 600  # seconds after a rating that stay free for a look back at labs taken before
_PAUSE = 3600  # least time between two sessions of one user, seconds
_NEW_SESSION = 0.55  # chance that the next lab waits for another day
_COMPLETE = (0.3, 1.0)  # log-odds of finishing a lab: at signal 0, and per unit of signal
_FAR = 10**10  # seconds; more than any year, so that users do not mix in a running maximum
_WEEKS = 50  # in which sessions begin; what is left of the year lets the last ones end
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


def dates_of(seconds: Ints, year: int) -> pd.DatetimeIndex:
    """Return the times so many seconds after the first Monday of a year."""
    stamps = (first_monday(year) + seconds).astype("datetime64[s]")
    return pd.DatetimeIndex(stamps.astype("datetime64[ns]"), tz="UTC")


def at_working_time(share: Doubles) -> Ints:
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
    week, within = np.divmod(np.asarray(share) * _WEEKS, 1.0)
    hours = np.interp(within, _BUSY, np.arange(len(_BUSY)))
    return np.floor((week * len(_WEEK) + hours) * _HOUR).astype(np.int64)


@dataclass(frozen=True)
class Visits:
    """One visit per pair taken, in the order of `Crowd`; times are seconds since the first Monday.

    Attributes
    ----------
    session : ndarray of int64
        Number of the session within its user, from 0.
    opened : ndarray of int64
        When the user began to look around; other labs are looked at between this and `viewed`.
    viewed, started, ended, rated : ndarray of int64
        Strictly increasing in each visit, and from each visit to the user's next.
    completed : ndarray of bool
        Whether the lab was finished at `ended`, or left.
    """

    session: Ints
    opened: Ints
    viewed: Ints
    started: Ints
    ended: Ints
    rated: Ints
    completed: Mask


def lay_out(crowd: Crowd, minutes: Ints, rng: np.random.Generator) -> Visits:
    """Schedule every lab that a block of users took within the year.

    Parameters
    ----------
    crowd : Crowd
        Every user must have taken something.
    minutes : ndarray of shape (n_items,), int
        How long each lab takes.
    rng : numpy.random.Generator

    Returns
    -------
    Visits
    """
    count = len(crowd.rows)
    first = np.concatenate([[True], np.diff(crowd.rows) > 0])
    new = first | (rng.random(count) < _NEW_SESSION)
    session = np.cumsum(new) - 1
    steps, completed = _steps(crowd, minutes, rng)
    length = np.sum(steps, axis=0) + _AFTER
    begun = np.cumsum(length) - length
    within = begun - begun[new][session]
    start = _session_starts(crowd.rows[new], np.bincount(session, length).astype(np.int64), rng)
    opened = start[session] + within
    viewed, started, ended, rated = opened + np.cumsum(steps, axis=0)
    first_session = session[first][crowd.rows]
    return Visits(session - first_session, opened, viewed, started, ended, rated, completed)


def _steps(crowd: Crowd, minutes: Ints, rng: np.random.Generator) -> tuple[Ints, Mask]:
    """Return the seconds of each visit's steps, and which visits were completed."""
    count = len(crowd.rows)
    completed = rng.random(count) < expit(_COMPLETE[0] + _COMPLETE[1] * crowd.signal)
    pace, left_at = np.exp(0.25 * rng.standard_normal(count)), 0.05 + 0.7 * rng.random(count)
    seconds = 60.0 * minutes[crowd.items] * pace * np.where(completed, 1.0, left_at)
    looking = 120 + 780 * rng.random(count)
    reading = np.clip(45 * np.exp(0.8 * rng.standard_normal(count)), 5, 600)
    rating = 10 + 110 * rng.random(count)
    steps = np.stack([looking, reading, np.clip(seconds, 60, 6 * 3600), rating])
    return steps.astype(np.int64), completed


def _session_starts(rows: Ints, length: Ints, rng: np.random.Generator) -> Ints:
    """Return the start of each session: Poisson in the user's working time."""
    joined = 0.8 * rng.random(BLOCK) ** 2
    active = (1.0 - joined) * (0.3 + 0.7 * rng.random(BLOCK))
    # Sorting row + share sorts each user's shares, as they lie in [0, 1).
    share = np.sort(rows + rng.random(len(rows))) - rows
    start = at_working_time(np.clip(joined[rows] + active[rows] * share, 0.0, 1.0))
    # A session waits for the end of the one before it: a running maximum of start minus the time
    # that the user's sessions took so far.
    spent = np.cumsum(length + _PAUSE) - (length + _PAUSE)
    apart = rows * _FAR
    return np.maximum.accumulate(start - spent + apart) - apart + spent


def draw_visits(plan: Blueprint, block: int) -> tuple[Crowd, Visits]:
    """Draw a block of users with the labs they took and the times."""
    crowd = draw_crowd(plan, block)
    minutes = plan.catalog.table["duration_minutes"].to_numpy(np.int64)
    rng = rng_from(plan.settings.seed, "users", "visits", str(block))
    return crowd, lay_out(crowd, minutes, rng)


def draw_events(plan: Blueprint) -> Columns:
    """Draw the clickstream of a world.

    Parameters
    ----------
    plan : Blueprint

    Returns
    -------
    users, items : ndarray of int32
        Positions, by user and time.
    kind : ndarray of int8
        Position in `EVENTS`.
    session : ndarray of int64
        Unique over users.
    seconds : ndarray of int64
        Since the first Monday of the year.
    dwell : ndarray of int32
        Seconds on the page; for a start, the time worked.

    Raises
    ------
    ConfigError
        If ``settings.n_events`` is less than what the labs taken and looked at need.

    Notes
    -----
    A lab that is *taken* is viewed, started and rated, and completed with a chance that grows with
    the true signal. Labs that come next in the same Plackett-Luce order are *looked at*, in the
    minutes before one that is taken. So the pairs of the clickstream are a Plackett-Luce draw as
    the pairs rated are, with the same propensities, only longer. Later looks back at a lab taken
    are Poisson, at a rate that grows with the signal; given their total they are multinomial,
    which is how ``n_events`` is met exactly.
    """
    settings, blocks = plan.settings, []
    revisits = None if settings.n_events is None else _shared_revisits(plan, settings.n_events)
    for block in range(plan.n_blocks):
        crowd, visits = draw_visits(plan, block)
        rng = rng_from(settings.seed, "users", "revisits", str(block))
        counts = rng.poisson(settings.revisit_rate * _revisit_weight(crowd))
        if revisits is not None:
            counts, revisits = revisits[: len(counts)], revisits[len(counts) :]
            counts = np.pad(counts, (0, len(crowd.rows) - len(counts)))
        looks = _looks_back(crowd, visits, counts, rng)
        blocks.append(_in_order(plan, block, [*_plain(plan, block, crowd, visits), looks]))
    return tuple(np.concatenate(column) for column in zip(*blocks, strict=True))


def _revisit_weight(crowd: Crowd) -> Doubles:
    return np.asarray(np.exp(_REVISIT_SLOPE * crowd.signal))


def _plain(plan: Blueprint, block: int, crowd: Crowd, visits: Visits) -> list[Columns]:
    """Return all events except revisits."""
    rng = rng_from(plan.settings.seed, "users", "browsing", str(block))
    browsing = _browsing(plan.settings.browse_ratio, crowd, visits, rng)
    return [*_taken_events(crowd, visits), browsing]


def _taken_events(crowd: Crowd, visits: Visits) -> list[Columns]:
    done = visits.completed
    everywhere = np.ones_like(done)
    times = (
        (visits.viewed, visits.started, everywhere),
        (visits.started, visits.ended, everywhere),
        (visits.ended, visits.rated, done),
    )
    columns = []
    for kind, (begin, end, keep) in enumerate(times):
        kinds = np.full(len(crowd.rows), kind)
        event = crowd.rows, crowd.items, kinds, visits.session, begin, end - begin
        columns.append(tuple(column[keep] for column in event))
    return columns


def _browsing(ratio: float, crowd: Crowd, visits: Visits, rng: np.random.Generator) -> Columns:
    """Return views of the labs a user would have taken next, before one of their visits."""
    more = rng.poisson(ratio * crowd.n_taken)
    more = np.minimum(more, crowd.keys.shape[1] - crowd.n_taken)
    rows, items = chosen(crowd.keys, crowd.n_taken + more)
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    rows, items = (column[place >= crowd.n_taken[rows]] for column in (rows, items))
    first = np.searchsorted(crowd.rows, rows)
    near = first + np.floor(rng.random(len(rows)) * crowd.n_taken[rows]).astype(np.int64)
    free = visits.viewed[near] - visits.opened[near]
    seconds = visits.opened[near] + np.floor(rng.random(len(rows)) * free).astype(np.int64)
    return rows, items, np.zeros_like(rows), visits.session[near], seconds, _glance(len(rows), rng)


def _looks_back(crowd: Crowd, visits: Visits, counts: Ints, rng: np.random.Generator) -> Columns:
    """Return revisits: views of a lab after this or a later visit of the same user."""
    origin = np.repeat(np.arange(len(crowd.rows)), counts)
    rows = crowd.rows[origin]
    last = np.searchsorted(crowd.rows, rows, side="right") - 1
    near = origin + np.floor(rng.random(len(rows)) * (last - origin + 1)).astype(np.int64)
    seconds = visits.rated[near] + 1
    seconds += np.floor(rng.random(len(rows)) * (_AFTER - 2)).astype(np.int64)
    glance = _glance(len(rows), rng)
    return rows, crowd.items[origin], np.zeros_like(rows), visits.session[near], seconds, glance


def _glance(count: int, rng: np.random.Generator) -> Ints:
    """Draw the seconds spent on a page that is only viewed."""
    seconds = 25 * np.exp(0.9 * rng.standard_normal(count))
    return np.asarray(np.clip(seconds, 2, 600).astype(np.int64))


def _in_order(plan: Blueprint, block: int, parts: list[Columns]) -> Columns:
    """Return the columns of a block's users who are in the world, sorted by user and time."""
    columns = [np.concatenate(part) for part in zip(*parts, strict=True)]
    row, _, kind, _, seconds, _ = columns
    order = np.lexsort((kind, seconds, row))
    order = order[: np.searchsorted(row[order], plan.in_world(block))]
    row, item, kind, session, seconds, dwell = (column[order] for column in columns)
    user = block * BLOCK + row
    session = user * _SESSIONS + session
    # Nobody is on two pages at a time: the next event of a session ends the one before.
    if len(row):
        same = session[1:] == session[:-1]
        dwell[:-1] = np.where(same, np.minimum(dwell[:-1], np.diff(seconds)), dwell[:-1])
    small = user.astype(np.int32), item.astype(np.int32), kind.astype(np.int8)
    return *small, session, seconds, dwell.astype(np.int32)


def _shared_revisits(plan: Blueprint, n_events: int) -> Ints:
    """Return revisits per pair so that the log has exactly `n_events` rows."""
    others, weights = 0, []
    for block in range(plan.n_blocks):
        crowd, visits = draw_visits(plan, block)
        others += len(_in_order(plan, block, _plain(plan, block, crowd, visits))[0])
        weights.append(_revisit_weight(crowd)[crowd.rows < plan.in_world(block)])
    if n_events < others:
        raise ConfigError(
            f"`n_events` must be at least {others:,}, what the labs taken and looked at need; got "
            f"{n_events:,}. Lower `ratings_per_user` or `browse_ratio`."
        )
    chance = np.concatenate(weights)
    rng = rng_from(plan.settings.seed, "users", "revisits", "shared")
    return np.asarray(rng.multinomial(n_events - others, chance / chance.sum()))
