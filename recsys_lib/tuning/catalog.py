"""Ranges of hyper-parameters, and those of each model with their sources.

Ends are wider than what the papers settled on: catalogs of a hundred items want other penalties
than MovieLens. What is not listed stays as it is in the model: epochs of networks, because the best
epoch is kept anyway; seeds, because choosing one is choosing luck.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recsys_lib.errors import ConfigError

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


_DACREMA = "Ferrari Dacrema et al., TOIS 2021, appendix, widened"
_KOREN = "Koren, TKDD 2010, section 2.1, widened"
_LIANG = "Liang et al., WWW 2018, section 4, widened"
_STECK = "Steck, WWW 2019 and NeurIPS 2020, widened for small catalogs"
_OWN = "measured on MovieLens 1M, CiteULike-a and the default world"

_Ranges = dict[str, Range | Options]

_BIASES: _Ranges = {
    "user_damping": Range(0.5, 50.0, log=True, source=_KOREN),
    "item_damping": Range(0.5, 50.0, log=True, source=_KOREN),
}
_NEIGHBORS: _Ranges = {
    "n_neighbors": Range(5, 1000, log=True, source=_DACREMA),
    "shrinkage": Range(0.1, 1000.0, log=True, source=_DACREMA),
    "damping": Range(0.01, 3.0, log=True, source=_OWN),
}
_DROPPED: _Ranges = {
    "l2": Range(1.0, 2e4, log=True, source=_STECK),
    "dropout": Range(0.0, 0.8, source=_STECK),
    "activity_power": Range(0.0, 1.0, source=_OWN),
    "popularity_discount": Range(0.0, 0.5, source=_OWN),
}
_NETWORK: _Ranges = {
    "dropout": Range(0.1, 0.9, source=_LIANG),
    "learning_rate": Range(1e-4, 1e-2, log=True, source=_LIANG),
    "targets": Options(("all", "hidden"), source=_OWN),
}

#: Of neighborhood models; with implicit feedback these do nothing.
EXPLICIT_ONLY = frozenset({"damping", "user_damping", "item_damping"})

#: Model -> hyper-parameter -> range.
RANGES: dict[str, _Ranges] = {
    "ALS": {
        "latent_dim": Range(8, 512, log=True, source="Rendle et al., RecSys 2022"),
        "alpha": Range(0.5, 100.0, log=True, source="Hu et al., ICDM 2008 (40), and " + _OWN),
        "l2": Range(0.1, 500.0, log=True, source=_OWN),
        "epochs": Range(5, 40, log=True, source="Rendle et al., RecSys 2022 (16)"),
    },
    "Autoencoder": {
        "hidden_dims": Options(
            ((32,), (64,), (128,), (64, 32), (128, 64), (256, 128)), source=_OWN
        ),
        "input_dropout": Range(0.1, 0.9, source="Vincent et al., ICML 2008 (0.1 to 0.4), widened"),
        "dropout": Range(0.0, 0.8, source="Kuchaiev and Ginsburg 2017 (0.8)"),
        "l2": Range(1e-8, 1e-3, log=True, source=_OWN),
        "learning_rate": Range(3e-4, 1e-2, log=True, source=_OWN),
        "batch_size": Options((32, 64, 128, 256), source=_OWN),
    },
    "Bias": _BIASES,
    "BiasedSVD": {
        "latent_dim": Range(2, 128, log=True, source=_DACREMA),
        "l2": Range(1.0, 100.0, log=True, source=_OWN),
        "epochs": Range(5, 60, log=True, source=_OWN),
        **_BIASES,
    },
    "EASE": {"l2": _DROPPED["l2"]},
    "EDLAE": _DROPPED,
    "ELSA": {
        "latent_dim": Range(32, 1024, log=True, source="Vancura et al., RecSys 2022"),
        "learning_rate": Range(1e-3, 3e-2, log=True, source=_OWN),
        "dropout": Range(0.0, 0.5, source=_OWN),
    },
    "ItemKNN": {
        **_NEIGHBORS,
        "activity_power": Range(0.0, 1.5, source=_OWN),
        **_BIASES,
    },
    "KernelAE": {
        "sharpness": Range(0.25, 10.0, log=True, source=_OWN),
        "l2": Range(0.1, 1000.0, log=True, source=_OWN),
        "popularity_power": Range(0.0, 0.6, source=_OWN),
    },
    "MultDAE": {
        "latent_dim": Range(16, 512, log=True, source=_LIANG),
        "hidden_dims": Options(((), (600,)), source=_LIANG),
        "l2": Options((0.0, 1e-6, 1e-5, 1e-4), source=_LIANG + " (2e-5)"),
        **_NETWORK,
    },
    "MultVAE": {
        "latent_dim": Range(16, 512, log=True, source=_LIANG),
        "hidden_dims": Options(((200,), (600,), (600, 200)), source=_LIANG),
        "anneal_cap": Range(0.0, 1.0, source=_LIANG + " (0.2)"),
        "anneal_steps": Range(500, 200_000, log=True, source=_LIANG + " (200,000)"),
        **_NETWORK,
    },
    "PureSVD": {"latent_dim": Range(2, 350, log=True, source=_DACREMA)},
    "RecVAE": {
        "latent_dim": Range(16, 400, log=True, source="Shenbin et al., WSDM 2020 (200), widened"),
        "hidden_dim": Range(64, 1000, log=True, source="Shenbin et al., WSDM 2020 (600), widened"),
        "gamma": Range(5e-4, 5e-2, log=True, source="Shenbin et al., WSDM 2020 (0.0035 to 0.01)"),
        **_NETWORK,
    },
    "SparseEASE": {**_DROPPED, "n_neighbors": Range(32, 512, log=True, source=_OWN)},
    "UserKNN": {**_NEIGHBORS, **_BIASES},
    "VASP": {
        "latent_dim": Range(16, 2048, log=True, source="Vancura and Kordik, ICANN 2021 (2048)"),
        "hidden_dim": Range(64, 4096, log=True, source="Vancura and Kordik, ICANN 2021 (4096)"),
        "shallow_share": Range(0.1, 1.0, source="Vancura and Kordik, ICANN 2021 (0.33)"),
        "kl_weight": Range(1e-4, 0.1, log=True, source=_OWN),
        "focal_gamma": Range(0.0, 4.0, source="Lin et al., ICCV 2017, table 1"),
        **_NETWORK,
    },
}
