"""Models as candidates, and the hyper-parameters of one model to search, each with its range."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

from recsys_lib.checks import check_kind
from recsys_lib.errors import ConfigError
from recsys_lib.models import model_class
from recsys_lib.models.base import Recommender
from recsys_lib.naming import did_you_mean
from recsys_lib.yaml_files import read_mapping

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

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:,g} to {self.high:,g}" + (" (log scale)" if self.log else "")

    def is_valid(self) -> bool:
        """Whether the ends are finite, in order, and positive on a logarithmic scale."""
        ends = (self.low, self.high)
        finite = all(isinstance(end, int | float) and math.isfinite(end) for end in ends)
        return finite and self.low < self.high and (self.low > 0 or not self.log)

    def distribution(self) -> "BaseDistribution":
        """Return the matching Optuna distribution."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if isinstance(self.low, int) and isinstance(self.high, int):
            return IntDistribution(self.low, self.high, log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)

    def encode(self, value: Any) -> Any:
        """Return a setting as a study stores it."""
        return value

    def decode(self, stored: Any) -> Any:
        """Return a setting from its stored form."""
        return stored

    def plain(self) -> dict[str, Any]:
        """Return what is searched as plain data."""
        return {"low": self.low, "high": self.high, **({"log": True} if self.log else {})}


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

    def is_valid(self) -> bool:
        """Whether there are at least two different values, and none twice."""
        return 1 < len(self.values) == len(set(map(repr, self.values)))

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
        """Return what is searched as plain data."""
        return {"options": [list(v) if isinstance(v, tuple) else v for v in self.values]}


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


#: Of neighborhood models; with implicit feedback these do nothing.
EXPLICIT_ONLY = frozenset({"damping", "user_damping", "item_damping"})

_DECLARED = read_mapping(Path(__file__).with_name("spaces.yaml"), "table of ranges")
#: Model -> hyper-parameter -> range.
RANGES = {
    model: {name: parse_range(name, one) for name, one in its.items()}
    for model, its in _DECLARED["models"].items()
}


def as_model(model: Any) -> Any:
    """Return `model` itself, or an instance with default settings of a class or class name.

    Raises
    ------
    ConfigError
        If there is no model of that name.
    TypeError
        If it is no model.

    Examples
    --------
    >>> as_model("EASE")
    EASE()
    """
    if isinstance(model, str):
        model = model_class(model)
    if isinstance(model, type):
        model = model()
    check_kind("model", recommender_of(model), Recommender)
    return model


def recommender_of(model: Any) -> Any:
    """Return the model inside a wrapper such as `OnLikes`, or the model itself."""
    return model if isinstance(model, Recommender) else getattr(model, "model", model)


def settings_of(model: Any) -> dict[str, Any]:
    """Return the hyper-parameters of a model, unwrapping it if needed."""
    return dict(recommender_of(model).config())


def wrapping_of(model: Any) -> dict[str, Any]:
    """Return the wrapper's name and settings; empty without a wrapper."""
    if isinstance(model, Recommender):
        return {}
    fields = {one.name: getattr(model, one.name) for one in dataclasses.fields(model) if one.init}
    return {"name": type(model).__name__, **{k: v for k, v in fields.items() if k != "model"}}


def with_settings(model: Any, settings: Mapping[str, Any]) -> Any:
    """Return an unfitted copy of a model with other settings, in the same wrapper.

    Examples
    --------
    >>> with_settings(as_model("EASE"), {"l2": 20.0})
    EASE(l2=20.0)
    """
    if isinstance(model, Recommender):
        return dataclasses.replace(model, **settings)
    return dataclasses.replace(model, model=with_settings(model.model, settings))


