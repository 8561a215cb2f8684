"""The sweep itself: settings out to workers, results in, until all have ended."""

import itertools
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from papermill.iorw import papermill_io

from recsys_lib._system import available_memory, cores
from recsys_lib.errors import ConfigError
from recsys_lib.pipeline.lock import locked
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.sweeping.grid import Setting, parse_grid
from recsys_lib.pipeline.sweeping.state import Entry, Plan, SweepState, plan
from recsys_lib.pipeline.sweeping.worker import (
    Engine,
    EngineName,
    Result,
    Task,
    alive,
    engine,
    work,
)

_ATTEMPTS = 3  # times that a setting may lose its worker
_TICK = 0.5  # seconds
# What numerical libraries take their number of threads from.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
_FAREWELL = 20.0  # seconds for workers to stop their kernels
# The default world's chain, measured with the worker that runs it; known better after one run.
_FIRST_GUESS = 1.5e9
_WORKER = 0.2e9


def sweep(
    grid: Mapping[str, Any],
    *,
    name: str,
    workers: int | None = None,
    only: str | None = None,
    executor: Executor | None = None,
    progress: Callable[[SweepState], None] | None = None,
    project: Project | None = None,
) -> pd.DataFrame:
    """Run the chain for each setting of a grid, in parallel, and return one row for each.

    What a sweep of this name has finished before is skipped; steps that settings have in common
    are run once. A setting that fails does not stop the others.

    Parameters
    ----------
    grid : mapping
        As a grid file holds it: ``{"EPOCHS": [10, 20], "only": "01-03"}``.
    name : str
        The settings become the runs ``<name>/<setting>``.
    workers : int, optional
        Settings at once; as many as cores and memory allow by default.
    only : str, optional
        Which notebooks, such as ``"01-03"``; wins over the grid's own.
    executor : Executor, optional
        What works the settings off: any of `concurrent.futures` over processes; own ones by
        default.
    progress : callable, optional
        Called with the state twice a second.
    project : Project, optional
        Found from the working directory by default.

    Returns
    -------
    DataFrame
        Indexed by setting: a column for each varied parameter, ``status`` ("done" or "failed"),
        ``seconds``, ``peak_gb``, and each metric of the manifests, such as ``03.test_rmse``.

    Raises
    ------
    ConfigError
        If the grid is wrong, told before anything runs; or a sweep of this name is at work.

    Examples
    --------
    ``sweep({"EPOCHS": [10, 20]}, name="epochs", only="01-03")[["EPOCHS", "03.test_rmse"]]``
    """
    it = plan(project or Project.find(), parse_grid(grid), name, only=only)
    options = Options(workers=workers, executor=executor)
    return run_sweep(it, options, progress).table()


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a sweep is worked off.

    Attributes
    ----------
    workers : int, optional
        Settings at once; by cores and memory where it is not given.
    backend : {"loky", "dask"}
    scheduler : str, optional
        Address of a cluster that runs already.
    executor : Executor, optional
        In the place of a backend: any of `concurrent.futures` over processes. It stays open.
    memory : float, optional
        Bytes that one setting takes at least.
    timeout : float
        Seconds for each notebook.
    output : str, optional
        Where papermill writes copies to.
    """

    workers: int | None = None
    backend: EngineName = "loky"
    scheduler: str | None = None
    executor: Executor | None = None
    memory: float | None = None
    timeout: float = math.inf
    output: str | None = None


def run_sweep(
    it: Plan, options: Options, watch: Callable[[SweepState], None] | None = None
) -> SweepState:
    """Run every setting of a plan; a failure stops its own setting only.

    What a sweep of this name has finished before is skipped, as in a run.

    Parameters
    ----------
    it : Plan
    options : Options
    watch : callable, optional
        Told the state twice a second.

    Returns
    -------
    SweepState
        With status "done", or "failed" where a setting is.

    Raises
    ------
    ConfigError
        If a sweep of this name is at work, the engine does not start, or nothing can be written
        to the output.
    KeyboardInterrupt
        After all kernels are stopped and everything finished is kept.
    """
    folder = it.project.run_folder(it.name)
    token = f"{time.time_ns():x}-{os.getpid()}"
    state = SweepState(it.name, folder, it.grid, [Entry(one) for one in it.settings], token)
    most = options.workers or (None if options.scheduler else cores())
    with locked(folder, it.name):
        output = _Output(options.output, it.name) if options.output else None
        if output:
            output.open(state.text())
        try:
            with _engine(options, most) as workers, alive(folder, token) as give_up:
                state.save()
                driver = _Driver(it, options, state, workers, output, watch or _unwatched)
                driver.run(give_up)
            state.status = "failed" if state.failed else "done"
        finally:
            state.save()
        if output:
            output.close(state.text())
    return state


def _engine(options: Options, most: int | None) -> AbstractContextManager[Engine]:
    if options.executor:
        return nullcontext(Engine(options.executor, most or 1))
    return engine(options.backend, most, options.scheduler)


def _unwatched(_: SweepState) -> None:
    """Watch nothing."""


class _Driver:
    """The loop of a sweep."""

    def __init__(
        self,
        it: Plan,
        options: Options,
        state: SweepState,
        engine: Engine,
        output: "_Output | None",
        watch: Callable[[SweepState], None],
    ) -> None:
        self._plan, self._options, self._state = it, options, state
        self._engine, self._output, self._watch = engine, output, watch
        # On a cluster the scheduler knows its machines; here, cores and memory are the bounds.
        workers = engine.workers if options.scheduler else options.workers
        self._capacity = Capacity(workers, options.memory, most=engine.workers)
        self._environment = _environment(options, engine, self._capacity.now)
        self._queue = _interleaved(state.entries, it)
        self._running: dict[Future[Result], Entry] = {}

    def run(self, give_up: Callable[[], None]) -> None:
        """Work until nothing is left; `give_up` tells the workers that somebody stopped it."""
        try:
            while self._queue or self._running:
                self._send()
                self._watch(self._state)
                done, _ = wait(self._running, timeout=_TICK, return_when=FIRST_COMPLETED)
                for future in done:
                    self._settle(future)
        except BaseException:
            give_up()
            self._interrupt()
            raise
        finally:
            self._watch(self._state)

    def _send(self) -> None:
        state, capacity = self._state, self._capacity
        state.workers, state.need = capacity.now, capacity.need
        while self._queue and len(self._running) < capacity.now:
            entry = self._queue.pop(0)
            entry.status, entry.begun = "running", time.monotonic()
            entry.attempts += 1
            future = self._engine.executor.submit(work, self._task(entry.setting))
            self._running[future] = entry

    def _task(self, setting: Setting) -> Task:
        it = self._plan
        return Task(
            root=str(it.project.root),
            sweep=it.name,
            setting=setting.name,
            parameters=setting.parameters,
            only=it.only,
            timeout=self._options.timeout,
            environment=self._environment,
            token=self._state.token,
        )

    def _settle(self, future: "Future[Result]") -> None:
        entry = self._running.pop(future)
        try:
            result = future.result()
        except self._engine.lost as error:
            result = Result("interrupted", " ".join(str(error).split()))
        except Exception as error:
            # Whatever an engine raises is the end of one setting, not of the sweep.
            result = Result("failed", f"{type(error).__name__}: {' '.join(str(error).split())}")
        if result.status == "interrupted":
            if entry.attempts < _ATTEMPTS:
                entry.status = "waiting"
                self._queue.insert(0, entry)
                return
            said = f"lost its worker {_ATTEMPTS} times; the last time: {result.message}"
            result = Result("failed", said)
        self._take(entry, result)

    def _take(self, entry: Entry, result: Result) -> None:
        folder = self._state.folder / entry.setting.name
        entry.settle(result, folder)
        self._capacity.measured(entry.peak_memory)
        if self._output and result.status != "interrupted":
            try:
                self._output.copy(folder)
            except Exception as error:
                entry.status = "failed"
                entry.message = f"its copy could not be written: {' '.join(str(error).split())}"
        self._state.save()

    def _interrupt(self) -> None:
        self._state.status = "interrupted"
        done, _ = wait(self._running, timeout=_FAREWELL)
        for future in done:
            entry = self._running.pop(future)
            if not future.exception():
                self._take(entry, future.result())
        for entry in self._running.values():
            entry.status = "interrupted"


def _environment(options: Options, engine: Engine, at_once: int) -> dict[str, str]:
    """Return how many threads the libraries in a kernel may take; what the user has set stands."""
    if options.backend == "loky" and at_once == 1:
        return {}  # alone: as `recsys run`
    # Dask gives its workers one thread for each of these, whatever the machine has.
    threads = engine.threads or max(cores() // at_once, 1)
    return {name: os.environ.get(name, str(threads)) for name in _THREADS}


def _interleaved(entries: Sequence[Entry], it: Plan) -> list[Entry]:
    """Return the settings so that neighbors begin with different steps and don't wait."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        first = next(iter(it.keys[entry.setting.name].values()))
        groups.setdefault(first, []).append(entry)
    rows = itertools.zip_longest(*groups.values())
    return [entry for row in rows for entry in row if entry is not None]


