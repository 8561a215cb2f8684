"""Compare runs: two of them, or the settings of a batch, each under several seeds."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from recsys_lib.errors import ArtifactError, ConfigError
from recsys_lib.evaluation import Report
from recsys_lib.evaluation.report import group_runs
from recsys_lib.evaluation.significance import holm
from recsys_lib.evaluation.statistics import Estimate
from recsys_lib.pipeline.manifest import Manifest, Metric, read_reports, seeds_of
from recsys_lib.pipeline.pins import Pin, read_pins
from recsys_lib.pipeline.progress import text_table
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.runs import cells, find_column, find_runs, read_run, table_of, varied_in

_ALPHA = 0.05
# Share of a number below which a difference is rounding, however surely it is there: less than
# the last of the five digits that are printed.
_TRIFLE = 1e-5
_MANY = 10**9  # degrees of freedom with which Student's t is normal
_VERDICTS = {
    **dict.fromkeys(("better", "worse", "moved"), "moved by more than noise"),
    "within noise": "within noise",
    "same": "the same",
    "unknown": "without a known error",
}


# The difference of two numbers, second minus first, and the source of its error: "same users" (and
# how many seeds, if more than one), "other users", "seeds", or "" if no error is known.
_Change = tuple[Estimate, str]


def _change(value: float, noise: str = "", *errors: tuple[float, int]) -> _Change:
    """Return a change with independent errors, each a standard error and its degrees of freedom."""
    parts = tuple((error**2, degrees) for error, degrees in errors) or ((math.nan, 1),)
    return Estimate(value, np.zeros(2), _MANY, parts, np.empty(0)), noise


def _on_one_fold(reports: Sequence[Report]) -> bool:
    """Return whether reports are on the same users and targets, measured alike."""
    try:
        group_runs(reports)
    except ValueError:
        return False
    return True


def _paired_change(pairs: Sequence[tuple[Report, Report]], metric: str) -> _Change:
    r"""Return the change of a metric from the first reports to the second ones.

    Parameters
    ----------
    pairs : sequence of (Report, Report)
        One for each seed; the two of a pair on one fold.
    metric : str
        A per-user metric of all of them.

    Notes
    -----
    The squared error is the sum of what the users add, by their paired differences, and, with
        m > 1 seeds, s\ :sup:`2` / m of the differences over the seeds. If each seed has its own
        users, their luck is in both parts, so the sum errs on the wide side.
    """
    samples = [(one.sample(metric), other.sample(metric)) for one, other in pairs]
    differences = np.array([other.mean - one.mean for one, other in samples])
    influences = [other.influence - one.influence for one, other in samples]
    counts = [min(one.n_users, other.n_users) for one, other in samples]
    if _on_one_fold([one for one, _ in pairs]):
        influence, n_users = np.mean(influences, axis=0), min(counts)
    else:
        # Each seed's mean counts the same, however many users it has.
        n_users = sum(counts)
        weights = [n_users / len(counts) / count for count in counts]
        influence = np.concatenate([w * one for w, one in zip(weights, influences, strict=True)])
    n_seeds = len(pairs)
    seeds = ((float(differences.var(ddof=1)) / n_seeds, n_seeds - 1),) if n_seeds > 1 else ()
    found = Estimate(float(differences.mean()), influence, n_users, seeds, np.empty(0))
    return found, "same users" if n_seeds == 1 else f"same users, {n_seeds} seeds"


def _reports_of(project: Project, run: Manifest) -> dict[str, Report]:
    """Return the reports of a run by the names of its metrics, such as ``"03.SVD.rmse"``."""
    found: dict[str, Report] = {}
    for name in run.artifacts:
        kind, _, notebook = name.partition("_")
        if kind != "reports":
            continue
        with contextlib.suppress(ArtifactError, OSError):  # removed since, to save space
            for report in read_reports(project.artifacts(run.run) / name):
                model = f"{notebook}.{report.name}" if notebook else report.name
                found |= {f"{model}.{metric}": report for metric in report.per_user_metrics}
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class RunComparison:
    """The result of `compare_runs`.

    Attributes
    ----------
    a, b : str
        The runs.
    differences : DataFrame
        What went in: one row for each difference, ``kind, name, a, b``. Kinds are "status",
        "notebook" (which only one has run, with parameters that only it declares), "parameter",
        "data", "code", "version" and "machine".
    metrics : DataFrame
        What came out, indexed by metric: ``a``, ``b``, ``change`` = b - a, its interval ``low,
        high``, ``p_value`` corrected for the number of metrics (Holm), ``noise`` (what the change
        is held against) and ``verdict``: "same" if it is less than rounding or than the tolerance
        of the metric's pin, "better", "worse" or "moved" if it is more than noise, "within
        noise", or "unknown" if no error is known.
    """

    a: str
    b: str
    differences: pd.DataFrame
    metrics: pd.DataFrame

    @property
    def summary(self) -> str:
        """The comparison in a sentence or two."""
        kinds = self.differences["kind"].value_counts(sort=False)
        counted = ", ".join(f"{kind} ({number})" for kind, number in kinds.items())
        numbers = self.metrics["verdict"].map(_VERDICTS).value_counts()
        words = dict.fromkeys(_VERDICTS.values())
        moved = ", ".join(f"{numbers[one]} {one}" for one in words if one in numbers)
        count = len(self.metrics)
        return (
            f"What differed: {counted or 'nothing that is recorded'}. From {self.a} to {self.b}, "
            f"{count} metric{'s' * (count != 1)}: {moved or 'none to compare'}."
        )

    def text(self) -> str:
        """Return what differed and what moved as text."""
        heads, blocks = {"a": self.a, "b": self.b}, []
        if len(self.differences):
            table = cells(self.differences).rename(columns=heads)
            blocks.append(f"What differed\n{text_table(table)}")
        moved = self.metrics[self.metrics["verdict"] != "same"]
        if len(moved):
            ends = zip(moved["low"], moved["high"], strict=True)
            intervals = ["-" if low != low else f"{low:+.3g} to {high:+.3g}" for low, high in ends]
            columns = ["metric", "a", "b", "change", "interval", "noise", "verdict"]
            table = cells(moved.assign(interval=intervals).reset_index()[columns])
            table = table.rename(columns=heads)
            right = (self.a, self.b, "change")
            blocks.append(f"What moved (95 % intervals)\n{text_table(table, right=right)}")
        return "\n\n".join([*blocks, self.summary])


def compare_runs(a: str, b: str, *, project: Project | None = None) -> RunComparison:
    """Compare two runs: what differed, what moved, and whether it is more than noise.

    Parameters
    ----------
    a, b : str
        Names of runs; changes are those from `a` to `b`.
    project : Project, optional
        Found from the working directory by default.

    Returns
    -------
    RunComparison

    Raises
    ------
    ConfigError
        If there is no run of one of the names.
    ArtifactError
        If a manifest is damaged.

    Notes
    -----
    A change is held against the best error that is known, in this order. *Same users*: if both
    runs reported on the same fold, the users' differences are paired (Student's t on the influence
    of each user), which is more sensitive than two separate intervals. *Other users*: otherwise,
    the standard errors of both are added. *Seeds*: a number without a standard error is held
    against its pinned spread over seeds, with the few degrees of freedom of that measurement.

    The first two are about these two trained models. Whether the same holds under another seed
    takes several runs: sweep over seeds.
    """
    project = project or Project.find()
    one, other = read_run(project, a), read_run(project, b)
    return RunComparison(
        a=a,
        b=b,
        differences=pd.DataFrame(_differences(one, other), columns=["kind", "name", "a", "b"]),
        metrics=_moved(project, one, other),
    )


def _differences(a: Manifest, b: Manifest) -> list[tuple[str, str, Any, Any]]:
    rows, before, after = [], _parts(a), _parts(b)
    books = set(before["notebook"]), set(after["notebook"])
    alone = books[0] ^ books[1] if all(books) else set()
    for kind, one in before.items():
        for name in sorted({*one, *after[kind]}):
            pair = one.get(name), after[kind].get(name)
            # A notebook that only one has run stands for its cells and its parameters.
            missing = (name in one) != (name in after[kind])
            told = name in alone if kind == "code" else kind == "parameter" and missing
            if pair[0] != pair[1] and not (alone and told):
                rows.append((kind, name, *pair))
    return rows


def _parts(run: Manifest) -> dict[str, dict[str, Any]]:
    """Return what went into a run, by kind."""
    sources = {name: one["source"] for name, one in run.notebooks.items() if one["source"]}
    return {
        "status": {"status": run.status},
        "notebook": dict.fromkeys(sources, "made"),
        "parameter": run.all_parameters,
        "data": {**run.data, **run.data.get("inputs", {}), "inputs": None},
        "code": {**run.code, **sources},
        "version": run.versions,
        "machine": {**run.machine, "device": ", ".join(run.device)},
    }


def _moved(project: Project, a: Manifest, b: Manifest) -> pd.DataFrame:
    reports = _reports_of(project, a), _reports_of(project, b)
    rows = {}
    for name in (one for one in a.metrics if one in b.metrics):
        pin = _pin_of(project, name, a)
        found, noise = _paired(name, *reports) or _unpaired(a.metrics[name], b.metrics[name], pin)
        before, after = a.metrics[name].value, b.metrics[name].value
        same = abs(found.value) <= max(_TRIFLE * abs(before), pin.tolerance if pin else 0.0)
        # What did not move is not a test, and others need not be corrected for it.
        p_value = math.nan if same else found.p_value
        rows[name] = (before, after, found.value, *found.student_interval(), p_value, noise, same)
    columns = ["a", "b", "change", "low", "high", "p_value", "noise", "verdict"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("metric")
    table["p_value"] = holm(table["p_value"])
    table["verdict"] = [
        "same" if same else _verdict(change, p_value, b.metrics[name].higher_is_better)
        for name, change, p_value, same in table[["change", "p_value", "verdict"]].itertuples()
    ]
    return table


def _pin_of(project: Project, name: str, run: Manifest) -> Pin | None:
    """Return the pin of a number, such as ``"03.test_rmse"``, if it has one."""
    number, _, check = name.partition(".")
    notebooks = (notebook for notebook in run.notebooks if notebook[:2] == number)
    return read_pins(project.expected, next(notebooks, "")).get(check)


def _paired(name: str, a: Mapping[str, Report], b: Mapping[str, Report]) -> _Change | None:
    """Return the change over the users' differences, if they are the same users."""
    if name not in a or name not in b or not _on_one_fold([a[name], b[name]]):
        return None
    return _paired_change([(a[name], b[name])], name.rpartition(".")[2])


