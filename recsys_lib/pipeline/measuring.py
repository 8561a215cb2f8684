"""Measures pinned numbers: the chain under several seeds, and the spread of each number."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from recsys_lib.errors import ConfigError
from recsys_lib.pipeline.chain import Step
from recsys_lib.pipeline.pins import Pin
from recsys_lib.pipeline.project import MEASURING, Project
from recsys_lib.pipeline.record import Record
from recsys_lib.pipeline.runner import Progress, run_chain

__all__ = ["measure", "pin"]

_SPREADS = 3.0
# What sums in another order may move, relative to the number.
_ROUNDING = 1e-6


def measure(
    project: Project, steps: Sequence[Step], progress: Progress, *, n_seeds: int
) -> dict[str, dict[str, Pin]]:
    """Run the chain under the seeds 0 to `n_seeds` - 1 and return the pins of each notebook.

    Parameters
    ----------
    project : Project
        Where the notebooks stand.
    steps : sequence of Step
        The whole chain, or a part of it whose inputs stand in the runs of an earlier measurement.
    progress : Progress
        Called for each notebook and cell.
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
            f"The number of seeds must be at least 3 and reach the committed seed; got {n_seeds} "
            f"for seed {sorted(committed)}. Give more."
        )
    found: dict[str, dict[str, list[float]]] = {}
    for seed in range(n_seeds):
        name = f"{MEASURING}{seed}"
        result = run_chain(project, steps, {"SEED": seed}, progress, name=name)
        if result.failed:
            raise ConfigError(
                f"Every notebook must run under seed {seed}; {result.failed.name} failed. "
                f"See {result.failed.copy}."
            )
        for step in steps:
            for number, value in Record.load(project.record(name, step.name)).checks.items():
                found.setdefault(step.name, {}).setdefault(number, []).append(value)
    home = committed.pop()
    return {book: _pins(book, numbers, n_seeds, home) for book, numbers in found.items()}


def _pins(
    book: str, numbers: Mapping[str, Sequence[float]], n_seeds: int, home: int
) -> dict[str, Pin]:
    for name, values in numbers.items():
        if len(values) != n_seeds:
            raise ConfigError(
                f"`{name}` of {book} must be computed under every seed; it was under {len(values)} "
                f"of {n_seeds}. Compute it always or not at all."
            )
    return {name: pin(f"{book}: {name}", values, home) for name, values in numbers.items()}


def pin(name: str, values: Sequence[float], home: int) -> Pin:
    """Return the pin of a number from its values under the seeds 0, 1, ...

    Parameters
    ----------
    name : str
        For the message.
    values : sequence of float
        One a seed.
    home : int
        The committed seed: its value is the expected one.

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
    if number <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(number)) - 1)
    return float(f"{math.ceil(round(number / unit, 6)) * unit:.2g}")
