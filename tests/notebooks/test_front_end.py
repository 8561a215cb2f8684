"""All notebooks as a front end runs them, without a browser: no path exists only on screen."""

import shutil
import sys
from pathlib import Path

import nbformat
import pytest

from recsys_lib.pipeline import Project
from recsys_lib.pipeline.chain import load_steps
from recsys_lib.pipeline.lab import WIDGET
from recsys_lib.pipeline.progress import ProgressLines
from recsys_lib.pipeline.project import LAB_RUN
from recsys_lib.pipeline.runner import run_chain
from recsys_lib.pipeline.store import Conditions

ROOT = Path(__file__).parents[2]
LIMIT_S = 1200  # for one notebook
# A small share of the work: what the numbers are is the business of nbval and of the browser.
LITTLE = {
    "EPOCHS": 12,
    "PASSES": 8,
    "WARM_UP": 3,
    "RANK_EPOCHS": 8,
    "CROWDS": [300, 900],
    "HISTORIES": [10],
    "SIGNALS": [0.9],
    "SELECTIONS": [0.0, 3.0],
    "TRIES": 1,
    "TRIALS": 4,
    "REPEATS": 2,
    "N_ITEMS": 8000,
    "DENSE_TO": 1000,
}


@pytest.mark.slow
@pytest.mark.skipif(
    bool(shutil.which("chromedriver")), reason="tests/browser runs all notebooks in JupyterLab"
)
def test_every_notebook_runs_where_somebody_watches(tmp_path):
    for folder in ("notebooks", "data"):
        ignored = shutil.ignore_patterns("raw", "prepared", ".ipynb_checkpoints")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    project = Project(tmp_path)
    steps = load_steps(project)
    lines = ProgressLines(sys.stdout, [step.name for step in steps])
    watched = Conditions(environment={"JPY_SESSION_NAME": "a notebook in JupyterLab"})
    result = run_chain(
        project, steps, LITTLE, lines, name=LAB_RUN, timeout=LIMIT_S, conditions=watched
    )
    failures = [(one.name, one.failure) for one in result.outcomes if one.status != "ran"]
    assert failures == []
    shown = {
        kind
        for outcome in result.outcomes
        for cell in nbformat.read(outcome.copy, as_version=4).cells
        for output in cell.get("outputs", ())
        for kind in output.get("data", {})
    }
    assert WIDGET in shown, "no notebook has built its controls"
