"""The sweep itself: settings out to workers, results in, until all have ended."""

import itertools
import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass

from recsys_lib._system import cores
from recsys_lib.pipeline.lock import locked
from recsys_lib.pipeline.sweeping.capacity import Capacity
from recsys_lib.pipeline.sweeping.engines import Engine, EngineName, start_engine
from recsys_lib.pipeline.sweeping.grid import Setting
from recsys_lib.pipeline.sweeping.output import Output
from recsys_lib.pipeline.sweeping.planning import Plan
from recsys_lib.pipeline.sweeping.pulse import Pulse
from recsys_lib.pipeline.sweeping.state import Entry, SweepState
from recsys_lib.pipeline.sweeping.worker import Result, Task, work

__all__ = ["Options", "run_sweep"]

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


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a sweep is worked off.

    Attributes
    ----------
    workers : int, optional
        Settings at once; by cores and memory where it is not given.
    backend : {"loky", "dask", "ray"}
    scheduler : str, optional
        Address of a cluster that runs already.
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
    with locked(folder, it.name):
        output = Output(options.output, it.name) if options.output else None
        if output:
            output.open(state.text())
        most = options.workers or (None if options.scheduler else cores())
        engine = start_engine(options.backend, most, options.scheduler)
        try:
            state.save()
            with Pulse(folder, token) as pulse:
                _Driver(it, options, state, engine, output, watch or _unwatched).run(pulse)
            state.status = "failed" if state.failed else "done"
        finally:
            engine.close()
            state.save()
        if output:
            output.close(state.text())
    return state


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
        output: Output | None,
        watch: Callable[[SweepState], None],
    ) -> None:
        self._plan, self._options, self._state = it, options, state
        self._engine, self._output, self._watch = engine, output, watch
        # On a cluster the scheduler knows its machines; here, cores and memory are the bounds.
        workers = engine.workers if options.scheduler else options.workers
        self._capacity = Capacity(workers, options.memory, most=engine.workers)
        self._environment = _environment(options, engine, self._capacity.now)
        self._queue = _interleaved(state.entries, it.shared)
        self._running: dict[Future[Result], Entry] = {}

    def run(self, pulse: Pulse) -> None:
        """Work until nothing is left."""
        try:
            while self._queue or self._running:
                self._send()
                self._watch(self._state)
                done, _ = wait(self._running, timeout=_TICK, return_when=FIRST_COMPLETED)
                for future in done:
                    self._settle(future)
        except BaseException:
            self._interrupt(pulse)
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
            self._running[self._engine.submit(work, self._task(entry.setting))] = entry

    def _task(self, setting: Setting) -> Task:
        it = self._plan
        return Task(
            root=str(it.project.root),
            sweep=it.name,
            setting=setting.name,
            parameters=setting.parameters,
            only=it.only,
            shared=it.shared[setting.name],
            turn=self._turn(),
            timeout=self._options.timeout,
            environment=self._environment,
            token=self._state.token,
        )

    def _turn(self) -> float:
        """Return a fraction that differs between settings that begin one after the other."""
        at_once = self._capacity.now
        begun = sum(one.attempts > 0 for one in self._state.entries) - 1
        return begun % at_once / at_once

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

    def _interrupt(self, pulse: Pulse) -> None:
        pulse.stop()
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
    # Dask and Ray give their workers one thread for each of these, whatever the machine has.
    threads = engine.threads or max(cores() // at_once, 1)
    return {name: os.environ.get(name, str(threads)) for name in _THREADS}


def _interleaved(entries: Sequence[Entry], shared: dict[str, dict[str, str]]) -> list[Entry]:
    """Return the settings so that neighbors share little: then they don't wait for each other."""
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        name = entry.setting.name
        groups.setdefault(next(iter(shared[name].values()), name), []).append(entry)
    rows = itertools.zip_longest(*groups.values())
    return [entry for row in rows for entry in row if entry is not None]
