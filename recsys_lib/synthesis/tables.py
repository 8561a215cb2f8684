"""Convert the columns of a world to tables with ids and dates, and back."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.synthesis.events import EVENTS, EventLog
from recsys_lib.synthesis.workweek import first_monday

__all__ = ["RatingLog", "events_log", "events_table", "ratings_log", "ratings_table", "seconds_in"]


@dataclass(frozen=True)
class RatingLog:
    """Ratings as columns of equal length, by user and time.

    Attributes
    ----------
    users, items : ndarray of int32
        Positions.
    value : ndarray of int8
        On the scale of the world.
    seconds : ndarray of int64
        Since the first Monday of the year.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    value: NDArray[np.int8]
    seconds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)


def ratings_table(
    log: RatingLog, user_ids: pd.Index, item_ids: pd.Index, year: int
) -> pd.DataFrame:
    """Return ``user_id, item_id, value, timestamp``, by user and time."""
    return pd.DataFrame(
        {
            "user_id": user_ids.take(log.users),
            "item_id": item_ids.take(log.items),
            "value": log.value.astype(np.int64),
            "timestamp": _dates(log.seconds, year),
        }
    )


def ratings_log(
    table: pd.DataFrame, user_ids: pd.Index, item_ids: pd.Index, year: int
) -> RatingLog:
    """Return the columns of a table made by `ratings_table`."""
    return RatingLog(
        users=user_ids.get_indexer(table["user_id"]).astype(np.int32),
        items=item_ids.get_indexer(table["item_id"]).astype(np.int32),
        value=table["value"].to_numpy(np.int8),
        seconds=seconds_in(table["timestamp"], year),
    )


def events_table(log: EventLog, user_ids: pd.Index, item_ids: pd.Index, year: int) -> pd.DataFrame:
    """Return ``user_id, item_id, event, session_id, timestamp, dwell_seconds``."""
    return pd.DataFrame(
        {
            "user_id": user_ids.take(log.users),
            "item_id": item_ids.take(log.items),
            "event": pd.Index(EVENTS).take(log.kind),
            "session_id": log.session,
            "timestamp": _dates(log.seconds, year),
            "dwell_seconds": log.dwell,
        }
    )


def events_log(table: pd.DataFrame, user_ids: pd.Index, item_ids: pd.Index, year: int) -> EventLog:
    """Return the columns of a table made by `events_table`."""
    return EventLog(
        users=user_ids.get_indexer(table["user_id"]).astype(np.int32),
        items=item_ids.get_indexer(table["item_id"]).astype(np.int32),
        kind=pd.Index(EVENTS).get_indexer(table["event"]).astype(np.int8),
        session=table["session_id"].to_numpy(np.int64),
        seconds=seconds_in(table["timestamp"], year),
        dwell=table["dwell_seconds"].to_numpy(np.int32),
    )


def _dates(seconds: NDArray[np.int64], year: int) -> pd.DatetimeIndex:
    stamps = (first_monday(year) + seconds).astype("datetime64[s]").astype("datetime64[ns]")
    return pd.DatetimeIndex(stamps, tz="UTC")


def seconds_in(dates: pd.Series, year: int) -> NDArray[np.int64]:
    """Return the seconds since the first Monday of the year."""
    stamps = dates.dt.tz_convert(None).to_numpy("datetime64[s]").astype(np.int64)
    return np.asarray(stamps - first_monday(year))
