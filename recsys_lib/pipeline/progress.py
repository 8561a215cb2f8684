"""Progress lines of a run, and tables of text, for a terminal or a batch log."""

import io
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, TextIO

import pandas as pd
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from recsys_lib.pipeline.grid import Setting
    from recsys_lib.pipeline.store import Outcome
    from recsys_lib.pipeline.sweeps import Sweep

_UNLIMITED = 100_000


class Progress:
    """Callbacks for a run at work, which show nothing."""

    def begin(self, name: str, cells: int) -> None:
        """Called when a notebook of so many cells starts."""

    def cell(self, name: str, done: int) -> None:
        """Called with the number of its finished cells."""

    def end(self, outcome: "Outcome") -> None:
        """Called when it has ended."""


class _Lines(Live):
    """Lines that stay, with lines below them that move: those only on a terminal.

    Use it in a ``with`` statement, so that the terminal is itself again however the block ends.

    Parameters
    ----------
    stream : text stream
        Where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        console = Console(file=stream, highlight=False, force_terminal=stream.isatty())
        super().__init__(console=console, refresh_per_second=1, transient=True)

    def get_renderable(self) -> RenderableType:
        """Return the lines that move, as they are now."""
        return Group(*(Text(one, no_wrap=True, overflow="ellipsis") for one in self._moving()))

    def _moving(self) -> list[str]:
        raise NotImplementedError

    def _stay(self, line: str) -> None:
        self.console.print(Text(line), soft_wrap=True)


class ProgressLines(_Lines, Progress):
    """One line per notebook: kept up to date on a terminal, written once elsewhere.

    Parameters
    ----------
    stream : text stream
        Where to write.
    names : sequence of str
        The notebooks to come, so that the columns line up.
    """

    def __init__(self, stream: TextIO, names: Sequence[str]) -> None:
        self._width = max(map(len, names), default=0)
        self._cells: dict[str, tuple[int, int, float]] = {}  # of those that run: done, all, begun
        super().__init__(stream)

    def begin(self, name: str, cells: int) -> None:
        """Show that a notebook of so many cells starts."""
        self._cells[name] = 0, cells, time.monotonic()
        self.refresh()

    def cell(self, name: str, done: int) -> None:
        """Show how many of its cells are done."""
        self._cells[name] = done, *self._cells[name][1:]
        self.refresh()

    def end(self, outcome: "Outcome") -> None:
        """Write the final line of a notebook."""
        self._cells.pop(outcome.name, None)
        record, seconds = outcome.record, f"{outcome.record.seconds:6.1f} s"
        failed = f"{outcome.failure.cell - 1}/" if outcome.failure else ""
        how = {
            "skipped": f"taken from {outcome.donor}" if outcome.donor else "unchanged, skipped",
            "not run": f"not run: {outcome.reason}",
            "failed": f"{seconds}  FAILED",
        }.get(outcome.status, seconds)
        n = len(record.figures)
        wrote = [*record.writes, *[f"{n} figures" if n > 1 else "1 figure"] * bool(n)]
        line = self._line(outcome.name, f"{failed}{record.cells}", how)
        self._stay("  ".join([line, *filter(None, [", ".join(wrote)])]))

    def _moving(self) -> list[str]:
        now = time.monotonic()
        return [
            self._line(name, f"{done}/{cells}", f"{now - begun:4.0f} s")
            for name, (done, cells, begun) in tuple(self._cells.items())
        ]

    def _line(self, name: str, cells: str, how: str) -> str:
        return f"{name:<{self._width}}  {cells + ' cells':>11}  {how}"


class SweepLines(_Lines):
    """One line for each setting that ended; on a terminal, a moving table of the others below.

    Parameters
    ----------
    stream : text stream
        Where to write.
    sweep : Sweep
    """

    def __init__(self, stream: TextIO, sweep: "Sweep") -> None:
        self._sweep, self._shown = sweep, set[str]()
        self._width = max(len(one.name) for one in sweep.settings)
        super().__init__(stream)

    def __call__(self, sweep: "Sweep") -> None:
        """Show how the sweep stands."""
        for one in sweep.settings:
            if one.status not in ("waiting", "running") and one.name not in self._shown:
                self._shown.add(one.name)
                count = f"[{len(self._shown)}/{len(sweep.settings)}]"
                self._stay(f"{count} {one.name:<{self._width}}  {_ended(one)}")
        self.refresh()

    def _moving(self) -> list[str]:
        sweep = self._sweep
        running = [one for one in sweep.settings if one.status == "running"]
        lines = [self._at_work(one) for one in running]
        if sweep.status == "running" and (running or sweep.count("waiting")):
            seconds = int(time.monotonic() - sweep.clock)
            lines.append(
                f"{sweep.count('done')} of {len(sweep.settings)} done, {len(sweep.failed)} failed, "
                f"{sweep.count('waiting')} waiting; {sweep.at_once} at once, "
                f"{sweep.need / 1e9:.1f} GB each; {seconds // 60}:{seconds % 60:02d} min"
            )
        return lines

    def _at_work(self, one: "Setting") -> str:
        seconds = f"{time.monotonic() - one.begun:4.0f} s"
        return f"{one.name:<{self._width}}  {seconds}  {self._sweep.at_work(one)}"


def _ended(one: "Setting") -> str:
    again = f"  after {one.attempts - 1} lost" if one.attempts > 1 else ""
    if one.status != "done":
        return f"{one.status.upper():<11} {one.message}{again}".rstrip()
    how = "done" if one.ran else "unchanged"
    return f"{how:<11} {one.seconds:7.1f} s  {one.peak_memory / 1e9:4.2f} GB{again}"


def text_table(frame: pd.DataFrame, *, right: Collection[str] = ()) -> str:
    """Return a table of text, without its index.

    Parameters
    ----------
    frame : DataFrame
        Of text.
    right : collection of str
        Columns that are aligned to the right, as numbers are.

    Examples
    --------
    >>> frame = pd.DataFrame({"title": ["Alpha", "Be"], "score": ["9.5", "10.0"]})
    >>> print(text_table(frame, right=["score"]))
    title  score
    Alpha    9.5
    Be      10.0
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in frame.columns:
        table.add_column(Text(name), justify="right" if name in right else "left")
    for row in frame.itertuples(index=False):
        table.add_row(*map(Text, row))
    text = io.StringIO()
    Console(file=text, width=_UNLIMITED, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
