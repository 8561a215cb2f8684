"""The chain, with real papermill and real kernels on throw-away notebooks."""

import json
import os
import signal
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from recsys_lib import _system
from recsys_lib.errors import ArtifactError
from recsys_lib.pipeline import Manifest, runner
from recsys_lib.pipeline.chain import load_steps
from recsys_lib.pipeline.runner import run_chain, sockets_of
from recsys_lib.pipeline.store import Conditions

from .conftest import Quiet

ONLY_RUN = 'RUN = "lab"  # name of the run'
MAKE = 'path = session.save("facts", {"seed": SEED})'
USE = """
import json
facts = json.loads(session.read("facts").read_text())
session.save("doubled", {"twice": 2 * facts["seed"]})
"""


@pytest.fixture
def chain(project, write):
    write("01_make", MAKE)
    write("02_use", USE)
    write("03_apart", 'session.save("apart", [1])', parameters=ONLY_RUN)
    return project


def statuses(result):
    return [f"{one.name[:2]} {one.status}" for one in result.outcomes]


def read(project, name, run="default"):
    return json.loads((project.artifacts(run) / f"{name}.json").read_text())


def leftovers(project):
    return [path for path in (project.root / "runs").rglob(".*") if ".part" in path.name]


def test_only_what_changed_runs_again(chain, write, run):
    assert statuses(run()) == ["01 ran", "02 ran", "03 ran"]
    assert read(chain, "doubled") == {"twice": 0}
    assert statuses(run()) == ["01 skipped", "02 skipped", "03 skipped"]

    # A parameter reaches those that declare it.
    assert statuses(run(SEED=4)) == ["01 ran", "02 ran", "03 skipped"]
    assert read(chain, "doubled") == {"twice": 8}

    # Another source with the same result stops there: its reader has nothing new to read.
    write("01_make", f"# said otherwise\n{MAKE}")
    assert statuses(run(SEED=4, only="01-02")) == ["01 ran", "02 skipped"]

    # An artifact that someone changed is made again.
    (chain.artifacts("default") / "facts.json").write_text('{"seed": 9}')
    assert statuses(run(SEED=4, only="01-02")) == ["01 ran", "02 skipped"]
    assert read(chain, "facts") == {"seed": 4}

    # One that is read by itself notices that what it read is another.
    write("01_make", 'path = session.save("facts", {"seed": 5})')
    assert statuses(run(SEED=4, only="01")) == ["01 ran"]
    assert statuses(run(SEED=4, only="02-03")) == ["02 ran", "03 skipped"]
    assert read(chain, "doubled") == {"twice": 10}

    assert statuses(run(only="03", force=True)) == ["03 ran"]
    assert leftovers(chain) == []


def test_a_parameter_arrives_in_the_type_of_its_literal(project, write, run):
    literals = f"{ONLY_RUN}\nDIMS = (128, 64)  # widths\nNAMES = ['a']  # words\nRATE = 0.1  # step"
    write(
        "01_make", 'session.save("seen", {"all": repr((DIMS, NAMES, RATE))})', parameters=literals
    )
    run(DIMS=[64, 32], NAMES=["b", "c"], RATE=1)
    assert read(project, "seen") == {"all": "((64, 32), ['b', 'c'], 1.0)"}
    run(DIMS=[])
    assert read(project, "seen") == {"all": "((), ['a'], 0.1)"}


def test_what_the_clock_says_of_files_does_not_matter(chain, run):
    run()
    for years, path in enumerate(sorted(chain.root.rglob("*"))):
        os.utime(path, (0, (years % 3) * 2e9))  # 1970, 2033 and 2096
    assert statuses(run()) == ["01 skipped", "02 skipped", "03 skipped"]


def test_a_changed_library_runs_everything_again(chain, run, monkeypatch):
    run(only="03")
    monkeypatch.setattr("recsys_lib.pipeline.store.Library.fingerprint", lambda *_: "another")
    assert statuses(run(only="03")) == ["03 ran"]


