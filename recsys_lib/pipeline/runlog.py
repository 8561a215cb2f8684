"""Keeps the manifest of a run while it works: begun, notebook by notebook, however it ends."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from recsys_lib.errors import ArtifactError
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

# Artifacts that data is made into: two runs that differ in one of them saw other data.
_DATA = ("dataset", "world")


@contextlib.contextmanager
def logged(project: Project, run: str, library: str) -> Iterator["RunLog"]:
    """Keep the manifest of `run` while the block works, and say in it how the block ended.

    Parameters
    ----------
    project : Project
        Where the run is.
    run : str
        Its name; its folder must exist and be held.
    library : str
        Fingerprint of the library.

    Yields
    ------
    RunLog
        To be told of each notebook that begins and ends.
    """
    log = RunLog(project, run, library)
    try:
        yield log
    except BaseException as error:
        status: Status = "failed" if isinstance(error, Exception) else "interrupted"
        # What went wrong first is what counts: on a full disk this cannot be written either.
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
        """What stopped the run, if a notebook did."""
        for outcome in self.outcomes.values():
            if failure := outcome.failure:
                what = {"kind": failure.kind, "message": failure.message}
                return {"notebook": outcome.name, "cell": failure.cell, **what}
        return None

    def begin(self, notebook: str) -> None:
        """Write that `notebook` is at work: a process that is killed cannot say so any more."""
        self._at_work = notebook
        self._describe("running", None).save(self._folder)

    def note(self, outcome: "Outcome") -> None:
        """Take down how a notebook ended."""
        self._at_work = ""
        self.outcomes[outcome.name] = outcome

    def end(self, status: Status, failure: dict[str, Any] | None) -> None:
        """Write how the run ended; where nothing had to be done, the manifest stays as it was."""
        idle = all(one.status == "skipped" for one in self.outcomes.values())
        if status == "done" and idle and self._before and self._before.status == "done":
            return
        if failure and self._at_work:
            failure = {"notebook": self._at_work, **failure}
        self._describe(status, failure).save(self._folder)

    def _describe(self, status: Status, failure: dict[str, Any] | None) -> Manifest:
        records = self._records()
        shared = _shared(records.values())
        notebooks = {name: self._notebook(record, shared) for name, record in records.items()}
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
        """Return what each notebook of the run has written down, in order."""
        records = {}
        for path in self._project.chain():
            record = Record.find(self._project.record(self._run, path.stem))
            if record is None and path.stem in {self._at_work, *self.outcomes}:
                record = Record(path.stem, self._run)  # it has opened no session yet
            if record is not None:
                records[path.stem] = record
        return records

    def _notebook(self, record: Record, shared: dict[str, Any]) -> dict[str, Any]:
        outcome = self.outcomes.get(record.notebook)
        ended = outcome or record
        status = "kept" if record.done else "unfinished"
        return {
            "status": outcome.status if outcome else status,
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
