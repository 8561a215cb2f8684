"""The first notebooks on tables as people bring them: whoever has data reaches a list.

Here stand the kinds that take the most paths; ``python tests/notebooks/tables.py FOLDER 01-05``
runs all of them.
"""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recsys_lib import Bundle
from recsys_lib.pipeline import Project

PROJECT = Project.find(Path(__file__))
_SPEC = importlib.util.spec_from_file_location("tables", Path(__file__).with_name("tables.py"))
tables = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tables)


@pytest.fixture
def run(tmp_path):
    """Run notebooks on a kind of table, in a project of the test's own."""
    shutil.copytree(PROJECT.notebooks, tmp_path / "notebooks")

    def run(kind, only, **parameters):
        given = tables.write_table(kind, tmp_path) | parameters
        texts = [part for name, value in given.items() for part in ("-p", name, value)]
        return subprocess.run(
            [sys.executable, "-m", "recsys_lib", "run", "--name", "t", "--only", only, *texts],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            cwd=tmp_path,
        )

    return run


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["likes", "six items"])
def test_a_table_reaches_the_end_of_the_first_notebooks(run, kind, tmp_path):
    done = run(kind, "01-05", EPOCHS="3")
    assert done.returncode == 0, done.stdout + done.stderr
    bundle = Bundle.load(tmp_path / "runs" / "t" / "artifacts" / "bundle")
    used = bundle.dataset.user_items[[0]].nnz
    top = bundle.recommend(bundle.dataset.user_ids[0])
    assert len(top) == min(10, bundle.dataset.n_items - used)
    assert top["probability"].between(0, 1).all()
    assert (bundle.dataset.rating_scale is None) == (kind == "likes")


@pytest.mark.slow
def test_a_table_without_a_second_use_stops_with_a_sentence(run):
    kind = "one rating each"
    done = run(kind, "01-02")
    assert done.returncode == 2
    assert tables.LACKING[kind] in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
