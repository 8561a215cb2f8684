"""A sweep: its plan, the loop that hands settings out to workers, and what a worker does for one.

The sweep holds a lock as long as it lives and wants to go on; its workers try it now and then.
"""

import contextlib
import json
import logging
import math
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from papermill.iorw import papermill_io

from recsys_lib._system import available_memory, cores, limited_threads, lock_file
from recsys_lib.artifacts import MANIFEST, BusyError, write_json
from recsys_lib.checks import needing
from recsys_lib.errors import ArtifactError, ConfigError, RecsysError
from recsys_lib.pipeline.chain import load_steps, select, steps_for
from recsys_lib.pipeline.grid import Setting, settings_of
from recsys_lib.pipeline.manifest import Manifest
from recsys_lib.pipeline.progress import Progress
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.runner import KERNEL, RunResult, run_chain
from recsys_lib.pipeline.runs import find_runs, table_of
from recsys_lib.pipeline.store import Conditions

SWEEP_FILE = "sweep.json"

_ATTEMPTS = 3  # times that a setting may lose its worker
_TICK = 0.5  # seconds
_FAREWELL = 20.0  # seconds for workers to stop their kernels
_CONNECT_SECONDS = 20
# A setting that was just lost may still be held by a kernel or worker on its way out.
_BUSY_SECONDS = 150.0
_UNSEEN = 120.0  # seconds after which a lock that was never seen is none; NFS may hide it for 60


class Stopped(Exception):
    """A worker has stopped because its sweep has."""


@dataclass(frozen=True)
class Worker:
    """Works on settings, one by one.

    Attributes
    ----------
    project : Project
        In the same folder on all machines.
    only : str, optional
        Which notebooks.
    timeout : float
        Seconds for each notebook.
    environment : mapping of str to str
        Variables for its kernels.
    token : str
        Of this start of the sweep.
    """

    project: Project
    only: str | None
    timeout: float
    environment: Mapping[str, str]
    token: str

    def __call__(self, run: str, parameters: Mapping[str, Any]) -> RunResult:
        """Run the chain of one setting, ``"<sweep>/<setting>"``, with its overrides."""
        stop = SweepOver(self.project.run_folder(run).parent, self.token)
        limit = time.monotonic() + _BUSY_SECONDS
        steps, _ = steps_for(load_steps(self.project), parameters, only=self.only)
        beside = Conditions(self.environment, self.token, stop)
        how: dict[str, Any] = {"name": run, "timeout": self.timeout, "conditions": beside}
        while True:
            try:
                return run_chain(self.project, steps, parameters, Progress(), **how)
            except KeyboardInterrupt:
                raise Stopped from None
            except BusyError:
                if time.monotonic() > limit or stop.is_set():
                    raise
                time.sleep(1.0)


def _reason(result: RunResult) -> str:
    """Return why a setting failed, or nothing."""
    first = result.failed
    if first is None or first.failure is None:
        return ""
    why, cells = first.failure, first.record.cells
    return f"{first.name} stopped in cell {why.cell} of {cells}: {why.kind}: {why.message}"


def _place(sweep: Path, token: str) -> Path:
    return sweep / ".sweep" / f"{token}.lock"


@contextlib.contextmanager
def alive(sweep: Path, token: str) -> Iterator[Callable[[], None]]:
    """Hold the sign of life of a sweep: a lock that ends with this process, however that ends.

    Parameters
    ----------
    sweep : Path
        ``runs/<sweep>``.
    token : str
        Of this start of the sweep.

    Yields
    ------
    callable
        Gives it up, which tells all workers to stop their kernels and come to an end.
    """
    path = _place(sweep, token)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("w", encoding="utf-8") as handle:
            lock_file(handle)
            yield handle.close
    finally:
        with contextlib.suppress(OSError):  # a worker may be looking at it
            path.unlink()


class SweepOver(threading.Event):
    """Set when a sweep gives up its sign of life or is gone, on whatever machine.

    Whoever asks whether it is set looks for that.

    Parameters
    ----------
    sweep : Path
        ``runs/<sweep>``.
    token : str
        Of this start of the sweep.
    """

    def __init__(self, sweep: Path, token: str) -> None:
        super().__init__()
        self._path, self._seen = _place(sweep, token), False
        self._limit = time.monotonic() + _UNSEEN
        self.is_set()  # from now on it has been seen

    def is_set(self) -> bool:
        """Whether the sweep is over."""
        try:
            with self._path.open("r+", encoding="utf-8") as handle:
                self._seen, over = True, lock_file(handle)
        except FileNotFoundError:
            over = self._seen or time.monotonic() > self._limit
        except OSError:
            over = False  # a network drive that is away for a moment
        if over:
            self.set()
        return super().is_set()


