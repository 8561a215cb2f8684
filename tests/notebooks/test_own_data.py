"""Notebooks on a small table of one's own run to the end, without a word on worlds."""

import contextlib
import re
import sqlite3
from pathlib import Path
from shutil import copytree

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

from recsys_lib import EASE, Bundle, Dataset, notebook
from recsys_lib.artifacts import read_json
from recsys_lib.pipeline import Project
from recsys_lib.pipeline.chain import declared
from recsys_lib.splitting import strong_generalization

COMMITTED = Project.find(Path(__file__)).notebooks


def few_likes() -> Dataset:
    """25 people with three to seven of twelve items; no ratings, times, titles or profiles."""
    rng = np.random.default_rng(0)
    rows = [(u, i) for u in range(25) for i in rng.choice(12, rng.integers(3, 8), replace=False)]
    return Dataset.from_frame(pd.DataFrame(rows, columns=["user_id", "item_id"]), value=None)


def three_items() -> Dataset:
    """30 people with two or three of three items."""
    rows = [(u, i) for u in range(30) for i in range(3) if u % 4 != i + 1]
    return Dataset.from_frame(pd.DataFrame(rows, columns=["user_id", "item_id"]), value=None)


def everything() -> Dataset:
    """30 people with each of eight items."""
    rows = [(u, i) for u in range(30) for i in range(8)]
    return Dataset.from_frame(pd.DataFrame(rows, columns=["user_id", "item_id"]), value=None)


@pytest.fixture
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Project:
    """The committed notebooks, of which the first has run on these likes, by default few."""
    likes = getattr(request, "param", few_likes)()
    copytree(COMMITTED, tmp_path / "notebooks")
    project = Project(tmp_path)
    name = "01_synthesize_data"
    known = declared(read_json(project.notebooks / f"{name}.ipynb"), name)
    values = {key: parameter.default for key, parameter in known.items()}
    values["RUN"] = "mine"
    values["SOURCE"] = "likes.csv"  # so that no number is held against the pins of the world
    notebook.start(name, values, project=project).save("dataset", likes)
    values = {"RUN": "mine", "SEED": 0, "USER_GROUP": "", "ITEM_GROUP": ""}
    split = strong_generalization(likes, seed=0)
    notebook.start("02_explore_data", values, project=project).save("ranking_split", split)
    values |= {"USER": "", "LIKE_FROM": None, "K": 3}  # again no number of the world
    bundle = Bundle(model=EASE().fit(likes.user_items), dataset=likes)
    notebook.start("05_recommend", values, project=project).save("bundle", bundle)
    return project


def shown_by(project: Project, name: str, parameters: str) -> str:
    """Run a notebook; return its sentences, its tables and what its figures tell."""
    book = nbformat.read(project.notebooks / f"{name}.ipynb", as_version=4)
    tagged = [cell for cell in book.cells if "parameters" in cell.metadata.get("tags", [])]
    tagged[0].source += f"\nRUN = 'mine'\n{parameters}"
    resources = {"metadata": {"path": str(project.notebooks)}}
    NotebookClient(book, timeout=300, resources=resources).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    texts = [output.get("metadata", {}).get("image/png", {}).get("alt") for output in outputs]
    for kind in ("text/markdown", "text/plain"):
        texts += [output.get("data", {}).get(kind) for output in outputs]
    return " ".join(map(str, texts))


@pytest.mark.slow
def test_nothing_untrue_is_said_of_likes_of_one_day_without_groups(project: Project) -> None:
    likes = few_likes().to_frame()[["user_id", "item_id"]].assign(timestamp="2024-03-05")
    likes.to_csv(project.root / "likes.csv", index=False)
    said = shown_by(project, "01_synthesize_data", "SOURCE = 'likes.csv'")
    assert "first by id" in said
    said += shown_by(project, "02_explore_data", "")
    said += shown_by(project, "03_train_autoencoder", "EPOCHS = 2")
    assert not re.search(r"\b(latest|nan|100% would)\b", said)


@pytest.mark.slow
@pytest.mark.parametrize("project", [everything], indirect=True)
def test_nothing_is_said_of_what_is_missing_where_nothing_is(project: Project) -> None:
    said = shown_by(project, "02_explore_data", "")
    said += shown_by(project, "03_train_autoencoder", "EPOCHS = 1")
    said += shown_by(project, "05_recommend", "")
    assert not re.search(r"other \*\*0\.0%|the top\s0", said)
    assert "no pair is missing" in said
    assert "8 of 8 items; none is left to list" in said


@pytest.mark.slow
def test_a_table_in_a_database_is_looked_over_as_a_file_is(project: Project) -> None:
    likes = few_likes().to_frame()[["user_id", "item_id"]]
    with contextlib.closing(sqlite3.connect(project.root / "shop.db")) as database:
        likes.to_sql("likes", database, index=False)
    source = "SOURCE = 'sqlite:///shop.db'\nREADING = {'table': 'likes'}"
    said = shown_by(project, "10_bring_your_own_data", source)
    assert "Nothing is wrong with" in said
    assert "is a file" not in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("06_variational_autoencoders", "PASSES = 2"),
        ("09_start_cold", ""),
        ("11_tune_models", "PASSES = 2"),
        ("12_compare_runs", "SIZES = (2, 4, 30)"),
        ("13_browse_recommendations", ""),
    ],
)
def test_a_few_likes_without_anything_else_go_through(
    project: Project, name: str, parameters: str
) -> None:
    said = shown_by(project, name, parameters)
    assert not re.search(r"\b(oracle|omniscient|nan|labs?)\b|-0(\.0)?%", said)


@pytest.mark.slow
@pytest.mark.parametrize("project", [three_items], indirect=True)
def test_a_catalog_of_three_items_is_searched(project: Project) -> None:
    assert "latent_dim" in shown_by(project, "11_tune_models", "PASSES = 1\nTRIALS = 2")
