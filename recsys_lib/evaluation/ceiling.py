"""The share of the gap between floor and ceiling that a model closes."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.errors import ConfigError
from recsys_lib.evaluation.catalog import parse_metrics
from recsys_lib.evaluation.estimates import Estimate, Sample, bootstrap, percentile_interval
from recsys_lib.evaluation.report import Report
from recsys_lib.evaluation.runs import group_runs

__all__ = ["share_of_gap_closed"]


def share_of_gap_closed(
    reports: Sequence[Report],
    *,
    floor: Report,
    ceiling: Report,
    metrics: Sequence[str] | None = None,
    confidence: float = 0.95,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the share of the gap each model closes: (model - floor) / (ceiling - floor).

    Parameters
    ----------
    reports : sequence of Report
        On the fold of `floor` and `ceiling`. Reports of one name are runs of one model.
    floor, ceiling : Report
        Such as popularity and an oracle.
    metrics : sequence of str, optional
        Per-user metrics; all that every report holds where it is not given.
    confidence, n_resamples, seed
        Of the paired bootstrap interval over users.

    Returns
    -------
    DataFrame
        Columns ``metric, model, value, floor, ceiling, share, low, high, n_users``. ``share`` is 0
        at the floor, 1 at the ceiling, below 0 for a model that is worse than the floor, and NaN
        where the gap itself is not distinguishable from 0, as in a world without anything to learn.

    Raises
    ------
    ConfigError
        If the reports share no per-user metric.
    ValueError
        If they are not on one fold.

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.dataset import Fold
    >>> from recsys_lib.evaluation import MostPopular, evaluate
    >>> wanted = sparse.csr_array(np.eye(3)[[2] * 30 + [1] * 10])
    >>> fold = Fold(fold_in=sparse.csr_array((40, 3)), targets=wanted, users=np.arange(40))
    >>> class Oracle:
    ...     def score_users(self, users, fold_in):
    ...         return wanted[users].toarray()
    >>> worst, middle = (MostPopular(counts) for counts in ([9, 1, 0], [0, 1, 9]))
    >>> floor, model, top = (
    ...     evaluate(one, fold, ["recall@1"], name=name)
    ...     for one, name in ((worst, "floor"), (middle, "model"), (Oracle(), "oracle"))
    ... )
    >>> share_of_gap_closed([model], floor=floor, ceiling=top)[["model", "value", "share"]]
       model  value  share
    0  model   0.75   0.75
    """
    models = group_runs([floor, ceiling, *reports])
    low_end, high_end = group_runs([floor])[0], group_runs([ceiling])[0]
    wanted = [runs for runs in models if runs.name in {report.name for report in reports}]
    shared = [
        name for name in floor.per_user_metrics if all(name in runs.metrics for runs in models)
    ]
    names = shared if metrics is None else [metric.name for metric in parse_metrics(metrics)]
    if not names:
        raise ConfigError(
            "`reports`, `floor` and `ceiling` must share a per-user metric; they share none. "
            "Evaluate all with the same metrics."
        )
    tables = []
    for name in names:
        samples = [runs.mean_sample(name) for runs in (low_end, high_end, *wanted)]
        draws = bootstrap(samples, n_resamples=n_resamples, seed=seed)
        table = _gap_table(samples, draws, confidence)
        table.insert(0, "metric", name)
        table.insert(1, "model", [runs.name for runs in wanted])
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _gap_table(
    samples: Sequence[Sample], draws: NDArray[np.float64], confidence: float
) -> pd.DataFrame:
    """One row per model; the samples and draws of floor and ceiling come first."""
    bottom, top, *values = (sample.mean for sample in samples)
    gap = Estimate(
        value=top - bottom,
        influence=samples[1].influence - samples[0].influence,
        n_users=samples[0].n_users,
        seed_parts=(),
        draws=draws[:, 1] - draws[:, 0],
    )
    learnable = gap.p_value < 1 - confidence
    rows = []
    for value, drawn in zip(values, draws[:, 2:].T, strict=True):
        closed = (drawn - draws[:, 0]) / gap.draws if learnable else np.array([])
        low, high = percentile_interval(closed, confidence)
        share = (value - bottom) / gap.value if learnable else np.nan
        rows.append({"value": value, "floor": bottom, "ceiling": top, "share": share})
        rows[-1] |= {"low": low, "high": high, "n_users": gap.n_users}
    return pd.DataFrame(rows)
