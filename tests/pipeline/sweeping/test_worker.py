"""Workers stop with their sweep, and only then."""

import contextlib
import subprocess
import sys
import time

from recsys_lib.pipeline import sweeps
from recsys_lib.pipeline.sweeps import SweepOver, alive

HOLD = """
import sys, time
from pathlib import Path
from recsys_lib.pipeline.sweeps import alive
with alive(Path(sys.argv[1]), "now"):
    print("held", flush=True)
    time.sleep(60)
"""


def over(stop, seconds):
    """Whether a sweep is found to be over within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if stop.is_set():
            return True
        time.sleep(0.01)
    return False


def test_a_worker_works_while_its_sweep_lives_and_stops_when_it_says_so(tmp_path):
    stop = SweepOver(tmp_path, "now")
    with alive(tmp_path, "now") as give_up:
        assert not over(stop, 1.0)
        give_up()
        assert over(stop, 2)
    assert list((tmp_path / ".sweep").iterdir()) == []


def test_a_later_start_is_not_the_sweep_that_a_worker_works_for(tmp_path):
    stop = SweepOver(tmp_path, "before")
    with contextlib.ExitStack() as sweep:
        sweep.enter_context(alive(tmp_path, "before"))
        assert not over(stop, 0.2)
        with alive(tmp_path, "now"):
            assert not over(stop, 0.2)
            sweep.close()
            assert over(stop, 2)


def test_a_sweep_that_was_killed_is_not_waited_for(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as sweep:
        assert sweep.stdout.readline() == b"held\n"
        stop = SweepOver(tmp_path, "now")
        assert not over(stop, 0.5)
        sweep.kill()
        assert over(stop, 2)


def test_a_lock_that_is_never_seen_is_waited_for_on_a_network_drive_and_not_for_ever(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sweeps, "_UNSEEN", 0.5)
    stop = SweepOver(tmp_path, "now")
    assert not over(stop, 0.2)
    assert over(stop, 2)
