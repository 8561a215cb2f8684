"""The time of each visit: sessions in a year, visits in a session, in draw order."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from recsys_lib.synthesis.crowd import BLOCK, Taken
from recsys_lib.synthesis.workweek import at_working_time

__all__ = ["AFTER", "Visits", "lay_out"]

Ints = NDArray[np.int64]

AFTER = 600
"""Seconds after a rating that stay free for a look back at labs taken before."""
_PAUSE = 3600  # least time between two sessions of one user, seconds
_NEW_SESSION = 0.55  # chance that the next lab waits for another day
_COMPLETE = (0.3, 1.0)  # log-odds of finishing a lab: at signal 0, and per unit of signal
_FAR = 10**10  # seconds; more than any year, so that users do not mix in a running maximum


@dataclass(frozen=True)
class Visits:
    """One visit per pair taken, in the order of `Taken`; times are seconds since the first Monday.

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
    completed: NDArray[np.bool_]


def lay_out(taken: Taken, minutes: Ints, rng: np.random.Generator) -> Visits:
    """Schedule every lab that a block of users took within the year.

    Parameters
    ----------
    taken : Taken
        Every row must have taken something.
    minutes : ndarray of shape (n_items,), int
        How long each lab takes.
    rng : numpy.random.Generator

    Returns
    -------
    Visits
    """
    count = len(taken.rows)
    first = np.concatenate([[True], np.diff(taken.rows) > 0])
    new = first | (rng.random(count) < _NEW_SESSION)
    session = np.cumsum(new) - 1
    steps, completed = _steps(taken, minutes, rng)
    length = np.sum(steps, axis=0) + AFTER
    begun = np.cumsum(length) - length
    within = begun - begun[new][session]
    start = _session_starts(taken.rows[new], np.bincount(session, length).astype(np.int64), rng)
    opened = start[session] + within
    viewed, started, ended, rated = opened + np.cumsum(steps, axis=0)
    return Visits(
        session=session - session[first][taken.rows],
        opened=opened,
        viewed=viewed,
        started=started,
        ended=ended,
        rated=rated,
        completed=completed,
    )


def _steps(taken: Taken, minutes: Ints, rng: np.random.Generator) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the seconds of each visit's steps, and which visits were completed."""
    count = len(taken.rows)
    completed = rng.random(count) < expit(_COMPLETE[0] + _COMPLETE[1] * taken.signal)
    pace, left_at = np.exp(0.25 * rng.standard_normal(count)), 0.05 + 0.7 * rng.random(count)
    seconds = 60.0 * minutes[taken.items] * pace * np.where(completed, 1.0, left_at)
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
