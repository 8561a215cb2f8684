"""Measure recommenders: metrics, reports, comparisons, ceilings, calibration, leak checks."""

from recsys_lib.evaluation.audiences import audience_table, item_table, wins
from recsys_lib.evaluation.calibration import Calibrator, fit_calibrator, promises, score_cells
from recsys_lib.evaluation.catalog import known_metrics, parse_metric
from recsys_lib.evaluation.ceiling import share_of_gap_closed
from recsys_lib.evaluation.complete import measured_and_true
from recsys_lib.evaluation.evaluate import evaluate
from recsys_lib.evaluation.latent import (
    active_units,
    doubt_curve,
    kl_by_dimension,
    kl_spectra,
    linear_recovery,
    open_lists,
    recovery_table,
)
from recsys_lib.evaluation.leaderboard import CEILINGS, FLOORS, leaderboard, metric_table
from recsys_lib.evaluation.leaks import (
    assert_below_ceiling,
    assert_no_future,
    assert_no_shared_pairs,
    assert_no_shared_users,
    assert_statistic_of_train,
    assert_vocabulary,
)
from recsys_lib.evaluation.newcomers import (
    OnlyItems,
    cut_history,
    hide_items,
    list_stability,
    measure_blends,
    newcomer_curve,
    newcomer_verdict,
    reached_lengths,
)
from recsys_lib.evaluation.references import (
    MeanRating,
    MostPopular,
    RandomOrder,
    error_levels,
    evaluate_all,
    reference_reports,
)
from recsys_lib.evaluation.reliability import (
    brier_score,
    expected_calibration_error,
    reliability_table,
)
from recsys_lib.evaluation.report import Report
from recsys_lib.evaluation.segments import (
    by_history_length,
    by_item_popularity,
    by_mainstream,
    popularity_buckets,
)
from recsys_lib.evaluation.significance import Comparison, compare, holm
from recsys_lib.evaluation.steps import gains_of_steps

__all__ = [
    "CEILINGS",
    "FLOORS",
    "Calibrator",
    "Comparison",
    "MeanRating",
    "MostPopular",
    "OnlyItems",
    "RandomOrder",
    "Report",
    "active_units",
    "assert_below_ceiling",
    "assert_no_future",
    "assert_no_shared_pairs",
    "assert_no_shared_users",
    "assert_statistic_of_train",
    "assert_vocabulary",
    "audience_table",
    "brier_score",
    "by_history_length",
    "by_item_popularity",
    "by_mainstream",
    "compare",
    "cut_history",
    "doubt_curve",
    "error_levels",
    "evaluate",
    "evaluate_all",
    "expected_calibration_error",
    "fit_calibrator",
    "gains_of_steps",
    "hide_items",
    "holm",
    "item_table",
    "kl_by_dimension",
    "kl_spectra",
    "known_metrics",
    "leaderboard",
    "linear_recovery",
    "list_stability",
    "measure_blends",
    "measured_and_true",
    "metric_table",
    "newcomer_curve",
    "newcomer_verdict",
    "open_lists",
    "parse_metric",
    "popularity_buckets",
    "promises",
    "reached_lengths",
    "recovery_table",
    "reference_reports",
    "reliability_table",
    "score_cells",
    "share_of_gap_closed",
    "wins",
]


def __dir__() -> list[str]:
    return sorted(__all__)
