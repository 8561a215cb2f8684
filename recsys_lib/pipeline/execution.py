"""Runs one notebook through papermill, with progress by cell, a time limit and a clear failure."""

import asyncio
import contextlib
import logging
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import papermill
import psutil
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.translators import PythonTranslator, papermill_translators

from recsys_lib._system import move, peak_memory
from recsys_lib.artifacts import digest_of
from recsys_lib.errors import ArtifactError
from recsys_lib.pipeline.store import RUNNER, Failure

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_ENGINE = "recsys"
_LONGEST_FOLDER = 88  # letters of a folder with sockets: macOS allows 103 for a whole path
_FOREVER = 1e6  # seconds
_LOOK_SECONDS = 0.5  # between two looks at the memory, and at whether to stop


@dataclass
class _Watch:
    """State of a running notebook, shared by the engine's thread and the caller's."""

    on_cell: Callable[[int], None]
    deadline: float
    injected: bool = False
    cell: int = 0
    peak_memory: int = 0
    kernel: AsyncKernelManager | None = None
    stopped: threading.Event = field(default_factory=threading.Event)

    def start_cell(self, cell: Any, cell_index: int) -> None:
        # Papermill's cell with the parameters is not in the committed notebook.
        self.injected |= "injected-parameters" in cell.metadata.get("tags", ())
        self.cell = max(cell_index - self.injected, 0)
        if self.stopped.is_set():
            self.kill()  # it was stopped before it had a kernel
        self.on_cell(self.cell)

    def look(self, **_: Any) -> None:
        """Measure the memory: now and then, and at the end of each cell."""
        if self._pid:
            self.peak_memory = max(self.peak_memory, peak_memory(self._pid))

    @property
    def _pid(self) -> int | None:
        return getattr(getattr(self.kernel, "provisioner", None), "pid", None)

    def remaining(self, _cell: Any) -> float:
        left = self.deadline - time.monotonic()
        # nbclient takes 0 for "no limit", and cannot count to infinity.
        return 0.0 if left > _FOREVER else max(left, 0.001)

    def kill(self) -> None:
        self.stopped.set()
        if self._pid:
            with contextlib.suppress(psutil.Error):
                psutil.Process(self._pid).kill()


def sockets_of(run: Path) -> str:
    """Return how the names of the folders with sockets of a run's kernels begin."""
    return f"recsys-{digest_of(run.resolve().as_posix(), 12)}-"


@contextlib.contextmanager
def _kernel(
    source: Path, run: Path, environment: Mapping[str, str]
) -> Iterator[AsyncKernelManager]:
    """Yield a kernel for one notebook of a run; afterwards it is shut down."""
    with tempfile.TemporaryDirectory(prefix=sockets_of(run), ignore_cleanup_errors=True) as sockets:
        manager = AsyncKernelManager(
            kernel_name="python3", connection_file=f"{sockets}/kernel.json"
        )
        if sys.platform != "win32" and len(sockets) <= _LONGEST_FOLDER:
            # Sockets in a private folder: no ports to collide on or to eavesdrop on.
            manager.transport = "ipc"
        starting = manager.start_kernel(
            cwd=str(source.parent),
            env={**os.environ, **environment, RUNNER: str(os.getpid())},
            extra_arguments=["--HistoryManager.hist_file=:memory:"],
        )
        asyncio.run(starting)
        try:
            yield manager
        finally:
            if manager.has_kernel:
                asyncio.run(manager.shutdown_kernel(now=True))


class _Engine(NBClientEngine):  # type: ignore[misc]
    """Papermill's engine with hooks for cells and a limit for the whole notebook."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, _kernel_name: str, *, watch: _Watch, kernel: AsyncKernelManager, **_: Any
    ) -> None:
        logger = logging.getLogger("recsys_lib.pipeline.kernel")
        logger.setLevel(logging.CRITICAL)  # the caller reports a failure, once
        watch.kernel = kernel
        client = PapermillNotebookClient(
            nb_man,
            km=kernel,
            log=logger,
            timeout_func=watch.remaining,
            startup_timeout=120,
            on_cell_start=watch.start_cell,
            on_cell_executed=watch.look,
            # Results are on disk by then, and TensorFlow takes a second to shut down.
            shutdown_kernel="immediate",
        )
        client.execute(cleanup_kc=True)


papermill_engines.register(_ENGINE, _Engine)


class _Translator(PythonTranslator):  # type: ignore[misc]
    """Papermill's translator, which by itself writes a tuple as text."""

    @classmethod
    def translate(cls, val: Any) -> str:
        if isinstance(val, tuple):
            return f"tuple({cls.translate_list(list(val))})"
        return str(super().translate(val))


