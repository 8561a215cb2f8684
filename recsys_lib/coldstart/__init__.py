"""Cold start: people without a history, from their profiles; items without users, from content."""

from recsys_lib.coldstart.content import ContentRidge, ItemContent, stack_content
from recsys_lib.coldstart.handover import Handover, Rung, rungs_of
from recsys_lib.coldstart.ladder import (
    Ladder,
    LikeRates,
    ProfileNeighbors,
    ProfileRegression,
    RungAnswer,
    SegmentPopularity,
)
from recsys_lib.coldstart.new_items import NewItems, WithNewItems
from recsys_lib.coldstart.profile import ProfileSpace
from recsys_lib.coldstart.reasons import leave_one_out_gains

__all__ = [
    "ContentRidge",
    "Handover",
    "ItemContent",
    "Ladder",
    "LikeRates",
    "NewItems",
    "ProfileNeighbors",
    "ProfileRegression",
    "ProfileSpace",
    "Rung",
    "RungAnswer",
    "SegmentPopularity",
    "WithNewItems",
    "leave_one_out_gains",
    "rungs_of",
    "stack_content",
]


def __dir__() -> list[str]:
    return sorted(__all__)
