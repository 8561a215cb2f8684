"""What Tab lists: all that is public, and nothing else; what `import *`, `help` and mypy give."""

import ast
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import jedi
import numpy as np
import pytest
from scipy import sparse

import recsys_lib
from recsys_lib.models import MODELS, model_class

ROOT = Path(recsys_lib.__file__).parent
PACKAGES = sorted(name for name in recsys_lib.__all__ if (ROOT / name / "__init__.py").exists())
PACKAGES += ["exploration", "splitting"]  # of one module each
MODULES = {"recsys_lib": {*PACKAGES, "errors", "notebook"}, "recsys_lib.pipeline": {"notebook"}}
MODULES["recsys_lib.training"] = {"keras", "ops"}
STUBS = sorted(ROOT.rglob("__init__.pyi"))
SETTINGS = {
    "Blend": {"members": ({"model": "EASE", "config": {"l2": 5.0}},)},
    "PureSVD": {"latent_dim": 2},
}
LIKES = sparse.csr_array(np.tile(np.eye(6, dtype=np.float32) + np.eye(6, k=1), (4, 1)))


def completed(value: object) -> set[str]:
    """Return what Jupyter offers behind ``value.``, without the names that it hides."""
    found = {one.name for one in jedi.Interpreter("value.", [{"value": value}]).complete()}
    return {name for name in found if not name.startswith("_")}


@pytest.mark.parametrize("name", ["recsys_lib", *(f"recsys_lib.{one}" for one in PACKAGES)])
def test_a_package_lists_what_is_public_and_nothing_else(name: str) -> None:
    package = importlib.import_module(name)
    public = {one for one in package.__all__ if not one.startswith("_")}
    assert completed(package) == public
    modules = {one for one in public if inspect.ismodule(getattr(package, one))}
    assert modules == MODULES.get(name, set())


@pytest.mark.parametrize("path", STUBS, ids=lambda path: path.parent.name)
def test_a_stub_names_what_completion_lists_and_where_it_is(path: Path) -> None:
    name = ".".join(path.parent.relative_to(ROOT.parent).parts)
    package = importlib.import_module(name)
    imports = [node for node in ast.parse(path.read_text("utf-8")).body if hasattr(node, "names")]
    stub = {alias.asname: (node.module, alias.name) for node in imports for alias in node.names}
    assert stub.keys() == set(package.__all__) == completed(package)
    for public, (module, attribute) in stub.items():
        assert public == attribute
        found = importlib.import_module(f"{name}.{module or attribute}")
        assert getattr(package, public) is (getattr(found, attribute) if module else found)


def test_the_stub_of_models_names_every_model() -> None:
    assert set(recsys_lib.models.__all__) == {*MODELS, "MODELS", "load", "model_class"}
    assert set(MODELS) <= set(recsys_lib.__all__)


def test_mypy_knows_the_types_of_lazy_names(tmp_path: Path) -> None:
    code = """
        import recsys_lib
        from recsys_lib import Autoencoder, Dataset, make_world, notebook, pipeline, training
        reveal_type(Autoencoder(seed=1).fit)
        reveal_type(Autoencoder)
        reveal_type(make_world(n_users=9).dataset().implicit(4.0).user_ids)
        reveal_type(notebook.start)
        reveal_type(pipeline.Project)
        reveal_type(training.Trainer)
        recsys_lib.NoSuchName
    """
    asked = tmp_path / "asked.py"
    asked.write_text(inspect.cleandoc(code), encoding="utf-8")
    config = ROOT.parent / "pyproject.toml"
    cache = os.environ.get("MYPY_CACHE_DIR", str(ROOT.parent / ".mypy_cache"))
    command = [sys.executable, "-m", "mypy", "--config-file", str(config), "--cache-dir", cache]
    done = subprocess.run([*command, str(asked)], capture_output=True, text=True, cwd=ROOT.parent)
    shown = done.stdout
    for part in (
        "recsys_lib.models.autoencoder.Autoencoder",
        "recsys_lib.pipeline.project.Project",
        "recsys_lib.training.trainer.Trainer",
        "recsys_lib.pipeline.notebook.Session",
        'Module has no attribute "NoSuchName"',
    ):
        assert part in shown, shown + done.stderr


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_model_completes_as_a_class_and_fitted_or_not(name: str) -> None:
    kind = model_class(name)
    model = kind(**SETTINGS.get(name, {}))
    wanted = {"config", "fit", "predicts", "recommend", "save", "score", *model.config()}
    assert wanted <= completed(kind)
    assert wanted <= completed(model)
    if not hasattr(model, "epochs"):  # networks: the attributes they learn are declared
        model.fit(LIKES)
        assert wanted | {"n_items_"} <= completed(model)


def test_star_import_gives_the_documented_names() -> None:
    names: dict[str, object] = {}
    exec("from recsys_lib import *", names)
    assert {"EASE", "MultVAE", "compare", "evaluate", "load_dataset", "notebook"} <= names.keys()
    assert names.keys() - {"__builtins__"} == set(recsys_lib.__all__)


def test_help_begins_with_six_lines_to_try() -> None:
    """They run as a doctest of the package."""
    shown = inspect.getdoc(recsys_lib)
    assert sum(line.startswith(">>>") for line in shown.splitlines()) == 6
