"""One line of progress, where somebody watches: models done, epochs, time left.

Code that may take long says what it does, ``with track("EASE")``, and needs to know nothing else.
The outermost task opens the line, tasks inside it share it, and it disappears at the end. In a
batch log, a pipe or a notebook run by papermill nothing is written at all.
"""

import contextlib
import contextvars
import multiprocessing
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

# Seconds before a line appears, and between two drawings.
PATIENCE, EVERY = 1.0, 0.5


def has_front_end() -> bool:
    """Return whether somebody sits in front of this kernel: in JupyterLab, an editor, or Voila.

    Papermill, nbval and ``nbconvert --execute`` start kernels that nobody can click in; a widget
    there would be a picture of a button, with a random id in the saved notebook.
    """
    return any(name.startswith(("JPY_SESSION_NAME", "VSCODE_PID", "VOILA_")) for name in os.environ)


def in_voila() -> bool:
    """Return whether this kernel serves a page of Voila: to look at, not to work in."""
    return any(name.startswith("VOILA_") for name in os.environ)


class Terminal:
    """The last line of a terminal."""

    def show(self, text: str) -> None:
        """Draw the line anew."""
        self._write(f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}")

    def clear(self) -> None:
        """Remove the line."""
        self._write("\r\x1b[K")

    def say(self, text: str) -> None:
        """Write a sentence that stays."""
        self._write(f"\r\x1b[K{text}\n")

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


class Output:
    """One output of a notebook cell, updated in place; empty in the end."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, text: str) -> None:
        """Draw the line anew."""
        from IPython.display import DisplayHandle

        data = {"text/plain": text}
        if self._handle is None:
            self._handle = DisplayHandle()
            self._handle.display(data, raw=True)
        else:
            self._handle.update(data, raw=True)

    def clear(self) -> None:
        """Remove the line."""
        if self._handle is not None:
            self._handle.update({}, raw=True)

    def say(self, text: str) -> None:
        """Write a sentence that stays."""
        from IPython.display import display

        display({"text/plain": text}, raw=True)


# Where a line is drawn.
Screen: TypeAlias = Terminal | Output


class Task:
    """One thing that takes a while; made by `track`.

    Parameters
    ----------
    label : str
        What is done, such as the name of a model.
    total : int, optional
        How many steps it has at most.
    unit : str
        What a step is, in the plural: ``"epochs"``.
    """

    def __init__(self, label: str, total: int | None = None, unit: str = "steps") -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = 0
        self._note = ""
        self._skipped = 0
        self._since = self._stepped = time.monotonic()

    def step(self, note: str = "", *, done: int | None = None) -> None:
        """Count one more step, or say how many are done."""
        done = self.done + 1 if done is None else done
        self._stepped = time.monotonic()
        if not self.done and done > 1 and self.unit == "epochs":
            # A resumed fit: what was done before took no time now.
            self._since, self._skipped = self._stepped, done
        self.done, self._note = done, note

    def epoch(self, record: Mapping[str, float], *, users: int) -> None:
        """Count the epoch of a history record, with its numbers and users per second."""
        numbers = {name: x for name, x in record.items() if name not in ("epoch", "seconds")}
        said = [f"{name} {value:.4g}" for name, value in numbers.items()]
        said.append(f"{users / max(record['seconds'], 1e-9):,.0f} users/s")
        self.step(", ".join(said), done=int(record["epoch"]))

    def __str__(self) -> str:
        said = [f"{self.done} of {self.total} {self.unit}"] if self.total is not None else []
        said += [self._note] if self._note else []
        said += [f"{_duration(self._left())} left"] if self.total and self._made() else []
        return ": ".join([part for part in (self.label, ", ".join(said)) if part])

    def _made(self) -> int:
        return self.done - self._skipped

    def _left(self) -> float:
        assert self.total is not None
        each = (self._stepped - self._since) / self._made()
        return max(0.0, each * (self.total - self.done) - (time.monotonic() - self._stepped))


class _Line:
    """The line of the thread that opened it, drawn by a thread of its own."""

    def __init__(self, screen: Screen) -> None:
        self.screen, self.tasks = screen, list[Task]()
        self.owner = threading.get_ident()
        self._begun, self._over = time.monotonic(), threading.Event()
        # The context knows which cell is being executed.
        run = contextvars.copy_context().run
        self._ticker = threading.Thread(target=run, args=(self._tick,), daemon=True)
        self._ticker.start()

    def close(self) -> None:
        self._over.set()
        self._ticker.join()
        self.screen.clear()

    def _tick(self) -> None:
        wait = PATIENCE
        while not self._over.wait(wait):
            tasks = [text for text in map(str, tuple(self.tasks)) if text] or ["running"]
            self.screen.show(" · ".join([*tasks, _duration(time.monotonic() - self._begun)]))
            wait = EVERY


_line: _Line | None = None


@contextlib.contextmanager
def track(label: str, total: int | None = None, unit: str = "steps") -> Iterator[Task]:
    """Show what is being done while the block runs, if somebody watches.

    Parameters
    ----------
    label : str
        What is done; empty for nothing but the seconds.
    total : int, optional
        How many steps it has at most.
    unit : str
        What a step is, in the plural.

    Yields
    ------
    Task
        Whose `step` is called after each step.

    Examples
    --------
    >>> with track("choose", total=2, unit="models") as task:
    ...     for _ in range(2):
    ...         task.step()
    >>> task.done
    2
    """
    global _line
    task, mine = Task(label, total, unit), _line is None
    if mine and (screen := _screen()) is not None:
        _line = _Line(screen)
    line = _line
    if line is None or line.owner != threading.get_ident():
        yield task
        return
    line.tasks.append(task)
    try:
        yield task
    finally:
        line.tasks.remove(task)
        if mine:
            _line = None
            line.close()


def clear() -> None:
    """Remove the line from a terminal until it is drawn again, so that others can write."""
    if _line is not None and isinstance(_line.screen, Terminal):
        _line.screen.clear()


def notice(text: str) -> None:
    """Tell whoever watches something that stays to be read."""
    screen = _screen()
    if screen is not None:
        screen.say(text)


def _duration(seconds: float) -> str:
    """Return a time with two or three digits."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _screen() -> Screen | None:
    """Return where somebody looks: at a notebook, at a terminal, or nowhere."""
    if multiprocessing.parent_process() is not None:
        return None
    if has_front_end() and _in_kernel():
        return Output()
    return Terminal() if sys.stderr.isatty() else None


def _in_kernel() -> bool:
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None
