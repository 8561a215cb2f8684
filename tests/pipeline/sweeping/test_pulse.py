"""Workers hear when to stop, and only then."""

import json
import os
import threading

import pytest

from recsys_lib.pipeline.manifest import this_process
from recsys_lib.pipeline.sweeping import pulse
from recsys_lib.pipeline.sweeping.pulse import Pulse, listening, tell, work_folder


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(pulse, "_LOOK", 0.01)
    monkeypatch.setattr(pulse, "_BEAT", 0.02)


def told(sweep, **content):
    tell(work_folder(sweep) / "driver.json", **content)


def test_a_worker_works_while_its_sweep_beats_and_stops_when_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(pulse, "_SILENCE", 0.5)
    stop = threading.Event()
    with Pulse(tmp_path, "now") as sweep, listening(tmp_path, "now", stop):
        assert not stop.wait(1.0)
        sweep.stop()
        assert stop.wait(2)


def test_what_an_earlier_start_has_left_is_not_heard_but_a_later_start_is(tmp_path):
    told(tmp_path, token="before", beat=3, stop=True)
    stop = threading.Event()
    with listening(tmp_path, "now", stop):
        assert not stop.wait(0.2)
        told(tmp_path, token="now", beat=1, stop=False)
        assert not stop.wait(0.2)
        told(tmp_path, token="later", beat=1, stop=False)
        assert stop.wait(2)


def test_a_sweep_that_is_gone_is_not_waited_for(tmp_path):
    stop = threading.Event()
    here = this_process()
    told(tmp_path, token="now", beat=1, stop=False, **here)
    with listening(tmp_path, "now", stop):
        assert not stop.wait(0.2)
        told(tmp_path, token="now", beat=2, stop=False, **{**here, "pid": 2**22 + os.getpid()})
        assert stop.wait(2)


def test_silence_is_an_end_as_well_and_a_file_is_whole_at_any_moment(tmp_path, monkeypatch):
    monkeypatch.setattr(pulse, "_SILENCE", 0.1)
    stop = threading.Event()
    with listening(tmp_path, "now", stop):
        assert stop.wait(2)
    path = work_folder(tmp_path) / "driver.json"
    with Pulse(tmp_path, "now"):
        for _ in range(200):
            assert json.loads(path.read_text())["token"] == "now"
    assert [one.name for one in path.parent.iterdir()] == ["driver.json"]
