"""The axes of a grid: lists, ranges, zipped parameters and sources, each a list of cases."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from recsys_lib.errors import ConfigError
from recsys_lib.pipeline.project import did_you_mean

__all__ = ["MOST", "Axis", "cases_of_sources", "cases_of_zip", "values_of"]

# One axis: its cases, each what it sets. The key "" is the label of a source.
Axis = list[dict[str, Any]]

MOST = 10_000  # settings of a grid
_RANGE = ("from", "to", "steps", "scale")


def values_of(name: str, given: Any) -> list[Any]:
    """Return the values of one parameter, from a list or a range.

    Parameters
    ----------
    name : str
        The parameter.
    given : list or mapping
        The values, or ``from, to, steps`` and, unless it is linear, ``scale: log``.

    Raises
    ------
    ConfigError
        If a key or value of the range is not right, or the list is empty or names a value twice.

    Examples
    --------
    >>> values_of("LEARNING_RATE", {"from": 0.001, "to": 0.1, "steps": 3, "scale": "log"})
    [0.001, 0.01, 0.1]
    >>> values_of("EPOCHS", {"from": 10, "to": 30, "steps": 3})
    [10, 20, 30]
    """
    values = _range(name, given) if isinstance(given, Mapping) else list(given)
    if not values:
        raise ConfigError(f"{name} must have a value; its list is empty. Leave it out or fill it.")
    seen = set()
    for value in values:
        # 1 and 1.0 are one value, True and 1 are not; lists cannot be kept in a set.
        key = (repr(value) if isinstance(value, list) else value, isinstance(value, bool))
        if key in seen:
            raise ConfigError(f"{name} must name each value once; {value!r} is there twice.")
        seen.add(key)
    return values


def _range(name: str, given: Mapping[str, Any]) -> list[Any]:
    for key in given:
        if key not in _RANGE:
            raise ConfigError(
                f"The range of {name} must have the keys {', '.join(_RANGE)}; got {key!r}."
                f"{did_you_mean(str(key), _RANGE)}"
            )
    for key in ("from", "to", "steps"):
        if key not in given:
            raise ConfigError(f"The range of {name} must say `{key}`; it is missing. Add it.")
    low, high, steps = given["from"], given["to"], given["steps"]
    for key, end in (("from", low), ("to", high)):
        if isinstance(end, bool) or not isinstance(end, int | float) or not math.isfinite(end):
            raise ConfigError(f"`{key}` of {name} must be a number; got {end!r}.")
    if isinstance(steps, bool) or not isinstance(steps, int) or not 2 <= steps <= MOST:
        raise ConfigError(
            f"`steps` of {name} must be a whole number from 2 to {MOST:,}; got {steps!r}."
        )
    return _spaced(name, low, high, steps, given.get("scale", "linear"))


def _spaced(name: str, low: float, high: float, steps: int, scale: Any) -> list[Any]:
    if scale not in ("linear", "log"):
        raise ConfigError(f"`scale` of {name} must be linear or log; got {scale!r}.")
    if scale == "log" and min(low, high) <= 0:
        raise ConfigError(
            f"A logarithmic range of {name} must lie above 0; it goes from {low} to {high}. "
            "Take `scale: linear`, or another end."
        )
    space = np.geomspace if scale == "log" else np.linspace
    inner = space(low, high, steps)[1:-1]
    whole = isinstance(low, int) and isinstance(high, int)
    # Four digits are as fine as anybody varies a parameter, and can be read in a name.
    between = [round(float(one)) if whole else float(f"{one:.4g}") for one in inner]
    values = [low, *between, high]
    return list(dict.fromkeys(values)) if whole else values


def cases_of_zip(given: Any) -> Axis:
    """Return the cases of parameters that vary together.

    Raises
    ------
    ConfigError
        If it is no mapping of names to lists of one and the same length.

    Examples
    --------
    >>> cases_of_zip({"EPOCHS": [10, 20], "BATCH_SIZE": [32, 64]})
    [{'EPOCHS': 10, 'BATCH_SIZE': 32}, {'EPOCHS': 20, 'BATCH_SIZE': 64}]
    """
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"`zip` must be a mapping of parameters to lists; got {given!r}.")
    columns = {}
    for name, values in given.items():
        if not isinstance(values, list | Mapping):
            raise ConfigError(f"{name} in `zip` must have a list of values; got {values!r}.")
        # In company a value may come again: what must differ is the whole.
        columns[name] = _range(name, values) if isinstance(values, Mapping) else values
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ConfigError(f"Lists in one `zip` must be of one length; got {said}.")
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    for i, row in enumerate(rows):
        if row in rows[:i]:
            raise ConfigError(f"A `zip` must name each combination once; {row} is there twice.")
    return rows


def cases_of_sources(given: Any) -> Axis:
    """Return one case for each source of data, with its label under the key ``""``.

    Raises
    ------
    ConfigError
        If it is no mapping of labels to mappings of parameters.

    Examples
    --------
    >>> cases_of_sources({"world": {}, "films": {"SOURCE": "ratings.csv"}})
    [{'': 'world'}, {'': 'films', 'SOURCE': 'ratings.csv'}]
    """
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(
            f"`sources` must be a mapping of labels to mappings of parameters; got {given!r}."
        )
    cases = []
    for name, parameters in given.items():
        if not isinstance(parameters, Mapping):
            raise ConfigError(
                f"The source {name!r} must be a mapping of parameters; got {parameters!r}. "
                "Write {SOURCE: path} or {} for the world."
            )
        cases.append({"": str(name), **parameters})
    return cases
