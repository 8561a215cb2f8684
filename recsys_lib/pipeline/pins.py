"""Pinned numbers: what a notebook's results are expected to be, and how far they may move."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from recsys_lib.artifacts import read_json, write_json
from recsys_lib.errors import ArtifactError

__all__ = ["Pin", "Sentence", "compare", "read_pins", "write_pins"]


class Sentence(str):
    """Text that a notebook shows as text, without the quotation marks of a string."""

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
        How, in words.
    """

    value: float
    tolerance: float
    spread: float
    n: int
    measured: str


def read_pins(path: Path, notebook: str) -> dict[str, Pin]:
    """Return the pins of one notebook; none where the file or the notebook's entry is missing."""
    if not path.exists():
        return {}
    try:
        return {name: Pin(**entry) for name, entry in read_json(path).get(notebook, {}).items()}
    except (TypeError, AttributeError) as error:
        raise ArtifactError(
            f"{path} must hold value, tolerance, spread, n and measured for each number; {error}. "
            "Write it with `make pins`."
        ) from error


def write_pins(path: Path, pins: Mapping[str, Mapping[str, Pin]]) -> None:
    """Write the pins of all notebooks, atomically."""
    write_json(
        path,
        {book: {name: asdict(pin) for name, pin in its.items()} for book, its in pins.items()},
    )


def compare(values: Mapping[str, float], pins: Mapping[str, Pin]) -> pd.DataFrame:
    """Return a table of the numbers beside their pins; raise if one has moved.

    Parameters
    ----------
    values : mapping of str to float
        What was computed.
    pins : mapping of str to Pin
        What was expected.

    Returns
    -------
    DataFrame
        One row a number: ``value, expected, tolerance``.

    Raises
    ------
    AssertionError
        If a number has no pin or lies outside its tolerance; every such number is named.

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
