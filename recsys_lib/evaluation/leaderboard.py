"""The leaderboard: floors, models and ceilings with intervals and the gap closed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from recsys_lib.errors import ConfigError
from recsys_lib.evaluation.catalog import parse_metric
from recsys_lib.evaluation.ceiling import share_of_gap_closed
from recsys_lib.evaluation.report import Report
from recsys_lib.evaluation.significance import compare

__all__ = ["CEILINGS", "FLOORS", "leaderboard", "metric_table"]

#: Names of the rows that need no model, and of those that know the truth; see `reference_reports`.
FLOORS = ("random", "popularity", "mean rating")
CEILINGS = ("fold-in oracle", "omniscient")


def leaderboard(
    reports: Sequence[Report],
    metric: str,
    *,
    floors: Sequence[str] = FLOORS,
    ceilings: Sequence[str] = CEILINGS,
    confidence: float = 0.95,
    n_resamples: int = 2_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Rank models in one metric between the floor and the ceiling.

    Parameters
    ----------
    reports : sequence of Report
        On one fold; those without the metric are left out.
    metric : str
        A per-user metric, such as ``"rmse"`` or ``"ndcg@10"``.
    floors, ceilings : sequence of str
        Names that are no models, from low to high. Names without a report are absent: real data
        has no oracle. The gap is that from the last floor to the first ceiling.
    confidence, n_resamples, seed
        Of the bootstrap interval over users.

    Returns
    -------
    DataFrame
        Indexed by ``model``: floors, models from worst to best, ceilings. ``value``, its interval
        ``low`` and ``high``, ``role`` in {"floor", "model", "ceiling"}, and, where there is a
        ceiling, ``gap``: the share of the gap closed (see `share_of_gap_closed`), NaN beyond it.

    Raises
    ------
    ConfigError
        If fewer than two reports hold the metric.

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.dataset import Fold
    >>> from recsys_lib.evaluation import MostPopular, evaluate
    >>> wanted = sparse.csr_array(np.eye(3)[[2] * 30 + [1] * 10])
    >>> fold = Fold(fold_in=sparse.csr_array((40, 3)), targets=wanted, users=np.arange(40))
    >>> counts = {"popularity": [9, 1, 0], "knn": [0, 9, 1], "omniscient": [0, 1, 9]}
    >>> reports = [evaluate(MostPopular(c), fold, ["mrr@3"], name=n) for n, c in counts.items()]
    >>> leaderboard(reports, "mrr@3")[["value", "role", "gap"]].round(3)
                value     role  gap
    model
    popularity  0.375    floor  0.0
    knn         0.625    model  0.5
    omniscient  0.875  ceiling  1.0
    """
    shared = [report for report in reports if metric in report.metrics]
    if len(shared) < 2:
        raise ConfigError(
            f"`reports` must hold {metric!r} at least twice; {len(shared)} of {len(reports)} do. "
            f"Evaluate with metrics=({metric!r}, ...)."
        )
    options: dict[str, Any] = {"confidence": confidence, "n_resamples": n_resamples, "seed": seed}
    scores = compare(shared, [metric], **options).scores.set_index("model")
    best_last = parse_metric(metric).higher_is_better is not False
    ranked = scores.sort_values("value", ascending=best_last, kind="stable").index
    low_ends = [name for name in floors if name in ranked]
    high_ends = [name for name in ceilings if name in ranked]
    models = [name for name in ranked if name not in low_ends + high_ends]
    table = scores.loc[[*low_ends, *models, *high_ends], ["value", "low", "high"]]
    roles = ["floor"] * len(low_ends) + ["model"] * len(models) + ["ceiling"] * len(high_ends)
    table["role"] = roles
    if low_ends and high_ends:
        table["gap"] = _gaps(shared, metric, low_ends[-1], high_ends[0], models, options)
    return table


def metric_table(reports: Sequence[Report], metrics: Sequence[str]) -> pd.DataFrame:
    """Return the values of several metrics, one row a report and one column a metric."""
    rows = {report.name: [report[metric] for metric in metrics] for report in reports}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(metrics))
    return table.rename_axis("model")


def _gaps(
    reports: Sequence[Report],
    metric: str,
    floor: str,
    ceiling: str,
    models: Sequence[str],
    options: dict[str, Any],
) -> pd.Series:
    """Share of the gap closed by each model, 0 and 1 at its ends."""
    one = {report.name: report for report in reports}
    if not models:
        return pd.Series({floor: 0.0, ceiling: 1.0})
    found = share_of_gap_closed(
        [report for report in reports if report.name in models],
        floor=one[floor],
        ceiling=one[ceiling],
        metrics=[metric],
        **options,
    )
    shares = found.set_index("model")["share"]
    ends = np.nan if shares.isna().all() else 1.0
    return pd.concat([shares, pd.Series({floor: 0.0 * ends, ceiling: ends})])
