"""What Tab lists: all that is public, and nothing else; what `import *` and `help` give."""

import importlib
import inspect

import jedi
import numpy as np
import pytest
from scipy import sparse

import recsys_lib
from recsys_lib.models import MODELS, model_class

PACKAGES = sorted(recsys_lib._PACKAGES)
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
    assert completed(package) == public | (set(PACKAGES) if name == "recsys_lib" else set())
    strange = [one for one in public if inspect.ismodule(getattr(package, one))]
    assert set(strange) <= {"notebook", "keras", "ops"}


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
