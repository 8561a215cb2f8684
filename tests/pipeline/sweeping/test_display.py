"""What is seen of a sweep: lines in a log, a moving table on a terminal."""

import io
import re

import pytest

from recsys_lib.pipeline.grid import Setting
from recsys_lib.pipeline.manifest import Manifest
from recsys_lib.pipeline.progress import SweepLines
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.sweeps import Sweep


@pytest.fixture
def state(tmp_path):
    settings = [
        Setting(f"epochs-{n}", {"EPOCHS": n}, {"EPOCHS": n}, status)
        for n, status in ((5, "done"), (10, "failed"), (20, "running"), (40, "waiting"))
    ]
    settings[0].seconds, settings[0].peak_memory, settings[0].ran = 61.23, 1_210_000_000, 2
    settings[1].message = "03_train stopped in cell 4 of 9: ValueError: no"
    how = {"at_once": 2}
    return Sweep(Project(tmp_path), "grid", {}, None, settings, **how)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_in_a_log_each_setting_is_one_line_when_it_has_ended(state):
    log = io.StringIO()
    with SweepLines(log, state) as lines:
        lines(state)
        lines(state)
    assert log.getvalue().splitlines() == [
        "[1/4] epochs-5   done           61.2 s  1.21 GB",
        "[2/4] epochs-10  FAILED      03_train stopped in cell 4 of 9: ValueError: no",
    ]


def test_on_a_terminal_those_at_work_move_below_those_that_ended(state):
    terminal = Terminal()
    books = {"02_make": {"status": "ran"}, "03_train": {"status": "unfinished"}}
    Manifest(run="grid/epochs-20", status="running", notebooks=books).save(
        state.folder / "epochs-20"
    )
    lines = SweepLines(terminal, state)
    lines.start()
    lines(state)
    shown = terminal.getvalue()
    assert re.search(r"epochs-20 +\d+ s  03_train", shown)
    assert "1 of 4 done, 1 failed, 1 waiting; 2 at once, 1.2 GB each" in shown
    lines(state)
    # The table of two lines is drawn over the one before: up one line, both cleared.
    assert "\r\x1b[2K\x1b[1A\x1b[2Kepochs-20" in terminal.getvalue()[len(shown) :]
    assert "epochs-5 " not in terminal.getvalue()[len(shown) :]
    lines.stop()
