"""Runs the chain through papermill: in order, without what is unchanged or rests on a failure.

Each notebook has a kernel of its own, with progress by cell, a time limit and a clear failure.
"""

import contextlib
import json
import logging
import math
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import click
import nbformat
import papermill
import psutil
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.translators import PythonTranslator, papermill_translators
from traitlets.config import Config

from recsys_lib._system import available_memory, cores, limited_threads, move, peak_memory
from recsys_lib.artifacts import digest_of
from recsys_lib.errors import ArtifactError, ConfigError
from recsys_lib.pipeline import store
from recsys_lib.pipeline.chain import Step, load_steps, rests_on
from recsys_lib.pipeline.manifest import RunLog
from recsys_lib.pipeline.progress import Progress
from recsys_lib.pipeline.project import LAB_RUN, Project
from recsys_lib.pipeline.store import RUNNER, Failure

# Exceptions which mean that the input is wrong, not the notebook.
BAD_INPUT = frozenset({"DataError", "ConfigError", "ArtifactError", "DeviceError"})

_PAUSE = 0.2  # seconds between two looks at a step that another process is making
#: Bytes of a kernel with a network, as of the default world; known better once one has run.
KERNEL = 1_500_000_000


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
    outcomes: tuple[store.Outcome, ...]

    @property
    def failed(self) -> store.Outcome | None:
        """The first notebook that failed, if any."""
        return next(iter(self.ended("failed")), None)

    def ended(self, status: store.HowItEnded) -> list[store.Outcome]:
        """Return the notebooks with a status."""
        return [one for one in self.outcomes if one.status == status]


