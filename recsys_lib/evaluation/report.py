"""The result of an evaluation: one value per user and metric, and how it was measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.artifacts import (
    atomic_folder,
    read_arrays,
    read_json,
    read_manifest,
    read_table,
    write_arrays,
    write_json,
    write_manifest,
    write_table,
)
from recsys_lib.cards import Shown
from recsys_lib.errors import ConfigError
from recsys_lib.evaluation.catalog import Metric, parse_metric
from recsys_lib.evaluation.estimates import Sample, bootstrap, percentile_interval

__all__ = ["Report"]


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
        Of each metric: its formula and source.

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

    def table(
        self, *, confidence: float = 0.95, n_resamples: int = 2_000, seed: int = 0
    ) -> pd.DataFrame:
        """Return one row per metric: value, standard error and bootstrap interval over users.

        Parameters
        ----------
        confidence : float
            Of the percentile interval, in (0, 1).
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
        another training seed is a matter of several reports, see `compare`.
        """
        samples = {metric: self.sample(metric) for metric in self.per_user_metrics}
        intervals: dict[str, tuple[float, float]] = {}
        if samples:
            draws = bootstrap(list(samples.values()), n_resamples=n_resamples, seed=seed)
            for column, name in enumerate(samples):
                intervals[name] = percentile_interval(draws[:, column], confidence)
        rows = []
        for metric in map(parse_metric, self.metrics):
            low, high = intervals.get(metric.name, (np.nan, np.nan))
            sample = samples.get(metric.name)
            rows.append(
                {
                    "model": self.name,
                    "metric": metric.name,
                    "value": self[metric.name],
                    "se": sample.standard_error if sample else np.nan,
                    "low": low,
                    "high": high,
                    "n_users": sample.n_users if sample else self._n_lists,
                    "tie_share": self._tie_share(metric),
                }
            )
        return pd.DataFrame(rows)

    @property
    def _n_lists(self) -> int:
        return int((self.users["n_targets"] > 0).sum())

    def _tie_share(self, metric: Metric) -> float:
        return float(self.protocol["tie_share"].get(str(metric.k), np.nan))

    def save(self, folder: Path | str) -> None:
        """Write the report as a folder of tables, arrays and JSON with a manifest, atomically."""
        with atomic_folder(folder) as part:
            write_table(part / "users.parquet", self.users.rename_axis("user"))
            write_table(part / "values.parquet", self.values.rename_axis("user"))
            write_arrays(part / "lists.npz", items=self.items)
            facts = {
                "name": self.name,
                "totals": self.totals,
                "protocol": self.protocol,
                # A list, because the order of the metrics matters and JSON keys are sorted.
                "definitions": [list(pair) for pair in self.definitions.items()],
            }
            write_json(part / "report.json", facts)
            write_manifest(part, kind="report", name=self.name)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Load a saved report; `ArtifactError` if it is damaged or of another kind."""
        folder = Path(folder)
        read_manifest(folder, kind="report")
        facts = read_json(folder / "report.json")
        return cls(
            name=facts["name"],
            values=read_table(folder / "values.parquet").rename_axis(None),
            users=read_table(folder / "users.parquet").rename_axis(None),
            totals=facts["totals"],
            items=read_arrays(folder / "lists.npz")["items"],
            protocol=facts["protocol"],
            definitions=dict(facts["definitions"]),
        )

    def _title(self) -> str:
        return f"Report of {self.name}"

    def _facts(self) -> pd.DataFrame:
        rows = {}
        for metric in self.metrics:
            sample = self.sample(metric) if metric in self.per_user_metrics else None
            error, n_users = (sample.standard_error, sample.n_users) if sample else (None, None)
            rows[metric] = (self[metric], error, n_users)
        columns = ["value", "standard error", "users"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns)

    def __repr__(self) -> str:
        numbers = ", ".join(f"{metric} {self[metric]:.4f}" for metric in self.metrics)
        return f"Report({self.name!r}, {numbers}, {len(self.users):,} users)"
