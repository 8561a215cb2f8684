"""One manifest a run: whole, true and fit to be handed round, however the run ended."""

import json
import subprocess
from datetime import datetime

import numpy as np
import pytest
from scipy import sparse

from recsys_lib._system import this_process
from recsys_lib.dataset import Fold
from recsys_lib.errors import ArtifactError
from recsys_lib.evaluation import RandomOrder, evaluate
from recsys_lib.pipeline import manifest, notebook
from recsys_lib.pipeline.machine import revision
from recsys_lib.pipeline.manifest import Manifest, RunLog, read_reports, without_secrets

MORE = """RUN = "lab"  # name of the run
SEED = 0  # seed of every random stream
EPOCHS = 20  # passes
DATABASE = ""  # URL"""
TAKE = "block = b'x' * 120_000_000; del block"


@pytest.fixture
def report():
    wanted = sparse.csr_array(np.eye(6))
    fold = Fold(fold_in=sparse.csr_array((6, 6)), targets=wanted, users=np.arange(6))
    return evaluate(RandomOrder(0), fold, ["mrr@6", "coverage@6"], name="chance")


def test_a_run_says_what_went_in_what_came_out_and_what_it_took(project, write, run):
    write("01_make", 'session.save("dataset", [SEED])', "session.note(n=3)")
    write("02_use", 'session.read("dataset")', TAKE, "session.check(rmse=1.5)", parameters=MORE)
    run("sweep/a", SEED=4, EPOCHS=2)
    found = Manifest.load(project.run_folder("sweep/a"))
    assert (found.run, found.status, found.failure, found.attempts) == ("sweep/a", "done", None, 1)
    assert found.parameters == {"DATABASE": "", "EPOCHS": 2, "SEED": 4}
    assert found.seeds == {"SEED": 4}
    assert {name: one.value for name, one in found.metrics.items()} == {"01.n": 3, "02.rmse": 1.5}
    record = json.loads(project.record("sweep/a", "01_make").read_text())
    assert found.data["dataset"] == record["writes"]["dataset"]["fingerprint"]
    assert found.code["library"] == "the library"
    assert {"python", "numpy", "papermill"} <= found.versions.keys()
    assert found.machine["cores"] >= 1
    took = [one["seconds"] for one in found.notebooks.values()]
    assert found.seconds == pytest.approx(sum(took))
    assert min(took) > 0.1
    first, second = (one["peak_memory"] for one in found.notebooks.values())
    assert second - first > 60e6, "what was taken and given back is in the peak"
    assert found.peak_memory == second < 1e9


def test_a_failed_run_says_where_and_why_and_the_next_attempt_is_counted(project, write, run):
    write("01_make")
    write("02_use", "1 / 0")
    run()
    failed = Manifest.load(project.run_folder("default"))
    assert failed.status == "failed"
    assert failed.failure == {
        "notebook": "02_use",
        "cell": 3,
        "kind": "ZeroDivisionError",
        "message": "division by zero",
    }
    assert {name: one["status"] for name, one in failed.notebooks.items()} == {
        "01_make": "ran",
        "02_use": "failed",
    }
    write("02_use")
    run()
    mended = Manifest.load(project.run_folder("default"))
    assert (mended.status, mended.failure, mended.attempts) == ("done", None, 2)
    assert mended.notebooks["01_make"]["status"] == "skipped"
    path = project.run_folder("default") / "manifest.json"
    before = path.read_bytes()
    run()
    assert path.read_bytes() == before, "nothing was done, so nothing is to be said"


def test_a_parameter_that_differs_between_notebooks_is_told_for_each(project, write, run):
    write("01_make")
    write("02_use")
    run(SEED=1)
    run(only="02", SEED=2)
    found = Manifest.load(project.run_folder("default"))
    assert (found.parameters, found.seeds) == ({}, {})
    assert [one["parameters"] for one in found.notebooks.values()] == [{"SEED": 1}, {"SEED": 2}]
    assert [one["status"] for one in found.notebooks.values()] == ["kept", "ran"]


def test_an_interrupted_run_says_so_and_what_it_was_at(project, write, run):
    write("01_make")
    (project.root / "runs/default").mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt), RunLog(project, "default", "library") as log:
        log.begin("01_make")
        running = Manifest.load(project.run_folder("default"))
        raise KeyboardInterrupt
    found = Manifest.load(project.run_folder("default"))
    assert (running.status, found.status) == ("running", "interrupted")
    assert found.failure["notebook"] == "01_make"