def test_an_input_from_outside_that_changed_runs_again(project, write, run):
    own = project.root / "own.csv"
    own.write_text("1")
    source = 'RUN = "lab"  # name\nSOURCE = ""  # path of a table'
    write("01_make", "session.input(SOURCE);", parameters=source)
    assert statuses(run(SOURCE=str(own))) == ["01 ran"]
    assert statuses(run(SOURCE=str(own))) == ["01 skipped"]
    own.write_text("2")
    assert statuses(run(SOURCE=str(own))) == ["01 ran"]


def test_two_runs_keep_their_artifacts_apart(chain, run):
    run("a", only="01", SEED=1)
    run("b", only="01", SEED=2)
    assert (read(chain, "facts", "a"), read(chain, "facts", "b")) == ({"seed": 1}, {"seed": 2})


def test_a_failing_notebook_stops_what_reads_from_it_and_nothing_else(chain, write, run):
    write("02_use", USE, "1 / 0")
    write("04_later", 'session.find("doubled"); session.save("later", [1])')
    write("05_last", 'session.read("later")')
    result = run()
    assert statuses(result) == ["01 ran", "02 failed", "03 ran", "04 not run", "05 not run"]
    assert [one.reason for one in result.outcomes[-2:]] == 2 * ["02_use failed"]
    manifest = Manifest.load(result.folder)
    assert (manifest.status, manifest.failure["notebook"]) == ("failed", "02_use")
    assert manifest.notebooks["05_last"]["status"] == "not run"
    # What failed is not forgotten by a later run of the rest.
    assert statuses(run(only="03")) == ["03 skipped"]
    assert Manifest.load(result.folder).status == "partial"
    write("02_use", USE)
    assert [one[3:] for one in statuses(run())] == ["skipped", "ran", "skipped", "ran", "ran"]
    assert Manifest.load(result.folder).status == "done"


def test_a_run_of_which_a_part_is_stale_is_not_done(chain, run):
    run()
    run(SEED=4, only="01")
    manifest = Manifest.load(chain.run_folder("default"))
    assert (manifest.status, manifest.notebooks["02_use"]["status"]) == ("partial", "stale")


def test_a_failing_notebook_leaves_its_copy(chain, write, run):
    write("02_use", "x = 1", "1 / 0", "x = 2")
    result = run(only="01-02")
    assert statuses(result) == ["01 ran", "02 failed"]
    failure = result.failed.failure
    # Parameters, start and x = 1 come before; the injected cell is not counted.
    assert (failure.cell, failure.kind, failure.message) == (
        4,
        "ZeroDivisionError",
        "division by zero",
    )
    assert "1 / 0" in failure.traceback
    assert "\x1b" not in failure.traceback
    cells = nbformat.read(result.failed.copy, as_version=4).cells
    outputs = [one.output_type for cell in cells for one in cell.get("outputs", [])]
    assert outputs[-1] == "error"
    assert leftovers(chain) == []

    write("02_use", USE)
    assert statuses(run()) == ["01 skipped", "02 ran", "03 ran"]


