"""What a worker does for one setting, wherever it runs."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from recsys_lib.errors import RecsysError
from recsys_lib.pipeline.chain import load_steps
from recsys_lib.pipeline.execution import Conditions
from recsys_lib.pipeline.flow import steps_for
from recsys_lib.pipeline.lock import RunBusyError
from recsys_lib.pipeline.manifest import this_process
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.runner import Outcome, RunResult, run_chain
from recsys_lib.pipeline.sweeping.pulse import listening, tell, work_folder
from recsys_lib.pipeline.sweeping.reading import working_order
from recsys_lib.pipeline.sweeping.sharing import Sharing

__all__ = ["Result", "Task", "work"]

# A setting that was just lost may still be held by a kernel or worker on its way out.
_BUSY_SECONDS = 150.0


@dataclass(frozen=True)
class Task:
    """One setting, as it is sent to a worker.

    Attributes
    ----------
    root : str
        The project's folder, the same on all machines.
    sweep, setting : str
        Whose folder is ``runs/<sweep>/<setting>``.
    parameters : dict
        Overrides.
    only : str, optional
        Which notebooks.
    shared : dict
        Notebook -> key, of the steps that other settings have as well.
    turn : float
        Where it begins with those; see `working_order`.
    timeout : float
        Seconds for each notebook.
    environment : dict
        Variables for its kernels.
    token : str
        Of this start of the sweep.
    """

    root: str
    sweep: str
    setting: str
    parameters: dict[str, Any]
    only: str | None
    shared: dict[str, str]
    turn: float
    timeout: float
    environment: dict[str, str]
    token: str


@dataclass(frozen=True)
class Result:
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


def work(task: Task) -> Result:
    """Run the chain of one setting; what goes wrong in it is a result and not an exception."""
    sweep = Project(Path(task.root)).run_folder(task.sweep)
    stop = threading.Event()
    news = _News(work_folder(sweep) / f"{task.setting}.json", task.token)
    with listening(sweep, task.token, stop):
        try:
            return _result(_run(task, stop, news))
        except KeyboardInterrupt:
            return Result("interrupted")
        except (RecsysError, OSError, MemoryError) as error:
            kind = "" if isinstance(error, RecsysError) else f"{type(error).__name__}: "
            return Result("failed", " ".join(f"{kind}{error}".split()))


def _run(task: Task, stop: threading.Event, news: "_News") -> RunResult:
    project = Project(Path(task.root))
    steps = steps_for(load_steps(project), task.only, task.parameters)
    steps = working_order(steps, task.shared.keys(), task.turn)
    run = f"{task.sweep}/{task.setting}"
    sharing = Sharing(project, run, task.shared, task.token, stop, news.wait)
    news.sharing = sharing
    patience = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return run_chain(
                project,
                steps,
                task.parameters,
                news,
                name=run,
                timeout=task.timeout,
                conditions=Conditions(task.environment, stop),
                claim=sharing.claim,
            )
        except RunBusyError:
            if time.monotonic() > patience:
                raise
            if stop.wait(1.0):
                raise KeyboardInterrupt from None


def _result(result: RunResult) -> Result:
    ran = sum(one.status == "ran" for one in result.outcomes)
    if result.failed is None or result.failed.failure is None:
        return Result("done", ran=ran)
    failure = result.failed.failure
    where = f"{result.failed.name} stopped in cell {failure.cell} of {result.failed.cells}"
    more = [one.name for one in result.ended("failed")[1:]]
    rest = {"also failed": more, "not run": [one.name for one in result.ended("not run")]}
    others = "".join(f"; {how}: {', '.join(names)}" for how, names in rest.items() if names)
    return Result("failed", f"{where}: {failure.kind}: {failure.message}{others}", ran)


class _News:
    """Progress of a setting, told to whoever shows the table."""

    def __init__(self, path: Path, token: str) -> None:
        self._path, self._token = path, token
        self._cells = (0, 0)
        self._name = ""
        self.sharing: Sharing | None = None

    def begin(self, name: str, cells: int) -> None:
        self._name, self._cells = name, (0, cells)
        self._tell("works")

    def cell(self, done: int) -> None:
        self._cells = (done, self._cells[1])
        self._tell("works")

    def wait(self, name: str) -> None:
        if self._name != name:
            self._name, self._cells = name, (0, 0)
            self._tell("waits")

    def end(self, outcome: Outcome) -> None:
        if self.sharing:
            self.sharing.hear(outcome)

    def _tell(self, what: str) -> None:
        news = {"what": what, "notebook": self._name, "cells": self._cells}
        tell(self._path, token=self._token, **news, **this_process())
