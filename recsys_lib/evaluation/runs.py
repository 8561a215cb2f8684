"""Repeated runs of one model: reports that differ only in the training seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys_lib.evaluation.estimates import Sample
from recsys_lib.evaluation.report import Report

__all__ = ["Runs", "group_runs"]

# What must agree before two numbers may be subtracted; the order among ties may differ.
_SAME = ("fold", "min_value", "rating_scale")


@dataclass(frozen=True, eq=False)
class Runs:
    """The reports of one model.

    Attributes
    ----------
    name : str
        The model's name.
    reports : tuple of Report
        One for each training seed.
    """

    name: str
    reports: tuple[Report, ...]

    @property
    def metrics(self) -> list[str]:
        """The per-user metrics that every run holds."""
        first, *others = self.reports
        return [
            metric
            for metric in first.values.columns
            if all(metric in run.values.columns for run in others)
        ]

    def mean_sample(self, metric: str) -> Sample:
        """Return each user's value averaged over the runs (its square, where it is pooled so)."""
        samples = [report.sample(metric) for report in self.reports]
        if len(samples) == 1:
            return samples[0]
        squared = samples[0].squared
        stacked = np.stack([sample.per_user for sample in samples])
        values = np.sqrt((stacked**2).mean(axis=0)) if squared else stacked.mean(axis=0)
        return Sample.of(values, weights=samples[0].weights, squared=squared)

    def values(self, metric: str) -> NDArray[np.float64]:
        """Return the number of each run, shape (n_runs,)."""
        return np.array([report[metric] for report in self.reports])

    def seed_spread(self, metric: str) -> float:
        """Return the standard deviation of the runs' numbers; NaN with one run."""
        return float(self.values(metric).std(ddof=1)) if len(self.reports) > 1 else float("nan")

    def seed_variance(self, metric: str) -> float:
        """Return the seed variance of the mean, s_seed^2 / m; 0 with one run."""
        n_runs = len(self.reports)
        return self.seed_spread(metric) ** 2 / n_runs if n_runs > 1 else 0.0


def group_runs(reports: Sequence[Report]) -> list[Runs]:
    """Group reports by name, in order of first appearance.

    Raises
    ------
    ValueError
        If two reports are not on the same users, targets and rating scale.

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.dataset import Fold
    >>> from recsys_lib.evaluation import RandomOrder, evaluate
    >>> wanted = sparse.csr_array(np.eye(4))
    >>> fold = Fold(fold_in=sparse.csr_array((4, 4)), targets=wanted, users=np.arange(4))
    >>> reports = [evaluate(RandomOrder(seed), fold, ["mrr@4"]) for seed in range(3)]
    >>> [(runs.name, len(runs.reports)) for runs in group_runs(reports)]
    [('RandomOrder', 3)]
    """
    for report in reports[1:]:
        _check_same_fold(reports[0], report)
    names = dict.fromkeys(report.name for report in reports)
    return [
        Runs(name, tuple(report for report in reports if report.name == name)) for name in names
    ]


def _check_same_fold(one: Report, other: Report) -> None:
    differing = [key for key in _SAME if one.protocol.get(key) != other.protocol.get(key)]
    if not one.users.index.equals(other.users.index):
        differing.append("users")
    if differing:
        key = differing[0]
        raise ValueError(
            f"`reports` must be measured alike; {one.name!r} and {other.name!r} differ in {key} "
            f"({one.protocol.get(key)!r} against {other.protocol.get(key)!r}). "
            "Evaluate both on one fold with the same arguments and metrics."
        )