def test_a_notebook_over_its_limit_is_stopped(project, write, run):
    write("01_hang", "import os, time", f"open({str(project.root / 'pid')!r}, 'w')"
          ".write(str(os.getpid()))", "time.sleep(600)")  # fmt: skip
    failure = run(timeout=8).failed.failure
    assert (failure.cell, failure.kind) == (5, "Timeout")
    assert "--timeout" in failure.message
    pid = int((project.root / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert Manifest.load(project.run_folder("default")).failure["kind"] == "Timeout"


def test_a_kernel_that_dies_is_told_as_such_and_the_run_goes_on_from_there(chain, write, run):
    write("02_use", "import os, signal", "os.kill(os.getpid(), signal.SIGKILL)")
    result = run(only="01-02")
    assert (result.failed.failure.cell, result.failed.failure.kind) == (4, "DeadKernel")
    assert result.failed.copy.exists()
    assert leftovers(chain) == []
    assert Manifest.load(result.folder).failure["kind"] == "DeadKernel"
    write("02_use", USE)
    assert statuses(run(only="01-02")) == ["01 skipped", "02 ran"]


MEET = """
import os, pathlib, time
(pathlib.Path({here!r}) / "{me}").write_text(str(os.getpid()))
deadline = time.monotonic() + {seconds}
while not (met := (pathlib.Path({here!r}) / "{other}").exists()) and time.monotonic() < deadline:
    time.sleep(0.05)
session.save("{me}", [met, os.environ.get("OMP_NUM_THREADS")])
"""
BOTH = """
import json
both = session.read("ann"), session.read("bob")
session.save("found", [json.loads(one.read_text()) for one in both])
"""


@pytest.fixture
def meet(project, write):
    """Two notebooks that wait for one another, and one that reads what both have found."""

    def write_them(seconds):
        here = str(project.root)
        write("01_ann", MEET.format(here=here, me="ann", other="bob", seconds=seconds))
        write("02_bob", MEET.format(here=here, me="bob", other="ann", seconds=seconds))
        write("03_both", BOTH)

    return write_them


def test_notebooks_that_do_not_read_from_one_another_run_at_once(project, meet, run, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(_system, "cores", lambda: 2)
    meet(seconds=30)
    assert statuses(run(workers=2)) == ["01 ran", "02 ran", "03 ran"]
    assert read(project, "found") == [[True, "1"], [True, "1"]]
    manifest = Manifest.load(project.run_folder("default"))
    assert (manifest.status, list(manifest.notebooks)) == ("done", ["01_ann", "02_bob", "03_both"])


def test_parts_of_the_chain_run_at_once_that_read_what_is_there(project, write, run):
    write("00_base", 'session.save("base", [1])')
    for name, me, other in (("01_ann", "ann", "bob"), ("02_bob", "bob", "ann")):
        meet = MEET.format(here=str(project.root), me=me, other=other, seconds=30)
        write(name, 'session.read("base");', meet)
    run(only="00")
    assert statuses(run(only="01-02", workers=2)) == ["01 ran", "02 ran"]
    assert [read(project, who)[0] for who in ("ann", "bob")] == [True, True]


def test_what_reads_waits_for_what_writes_though_a_core_is_free(chain, write, run):
    write("01_make", f"import time\ntime.sleep(2)\n{MAKE}")
    assert statuses(run(workers=2)) == ["01 ran", "02 ran", "03 ran"]


@pytest.mark.parametrize("how", ["with a GPU", "in a sweep"])
def test_one_runs_at_a_time(project, meet, monkeypatch, how):
    monkeypatch.setattr(runner, "cores", lambda: 2)
    monkeypatch.setattr(runner.shutil, "which", lambda name: name if how == "with a GPU" else None)
    conditions = Conditions(token="now" if how == "in a sweep" else "")
    meet(seconds=0.5)
    steps = load_steps(project)
    run_chain(project, steps, {}, Quiet(), name="s/a", conditions=conditions)
    assert [met for met, _ in read(project, "found", "s/a")] == [False, True]


def test_what_runs_alone_has_all_threads(project, meet, write, run, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(_system, "cores", lambda: 2)
    meet(seconds=30)
    run(workers=2)
    # Only this one is not made yet, and what reads from it comes after it.
    write("02_bob", "import os", 'session.save("bob", [True, os.environ.get("OMP_NUM_THREADS")])')
    assert statuses(run(workers=2)) == ["01 skipped", "02 ran", "03 ran"]
    assert read(project, "found") == [[True, "1"], [True, None]]


def test_without_memory_for_two_one_runs_after_the_other(project, meet, run, monkeypatch):
    monkeypatch.setattr(runner, "available_memory", lambda: 2_000_000_000)
    meet(seconds=0.5)
    assert statuses(run(workers=2)) == ["01 ran", "02 ran", "03 ran"]
    assert [met for met, _ in read(project, "found")] == [False, True]


def test_a_failure_leaves_what_runs_beside_it_to_its_end(project, meet, write, run, kernel_server):
    meet(seconds=30)
    write("01_ann", "1 / 0", 'session.save("ann", [])')
    write("02_bob", "import time", "time.sleep(2)", 'session.save("bob", [])')
    assert statuses(run(workers=2)) == ["01 failed", "02 ran", "03 not run"]
    here = psutil.Process()
    kernels = [one for one in here.children() if "ipykernel" in " ".join(one.cmdline())]
    assert [one for one in kernels if one.pid != kernel_server.pid] == []
    begin = sockets_of(project.run_folder("default"))
    assert [*Path(tempfile.gettempdir()).glob(f"{begin}*")] == []


def test_what_kernels_of_a_killed_run_still_write_is_swept_away(project, write, run):
    late = Path(tempfile.gettempdir()) / f"{sockets_of(project.run_folder('default'))}late"
    write("01_make", "from pathlib import Path", f"Path({str(late)!r}).mkdir()")
    assert statuses(run()) == ["01 ran"]
    assert not late.exists()


def test_ctrl_c_stops_all_that_is_at_work(project, meet, write, run):
    meet(seconds=600)
    cell = f"os.kill({os.getpid()}, signal.SIGINT)"
    wait = f"while not os.path.exists({str(project.root / 'ann')!r}): pass"
    write("02_bob", "import os, signal", wait, cell, "while True: pass")
    # What was started in the background inherits that SIGINT is ignored; a terminal's does not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    begun = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            run(workers=2)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - begun < 45, "the other one ran to its limit"
    assert Manifest.load(project.run_folder("default")).status == "interrupted"
    assert not psutil.pid_exists(int((project.root / "ann").read_text()))
    write("02_bob", 'session.save("bob", [True, ""])', f"open({str(project.root / 'bob')!r}, 'w')")
    assert statuses(run(workers=2)) == ["01 ran", "02 ran", "03 ran"]


def test_two_runs_of_one_name_are_refused_with_the_process_at_work(chain, run):
    with (
        chain.locked("default"),
        pytest.raises(ArtifactError, match=rf"process {os.getpid()}, since"),
    ):
        run()


def test_the_runs_of_a_sweep_stand_in_its_folder_and_leave_one_another_alone(chain, run):
    half = chain.artifacts("sweep/b") / ".model.abc.part"
    half.mkdir(parents=True)
    result = run("sweep/a", only="01", SEED=1)
    assert result.folder == chain.root / "runs/sweep/a"
    assert read(chain, "facts", "sweep/a") == {"seed": 1}
    assert statuses(run("sweep/a", only="01", SEED=1)) == ["01 skipped"]
    run("sweep", only="03")
    assert half.exists(), "another run's half-written files are its own"
    only = "Only one run named 'sweep/a'"
    with chain.locked("sweep/a"), pytest.raises(ArtifactError, match=only):
        run("sweep/a")


def test_the_lock_of_a_dead_process_is_taken_over(chain):
    folder = chain.run_folder("default")
    folder.mkdir(parents=True)
    (folder / ".lock").write_text(" process 999999, since 00:00:00,")
    with chain.locked("default"):
        assert str(os.getpid()) in (folder / ".lock").read_text()


def test_half_written_files_of_a_killed_run_are_swept_away(chain, run):
    folder = chain.artifacts("default")
    (folder / ".model.abc.part").mkdir(parents=True)
    (folder / ".model.abc.part" / "weights").write_text("half")
    (folder / ".table.12.part.parquet").write_text("half")
    (chain.run_folder("default") / ".02_use.part.ipynb").write_text("{")
    run(only="03")
    assert leftovers(chain) == []


def test_a_full_disk_is_told_with_the_file_and_leaves_nothing_half_written(chain, run, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("papermill.engines.write_ipynb", full)
    with pytest.raises(ArtifactError, match=r"01_make.ipynb must be writable; No space left"):
        run()
    assert leftovers(chain) == []


def test_a_folder_that_cannot_be_made_is_told(chain, run):
    (chain.root / "runs").write_text("a file where the folder should be")
    with pytest.raises(ArtifactError, match="folder of the run must be writable"):
        run()
