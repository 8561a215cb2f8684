"""Where settings are worked off: processes of this machine, a Dask cluster, a Ray cluster."""

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Literal, Protocol

from recsys_lib.errors import ConfigError

__all__ = ["Engine", "EngineName", "start_engine"]

EngineName = Literal["loky", "dask", "ray"]

_IDLE_SECONDS = 15  # a worker of a sweep that was killed ends by itself after this
_CONNECT_SECONDS = 20


class Engine(Protocol):
    """What a sweep asks of those who work for it.

    Attributes
    ----------
    workers : int
        How many settings are worked on at once.
    threads : int
        Threads for each, where the engine knows; otherwise 0.
    lost : tuple of exception types
        What a future raises whose worker is gone.
    """

    workers: int
    threads: int
    lost: tuple[type[BaseException], ...]

    def submit(self, function: Callable[[Any], Any], task: Any) -> "Future[Any]":
        """Have `function(task)` done; never more than `workers` at once."""

    def close(self) -> None:
        """End all workers, also busy ones."""


def start_engine(name: EngineName, workers: int | None, address: str | None) -> Engine:
    """Start or join an engine.

    Parameters
    ----------
    name : {"loky", "dask", "ray"}
    workers : int, optional
        Settings at once; an engine with an address takes all that it has by default.
    address : str, optional
        Of a scheduler that runs already, for Dask and Ray; they start a local one otherwise.

    Raises
    ------
    ConfigError
        If the engine is unknown or not installed, takes no address, or does not answer.
    """
    engines: dict[str, Callable[[int | None, str | None], Engine]] = {
        "loky": _Loky,
        "dask": _Dask,
        "ray": _Ray,
    }
    if name not in engines:
        raise ConfigError(f"--backend must be one of {', '.join(engines)}; got {name!r}.")
    try:
        return engines[name](workers, address)
    except ImportError as error:
        raise ConfigError(
            f"--backend {name} must be installed; {error}. "
            f"Install it with: pip install 'recsys-lib[{name}]'."
        ) from error


class _Loky:
    """Processes of this machine, each an executor of its own.

    One executor of many workers is broken as a whole when one of them is killed, and takes the
    others' work along.
    """

    lost: tuple[type[BaseException], ...] = (BrokenProcessPool,)
    threads = 0

    def __init__(self, workers: int | None, address: str | None) -> None:
        if address:
            raise ConfigError(
                f"--scheduler must go with --backend dask or ray; got {address!r} with loky. "
                "Leave it out, or name the backend."
            )
        self.workers = workers or 1
        self._all: list[Executor] = []
        self._at_work: list[tuple[Executor, Future[Any]]] = []

    def submit(self, function: Callable[[Any], Any], task: Any) -> "Future[Any]":
        executor = self._idle() or self._new()
        future = executor.submit(function, task)
        self._at_work.append((executor, future))
        return future

    def _idle(self) -> Executor | None:
        for place in self._at_work:
            executor, future = place
            if future.done():
                self._at_work.remove(place)
                if not isinstance(future.exception(), BrokenProcessPool):
                    return executor
                return self._idle()
        return None

    def _new(self) -> Executor:
        from joblib.externals.loky import ProcessPoolExecutor

        new: Executor = ProcessPoolExecutor(1, timeout=_IDLE_SECONDS, initializer=_ignore_ctrl_c)
        self._all.append(new)
        return new

    def close(self) -> None:
        for executor in self._all:
            executor.shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]


def _ignore_ctrl_c() -> None:
    """A terminal sends Ctrl-C to everybody; workers are told to stop by the sweep."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """Ignore Ctrl-C meanwhile; processes that are begun by then go on doing so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    _ignore_ctrl_c()
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


class _Dask:
    """A Dask cluster: the one at `address`, or processes of this machine."""

    def __init__(self, workers: int | None, address: str | None) -> None:
        from distributed import Client, KilledWorker, LocalCluster

        self.lost: tuple[type[BaseException], ...] = (KilledWorker,)
        self._cluster = None
        if address is None:
            # Kernels are processes of their own, so Dask's own count of memory means nothing.
            with _ctrl_c_ignored():
                self._cluster = LocalCluster(
                    n_workers=workers or 1,
                    threads_per_worker=1,
                    memory_limit=0,
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
        try:
            self._client = Client(self._cluster or address, timeout=_CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"--scheduler must be the address of a Dask scheduler; {address} does not answer "
                f"({error}). Try tcp://host:8786."
            ) from error
        threads = self._client.nthreads().values()
        self.workers = workers or max(len(threads), 1)
        self.threads = max(sum(threads) // self.workers, 1) if address else 0
        # Not pure: a setting that is tried again is to be worked on again.
        self._executor = self._client.get_executor(pure=False)

    def submit(self, function: Callable[[Any], Any], task: Any) -> "Future[Any]":
        future: Future[Any] = self._executor.submit(function, task)
        return future

    def close(self) -> None:
        self._executor.shutdown(wait=False)
        self._client.close()
        if self._cluster:
            self._cluster.close()


class _Ray:
    """A Ray cluster: the one at `address`, or processes of this machine."""

    def __init__(self, workers: int | None, address: str | None) -> None:
        import ray

        self.lost: tuple[type[BaseException], ...] = (
            ray.exceptions.RaySystemError,
            ray.exceptions.WorkerCrashedError,
        )
        self._ray = ray
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address is None:
            options |= {"num_cpus": workers or 1, "include_dashboard": False}
        try:
            # Ray takes SIGTERM for itself; a batch system's stop has to reach the sweep.
            with _ctrl_c_ignored():
                ray.init(address=address, **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f"--scheduler must be the address of a Ray cluster; {address} does not answer "
                f"({error}). Try auto, or host:6379."
            ) from error
        cores = int(ray.cluster_resources().get("CPU", 1))
        self.workers = workers or max(cores, 1)
        self.threads = max(cores // self.workers, 1) if address else 0

    def submit(self, function: Callable[[Any], Any], task: Any) -> "Future[Any]":
        # Ray itself starts anew what was lost with its worker.
        remote = self._ray.remote(num_cpus=self.threads or 1, max_retries=3)(function)
        future: Future[Any] = remote.remote(task).future()
        return future

    def close(self) -> None:
        self._ray.shutdown()
