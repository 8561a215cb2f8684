"""Splits: training, validation and test parts."""

from recsys_lib.splitting.ratings import split_ratings
from recsys_lib.splitting.times import leave_last_out, split_by_time
from recsys_lib.splitting.users import enough_interactions, hold_out, strong_generalization

__all__ = [
    "enough_interactions",
    "hold_out",
    "leave_last_out",
    "split_by_time",
    "split_ratings",
    "strong_generalization",
]


def __dir__() -> list[str]:
    return sorted(__all__)
