"""Runs the chain through papermill: in order, without what is unchanged or rests on a failure."""

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from recsys_lib.errors import ArtifactError
from recsys_lib.pipeline.chain import Step
from recsys_lib.pipeline.execution import Conditions, Failure, execute
from recsys_lib.pipeline.flow import sources_of
from recsys_lib.pipeline.freshness import is_fresh, library_fingerprint, source_fingerprint
from recsys_lib.pipeline.lock import locked
from recsys_lib.pipeline.manifest import logged
from recsys_lib.pipeline.project import LAB_RUN, Project
from recsys_lib.pipeline.record import Record

__all__ = ["BAD_INPUT", "Claim", "Outcome", "Progress", "RunResult", "run_chain"]

# Exceptions which mean that the input is wrong, not the notebook.
BAD_INPUT = frozenset({"DataError", "ConfigError", "ArtifactError", "DeviceError"})

HowItEnded = Literal["ran", "skipped", "failed", "not run"]


@dataclass(frozen=True)
class Outcome:
    """How one notebook ended.

    Attributes
    ----------
    name : str
        The notebook.
    status : {"ran", "skipped", "failed", "not run"}
        "skipped" where nothing has changed, "not run" where it reads from one that failed.
    cells, cells_done : int
        How many it has, and how many ended.
    seconds : float
        Wall time; that of the earlier run if it was skipped.
    artifacts, figures : tuple of str
        Names of what it wrote.
    failure : Failure, optional
        Why it failed.
    copy : Path, optional
        The executed copy.
    peak_memory : int
        Most bytes that its kernel took; those of the earlier run if it was skipped.
    reason : str
        Why it was not run.
    """

    name: str
    status: HowItEnded
    cells: int
    cells_done: int
    seconds: float
    artifacts: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    failure: Failure | None = None
    copy: Path | None = None
    peak_memory: int = 0
    reason: str = ""


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes
    ----------
    name : str
        The run; ``"sweep/setting"`` if it is one of a sweep.
    folder : Path
        ``runs/<name>``.
    outcomes : tuple of Outcome
        One for each notebook.
    """

    name: str
    folder: Path
    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> Outcome | None:
        """The first notebook that failed, if any."""
        return next(iter(self.ended("failed")), None)

    def ended(self, status: HowItEnded) -> list[Outcome]:
        """Return the notebooks with a status."""
        return [one for one in self.outcomes if one.status == status]


class Progress(Protocol):
    """Callbacks for a run at work."""

    def begin(self, name: str, cells: int) -> None:
        """Called when a notebook of so many cells starts."""

    def cell(self, done: int) -> None:
        """Called with the number of its finished cells."""

    def end(self, outcome: Outcome) -> None:
        """Called when it has ended."""


# Entered before a step is looked at, left when it has ended; may yield a failure to adopt at once.
Claim = Callable[[Step, dict[str, Any], str], AbstractContextManager[Failure | None]]


def run_chain(
    project: Project,
    steps: Sequence[Step],
    parameters: Mapping[str, Any],
    progress: Progress,
    *,
    name: str,
    force: bool = False,
    timeout: float = math.inf,
    conditions: Conditions | None = None,
    claim: Claim | None = None,
) -> RunResult:
    """Run the steps in order in the run `name`.

    A step whose cells, parameters, inputs and library are unchanged is skipped, so a run that was
    stopped goes on from there. Where a step fails, those that read from it are not run.

    Parameters
    ----------
    project : Project
        Where the notebooks stand.
    steps : sequence of Step
        What to run.
    parameters : mapping
        Overrides, as `chain.resolve` returns them; each goes to the steps that declare it.
    progress : Progress
        Called for each notebook and cell.
    name : str
        The run; its folder is made.
    force : bool
        Run unchanged steps too.
    timeout : float
        Seconds that one notebook may take.
    conditions : Conditions, optional
        Environment of the notebooks.
    claim : callable, optional
        Called with a step, its parameters and the library's fingerprint; returns the context in
        which the step is run or skipped. A sweep waits there for what another of its settings
        makes, and takes it over.

    Returns
    -------
    RunResult

    Raises
    ------
    ConfigError
        If a run of this name is active.
    ArtifactError
        If the disk is full or read-only.
    """
    folder = project.run_folder(name)
    library = library_fingerprint()
    outcomes: list[Outcome] = []
    broken: set[str] = set()
    with locked(folder, name), logged(project, name, library) as log:
        _sweep(project, name)
        sources = _sources(project, name, steps)
        for step in steps:
            read = {key: writer for key, writer in sources[step.name].items() if writer in broken}
            if read:
                outcomes.append(_not_run(step, read))
                broken.add(step.name)
                log.note(outcomes[-1])
                progress.end(outcomes[-1])
                continue
            # RUN comes first, and is not injected where it is the committed one: then the
            # executed copy has the committed cells and nothing else.
            overrides = {"RUN": name} if name != LAB_RUN and "RUN" in step.parameters else {}
            overrides |= {key: value for key, value in parameters.items() if key in step.parameters}
            job = _Job(project, name, step, overrides, library, timeout, conditions)
            with claim(step, job.resolved, library) if claim else nullcontext() as failure:
                outcome = job.skip(failure, force=force)
                if outcome is None:
                    log.begin(step.name)
                    outcome = job.run(progress)
                log.note(outcome)
                progress.end(outcome)
            outcomes.append(outcome)
            if outcome.status == "failed":
                broken.add(step.name)
    return RunResult(name, folder, tuple(outcomes))


def _sources(project: Project, run: str, steps: Sequence[Step]) -> dict[str, dict[str, str]]:
    """Return what each step reads and from which, by its cells and by the last time it ran."""
    records = {step.name: Record.find(project.record(run, step.name)) for step in steps}
    seen = {name: record.reads for name, record in records.items() if record}
    return sources_of(steps, hidden=seen)


def _not_run(step: Step, read: Mapping[str, str]) -> Outcome:
    reason = "reads " + ", ".join(f"`{name}` of {writer}" for name, writer in read.items())
    return Outcome(step.name, "not run", len(step.sources), 0, 0.0, reason=reason)


def _outcome(
    step: Step,
    folder: Path,
    record: Record | None,
    status: HowItEnded,
    seconds: float,
    peak_memory: int,
    failure: Failure | None = None,
) -> Outcome:
    cells = len(step.sources)
    return Outcome(
        name=step.name,
        status=status,
        cells=cells,
        cells_done=failure.cell - 1 if failure else cells,
        seconds=seconds,
        artifacts=tuple(record.writes) if record else (),
        figures=tuple(Path(path).stem for path in record.figures) if record else (),
        failure=failure,
        copy=folder / step.path.name,
        peak_memory=peak_memory,
    )


@dataclass(frozen=True)
class _Job:
    """One step that has to run."""

    project: Project
    run_name: str
    step: Step
    overrides: dict[str, Any]
    library: str
    timeout: float
    conditions: Conditions | None

    @property
    def resolved(self) -> dict[str, Any]:
        defaults = {name: one.default for name, one in self.step.parameters.items()}
        return {**defaults, **self.overrides}

    def skip(self, failure: Failure | None, *, force: bool) -> Outcome | None:
        """Return the outcome if nothing has to run: it has failed already, or nothing changed."""
        folder = self.project.run_folder(self.run_name)
        if failure is not None:
            return _outcome(self.step, folder, None, "failed", 0.0, 0, failure)
        place = self.project, self.run_name
        record = None if force else is_fresh(*place, self.step, self.resolved, self.library)
        if record is None:
            return None
        took = record.seconds, record.peak_memory
        return _outcome(self.step, folder, record, "skipped", *took)

    def run(self, progress: Progress) -> Outcome:
        step, place = self.step, self.project.record(self.run_name, self.step.name)
        folder = self.project.run_folder(self.run_name)
        copy = folder / step.path.name
        before = Record.find(place)
        # From here on the old record doesn't count.
        _remove(place, copy)
        progress.begin(step.name, len(step.sources))
        begun = time.monotonic()
        done = execute(
            step.path,
            copy,
            self.overrides,
            timeout=self.timeout,
            on_cell=progress.cell,
            conditions=self.conditions,
        )
        seconds = time.monotonic() - begun
        record = Record.find(place)
        took = seconds, done.peak_memory
        if done.failure is not None:
            return _outcome(step, folder, record, "failed", *took, done.failure)
        # A notebook without a session reads and writes nothing that others rely on.
        record = record or Record(step.name, self.run_name, self.resolved)
        if before is not None:
            _remove(*self._no_longer_written(before, record))
        self._complete(record, *took).save(place)
        return _outcome(step, folder, record, "ran", *took)

    def _no_longer_written(self, before: Record, now: Record) -> list[Path]:
        folder = self.project.run_folder(self.run_name)
        gone = [folder / before.writes[name]["path"] for name in before.writes.keys() - now.writes]
        return gone + [self.project.root / path for path in before.figures.keys() - now.figures]

    def _complete(self, record: Record, seconds: float, peak_memory: int) -> Record:
        record.source = source_fingerprint(self.step)
        record.library = self.library
        record.cells = len(self.step.sources)
        record.seconds = round(seconds, 3)
        record.peak_memory = peak_memory
        record.done = True
        return record


def _sweep(project: Project, name: str) -> None:
    """Remove the half-written files of a run that was killed; runs inside it keep theirs."""
    folder, record = project.run_folder(name), project.record(name, "any")
    places = (project.artifacts(name), project.figures(name), record.parent)
    _remove(*folder.glob(".*.part*"))
    for place in places:
        _remove(*place.rglob(".*.part*"), *place.rglob(".*.old"))


def _remove(*paths: Path) -> None:
    for path in paths:
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise ArtifactError(
                f"{path} must be removable, to be made again; {error.strerror or error}. "
                "Change its permissions."
            ) from error
