"""How far a number may move from one run to another without anything behind it."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from recsys_lib.errors import ArtifactError
from recsys_lib.evaluation import Report
from recsys_lib.evaluation.report import group_runs
from recsys_lib.evaluation.statistics import Estimate
from recsys_lib.pipeline.manifest import Manifest
from recsys_lib.pipeline.measured import read_reports
from recsys_lib.pipeline.pins import Pin, read_pins
from recsys_lib.pipeline.project import Project

__all__ = ["Change", "Judge", "on_one_fold", "paired_change", "reports_of"]


@dataclass(frozen=True)
class Change:
    """A difference of two numbers and the error that it is held against.

    Attributes
    ----------
    value : float
        Second minus first.
    error : float
        Standard error; NaN where none is known.
    degrees : float
        Degrees of freedom that the error was measured with.
    noise : str
        What the error is of: "same users" (and how many seeds, if more than one), "other users",
        "seeds", or "" where none is known.
    """

    value: float
    error: float = math.nan
    degrees: float = math.inf
    noise: str = ""

    @property
    def p_value(self) -> float:
        """Two-sided, of Student's t; NaN where no error is known, 1 where nothing moved."""
        if math.isnan(self.error):
            return math.nan
        if self.value == 0 or self.error == 0:
            return float(self.value == 0)
        return float(2 * special.stdtr(self.degrees, -abs(self.value) / self.error))

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return where the true difference is, with this confidence."""
        reach = float(special.stdtrit(self.degrees, (1 + confidence) / 2)) * self.error
        return self.value - reach, self.value + reach


def on_one_fold(reports: Sequence[Report]) -> bool:
    """Return whether reports are on the same users and targets, measured alike."""
    try:
        group_runs(reports)
    except ValueError:
        return False
    return True


def paired_change(pairs: Sequence[tuple[Report, Report]], metric: str) -> Change:
    r"""Return the change of a metric from the first reports to the second ones.

    Parameters
    ----------
    pairs : sequence of (Report, Report)
        One for each seed; the two of a pair on one fold.
    metric : str
        A per-user metric of all of them.

    Returns
    -------
    Change
        Its squared error is the sum of what the users add, by their paired differences, and, with
        m > 1 seeds, s\ :sup:`2` / m of the differences over the seeds. Where each seed has users
        of its own, their luck is in both parts: the sum errs on the wide side.
    """
    samples = [(one.sample(metric), other.sample(metric)) for one, other in pairs]
    differences = np.array([other.mean - one.mean for one, other in samples])
    influences = [other.influence - one.influence for one, other in samples]
    counts = [min(one.n_users, other.n_users) for one, other in samples]
    if on_one_fold([one for one, _ in pairs]):
        influence, n_users = np.mean(influences, axis=0), min(counts)
    else:
        # Each seed's mean counts the same, however many users it has.
        n_users = sum(counts)
        weights = [n_users / len(counts) / count for count in counts]
        influence = np.concatenate([w * one for w, one in zip(weights, influences, strict=True)])
    n_seeds = len(pairs)
    seeds = ((float(differences.var(ddof=1)) / n_seeds, n_seeds - 1),) if n_seeds > 1 else ()
    found = Estimate(float(differences.mean()), influence, n_users, seeds, np.array([]))
    noise = "same users" if n_seeds == 1 else f"same users, {n_seeds} seeds"
    return Change(found.value, found.standard_error, found.degrees, noise)


class Judge:
    """Knows of each metric of two runs how far luck alone would move it.

    Parameters
    ----------
    project : Project
        With the runs and the pinned numbers.
    a, b : Manifest
        The runs.
    """

    def __init__(self, project: Project, a: Manifest, b: Manifest) -> None:
        self._project = project
        self._a, self._b = a, b

    def change(self, name: str) -> Change:
        """Return the change of a metric that both runs have, with the best error that is known."""
        one, other = self._a.metrics[name], self._b.metrics[name]
        value = other.value - one.value
        if paired := self._paired(name):
            return paired
        if one.se is not None and other.se is not None:
            degrees = min(one.n_users or 2, other.n_users or 2) - 1
            return Change(value, math.hypot(one.se, other.se), degrees, "other users")
        notebook, _, number = name.partition(".")
        pin = self._pins.get((notebook, number))
        if pin and pin.n > 1 and pin.spread > 0:
            return Change(value, math.sqrt(2) * pin.spread, pin.n - 1, "seeds")
        return Change(value)

    def _paired(self, name: str) -> Change | None:
        """Return the change over the users' differences, if they are the same users."""
        pair = [reports[name] for reports in self._reports if name in reports]
        if len(pair) < 2 or not on_one_fold(pair):
            return None
        return paired_change([(pair[0], pair[1])], name.rpartition(".")[2])

    @cached_property
    def _reports(self) -> list[dict[str, Report]]:
        return [reports_of(self._project, one) for one in (self._a, self._b)]

    @cached_property
    def _pins(self) -> dict[tuple[str, str], Pin]:
        return {
            (notebook[:2], number): pin
            for notebook in self._a.notebooks
            for number, pin in read_pins(self._project.expected, notebook).items()
        }


def reports_of(project: Project, run: Manifest) -> dict[str, Report]:
    """Return the reports of a run by the names that its metrics have, such as ``"03.SVD.rmse"``."""
    found: dict[str, Report] = {}
    for name in run.artifacts:
        kind, _, notebook = name.partition("_")
        if kind != "reports":
            continue
        with contextlib.suppress(ArtifactError, OSError):  # removed since, to save space
            for report in read_reports(project.artifacts(run.run) / name):
                model = f"{notebook}.{report.name}" if notebook else report.name
                found |= {f"{model}.{metric}": report for metric in report.per_user_metrics}
    return found
