"""The start page of JupyterLab: what is done and what is stale; saving leaves git clean."""

import sys

import nbformat
import pytest

from recsys_lib.errors import ConfigError
from recsys_lib.pipeline.lab import (
    METADATA,
    WIDGET,
    _before_save,
    launch,
    overview,
    write_start_page,
)


def states(project):
    rows = [line for line in overview("lab", project).data.splitlines() if ".ipynb" in line]
    return [row.rsplit("|", 2)[1].strip() for row in rows]


@pytest.fixture
def chain(write):
    write("01_make", 'session.save("table", {"seed": SEED})')
    write("02_use", 'session.save("copy", {"of": str(session.read("table").read_text())})')
    write("03_end", 'session.read("copy")')


def test_each_notebook_is_not_run_done_or_stale(project, chain, run):
    assert states(project) == ["not run yet"] * 3
    run("lab")
    assert [one.partition(",")[0] for one in states(project)] == ["done"] * 3
    run("lab", only="01", SEED=1)
    first, second, third = states(project)
    assert first.startswith("done")
    assert second == "**stale**: `table` changed; run it again"
    assert third == "**stale**: `copy` changed; run it again"


def test_a_notebook_that_stopped_on_its_way_is_not_finished(project, write, run):
    write("01_make", "1 / 0", 'session.save("table", {})')
    run("lab")
    assert states(project) == ["not finished"]


def test_the_start_page_stands_where_git_does_not_look(project, chain):
    path = write_start_page(project)
    assert path.relative_to(project.root).parts[0] == "runs"
    node = nbformat.read(path, as_version=4)
    assert "not run yet" in node.cells[1].outputs[0].data["text/markdown"]


def test_a_saved_notebook_has_the_committed_metadata_and_no_controls():
    kept = {"output_type": "display_data", "data": {"text/html": "<table>"}}
    dead = {"output_type": "display_data", "data": {WIDGET: {"model_id": "1"}}}
    cells = [{"cell_type": "code", "outputs": [dead, kept]}, {"cell_type": "markdown"}]
    kernel = {"name": "python3", "display_name": "mine"}
    metadata = {"kernelspec": kernel, "language_info": {"version": "3.99"}, "widgets": {}}
    model = {"type": "notebook", "content": {"metadata": metadata, "cells": cells}}
    _before_save(model, path="x.ipynb")
    assert cells[0]["outputs"] == [kept]
    assert model["content"]["metadata"] == METADATA
    _before_save({"type": "file", "content": "text"}, path="x.txt")


def test_without_jupyterlab_the_extra_is_named(project, chain, monkeypatch):
    monkeypatch.setitem(sys.modules, "jupyterlab.labapp", None)
    with pytest.raises(ConfigError, match=r"pip install 'recsys-lib\[lab\]'"):
        launch(project)
