"""`recsys tune`: on the data of a run, resumed by the same command, to a file for `run -f`."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from recsys_lib import Dataset, split_ratings
from recsys_lib.cli import main
from recsys_lib.errors import ConfigError
from recsys_lib.pipeline import Project
from recsys_lib.pipeline.chain import load_steps, resolve
from recsys_lib.splitting import strong_generalization
from recsys_lib.tuning import Space
from recsys_lib.tuning.results import NOTEBOOK_PARAMETERS, notebook_parameters
from recsys_lib.yaml_files import read_mapping

REAL = Project.find(Path(__file__))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the notebook that trains and a run that has made the splits."""
    (tmp_path / "notebooks").mkdir()
    shutil.copy(REAL.notebooks / "03_train_autoencoder.ipynb", tmp_path / "notebooks")
    rng = np.random.default_rng(0)
    rows = [
        (f"u{user}", item, float(np.clip(5 + item % 4 + rng.normal(), 1, 10)))
        for user in range(80)
        for item in rng.choice(20, 12, replace=False)
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "value"])
    dataset = Dataset.from_frame(frame, rating_scale=(1, 10))
    folder = tmp_path / "runs" / "default"
    dataset.save(folder / "artifacts" / "dataset")
    split_ratings(dataset).save(folder / "artifacts" / "ratings_split")
    strong_generalization(dataset).save(folder / "artifacts" / "ranking_split")
    (folder / "manifest.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_line_a_trial_and_the_same_command_goes_on(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "ItemKNN", "--trials", "3", "-p", "n_neighbors", "5"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "ItemKNN on ranking_split of run default: ndcg@10"
    assert [line.split()[0] for line in said[1:4]] == ["0", "1", "2"]
    assert "n_neighbors=5" in said[1]
    assert said[-2].startswith("ItemKNN(n_neighbors=")
    assert (run / "studies.sqlite").exists()
    assert main(["tune", "ItemKNN", "--trials", "5", "-p", "n_neighbors", "5"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said[1:3]] == ["3", "4"]
    assert "5 trials (5 complete) in study ItemKNN-ndcg@10" in said[-1]


def test_the_metric_says_which_split_and_which_feedback(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "ItemKNN", "--trials", "2", "--metric", "rmse"]) == 0
    said = capsys.readouterr().out
    assert "ItemKNN on ratings_split of run default: rmse" in said
    assert "damping=0.3" in said, "of explicit feedback only"


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["Autoencoder"], "Search a model of likes, such as MultDAE."),
        (["ItemKNN", "--metric", "rmse"], "Give --metric ndcg@10."),
    ],
)
def test_likes_have_no_rating_error(
    words: list[str], remedy: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(folder := run / "artifacts" / "dataset")
    frame = pd.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "y"]})
    Dataset.from_frame(frame, value=None).save(folder)
    assert main(["tune", *words]) == 2
    said = capsys.readouterr().err
    assert f"rmse must be asked of ratings; run 'default' holds likes. {remedy}" in said


