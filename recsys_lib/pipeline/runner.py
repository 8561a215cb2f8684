"""The chain through papermill: in order, skipping what is unchanged, stopping at a failure."""

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
from recsys_lib.pipeline.freshness import is_fresh, library_fingerprint, source_fingerprint
from recsys_lib.pipeline.lock import locked
from recsys_lib.pipeline.project import LAB_RUN, Project
from recsys_lib.pipeline.record import Record
from recsys_lib.pipeline.runlog import logged

__all__ = ["BAD_INPUT", "Claim", "Outcome", "Progress", "RunResult", "run_chain"]

# Exceptions that say that what was given is wrong, not the notebook.
BAD_INPUT = frozenset({"DataError", "ConfigError", "ArtifactError", "DeviceError"})


@dataclass(frozen=True)
class Outcome:
    """What became of one notebook.

    Attributes
    ----------
    name : str
        The notebook.
    status : {"ran", "skipped", "failed"}
        How it ended.
    cells, cells_done : int
        How many it has, and how many ended.
    seconds : float
        Wall time now, or of the run that is kept where it was skipped.
    artifacts, figures : tuple of str
        Names of what it wrote.
    failure : Failure, optional
        Why it failed.
    copy : Path, optional
        The executed copy.
    peak_memory : int
        Bytes that its kernel took at most, now or in the run that is kept.
    """

    name: str
    status: Literal["ran", "skipped", "failed"]
    cells: int
    cells_done: int
    seconds: float
    artifacts: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    failure: Failure | None = None
    copy: Path | None = None
    peak_memory: int = 0


@dataclass(frozen=True)
class RunResult:
    """What became of a run.

    Attributes
    ----------
    name : str
        The run; ``"sweep/setting"`` where it is one of a sweep.
    folder : Path
        ``runs/<name>``.
    outcomes : tuple of Outcome
        One for each notebook up to the first that failed.
    """

    name: str
    folder: Path
    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> Outcome | None:
        """The notebook that stopped the chain, if any."""
        return next((one for one in self.outcomes if one.status == "failed"), None)


class Progress(Protocol):
    """Who is told how a run goes on."""

    def begin(self, name: str, cells: int) -> None:
        """Hear that a notebook begins."""

    def cell(self, done: int) -> None:
        """Hear how many of its cells are done."""

    def end(self, outcome: Outcome) -> None:
        """Hear how it ended."""


# Entered before a step is looked at, left when it has ended; it may give a reason to fail at once.
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

    A step whose cells, parameters, inputs and library are those of the last time is skipped,
    so a run that was stopped goes on where it stood.

    Parameters
    ----------
    project : Project
        Where the notebooks stand.
    steps : sequence of Step
        What to run.
    parameters : mapping
        Overrides, as `chain.resolve` returns them; each goes to the steps that declare it.
    progress : Progress
        Told of each notebook and cell.
    name : str
        The run; its folder is made.
    force : bool
        Run also what is unchanged.
    timeout : float
        Seconds that one notebook may take.
    conditions : Conditions, optional
        What the notebooks work under.
    claim : callable, optional
        Called with a step, its parameters and the library's fingerprint, it gives the context in
        which the step is run or skipped; a sweep waits there for, and takes over, what another
        of its settings makes.

    Returns
    -------
    RunResult
        With the failure where there was one: it ends the run.

    Raises
    ------
    ConfigError
        If a run of this name is at work.
    ArtifactError
        If the disk is full or read-only.
    """
    folder = project.run_folder(name)
    library = library_fingerprint()
    outcomes: list[Outcome] = []
    with locked(folder, name), logged(project, name, library) as log:
        _sweep(project, name)
        for step in steps:
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
                break
    return RunResult(name, folder, tuple(outcomes))


def _outcome(
    step: Step,
    folder: Path,
    record: Record | None,
    status: Literal["ran", "skipped", "failed"],
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
        """Return the outcome where nothing is to be run: it failed already, or nothing changed."""
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
        # From here on, only this run's word counts.
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
        # A notebook that opens no session reads and writes nothing that others rely on.
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
    """Remove the half-written files of a run that was killed, and none of the runs below it."""
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
