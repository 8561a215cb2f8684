"""Throw-away projects: small notebooks in a temporary folder, run for real."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from recsys_lib.pipeline import Project

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
