"""A line of progress: for whoever watches, gone at the end, never in a log."""

import io
import re
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from recsys_lib import progress
from recsys_lib.progress import Task, notice, track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch) -> Terminal:
    for name in ("JPY_SESSION_NAME", "VSCODE_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(progress, "PATIENCE", 0.02)
    monkeypatch.setattr(progress, "EVERY", 0.01)
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    # Not sys.stderr itself, which pytest replaces between a fixture and its test.
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=stream, modules=sys.modules))
    return stream


def wait_for(stream: Terminal, pattern: str) -> None:
    until = time.monotonic() + 10
    while not re.search(pattern, stream.getvalue()):
        assert time.monotonic() < until, stream.getvalue()[-300:]
        time.sleep(0.01)


def test_tasks_inside_a_task_share_its_line_which_is_gone_at_the_end(terminal) -> None:
    with track("choose", 2, "models") as models:
        models.step()
        with track("MultDAE", 40, "epochs") as fit:
            fit.epoch({"epoch": 3, "ndcg@100": 0.25, "seconds": 0.5}, users=1000)
            wait_for(
                terminal,
                r"choose: 1 of 2 models, \d s left · "
                r"MultDAE: 3 of 40 epochs, ndcg@100 0.25, 2,000 users/s.* · \d+ s",
            )
    assert terminal.getvalue().endswith("\r\x1b[K")
    assert "\n" not in terminal.getvalue()


def test_what_ends_soon_shows_nothing_and_a_fault_leaves_no_line(terminal) -> None:
    with pytest.raises(ZeroDivisionError), track("short"):
        raise ZeroDivisionError
    assert "short" not in terminal.getvalue()
    with track("next"):
        wait_for(terminal, "next")


def test_other_threads_neither_draw_nor_disturb(terminal) -> None:
    def other() -> None:
        with track("other"):
            time.sleep(0.05)

    with track("mine"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        wait_for(terminal, "mine")
    assert "other" not in terminal.getvalue()


@pytest.mark.parametrize("front_end", [False, True])
def test_a_batch_log_stays_quiet(monkeypatch, capsys, front_end) -> None:
    """Also that of a script which a notebook started: it inherits the environment, not the cell."""
    monkeypatch.delenv("VSCODE_PID", raising=False)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    if front_end:
        monkeypatch.setenv("JPY_SESSION_NAME", "notebook")
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    with track("fit"):
        time.sleep(0.03)
    notice("said")
    assert capsys.readouterr() == ("", "")


def test_what_a_resumed_fit_had_made_before_does_not_count_as_fast(monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    task = Task("fit", 100, "epochs")
    for epoch in (91, 92):
        now[0] += 10.0
        task.step(done=epoch)
    assert str(task) == "fit: 92 of 100 epochs, 80 s left"
    now[0] += 600.0
    task.step(done=93)
    assert str(task) == "fit: 93 of 100 epochs, 36 min left"
