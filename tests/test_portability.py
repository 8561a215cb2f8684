"""The library works on macOS and Windows, as far as Linux can tell: without what they lack."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import recsys_lib

from .disguise import MISSING, MODULES

DISGUISE = Path(__file__).with_name("disguise.py")
LIBRARY = Path(recsys_lib.__file__).parent

# Asked as the library, each of these fails under the disguise; asked by others, none does.
HIDDEN = """
from pathlib import Path
import contextlib, os, signal, sys
tries = {
    "darwin": ["os.sched_getaffinity", "Path('/proc/self/status').read_text()"],
    "win32": ["os.fork", "os.getuid", "os.killpg", "os.setsid", "signal.SIGKILL",
              "os.sched_getaffinity", "Path('/proc/self/status').read_text()",
              "open('/proc/self/status')", "os.stat('/proc/self')",
              "__import__('fcntl', globals())", "__import__('resource', globals())"],
}
system = os.environ["DISGUISE"]
for code in tries[system]:
    eval(code)
    with contextlib.suppress(AttributeError, ImportError, OSError):
        eval(code, {**globals(), "__name__": "recsys_lib.probe"})
        raise SystemExit(f"{code} is not hidden")
assert eval("sys.platform", {"sys": sys, "__name__": "recsys_lib.probe"}) == system
"""
IMPORTS = """
import importlib, pkgutil
import recsys_lib
names = [one.name for one in pkgutil.walk_packages(recsys_lib.__path__, "recsys_lib.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
assert len(names) > 50
"""
RESUMES = """
import numpy as np
from recsys_lib import Autoencoder, Dataset

rng = np.random.default_rng(0)
rows = Dataset.from_frame(
    __import__("pandas").DataFrame({
        "user_id": rng.integers(0, 30, 300), "item_id": rng.integers(0, 12, 300),
        "rating": rng.integers(1, 6, 300),
    }).drop_duplicates(["user_id", "item_id"]),
    value="rating",
).user_items
settings = {"hidden_dims": (8, 4), "seed": 3}
whole = Autoencoder(epochs=4, **settings).fit(rows)
Autoencoder(epochs=2, **settings).fit(rows, checkpoint="fit")
resumed = Autoencoder(epochs=4, **settings).fit(rows, checkpoint="fit")
np.testing.assert_array_equal(resumed.score(rows), whole.score(rows))
resumed.save("model")
from recsys_lib import models
np.testing.assert_array_equal(models.load("model").score(rows), whole.score(rows))
"""
MACHINE = """
from jupyterlab.labapp import LabApp
from recsys_lib.pipeline import Project, lab, machine

found = dict(machine.report())
assert int(found["cores"]) == machine.machine()["cores"] >= 1
LabApp.launch_instance = lambda options: print(*options)
lab.launch(Project.find(), browser=False)
"""


@pytest.fixture(params=["darwin", "win32"])
def disguised(request, tmp_path, monkeypatch):
    """Make processes that are started see another system; return its name."""
    shutil.copy(DISGUISE, tmp_path / "sitecustomize.py")
    paths = [str(tmp_path), str(LIBRARY.parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("DISGUISE", request.param)
    return request.param


def python(folder, *words):
    """Run Python in a folder and return what it printed."""
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write_notebook(folder, name, code):
    """Write a notebook of three cells: parameters, start of the session, and the code."""
    begin = f"session = notebook.start({name!r}, globals())"
    start = f"import json\nfrom recsys_lib import notebook\n{begin}"
    parameters = 'RUN = "lab"  # name of the run\nSEED = 0  # seed of every random stream'
    cells = [nbformat.v4.new_code_cell(text) for text in (parameters, start, code)]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    node = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    (folder / "notebooks").mkdir(exist_ok=True)
    nbformat.write(node, folder / "notebooks" / f"{name}.ipynb")


@pytest.mark.slow
def test_the_library_imports_fits_and_resumes_without_what_a_system_lacks(disguised, tmp_path):
    write_notebook(tmp_path, "01_make", "")
    said = python(tmp_path, "-c", HIDDEN + IMPORTS + RESUMES + MACHINE)
    assert "transport=ipc" not in said
    assert "--allow-root" not in said


@pytest.mark.slow
def test_a_chain_and_a_sweep_run_without_what_a_system_lacks(disguised, tmp_path):
    write_notebook(tmp_path, "01_make", 'session.save("facts", {"seed": SEED})')
    use = 'session.check(seed=json.loads(session.read("facts").read_text())["seed"])'
    write_notebook(tmp_path, "02_use", use)
    recsys = ("-m", "recsys_lib", "run", "-p", "SEED", "5")
    said = python(tmp_path, *recsys)
    assert "02_use" in said
    assert python(tmp_path, *recsys).count("unchanged") == 2
    manifest = (tmp_path / "runs/default/manifest.json").read_text(encoding="utf-8")
    assert int(re.search(r'"peak_memory": (\d+)', manifest)[1]) > 20e6
    (tmp_path / "grid.yaml").write_text("SEED: [1, 2]", encoding="utf-8")
    python(tmp_path, "-m", "recsys_lib", "sweep", "-f", "grid.yaml", "--workers", "2")
    for seed in (1, 2):
        manifest = tmp_path / f"runs/grid/seed-{seed}/manifest.json"
        assert '"status": "done"' in manifest.read_text(encoding="utf-8")


MODE = re.compile(r"[rwax][bt+]{0,2}")


def text_files_without_encoding(path: Path) -> list[str]:
    """Name the calls that open a file as text, and leave the encoding to the system."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or any(key.arg == "encoding" for key in node.keywords):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        given = [*node.args, *(key.value for key in node.keywords if key.arg == "mode")]
        texts = [one.value for one in given if isinstance(one, ast.Constant)]
        modes = [one for one in texts if isinstance(one, str) and MODE.fullmatch(one)]
        opens_text = name == "open" and (not node.args or "b" not in "".join(modes or ["b"]))
        opens_text |= name == "open" and isinstance(function, ast.Name) and not modes
        as_text = any(key.arg in ("text", "universal_newlines") for key in node.keywords)
        if name in ("read_text", "write_text") or opens_text or as_text:
            found.append(f"{path.name}:{node.lineno}")
    return found


def test_every_text_file_says_its_encoding(tmp_path):
    example = tmp_path / "example.py"
    example.write_text('p.open()\np.open("a")\nopen(p)\np.read_text()\np.open("rb")\nI.open(p)\n')
    assert [one.partition(":")[2] for one in text_files_without_encoding(example)] == list("1234")
    found = [name for path in LIBRARY.rglob("*.py") for name in text_files_without_encoding(path)]
    assert found == []


def posix_only(code: str) -> list[str]:
    """Name what Windows lacks and the code uses without asking for the system first."""
    nodes = list(ast.walk(ast.parse(code)))
    branches = [one for one in nodes if isinstance(one, ast.If | ast.IfExp)]
    behind = [one for one in branches if "sys.platform" in ast.unparse(one.test)]
    guarded = {node for branch in behind for node in ast.walk(branch)}
    found = []
    for node in nodes:
        if node in guarded:
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None) or node.names[0].name]
            found += MODULES["win32"].intersection(names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found += {node.attr} & MISSING["win32"].get(node.value.id, set())
    return found


def test_what_windows_lacks_stands_behind_a_question_for_the_system():
    assert posix_only("import fcntl\nos.fork()\nif sys.platform == 'linux': os.setsid()") == [
        "fcntl",
        "fork",
    ]
    sources = [path.read_text(encoding="utf-8") for path in LIBRARY.rglob("*.py")]
    assert [name for code in sources for name in posix_only(code)] == []
