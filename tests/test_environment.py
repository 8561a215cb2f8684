"""One source of truth: environment.yml and requirements.lock hold what pyproject.toml asks for."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
PINNED = {
    canonicalize_name(one.name): str(one.specifier).removeprefix("==")
    for one in (Requirement(line) for line in LOCK if line and not line.startswith("#"))
}


def asked(extra: str | None) -> list[Requirement]:
    """Requirements of the package, and of an extra with those it names."""
    found = [Requirement(one) for one in PROJECT["dependencies"]]
    for one in PROJECT["optional-dependencies"].get(extra, []):
        requirement = Requirement(one)
        if requirement.name == PROJECT["name"]:
            found += [inner for name in requirement.extras for inner in asked(name)]
        else:
            found.append(requirement)
    return found


def test_the_lock_pins_every_package_at_a_version_that_the_project_admits() -> None:
    for requirement in [*asked("dev"), *asked("docs")]:
        version = PINNED.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is not in requirements.lock"
        assert requirement.specifier.contains(version), f"{requirement} but {version} is pinned"


def test_the_lock_holds_exact_versions_and_no_address() -> None:
    for line in LOCK:
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!-]+", line), (
            line
        )


def test_the_lock_pins_also_what_the_packages_bring_along() -> None:
    if metadata.version("keras") != PINNED["keras"]:
        pytest.skip("other versions than those of the lock are installed, which bring others along")
    seen: set[str] = set()
    open_ones = asked("dev")
    while open_ones:
        requirement = open_ones.pop()
        name = canonicalize_name(requirement.name)
        if name in seen:
            continue
        seen.add(name)
        assert name in PINNED, f"{name} is not in requirements.lock"
        for line in metadata.requires(requirement.name) or []:
            inner = Requirement(line)
            extras = [{"extra": extra} for extra in requirement.extras] or [{"extra": ""}]
            if inner.marker is None or any(inner.marker.evaluate(extra) for extra in extras):
                open_ones.append(inner)


def test_a_run_needs_none_of_what_only_tests_need() -> None:
    base = {canonicalize_name(one.name) for one in asked(None)}
    assert not base & {
        "nbval",
        "pytest",
        "jax",
        "ranx",
        "mlflow-skinny",
        "dask",
        "duckdb",
        "jupyterlab",
    }
    assert {canonicalize_name(one.name) for one in asked("run")} > base


def test_make_installs_the_run_first_and_the_tools_of_tests_on_top() -> None:
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    rules = dict(re.findall(r"^([^\s:#]+):(?!=) *([^#\n]*)", make, re.M))
    assert rules["run"].strip() == rules["$(LAB)"].strip() == "$(INSTALLED)"
    assert rules["lab"].strip() == "$(LAB)"
    assert rules["app"].strip() == "$(APP)"
    assert rules["test"].split()[0] == rules["lint"].strip() == "$(TOOLS)"
    assert rules["$(TOOLS)"].strip() == "$(INSTALLED)"
    assert make.count("-c $(LOCK) -e '.[$(1)]'") == 2
    assert re.search(r"^LOCK := requirements\.lock$", make, re.M)
    assert set(re.findall(r"call install,(\w+)", make)) == {"run", "lab", "app", "dev", "docs"}


def test_conda_makes_the_environment_that_make_test_makes() -> None:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    plain = [one for one in listed["dependencies"] if isinstance(one, str)]
    pip = next(one["pip"] for one in listed["dependencies"] if isinstance(one, dict))
    python = next(one for one in plain if one.startswith("python="))
    lowest = PROJECT["requires-python"].removeprefix(">=")
    assert tuple(map(int, python.split("=")[1].split("."))) >= tuple(map(int, lowest.split(".")))
    assert "pip" in plain
    assert pip == ["-c requirements.lock", "-e .[dev]"]


def test_one_version_in_the_package_the_project_and_the_citation() -> None:
    package = (ROOT / "recsys_lib" / "__init__.py").read_text(encoding="utf-8")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    latest = re.search(r"^## \[(\d[\d.]+)\] - (\S+)$", changes, re.M)
    assert latest is not None
    assert f'__version__ = "{PROJECT["version"]}"' in package
    assert (citation["version"], str(citation["date-released"])) == latest.groups()
    assert PROJECT["version"] == latest[1]
