"""A run that no notebook makes: a loop of one's own that leaves manifests like any other run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import psutil

from recsys_lib.artifacts import atomic_folder, fingerprint
from recsys_lib.errors import ArtifactError, ConfigError
from recsys_lib.evaluation import Report
from recsys_lib.pipeline.freshness import library_fingerprint
from recsys_lib.pipeline.lock import locked
from recsys_lib.pipeline.manifest import Manifest, Metric, Status, seeds_of, this_process
from recsys_lib.pipeline.measured import as_reports, metrics_of, write_reports
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.provenance import (
    Stopwatch,
    device,
    device_names,
    machine,
    revision,
    run_versions,
)

__all__ = ["RecordedRun", "record_run"]

_REPORTS = "reports"


@dataclass
class RecordedRun:
    """What a run recorded so far; made by `record_run`.

    Attributes
    ----------
    metrics : dict of str to Metric
        ``"model.metric"`` of the reports, and the names of what was noted.
    reports : list of Report
        What was handed in.
    """

    metrics: dict[str, Metric] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)

    def report(self, *reports: Any) -> None:
        """Hand in what `evaluate` found; see `Session.report`."""
        self.reports += as_reports(reports)
        found = metrics_of(self.reports)
        self.metrics.update({name: Metric(**one) for name, one in found.items()})

    def note(self, **values: float) -> None:
        """Record numbers by name."""
        self.metrics.update({name: Metric(float(value)) for name, value in values.items()})


@contextmanager
def record_run(
    name: str,
    parameters: Mapping[str, Any],
    *,
    data: Mapping[str, str] | None = None,
    project: Project | None = None,
) -> Iterator[RecordedRun]:
    """Record what the block does as a run: with a manifest, and comparable with any other.

    Parameters
    ----------
    name : str
        Of the run; ``"batch/setting"`` for one of a batch. What stood there is replaced.
    parameters : mapping
        By name, in capitals as those of notebooks; ``SEED`` is the seed.
    data : mapping of str to str, optional
        Fingerprints of what was read, such as ``session.record.reads``.
    project : Project, optional
        Found from the working directory by default.

    Yields
    ------
    RecordedRun
        To hand in reports and numbers.

    Raises
    ------
    ConfigError
        If a run of this name is at work, or is one of notebooks.

    Notes
    -----
    ``peak_memory`` is what the process holds when the block ends: what it held before, others of
    the same process included, cannot be told apart.
    """
    project = project or Project.find()
    folder, watch = project.run_folder(name), Stopwatch()
    if project.record(name, "any").parent.exists():
        raise ConfigError(
            f"The name of a recorded run must not be that of a run of notebooks; {name!r} is one. "
            f"Try '{name.partition('/')[0]}/own'."
        )
    begun = Manifest(
        run=name,
        status="running",
        begun=watch.begun,
        parameters=dict(parameters),
        seeds=seeds_of(parameters),
        data={"inputs": {}, **(data or {})},
        code={**revision(project.root), "library": library_fingerprint()},
        versions=run_versions(),
        machine=machine(),
        process=this_process(),
    )
    one = RecordedRun()
    with locked(folder, name):
        begun.save(folder)
        try:
            yield one
            artifacts = _keep(project, name, one.reports)
        except BaseException as error:
            status: Status = "failed" if isinstance(error, Exception) else "interrupted"
            failure = {"kind": type(error).__name__, "message": str(error)}
            stopped = replace(begun, status=status, failure=failure, metrics=one.metrics)
            with suppress(ArtifactError):  # what went wrong first is what counts
                _ended(stopped, watch).save(folder)
            raise
        done = replace(begun, status="done", metrics=one.metrics, artifacts=artifacts)
        _ended(done, watch).save(folder)


def _ended(manifest: Manifest, watch: Stopwatch) -> Manifest:
    memory = psutil.Process().memory_info().rss
    seconds = round(watch.seconds, 3)
    took = replace(manifest, ended=watch.now, seconds=seconds, peak_memory=memory)
    return replace(took, device=device_names([device()]))


def _keep(project: Project, name: str, reports: list[Report]) -> dict[str, str]:
    """Write the reports and return their fingerprint by name."""
    if not reports:
        return {}
    path = project.artifacts(name) / _REPORTS
    with atomic_folder(path) as part:
        write_reports(part, reports)
    return {_REPORTS: fingerprint(path)}