@dataclass(frozen=True)
class Space:
    """The hyper-parameters of a model to search, and their ranges.

    Parameters
    ----------
    model : str
        Name of the model's class.
    ranges : mapping of str to Range or Options
        By hyper-parameter. What is not in it stays as it is in the model.

    Examples
    --------
    >>> space = Space.of("EDLAE").only("l2", "dropout").replace(dropout=Range(0.1, 0.5))
    >>> sorted(space.ranges)
    ['dropout', 'l2']
    >>> space.only("drop_out")
    Traceback (most recent call last):
    recsys_lib.errors.ConfigError: A space of EDLAE must be of its hyper-parameters; 'drop_out' is
    not in this one. Did you mean 'dropout'? It has: dropout, l2.
    """

    model: str
    ranges: Mapping[str, Range | Options]

    @classmethod
    def of(cls, model: Any) -> Self:
        """Return the built-in space of a model.

        Parameters
        ----------
        model : str, class or instance
            Left out is, of a neighborhood model with implicit feedback, what has no effect there.

        Raises
        ------
        ConfigError
            If there is none: the model has no hyper-parameters, or, like `Blend`, chooses them
            itself.
        """
        inner = recommender_of(as_model(model))
        name = type(inner).__name__
        if name not in RANGES:
            raise ConfigError(
                f"A search needs a space; there is none for {name}. Models with one are "
                f"{', '.join(sorted(RANGES))}; for another give `space`."
            )
        idle = EXPLICIT_ONLY if getattr(inner, "feedback", "") == "implicit" else frozenset()
        return cls(name, {key: one for key, one in RANGES[name].items() if key not in idle})

    def only(self, *names: str) -> Self:
        """Return the space of these hyper-parameters only; the others keep the model's values.

        Raises
        ------
        ConfigError
            If one is not in the space.
        """
        for name in names:
            if name not in self.ranges:
                raise self._unknown(name, "is not in this one", self.ranges)
        return dataclasses.replace(self, ranges={name: self.ranges[name] for name in names})

    def replace(self, **ranges: Range | Options) -> Self:
        """Return the space with ranges replaced or added."""
        return dataclasses.replace(self, ranges={**self.ranges, **ranges})

    @classmethod
    def read(cls, path: Path | str) -> Self:
        """Read a YAML file with ``model`` and ``space``.

        Raises
        ------
        ConfigError
            If it is no such file; the hyper-parameter is named.
        """
        content = read_mapping(path, "space")
        ranges = content.get("space")
        if content.keys() != {"model", "space"} or not isinstance(ranges, dict):
            raise ConfigError(
                f"The space {path} must hold `model` and `space`; it holds "
                f"{', '.join(map(str, content)) or 'neither'}. Begin with the line `model: EASE`."
            )
        parsed = {str(name): parse_range(str(name), one) for name, one in ranges.items()}
        return cls(str(content["model"]), parsed)

    def fitted_to(self, model: Any) -> "Space":
        """Return the space checked and converted to the types of the model's settings.

        Parameters
        ----------
        model : instance
            Its own settings must lie inside: they are the first trial. Built-in ranges are widened
            to hold them.

        Raises
        ------
        ConfigError
            If the space is of another model or empty, a name is not a hyper-parameter, a range is
            none, or the model's own setting lies outside of it.
        """
        inner = recommender_of(model)
        if self.model != type(inner).__name__ or not self.ranges:
            raise ConfigError(
                f"The space must be one of {type(inner).__name__}, with a range at least; it is "
                f"one of {self.model} with {len(self.ranges)}. Start from Space.of(model)."
            )
        return Space(self.model, {name: self._range(name, inner) for name in self.ranges})

    def _unknown(self, name: str, what: str, known: Iterable[str]) -> ConfigError:
        return ConfigError(
            f"A space of {self.model} must be of its hyper-parameters; {name!r} {what}."
            f"{did_you_mean(name, sorted(known))} It has: {', '.join(sorted(known))}."
        )

    def _range(self, name: str, inner: Any) -> Range | Options:
        """Check one range against the model's setting of that name."""
        own, found = inner.config(), self.ranges[name]
        if name not in own:
            raise self._unknown(name, "is none", own)
        if not isinstance(found, Range | Options) or not found.is_valid():
            raise ConfigError(
                f"The range of {name!r} must be a Range of finite numbers that goes up, above 0 on "
                f"a log scale, or Options of two different values or more; got {found!r}. To hold "
                "a setting fixed, leave it out and set it in the model."
            )
        if isinstance(found, Range) and found == RANGES.get(self.model, {}).get(name) and own[name]:
            # What suits a large table may lie beyond the ends; 0 has no logarithm.
            low, high = min(found.low, own[name]), max(found.high, own[name])
            found = dataclasses.replace(found, low=low, high=high)
        kind = {one.name: one.type for one in dataclasses.fields(inner)}[name]
        if isinstance(found, Range) and float in (kind, *get_args(kind)):
            found = dataclasses.replace(found, low=float(found.low), high=float(found.high))
        if own[name] is not None and own[name] not in found:
            raise ConfigError(
                f"The space must hold the model's own settings, which are the first trial; "
                f"{name}={own[name]!r} lies outside of {found.plain()!r}. Widen the range, or set "
                "it inside in the model."
            )
        return found
