"""The result of an evaluation: one value per user and metric, and how it was measured.

Reports of one model that differ only in the training seed are its `Runs`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib import artifacts
from recsys_lib.checks import check_kind
from recsys_lib.errors import ConfigError
from recsys_lib.evaluation.metrics import parse_metric
from recsys_lib.evaluation.statistics import Sample, estimates
from recsys_lib.formatting import Shown


@dataclass(frozen=True, kw_only=True, eq=False)
class Report(Shown):
    """The values of one scorer on one fold.

    Attributes
    ----------
    name : str
        The scorer's name in tables. Reports of one name are runs of one model with other seeds.
    values : DataFrame of shape (n_users, n_per_user_metrics), float64
        One row per evaluated user, indexed by the user's position in the dataset; NaN where the
        user has no value for the metric.
    users : DataFrame of shape (n_users, 3), int64
        Of each evaluated user: ``n_fold_in``, what the model saw; ``n_targets``, what counts in
        ranking metrics; ``n_rated``, all held-out cells, what counts in rating errors.
    totals : dict of str to float
        The metrics that have one value for all lists together, such as coverage.
    items : ndarray of shape (n_users, k_max), int32
        The ranked lists; -1 where a list is short and for users without ranking targets.
    protocol : dict
        How it was measured: counts, seed, thresholds, tie shares, the fold's fingerprint.
    definitions : dict of str to str
        Of each metric: what it is, in a line.

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.dataset import Fold
    >>> from recsys_lib.evaluation import evaluate
    >>> class Popularity:
    ...     def score(self, user_items):
    ...         return np.tile([3.0, 2.0, 1.0], (user_items.shape[0], 1))
    >>> seen, wanted = [[1, 0, 0], [0, 0, 1], [0, 1, 0]], [[0, 1, 0], [0, 1, 0], [0, 0, 1]]
    >>> fold = Fold(
    ...     fold_in=sparse.csr_array(seen), targets=sparse.csr_array(wanted), users=np.arange(3)
    ... )
    >>> report = evaluate(Popularity(), fold, metrics=("recall@1", "coverage@1"))
    >>> report["recall@1"].__round__(4), report["coverage@1"].__round__(4)
    (0.3333, 0.6667)
    >>> report.table()[["model", "metric", "value", "se", "low", "high", "n_users"]].round(2)
            model      metric  value    se  low  high  n_users
    0  Popularity    recall@1   0.33  0.33  0.0   1.0        3
    1  Popularity  coverage@1   0.67   NaN  NaN   NaN        3
    """

    name: str
    values: pd.DataFrame
    users: pd.DataFrame
    totals: Mapping[str, float]
    items: NDArray[np.int32]
    protocol: Mapping[str, Any]
    definitions: Mapping[str, str]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, in the order they were asked for."""
        return tuple(self.definitions)

    @property
    def per_user_metrics(self) -> tuple[str, ...]:
        """Names of the metrics that have a value for each user."""
        return tuple(self.values.columns)

    def __getitem__(self, metric: str) -> float:
        """Return one number by its metric's name; `ConfigError` if it was not measured."""
        if metric in self.totals:
            return self.totals[metric]
        return self.sample(metric).mean

    def sample(self, metric: str) -> Sample:
        """Return the per-user values of a metric with what each user counts.

        Raises
        ------
        ConfigError
            If the report does not hold the metric, or it has no value per user.
        """
        if metric not in self.values.columns:
            known = ", ".join(self.per_user_metrics)
            raise ConfigError(
                f"`metric` must be one of the per-user metrics of report {self.name!r}: {known}; "
                f"got {metric!r}. Evaluate with metrics=({metric!r}, ...)."
            )
        parsed = parse_metric(metric)
        weights = self.users["n_rated"].to_numpy(np.float64) if parsed.kind == "rating" else None
        values = self.values[metric].to_numpy(np.float64)
        return Sample.of(values, weights=weights, squared=parsed.squared)

    def table(self, *, n_resamples: int = 2_000, seed: int = 0) -> pd.DataFrame:
        """Return one row per metric: value, standard error and 95 % interval over users.

        Parameters
        ----------
        n_resamples : int
            Bootstrap draws.
        seed : int
            Of the draws.

        Returns
        -------
        DataFrame
            Columns ``model, metric, value, se, low, high, n_users, tie_share``. Metrics of all
            lists together have no interval: a resample holds fewer different users, and coverage
            would come out too low in each. ``tie_share`` is the share of users whose list is cut
            through a group of equal scores, so that chance decides who is on it.

        Notes
        -----
        The interval says how much the value would move with other *users*. How much it moves with
        another training seed is a matter of several reports, see `compare`. Where all users have
        one value it has no width: nobody was seen to differ, which is not that nobody would.
        """
        per_user = self.per_user_metrics
        samples = [self.sample(metric) for metric in per_user]
        numbers = estimates(samples, n_resamples=n_resamples, seed=seed) if samples else []
        found = {name: one.row() for name, one in zip(per_user, numbers, strict=True)}
        unknown = {"se": np.nan, "low": np.nan, "high": np.nan}
        n_lists = int((self.users["n_targets"] > 0).sum())
        ties = self.protocol.get("tie_share", {})
        rows = []
        for metric in map(parse_metric, self.metrics):
            total = {"value": self[metric.name], **unknown, "n_users": n_lists}
            names = {"model": self.name, "metric": metric.name}
            tie_share = float(ties.get(str(metric.k), np.nan))
            rows.append({**names, **found.get(metric.name, total), "tie_share": tie_share})
        return pd.DataFrame(rows)

    def save(self, folder: Path | str) -> None:
        """Write the report as a folder of tables, arrays and JSON with a manifest, atomically."""
        with artifacts.atomic_folder(folder) as part:
            artifacts.write_table(part / "users.parquet", self.users.rename_axis("user"))
            artifacts.write_table(part / "values.parquet", self.values.rename_axis("user"))
            artifacts.write_arrays(part / "lists.npz", items=self.items)
            facts = {
                "name": self.name,
                "totals": self.totals,
                "protocol": self.protocol,
                # A list, because the order of the metrics matters and JSON keys are sorted.
                "definitions": [list(pair) for pair in self.definitions.items()],
            }
            artifacts.write_json(part / "report.json", facts)
            artifacts.write_manifest(part, kind="report", name=self.name)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Load a saved report; `ArtifactError` if it is damaged or of another kind."""
        folder = Path(folder)
        artifacts.read_manifest(folder, kind="report")
        facts = artifacts.read_json(folder / "report.json")
        return cls(
            name=facts["name"],
            values=artifacts.read_table(folder / "values.parquet").rename_axis(None),
            users=artifacts.read_table(folder / "users.parquet").rename_axis(None),
            totals=facts["totals"],
            items=artifacts.read_arrays(folder / "lists.npz")["items"],
            protocol=facts["protocol"],
            definitions=dict(facts["definitions"]),
        )

    def _title(self) -> str:
        return f"Report of {self.name}"

    def _facts(self) -> pd.DataFrame:
        table = self.table(n_resamples=1).set_index("metric").rename_axis(None)
        users = table["n_users"].where(table.index.isin(self.per_user_metrics))
        columns = {"value": table["value"], "standard error": table["se"], "users": users}
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        numbers = ", ".join(f"{metric} {self[metric]:.4f}" for metric in self.metrics)
        return f"Report({self.name!r}, {numbers}, {len(self.users):,} users)"


# What must agree before two numbers may be subtracted; the order among ties may differ.
_SAME = ("fold", "min_value", "rating_scale")


@dataclass(frozen=True, eq=False)
class Runs:
    """The reports of one model.

    Attributes
    ----------
    name : str
        The model's name.
    reports : tuple of Report
        One for each training seed.
    """

    name: str
    reports: tuple[Report, ...]

    def mean_sample(self, metric: str) -> Sample:
        """Return each user's value averaged over the runs (its square, where it is pooled so)."""
        first, *others = (report.sample(metric) for report in self.reports)
        if not others:
            return first
        stacked = np.stack([first.per_user, *(one.per_user for one in others)])
        values = np.sqrt((stacked**2).mean(axis=0)) if first.squared else stacked.mean(axis=0)
        n_runs = len(self.reports)
        seeds = ((self.seed_spread(metric) ** 2 / n_runs, n_runs - 1),)
        return Sample(values, np.where(np.isnan(values), 0.0, first.weights), first.squared, seeds)

    def seed_spread(self, metric: str) -> float:
        """Return the standard deviation of the runs' numbers; NaN with one run."""
        values = [report[metric] for report in self.reports]
        return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def listed(reports: Iterable[Report]) -> list[Report]:
    """Return reports as a list; raise `TypeError` where they are something else.

    Examples
    --------
    >>> listed({"ease": None})
    Traceback (most recent call last):
    TypeError: `reports` must be a list of Reports; got dict. Give what `evaluate` has returned.
    """
    if isinstance(reports, Mapping) or not isinstance(reports, Iterable):
        raise TypeError(
            f"`reports` must be a list of Reports; got {type(reports).__name__}. Give what "
            "`evaluate` has returned."
        )
    found = list(reports)
    for place, report in enumerate(found):
        check_kind(f"reports[{place}]", report, Report)
    return found


