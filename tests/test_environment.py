"""One source of truth: environment.yml and requirements.lock hold what pyproject.toml asks for."""

import re
import tomllib
from pathlib import Path

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
    for requirement in asked("dev"):
        version = PINNED.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is not in requirements.lock"
        assert requirement.specifier.contains(version), f"{requirement} but {version} is pinned"


def test_the_lock_holds_exact_versions_and_no_address() -> None:
    for line in LOCK:
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!-]+", line), (
            line
        )


def test_conda_makes_the_environment_that_make_makes() -> None:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    plain = [one for one in listed["dependencies"] if isinstance(one, str)]
    pip = next(one["pip"] for one in listed["dependencies"] if isinstance(one, dict))
    python = next(one for one in plain if one.startswith("python="))
    lowest = PROJECT["requires-python"].removeprefix(">=")
    assert tuple(map(int, python.split("=")[1].split("."))) >= tuple(map(int, lowest.split(".")))
    assert "pip" in plain
    assert pip == ["-r requirements.lock", "-e ."]
