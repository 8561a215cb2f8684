"""Ranges of hyper-parameters; those of each model stand in ``spaces.yaml``."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_lib.errors import ConfigError
from recsys_lib.yaml_files import read_yaml

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class Range:
    """Numbers between two bounds, inclusive.

    Parameters
    ----------
    low, high : float or int
        Whole numbers where both are.
    log : bool
        Search the logarithm: a step from 1 to 2 is as large as one from 100 to 200.
    source : str
        Where the range comes from.

    Examples
    --------
    >>> 300.0 in Range(1.0, 1e4, log=True), 0.5 in Range(1, 8), 9 in Range(1, 8)
    (True, False, False)
    >>> print(Range(1.0, 1e4, log=True))
    1 to 10,000 (log scale)
    """

    low: float
    high: float
    log: bool = False
    source: str = ""

    @property
    def whole(self) -> bool:
        """Whether it contains only whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self.low <= value <= self.high and (not self.whole or value == int(value))

    def __str__(self) -> str:
        return f"{self.low:,g} to {self.high:,g}" + (" (log scale)" if self.log else "")

    def check(self, name: str) -> None:
        """Raise `ConfigError` unless the ends are finite, in order, and positive for `log`."""
        ends = (self.low, self.high)
        if any(isinstance(end, bool) or not isinstance(end, int | float) for end in ends):
            raise ConfigError(
                f"The range of {name!r} must have numeric bounds; got {self.low!r} and "
                f"{self.high!r}. Write {{low: 0.1, high: 0.9}}."
            )
        if not all(math.isfinite(end) for end in ends) or self.low >= self.high:
            raise ConfigError(
                f"The range of {name!r} must go up from `low` to `high`; got {self.low!r} to "
                f"{self.high!r}. To hold a setting fixed, leave it out and set it in the model."
            )
        if self.log and self.low <= 0:
            raise ConfigError(
                f"The range of {name!r} must be positive for a log scale; it "
                f"begins at {self.low!r}. Start above 0, or leave out `log`."
            )

    def distribution(self) -> "BaseDistribution":
        """Return the matching Optuna distribution."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def encode(self, value: Any) -> Any:
        """Return a setting as a study stores it."""
        return value

    def decode(self, stored: Any) -> Any:
        """Return a setting from its stored form."""
        return stored

    def plain(self) -> dict[str, Any]:
        """Return it as plain data for YAML."""
        log = {"log": True} if self.log else {}
        return {"low": self.low, "high": self.high, **log, **_told(self.source)}


@dataclass(frozen=True)
class Options:
    """Unordered values to choose from.

    Parameters
    ----------
    values : tuple
        Numbers, words, or tuples of numbers such as the widths of layers.
    source : str
        Where they come from.

    Examples
    --------
    >>> (600,) in Options(((), (600,)))
    True
    """

    values: tuple[Any, ...]
    source: str = ""

    def __contains__(self, value: object) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return " or ".join(map(str, self.values))

    def check(self, name: str) -> None:
        """Raise `ConfigError` unless there are at least two different values."""
        if len(self.values) < 2 or len(set(map(repr, self.values))) < len(self.values):
            raise ConfigError(
                f"The options of {name!r} must be at least two different values; got "
                f"{list(self.values)!r}. To hold a setting fixed, set it in the model."
            )

    def distribution(self) -> "BaseDistribution":
        """Return the matching Optuna distribution."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution([self.encode(value) for value in self.values])

    def encode(self, value: Any) -> Any:
        """Return a setting as a study stores it; studies cannot hold tuples."""
        return repr(value) if isinstance(value, tuple) else value

    def decode(self, stored: Any) -> Any:
        """Return a setting from its stored form."""
        return next(value for value in self.values if self.encode(value) == stored)

    def plain(self) -> dict[str, Any]:
        """Return it as plain data for YAML."""
        values = [list(one) if isinstance(one, tuple) else one for one in self.values]
        return {"options": values, **_told(self.source)}


def parse_range(name: str, plain: Any) -> Range | Options:
    """Parse the YAML range of the hyper-parameter `name`.

    Raises
    ------
    ConfigError
        If it is neither ``{low: , high: , log: , source: }`` nor ``{options: [...], source: }``
        nor a list of options.

    Examples
    --------
    >>> parse_range("l2", {"low": 1.0, "high": 1000.0, "log": True})
    Range(low=1.0, high=1000.0, log=True, source='')
    >>> parse_range("hidden_dims", [[], [600]])
    Options(values=((), (600,)), source='')
    """
    if isinstance(plain, list):
        plain = {"options": plain}
    content = dict(plain) if isinstance(plain, Mapping) else {}
    source = str(content.pop("source", ""))
    if content.keys() == {"options"} and isinstance(content["options"], list):
        values = [tuple(one) if isinstance(one, list) else one for one in content["options"]]
        return Options(tuple(values), source)
    if {"low", "high"} <= content.keys() <= {"low", "high", "log"}:
        log = content.get("log", False) is True
        return Range(content["low"], content["high"], log, source)
    raise ConfigError(
        f"The range of {name!r} must be {{low: , high: , log: true or false}} or a list of "
        f"options; got {plain!r}. Write it like {{low: 1.0, high: 1000.0, log: true}}."
    )


def _told(source: str) -> dict[str, str]:
    return {"source": source} if source else {}


#: Of neighborhood models; with implicit feedback these do nothing.
EXPLICIT_ONLY = frozenset({"damping", "user_damping", "item_damping"})

#: Model -> hyper-parameter -> range.
RANGES = {
    model: {name: parse_range(name, one) for name, one in its.items()}
    for model, its in read_yaml(Path(__file__).with_name("spaces.yaml"))["models"].items()
}
