"""Pinned numbers: the expected results of a notebook, and how far they may move."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import ROUND_UP, Context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recsys_lib.artifacts import read_json, write_json
from recsys_lib.errors import ConfigError
from recsys_lib.pipeline.chain import Step
from recsys_lib.pipeline.project import MEASURING

if TYPE_CHECKING:
    from recsys_lib.pipeline.runner import RunResult


# The entry with the parameters of all notebooks.
_PARAMETERS = "parameters"
_SPREADS = 3.0
# How far summing in another order may move a number, relative to it.
_ROUNDING = 1e-6


class Sentence(str):
    """Text that a notebook shows without quotation marks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    def _repr_markdown_(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Pin:
    """An expected number and the tolerance that was measured for it.

    Attributes
    ----------
    value : float
        The number under the committed parameters.
    tolerance : float
        How far a result may be from it.
    spread : float
        Standard deviation of the number over seeds.
    n : int
        How many seeds were run.
    measured : str
        How it was measured, in words.
    """

    value: float
    tolerance: float
    spread: float
    n: int
    measured: str


def read_pins(path: Path, notebook: str) -> dict[str, Pin]:
    """Return the pins of one notebook; none if the file or its entry is missing."""
    if not path.exists():
        return {}
    return {name: Pin(**entry) for name, entry in read_json(path).get(notebook, {}).items()}


def write_pins(
    path: Path,
    pins: Mapping[str, Mapping[str, Pin]],
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write pins and the parameters that they hold for, atomically; other notebooks keep theirs."""
    entries: dict[str, Any] = read_json(path) if path.exists() else {}
    entries[_PARAMETERS] = {**entries.get(_PARAMETERS, {}), **(parameters or {})}
    for book, its in pins.items():
        entries[book] = {name: asdict(pin) for name, pin in its.items()}
    write_json(path, entries)


def pinned_parameters(path: Path, notebook: str) -> dict[str, Any]:
    """Return the parameters that the pins of a notebook hold for, as JSON; none if not said.

    A notebook that was changed and saved in JupyterLab declares other ones.
    """
    entry = read_json(path).get(_PARAMETERS, {}) if path.exists() else {}
    return dict(entry.get(notebook, {}))


def as_json(value: Any) -> Any:
    """Return a parameter as JSON knows it: tuples become lists."""
    return json.loads(json.dumps(value))


def parameters_of(steps: Sequence[Step]) -> dict[str, dict[str, Any]]:
    """Return the parameters that notebooks declare, as JSON; not where results go."""
    return {
        step.name: {
            name: as_json(one.default) for name, one in step.parameters.items() if name != "RUN"
        }
        for step in steps
    }


def compare(values: Mapping[str, float], pins: Mapping[str, Pin]) -> pd.DataFrame:
    """Return a table of the numbers beside their pins; raise if one has moved.

    Parameters
    ----------
    values : mapping of str to float
        The computed numbers.
    pins : mapping of str to Pin
        The expected ones.

    Returns
    -------
    DataFrame
        One row a number: ``value, expected, tolerance``.

    Raises
    ------
    AssertionError
        If a number has no pin or is outside its tolerance; every such number is named.

    Examples
    --------
    >>> pins = {"rmse": Pin(value=1.5, tolerance=0.1, spread=0.03, n=5, measured="5 seeds")}
    >>> compare({"rmse": 1.52}, pins)
          value  expected  tolerance
    rmse   1.52       1.5        0.1
    """
    moved = [_verdict(name, value, pins.get(name)) for name, value in values.items()]
    if any(moved):
        raise AssertionError(" ".join(text for text in moved if text))
    rows = {name: (value, pins[name].value, pins[name].tolerance) for name, value in values.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "expected", "tolerance"])


def _verdict(name: str, value: float, pin: Pin | None) -> str:
    if pin is None:
        return f"`{name}` must be pinned; it is {value:.6g} and has no entry. Run `make pins`."
    if math.isfinite(value) and abs(value - pin.value) <= pin.tolerance:
        return ""
    return (
        f"`{name}` must be within {pin.tolerance:.4g} of {pin.value:.6g} (spread {pin.spread:.3g} "
        f"over {pin.n} seeds); it is {value:.6g}. If the change is meant, run `make pins` and say "
        "so in the changelog."
    )


def measure(
    steps: Sequence[Step], run: "Callable[..., RunResult]", *, n_seeds: int
) -> dict[str, dict[str, Pin]]:
    """Run the chain under the seeds 0 to `n_seeds` - 1 and return the pins of each notebook.

    Parameters
    ----------
    steps : sequence of Step
        The whole chain, or a part of it whose inputs an earlier measurement has made.
    run : callable
        Called with parameters and ``name=`` of a run; runs the steps, as `run_chain` does.
    n_seeds : int
        At least 3; the committed seed must be among them.

    Raises
    ------
    ConfigError
        If a notebook fails, or a number spreads so widely that no tolerance would mean anything.
    """
    committed = {step.parameters["SEED"].default for step in steps if "SEED" in step.parameters}
    if n_seeds < 3 or len(committed) != 1 or not committed <= set(range(n_seeds)):
        raise ConfigError(
            f"Seeds must be 3 or more and reach the committed one; got {n_seeds}. Give more."
        )
    found: dict[tuple[str, str], list[float]] = {}
    for seed in range(n_seeds):
        name = f"{MEASURING}{seed}"
        result = run({"SEED": seed}, name=name)
        if result.failed:
            raise ConfigError(
                f"Every notebook must run under seed {seed}. See {result.failed.copy}."
            )
        for outcome in result.outcomes:
            for number, value in outcome.record.checks.items():
                found.setdefault((outcome.name, number), []).append(value)
    home, pins = committed.pop(), dict[str, dict[str, Pin]]()
    for (book, number), values in found.items():
        if len(values) != n_seeds:
            raise ConfigError(
                f"`{number}` of {book} must be computed under every seed; it was under "
                f"{len(values)} of {n_seeds}. Compute it always or not at all."
            )
        pins.setdefault(book, {})[number] = pin(f"{book}: {number}", values, home)
    return pins


def pin(name: str, values: Sequence[float], home: int) -> Pin:
    """Return the pin of a number from its values under the seeds 0, 1, ...

    Parameters
    ----------
    name : str
        For the message.
    values : sequence of float
        One per seed.
    home : int
        The committed seed, whose value is the expected one.

    Returns
    -------
    Pin
        With a tolerance of three standard deviations, rounded up to two digits.

    Raises
    ------
    ConfigError
        If the tolerance reaches half the value.

    Examples
    --------
    >>> pin("rmse", [1.50, 1.52, 1.48, 1.51, 1.49], home=0).tolerance
    0.048
    """
    value, spread = float(values[home]), float(np.std(values, ddof=1))
    tolerance = _rounded_up(_SPREADS * spread + _ROUNDING * abs(value))
    if tolerance >= abs(value) / 2:
        raise ConfigError(
            f"A pinned number must be larger than twice its tolerance; {name} is {value:.4g} with "
            f"a spread of {spread:.3g}. Show it in a table and check something firmer."
        )
    measured = f"three standard deviations over seeds 0 to {len(values) - 1}"
    return Pin(float(f"{value:.9g}"), tolerance, float(f"{spread:.3g}"), len(values), measured)


def _rounded_up(number: float) -> float:
    # What is exact but for its last binary digit is not rounded.
    return float(Context(prec=2, rounding=ROUND_UP).create_decimal(f"{number:.8g}"))
