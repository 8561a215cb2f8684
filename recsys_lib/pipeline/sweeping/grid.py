"""A grid file becomes settings; whatever is wrong in it is told before anything runs."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys_lib.errors import ConfigError
from recsys_lib.pipeline.chain import Step, resolve
from recsys_lib.pipeline.project import did_you_mean
from recsys_lib.pipeline.sweeping.axes import MOST, Axis, cases_of_sources, cases_of_zip, values_of
from recsys_lib.pipeline.sweeping.labels import setting_names
from recsys_lib.pipeline.yaml_files import read_mapping

__all__ = ["Grid", "Setting", "parse_grid", "read_grid", "settings_of"]

_KEYWORDS = ("only", "sources", "zip")


@dataclass(frozen=True)
class Setting:
    """One run of a sweep.

    Attributes
    ----------
    name : str
        Of its folder in that of the sweep.
    parameters : dict
        All overrides, in the types that the notebooks declare; paths are absolute.
    varied : dict
        Those that the grid varies, as it gives them; ``source`` is the label of the source.
    """

    name: str
    parameters: dict[str, Any]
    varied: dict[str, Any]


@dataclass(frozen=True)
class Grid:
    """What a grid file says.

    Attributes
    ----------
    origin : str
        The file, for messages.
    content : dict
        As it was read.
    fixed : dict
        What is the same in all settings.
    axes : dict of str to list of dict
        Where it stands in the file -> the cases, each what it sets.
    only : str, optional
        Which notebooks run.
    """

    origin: str
    content: dict[str, Any]
    fixed: dict[str, Any]
    axes: dict[str, Axis]
    only: str | None


def read_grid(path: Path) -> Grid:
    """Read a grid file.

    Raises
    ------
    ConfigError
        If it cannot be read, or its form is wrong; the values are seen to by `settings_of`.
    """
    return parse_grid(read_mapping(path, "grid"), str(path))


def parse_grid(content: Mapping[str, Any], origin: str = "The grid") -> Grid:
    """Return the grid that a mapping describes.

    Parameters
    ----------
    content : mapping
        Parameters in capitals: a list or a range (``from, to, steps, scale``) varies, anything
        else is fixed. ``zip`` holds one mapping, or a list of them, of lists that vary together;
        ``sources`` a mapping of labels to parameters; ``only`` the notebooks.
    origin : str
        Where it comes from, for messages.

    Raises
    ------
    ConfigError
        If a key is unknown, a range or zip is not right, or a parameter is set twice.

    Examples
    --------
    >>> parse_grid({"EPOCHS": [10, 20], "SEED": 0}).axes
    {'EPOCHS': [{'EPOCHS': 10}, {'EPOCHS': 20}]}
    """
    fixed, axes = {}, {}
    with told_of(origin):
        for key in content:
            if key.upper() != key and key not in _KEYWORDS:
                near = did_you_mean(key, (*_KEYWORDS, key.upper()))
                raise ConfigError(
                    f"The key {key!r} must be a parameter in capitals, or one of "
                    f"{', '.join(_KEYWORDS)}.{near}"
                )
        # Sources come first: they change most, so the settings of one stand together.
        if "sources" in content:
            axes["sources"] = cases_of_sources(content["sources"])
        axes |= _zips(content.get("zip", []))
        for name, given in content.items():
            if name in _KEYWORDS:
                continue
            if isinstance(given, list | Mapping):
                axes[name] = [{name: value} for value in values_of(name, given)]
            else:
                fixed[name] = given
        _check_once(fixed, axes)
        only = _only(content.get("only"))
    # For sweep.json, in which keys are text.
    plain = json.loads(json.dumps(dict(content), default=str))
    return Grid(origin, plain, fixed, axes, only)


def _zips(given: Any) -> dict[str, Axis]:
    zips = given if isinstance(given, list) else [given]
    names = ["zip"] if len(zips) == 1 else [f"zip {i}" for i in range(1, len(zips) + 1)]
    return {name: cases_of_zip(one) for name, one in zip(names, zips, strict=True)}


def _only(given: Any) -> str | None:
    # YAML takes 03 for a number, and a list is a natural way to say several.
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        return f"{given:02d}"
    if isinstance(given, list):
        return ",".join(_only(one) or "" for one in given)
    raise ConfigError(f"`only` must name notebooks by number, like 01-03; got {given!r}.")


def _check_once(fixed: Mapping[str, Any], axes: Mapping[str, Axis]) -> None:
    places: dict[str, str] = dict.fromkeys(fixed, "by itself")
    for place, axis in axes.items():
        for name in {name for case in axis for name in case if name}:
            if name in places:
                other = places[name]
                raise ConfigError(
                    f"{name} must be set in one place; it is set {other} and in {place}. "
                    "Take one of them out."
                )
            places[name] = "by itself" if place == name else f"in {place}"


@contextmanager
def told_of(origin: str) -> Iterator[None]:
    """Put the name of the grid before the message of an error in it."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from error


def settings_of(
    grid: Grid, steps: Sequence[Step], *, folder: Path | None = None
) -> tuple[Setting, ...]:
    """Return every combination of the grid's axes as a setting.

    Parameters
    ----------
    grid : Grid
    steps : sequence of Step
        The notebooks that will run.
    folder : Path, optional
        Where relative paths begin; the working directory by default.

    Raises
    ------
    ConfigError
        If a parameter is declared by none of the notebooks, a value is of another type than the
        literal there, a path leads nowhere, or there are too many settings.
    """
    with told_of(grid.origin):
        count = math.prod(len(axis) for axis in grid.axes.values())
        if count > MOST:
            raise ConfigError(
                f"A grid must have {MOST:,} settings at most; this one has {count:,}. "
                "Vary fewer parameters at once, or search with Optuna (notebook 11)."
            )
        fixed = _resolved(grid.fixed, steps, folder)
        axes = [
            [(case, _resolved(case, steps, folder)) for case in axis] for axis in grid.axes.values()
        ]
        combinations = list(itertools.product(*axes))
        varied = [_together(_told(case) for case, _ in one) for one in combinations]
        names = setting_names(varied)
        return tuple(
            Setting(name, fixed | _together(set_ for _, set_ in one), _shown(its))
            for name, its, one in zip(names, varied, combinations, strict=True)
        )


def _told(case: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what tells a case from the others of its axis: of a source, its label."""
    return {"": case[""]} if "" in case else case


def _together(parts: Any) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}


def _shown(varied: Mapping[str, Any]) -> dict[str, Any]:
    return {name or "source": value for name, value in varied.items()}


def _resolved(
    values: Mapping[str, Any], steps: Sequence[Step], folder: Path | None
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if not name:
            continue
        try:
            found |= resolve(steps, values={name: value}, folder=folder)
        except ConfigError as error:
            raise ConfigError(f"{error}{_list_hint(name, value, steps)}") from error
    return found


def _list_hint(name: str, value: Any, steps: Sequence[Step]) -> str:
    defaults = [step.parameters[name].default for step in steps if name in step.parameters]
    if not any(isinstance(one, list | tuple) for one in defaults) or isinstance(value, list):
        return ""
    return " Values that are lists stand in a list of lists: [[128, 64]]."
