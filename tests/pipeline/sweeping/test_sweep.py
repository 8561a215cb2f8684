"""Sweeps of small notebooks, in workers and kernels of their own."""

import importlib.util
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import pandas as pd
import pytest
from papermill.iorw import papermill_io

from recsys_lib.cli import main
from recsys_lib.errors import ConfigError
from recsys_lib.pipeline import sweep as sweep_from_python
from recsys_lib.pipeline.store import Record

from .conftest import EPOCHS, SEED, TRAIN, gone, note, statuses, worker_of


def test_what_settings_have_in_common_runs_once_and_all_of_it_is_skipped_next_time(
    chain, sweep, diary
):
    grid = {"EPOCHS": [5, 10, 20], "SEED": 3}
    state = sweep(grid)
    assert state.status == "done"
    assert statuses(state) == dict.fromkeys(["epochs-5", "epochs-10", "epochs-20"], "done")
    # 03 comes after 02, which differs, but reads nothing of it.
    wrote = diary()
    assert [len(wrote[number]) for number in ("01", "02", "03")] == [1, 3, 1]
    assert set(wrote["02"]) == set(statuses(state))

    table = state.table()
    assert list(table["02.rmse"].round(6)) == [3.2, 3.1, 3.05]
    assert list(table["EPOCHS"]) == [5, 10, 20]
    assert (table["memory_mb"] > 20).all()
    # Each setting is a run like any other: with its figures, notebooks, records and manifest.
    for name in statuses(state):
        folder = chain.run_folder(f"grid/{name}")
        assert (folder / "figures/01_line.png").exists()
        assert len(list(folder.glob("*.ipynb"))) == 3
        record = json.loads((folder / "state/01_make.json").read_text())
        assert record["run"] == record["parameters"]["RUN"] == f"grid/{name}"
        assert list(record["figures"]) == [f"runs/grid/{name}/figures/01_line.png"]
    told = json.loads((state.folder / "sweep.json").read_text())
    assert told["status"] == "done"
    assert told["settings"]["epochs-10"]["parameters"] == {"EPOCHS": 10, "SEED": 3}

    again = sweep({**grid, "EPOCHS": [5, 10, 20, 40]})
    assert [one.ran for one in again.settings] == [0, 0, 0, 1]
    assert [len(diary()[number]) for number in ("01", "02", "03")] == [1, 4, 1]


def test_a_failure_is_told_and_stops_its_own_setting_only(chain, write, sweep, diary, capsys):
    fail = "if EPOCHS == 7:\n    raise ValueError('unlucky')"
    write("02_train", "import json", fail, TRAIN, parameters=EPOCHS)
    (chain.root / "grid.yaml").write_text("EPOCHS: [7, 8]\nonly: 01-02")
    assert main(["sweep", "-f", "grid.yaml", "--workers", "2"]) == 1
    said = capsys.readouterr()
    assert "epochs-7  FAILED      02_train stopped in cell 4 of 5: ValueError: unlucky" in said.out
    assert said.err.count("\n") == 1
    assert "1 of 2 settings failed: epochs-7" in said.err
    # The table is that of the runs, in which varied parameters come first.
    head, *rows = said.out.partition("recsys runs grid\n")[2].splitlines()[:3]
    assert head.split()[:6] == ["run", "status", "begun", "seconds", "memory_mb", "EPOCHS"]
    assert [row.split()[:2] for row in rows] == [
        ["grid/epochs-7", "failed"],
        ["grid/epochs-8", "done"],
    ]

    write("02_train", "import json", TRAIN, parameters=EPOCHS)
    assert main(["sweep", "-f", "grid.yaml", "--workers", "2"]) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert len(diary()["01"]) == 1


def test_a_shared_step_that_fails_is_not_tried_by_everybody(chain, write, sweep, diary):
    write("01_make", note("01"), "1 / 0", parameters=SEED)
    state = sweep({"EPOCHS": [1, 2, 3]}, only="01-02")
    assert len(diary()["01"]) == 1
    assert statuses(state) == dict.fromkeys(["epochs-1", "epochs-2", "epochs-3"], "failed")
    told = [one.message for one in state.settings]
    assert sum("(shared with epochs-" in one for one in told) == 2
    assert all("01_make stopped in cell 4 of 4: ZeroDivisionError" in one for one in told)


# The first time, setting 10 waits for whoever is to kill its worker.
HANG = """
import os, time
place = session.project.root / f"seen-{EPOCHS}"
first = not place.exists()
place.write_text(str(os.getpid()))
time.sleep(300 if first and EPOCHS == 10 else 0)
"""


