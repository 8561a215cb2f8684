"""Runs that are killed at any moment: nothing finished is lost, and the end is the same."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from recsys_lib.artifacts import fingerprint
from recsys_lib.pipeline import Manifest
from recsys_lib.pipeline.runner import sockets_of
from recsys_lib.pipeline.store import Record

KILLS = 20
# Runs are forked from a process that has everything loaded: what is killed is the run, and not
# its imports. For each line it answers with the process, and when that has ended with its status.
FORKS = """
import os, sys
import nbclient, papermill, recsys_lib.pipeline.runner, recsys_lib.pipeline.progress
from recsys_lib.cli import main
recsys_lib.pipeline.store.Library.fingerprint = lambda *_: "the library"
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(main(line.split()))
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""
MAKE = """
with session.writing("parts") as folder:
    for part in range(20):
        (folder / str(part)).write_text(str(part + SEED))
"""
USE = """
total = sum(int(path.read_text()) for path in session.read("parts").glob("[0-9]*"))
session.save("total", {"total": total})
session.note(total=total)
"""


class Runner:
    """Starts runs, one at a time."""

    def __init__(self, server: subprocess.Popen) -> None:
        self._server = server

    def start(self, *words: str) -> int:
        """Return the process of a run that has begun."""
        print("run", *words, file=self._server.stdin, flush=True)
        return int(self._server.stdout.readline())

    def status(self) -> int:
        """Return how the run ended, once it has."""
        return int(self._server.stdout.readline())

    def run(self, *words: str) -> int:
        """Run to the end and return the status."""
        self.start(*words)
        return self.status()


@pytest.fixture
def runner(project, write):
    write("01_make", MAKE)
    write("02_use", USE)
    write("03_again", USE.replace('"total", {', '"again", {'))
    with subprocess.Popen(
        [sys.executable, "-c", FORKS],
        cwd=project.root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        yield Runner(server)
        server.stdin.close()


def finished(project, seed):
    """Return what each notebook that has finished under `seed` wrote down, as text."""
    # A run at work removes the record of a notebook just before it runs again.
    records = [Record.find(project.record("default", path.stem)) for path in project.chain()]
    done = [one for one in records if one and one.done and one.parameters["SEED"] == seed]
    return {record.notebook: repr(record) for record in done}


def await_finished(project, seed, number, pid):
    """Wait until `number` notebooks have finished, or the run has ended by itself."""
    while len(finished(project, seed)) < number and running(pid):
        time.sleep(0.005)


def running(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def damaged(project):
    """Return what finished notebooks wrote and is no longer what they wrote."""
    folder = project.run_folder("default")
    records = [Record.find(project.record("default", path.stem)) for path in project.chain()]
    writes = [
        entry for record in records if record and record.done for entry in record.writes.values()
    ]
    return [one for one in writes if fingerprint(folder / one["path"]) != one["fingerprint"]]


def artifacts(project, run):
    return {path.name: fingerprint(path) for path in project.artifacts(run).iterdir()}


def half_written(project):
    found = (project.root / "runs").rglob("*")
    return [path for path in found if ".part" in path.name or path.name.endswith(".old")]


def sockets(project):
    """Return the folders of sockets that runs have left."""
    begin = sockets_of(project.run_folder("default"))
    return list(Path(tempfile.gettempdir()).glob(f"{begin}*"))


def kernels(project):
    """Return the processes that still work in the project."""
    places = [(one, one.info["cwd"]) for one in psutil.process_iter(["cwd"])]
    return [one for one, place in places if place == str(project.notebooks)]


def test_a_run_killed_at_twenty_random_moments_loses_nothing_that_was_finished(project, runner):
    assert runner.run("--name", "whole") == 0
    whole = Manifest.load(project.run_folder("whole"))
    patience = min(entry["seconds"] for entry in whole.notebooks.values())
    moments = random.Random(0)
    kills = resumed = 0
    seed = 1  # what the whole run has made would be taken over
    before: dict[str, str] = {}
    while kills < KILLS:
        pid = runner.start("-p", "SEED", str(seed))
        # Any notebook's turn can be the last: a kill waits for what is before it, and then a while.
        await_finished(project, seed, kills % 3, pid)
        time.sleep(moments.uniform(0.02, 1.5) * patience)
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.kill(pid, signal.SIGKILL)
        status = runner.status()
        now = finished(project, seed)
        assert before.items() <= now.items(), "what is finished is not touched again"
        assert damaged(project) == []
        # Other work on the machine comes and goes: the pace follows it.
        patience *= 0.8 if status == 0 else 1.1 if now == before else 1
        if status == 0:  # it ended before its time: on with other work
            seed, before = seed + 1, {}
            continue
        assert status == -signal.SIGKILL
        resumed += len(before) > 0
        kills, before = kills + 1, now
    assert runner.run("-p", "SEED", str(seed)) == 0
    assert before.items() <= finished(project, seed).items()
    assert resumed >= KILLS // 4, "most kills were in the middle of the chain"

    assert runner.run("--name", "whole", "-p", "SEED", str(seed), "--force") == 0
    assert artifacts(project, "default") == artifacts(project, "whole")
    whole, killed = (Manifest.load(project.run_folder(run)) for run in ("whole", "default"))
    assert (killed.status, killed.metrics) == ("done", whole.metrics)
    assert killed.attempts > 1
    assert half_written(project) == []
    assert sockets(project) == []
    print(f"{kills} kills, {resumed} resumed, {seed - 1} runs finished between them, 0 lost")


@pytest.fixture
def at_work(project, write, runner):
    """Begin a run and return its process once it is in the middle of a cell."""
    write("02_use", "import time", "open('at_work', 'w').close(); time.sleep(60)")
    pid = runner.start("--only", "02")
    while not (project.notebooks / "at_work").exists():
        time.sleep(0.02)
    assert len(kernels(project)) == 1
    return pid


def test_the_kernel_of_a_killed_run_ends_with_it(project, runner, at_work):
    os.kill(at_work, signal.SIGKILL)
    runner.status()
    limit = time.monotonic() + 0.5
    while kernels(project) and time.monotonic() < limit:
        time.sleep(0.01)
    assert kernels(project) == []
    assert Manifest.load(project.run_folder("default")).status == "killed"


def test_a_run_that_is_told_to_stop_says_where_it_was(project, runner, at_work):
    os.kill(at_work, signal.SIGTERM)
    assert runner.status() == 130
    assert kernels(project) == []
    found = Manifest.load(project.run_folder("default"))
    assert (found.status, found.failure["notebook"]) == ("interrupted", "02_use")