def _unpaired(a: Metric, b: Metric, pin: Pin | None) -> _Change:
    """Return the change against both standard errors, or against the pinned spread over seeds."""
    value = b.value - a.value
    if a.se is not None and b.se is not None:
        degrees = min(a.n_users or 2, b.n_users or 2) - 1
        return _change(value, "other users", (math.hypot(a.se, b.se), degrees))
    if pin and pin.n > 1 and pin.spread > 0:
        return _change(value, "seeds", (math.sqrt(2) * pin.spread, pin.n - 1))
    return _change(value)


def _verdict(change: float, p_value: float, higher_is_better: bool | None) -> str:
    if math.isnan(p_value):
        return "unknown"
    if p_value >= _ALPHA:
        return "within noise"
    if higher_is_better is None:
        return "moved"
    return "better" if (change > 0) == higher_is_better else "worse"


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
        The parameters that tell the settings apart, without seeds.
    runs : DataFrame
        Indexed by run: ``setting`` (as text), ``seed``, ``value``, ``se`` (over users; NaN if
        unknown), ``seconds``, ``memory_mb``, and a column for each varied parameter.
    reports : dict of str to Report
        Run -> the values of its users, if it handed them in.
    """

    metric: str
    higher_is_better: bool
    varied: tuple[str, ...]
    runs: pd.DataFrame
    reports: dict[str, Report]

    @property
    def best_run(self) -> str:
        """The single best run, by its setting and by luck."""
        values = self.runs["value"]
        return str(values.idxmax() if self.higher_is_better else values.idxmin())

    @cached_property
    def settings(self) -> pd.DataFrame:
        """The settings from the best to the worst, by the mean over their seeds.

        Indexed by ``setting``: ``value``, ``seeds`` (how many), ``lowest`` and ``highest`` run,
        ``seed_sd`` (NaN with one seed), ``se`` (of one run, over users), ``seconds`` and
        ``memory_mb`` of one run.
        """
        table = self.runs.groupby("setting", sort=False).agg(
            value=("value", "mean"),
            seeds=("value", "size"),
            lowest=("value", "min"),
            highest=("value", "max"),
            seed_sd=("value", "std"),
            **{name: (name, "mean") for name in ("se", "seconds", "memory_mb")},
        )
        return table.sort_values("value", ascending=not self.higher_is_better, kind="stable")

    @cached_property
    def behind_best(self) -> pd.DataFrame:
        """How far each other setting is behind the best one, and whether that is more than luck.

        Indexed by ``setting``: ``behind`` (positive: worse), its interval ``low, high``,
        ``p_value``, ``noise`` (what it is held against) and ``distinguishable``. The interval is
        that of the pair alone. The p-value is corrected for *all* pairs of settings (Bonferroni),
        because the best was picked as the best: among many equal settings, the luckiest is far
        from the unluckiest. What is less than rounding is never told apart.
        """
        best, *others = self.settings.index
        sign = -1 if self.higher_is_better else 1
        pairs = len(self.settings) * len(others) / 2
        rows = {}
        for setting in others:
            change, noise = self._change(best, setting)
            p_value = min(1.0, pairs * change.p_value)
            low, high = sorted(sign * end for end in change.student_interval())
            seen = abs(change.value) > _TRIFLE * abs(self.settings.loc[best, "value"])
            certain = bool(seen and p_value < _ALPHA)
            rows[setting] = (sign * change.value, low, high, p_value, noise, certain)
        columns = ["behind", "low", "high", "p_value", "noise", "distinguishable"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("setting")

    @property
    def verdict(self) -> str:
        """Whether the batch taught anything, in a sentence or two."""
        best, others = self.settings.index[0], self.behind_best
        if not len(others):
            return "There is one setting: nothing was compared."
        name = f"{self.varied[0]} = {best}" if len(self.varied) == 1 else best
        close = others.index[~others["distinguishable"]].tolist()
        if not close:
            order = f"{name} is better than every other setting by more than luck."
        elif len(close) == len(others):
            order = f"Noise: {name} came out first, but no other setting can be told from it."
        else:
            order = (
                f"{name} came out first. It cannot be told from {' or '.join(close)}, but is "
                f"better than {len(others) - len(close)} of {len(others)} others by more than luck."
            )
        if self.settings["seeds"].max() > 1:
            return order
        return f"{order} With one seed each, this is about these models, not the settings."

    def _change(self, a: str, b: str) -> _Change:
        """Return the change from setting `a` to `b`, over the seeds that both have."""
        one, other = (self.runs[self.runs["setting"] == name] for name in (a, b))
        places = one.reset_index().merge(other.reset_index(), on="seed")
        pairs = [
            (self.reports[first], self.reports[second])
            for first, second in zip(places["run_x"], places["run_y"], strict=True)
            if first in self.reports and second in self.reports
        ]
        if pairs and all(map(_on_one_fold, pairs)):
            return _paired_change(pairs, self.metric.rpartition(".")[2])
        value = float(other["value"].mean() - one["value"].mean())
        if len(one) > 1 and len(other) > 1:  # Welch's t over the spread of the seeds
            errors = [(side["value"].sem(), len(side) - 1) for side in (one, other)]
            return _change(value, "seeds", *errors)
        error = math.hypot(one["se"].mean(), other["se"].mean())
        return _change(value, "other users", (error, _MANY))


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
        If no run has one of the names, no finished run has the metric, or it is not known which
        way is better.
    """
    project = project or Project.find()
    if not names:
        raise ConfigError("A batch must have a run; got none. Give a setting and a seed at least.")
    found = find_runs(project, [names] if isinstance(names, str) else names)
    done = [one for one in found if one.status == "done"]
    name = find_column(table_of(done), metric)
    done = [one for one in done if name in one.metrics]
    if not done:
        raise ConfigError(
            f"`metric` must be measured, such as 'autoencoder.rmse'; {name!r} is given. Name one."
        )
    if higher_is_better is None:
        higher_is_better = done[0].metrics[name].higher_is_better
    if higher_is_better is None:
        raise ConfigError(
            f"For `metric` it must be known which way is better; {name!r} does not say. "
            "Judge by another, or give read_batch higher_is_better=True or False."
        )
    table = table_of(done)
    varied = [name for name in varied_in(table) if not seeds_of({name: 0})]
    reports = {one.run: _reports_of(project, one) for one in done}
    return Batch(
        metric=name,
        higher_is_better=higher_is_better,
        varied=tuple(varied),
        runs=table[["seconds", "memory_mb", *varied]].assign(
            setting=[_setting(row) for row in table[varied].to_dict("records")],
            seed=[", ".join(map(str, seeds_of(one.all_parameters).values())) for one in done],
            value=table[name],
            se=[math.nan if (se := one.metrics[name].se) is None else se for one in done],
        ),
        reports={run: known[name] for run, known in reports.items() if name in known},
    )


def _setting(values: Mapping[Any, Any]) -> str:
    """Return what varies in a run as text; of a single parameter its value says enough."""
    if len(values) == 1:
        return str(*values.values())
    return ", ".join(f"{name}={value}" for name, value in values.items())
