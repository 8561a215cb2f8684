"""Progress lines of a run, and tables of text, for a terminal or a batch log."""

import io
import shutil
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Self, TextIO

import pandas as pd
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from recsys_lib.pipeline.runner import Outcome

__all__ = ["LiveLines", "ProgressLines", "closing_table", "text_table"]

_UNLIMITED = 100_000


class LiveLines:
    """Lines that stay, with lines below them that move: those only on a terminal.

    Use it in a ``with`` statement, so that the terminal is itself again however the block ends.

    Parameters
    ----------
    stream : text stream
        Where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False, force_terminal=stream.isatty())
        self._live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def moving(self) -> str:
        """Return the lines that move, as they are now."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Draw the moving lines again; they are drawn every second from then on."""
        if not self._console.is_terminal:
            return
        if self._live is None:
            self._live = Live(
                get_renderable=lambda: Text(self.moving(), no_wrap=True, overflow="ellipsis"),
                console=self._console,
                refresh_per_second=1,
                transient=True,
            )
            self._live.start(refresh=True)
            self._console.show_cursor(True)  # a killed process could not bring it back
        else:
            self._live.refresh()

    def stay(self, line: str) -> None:
        """Write a line that stays."""
        self._console.print(Text(line), soft_wrap=True)

    def stop(self) -> None:
        """Remove the moving lines."""
        if self._live is not None:
            self._live.stop()
            self._live = None


class ProgressLines(LiveLines):
    """One line per notebook: kept up to date on a terminal, written once elsewhere.

    Parameters
    ----------
    stream : text stream
        Where to write.
    names : sequence of str
        The notebooks to come, so that the columns line up.
    """

    def __init__(self, stream: TextIO, names: Sequence[str]) -> None:
        super().__init__(stream)
        self._width = max(map(len, names), default=0)
        self._name, self._done, self._cells, self._begun = "", 0, 0, 0.0

    def begin(self, name: str, cells: int) -> None:
        """Show that a notebook of so many cells starts."""
        self._name, self._done, self._cells, self._begun = name, 0, cells, time.monotonic()
        self.refresh()

    def cell(self, done: int) -> None:
        """Show how many of its cells are done."""
        self._done = done
        self.refresh()

    def end(self, outcome: "Outcome") -> None:
        """Write the final line of a notebook."""
        self.stop()
        cells = f"{outcome.cells} cells"
        if outcome.status == "failed":
            cells = f"{outcome.cells_done}/{outcome.cells} cells"
        how = {
            "skipped": f"taken from {outcome.donor}" if outcome.donor else "unchanged, skipped",
            "not run": f"not run: {outcome.reason}",
            "failed": f"{outcome.seconds:6.1f} s  FAILED",
        }.get(outcome.status, f"{outcome.seconds:6.1f} s")
        self.stay(f"{outcome.name:<{self._width}}  {cells:>11}  {how}")

    def moving(self) -> str:
        """Return the line of the notebook that runs."""
        cells, seconds = f"{self._done}/{self._cells} cells", time.monotonic() - self._begun
        return f"{self._name:<{self._width}}  {cells:>11}  {seconds:4.0f} s"


def text_table(frame: pd.DataFrame, *, right: Collection[str] = (), width: int = _UNLIMITED) -> str:
    """Return a table of text, without its index.

    Parameters
    ----------
    frame : DataFrame
        Of text.
    right : collection of str
        Columns that are aligned to the right, as numbers are.
    width : int
        Characters of a line; longer cells are wrapped.

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
    Console(file=text, width=width, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def closing_table(outcomes: "Sequence[Outcome]", *, width: int | None = None) -> str:
    """Return the table of a run: notebook, seconds, what it wrote.

    Parameters
    ----------
    outcomes : sequence of Outcome
        In the order of the run.
    width : int, optional
        Characters of a line; those of the terminal by default.

    Examples
    --------
    >>> from recsys_lib.pipeline.runner import Outcome
    >>> one = Outcome("01_make", "ran", 9, 9, 1.25, artifacts=("world",), figures=("01_line",))
    >>> print(closing_table([one], width=60))
    notebook  seconds  wrote
    01_make       1.2  world; figures 01_line
    """
    rows = [
        (
            one.name,
            one.status if one.status in ("skipped", "not run") else f"{one.seconds:.1f}",
            _wrote(one),
        )
        for one in outcomes
    ]
    frame = pd.DataFrame(rows, columns=["notebook", "seconds", "wrote"])
    width = width or max(shutil.get_terminal_size().columns, 60)
    return text_table(frame, right=["seconds"], width=width)


def _wrote(outcome: "Outcome") -> str:
    if outcome.reason:
        return outcome.reason
    parts = [", ".join(outcome.artifacts)] if outcome.artifacts else []
    parts += ["figures " + ", ".join(outcome.figures)] if outcome.figures else []
    text = "; ".join(parts) or "nothing"
    return f"{text} (failed)" if outcome.status == "failed" else text
