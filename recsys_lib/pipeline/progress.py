"""Progress lines of a run and the table at its end, for a terminal or a batch log."""

import shutil
import textwrap
import threading
import time
from collections.abc import Sequence
from typing import TextIO

from recsys_lib.pipeline.runner import Outcome

__all__ = ["ProgressLines", "closing_table"]


class ProgressLines:
    """One line per notebook: kept up to date on a terminal, written once elsewhere.

    Parameters
    ----------
    stream : text stream
        Where to write.
    names : sequence of str
        The notebooks to come, so that the columns line up.
    """

    def __init__(self, stream: TextIO, names: Sequence[str]) -> None:
        self._stream = stream
        self._width = max(map(len, names), default=0)
        self._live = stream.isatty()
        self._lock = threading.Lock()
        self._now: tuple[str, int, int, float] | None = None
        self._ticker: threading.Thread | None = None

    def begin(self, name: str, cells: int) -> None:
        """Show that a notebook of so many cells starts."""
        self._now = (name, 0, cells, time.monotonic())
        if self._live:
            self._draw()
            self._ticker = threading.Thread(target=self._tick, daemon=True)
            self._ticker.start()

    def cell(self, done: int) -> None:
        """Show how many of its cells are done."""
        if self._now:
            name, _, cells, begun = self._now
            self._now = (name, done, cells, begun)
            self._draw()

    def end(self, outcome: Outcome) -> None:
        """Write the final line of a notebook."""
        with self._lock:
            self._now = None
            clear = "\r\x1b[K" if self._live else ""
            cells = f"{outcome.cells} cells"
            if outcome.status == "failed":
                cells = f"{outcome.cells_done}/{outcome.cells} cells"
            said = {
                "skipped": "unchanged, skipped",
                "not run": f"not run: {outcome.reason}",
            }.get(outcome.status, f"{outcome.seconds:6.1f} s")
            failed = "  FAILED" if outcome.status == "failed" else ""
            self._write(f"{clear}{outcome.name:<{self._width}}  {cells:>11}  {said}{failed}\n")

    def _tick(self) -> None:
        while self._now:
            self._draw()
            time.sleep(1)

    def _draw(self) -> None:
        with self._lock:
            if not self._live or self._now is None:
                return
            name, done, cells, begun = self._now
            count = f"{done}/{cells} cells"
            seconds = time.monotonic() - begun
            self._write(f"\r\x1b[K{name:<{self._width}}  {count:>11}  {seconds:4.0f} s")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def closing_table(outcomes: Sequence[Outcome], *, width: int | None = None) -> str:
    """Return the table of a run: notebook, seconds, what it wrote.

    Parameters
    ----------
    outcomes : sequence of Outcome
        In the order of the run.
    width : int, optional
        Columns; those of the terminal by default.

    Examples
    --------
    >>> one = Outcome("01_make", "ran", 9, 9, 1.25, artifacts=("world",), figures=("01_line",))
    >>> print(closing_table([one], width=60))
    notebook  seconds  wrote
    01_make       1.2  world; figures 01_line
    """
    width = width or max(shutil.get_terminal_size().columns, 60)
    name_width = max([len("notebook"), *(len(one.name) for one in outcomes)])
    lines = [f"{'notebook':<{name_width}}  seconds  wrote"]
    indent = " " * (name_width + 11)
    for one in outcomes:
        idle = one.status in ("skipped", "not run")
        seconds = one.status if idle else f"{one.seconds:.1f}"
        lines += textwrap.wrap(
            _wrote(one),
            width,
            initial_indent=f"{one.name:<{name_width}}  {seconds:>7}  ",
            subsequent_indent=indent,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def _wrote(outcome: Outcome) -> str:
    if outcome.reason:
        return outcome.reason
    parts = [", ".join(outcome.artifacts)] if outcome.artifacts else []
    parts += ["figures " + ", ".join(outcome.figures)] if outcome.figures else []
    text = "; ".join(parts) or "nothing"
    return f"{text} (failed)" if outcome.status == "failed" else text
