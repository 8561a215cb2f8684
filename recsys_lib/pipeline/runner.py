"""Runs the chain through papermill: in order, without what is unchanged or rests on a failure."""

import json
import math
import shlex
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from recsys_lib.errors import ArtifactError, ConfigError
from recsys_lib.pipeline.chain import Step, rests_on, sources_of
from recsys_lib.pipeline.execution import Conditions, Kernels, execute
from recsys_lib.pipeline.lock import locked
from recsys_lib.pipeline.manifest import RunLog, logged
from recsys_lib.pipeline.project import DEFAULT_RUN, LAB_RUN, Project
from recsys_lib.pipeline.record import Failure, Record, records_of
from recsys_lib.pipeline.store import (
    Library,
    Neighbors,
    StepBusyError,
    Store,
    no_longer_written,
    source_fingerprint,
)

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
        "skipped" where it was made before, "not run" where it reads from one that failed.
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
    donor : str
        The run from which it was taken over, if it was skipped for that.
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
    donor: str = ""


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
) -> RunResult:
    """Run the steps in order in the run `name`.

    A step that would make the same again is skipped, so a run that was stopped goes on from there;
    what another run has made the same is taken over (see `Store`). Where a step fails, those that
    read from it are not run. What a neighbor is making just now waits until nothing else is left.

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
        Of a run beside others.

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
    conditions = conditions or Conditions()
    library = Library()
    store = Store(project, name, library, conditions.neighbors)
    outcomes: list[Outcome] = []
    broken: set[str] = set()
    # Beside neighbors no core is free to start kernels ahead.
    expected = [] if conditions.neighbors else [step.path for step in steps]
    with (
        locked(folder, name),
        logged(project, name, library.fingerprint()) as log,
        Kernels(conditions.environment, expected) as kernels,
    ):
        _sweep(project, name)
        sources, beneath = _sources(project, name, steps), rests_on(steps)
        todo = [
            _Job(project, name, step, parameters, library, timeout, kernels, conditions.neighbors)
            for step in steps
        ]
        while todo:
            names = {job.step.name for job in todo}
            ready = [job for job in todo if names.isdisjoint(beneath[job.step.name])]
            for job in ready:
                outcome = _not_run(job.step, sources[job.step.name], broken)
                outcome = outcome or _made(job, store, log, progress, force=force)
                if outcome:
                    break
            else:
                store.wait(ready[0].step)
                continue
            todo.remove(job)
            if outcome.status in ("failed", "not run"):
                broken.add(outcome.name)
            log.note(outcome)
            progress.end(outcome)
            outcomes.append(outcome)
    return RunResult(name, folder, tuple(outcomes))


def _sources(project: Project, run: str, steps: Sequence[Step]) -> dict[str, dict[str, str]]:
    """Return what each step reads and from which, by its cells and by the last time it ran."""
    records = {step.name: Record.find(project.record(run, step.name)) for step in steps}
    seen = {name: record.reads for name, record in records.items() if record}
    return sources_of(steps, hidden=seen)


def _not_run(step: Step, sources: Mapping[str, str], broken: Collection[str]) -> Outcome | None:
    """Return the outcome of a step that reads from one that failed."""
    read = [f"`{name}` of {writer}" for name, writer in sources.items() if writer in broken]
    if not read:
        return None
    return Outcome(
        step.name, "not run", len(step.sources), 0, 0.0, reason=f"reads {', '.join(read)}"
    )


def _made(
    job: "_Job", store: Store, log: RunLog, progress: Progress, *, force: bool
) -> Outcome | None:
    """Make a step unless it is made already; None where a neighbor is making it just now."""
    try:
        with store.step(job.step, job.resolved, force=force) as made:
            if made is not None:
                return job.known(made, store.donor)
            log.begin(job.step.name)
            outcome = job.run(progress)
            store.tell(outcome.failure)
            return outcome
    except StepBusyError:
        return None


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
    """One step of a run."""

    project: Project
    run_name: str
    step: Step
    parameters: Mapping[str, Any]
    library: Library
    timeout: float
    kernels: Kernels
    neighbors: Neighbors | None

    @property
    def overrides(self) -> dict[str, Any]:
        """What is injected: RUN comes first.

        It is left out where it is the committed one: then the executed copy has the committed
        cells and nothing else.
        """
        known = self.step.parameters
        name = {"RUN": self.run_name} if self.run_name != LAB_RUN and "RUN" in known else {}
        return {**name, **{key: one for key, one in self.parameters.items() if key in known}}

    @property
    def resolved(self) -> dict[str, Any]:
        defaults = {name: one.default for name, one in self.step.parameters.items()}
        return {**defaults, **self.overrides}

    def known(self, made: Record | Failure, donor: str) -> Outcome:
        """Return the outcome where nothing has to run: it is made, or has failed already."""
        folder = self.project.run_folder(self.run_name)
        if isinstance(made, Failure):
            return _outcome(self.step, folder, None, "failed", 0.0, 0, made)
        outcome = _outcome(self.step, folder, made, "skipped", made.seconds, made.peak_memory)
        return replace(outcome, donor=donor)

    def run(self, progress: Progress) -> Outcome:
        step, place = self.step, self.project.record(self.run_name, self.step.name)
        folder = self.project.run_folder(self.run_name)
        copy = folder / step.path.name
        before = Record.find(place)
        if before:
            before.seal(folder)
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
            kernels=self.kernels,
            neighbors=self.neighbors,
        )
        seconds = time.monotonic() - begun
        record = Record.find(place)
        took = seconds, done.peak_memory
        if done.failure is not None:
            return _outcome(step, folder, record, "failed", *took, done.failure)
        # A notebook without a session reads and writes nothing that others rely on.
        record = record or Record(step.name, self.run_name, self.resolved)
        if before is not None:
            _remove(*no_longer_written(self.project, self.run_name, before, record))
        self._complete(record, *took).save(place)
        return _outcome(step, folder, record, "ran", *took)

    def _complete(self, record: Record, seconds: float, peak_memory: int) -> Record:
        record.source = source_fingerprint(self.step)
        record.library = self.library.fingerprint(record.modules)
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


def changes_of(project: Project, run: str) -> dict[str, Any]:
    """Return the parameters of a run that are not those that its notebooks declare."""
    changed: dict[str, Any] = {}
    for record in records_of(project, run):
        for place, value in record.changed.items():
            number, _, name = place.partition(".")
            if number == record.notebook[:2]:
                changed.setdefault(name, value)
    return changed


def command_of(project: Project, run: str) -> str:
    """Return the command that makes a run with the parameters that it has had."""
    words = ["recsys", "run", *([] if run == DEFAULT_RUN else ["--name", run])]
    for name, value in changes_of(project, run).items():
        entries = {name: value}
        if isinstance(value, dict):
            entries = {f"{name}.{key}": one for key, one in value.items()}
        for key, one in entries.items():
            words += ["-p", key, one if isinstance(one, str) else json.dumps(one)]
    return shlex.join(words)


def check_run(
    project: Project,
    run: str,
    chain: Sequence[Step],
    steps: Sequence[Step],
    parameters: Mapping[str, Any],
) -> None:
    """Refuse what would silently replace the data of a run, or have no effect on it.

    Parameters
    ----------
    project : Project
    run : str
        Its name.
    chain, steps : sequence of Step
        All of the project, and those that would run.
    parameters : mapping
        Overrides.

    Raises
    ------
    ConfigError
        If the run was made from another ``SOURCE``, or a parameter is one of notebooks that would
        not run and have run with another value.
    """
    records = {record.notebook: record for record in records_of(project, run)}
    chosen = {step.name for step in steps}
    set_here = {name for step in steps for name in step.parameters}
    for step in chain:
        if (record := records.get(step.name)) is None:
            continue
        made = record.parameters
        if step.name in chosen and "SOURCE" in made and "dataset" in record.writes:
            _check_source(run, made["SOURCE"], parameters.get("SOURCE", ""))
        for name in step.parameters.keys() & parameters.keys() - set_here:
            if made.get(name) != json.loads(json.dumps(parameters[name])):
                raise ConfigError(
                    f"{name} must be set where it is read; {step.name} is not to run, and ran with "
                    f"{made.get(name)!r}. Begin there: --from {step.number}."
                )


def _check_source(run: str, before: str, now: str) -> None:
    if before != now:
        raise ConfigError(
            f"Run {run!r} must keep its data; it was made from {before or 'the default world'}, "
            f"and this command takes {now or 'the default world'}. Choose another --name, or give "
            "--replace."
        )
