"""A batch of runs read as an experiment: settings, each under one or several seeds."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from recsys_lib.errors import ConfigError
from recsys_lib.evaluation import Report
from recsys_lib.pipeline.manifest import Manifest, seeds_of
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.runs.noise import Change, on_one_fold, paired_change, reports_of
from recsys_lib.pipeline.runs.reading import find_runs
from recsys_lib.pipeline.runs.table import find_column, table_of

__all__ = ["Batch", "read_batch"]

_CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """The finished runs of a batch, in one metric.

    Attributes
    ----------
    metric : str
        Its whole name, such as ``"03.autoencoder.rmse"``.
    higher_is_better : bool
        Which way is better.
    varied : tuple of str
        The parameters that tell the settings apart; seeds are none of them.
    runs : DataFrame
        Indexed by run: ``setting`` (as text), ``seed``, ``value``, ``se`` (over users; NaN where
        none is known), ``seconds``, ``memory_mb``, and a column for each varied parameter.
    reports : dict of str to Report
        Run -> the values of its users, where it handed them in.
    """

    metric: str
    higher_is_better: bool
    varied: tuple[str, ...]
    runs: pd.DataFrame
    reports: dict[str, Report]

    @property
    def best_run(self) -> str:
        """The single run that came out best, by its setting and by its luck."""
        values = self.runs["value"]
        return str(values.idxmax() if self.higher_is_better else values.idxmin())

    @cached_property
    def settings(self) -> pd.DataFrame:
        """The settings from the best to the worst, by the mean over their seeds.

        Indexed by ``setting``: ``value``, ``seeds`` (how many), ``lowest`` and ``highest`` run,
        ``seed_sd`` (NaN with one seed), ``se`` (of one run, over users), ``seconds`` and
        ``memory_mb`` of one run.
        """
        groups = self.runs.groupby("setting", sort=False)
        table = pd.DataFrame(
            {
                "value": groups["value"].mean(),
                "seeds": groups.size(),
                "lowest": groups["value"].min(),
                "highest": groups["value"].max(),
                "seed_sd": groups["value"].std(),
                "se": groups["se"].mean(),
                "seconds": groups["seconds"].mean(),
                "memory_mb": groups["memory_mb"].mean(),
            }
        )
        return table.sort_values("value", ascending=not self.higher_is_better, kind="stable")

    @cached_property
    def behind_best(self) -> pd.DataFrame:
        """How far each other setting is behind the best one, and whether that is more than luck.

        Indexed by ``setting``: ``behind`` (positive: worse), its interval ``low, high``,
        ``p_value``, ``noise`` (what it is held against) and ``distinguishable``. The interval is
        that of the pair alone. The p-value is corrected for *all* pairs of settings (Bonferroni),
        because the best was picked as the best: of many settings that are equal, the luckiest is
        far from the unluckiest.
        """
        best, *others = self.settings.index
        sign = -1 if self.higher_is_better else 1
        changes = {setting: self._change(best, setting) for setting in others}
        pairs = len(self.settings) * (len(self.settings) - 1) / 2
        rows = {}
        for setting, change in changes.items():
            p_value = min(1.0, pairs * change.p_value)
            low, high = sorted(sign * end for end in change.interval(_CONFIDENCE))
            sure = bool(p_value < 1 - _CONFIDENCE)
            rows[setting] = (sign * change.value, low, high, p_value, change.noise, sure)
        columns = ["behind", "low", "high", "p_value", "noise", "distinguishable"]
        table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        return table.rename_axis("setting")

    @property
    def verdict(self) -> str:
        """Whether the batch taught anything, in a sentence or two."""
        best, others = self.settings.index[0], self.behind_best
        if not len(others):
            return f"There is one setting, {best}: nothing was compared."
        if self.settings["seeds"].max() > 1:
            return self._order()
        return f"{self._order()} With one seed each, this is about these models, not the settings."

    def _order(self) -> str:
        """Which settings can be told from the best, in words."""
        best, others = self.settings.index[0], self.behind_best
        name = f"{self.varied[0]} = {best}" if len(self.varied) == 1 else best
        close = others.index[~others["distinguishable"]].tolist()
        if not close:
            return f"{name} is better than every other setting by more than luck."
        if len(close) == len(others):
            return f"Noise: {name} came out first, but no other setting can be told from it."
        return (
            f"{name} came out first. It cannot be told from {' or '.join(close)}, but is better "
            f"than {len(others) - len(close)} of {len(others)} others by more than luck."
        )

    def _change(self, a: str, b: str) -> Change:
        """Return the change from setting `a` to `b`, over the seeds that both have."""
        one, other = (self.runs[self.runs["setting"] == name] for name in (a, b))
        pairs = self._pairs(one, other)
        if pairs:
            return paired_change(pairs, self.metric.rpartition(".")[2])
        value = float(other["value"].mean() - one["value"].mean())
        if len(one) > 1 and len(other) > 1:
            return _welch(value, one["value"].to_numpy(float), other["value"].to_numpy(float))
        error = math.hypot(one["se"].mean(), other["se"].mean())
        return Change(value, error, noise="other users")

    def _pairs(self, one: pd.DataFrame, other: pd.DataFrame) -> list[tuple[Report, Report]]:
        """Return the reports of both settings seed by seed; none where they are not comparable."""
        places = one.reset_index().merge(other.reset_index(), on="seed")
        pairs = [
            (self.reports[a], self.reports[b])
            for a, b in zip(places["run_x"], places["run_y"], strict=True)
            if a in self.reports and b in self.reports
        ]
        return pairs if pairs and all(map(on_one_fold, pairs)) else []


def _welch(value: float, one: np.ndarray, other: np.ndarray) -> Change:
    """Return a change whose error is the spread over seeds (Welch's t)."""
    parts = [(group.var(ddof=1) / len(group), len(group) - 1) for group in (one, other)]
    total = sum(part for part, _ in parts)
    spread = sum(part**2 / degrees for part, degrees in parts)
    return Change(value, math.sqrt(total), total**2 / spread if spread else 1.0, "seeds")


def read_batch(
    names: str | list[str],
    metric: str,
    *,
    higher_is_better: bool | None = None,
    project: Project | None = None,
) -> Batch:
    """Read the finished runs of a batch.

    Parameters
    ----------
    names : str or list of str
        Runs, a sweep, or patterns such as ``"sweep/*"``.
    metric : str
        What to judge by: its name, or the last parts of it, as `list_runs` takes them.
    higher_is_better : bool, optional
        Which way is better; reported metrics know it, numbers from `Session.check` don't.
    project : Project, optional
        Found from the working directory by default.

    Returns
    -------
    Batch

    Raises
    ------
    ConfigError
        If a name is of no run, no finished run has the metric, or nobody knows which way is better.
    """
    project = project or Project.find()
    found, _ = find_runs(project, [names] if isinstance(names, str) else names)
    done = [one for one in found if one.status == "done"]
    name = find_column(table_of(done), metric)
    done = [one for one in done if name in one.metrics]
    if not done:
        raise ConfigError(
            f"`metric` must be one that runs have measured; {name!r} is a parameter or a fact. "
            "Name a metric, such as 'autoencoder.rmse'."
        )
    better = done[0].metrics[name].higher_is_better
    better = better if higher_is_better is None else higher_is_better
    if better is None:
        raise ConfigError(
            f"Of `metric` it must be known which way is better; of {name!r} nobody has said it. "
            "Give higher_is_better=True or False."
        )
    reports = {one.run: reports_of(project, one) for one in done}
    varied = _varied(done)
    return Batch(
        metric=name,
        higher_is_better=better,
        varied=varied,
        runs=pd.DataFrame([_row(one, name, varied) for one in done]).set_index("run"),
        reports={run: known[name] for run, known in reports.items() if name in known},
    )


def _varied(runs: list[Manifest]) -> tuple[str, ...]:
    """Return the parameters that runs differ in, without seeds, in order."""
    seen: dict[str, set[str]] = {}
    for one in runs:
        for name, value in one.all_parameters.items():
            seen.setdefault(name, set()).add(repr(value))
    return tuple(
        name for name in sorted(seen) if len(seen[name]) > 1 and not seeds_of({name: None})
    )


def _row(one: Manifest, metric: str, varied: tuple[str, ...]) -> dict[str, object]:
    values = {name: one.all_parameters.get(name) for name in varied}
    only = [str(value) for value in values.values()]
    many = ", ".join(f"{name}={value}" for name, value in values.items())
    return {
        "run": one.run,
        "setting": only[0] if len(only) == 1 else many,
        "seed": ", ".join(map(str, seeds_of(one.all_parameters).values())),
        "value": one.metrics[metric].value,
        "se": math.nan if (error := one.metrics[metric].se) is None else error,
        "seconds": one.seconds,
        "memory_mb": one.peak_memory / 1e6,
        **values,
    }