def group_runs(reports: Iterable[Report]) -> list[Runs]:
    """Group reports by name, in order of first appearance.

    Raises
    ------
    ValueError
        If two reports are not on the same users, targets and rating scale.

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.dataset import Fold
    >>> from recsys_lib.evaluation import RandomOrder, evaluate
    >>> wanted = sparse.csr_array(np.eye(4))
    >>> fold = Fold(fold_in=sparse.csr_array((4, 4)), targets=wanted, users=np.arange(4))
    >>> reports = [evaluate(RandomOrder(seed), fold, ["mrr@4"]) for seed in range(3)]
    >>> [(runs.name, len(runs.reports)) for runs in group_runs(reports)]
    [('RandomOrder', 3)]
    """
    reports = listed(reports)
    for report in reports[1:]:
        _check_same_fold(reports[0], report)
    names = dict.fromkeys(report.name for report in reports)
    return [
        Runs(name, tuple(report for report in reports if report.name == name)) for name in names
    ]


def _check_same_fold(one: Report, other: Report) -> None:
    # A report without rating errors has no scale, and shares none with another.
    rated = one.protocol.get("rating_scale") and other.protocol.get("rating_scale")
    same = [key for key in _SAME if rated or key != "rating_scale"]
    differing = [key for key in same if one.protocol.get(key) != other.protocol.get(key)]
    if not one.users.index.equals(other.users.index):
        differing.append("users")
    if differing:
        key = differing[0]
        raise ValueError(
            f"`reports` must be measured alike; {one.name!r} and {other.name!r} differ in {key} "
            f"({one.protocol.get(key)!r} against {other.protocol.get(key)!r}). "
            "Evaluate both on one fold with the same arguments and metrics."
        )
