"""The metrics by name: what ``"ndcg@100"`` means, in which unit, and which way is better."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from recsys_lib.errors import ConfigError

__all__ = ["Metric", "known_metrics", "parse_metric", "parse_metrics"]

# What a metric reads: lists and targets (one value per user), lists only (one value in all), or
# scores at the held-out cells.
Kind = Literal["list", "system", "rating"]


@dataclass(frozen=True)
class Metric:
    """One metric of a report.

    Attributes
    ----------
    name : str
        As in the report: ``"ndcg@100"``.
    family : str
        The name without its list length: ``"ndcg"``.
    k : int or None
        List length; None for rating errors.
    kind : {"list", "system", "rating"}
        "list" has one value per user, averaged over users; "system" has one value for all lists
        together; "rating" has one value per user, pooled over rated cells.
    higher_is_better : bool or None
        None where neither end is the better one.
    definition : str
        One line with the denominator and the source.
    """

    name: str
    family: str
    k: int | None
    kind: Kind
    higher_is_better: bool | None
    definition: str

    @property
    def per_user(self) -> bool:
        """Whether there is a value for each user, hence an interval."""
        return self.kind != "system"

    @property
    def squared(self) -> bool:
        """Whether it is pooled as the root of a mean of squares."""
        return self.family == "rmse"


_FAMILIES: dict[str, tuple[Kind, bool | None, str]] = {
    "ndcg": (
        "list",
        True,
        "binary gains, discount 1/log2(place + 1), over the ideal list of min(k, targets) hits "
        "(Liang et al. 2018)",
    ),
    "recall": ("list", True, "hits / min(k, targets) (Liang et al. 2018)"),
    "precision": ("list", True, "hits / k (Manning et al. 2008)"),
    "map": (
        "list",
        True,
        "sum of the precision at each hit / min(k, targets) (Manning et al. 2008)",
    ),
    "mrr": ("list", True, "1 / place of the first hit, 0 without one (Voorhees 1999)"),
    "hit_rate": ("list", True, "1 if the list holds a target (Deshpande & Karypis 2004)"),
    "tail_recall": (
        "list",
        True,
        "recall of targets outside the most popular items that hold a third of the interactions "
        "(Cremonesi et al. 2010)",
    ),
    "novelty": (
        "list",
        None,
        "mean of -log2(share of interactions) of the listed items, in bits (Zhou et al. 2010)",
    ),
    "coverage": (
        "system",
        None,
        "share of the catalog that is listed to anyone (Ge et al. 2010)",
    ),
    "gini": (
        "system",
        None,
        "Gini coefficient of how often items are listed, 0 = evenly (Fleder & Hosanagar 2009)",
    ),
    "rmse": (
        "rating",
        False,
        "root of the mean squared error, pooled over held-out ratings, predictions clipped to the "
        "scale (Herlocker et al. 2004)",
    ),
    "mae": (
        "rating",
        False,
        "mean absolute error, pooled over held-out ratings, predictions clipped to the scale "
        "(Herlocker et al. 2004)",
    ),
}


def known_metrics() -> tuple[str, ...]:
    """Return the names that `parse_metric` knows, ``@k`` standing for a list length.

    Examples
    --------
    >>> known_metrics()[:2], known_metrics()[-1]
    (('ndcg@k', 'recall@k'), 'mae')
    """
    return tuple(
        family if kind == "rating" else f"{family}@k" for family, (kind, _, _) in _FAMILIES.items()
    )


def parse_metric(name: str) -> Metric:
    """Return the metric called `name`.

    Parameters
    ----------
    name : str
        Such as ``"ndcg@100"`` or ``"rmse"``.

    Returns
    -------
    Metric

    Raises
    ------
    ConfigError
        If the metric is unknown, or its list length is missing, superfluous or not a number >= 1.

    Examples
    --------
    >>> metric = parse_metric("recall@20")
    >>> metric.family, metric.k, metric.definition
    ('recall', 20, 'hits / min(k, targets) (Liang et al. 2018)')
    """
    if not isinstance(name, str):
        raise ConfigError(f"A metric must be named by a string such as 'ndcg@100'; got {name!r}.")
    family, at, length = name.partition("@")
    if family not in _FAMILIES:
        raise ConfigError(f"A metric must be one of {', '.join(known_metrics())}; got {name!r}.")
    kind, higher_is_better, definition = _FAMILIES[family]
    if kind == "rating":
        if at:
            raise ConfigError(f"{family!r} has no list length; got {name!r}. Write {family!r}.")
        return Metric(name, family, None, kind, higher_is_better, definition)
    if not (length.isascii() and length.isdigit() and int(length) >= 1):
        raise ConfigError(
            f"{family!r} needs a list length >= 1; got {name!r}. Write '{family}@20', for example."
        )
    k = int(length)
    return Metric(f"{family}@{k}", family, k, kind, higher_is_better, definition)


def parse_metrics(names: Iterable[str]) -> tuple[Metric, ...]:
    """Return the metrics called `names`, in their order, each once.

    Raises
    ------
    ConfigError
        If there is none, or one is unknown.

    Examples
    --------
    >>> [metric.name for metric in parse_metrics(["rmse", "mae", "rmse"])]
    ['rmse', 'mae']
    """
    # A lone string is iterable too, and "rmse" would be read as the metrics r, m, s, e.
    names = (names,) if isinstance(names, str) else tuple(names)
    if not names:
        raise ConfigError(f"`metrics` must name at least one of {', '.join(known_metrics())}.")
    return tuple({metric.name: metric for metric in map(parse_metric, names)}.values())