def test_a_run_whose_process_is_gone_was_killed(project):
    folder = project.run_folder("default")
    with subprocess.Popen(["true"]) as gone:
        pass
    here = Manifest(run="default", status="running", process=this_process())
    here.save(folder)
    assert Manifest.load(folder).status == "running"
    lost = {**here.process, "pid": gone.pid}
    Manifest(run="default", status="running", process=lost).save(folder)
    assert Manifest.load(folder).status == "killed"
    nobody = {"host": here.process["host"]}
    Manifest(run="default", status="running", process=nobody).save(folder)
    with pytest.raises(ArtifactError, match="'pid'"):
        Manifest.load(folder)
    elsewhere = {**lost, "host": "another-machine"}
    Manifest(run="default", status="running", process=elsewhere).save(folder)
    assert Manifest.load(folder).status == "running", "nobody here can know"


def test_a_clock_that_is_set_back_makes_no_time_negative(project, monkeypatch):
    class Clock(datetime):
        hours = iter(range(23, 0, -1))

        @classmethod
        def now(cls, zone=None):
            return cls(2026, 1, 1, next(cls.hours), tzinfo=zone)

    monkeypatch.setattr(manifest, "datetime", Clock)
    (project.notebooks / "01_make.ipynb").write_text("{}")
    folder = project.run_folder("default")
    folder.mkdir(parents=True)
    with RunLog(project, "default", "library") as log:
        log.begin("01_make")
    found = Manifest.load(folder)
    assert found.begun == "2026-01-01T23:00:00+00:00"
    assert found.ended >= found.begun


def test_no_manifest_holds_a_password(project, monkeypatch):
    monkeypatch.setenv("RECSYS_DB_PASSWORD", "s3cret!")
    url = "postgresql://ann:pa55@word@db/x?password=pa55"
    Manifest(
        run="default",
        status="failed",
        parameters={"SOURCE": url, "TOKEN": "pa55"},
        failure={"message": f"no answer from {url}, tried s3cret!"},
    ).save(project.run_folder("default"))
    text = (project.run_folder("default") / "manifest.json").read_text()
    assert "pa55" not in text
    assert "s3cret" not in text
    assert "postgresql://ann:***@db/x" in text


@pytest.mark.parametrize("text", ["12:30", "a:b@c", "http://host/a@b", "no secret, a token of it"])
def test_what_is_no_secret_stays(text):
    assert without_secrets(text) == text


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "metrics": {"a": 3}}']
)
def test_a_damaged_manifest_is_told(project, content):
    path = project.run_folder("default") / "manifest.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(ArtifactError, match=r"manifest\.json must be"):
        Manifest.load(path.parent)


def test_the_revision_is_that_of_the_checkout_and_says_whether_files_differ(tmp_path):
    def git(*words):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", tmp_path, *who, *words], check=True, capture_output=True)

    assert revision(tmp_path) == {"commit": None, "dirty": None}
    git("init")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "one")
    clean = revision(tmp_path)
    assert (len(clean["commit"]), clean["dirty"]) == (40, False)
    (tmp_path / "file").write_text("2")
    assert revision(tmp_path) == {"commit": clean["commit"], "dirty": True}


def test_a_report_leaves_its_numbers_with_their_errors_and_the_values_of_each_user(
    project, write, report
):
    write("01_make")
    session = notebook.start("01_make", {"RUN": "lab", "SEED": 0}, project=project)
    table = session.report([report])
    assert table.loc["chance.mrr@6", "n_users"] == 6
    written = json.loads(project.record("lab", "01_make").read_text())["metrics"]
    assert written["chance.mrr@6"]["se"] == report.sample("mrr@6").standard_error > 0
    assert written["chance.mrr@6"]["higher_is_better"] is True
    assert written["chance.coverage@6"]["se"] is None
    (kept,) = read_reports(session.read("reports_01"))
    assert kept.values.equals(report.values)
    assert kept.protocol == report.protocol
    with pytest.raises(ValueError, match="must hold 'chance.mrr@6' once"):
        session.report(report)
    with pytest.raises(TypeError, match="must be a list of Reports; got float. Give what"):
        session.report(0.3)
