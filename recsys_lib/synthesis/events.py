"""The clickstream: views, starts and completions, from the same draw as the ratings."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_lib.errors import ConfigError
from recsys_lib.seeding import rng_from
from recsys_lib.synthesis.catalog import Catalog
from recsys_lib.synthesis.crowd import BLOCK, Crowd, Taken, draw_crowd, latent_ratings
from recsys_lib.synthesis.exposure import chosen
from recsys_lib.synthesis.profiles import Profiles
from recsys_lib.synthesis.settings import WorldSettings
from recsys_lib.synthesis.visits import AFTER, Visits, lay_out

__all__ = ["EVENTS", "EventLog", "draw_events", "draw_visits"]

EVENTS = ("view", "start", "complete")
"""The funnel, in its order: codes of ``EventLog.kind``."""

_REVISIT_SLOPE = 0.6  # log of the revisit rate per unit of signal
_SESSIONS = 100_000  # per user at most, in the numbering of sessions


@dataclass(frozen=True)
class EventLog:
    """Events as columns of equal length, by user and time.

    Attributes
    ----------
    users, items : ndarray of int32
        Positions.
    kind : ndarray of int8
        Position in `EVENTS`.
    session : ndarray of int64
        Unique over users.
    seconds : ndarray of int64
        Since the first Monday of the year.
    dwell : ndarray of int32
        Seconds on the page; for a start, the time worked.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    kind: NDArray[np.int8]
    session: NDArray[np.int64]
    seconds: NDArray[np.int64]
    dwell: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.users)


Columns = tuple[NDArray[np.int64], ...]  # row, item, kind, session, seconds, dwell


def draw_visits(
    settings: WorldSettings, catalog: Catalog, profiles: Profiles, block: int
) -> tuple[Crowd, Taken, Visits]:
    """Draw a block of users with the labs they took and the times."""
    crowd = draw_crowd(settings, profiles, block)
    taken = latent_ratings(settings, catalog, crowd, block)
    minutes = catalog.table["duration_minutes"].to_numpy(np.int64)
    rng = rng_from(settings.seed, "users", "visits", str(block))
    return crowd, taken, lay_out(taken, minutes, rng)


