"""A grid file becomes settings with names; whatever is wrong is told before anything runs."""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import Any

import numpy as np

from recsys_lib.artifacts import digest_of
from recsys_lib.errors import ConfigError
from recsys_lib.pipeline.chain import Step, check_paths, resolve

_KEYWORDS = ("only", "sources", "zip")
_MOST = 10_000  # settings of a grid, and steps of a range
_RANGE = {"from", "to", "steps", "scale"}
_LONGEST = 60  # letters of a name; file systems take 255, tables and terminals do not
_VALUE = 24

# One axis: its cases, each what it sets. The key "source" is the label of a source.
Axis = list[dict[str, Any]]


@dataclass
class Setting:
    """One run of a sweep, and how it stands.

    Attributes
    ----------
    name : str
        Of its folder in that of the sweep.
    parameters : dict
        All overrides, in the types that the notebooks declare; paths are absolute.
    varied : dict
        Those that the grid varies, as it gives them; ``source`` is the label of the source.
    status : {"waiting", "running", "done", "failed", "interrupted"}
    message : str
        Why it failed.
    attempts : int
        How often it was given to a worker in this start of the sweep.
    ran : int
        Notebooks that were run, and neither skipped nor taken over.
    seconds : float
        Of all its notebooks, also of those that were skipped or taken over.
    peak_memory : int
        Bytes of its largest kernel.
    begun : float
        When it was given to a worker, by the monotonic clock.
    """

    name: str
    parameters: dict[str, Any]
    varied: dict[str, Any]
    status: str = "waiting"
    message: str = ""
    attempts: int = 0
    ran: int = 0
    seconds: float = 0.0
    peak_memory: int = 0
    begun: float = 0.0


def axes_of(grid: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Axis]]:
    """Return what a grid fixes, and what varies: where it stands there, with its cases.

    Parameters
    ----------
    grid : mapping
        Parameters in capitals: a list or a range (``from, to, steps, scale``) varies, anything
        else is fixed, also a mapping of other words. ``zip`` holds a mapping of lists that vary
        together; ``sources`` a mapping of labels to parameters; ``only`` the notebooks.

    Raises
    ------
    ConfigError
        If a range, zip or source is not right, or a parameter is set twice.

    Examples
    --------
    >>> axes_of({"EPOCHS": [10, 20], "SEED": 0})
    ({'SEED': 0}, {'EPOCHS': [{'EPOCHS': 10}, {'EPOCHS': 20}]})
    """
    fixed, axes = dict[str, Any](), dict[str, Axis]()
    # Sources come first: they change most, so the settings of one stand together.
    if "sources" in grid:
        axes["sources"] = _cases_of_sources(grid["sources"])
    if "zip" in grid:
        axes["zip"] = _cases_of_zip(grid["zip"])
    for name, given in grid.items():
        if name in _KEYWORDS:
            continue
        # A mapping without a word of a range is a value, such as of READING.
        if isinstance(given, list) or (isinstance(given, Mapping) and given.keys() & _RANGE):
            axes[name] = [{name: value} for value in _values_of(name, given)]
        else:
            fixed[name] = given
    _check_once(fixed, axes)
    return fixed, axes


def _check_once(fixed: Mapping[str, Any], axes: Mapping[str, Axis]) -> None:
    seen = set(fixed)
    for key, axis in axes.items():
        names = {name for case in axis for name in case}
        if twice := names & seen:
            raise ConfigError(
                f"{min(twice)} must be set in one place; {key} sets it again. Take one out."
            )
        seen |= names


def settings_of(grid: Mapping[str, Any], steps: Sequence[Step]) -> tuple[Setting, ...]:
    """Return every combination of the grid's axes as a setting.

    Parameters
    ----------
    grid : mapping
        As of `axes_of`.
    steps : sequence of Step
        The notebooks that will run.

    Raises
    ------
    ConfigError
        If the grid is not right, a parameter is declared by none of the notebooks, a value is of
        another type than the literal there, a path leads nowhere, or two settings would have one
        folder.
    """
    settings, folders = [], set[str]()
    fixed, axes = axes_of(grid)
    if (count := math.prod(map(len, axes.values()))) > _MOST:  # it would be planned for hours
        raise ConfigError(
            f"A grid must have {_MOST:,} settings at most; this one has {count:,}. Vary fewer "
            "parameters at once."
        )
    for cases in itertools.product(*axes.values()):
        given = {name: value for case in cases for name, value in case.items()}
        # A source is told by its label, whatever it sets.
        hidden = {name for case in cases if "source" in case for name in case} - {"source"}
        varied = {name: value for name, value in given.items() if name not in hidden}
        given.pop("source", None)
        values = resolve(steps, values=fixed | given)
        check_paths(steps, values)
        name = _name(varied)
        if name.lower() in folders:  # to Windows and macOS, case makes no difference
            raise ConfigError(
                f"Settings must differ in more than case; {name} is there twice. Take one out."
            )
        folders.add(name.lower())
        settings.append(Setting(name, values, varied))
    return tuple(settings)