def run_chain(
    project: Project,
    steps: Sequence[Step],
    parameters: Mapping[str, Any],
    progress: Progress,
    *,
    name: str,
    force: bool = False,
    timeout: float = math.inf,
    workers: int | None = None,
    conditions: store.Conditions | None = None,
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
    workers : int, optional
        How many may run at once, none before those that it reads from. By default up to four, as
        there are cores; one in a run beside others, or with a GPU. A further one begins only where
        memory is free for all of them, as large as the largest one so far.
    conditions : Conditions, optional
        Of a run beside others.

    Returns
    -------
    RunResult

    Raises
    ------
    BusyError
        If a run of this name is active.
    ArtifactError
        If the disk is full or read-only.
    """
    conditions = conditions or store.Conditions()
    library = store.Library()
    if not workers:  # a GPU is for one at a time
        workers = 1 if conditions.token or shutil.which("nvidia-smi") else min(4, cores())
    with project.locked(name), RunLog(project, name, library.fingerprint()) as log:
        _remove_half_written(project, name)
        results = store.Store(project, name, library, parameters, conditions)
        run = _Run(results, progress, log, conditions.environment, timeout, force)
        if workers > 1 and (workers := min(workers, _widest(run, steps))) > 1:
            run = replace(run, environment={**limited_threads(workers), **run.environment})
        _work_off(run, steps, workers)
        # Kernels of a run that was killed may have written on until they noticed.
        _remove_half_written(project, name)
    ended = (log.outcomes[step.name] for step in steps)
    return RunResult(name, project.run_folder(name), tuple(ended))


def _widest(run: "_Run", steps: Sequence[Step]) -> int:
    """Return how many steps may come to run at once: one that runs alone has all threads."""
    beneath, levels = rests_on(load_steps(run.results.project)), dict[str, int]()
    for step in steps:
        below = [levels[name] for name in beneath[step.name] if name in levels]
        if below or run.force or not run.results.is_fresh(step):
            levels[step.name] = 1 + max(below, default=0)
    return max(Counter(levels.values()).values(), default=1)


def _work_off(run: "_Run", steps: Sequence[Step], workers: int) -> None:
    """Bring every step to its end: in order, but for what waits for others or a neighbor."""
    conditions = run.results.conditions
    # What a notebook left out writes is there, and not waited for.
    beneath = rests_on(load_steps(run.results.project))
    todo, elsewhere = list(steps), set[str]()
    at_work: dict[Future[store.Outcome | None], Step] = {}
    with ThreadPoolExecutor(workers) as pool:
        try:
            while todo:
                names = {step.name for step in todo}
                ready = [step for step in todo if names.isdisjoint(beneath[step.name])]
                begun = elsewhere | {step.name for step in at_work.values()}
                step = next((one for one in ready if one.name not in begun), None)
                if step and len(at_work) < workers and run.has_room(beside=len(at_work)):
                    at_work[pool.submit(run.outcome, step, beneath[step.name])] = step
                elif at_work:
                    for future in wait(at_work, _PAUSE, FIRST_COMPLETED).done:
                        step = at_work.pop(future)
                        if future.result():
                            todo.remove(step)
                            elsewhere.clear()
                        else:
                            elsewhere.add(step.name)
                else:
                    elsewhere.clear()
                    conditions.stop.wait(_PAUSE)
                    if conditions.stop.is_set():
                        raise KeyboardInterrupt
        except BaseException:
            conditions.stop.set()
            raise


@dataclass(frozen=True)
class _Run:
    """What its steps have in common."""

    results: store.Store
    progress: Progress
    log: RunLog
    environment: Mapping[str, str]
    timeout: float
    force: bool

    def has_room(self, *, beside: int) -> bool:
        """Whether there is memory for another step beside those at work, which may still grow."""
        peaks = [one.record.peak_memory for one in tuple(self.log.outcomes.values())]
        return not beside or available_memory() > (beside + 1) * max(peaks, default=KERNEL)

    def outcome(self, step: Step, beneath: Sequence[str]) -> store.Outcome | None:
        """Bring a step to its end; None where a neighbor is making it just now."""
        held = self._held(step, beneath)
        outcome = held or self.results.outcome(step, self._make, force=self.force)
        if outcome:
            self.log.ended(outcome)
            self.progress.end(outcome)
        return outcome

    def _held(self, step: Step, beneath: Sequence[str]) -> store.Outcome | None:
        """Return the outcome of a step that rests on one that failed."""
        ended = tuple(self.log.outcomes.values())  # others may end meanwhile
        causes = {
            one.name: one.reason or f"{one.name} failed"
            for one in ended
            if one.status in ("failed", "not run")
        }
        found = dict.fromkeys(causes[name] for name in beneath if name in causes)
        if not found:
            return None
        copy = self.results.copy_of(step)
        return store.Outcome(self._record(step), "not run", copy, reason=", ".join(found))

    def _make(self, step: Step) -> store.Outcome:
        self.log.begin(step.name)
        before = store.retire(self.results.project, self.results.run, step)
        self.progress.begin(step.name, len(step.sources))
        begun = time.monotonic()
        execution = Execution(self, step)
        failure = execution.work()
        record = self._record(step)
        record.parameters = record.parameters or self.results.values(step)
        record.seconds = round(time.monotonic() - begun, 3)
        record.peak_memory = execution.peak_memory
        if failure:
            return store.Outcome(record, "failed", execution.copy, failure)
        record.source = step.fingerprint
        record.library = self.results.library.fingerprint(record.modules)
        record.done = True
        store.settle(self.results.project, record, before)
        return store.Outcome(record, "ran", execution.copy)

    def overrides(self, step: Step) -> dict[str, Any]:
        """Return the parameters to inject into a step.

        RUN comes first. It is left out where it is the committed one: then the executed copy has
        the committed cells and nothing else.
        """
        values, given = self.results.values(step), ["RUN", *self.results.parameters]
        names = given[1:] if self.results.run == LAB_RUN else given
        return {name: values[name] for name in names if name in values}

    def _record(self, step: Step) -> store.Record:
        """Return what the session of a step has written down.

        A notebook without a session reads and writes nothing that others rely on.
        """
        project, run = self.results.project, self.results.run
        record = store.Record.find(project.record(run, step.name)) or store.Record(step.name, run)
        record.cells = len(step.sources)
        return record


def _remove_half_written(project: Project, name: str) -> None:
    """Remove what a run that was killed has half written; runs inside it keep theirs."""
    folder, record = project.run_folder(name), project.record(name, "any")
    store.remove(*folder.glob(".*.part*"), *Path(gettempdir()).glob(f"{sockets_of(folder)}*"))
    for place in (project.artifacts(name), project.figures(name), record.parent):
        store.remove(*place.rglob(".*.part*"), *place.rglob(".*.old"))


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
        If the run was made from another ``SOURCE``, or from one and none is given here, or a
        parameter is one of notebooks that would not run and have run with another value.
    """
    records = {record.notebook: record for record in store.records_of(project, run)}
    chosen = {step.name for step in steps}
    set_here = {name for step in steps for name in step.parameters}
    for step in chain:
        if (record := records.get(step.name)) is None:
            continue
        made = record.parameters
        before, now = made.get("SOURCE"), parameters.get("SOURCE", "")
        # What only reads a SOURCE, such as notebook 14, would take data of its own without one.
        concerned = step.name in chosen or ("SOURCE" in set_here and not now)
        if concerned and before not in (None, now) and "dataset" in record.writes:
            way = "Choose" if now else f"Give -p SOURCE {before}, choose"
            raise ConfigError(
                f"Run {run!r} must keep its data; it was made from "
                f"{before or 'the default world'}, and this command takes "
                f"{now or 'the default world'}. {way} another --name, or give --replace."
            )
        for name in step.parameters.keys() & parameters.keys() - set_here:
            if made.get(name) != json.loads(json.dumps(parameters[name])):
                raise ConfigError(
                    f"{name} must be set where it is read; {step.name} is not to run, and ran with "
                    f"{made.get(name)!r}. Begin there: --from {step.number}."
                )


_ENGINE = "recsys"
_LONGEST_FOLDER = 88  # letters of a folder with sockets: macOS allows 103 for a whole path
_FOREVER = 1e6  # seconds
_LOOK_SECONDS = 0.5  # between two looks at the memory, and at whether to stop


def sockets_of(run: Path) -> str:
    """Return how the names of the folders with sockets of a run's kernels begin."""
    return f"recsys-{digest_of(run.resolve().as_posix(), 12)}-"


@dataclass
class Execution:
    """A step at work in a fresh kernel, seen by the thread that runs it and by the caller's.

    Attributes
    ----------
    run : _Run
        What it has in common with the other steps.
    step : Step
        Its folder is the kernel's working directory.
    peak_memory : int
        The most bytes that the kernel and its child processes took, as far as was seen.
    """

    run: _Run
    step: Step
    peak_memory: int = 0
    _deadline: float = 0.0
    _injected: bool = False
    _cell: int = 0
    _client: PapermillNotebookClient | None = None

    def __post_init__(self) -> None:
        self.copy = self.run.results.copy_of(self.step)
        self._stop = self.run.results.conditions.stop

    def work(self) -> Failure | None:
        """Run it and leave the executed copy, whole or up to the failure, which is returned.

        Raises
        ------
        ArtifactError
            If the copy cannot be written.
        """
        part = self.copy.with_name(f".{self.copy.stem}.part.ipynb")
        self._deadline = time.monotonic() + self.run.timeout
        try:
            # In a thread of its own, because nbclient would take the signals from the main one.
            with ThreadPoolExecutor(1) as pool:
                future = pool.submit(self._papermill, part)
                while not future.done():
                    # Never without a limit: on Windows nothing else ends a wait.
                    wait([future], timeout=_LOOK_SECONDS)
                    self._look()
                    if self._stop.is_set():
                        self._kill()
                        raise KeyboardInterrupt
                failure = future.result()
            move(part, self.copy)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise ArtifactError(
                f"{self.copy} must be writable; {error.strerror or error}. Free disk space or "
                "change its permissions, then run again: finished notebooks are kept."
            ) from error
        return failure

    def _papermill(self, part: Path) -> Failure | None:
        logging.getLogger("papermill").setLevel(logging.CRITICAL)  # the caller reports a failure
        node = nbformat.read(self.step.path, as_version=4)
        # Papermill fills {fields} in paths.
        to = str(part).replace("{", "{{").replace("}", "}}")
        how = {"engine_name": _ENGINE, "kernel_name": "python3", "progress_bar": False}
        values = self.run.overrides(self.step)
        try:
            papermill.execute_notebook(node, to, values, **how, execution=self)
        except papermill.PapermillExecutionError as error:
            text = click.unstyle("\n".join(error.traceback))
            return Failure(self._cell + 1, error.ename, click.unstyle(error.evalue), text)
        except CellTimeoutError:
            text = "the notebook took longer than its limit. Raise it with --timeout SECONDS"
            return Failure(self._cell + 1, "Timeout", text)
        except (DeadKernelError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "Kernel" not in str(error):
                raise
            text = "the kernel died; most often because memory ran out. Use fewer users or items"
            return Failure(self._cell + 1, "DeadKernel", text)
        return None

    def execute(self, notebook: Any, kernel_name: str) -> None:
        """Execute what papermill manages; called by its engine."""
        prefix = sockets_of(self.copy.parent)
        with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as sockets:
            kernel = {"connection_file": f"{sockets}/kernel.json"}
            if sys.platform != "win32" and len(sockets) <= _LONGEST_FOLDER:
                # Sockets in a private folder: no ports to collide on or to eavesdrop on.
                kernel["transport"] = "ipc"
            self._client = PapermillNotebookClient(
                notebook,
                kernel_name=kernel_name,
                config=Config({"KernelManager": kernel}),
                log=logging.getLogger("papermill"),
                timeout_func=self._remaining,
                startup_timeout=120,
                on_cell_start=self._start_cell,
                on_cell_executed=self._look,
                # Results are on disk by then, and TensorFlow takes a second to shut down.
                shutdown_kernel="immediate",
            )
            environment = {**os.environ, **self.run.environment, RUNNER: str(os.getpid())}
            self._client.execute(cwd=str(self.step.path.parent), env=environment)

    def _start_cell(self, cell: Any, cell_index: int) -> None:
        # Papermill's cell with the parameters is not in the committed notebook.
        self._injected |= "injected-parameters" in cell.metadata.get("tags", ())
        self._cell = max(cell_index - self._injected, 0)
        if self._stop.is_set():
            self._kill()  # it was stopped before it had a kernel
        self.run.progress.cell(self.step.name, self._cell)

    def _look(self, **_: Any) -> None:
        """Measure the memory: now and then, and at the end of each cell."""
        if self._pid:
            self.peak_memory = max(self.peak_memory, peak_memory(self._pid))

    @property
    def _pid(self) -> int | None:
        kernel = self._client and self._client.km
        return getattr(getattr(kernel, "provisioner", None), "pid", None)

    def _remaining(self, _cell: Any) -> float:
        left = self._deadline - time.monotonic()
        # nbclient takes 0 for "no limit", and cannot count to infinity.
        return 0.0 if left > _FOREVER else max(left, 0.001)

    def _kill(self) -> None:
        if self._pid:
            with contextlib.suppress(psutil.Error):
                psutil.Process(self._pid).kill()


class _Engine(NBClientEngine):  # type: ignore[misc]
    """Papermill's engine with hooks for cells and a limit for the whole notebook."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, execution: Execution, **_: Any
    ) -> None:
        execution.execute(nb_man, kernel_name)


papermill_engines.register(_ENGINE, _Engine)


class _Translator(PythonTranslator):  # type: ignore[misc]
    """Papermill's translator, which by itself writes a tuple as text: parameters are literals."""

    @classmethod
    def translate(cls, val: Any) -> str:
        return repr(val)


papermill_translators.register("python", _Translator)
