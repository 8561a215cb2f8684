"""Keeps the manifest of a run up to date, from its start to its end."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from recsys_lib.errors import ArtifactError
from recsys_lib.pipeline.lineage import outdated
from recsys_lib.pipeline.manifest import Manifest, Metric, Status, seeds_of, this_process
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.provenance import (
    Stopwatch,
    device_names,
    machine,
    revision,
    run_versions,
)
from recsys_lib.pipeline.record import Record

if TYPE_CHECKING:
    from recsys_lib.pipeline.runner import Outcome

__all__ = ["RunLog", "logged"]

# Two runs that differ in one of these artifacts saw different data.
_DATA = ("dataset", "world")
# Notebooks that leave a run unfinished.
_OPEN = {"failed", "not run", "unfinished", "stale"}


@contextlib.contextmanager
def logged(project: Project, run: str, library: str) -> Iterator["RunLog"]:
    """Keep the manifest of `run` while the block works, and record how the block ended.

    Parameters
    ----------
    project : Project
        Where the run is.
    run : str
        Its name; its folder must exist and be locked.
    library : str
        Fingerprint of the library.

    Yields
    ------
    RunLog
        Call it for each notebook that starts and ends.
    """
    log = RunLog(project, run, library)
    try:
        yield log
    except BaseException as error:
        status: Status = "failed" if isinstance(error, Exception) else "interrupted"
        # The first error counts: on a full disk this cannot be written either.
        with contextlib.suppress(ArtifactError):
            log.end(status, {"kind": type(error).__name__, "message": str(error)})
        raise
    log.end("failed" if log.failure else "done", log.failure)


class RunLog:
    """The manifest of a run at work; made by `logged`.

    Attributes
    ----------
    outcomes : dict of str to Outcome
        Of the notebooks that have ended, by name.
    """

    def __init__(self, project: Project, run: str, library: str) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._project = project
        self._run = run
        self._folder = project.run_folder(run)
        self._at_work = ""
        self._watch = Stopwatch()
        self._code = {**revision(project.root), "library": library}
        self._machine, self._versions = machine(), run_versions()
        self._before = _before(self._folder)

    @property
    def failure(self) -> dict[str, Any] | None:
        """The first failure of a notebook, if any."""
        for outcome in self.outcomes.values():
            if failure := outcome.failure:
                what = {"kind": failure.kind, "message": failure.message}
                return {"notebook": outcome.name, "cell": failure.cell, **what}
        return None

    def begin(self, notebook: str) -> None:
        """Record that `notebook` is running, before it may be killed."""
        self._at_work = notebook
        self._describe("running", None).save(self._folder)

    def note(self, outcome: "Outcome") -> None:
        """Record how a notebook ended."""
        self._at_work = ""
        self.outcomes[outcome.name] = outcome

    def end(self, status: Status, failure: dict[str, Any] | None) -> None:
        """Write how the run ended; if nothing had to be done, the manifest stays as it was."""
        if failure and self._at_work:
            failure = {"notebook": self._at_work, **failure}
        manifest = self._describe(status, failure)
        if status == "done":
            if any(one["status"] in _OPEN for one in manifest.notebooks.values()):
                manifest = replace(manifest, status="partial")
            idle = all(one.status == "skipped" for one in self.outcomes.values())
            if idle and self._before and self._before.status == manifest.status:
                return
        manifest.save(self._folder)

    def _describe(self, status: Status, failure: dict[str, Any] | None) -> Manifest:
        records = self._records()
        shared = _shared(records.values())
        notebooks = {name: self._notebook(one, records, shared) for name, one in records.items()}
        tried = self._before.attempts if self._before and self._before.status != "done" else 0
        return Manifest(
            run=self._run,
            status=status,
            failure=failure,
            begun=self._watch.begun,
            ended="" if status == "running" else self._watch.now,
            attempts=tried + 1,
            seconds=round(sum(one["seconds"] for one in notebooks.values()), 3),
            peak_memory=max((one["peak_memory"] for one in notebooks.values()), default=0),
            parameters=shared,
            seeds=seeds_of(shared),
            notebooks=notebooks,
            data=_data(records.values()),
            artifacts={
                name: entry["fingerprint"]
                for record in records.values()
                for name, entry in record.writes.items()
            },
            code=self._code,
            versions=self._versions,
            machine=self._machine,
            device=device_names(record.device for record in records.values()),
            metrics=_metrics(records.values()),
            process=this_process(),
        )

    def _records(self) -> dict[str, Record]:
        """Return the records of the run's notebooks, in order."""
        records = {}
        tried = self._before.notebooks if self._before else {}
        expected = {self._at_work, *self.outcomes}
        expected |= {name for name, one in tried.items() if one["status"] in _OPEN}
        for path in self._project.chain():
            record = Record.find(self._project.record(self._run, path.stem))
            if record is None and path.stem in expected:
                record = Record(path.stem, self._run)  # it has started no session yet
            if record is not None:
                records[path.stem] = record
        return records

    def _notebook(
        self, record: Record, records: dict[str, Record], shared: dict[str, Any]
    ) -> dict[str, Any]:
        outcome = self.outcomes.get(record.notebook)
        ended = outcome or record
        status: str = outcome.status if outcome else "kept" if record.done else "unfinished"
        if status == "kept" and not self._at_work and outdated([*records.values()], record):
            status = "stale"
        return {
            "status": status,
            "seconds": round(ended.seconds, 3),
            "peak_memory": ended.peak_memory,
            "cells": outcome.cells if outcome else record.cells,
            "source": record.source,
            "device": record.device,
            "parameters": {
                name: value
                for name, value in record.parameters.items()
                if name not in shared and name != "RUN"
            },
        }


def _before(folder: Any) -> Manifest | None:
    """Return the manifest of the attempt before, if there is one that can be read."""
    try:
        return Manifest.load(folder)
    except ArtifactError:
        return None


def _shared(records: Iterable[Record]) -> dict[str, Any]:
    """Return the parameters on which all notebooks that declare them agree; RUN is the name."""
    found: dict[str, list[Any]] = {}
    for record in records:
        for name, value in record.parameters.items():
            found.setdefault(name, []).append(value)
    return {
        name: values[0]
        for name, values in sorted(found.items())
        if name != "RUN" and all(value == values[0] for value in values)
    }


def _data(records: Iterable[Record]) -> dict[str, Any]:
    found: dict[str, Any] = {"inputs": {}}
    for record in records:
        found["inputs"] |= record.inputs
        found |= {
            name: record.writes[name]["fingerprint"] for name in _DATA if name in record.writes
        }
    return found


def _metrics(records: Iterable[Record]) -> dict[str, Metric]:
    found = {}
    for record in records:
        plain = {name: {"value": value} for name, value in record.checks.items()}
        for name, entry in {**plain, **record.metrics}.items():
            found[f"{record.notebook[:2]}.{name}"] = Metric(**entry)
    return found