def test_a_worker_killed_in_the_middle_loses_nothing(chain, write, sweep, diary):
    write("02_train", "import json", HANG, TRAIN, note("02"), parameters=EPOCHS)
    killed = []

    def kill(state):
        if not killed and (chain.root / "seen-10").exists() and state.count("done"):
            killed.append(worker_of(state, "epochs-10"))
            os.kill(killed[0], signal.SIGKILL)

    state = sweep({"EPOCHS": [5, 10, 20]}, watch=kill, backend="dask")
    assert len(killed) == 1
    assert killed[0] != worker_of(state, "epochs-10")
    assert statuses(state) == dict.fromkeys(["epochs-5", "epochs-10", "epochs-20"], "done")
    # What was finished was not done again, by nobody.
    wrote = diary()
    assert len(wrote["01"]) == 1
    assert sorted(wrote["02"]) == ["epochs-10", "epochs-20", "epochs-5"]
    assert not [path for path in state.folder.rglob("*") if ".part" in path.name]


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_sweep_that_is_stopped_keeps_what_is_finished_and_goes_on(chain, write, diary, sent):
    write("02_train", "import json", HANG, TRAIN, note("02"), parameters=EPOCHS)
    (chain.root / "grid.yaml").write_text("EPOCHS: [5, 10]\nonly: 01-02")
    command = [sys.executable, "-m", "recsys_lib", "sweep", "-f", "grid.yaml", "--workers", "2"]
    # To a file: the workers of a killed sweep would hold a pipe for some seconds.
    with (chain.root / "said").open("w") as said, subprocess.Popen(command, stderr=said) as process:
        end = time.monotonic() + 240
        finished, seen = chain.record("grid/epochs-5", "02_train"), chain.root / "seen-10"
        # The diary is written before the notebook has ended; the other one may be just writing.
        while not (
            getattr(Record.find(finished), "done", 0) and seen.exists() and seen.read_text()
        ):
            assert time.monotonic() < end, process.poll()
            time.sleep(0.1)
        kernel = int(seen.read_text())
        process.send_signal(sent)
        process.wait(timeout=30)
    assert gone(kernel, seconds=1 if sent == signal.SIGTERM else 10)
    file = chain.root / "runs/grid/sweep.json"
    if sent == signal.SIGTERM:
        assert process.returncode == 130
        assert (chain.root / "said").read_text().startswith("Interrupted.")
        told = json.loads(file.read_text())
        assert told["status"] == "interrupted"
        assert {one["status"] for one in told["settings"].values()} <= {"done", "interrupted"}

    assert main(["sweep", "-f", "grid.yaml", "--workers", "2"]) == 0
    assert json.loads(file.read_text())["status"] == "done"
    assert {number: len(runs) for number, runs in diary().items()} == {"01": 1, "02": 2}
    assert not [path.name for path in file.parent.rglob(".sweep/*") if path.suffix != ".json"]


class Shelf:
    """A place that papermill can write to, as those for s3 or gs are."""

    def __init__(self):
        self.files, self.refused = {}, ("nothing",)

    def write(self, buffer, path):
        if "closed" in path or path.endswith(self.refused):
            raise PermissionError("Access Denied")
        self.files[path] = buffer


@pytest.fixture
def shelf():
    shelf = Shelf()
    before = list(papermill_io._handlers)
    papermill_io.register("shelf://", shelf)
    yield shelf
    papermill_io._handlers = before


def test_notebooks_and_manifests_are_copied_by_papermills_writers(sweep, shelf):
    shelf.refused = (".ipynb",)
    state = sweep({"SEED": [1]}, only="01", output="shelf://bucket/prefix/")
    assert "bucket/prefix/grid: PermissionError: Access Denied" in state.failed[0].message
    shelf.refused = ("nothing",)
    state = sweep({"SEED": [1]}, only="01", output="shelf://bucket/prefix/")
    assert (state.status, state.settings[0].ran) == ("done", 0)
    names = {path.removeprefix("shelf://bucket/prefix/grid/") for path in shelf.files}
    assert names == {"sweep.json", "seed-1/01_make.ipynb", "seed-1/manifest.json"}
    told = json.loads(shelf.files["shelf://bucket/prefix/grid/sweep.json"])
    assert told["status"] == "done"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("shelf://closed", "shelf://closed/grid: PermissionError: Access Denied"),
        ("s3://bucket", "boto3 optional dependency is missing. Please run pip install papermill"),
        ("unknown://bucket", "output folder unknown://bucket/grid doesn't exist"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_told_before_anything_runs(
    sweep, shelf, diary, place, message
):
    if place.startswith("s3") and importlib.util.find_spec("boto3"):
        pytest.skip("papermill's extra for s3 is installed here")
    with pytest.raises(ConfigError, match=message):
        sweep({"SEED": [1]}, output=place)
    assert diary() == {}


def test_a_sweep_from_python_is_a_table(chain, diary):
    table = sweep_from_python({"SEED": [1, 2]}, name="few", only="01", workers=1)
    assert isinstance(table, pd.DataFrame)
    assert list(table.index) == ["few/seed-1", "few/seed-2"]
    assert list(table["status"]) == ["done", "done"]
    assert sorted(diary()["01"]) == ["seed-1", "seed-2"]
    # The same settings under another name are there already; only 3 is new.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as executor:
        grid = {"SEED": [1, 2, 3]}
        table = sweep_from_python(grid, name="more", only="01", workers=1, executor=executor)
    assert list(table["status"]) == ["done"] * 3
    assert sorted(diary()["01"]) == ["seed-1", "seed-2", "seed-3"]


@pytest.mark.parametrize(
    ("arguments", "grid", "message"),
    [
        (["--workers", "0"], "SEED: [1]", "'--workers': 0 is not in the range x>=1"),
        (["--name", "a/b"], "SEED: [1]", "that of a run, as 'a/b' is"),
        (["--name", "plain"], "SEED: [1]", "as 'plain' is. Choose another --name"),
        ([], "SEED: [x]", "grid.yaml: Parameter SEED must be of type int, like 0"),
        (["-f", "no.yaml"], "", "The grid no.yaml must be readable"),
    ],
)
def test_a_wrong_request_is_exit_2_before_anything_runs(
    chain, diary, capsys, arguments, grid, message
):
    (chain.run_folder("plain") / "state").mkdir(parents=True)
    (chain.root / "grid.yaml").write_text(grid)
    try:
        code = main(["sweep", "-f", "grid.yaml", *arguments])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert message in capsys.readouterr().err
    assert diary() == {}
    assert not list((chain.root / "runs").rglob("sweep.json"))
