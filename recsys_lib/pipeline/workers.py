"""Who works for a sweep, what a worker does for one setting, and how they hear of each other.

The sweep holds a lock as long as it lives and wants to go on; its workers try it now and then.
"""

import contextlib
import functools
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from recsys_lib._system import cores, lock_file
from recsys_lib.artifacts import BusyError
from recsys_lib.checks import needing
from recsys_lib.errors import ConfigError, RecsysError
from recsys_lib.pipeline.chain import load_steps, steps_for
from recsys_lib.pipeline.progress import Progress
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.runner import RunResult, run_chain
from recsys_lib.pipeline.store import Conditions

_CONNECT_SECONDS = 20
# A setting that was just lost may still be held by a kernel or worker on its way out.
_BUSY_SECONDS = 150.0
_LOOK = 0.3  # seconds between two looks at whether the sweep is alive
_UNSEEN = 120.0  # seconds after which a lock that was never seen is none; NFS may hide it for 60


class Result(NamedTuple):
    """What became of a setting.

    Attributes
    ----------
    status : {"done", "failed", "interrupted"}
    message : str
        Why it failed.
    ran : int
        How many notebooks were run, and not skipped or taken over.
    """

    status: Literal["done", "failed", "interrupted"]
    message: str = ""
    ran: int = 0


def work(
    project: Project,
    run: str,
    parameters: Mapping[str, Any],
    *,
    only: str | None,
    timeout: float,
    environment: Mapping[str, str],
    token: str,
) -> Result:
    """Run the chain of one setting; what goes wrong in it is a result and not an exception.

    Parameters
    ----------
    project : Project
        In the same folder on all machines.
    run : str
        ``"<sweep>/<setting>"``.
    parameters : mapping
        Overrides.
    only : str, optional
        Which notebooks.
    timeout : float
        Seconds for each notebook.
    environment : mapping of str to str
        Variables for its kernels.
    token : str
        Of this start of the sweep.
    """
    stop, folder = threading.Event(), project.run_folder(run)
    with stopped_with(folder.parent, token, stop):
        try:
            steps, _ = steps_for(load_steps(project), parameters, only=only)
            beside = Conditions(environment, token, stop)
            begin = functools.partial(run_chain, project, steps, parameters, Progress(), name=run)
            return _result(_patiently(lambda: begin(timeout=timeout, conditions=beside), stop))
        except KeyboardInterrupt:
            return Result("interrupted")
        except (RecsysError, OSError, MemoryError) as error:
            kind = "" if isinstance(error, RecsysError) else f"{type(error).__name__}: "
            return Result("failed", " ".join(f"{kind}{error}".split()))


def _patiently(begin: Callable[[], RunResult], stop: threading.Event) -> RunResult:
    limit = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return begin()
        except BusyError:
            if time.monotonic() > limit:
                raise
            if stop.wait(1.0):
                raise KeyboardInterrupt from None


def _result(result: RunResult) -> Result:
    ran = sum(one.status == "ran" for one in result.outcomes)
    if result.failed is None or result.failed.failure is None:
        return Result("done", ran=ran)
    failure = result.failed.failure
    where = f"{result.failed.name} stopped in cell {failure.cell} of {result.failed.record.cells}"
    more = [one.name for one in result.ended("failed")[1:]]
    rest = {"also failed": more, "not run": [one.name for one in result.ended("not run")]}
    others = "".join(f"; {how}: {', '.join(names)}" for how, names in rest.items() if names)
    return Result("failed", f"{where}: {failure.kind}: {failure.message}{others}", ran)


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


@contextlib.contextmanager
def stopped_with(sweep: Path, token: str, stop: threading.Event) -> Iterator[None]:
    """Set `stop` when the sweep gives up its sign of life or is gone, on whatever machine."""
    path = _place(sweep, token)
    ended = threading.Event()

    def look() -> None:
        seen, limit = False, time.monotonic() + _UNSEEN
        while not ended.wait(_LOOK):
            try:
                with path.open("r+", encoding="utf-8") as handle:
                    seen, over = True, lock_file(handle)
            except FileNotFoundError:
                over = seen or time.monotonic() > limit
            except OSError:
                continue  # a network drive that is away for a moment
            if over:
                stop.set()
                return

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a sweep is worked off.

    Attributes
    ----------
    workers : int, optional
        Settings at once; by cores and memory where it is not given.
    backend : {"local", "dask"}
        Kernels of this machine, or a cluster; ``"loky"``, as in version 0.2, is ``"local"``.
    scheduler : str, optional
        Address of a cluster that runs already.
    executor : Executor, optional
        In the place of a backend: any of `concurrent.futures`. It stays open.
    memory : float, optional
        Bytes that one setting takes at least.
    timeout : float
        Seconds for each notebook.
    output : str, optional
        Where copies go: a folder, or an address that papermill can write to, such as
        ``s3://bucket/prefix``.
    """

    workers: int | None = None
    backend: Literal["local", "loky", "dask"] = "local"
    scheduler: str | None = None
    executor: Executor | None = None
    memory: float | None = None
    timeout: float = math.inf
    output: str | None = None


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
    lost : tuple of exception types
        What a future raises whose worker is gone.
    """

    executor: Executor
    workers: int
    threads: int = 0
    lost: tuple[type[BaseException], ...] = (BrokenExecutor,)


@contextlib.contextmanager
def engine(options: Options) -> Iterator[Engine]:
    """Start or join an engine; all workers that it has started end with the context.

    Parameters
    ----------
    options : Options
        A cluster that runs already takes as many settings at once as it has workers by default.

    Raises
    ------
    ConfigError
        If the engine is not installed, takes no scheduler, or does not answer.
    """
    address, workers = options.scheduler, options.workers or cores()
    if options.executor:
        yield Engine(options.executor, workers)
    elif options.backend == "dask":
        with _dask(options.workers, address) as joined:
            yield joined
    elif address:
        raise ConfigError(
            f"--scheduler must go with --backend dask; got {address!r} with {options.backend}. "
            "Leave it out, or name the backend."
        )
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
        from distributed import Client, KilledWorker, LocalCluster
    with contextlib.ExitStack() as opened:
        cluster: Any = address
        if address is None:
            # Kernels are processes of their own, so Dask's own count of memory means nothing.
            with _ctrl_c_ignored():
                cluster = LocalCluster(
                    n_workers=workers or cores(),
                    threads_per_worker=1,
                    memory_limit=0,
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
            opened.callback(cluster.close)
        try:
            client = Client(cluster, timeout=_CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"--scheduler must be the address of a Dask scheduler; {address} does not answer "
                f"({error}). Try tcp://host:8786."
            ) from error
        opened.callback(client.close)
        threads = client.nthreads().values()
        at_once = workers or max(len(threads), 1)
        each = max(sum(threads) // at_once, 1) if address else 0
        # Not pure: a setting that is tried again is to be worked on again.
        executor = client.get_executor(pure=False)
        opened.callback(executor.shutdown, wait=False)
        yield Engine(executor, at_once, each, (KilledWorker,))
