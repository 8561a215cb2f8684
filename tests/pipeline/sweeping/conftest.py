"""A chain of three small notebooks that keep a diary, and sweeps over it."""

import os
import time

import pytest

from recsys_lib.pipeline.manifest import Manifest
from recsys_lib.pipeline.sweeps import plan, run_sweep

SEED = 'RUN = "lab"  # name of the run\nSEED = 0  # seed of every random stream'
EPOCHS = f"{SEED}\nEPOCHS = 99  # passes; no setting takes the default, which would ask for pins"
OPEN = 'with open(session.project.root / "diary", "a") as file:'
MAKE = 'session.save("facts", {"seed": SEED}); session.figure(plt.figure(), "01_line")'
TRAIN = """
facts = json.loads(session.read("facts").read_text())
session.save("model", {"epochs": EPOCHS})
session.check(rmse=facts["seed"] + 1 / EPOCHS)
"""


def note(number):
    """A cell that writes into the diary that it ran."""
    return f'{OPEN}\n    file.write(f"{number} {{session.record.run}}\\n")'


@pytest.fixture
def chain(project, write, monkeypatch):
    """01 makes facts, 02 trains on them for EPOCHS, 03 reads the facts only."""
    write("01_make", "from matplotlib import pyplot as plt", MAKE, note("01"))
    write("02_train", "import json", TRAIN, note("02"), parameters=EPOCHS)
    write("03_apart", 'session.read("facts");', note("03"), parameters=SEED)
    monkeypatch.chdir(project.root)
    return project


@pytest.fixture
def sweep(chain):
    """Sweep a grid with two workers and return its final state."""

    def sweep_it(grid, name="grid", watch=None, only=None, **options):
        options = {"workers": 2, "timeout": 60, **options}
        it = plan(chain, grid, name, only=only, **options)
        return run_sweep(it, watch)

    return sweep_it


@pytest.fixture
def diary(chain):
    """What the notebooks wrote down: how often each number ran, and in which settings."""

    def read():
        path = chain.root / "diary"
        lines = path.read_text().split("\n")[:-1] if path.exists() else []
        found = {}
        for line in lines:
            number, run = line.split()
            found.setdefault(number, []).append(run.rpartition("/")[2])
        return found

    return read


def statuses(state):
    return {one.name: one.status for one in state.settings}


def worker_of(state, setting):
    """The process that works on a setting, or has last."""
    return Manifest.load(state.folder / setting).process["pid"]


def gone(pid, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False
