"""Cores, memory, locks and renames, on whatever system."""

import subprocess
import sys

import psutil
import pytest

from recsys_lib import _system
from recsys_lib._system import (
    available_memory,
    cores,
    limited_threads,
    lock_file,
    move,
    peak_memory,
)


def test_the_limit_of_a_container_counts(tmp_path):
    (tmp_path / "memory.max").write_text("3000000000\n")
    (tmp_path / "memory.current").write_text("2500000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 500000000\n")
    assert available_memory(tmp_path) == min(1e9, psutil.virtual_memory().available)
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(tmp_path) > 1e9


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    assert 1 <= cores() <= psutil.cpu_count()
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert cores() == 1


def test_workers_share_the_cores_unless_the_user_has_said_otherwise(monkeypatch):
    monkeypatch.setattr(_system, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    shared = limited_threads(4)
    assert (shared["OMP_NUM_THREADS"], shared["TF_NUM_INTRAOP_THREADS"]) == ("2", "3")
    assert limited_threads(16)["OMP_NUM_THREADS"] == "1"
    assert limited_threads(4, 5)["OMP_NUM_THREADS"] == "5"


HOLD = """
import sys, time
from recsys_lib._system import lock_file
handle = open(sys.argv[1], "a", encoding="utf-8")
print(lock_file(handle), flush=True)
time.sleep(60)
"""


def test_a_lock_dies_with_its_process(tmp_path):
    path = tmp_path / "lock"
    holder = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(holder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "True\n"
        with path.open("a") as handle:
            assert not lock_file(handle)
            process.kill()
            process.wait()
            assert lock_file(handle)


def test_a_file_that_a_reader_holds_is_replaced_on_windows_once_it_is_free(tmp_path, monkeypatch):
    real, tries = type(tmp_path).replace, []

    def held(self, target):
        tries.append(self)
        if len(tries) < 4:
            raise PermissionError(13, "The process cannot access the file")
        return real(self, target)

    monkeypatch.setattr(type(tmp_path), "replace", held)
    (tmp_path / "new").write_text("new")
    with pytest.raises(PermissionError):
        move(tmp_path / "new", tmp_path / "old")  # here it is a matter of permissions
    monkeypatch.setattr(_system.sys, "platform", "win32")
    move(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "new"
    assert len(tries) == 4


def test_peak_memory_counts_what_was_given_back_and_nothing_of_the_dead():
    peak = "import time; b'x' * 90_000_000; print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", peak], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert 90e6 < peak_memory(process.pid) < 200e6
        process.kill()
    assert peak_memory(process.pid) == 0
