"""Choosing settings, on validation only."""

from recsys_lib.tuning.approach import (
    approach_by_setting,
    approach_ceiling,
    approach_in_world,
    contest,
    fit_and_evaluate,
)
from recsys_lib.tuning.choosing import Choice, choose
from recsys_lib.tuning.families import candidate_families, leave_out_costly
from recsys_lib.tuning.gains import measure_gains, summarize
from recsys_lib.tuning.parameters import as_call, write_best
from recsys_lib.tuning.ranges import Options, Range
from recsys_lib.tuning.search import search, search_all
from recsys_lib.tuning.spaces import Space

__all__ = [
    "Choice",
    "Options",
    "Range",
    "Space",
    "approach_by_setting",
    "approach_ceiling",
    "approach_in_world",
    "as_call",
    "candidate_families",
    "choose",
    "contest",
    "fit_and_evaluate",
    "leave_out_costly",
    "measure_gains",
    "search",
    "search_all",
    "summarize",
    "write_best",
]


def __dir__() -> list[str]:
    return sorted(__all__)