def draw_events(settings: WorldSettings, catalog: Catalog, profiles: Profiles) -> EventLog:
    """Draw the clickstream of a world.

    Parameters
    ----------
    settings : WorldSettings
    catalog : Catalog
    profiles : Profiles

    Returns
    -------
    EventLog

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
    revisits = _shared_revisits(settings, catalog, profiles)
    blocks = []
    for block, parts in _blocks(settings, catalog, profiles):
        rng = rng_from(settings.seed, "users", "revisits", str(block))
        counts = rng.poisson(settings.revisit_rate * _revisit_weight(parts[1]))
        if revisits is not None:
            counts, revisits = revisits[: len(counts)], revisits[len(counts) :]
            counts = np.pad(counts, (0, len(parts[1].rows) - len(counts)))
        looks = _looks_back(parts[1], parts[2], counts, rng)
        blocks.append(_in_order(settings, block, [*_plain(settings, block, *parts), looks]))
    return EventLog(*(np.concatenate(column) for column in zip(*blocks, strict=True)))


def _blocks(
    settings: WorldSettings, catalog: Catalog, profiles: Profiles
) -> Iterator[tuple[int, tuple[Crowd, Taken, Visits]]]:
    for block in range(-(-settings.n_users // BLOCK)):
        yield block, draw_visits(settings, catalog, profiles, block)


def _kept(settings: WorldSettings, block: int) -> int:
    """Return how many users of a block are in the world: all of them, except in the last block."""
    return min(BLOCK, settings.n_users - block * BLOCK)


def _revisit_weight(taken: Taken) -> NDArray[np.float64]:
    return np.asarray(np.exp(_REVISIT_SLOPE * taken.signal))


def _plain(
    settings: WorldSettings, block: int, crowd: Crowd, taken: Taken, visits: Visits
) -> list[Columns]:
    """Return all events except revisits."""
    rng = rng_from(settings.seed, "users", "browsing", str(block))
    return [*_taken_events(taken, visits), _browsing(settings, crowd, taken, visits, rng)]


def _taken_events(taken: Taken, visits: Visits) -> list[Columns]:
    done = visits.completed
    everywhere = np.ones_like(done)
    times = (
        (visits.viewed, visits.started, everywhere),
        (visits.started, visits.ended, everywhere),
        (visits.ended, visits.rated, done),
    )
    return [
        (
            taken.rows[keep],
            taken.items[keep],
            np.full(len(begin[keep]), kind),
            visits.session[keep],
            begin[keep],
            (end - begin)[keep],
        )
        for kind, (begin, end, keep) in enumerate(times)
    ]


def _browsing(
    settings: WorldSettings,
    crowd: Crowd,
    taken: Taken,
    visits: Visits,
    rng: np.random.Generator,
) -> Columns:
    """Return views of the labs a user would have taken next, before one of their visits."""
    n_items = taken.keys.shape[1]
    more = rng.poisson(settings.browse_ratio * crowd.n_taken)
    more = np.minimum(more, n_items - crowd.n_taken)
    rows, items = chosen(taken.keys, crowd.n_taken + more)
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    rows, items = (column[place >= crowd.n_taken[rows]] for column in (rows, items))
    first = np.searchsorted(taken.rows, rows)
    near = first + np.floor(rng.random(len(rows)) * crowd.n_taken[rows]).astype(np.int64)
    free = visits.viewed[near] - visits.opened[near]
    seconds = visits.opened[near] + np.floor(rng.random(len(rows)) * free).astype(np.int64)
    return rows, items, np.zeros_like(rows), visits.session[near], seconds, _glance(len(rows), rng)


def _looks_back(
    taken: Taken, visits: Visits, counts: NDArray[np.int64], rng: np.random.Generator
) -> Columns:
    """Return revisits: views of a lab after this or a later visit of the same user."""
    origin = np.repeat(np.arange(len(taken.rows)), counts)
    rows = taken.rows[origin]
    last = np.searchsorted(taken.rows, rows, side="right") - 1
    near = origin + np.floor(rng.random(len(rows)) * (last - origin + 1)).astype(np.int64)
    seconds = visits.rated[near] + 1
    seconds += np.floor(rng.random(len(rows)) * (AFTER - 2)).astype(np.int64)
    glance = _glance(len(rows), rng)
    return rows, taken.items[origin], np.zeros_like(rows), visits.session[near], seconds, glance


def _glance(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the seconds spent on a page that is only viewed."""
    seconds = 25 * np.exp(0.9 * rng.standard_normal(count))
    return np.asarray(np.clip(seconds, 2, 600).astype(np.int64))


def _in_order(settings: WorldSettings, block: int, parts: list[Columns]) -> Columns:
    """Return the columns of a block's users who are in the world, sorted by user and time."""
    row, item, kind, session, seconds, dwell = (np.concatenate(p) for p in zip(*parts, strict=True))
    order = np.lexsort((kind, seconds, row))
    order = order[: np.searchsorted(row[order], _kept(settings, block))]
    row, item, kind, session, seconds, dwell = (
        column[order] for column in (row, item, kind, session, seconds, dwell)
    )
    user = block * BLOCK + row
    session = user * _SESSIONS + session
    # Nobody is on two pages at a time: the next event of a session ends the one before.
    if len(row):
        same = session[1:] == session[:-1]
        dwell[:-1] = np.where(same, np.minimum(dwell[:-1], np.diff(seconds)), dwell[:-1])
    return (
        user.astype(np.int32),
        item.astype(np.int32),
        kind.astype(np.int8),
        session,
        seconds,
        dwell.astype(np.int32),
    )


def _shared_revisits(
    settings: WorldSettings, catalog: Catalog, profiles: Profiles
) -> NDArray[np.int64] | None:
    """Return revisits per pair so that the log has exactly `n_events` rows, or None."""
    if settings.n_events is None:
        return None
    others, weights = 0, []
    for block, parts in _blocks(settings, catalog, profiles):
        others += len(_in_order(settings, block, _plain(settings, block, *parts))[0])
        inside = parts[1].rows < _kept(settings, block)
        weights.append(_revisit_weight(parts[1])[inside])
    left = settings.n_events - others
    if left < 0:
        raise ConfigError(
            f"`n_events` must be at least {others:,}, what the labs taken and looked at need; got "
            f"{settings.n_events:,}. Lower `ratings_per_user` or `browse_ratio`."
        )
    chance = np.concatenate(weights)
    rng = rng_from(settings.seed, "users", "revisits", "shared")
    return np.asarray(rng.multinomial(left, chance / chance.sum()))