def _cases_of_zip(given: Any) -> Axis:
    """Return the cases of parameters that vary together.

    Raises
    ------
    ConfigError
        If it is no mapping of parameters to lists of one length.

    Examples
    --------
    >>> _cases_of_zip({"EPOCHS": [10, 20], "BATCH_SIZE": [32, 64]})
    [{'EPOCHS': 10, 'BATCH_SIZE': 32}, {'EPOCHS': 20, 'BATCH_SIZE': 64}]
    """
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"`zip` must be a mapping of parameters to lists; got {given!r}.")
    columns = {key: _values_of(key, values) for key, values in given.items()}
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{key} {length}" for key, length in lengths.items())
        raise ConfigError(f"Lists in `zip` must be of one length; got {said}.")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _values_of(name: str, given: Any) -> list[Any]:
    if isinstance(given, Mapping):
        return _range(name, given)
    if not isinstance(given, list) or not given:
        raise ConfigError(f"{name} must have a list of values, or a range; got {given!r}. Fill it.")
    return given


def _range(name: str, given: Mapping[str, Any]) -> list[Any]:
    steps: Any = given.get("steps")
    scale = given.get("scale", "linear")
    log, countable = scale == "log", type(steps) is int and 2 <= steps <= _MOST
    ends: list[Any] = [given.get("from"), given.get("to")]
    numbers = [float(one) for one in ends if _is_number(one) and (one > 0 or not log)]
    known = given.keys() <= _RANGE and scale in ("linear", "log")
    if len(numbers) < 2 or not countable or not known:
        raise ConfigError(
            f"The range of {name} must be {{from: NUMBER, to: NUMBER, steps: 2 to {_MOST:,}}}, and "
            f"above 0 with `scale: log`; got {dict(given)}. Write it like that."
        )
    space = np.geomspace if log else np.linspace
    whole = all(isinstance(one, int) for one in ends)
    # Four digits are as fine as anybody varies a parameter, and can be read in a name.
    inner = space(numbers[0], numbers[1], steps)[1:-1]
    between = [round(float(one)) if whole else float(f"{one:.4g}") for one in inner]
    values = [ends[0], *between, ends[1]]
    return list(dict.fromkeys(values)) if whole else values


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _cases_of_sources(given: Any) -> Axis:
    """Return one case for each source of data, with its label under the key ``"source"``.

    Raises
    ------
    ConfigError
        If it is no mapping of labels to mappings of parameters.

    Examples
    --------
    >>> _cases_of_sources({"world": {}, "films": {"SOURCE": "ratings.csv"}})
    [{'source': 'world'}, {'source': 'films', 'SOURCE': 'ratings.csv'}]
    """
    cases = given if isinstance(given, Mapping) else {}
    if not cases or not all(isinstance(one, Mapping) for one in cases.values()):
        raise ConfigError(
            f"`sources` must be a mapping of labels to mappings of parameters; got {given!r}. "
            "Write {films: {SOURCE: path}, world: {}}."
        )
    return [{"source": str(label), **one} for label, one in cases.items()]


def _label(value: Any) -> str:
    """Return a value as part of a folder's name; what had to be left out becomes four digits.

    Examples
    --------
    >>> [_label(one) for one in (0.001, (128, 64), True, "films")]
    ['0.001', '128x64', 'true', 'films']
    >>> _label("/data/ratings 2026.csv")
    'ratings-2026-a9e5'
    """
    if isinstance(value, list | tuple):
        plain = "x".join(map(_label, value))
    elif isinstance(value, str):
        plain = PureWindowsPath(value).stem if re.search(r"[/\\]", value) else value
    else:
        plain = str(value).lower()
    short = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:_VALUE]
    if short != (value if isinstance(value, str) else plain):
        short = f"{short}-{digest_of(value, 4)}".lstrip("-")
    return short or "empty"


def _name(setting: Mapping[str, Any]) -> str:
    """Return a name for a setting from what varies in it; ``source`` is the label of a source.

    Examples
    --------
    >>> _name({"source": "films", "EPOCHS": 10})
    'films_epochs-10'
    """
    parts = [
        _label(value) if key == "source" else f"{key.lower()}-{_label(value)}"
        for key, value in setting.items()
    ]
    name = "_".join(parts) or "single"
    if len(name) > _LONGEST:
        name = f"{name[: _LONGEST - 9].rstrip('-_.')}-{digest_of(dict(setting), 8)}"
    return name
