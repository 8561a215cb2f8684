"""Runs one notebook through papermill, with progress by cell, a time limit and a clear failure."""

import contextlib
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
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

from recsys_lib._system import move, peak_memory
from recsys_lib.artifacts import digest_of
from recsys_lib.errors import ArtifactError
from recsys_lib.pipeline.store import RUNNER, Failure

_ENGINE = "recsys"
_LONGEST_FOLDER = 88  # letters of a folder with sockets: macOS allows 103 for a whole path
_FOREVER = 1e6  # seconds
_LOOK_SECONDS = 0.5  # between two looks at the memory, and at whether to stop


def sockets_of(run: Path) -> str:
    """Return how the names of the folders with sockets of a run's kernels begin."""
    return f"recsys-{digest_of(run.resolve().as_posix(), 12)}-"


@dataclass(kw_only=True)
class Execution:
    """A notebook at work in a fresh kernel, seen by the thread that runs it and by the caller's.

    Attributes
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
    peak_memory : int
        The most bytes that the kernel and its child processes took, as far as was seen.
    """

    source: Path
    copy: Path
    parameters: dict[str, Any]
    timeout: float
    on_cell: Callable[[int], None]
    environment: Mapping[str, str]
    stop: threading.Event
    peak_memory: int = 0
    _deadline: float = 0.0
    _injected: bool = False
    _cell: int = 0
    _client: PapermillNotebookClient | None = None

    def run(self) -> Failure | None:
        """Run it and leave the executed copy, whole or up to the failure, which is returned.

        Raises
        ------
        ArtifactError
            If the copy cannot be written.
        """
        part = self.copy.with_name(f".{self.copy.stem}.part.ipynb")
        self._deadline = time.monotonic() + self.timeout
        try:
            # In a thread of its own, because nbclient would take the signals from the main one.
            with ThreadPoolExecutor(1) as pool:
                future = pool.submit(self._papermill, part)
                while not future.done():
                    # Never without a limit: on Windows nothing else ends a wait.
                    wait([future], timeout=_LOOK_SECONDS)
                    self._look()
                    if self.stop.is_set():
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
        try:
            self._in_a_kernel(part)
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

    def _in_a_kernel(self, part: Path) -> None:
        """Run it, in another kernel where the first ones end before they answer.

        Windows has ports where others have sockets, and somebody may take one before the kernel
        does.
        """
        node = nbformat.read(self.source, as_version=4)
        # Papermill fills {fields} in paths.
        to = str(part).replace("{", "{{").replace("}", "}}")
        how = {"engine_name": _ENGINE, "kernel_name": "python3", "progress_bar": False}
        for last in (False, False, True):
            try:
                papermill.execute_notebook(node, to, self.parameters, **how, execution=self)
                return
            except RuntimeError as error:
                if last or self.stop.is_set() or "before replying" not in str(error):
                    raise

    def work(self, notebook: Any, kernel_name: str) -> None:
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
            environment = {**os.environ, **self.environment, RUNNER: str(os.getpid())}
            self._client.execute(cwd=str(self.source.parent), env=environment)

    def _start_cell(self, cell: Any, cell_index: int) -> None:
        # Papermill's cell with the parameters is not in the committed notebook.
        self._injected |= "injected-parameters" in cell.metadata.get("tags", ())
        self._cell = max(cell_index - self._injected, 0)
        if self.stop.is_set():
            self._kill()  # it was stopped before it had a kernel
        self.on_cell(self._cell)

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
        execution.work(nb_man, kernel_name)


papermill_engines.register(_ENGINE, _Engine)


class _Translator(PythonTranslator):  # type: ignore[misc]
    """Papermill's translator, which by itself writes a tuple as text: parameters are literals."""

    @classmethod
    def translate(cls, val: Any) -> str:
        return repr(val)


papermill_translators.register("python", _Translator)
