"""How far a number may move from one run to another without anything behind it."""

import contextlib
import math
from dataclasses import dataclass
from functools import cached_property

from scipy import special

from recsys_lib.errors import ArtifactError
from recsys_lib.evaluation import Report
from recsys_lib.evaluation.estimates import standard_error
from recsys_lib.evaluation.runs import group_runs
from recsys_lib.pipeline.manifest import Manifest
from recsys_lib.pipeline.measured import read_reports
from recsys_lib.pipeline.pins import Pin, read_pins
from recsys_lib.pipeline.project import Project

__all__ = ["Change", "Judge"]


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
    noise : {"same users", "other users", "seeds", ""}
        What the error is of.
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
        paired = self._paired(name)
        if paired:
            return Change(value, *paired, "same users")
        if one.se is not None and other.se is not None:
            degrees = min(one.n_users or 2, other.n_users or 2) - 1
            return Change(value, math.hypot(one.se, other.se), degrees, "other users")
        notebook, _, number = name.partition(".")
        pin = self._pins.get((notebook, number))
        if pin and pin.n > 1 and pin.spread > 0:
            return Change(value, math.sqrt(2) * pin.spread, pin.n - 1, "seeds")
        return Change(value)

    def _paired(self, name: str) -> tuple[float, float] | None:
        """Return error and degrees of the users' differences, if they are the same users."""
        model, _, metric = name.rpartition(".")
        pair = [reports[model] for reports in self._reports if model in reports]
        if len(pair) < 2 or any(metric not in one.per_user_metrics for one in pair):
            return None
        try:
            group_runs(pair)
        except ValueError:
            return None  # not on the same users and targets
        first, second = (one.sample(metric) for one in pair)
        n_users = min(first.n_users, second.n_users)
        return standard_error(second.influence - first.influence, n_users), n_users - 1

    @cached_property
    def _reports(self) -> list[dict[str, Report]]:
        return [_reports_of(self._project, one) for one in (self._a, self._b)]

    @cached_property
    def _pins(self) -> dict[tuple[str, str], Pin]:
        return {
            (notebook[:2], number): pin
            for notebook in self._a.notebooks
            for number, pin in read_pins(self._project.expected, notebook).items()
        }


def _reports_of(project: Project, run: Manifest) -> dict[str, Report]:
    """Return what a run reported, as ``"03.autoencoder"``; a model's reports on two folds apart."""
    found: dict[str, Report] = {}
    for name in run.artifacts:
        notebook = name.removeprefix("reports_")
        if notebook == name:
            continue
        with contextlib.suppress(ArtifactError, OSError):  # removed since, to save space
            for report in read_reports(project.artifacts(run.run) / name):
                found[f"{notebook}.{report.name}"] = report
    return found
