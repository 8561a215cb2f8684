"""Throw-away projects: small notebooks in a temporary folder, run for real."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from recsys_lib.pipeline import Project
from recsys_lib.pipeline.chain import load_steps, resolve, select
from recsys_lib.pipeline.runner import RunResult, run_chain

PARAMETERS = 'RUN = "lab"  # name of the run\nSEED = 0  # seed of every random stream'
START = "from recsys_lib import notebook\nsession = notebook.start({name!r}, globals())"

WriteNotebook = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "notebooks").mkdir()
    return Project(tmp_path)


@pytest.fixture
def write(project: Project) -> WriteNotebook:
    """Write a notebook of the given cells below the parameters and the start of the session."""

    def write_notebook(name: str, *cells: str, parameters: str = PARAMETERS) -> Path:
        first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}, id="p")
        sources = [START.format(name=name), *cells]
        code = [nbformat.v4.new_code_cell(text, id=f"c{i}") for i, text in enumerate(sources)]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        node = nbformat.v4.new_notebook(cells=[first, *code], metadata={"kernelspec": kernel})
        path = project.notebooks / f"{name}.ipynb"
        nbformat.write(node, path)
        return path

    return write_notebook


class Quiet:
    """Progress that nobody hears."""

    def begin(self, name: str, cells: int) -> None: ...

    def cell(self, done: int) -> None: ...

    def end(self, outcome: object) -> None: ...


@pytest.fixture
def run(project: Project, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunResult]:
    """Run the project's chain, `parameters` by keyword."""
    # Who edits the library while the tests run shall not move them.
    monkeypatch.setattr("recsys_lib.pipeline.store.Library.fingerprint", lambda *_: "the library")

    def run_it(
        name: str = "default",
        *,
        only: str | None = None,
        force: bool = False,
        timeout: float = 60,
        **parameters: object,
    ) -> RunResult:
        steps = select(load_steps(project), only=only)
        values = resolve(steps, values=parameters)
        return run_chain(project, steps, values, Quiet(), name=name, force=force, timeout=timeout)

    return run_it
