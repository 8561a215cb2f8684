"""Choosing settings, on validation only."""

from recsys_lib.tuning.catalog import Options, Range
from recsys_lib.tuning.method import (
    Choice,
    approach_by_setting,
    approach_ceiling,
    approach_in_world,
    candidate_families,
    choose,
    contest,
    fit_and_evaluate,
    leave_out_costly,
)
from recsys_lib.tuning.results import as_call, measure_gains, summarize, write_best
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
