"""Runs are removed with what they wrote, and with nothing else."""

import os

import pytest

from recsys_lib.cli import main
from recsys_lib.errors import ArtifactError
from recsys_lib.pipeline import record_run
from recsys_lib.pipeline.runs import find_runs, freed_bytes, remove_runs

MAKE = 'session.save("table", {"seed": SEED}); (session.project.root / "outside").write_text("x")'


@pytest.fixture
def here(project, write, run, monkeypatch):
    write("01_make", MAKE)
    run("sweep/a")
    run("sweep/b", SEED=1)
    (project.run_folder("sweep/a").parent / "sweep.json").write_text("{}")
    monkeypatch.chdir(project.root)
    return project


def test_without_yes_nothing_is_removed_and_the_size_is_said(here, capsys):
    before = sorted(here.root.rglob("*"))
    assert main(["runs", "prune", "sweep", "--where", "SEED == 0"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["sweep/a", "1"]
    assert said[-1].endswith("Nothing is removed without --yes.")
    assert sorted(here.root.rglob("*")) == before
    assert main(["runs", "prune", "--yes"]) == 2
    assert "The runs to remove must be chosen" in capsys.readouterr().err
    assert sorted(here.root.rglob("*")) == before


def test_what_no_run_wrote_stays(here, capsys):
    folder = here.run_folder("sweep/a")
    (folder / "notes.txt").write_text("mine")
    (folder / "artifacts" / "own.csv").write_text("mine")
    (here.root / "runs" / "other").mkdir()
    (here.root / "runs" / "other" / "file").write_text("mine")
    assert main(["runs", "prune", "sweep/a", "--yes"]) == 0
    said = capsys.readouterr().out
    assert "Kept, as no run wrote it: runs/sweep/a/notes.txt" in said
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert left == {"notes.txt", "artifacts", "artifacts/own.csv"}
    assert {path.name for path in (here.root / "runs").iterdir()} >= {"other", "sweep"}
    assert (here.root / "outside").exists()
    assert [one.run for one in find_runs(here)] == ["sweep/b"]


def test_the_last_setting_takes_the_folder_of_its_sweep_along(here):
    assert main(["runs", "prune", "sweep", "--yes"]) == 0
    assert not (here.root / "runs" / "sweep").exists()


def test_a_link_is_never_followed(here, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    folder = here.run_folder("sweep/a")
    (folder / "artifacts").rename(elsewhere / "artifacts")
    (folder / "artifacts").symlink_to(elsewhere / "artifacts")
    assert main(["runs", "prune", "sweep/a", "--yes"]) == 0
    assert (elsewhere / "artifacts" / "table.json").exists()


def test_files_that_other_runs_share_are_not_counted(here):
    first, second = (here.artifacts(f"sweep/{name}") / "table.json" for name in "ab")
    second.unlink()
    os.link(first, second)
    both = find_runs(here, ["sweep"])
    alone = sum(freed_bytes(here, [one]) for one in both)
    assert freed_bytes(here, both) - alone == first.stat().st_size


def test_a_run_of_ones_own_goes_and_an_active_one_is_refused(here):
    with record_run("mine/a", {"SEED": 0}, project=here) as one:
        one.note(n=1)
    remove_runs(here, find_runs(here, ["mine"]))
    assert not (here.root / "runs" / "mine").exists()
    found = find_runs(here, ["sweep/a"])
    with (
        here.locked("sweep/a"),
        pytest.raises(ArtifactError, match=r"at a time.*Wait for it to end, or leave it out\.$"),
    ):
        remove_runs(here, found)
    assert find_runs(here, ["sweep/a"]) == found


def test_a_removal_that_stops_halfway_can_be_begun_again(here, monkeypatch):
    """What says which files are a run's own goes last."""
    folder, removed = here.run_folder("sweep/a"), []
    for number in range(10):
        (folder / f"2{number}_left.ipynb").write_text("{}")

    def stopping(*paths):
        for path in paths:
            if path.name == "manifest.json" or path.parent.name == "state":
                raise ArtifactError("killed")
            removed.append(path.name)
            path.unlink()

    with monkeypatch.context() as patched, pytest.raises(ArtifactError, match="killed"):
        patched.setattr("recsys_lib.pipeline.runs.remove", stopping)
        remove_runs(here, find_runs(here, ["sweep/a"]))
    assert len(removed) == 10 + len(["01_make.ipynb", "table.json"])
    assert main(["runs", "prune", "sweep/a", "--yes"]) == 0
    assert not folder.exists()


def test_damaged_manifests_are_not_told_as_no_runs(here, capsys):
    for name in "ab":
        (here.run_folder(f"sweep/{name}") / "manifest.json").write_text("{")
    assert main(["runs", "prune", "sweep"]) == 0
    said = capsys.readouterr().err
    assert said.count("must be the manifest of a run; Expecting property name") == 2
    assert said.count("Delete it and run again: finished notebooks are kept.") == 2
    assert "No run has left a manifest yet" not in said
