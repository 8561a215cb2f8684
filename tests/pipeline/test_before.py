"""Runs that version 0.2.0 has written: listed, resumed, taken over and removed like any other."""

import shutil
from pathlib import Path

import pytest

from recsys_lib.pipeline import list_runs
from recsys_lib.pipeline.runs import find_runs, remove_runs

SAVED = Path(__file__).with_name("runs_0_2")


@pytest.fixture
def before(project, write):
    write("01_make", 'session.save("facts", {"seed": SEED})')
    write("02_use", 'session.read("facts")\nsession.note(n=SEED)')
    shutil.copytree(SAVED, project.root / "runs")
    for path in project.chain():
        shutil.copy(path, project.run_folder("sweep/seed-3"))
    return project


def test_a_run_of_before_is_listed_and_nothing_of_it_runs_again(before, run):
    table = list_runs("sweep", where="SEED == 3", project=before)
    assert table.loc["sweep/seed-3", ["status", "02.n"]].tolist() == ["done", 3.0]
    manifest = before.run_folder("sweep/seed-3") / "manifest.json"
    written = manifest.read_bytes()
    again = run("sweep/seed-3", SEED=3)
    assert [one.status for one in again.outcomes] == ["skipped", "skipped"]
    assert manifest.read_bytes() == written


def test_what_a_run_of_before_has_made_is_taken_over_and_stays_when_it_goes(before, run):
    other = run("other", SEED=3)
    assert [one.donor for one in other.outcomes] == ["sweep/seed-3", "sweep/seed-3"]
    assert remove_runs(before, find_runs(before, ["sweep"])) == []
    assert not before.run_folder("sweep/seed-3").exists()
    assert [one.status for one in run("other", SEED=3).outcomes] == ["skipped", "skipped"]
