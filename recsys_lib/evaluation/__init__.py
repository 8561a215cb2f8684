"""Measure recommenders: metrics, reports, comparisons, ceilings, calibration, leak checks."""

from recsys_lib.evaluation.catalogue import known_metrics, parse_metric
from recsys_lib.evaluation.evaluate import evaluate
from recsys_lib.evaluation.report import Report
from recsys_lib.evaluation.significance import Comparison, compare, holm

__all__ = [
    "Comparison",
    "Report",
    "compare",
    "evaluate",
    "holm",
    "known_metrics",
    "parse_metric",
]
