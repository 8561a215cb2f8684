"""The page's notebook: the tagged cells of notebook 13 for one run, which it leaves as it is."""

from pathlib import Path
from shutil import copytree

import nbformat
import pytest

from recsys_lib import cli, notebook
from recsys_lib.artifacts import read_json
from recsys_lib.pipeline import Project
from recsys_lib.pipeline.chain import declared
from recsys_lib.pipeline.lab import write_page

COMMITTED = Project.find(Path(__file__)).notebooks
NAME = "13_browse_recommendations"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    copytree(COMMITTED, tmp_path / "notebooks")
    return Project(tmp_path)


def test_each_run_has_a_page_of_the_tagged_cells(project: Project) -> None:
    paths = {run: write_page(project, run) for run in ("mine", "batch/lr-1")}
    assert len(set(paths.values())) == 2
    whole = nbformat.read(project.notebooks / f"{NAME}.ipynb", as_version=4)
    for run, path in paths.items():
        assert path.parent == project.root / "runs"  # which git ignores
        page = nbformat.read(path, as_version=4)
        code = "\n".join(cell.source for cell in page.cells)
        assert f"RUN = {run!r}" in code
        assert code.rstrip().endswith("page")
        assert "session.check" not in code
        assert all(cell.cell_type == "code" for cell in page.cells)
        assert 4 <= len(page.cells) < len(whole.cells)
        values: dict[str, object] = {}
        exec(page.cells[1].source, values)
        assert values["RUN"] == run


@pytest.mark.parametrize("served", [True, False])
def test_a_page_leaves_no_record(project: Project, monkeypatch, served: bool) -> None:
    if served:
        monkeypatch.setenv("VOILA_BASE_URL", "/")
    known = declared(read_json(project.notebooks / f"{NAME}.ipynb"), NAME)
    values = {key: one.default for key, one in known.items()} | {"RUN": "mine"}
    session = notebook.start(NAME, values, project=project)
    assert session.find("bundle") is None
    assert project.record("mine", NAME).exists() != served


def test_without_a_bundle_there_is_no_page(project: Project, monkeypatch, capsys) -> None:
    monkeypatch.chdir(project.root)
    assert cli.main(["app", "--run", "mine", "--no-browser"]) == 2
    assert "must have made `bundle`" in capsys.readouterr().err
    assert not (project.root / "runs").exists()