@dataclass(frozen=True)
class Engine:
    """What a sweep needs to know of those who work for it.

    Attributes
    ----------
    executor : Executor
        Any of `concurrent.futures`.
    workers : int
        How many settings are worked on at once.
    threads : int
        Threads for each, where that is known; otherwise 0.
    """

    executor: Executor
    workers: int
    threads: int = 0


@contextlib.contextmanager
def engine(sweep: "Sweep") -> Iterator[Engine]:
    """Start or join an engine; all workers that it has started end with the context.

    Parameters
    ----------
    sweep : Sweep
        A cluster that runs already takes as many settings at once as it has workers by default.

    Raises
    ------
    ConfigError
        If the engine is not installed, or does not answer.
    """
    workers = sweep.workers or cores()
    if sweep.executor:
        yield Engine(sweep.executor, workers)
    elif sweep.backend == "dask" or sweep.scheduler:
        with _dask(sweep.workers, sweep.scheduler) as joined:
            yield joined
    else:
        # Threads suffice: what takes cores and memory are the kernels, which are processes.
        with ThreadPoolExecutor(workers) as executor:
            yield Engine(executor, workers)


@contextlib.contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """Ignore Ctrl-C meanwhile; processes that are begun by then go on doing so."""
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main else None
    try:
        yield
    finally:
        if in_main:
            signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _dask(workers: int | None, address: str | None) -> Iterator[Engine]:
    """Join the Dask cluster at `address`, or make one of processes of this machine."""
    with needing("dask", "--backend dask"):
        from distributed import Client
    how: dict[str, Any] = {"address": address}
    if address is None:
        # Kernels are processes of their own, so Dask's own count of memory means nothing.
        how = {"n_workers": workers or cores(), "threads_per_worker": 1, "memory_limit": 0}
        how |= {"dashboard_address": None, "silence_logs": logging.CRITICAL}
    try:
        with _ctrl_c_ignored():
            client = Client(**how, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--scheduler must be the address of a Dask scheduler; {address} does not answer "
            f"({error}). Try tcp://host:8786."
        ) from error
    with client:
        threads = client.nthreads().values()
        at_once = workers or max(len(threads), 1)
        each = max(sum(threads) // at_once, 1) if address else 0
        # Not pure: a setting that is tried again is to be worked on again.
        yield Engine(client.get_executor(pure=False), at_once, each)


@dataclass
class Sweep:
    """A sweep: what it is to do, and how far it is.

    Attributes
    ----------
    project : Project
    name : str
    grid : dict
        As it was given.
    only : str, optional
        Which notebooks run.
    settings : sequence of Setting
        As the grid has them, which is the order in which they are worked on.
    workers : int, optional
        Settings at once; by cores and memory where it is not given.
    backend : {"local", "dask"}
        Kernels of this machine, or a cluster; ``"loky"``, as in version 0.2, is ``"local"``.
    scheduler : str, optional
        Address of a Dask cluster that runs already.
    executor : Executor, optional
        In the place of a backend: any of `concurrent.futures`. It stays open.
    timeout : float
        Seconds for each notebook.
    output : str, optional
        Where copies go: a folder, or an address that papermill can write to, such as
        ``s3://bucket/prefix``.
    token : str
        Of this start.
    status : str
        "running", "done", "failed" (a setting did) or "interrupted".
    at_once : int
        Settings that are worked on at the same time.
    """

    project: Project
    name: str
    grid: dict[str, Any]
    only: str | None
    settings: tuple[Setting, ...]
    workers: int | None = None
    backend: Literal["local", "loky", "dask"] = "local"
    scheduler: str | None = None
    executor: Executor | None = None
    timeout: float = math.inf
    output: str | None = None
    token: str = field(default_factory=lambda: f"{time.time_ns():x}-{os.getpid()}")
    status: str = "running"
    at_once: int = 0
    clock: float = field(default_factory=time.monotonic)

    @property
    def folder(self) -> Path:
        """``runs/<name>``."""
        return self.project.run_folder(self.name)

    @property
    def need(self) -> float:
        """Bytes that one setting is expected to take: the largest that was measured counts."""
        return max(one.peak_memory for one in self.settings) or KERNEL

    def fitting(self, free: float, most: int) -> int:
        """Return how many settings there is memory for: at least one, and no more than `most`."""
        return int(min(most, max(1.0, free / self.need)))

    @property
    def failed(self) -> list[Setting]:
        """The settings that failed."""
        return [one for one in self.settings if one.status == "failed"]

    def at_work(self, setting: Setting) -> str:
        """Return the notebook that a setting is at, as its manifest says."""
        with contextlib.suppress(ArtifactError):
            books = Manifest.load(self.folder / setting.name).notebooks
            return next((name for name in books if books[name]["status"] == "unfinished"), "")
        return ""

    def count(self, status: str) -> int:
        """Return how many settings have a status."""
        return sum(one.status == status for one in self.settings)

    def save(self) -> None:
        """Write ``sweep.json``, atomically."""
        settings = {one.name: asdict(one) for one in self.settings}
        content = {"sweep": self.name, "status": self.status, "grid": self.grid}
        write_json(self.folder / SWEEP_FILE, content | {"settings": settings})

    def copy_out(self, *paths: Path) -> None:
        """Copy files of its folder to the output, if there is one, by papermill's writers.

        Raises
        ------
        ConfigError
            If they cannot be written there.
        """
        place = f"{(self.output or '').rstrip('/')}/{self.name}"
        for path in paths if self.output else ():
            target = f"{place}/{path.relative_to(self.folder).as_posix()}"
            try:
                if "://" not in target:
                    Path(target).parent.mkdir(parents=True, exist_ok=True)
                papermill_io.write(path.read_text(encoding="utf-8"), target)
            except Exception as error:  # whatever a store of anybody's raises
                raise ConfigError(
                    f"--output must be a place that papermill can write to; {place}: "
                    f"{_line(error)}. Check the address and the credentials."
                ) from error

    def table(self) -> pd.DataFrame:
        """Return the table of `list_runs`, with a row for each setting in their order."""
        runs = [f"{self.name}/{one.name}" for one in self.settings]
        return table_of(find_runs(self.project, [self.name])).reindex(runs)


def plan(project: Project, grid: Mapping[str, Any], name: str, **how: Any) -> Sweep:
    """Return the plan of a sweep, or say what is wrong.

    Parameters
    ----------
    project : Project
    grid : mapping
        As of `grid.axes_of`.
    name : str
        Of the sweep.
    **how
        ``origin`` of the grid, for messages, and the other attributes of `Sweep`; ``only`` wins
        over the grid's own.

    Raises
    ------
    ConfigError
        If anything in the grid is wrong, or the name is taken by a run.
    """
    place = project.run_folder(name)
    if "/" in name or (place / "state").exists():
        raise ConfigError(
            f"The name of a sweep must not be that of a run, as {name!r} is. Choose another --name."
        )
    origin, only = how.pop("origin", "The grid"), how.pop("only", None)
    if only is None and "only" in grid:
        only = str(grid["only"]).zfill(2)  # YAML takes 03 for a number
    try:
        settings = settings_of(grid, select(load_steps(project), only=only))
        for one in settings:
            project.run_folder(f"{name}/{one.name}")  # a source may be called like a folder of runs
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from error
    # For sweep.json, in which keys are text.
    plain = json.loads(json.dumps(dict(grid), default=str))
    return Sweep(project, name, plain, only, settings, **how)


def sweep(
    grid: Mapping[str, Any],
    *,
    name: str,
    workers: int | None = None,
    only: str | None = None,
    executor: Executor | None = None,
    progress: Callable[[Sweep], None] | None = None,
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
        What works the settings off: any of `concurrent.futures`; threads of this process by
        default.
    progress : callable, optional
        Called with the state twice a second.
    project : Project, optional
        Found from the working directory by default.

    Returns
    -------
    DataFrame
        As of `list_runs`, one row for each setting, indexed by its run ``<name>/<setting>``.

    Raises
    ------
    ConfigError
        If the grid is wrong, told before anything runs.
    BusyError
        If a sweep of this name is at work.

    Examples
    --------
    ``sweep({"EPOCHS": [10, 20]}, name="epochs", only="01-03")[["EPOCHS", "03.test_rmse"]]``
    """
    how: dict[str, Any] = {"only": only, "workers": workers, "executor": executor}
    planned = plan(project or Project.find(), grid, name, **how)
    return run_sweep(planned, progress).table()


def run_sweep(sweep: Sweep, watch: Callable[[Sweep], None] | None = None) -> Sweep:
    """Run every setting of a sweep; a failure stops its own setting only.

    What a sweep of this name has finished before is skipped, as in a run.

    Parameters
    ----------
    sweep : Sweep
        As `plan` returns it.
    watch : callable, optional
        Told the state twice a second.

    Returns
    -------
    Sweep
        With status "done", or "failed" where a setting is.

    Raises
    ------
    ConfigError
        If the engine does not start, or nothing can be written to the output.
    BusyError
        If a sweep of this name is at work.
    KeyboardInterrupt
        After all kernels are stopped and everything finished is kept.
    """
    with sweep.project.locked(sweep.name):
        shutil.rmtree(sweep.folder / ".sweep", ignore_errors=True)  # of one that was killed
        with engine(sweep) as workers, alive(sweep.folder, sweep.token) as give_up:
            sweep.save()
            sweep.copy_out(sweep.folder / SWEEP_FILE)  # where it cannot, that is told now
            try:
                _Driver(sweep, workers, watch).run(give_up)
                sweep.status = "failed" if sweep.failed else "done"
            finally:
                sweep.save()
        sweep.copy_out(sweep.folder / SWEEP_FILE)
    return sweep


def _line(error: BaseException) -> str:
    kind = "" if isinstance(error, RecsysError) else f"{type(error).__name__}: "
    return " ".join(f"{kind}{error}".split())


class _Driver:
    """The loop of a sweep."""

    def __init__(self, sweep: Sweep, engine: Engine, watch: Callable[[Sweep], None] | None) -> None:
        self._sweep, self._engine, self._told = sweep, engine, watch or (lambda _: None)
        # On a cluster the scheduler knows its machines; here, cores and memory are the bounds.
        self._free = math.inf if sweep.workers or sweep.scheduler else available_memory()
        self._running = dict[Future[RunResult], Setting]()
        environment = limited_threads(self._at_once(), engine.threads)
        self._worker = Worker(sweep.project, sweep.only, sweep.timeout, environment, sweep.token)

    def run(self, give_up: Callable[[], None]) -> None:
        """Work until nothing is left; `give_up` tells the workers that somebody stopped it."""
        try:
            while self._running or self._sweep.count("waiting"):
                self._send()
                self._told(self._sweep)
                done, _ = wait(self._running, timeout=_TICK, return_when=FIRST_COMPLETED)
                for future in done:
                    self._settle(future)
        except BaseException:
            give_up()
            self._interrupt()
            raise
        finally:
            self._told(self._sweep)

    def _at_once(self) -> int:
        return self._sweep.fitting(self._free, self._engine.workers)

    def _send(self) -> None:
        sweep = self._sweep
        sweep.at_once = self._at_once()
        waiting = [one for one in sweep.settings if one.status == "waiting"]
        for one in waiting[: max(sweep.at_once - len(self._running), 0)]:
            one.status, one.begun = "running", time.monotonic()
            one.attempts += 1
            run = f"{sweep.name}/{one.name}"
            self._running[self._engine.executor.submit(self._worker, run, one.parameters)] = one

    def _settle(self, future: "Future[RunResult]") -> None:
        one = self._running.pop(future)
        try:
            result = future.result()
        except (RecsysError, OSError, MemoryError) as error:
            failure = _line(error)
        except Exception as error:  # its worker is gone, which is not the end of the sweep
            if one.attempts < _ATTEMPTS:
                one.status = "waiting"
                return
            failure = f"lost its worker {_ATTEMPTS} times; the last time: {_line(error)}"
        else:
            one.ran, failure = len(result.ended("ran")), _reason(result)
        self._take(one, failure)

    def _take(self, one: Setting, failure: str) -> None:
        """Take down how a setting ended, and what its manifest says."""
        folder = self._sweep.folder / one.name
        with contextlib.suppress(ArtifactError):
            found = Manifest.load(folder)
            one.seconds, one.peak_memory = found.seconds, found.peak_memory
        try:
            self._sweep.copy_out(*sorted(folder.glob("[!.]*.ipynb")), *folder.glob(MANIFEST))
        except ConfigError as error:
            failure = failure or str(error)
        one.status, one.message = "failed" if failure else "done", failure
        self._sweep.save()

    def _interrupt(self) -> None:
        self._sweep.status = "interrupted"
        done, _ = wait(self._running, timeout=_FAREWELL)
        for future in done:
            if not future.exception():
                self._settle(future)
        for one in self._running.values():
            one.status = "interrupted"
