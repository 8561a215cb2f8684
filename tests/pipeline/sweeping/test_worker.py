"""Workers stop with their sweep, and only then."""

import contextlib
import subprocess
import sys
import threading

import pytest

from recsys_lib.pipeline import sweeps
from recsys_lib.pipeline.sweeps import alive, stopped_with

HOLD = """
import sys, time
from pathlib import Path
from recsys_lib.pipeline.sweeps import alive
with alive(Path(sys.argv[1]), "now"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(sweeps, "_LOOK", 0.01)


def test_a_worker_works_while_its_sweep_lives_and_stops_when_it_says_so(tmp_path):
    stop = threading.Event()
    with alive(tmp_path, "now") as give_up, stopped_with(tmp_path, "now", stop):
        assert not stop.wait(1.0)
        give_up()
        assert stop.wait(2)
    assert list((tmp_path / ".sweep").iterdir()) == []


def test_a_later_start_is_not_the_sweep_that_a_worker_works_for(tmp_path):
    stop = threading.Event()
    with contextlib.ExitStack() as sweep, stopped_with(tmp_path, "before", stop):
        sweep.enter_context(alive(tmp_path, "before"))
        assert not stop.wait(0.2)
        with alive(tmp_path, "now"):
            assert not stop.wait(0.2)
            sweep.close()
            assert stop.wait(2)


def test_a_sweep_that_was_killed_is_not_waited_for(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as sweep:
        assert sweep.stdout.readline() == b"held\n"
        stop = threading.Event()
        with stopped_with(tmp_path, "now", stop):
            assert not stop.wait(0.5)
            sweep.kill()
            assert stop.wait(2)


def test_a_lock_that_is_never_seen_is_waited_for_on_a_network_drive_and_not_for_ever(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sweeps, "_UNSEEN", 0.5)
    stop = threading.Event()
    with stopped_with(tmp_path, "now", stop):
        assert not stop.wait(0.2)
        assert stop.wait(2)
