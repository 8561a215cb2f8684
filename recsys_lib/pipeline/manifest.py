"""The record of a run: one ``manifest.json`` with all that a comparison of runs needs."""

import contextlib
import math
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import psutil

from recsys_lib._system import has_ended, this_process
from recsys_lib.artifacts import MANIFEST, atomic_folder, fingerprint, read_json, write_json
from recsys_lib.errors import ArtifactError, ConfigError
from recsys_lib.pipeline.machine import all_versions, device, machine, revision
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.store import Library, Outcome, Record, outdated
from recsys_lib.sources.sql import PASSWORD

if TYPE_CHECKING:
    from recsys_lib.evaluation import Report


Status = Literal["running", "done", "partial", "failed", "interrupted", "killed"]

_FORMAT = 1
_REPORTS = "reports"
# Two runs that differ in one of these artifacts saw different data.
_DATA = ("dataset", "world")
# What it says of each notebook, beside its own parameters and its status.
_KEPT = ("seconds", "peak_memory", "cells", "source", "device")
# Notebooks that leave a run unfinished.
_OPEN = {"failed", "not run", "unfinished", "stale"}

_SECRET = r"password|passwd|pwd|token|secret|api_?key|credential"
_SECRET_NAME = re.compile(rf"(?:^|_)(?:{_SECRET})s?$", re.I)
# A password of a URL may hold an @; the last one before the next / ends it.
_IN_URL = re.compile(r"(?<=://)([^\s/:@]*):[^\s/]*@")
_OPTION = re.compile(rf"((?:{_SECRET})\s*=\s*)[^\s&;,'\"]+", re.I)


@dataclass(frozen=True)
class Metric:
    """A number that a run stands by.

    Attributes
    ----------
    value : float
    se : float, optional
        Its standard error over users.
    n_users : int, optional
        How many.
    higher_is_better : bool, optional
        None if neither is better, or it is not known.
    """

    value: float
    se: float | None = None
    n_users: int | None = None
    higher_is_better: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One run: its inputs, its results, its cost.

    Attributes
    ----------
    run : str
        Its name; ``"sweep/setting"`` for one of a sweep.
    status : {"running", "done", "partial", "failed", "interrupted", "killed"}
        How it ended. "partial": no notebook failed, but others of the run failed before or are
        stale. "killed" is never written: a reader finds it if the process of the run is gone.
    failure : dict, optional
        ``notebook, cell, kind, message`` of what failed first.
    begun, ended : str
        UTC, ISO 8601, of the last attempt in which anything ran. `ended` is `begun` plus the
        elapsed time, so it is never earlier, even if the clock is set back in between.
    attempts : int
        How often it was started until it was done.
    seconds : float
        Of all notebooks together, including those kept from earlier attempts.
    peak_memory : int
        Bytes of the largest kernel, including its child processes.
    parameters : dict
        Name -> value, if all notebooks that declare it had the same.
    seeds : dict
        Those of them that are seeds.
    notebooks : dict
        Name -> ``status`` ("ran", "skipped", "failed", "not run", or, if it was not selected this
        time, "kept", "stale" or "unfinished"), ``seconds``,
        ``peak_memory``, ``cells``, ``source`` (fingerprint of its cells), ``device``, and
        ``parameters`` that differ from those of other notebooks.
    data : dict
        Fingerprints: ``inputs`` by path, and of the artifacts that hold the data.
    artifacts : dict
        Name -> fingerprint of everything that was written.
    code : dict
        ``commit`` and ``dirty`` of the git checkout (None outside one), ``library``, the
        fingerprint of the library with its versions.
    versions : dict
        Of Python and of the packages that results rest on.
    machine : dict
        ``system``, the ``cores`` and ``threads`` that may be used, ``memory`` in bytes.
    device : list of str
        What networks were trained on, such as ``"cpu tensorflow float32"``.
    metrics : dict of str to Metric
        ``"03.test_rmse"`` from `Session.check` and `Session.note`, ``"03.autoencoder.rmse"`` from
        `Session.report`.
    process : dict
        ``host``, ``pid`` and time of birth of the process that wrote it last.
    """

    run: str
    status: Status
    failure: dict[str, Any] | None = None
    begun: str = ""
    ended: str = ""
    attempts: int = 1
    seconds: float = 0.0
    peak_memory: int = 0
    parameters: dict[str, Any] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)
    notebooks: dict[str, dict[str, Any]] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    code: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    device: list[str] = field(default_factory=list)
    metrics: dict[str, Metric] = field(default_factory=dict)
    process: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write ``manifest.json`` into the folder of the run, atomically and without secrets."""
        write_json(folder / MANIFEST, without_secrets({"format": _FORMAT, **asdict(self)}))

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """Read the manifest of a run.

        Parameters
        ----------
        folder : Path
            ``runs/<run>``.

        Raises
        ------
        ArtifactError
            If it is missing, damaged or of another format.
        """
        path = folder / MANIFEST
        try:
            content = read_json(path)
            if (version := content.pop("format")) != _FORMAT:
                raise ValueError(f"it is of format {version!r}, not {_FORMAT}")
            metrics = {name: Metric(**one) for name, one in content.pop("metrics").items()}
            found = cls(**content, metrics=metrics)
            killed = found.status == "running" and has_ended(found.process)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error.__cause__, OSError):
                raise  # it is missing, or may not be read
            raise ArtifactError(
                f"{path} must be the manifest of a run; {error.__cause__ or error}. Delete it and "
                "run again: finished notebooks are kept."
            ) from error
        return replace(found, status="killed") if killed else found

    @property
    def all_parameters(self) -> dict[str, Any]:
        """Every parameter; one that differs between notebooks once for each, as ``"03.SEED"``."""
        apart = {
            f"{notebook[:2]}.{name}": value
            for notebook, entry in self.notebooks.items()
            for name, value in entry["parameters"].items()
        }
        return {**self.parameters, **apart}


