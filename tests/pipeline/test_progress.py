"""What a run says: a line that lives on a terminal, a line that stays in a log."""

import io
import re
from pathlib import Path

import pytest

from recsys_lib.pipeline.progress import ProgressLines
from recsys_lib.pipeline.store import Outcome, Record


class Terminal(io.StringIO):
    def isatty(self):
        return True


def ended(name, status, cells, seconds, *, writes=(), figures=()):
    """Return how a notebook ended that wrote artifacts and figures of these names."""
    record = Record(name, "default", cells=cells, seconds=seconds)
    record.writes = {one: {} for one in writes}
    record.figures = {f"figures/{one}.png": "" for one in figures}
    return Outcome(record, status, Path(f"{name}.ipynb"))


def screen(text):
    """Return the lines that a terminal shows in the end."""
    lines, row = [""], 0
    for part in re.split(r"(\x1b\[[0-9;?]*[a-zA-Z]|\r|\n)", text):
        if part == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif part == "\x1b[1A":
            row -= 1
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part != "\r" and not part.startswith("\x1b"):
            lines[row] += part
    return [line for line in lines if line]


def told(stream):
    with ProgressLines(stream, ["01_make", "02_use_it"]) as lines:
        lines.begin("01_make", 9)
        lines.cell("01_make", 4)
        lines.end(ended("01_make", "ran", 9, 1.25))
        lines.end(ended("02_use_it", "skipped", 20, 7.0))
    return stream.getvalue()


def test_a_log_gets_one_line_a_notebook_and_no_control_characters():
    assert told(io.StringIO()) == (
        "01_make        9 cells     1.2 s\n02_use_it     20 cells  unchanged, skipped\n"
    )


def test_a_terminal_sees_the_cells_go_by_on_one_line():
    text = told(Terminal())
    assert "\r\x1b[2K01_make      4/9 cells     0 s" in text
    assert screen(text) == [
        "01_make        9 cells     1.2 s",
        "02_use_it     20 cells  unchanged, skipped",
    ]


def test_of_two_that_run_at_once_the_other_line_goes_on():
    stream = Terminal()
    with ProgressLines(stream, ["01_make", "02_use_it"]) as lines:
        lines.begin("01_make", 9)
        lines.begin("02_use_it", 20)
        lines.cell("02_use_it", 7)
        lines.end(ended("01_make", "ran", 9, 1.25))
        assert screen(stream.getvalue())[0] == "01_make        9 cells     1.2 s"
        assert "02_use_it   7/20 cells     0 s" in screen(stream.getvalue())


def test_a_narrow_terminal_shows_the_moving_line_on_one_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    text = told(Terminal())
    assert "01_make      4/9 ce…" in text
    assert screen(text) == [
        "01_make        9 cells     1.2 s",
        "02_use_it     20 cells  unchanged, skipped",
    ]


def test_a_terminal_gets_its_cursor_back_when_a_run_is_interrupted():
    stream = Terminal()
    with pytest.raises(KeyboardInterrupt), ProgressLines(stream, ["01_make"]) as lines:
        lines.begin("01_make", 9)
        raise KeyboardInterrupt
    text = stream.getvalue()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert screen(text) == []
    before = stream.tell()
    lines.stop()
    assert stream.tell() == before


def test_a_line_says_what_a_notebook_wrote():
    stream, figures = io.StringIO(), ("02_curve", "02_errors")
    with ProgressLines(stream, ["01_make", "02_use"]) as lines:
        lines.end(ended("01_make", "skipped", 9, 1.0, writes=("world", "dataset")))
        lines.end(ended("02_use", "ran", 9, 61.0, writes=("model",), figures=figures))
    first, second = stream.getvalue().splitlines()
    assert first == "01_make      9 cells  unchanged, skipped  world, dataset"
    assert second == "02_use       9 cells    61.0 s  model, 2 figures"
