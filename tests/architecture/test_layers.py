"""A module imports layers below its own, never a sibling, never up."""

import ast
from pathlib import Path

import pytest

import recsys_lib

ROOT = Path(recsys_lib.__file__).parent

LAYERS = [
    {"_system", "errors", "seeding"},
    {
        "artifacts",
        "checks",
        "cleaning",
        "formatting",
        "naming",
        "progress",
        "ranking",
        "renamed",
        "tables",
        "times",
        "yaml_files",
    },
    {"dataset"},
    {"sources", "synthesis", "splitting", "training", "exploration"},
    {"models", "coldstart", "evaluation"},
    {"tuning", "bundle"},
    {"plots", "pipeline", "serving", "cli", "api", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
# Inside a layer order matters where one module is the other's foundation.
SAME_LAYER = {
    ("tables", "checks"),
    ("times", "tables"),
    ("times", "checks"),
    ("cleaning", "tables"),
    ("cleaning", "times"),
    ("ranking", "checks"),
    ("ranking", "seeding"),
    ("ranking", "formatting"),
    ("coldstart", "models"),
    ("cli", "pipeline"),
    ("cli", "serving"),
    ("__main__", "cli"),
    ("pipeline", "plots"),
    ("evaluation", "models"),  # floors of a table are the models of that name
}
# Of layer 3 a model may know the Keras side only: it must not read files or see the truth.
FORBIDDEN = {("models", "sources"), ("models", "synthesis"), ("models", "splitting")}


def area_of(path: Path) -> str:
    """First part of a module's name below the package: `models` for models/ease.py."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_areas(path: Path) -> set[str]:
    areas = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("recsys_lib"):
            parts = (node.module or "").split(".")
            areas |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            areas |= {parts[1] for parts in names if parts[0] == "recsys_lib" and len(parts) > 1}
    return areas & set(LEVEL)


MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_module_imports_only_layers_below_its_own(path: Path) -> None:
    area = area_of(path)
    assert area in LEVEL, f"{path.name} has no layer: add it to LAYERS"
    for other in imported_areas(path) - {area}:
        allowed = LEVEL[other] < LEVEL[area] or (area, other) in SAME_LAYER
        assert allowed, f"{area} (layer {LEVEL[area]}) imports {other} (layer {LEVEL[other]})"
        assert (area, other) not in FORBIDDEN


def test_backend_calls_stay_in_the_training_package() -> None:
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            alias.name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        } | {
            (node.module or "").split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
        }
        if names & {"tensorflow", "jax"}:
            assert area_of(path) == "training", f"{path} names a backend; use keras.ops"


def test_importing_the_library_starts_no_backend() -> None:
    import subprocess
    import sys

    code = "import sys, recsys_lib; print({'keras', 'tensorflow', 'jax'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