def seeds_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that are seeds: ``SEED``, or a name that ends in ``_SEED``."""
    return {name: one for name, one in parameters.items() if name.split("_")[-1] == "SEED"}


def _device_names(devices: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return devices as text, each once, such as ``"cpu tensorflow float32"``."""
    names = ("device", "backend", "precision")
    return sorted({" ".join(one[name] for name in names) for one in devices if one})


def without_secrets(value: Any, name: str = "") -> Any:
    """Return `value` with every password in it replaced by ``***``.

    Parameters
    ----------
    value : object
        Text, or lists and mappings of it; anything else is returned as it is.
    name : str
        Its name: a value named PASSWORD, TOKEN, SECRET or the like is a secret.

    Examples
    --------
    >>> without_secrets("postgresql://ann:pa55@host/db?sslmode=require&password=pa55")
    'postgresql://ann:***@host/db?sslmode=require&password=***'
    >>> without_secrets({"API_TOKEN": "abc", "EPOCHS": 3})
    {'API_TOKEN': '***', 'EPOCHS': 3}
    """
    if _SECRET_NAME.search(name) and value:
        return "***"
    if isinstance(value, str):
        known = os.environ.get(PASSWORD)
        text = value.replace(known, "***") if known else value
        return _OPTION.sub(r"\1***", _IN_URL.sub(r"\1:***@", text))
    if isinstance(value, dict):
        return {key: without_secrets(one, str(key)) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(one) for one in value]
    return value


