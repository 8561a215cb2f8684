"""Runs in MLflow, read back by its own client."""

from dataclasses import replace

import pytest

from recsys_lib.cli import main
from recsys_lib.errors import ConfigError
from recsys_lib.pipeline.manifest import Manifest, Metric
from recsys_lib.pipeline.runs import EXPERIMENT, export_runs, local_store

mlflow = pytest.importorskip("mlflow")

RUN = Manifest(
    run="sweep/a",
    status="done",
    begun="2026-01-01T10:00:00+00:00",
    ended="2026-01-01T10:00:30+00:00",
    seconds=30.0,
    peak_memory=512_000_000,
    parameters={"EPOCHS": 5, "HIDDEN_DIMS": [128, 64]},
    notebooks={"01_make": {"parameters": {"SEED": 3}}},
    code={"commit": "abc", "dirty": False, "library": "sha256:1"},
    versions={"numpy": "2.1"},
    metrics={
        "03.item KNN.ndcg@10": Metric(0.3, 0.01, 600, True),
        "03.odd": Metric(float("nan")),
    },
)


def runs_in(store):
    client = mlflow.MlflowClient(tracking_uri=store)
    place = client.get_experiment_by_name(EXPERIMENT).experiment_id
    return {one.info.run_name: one for one in client.search_runs([place])}


@pytest.fixture(scope="module")
def plain_files(tmp_path_factory):
    return tmp_path_factory.mktemp("store").as_uri()


def test_a_run_is_exported_once_and_brought_up_to_date(project, plain_files, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    RUN.save(project.run_folder("sweep/a"))
    replace(RUN, run="b", status="failed", failure={"message": "no"}).save(project.run_folder("b"))
    assert export_runs([], to=plain_files, project=project) == ["b", "sweep/a"]
    found = runs_in(plain_files)
    assert sorted(found) == ["b", "sweep/a"]
    assert (found["b"].info.status, found["sweep/a"].info.status) == ("FAILED", "FINISHED")
    one = found["sweep/a"]
    assert one.data.params == {"EPOCHS": "5", "HIDDEN_DIMS": "[128, 64]", "01.SEED": "3"}
    assert one.data.metrics == {
        "03.item KNN.ndcg_at_10": 0.3,
        "03.item KNN.ndcg_at_10.se": 0.01,
        "seconds": 30.0,
        "peak_memory_mb": 512.0,
    }
    assert one.info.end_time - one.info.start_time == 30_000
    assert one.data.tags["mlflow.source.git.commit"] == "abc"

    assert export_runs(["sweep"], to=plain_files, project=project) == ["sweep/a"]
    assert runs_in(plain_files)["sweep/a"].info.run_id == one.info.run_id, "the same one"
    replace(RUN, parameters={"EPOCHS": 9}).save(project.run_folder("sweep/a"))
    assert export_runs(["sweep"], to=plain_files, project=project) == ["sweep/a"]
    found = runs_in(plain_files)
    assert sorted(found) == ["b", "sweep/a"], "no duplicate"
    assert found["sweep/a"].data.params["EPOCHS"] == "9"


def test_an_export_that_was_cut_off_is_made_whole(project, plain_files, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    replace(RUN, run="cut").save(project.run_folder("cut"))
    with monkeypatch.context() as patch:
        patch.setattr("recsys_lib.pipeline.runs._numbers", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            export_runs(["cut"], to=plain_files, project=project)
    assert export_runs(["cut"], to=plain_files, project=project) == ["cut"]
    assert runs_in(plain_files)["cut"].info.status == "FINISHED"


def test_the_default_store_is_one_file_among_the_runs(project, write, monkeypatch, capsys):
    write("01_make")
    monkeypatch.chdir(project.root)
    RUN.save(project.run_folder("sweep/a"))
    assert main(["runs", "export", "sweep", "--mlflow"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("sweep/a\nStore: sqlite:///")
    assert said.err == ""
    assert list(runs_in(local_store(project))) == ["sweep/a"]
    assert {path.name for path in project.root.iterdir()} == {"notebooks", "runs"}


def test_a_store_that_cannot_be_used_is_named(project, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    RUN.save(project.run_folder("sweep/a"))
    (tmp_path / "taken").write_text("")
    for store in ((tmp_path / "taken").as_uri(), "http://127.0.0.1:9"):
        with pytest.raises(ConfigError, match=f"The MLflow store {store} must take the runs; "):
            export_runs([], to=store, project=project)