class Capacity:
    """The number of settings at once.

    Parameters
    ----------
    workers : int, optional
        Given by the user: then this is it.
    need : float, optional
        Bytes for each at least, given by the user; otherwise a guess until one is measured.
    most : int
        Workers that there are.

    Examples
    --------
    >>> capacity = Capacity(None, most=16, free=9e9)
    >>> capacity.now
    6
    >>> capacity.measured(1e9)
    >>> capacity.now
    7
    """

    def __init__(
        self,
        workers: int | None,
        need: float | None = None,
        *,
        most: int,
        free: float | None = None,
    ) -> None:
        self._workers = workers
        self._free = available_memory() if free is None else free
        self._given = need
        self._most = most
        self._peak = 0.0

    @property
    def need(self) -> float:
        """Bytes that one setting is expected to take."""
        return max(self._peak, self._given or 0.0) or _FIRST_GUESS

    @property
    def now(self) -> int:
        """Settings at once, as far as is known."""
        if self._workers is not None:
            return min(self._workers, self._most)
        return max(1, min(self._most, int(self._free // self.need)))

    def measured(self, peak: float) -> None:
        """Learn what the kernels of a finished setting took; the largest one counts."""
        if peak:
            self._peak = max(self._peak, peak + _WORKER)


class _Output:
    """A place for executed notebooks and manifests, beside ``runs/``.

    Parameters
    ----------
    place : str
        A folder, or an address that papermill can write to, such as ``s3://bucket/prefix``.
    sweep : str
        Name of the sweep; it becomes the next folder.
    """

    def __init__(self, place: str, sweep: str) -> None:
        self._place = f"{place.rstrip('/')}/{sweep}"
        self._remote = "://" in place

    def open(self, content: str) -> None:
        """Write the first ``sweep.json``: what cannot be written to is told before anything runs.

        Raises
        ------
        ConfigError
            If papermill cannot write there.
        """
        try:
            self._write(content, "sweep.json")
        except Exception as error:
            said = " ".join(str(error).split()) or type(error).__name__
            raise ConfigError(
                f"--output must be a place that papermill can write to; {self._place}: {said}. "
                "Check the address and the credentials."
            ) from error

    def close(self, content: str) -> None:
        """Write the last ``sweep.json``."""
        self._write(content, "sweep.json")

    def copy(self, folder: Path) -> None:
        """Copy the executed notebooks and the manifest of one setting.

        Parameters
        ----------
        folder : Path
            ``runs/<sweep>/<setting>``.
        """
        for path in (*sorted(folder.glob("*.ipynb")), folder / "manifest.json"):
            if path.exists() and not path.name.startswith("."):
                self._write(path.read_text(encoding="utf-8"), f"{folder.name}/{path.name}")

    def _write(self, text: str, name: str) -> None:
        path = f"{self._place}/{name}"
        if not self._remote:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        papermill_io.write(text, path)