class RunLog:
    """Keeps the manifest of a running chain up to date, and records how the block ends.

    Parameters
    ----------
    project : Project
        Where the run is.
    run : str
        Its name; its folder must exist and be locked.
    library : str
        Fingerprint of the library.
    data : mapping of str to str, optional
        Fingerprints of data that no notebook of the run has written.

    Attributes
    ----------
    outcomes : dict of str to Outcome
        Of the notebooks that have ended, by name.
    """

    def __init__(
        self, project: Project, run: str, library: str, data: Mapping[str, str] | None = None
    ) -> None:
        self._project, self._folder = project, project.run_folder(run)
        self._data, self.outcomes = dict(data or {}), dict[str, Outcome]()
        self._started, self._clock = datetime.now(UTC), time.monotonic()
        self._running: list[str] = []
        self._lock = threading.Lock()
        self._before: Manifest | None = None
        with contextlib.suppress(ArtifactError):
            self._before = Manifest.load(self._folder)
        self._begun = Manifest(
            run=run,
            status="running",
            begun=self._started.isoformat(timespec="seconds"),
            code={**revision(project.root), "library": library},
            versions=all_versions(),
            machine=machine(),
            process=this_process(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> None:
        if error is None:
            self.end("done")
            return
        status: Status = "failed" if isinstance(error, Exception) else "interrupted"
        # The first error counts: on a full disk the manifest cannot be written either.
        with contextlib.suppress(ArtifactError):
            self.end(status, {"kind": type(error).__name__, "message": str(error)})

    def begin(self, notebook: str) -> None:
        """Record that `notebook` is running, before it can be killed."""
        with self._lock:
            self._running.append(notebook)
            self.save()

    def save(self) -> None:
        """Write how the run stands."""
        self._content("running").save(self._folder)

    def ended(self, outcome: Outcome) -> None:
        """Record how a notebook ended."""
        with self._lock:
            self.outcomes[outcome.name] = outcome
            if outcome.name in self._running:
                self._running.remove(outcome.name)
                self.save()

    def end(self, status: Status, failure: dict[str, Any] | None = None) -> None:
        """Write how the run ended; if there was nothing to do, the manifest stays as it was."""
        if failure and self._running:
            failure = {"notebook": self._running[0], **failure}
        ended = self.outcomes.values()
        first = next(((one.name, one.failure) for one in ended if one.failure), None)
        if status == "done" and first:
            name, why = first
            status, failure = "failed", {"notebook": name, **asdict(why)}
            del failure["traceback"]
        manifest = self._content(status, failure)
        if status == "done":
            if any(one["status"] in _OPEN for one in manifest.notebooks.values()):
                manifest = replace(manifest, status="partial")
            idle = ended and all(one.status == "skipped" and not one.donor for one in ended)
            if idle and self._before and self._before.status == manifest.status:
                return
        manifest.save(self._folder)

    def _content(self, status: Status, failure: dict[str, Any] | None = None) -> Manifest:
        # By a clock that only goes forward: the other one may be set in between.
        ended = self._started + timedelta(seconds=time.monotonic() - self._clock)
        records = self._records()
        shared = _shared_parameters(records)
        written = {key: one["fingerprint"] for book in records for key, one in book.writes.items()}
        data = {key: written[key] for key in _DATA if key in written} | self._data
        tried = self._before.attempts if self._before and self._before.status != "done" else 0
        return replace(
            self._begun,
            status=status,
            failure=failure,
            ended="" if status == "running" else ended.isoformat(timespec="seconds"),
            attempts=tried + 1,
            seconds=round(sum(one.seconds for one in records), 3),
            peak_memory=max((one.peak_memory for one in records), default=0),
            parameters=shared,
            seeds=seeds_of(shared),
            notebooks={
                one.notebook: self._notebook(one, records, shared)
                for one in records
                if one.notebook
            },
            data={"inputs": {k: v for one in records for k, v in one.inputs.items()}, **data},
            artifacts=written,
            device=_device_names(one.device for one in records),
            metrics=_metrics(records),
        )

    def _records(self) -> list[Record]:
        """Return the records of the run's notebooks, in order."""
        records = []
        before = self._before.notebooks if self._before else {}
        # One that has failed may not have come to start a session.
        expected = {*self._running} | {
            name for name, one in before.items() if one["status"] in _OPEN
        }
        for name in (path.stem for path in self._project.chain()):
            outcome = self.outcomes.get(name)
            found = Record.find(self._project.record(self._begun.run, name))
            record = outcome.record if outcome else found
            if record or name in expected:
                records.append(record or Record(name, self._begun.run))
        return records

    def _notebook(
        self, record: Record, records: list[Record], shared: dict[str, Any]
    ) -> dict[str, Any]:
        outcome = self.outcomes.get(record.notebook)
        done = record.done and record.notebook not in self._running
        status: str = outcome.status if outcome else "kept" if done else "unfinished"
        if status == "kept" and not self._running and outdated(records, record):
            status = "stale"
        kept = {name: getattr(record, name) for name in _KEPT}
        own = {name: value for name, value in record.parameters.items() if name not in shared}
        own.pop("RUN", None)
        return {"status": status, "parameters": own, **kept}


def _shared_parameters(records: Sequence[Record]) -> dict[str, Any]:
    """Return the parameters on which all notebooks that declare them agree, without the name."""
    found: dict[str, list[Any]] = {}
    for record in records:
        for name, value in record.parameters.items():
            found.setdefault(name, []).append(value)
    return {
        name: values[0]
        for name, values in sorted(found.items())
        if name != "RUN" and all(value == values[0] for value in values)
    }


def _metrics(records: Sequence[Record]) -> dict[str, Metric]:
    found = {}
    for record in records:
        checks = {name: {"value": value} for name, value in record.checks.items()}
        for name, entry in {**checks, **record.metrics}.items():
            # What a run of one's own has found belongs to no notebook.
            place = f"{record.notebook[:2]}." if record.notebook else ""
            found[f"{place}{name}"] = Metric(**entry)
    return found


class RecordedRun(RunLog):
    """What a run without notebooks has recorded so far; made by `record_run`.

    Attributes
    ----------
    reports : list of Report
        The reports handed in.
    """

    def __init__(
        self, project: Project, run: str, parameters: Mapping[str, Any], data: Mapping[str, str]
    ) -> None:
        super().__init__(project, run, Library().fingerprint(), data)
        self.reports: list[Report] = []
        self._record = Record("", run, dict(parameters))

    def _records(self) -> list[Record]:
        return [self._record]

    def report(self, *reports: Any) -> None:
        """Hand in what `evaluate` returned; see `Session.report`."""
        every = [*self.reports, *as_reports(reports)]
        self._record.metrics |= metrics_of(every)  # raises where a name occurs twice
        self.reports = every

    def note(self, **values: float) -> None:
        """Record numbers by name."""
        self._record.note(**values)

    def end(self, status: Status, failure: dict[str, Any] | None = None) -> None:
        """Write how the run ended, and its reports if all is well."""
        record, path = self._record, self._folder / "artifacts" / _REPORTS
        if status == "done" and self.reports:
            with atomic_folder(path) as part:
                write_reports(part, self.reports)
            record.writes[_REPORTS] = {"fingerprint": fingerprint(path)}
        record.seconds = time.monotonic() - self._clock
        record.peak_memory, record.device = psutil.Process().memory_info().rss, device()
        super().end(status, failure)


@contextlib.contextmanager
def record_run(
    name: str,
    parameters: Mapping[str, Any],
    *,
    data: Mapping[str, str] | None = None,
    project: Project | None = None,
) -> Iterator[RecordedRun]:
    """Record the block as a run with a manifest, comparable with any other run.

    Parameters
    ----------
    name : str
        Of the run; ``"batch/setting"`` for one of a batch. An earlier one is replaced.
    parameters : mapping
        By name, in capitals like those of notebooks; ``SEED`` is the seed.
    data : mapping of str to str, optional
        Fingerprints of what was read, such as ``session.record.reads``.
    project : Project, optional
        Found from the working directory by default.

    Yields
    ------
    RecordedRun
        Takes reports and numbers.

    Raises
    ------
    ConfigError
        If a run of this name consists of notebooks.
    BusyError
        If one is active.

    Notes
    -----
    ``peak_memory`` is the memory of the process when the block ends, including what it held
    before.
    """
    project = project or Project.find()
    if project.record(name, "any").parent.exists():
        raise ConfigError(
            f"A recorded run must not be one of notebooks, as {name!r} is. Try '{name}-own'."
        )
    recorded = RecordedRun(project, name, parameters, data or {})
    with project.locked(name), recorded:
        recorded.save()
        yield recorded


def as_reports(given: Iterable[Any]) -> "list[Report]":
    """Return the reports among the arguments of a call: reports, or lists of them.

    Raises
    ------
    TypeError
        If anything else is among them.
    """
    from recsys_lib.evaluation.report import Report, listed

    lists = ([one] if isinstance(one, Report) else listed(one) for one in given)
    return [report for reports in lists for report in reports]


def metrics_of(reports: "Sequence[Report]") -> dict[str, dict[str, Any]]:
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
        If a metric of a model occurs twice, because its name would be ambiguous.
    """
    found: dict[str, dict[str, Any]] = {}
    for report in reports:
        for metric in report.metrics:
            name = f"{report.name}.{metric}"
            if name in found:
                raise ValueError(
                    f"`reports` must hold {name!r} once. Name them apart: evaluate(..., name=...)."
                )
            found[name] = asdict(_metric(report, metric))
    return found


def _metric(report: "Report", metric: str) -> Metric:
    from recsys_lib.evaluation.metrics import parse_metric

    better = parse_metric(metric).higher_is_better
    if metric not in report.per_user_metrics:
        return Metric(report[metric], higher_is_better=better)
    sample = report.sample(metric)
    error = sample.standard_error
    return Metric(sample.mean, error if math.isfinite(error) else None, sample.n_users, better)


def write_reports(folder: Path, reports: "Sequence[Report]") -> None:
    """Write reports into an empty folder, in order, without the lists, which are the bulk."""
    for place, report in enumerate(reports):
        replace(report, items=report.items[:, :0]).save(folder / f"{place:02d}")


def read_reports(folder: Path) -> "list[Report]":
    """Read what `write_reports` wrote; `ArtifactError` if one is damaged."""
    from recsys_lib.evaluation import Report

    return [Report.load(path) for path in sorted(folder.iterdir()) if path.is_dir()]