def test_of_likes_an_autoencoder_learns_who_uses_what(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    likes = Dataset.load(run / "artifacts" / "dataset").likes(7)
    for name, part in {"dataset": likes, "ranking_split": strong_generalization(likes)}.items():
        shutil.rmtree(run / "artifacts" / name)
        part.save(run / "artifacts" / name)
    words = ["tune", "Autoencoder", "--metric", "ndcg@10", "--trials", "1", "-p", "epochs"]
    assert main([*words, "15"]) == 0
    by_use = float(capsys.readouterr().out.split("ndcg@10 ")[1].split()[0])
    assert main([*words, "15", "-p", "loss_on", "observed", "--study", "other"]) == 0
    said = capsys.readouterr()
    assert "must hold ratings that differ for Autoencoder, which predicts them" in said.err
    assert by_use > float(said.out.split("ndcg@10 ")[1].split()[0]) + 0.1
    # Notebook 03 would give the parameters to another model.
    assert main([*words, "15", "-o", "best.yaml"]) == 2
    assert "-o must be for ratings; on likes notebook 03 trains MultDAE" in capsys.readouterr().err


SPACE = """
model: Autoencoder
space:
  learning_rate: {low: 3e-4, high: 1e-2, log: true}
  hidden_dims: [[32], [64], [128, 64]]
  l2: {low: 1e-8, high: 1e-3, log: true}
"""


def test_the_best_autoencoder_is_a_parameter_file_of_the_chain(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("space.yaml").write_text(SPACE)
    words = ["tune", "Autoencoder", "--space", "space.yaml", "-p", "epochs", "2"]
    assert main([*words, "--trials", "3", "-o", "best.yaml"]) == 0
    said = capsys.readouterr().out
    # It begins with what the notebook is committed with, not with the defaults of the class.
    assert "0  rmse" in said
    assert "l2=1e-06" in said
    assert "recsys run -f best.yaml" in said
    best = read_mapping(Path("best.yaml"), "parameter file")
    assert best.keys() == set(NOTEBOOK_PARAMETERS["Autoencoder"].values())
    assert best["EPOCHS"] == 2
    # As `recsys run -f` reads it, with the notebooks as they are.
    resolved = resolve(load_steps(REAL), values=best)
    assert resolved["LEARNING_RATE"] == best["LEARNING_RATE"]
    assert isinstance(resolved["HIDDEN_DIMS"], tuple)


def test_the_command_for_the_best_is_that_of_the_run_whose_data_it_was_found_on(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"SOURCE": "/data/a b.csv", "DROPOUT": 0.1}
    monkeypatch.setattr("recsys_lib.pipeline.store.changes_of", lambda project, name: changes)
    shutil.copytree(run, run.parent / "mine")
    words = ["tune", "Autoencoder", "--run", "mine", "--trials", "1", "-p", "epochs", "1"]
    assert main([*words, "-o", "best.yaml"]) == 0
    said = capsys.readouterr().out
    # What is set by -p wins over the file, so what is in the file is not set again.
    assert "recsys run --name mine -p SOURCE '/data/a b.csv' -f best.yaml" in said


def test_every_setting_that_is_searched_is_a_parameter_of_its_notebook() -> None:
    declared = {name for step in load_steps(REAL) for name in step.parameters}
    for model, names in NOTEBOOK_PARAMETERS.items():
        assert Space.of(model).ranges.keys() <= names.keys()
        assert set(names.values()) <= declared


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["EAS"], "got 'EAS'. Did you mean 'EASE' or 'ALS'?"),
        (["autoencoder"], "got 'autoencoder'. Did you mean 'Autoencoder'?"),
        (["Popularity"], "there is none for Popularity"),
        (["EASE", "--run", "other"], "recsys run --name other"),
        (["EASE", "--run", "defalt"], "there is no such run. Did you mean 'default'? Make it"),
        (["EASE", "-p", "lambda", "3"], "'lambda' must be a hyper-parameter of EASE"),
        (["ItemKNN", "-p", "neighbor", "3"], "Did you mean 'n_neighbors'"),
        (["EASE", "-p", "l2", "much"], "must be of type float, like 1.0"),
        (["EASE", "--metric", "ndgc@10"], "ndgc"),
        (["EASE", "--metric", "rmse"], "must hold no rating error"),
        (["EASE", "-o", "best.yaml"], "for a model that a notebook trains"),
        (["EASE", "--trials", "0"], "`trials`"),
        (["EASE", "--space", "none.yaml"], "The space none.yaml must be readable"),
        (["EASE", "--storage", "postgresql://ann:pa55@host/db"], "must hold no password"),
    ],
)
def test_what_is_wrong_is_one_line(
    words: list[str], said: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", *words]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1
    assert "pa55" not in told


def test_a_setting_without_a_parameter_is_refused_before_the_search(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("space.yaml").write_text(f"{SPACE}  average: {{low: 0.0, high: 0.99}}\n")
    assert main(["tune", "Autoencoder", "--space", "space.yaml", "-o", "best.yaml"]) == 2
    assert "'average' is no parameter of its notebook" in capsys.readouterr().err


def test_yaml_has_no_tuples() -> None:
    parameters = notebook_parameters("Autoencoder", {"hidden_dims": (64, 32), "l2": 1e-5})
    assert yaml.safe_load(yaml.safe_dump(parameters)) == {"HIDDEN_DIMS": [64, 32], "L2": 1e-5}
    with pytest.raises(ConfigError, match="'depth' is no parameter"):
        notebook_parameters("Autoencoder", {"depth": 3})
