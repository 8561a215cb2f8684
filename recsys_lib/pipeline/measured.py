"""What a run measured, kept user by user: two runs can then be compared on the same people."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from recsys_lib.evaluation import Report
from recsys_lib.evaluation.metrics import parse_metric
from recsys_lib.pipeline.manifest import Metric

__all__ = ["as_reports", "metrics_of", "read_reports", "write_reports"]


def as_reports(given: Iterable[Any]) -> list[Report]:
    """Return the reports among the arguments of a call: reports, or lists of them.

    Raises
    ------
    TypeError
        If anything else is among them.
    """
    found: list[Report] = []
    for one in given:
        if isinstance(one, Report):
            found.append(one)
        elif isinstance(one, Iterable) and not isinstance(one, str | bytes):
            found += as_reports(one)
        else:
            raise TypeError(
                f"`reports` must be what `evaluate` returned; got {type(one).__name__}. "
                "Give the report, not a number of it."
            )
    return found


def metrics_of(reports: Sequence[Report]) -> dict[str, dict[str, Any]]:
    """Return each number of the reports with its standard error over users.

    Parameters
    ----------
    reports : sequence of Report
        Each model and metric once.

    Returns
    -------
    dict
        ``"model.metric"`` -> the fields of `Metric`.

    Raises
    ------
    ValueError
        If a metric of a model occurs twice: nobody could say later which one a number was.
    """
    found: dict[str, dict[str, Any]] = {}
    for report in reports:
        for metric in report.metrics:
            name = f"{report.name}.{metric}"
            if name in found:
                raise ValueError(
                    f"`reports` must hold each metric of a model once; {name!r} occurs twice. "
                    "Give the reports names of their own, as evaluate(..., name='...')."
                )
            found[name] = asdict(_metric(report, metric))
    return found


def _metric(report: Report, metric: str) -> Metric:
    better = parse_metric(metric).higher_is_better
    if metric not in report.per_user_metrics:
        return Metric(report[metric], higher_is_better=better)
    sample = report.sample(metric)
    error = sample.standard_error
    return Metric(sample.mean, error if math.isfinite(error) else None, sample.n_users, better)


def write_reports(folder: Path, reports: Sequence[Report]) -> None:
    """Write reports into an empty folder, in order, without the lists, which are the bulk."""
    for place, report in enumerate(reports):
        replace(report, items=report.items[:, :0]).save(folder / f"{place:02d}")


def read_reports(folder: Path) -> list[Report]:
    """Read what `write_reports` wrote; `ArtifactError` if one is damaged."""
    return [Report.load(path) for path in sorted(folder.iterdir()) if path.is_dir()]