papermill_translators.register("python", _Translator)


def execute(
    source: Path,
    copy: Path,
    parameters: dict[str, Any],
    *,
    timeout: float,
    on_cell: Callable[[int], None],
    environment: Mapping[str, str],
    stop: threading.Event,
) -> tuple[Failure | None, int]:
    """Run a notebook in a fresh kernel and leave the executed copy, whole or up to the failure.

    Parameters
    ----------
    source : Path
        The committed notebook; its folder is the kernel's working directory.
    copy : Path
        Where the executed copy goes.
    parameters : dict
        What to inject; all declared by the notebook.
    timeout : float
        Seconds that the whole notebook may take; infinite for no limit.
    on_cell : callable
        Called with the number of finished cells.
    environment : mapping of str to str
        Variables for its kernel, in addition to those of this process.
    stop : threading.Event
        Ends the notebook as Ctrl-C does.

    Returns
    -------
    Failure or None
        Why it stopped, if it did.
    int
        The most bytes that the kernel and its child processes took, as far as was seen.

    Raises
    ------
    ArtifactError
        If the copy cannot be written.
    """
    node, part = nbformat.read(source, as_version=4), copy.with_name(f".{copy.stem}.part.ipynb")
    watch = _Watch(on_cell, time.monotonic() + timeout)
    try:
        with ThreadPoolExecutor(1) as pool:
            # In a thread of its own, because nbclient would take the signals from the main one.
            future = pool.submit(_papermill, node, part, parameters, watch, environment, source)
            try:
                while not future.done():
                    # Never without a limit: on Windows nothing else ends a wait, not even Ctrl-C.
                    wait([future], timeout=_LOOK_SECONDS)
                    watch.look()
                    if stop.is_set():
                        raise KeyboardInterrupt
            except KeyboardInterrupt:
                watch.kill()
                raise
            failure = future.result()
        move(part, copy)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ArtifactError(
            f"{copy} must be writable; {error.strerror or error}. Free disk space or change its "
            "permissions, then run again: finished notebooks are kept."
        ) from error
    return failure, watch.peak_memory


def _papermill(
    node: Any,
    part: Path,
    parameters: dict[str, Any],
    watch: _Watch,
    environment: Mapping[str, str],
    source: Path,
) -> Failure | None:
    logging.getLogger("papermill").setLevel(logging.ERROR)
    execute = partial(
        papermill.execute_notebook,
        node,
        # Papermill fills {fields} in paths.
        str(part).replace("{", "{{").replace("}", "}}"),
        parameters,
        engine_name=_ENGINE,
        progress_bar=False,
        watch=watch,
    )
    try:
        _in_a_kernel(execute, source, part.parent, environment, watch.stopped)
    except papermill.PapermillExecutionError as error:
        text = _ANSI.sub("", "\n".join(error.traceback))
        return Failure(watch.cell + 1, error.ename, _ANSI.sub("", error.evalue), text)
    except CellTimeoutError:
        text = "the notebook took longer than its limit. Raise it with --timeout SECONDS"
        return Failure(watch.cell + 1, "Timeout", text)
    except (DeadKernelError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "Kernel" not in str(error):
            raise
        text = "the kernel died; most often because memory ran out. Use fewer users or items"
        return Failure(watch.cell + 1, "DeadKernel", text)
    return None


def _in_a_kernel(
    execute: Callable[..., object],
    source: Path,
    run: Path,
    environment: Mapping[str, str],
    stopped: threading.Event,
) -> None:
    """Run it, in another kernel where the first ones end before they answer.

    Windows has ports where others have sockets, and somebody may take one before the kernel does.
    """
    for last in (False, False, True):
        try:
            with _kernel(source, run, environment) as kernel:
                execute(kernel_name=kernel.kernel_name, kernel=kernel)
            return
        except RuntimeError as error:
            if last or stopped.is_set() or "before replying" not in str(error):
                raise
