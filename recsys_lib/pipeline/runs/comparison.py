"""Two runs held against each other: what differed, what moved, is it more than noise."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from recsys_lib.evaluation.significance import holm
from recsys_lib.pipeline.manifest import Manifest
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.runs.noise import Change, Judge
from recsys_lib.pipeline.runs.reading import read_run

__all__ = ["RunComparison", "compare_runs"]

_CONFIDENCE = 0.95
_WORDS = {
    "by more than noise": "moved by more than noise",
    "within noise": "within noise",
    "same": "the same",
    "unknown": "without a known error",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class RunComparison:
    """What `compare_runs` found.

    Attributes
    ----------
    a, b : str
        The runs.
    differences : DataFrame
        What went in: one row a thing that differs, ``kind, name, a, b``. Kinds are "parameter",
        "data", "code", "version", "machine" and "status".
    metrics : DataFrame
        What came out, indexed by metric: ``a``, ``b``, ``change`` = b - a, its interval ``low,
        high``, ``p_value`` corrected for the number of metrics (Holm), ``noise`` (what the change
        is held against) and ``verdict``: "same", "better", "worse" or "moved" where it is more
        than noise, "within noise", or "unknown" where no error is known.
    """

    a: str
    b: str
    differences: pd.DataFrame
    metrics: pd.DataFrame

    @property
    def summary(self) -> str:
        """What there is to say, in a sentence or two."""
        kinds = self.differences["kind"].value_counts(sort=False)
        counted = ", ".join(f"{kind} ({number})" for kind, number in kinds.items())
        verdicts = self.metrics["verdict"].replace(
            ["better", "worse", "moved"], "by more than noise"
        )
        numbers = verdicts.value_counts()
        told = [f"{numbers[one]} {words}" for one, words in _WORDS.items() if one in numbers]
        return (
            f"What differed: {counted or 'nothing that is recorded'}. From {self.a} to {self.b}, "
            f"{len(verdicts)} metric{'s' * (len(verdicts) != 1)}: "
            f"{', '.join(told) or 'none to compare'}."
        )


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
        If one of them is no run.
    ArtifactError
        If a manifest is damaged.

    Notes
    -----
    A change is held against the best error that is known, in this order. *Same users*: where both
    runs reported on the same fold, the users' differences are paired (Student's t on the influence
    of each user), which sees what two separate intervals cannot. *Other users*: where they did not,
    the standard errors of both are added. *Seeds*: a number that has no standard error is held
    against its pinned spread over seeds, with the few degrees of freedom that it was measured by.

    The first two speak of these two trained models. Whether another training seed would say the
    same is a matter of several runs: sweep over seeds.
    """
    project = project or Project.find()
    one, other = read_run(project, a), read_run(project, b)
    return RunComparison(
        a=a,
        b=b,
        differences=pd.DataFrame(_differences(one, other), columns=["kind", "name", "a", "b"]),
        metrics=_moved(project, one, other),
    )


def _differences(a: Manifest, b: Manifest) -> Iterator[tuple[str, str, Any, Any]]:
    if a.status != b.status:
        yield "status", "status", a.status, b.status
    for kind, part in _PARTS.items():
        yield from _unlike(kind, part(a), part(b))


def _unlike(
    kind: str, a: Mapping[str, Any], b: Mapping[str, Any]
) -> Iterator[tuple[str, str, Any, Any]]:
    for name in sorted({*a, *b}):
        if a.get(name) != b.get(name):
            yield kind, name, a.get(name), b.get(name)


def _data(one: Manifest) -> dict[str, Any]:
    return {**one.data, **one.data.get("inputs", {}), "inputs": None}


def _code(one: Manifest) -> dict[str, Any]:
    sources = {name: entry["source"] for name, entry in one.notebooks.items() if entry["source"]}
    return {**one.code, **sources}


def _machine(one: Manifest) -> dict[str, Any]:
    return {**one.machine, "device": ", ".join(one.device)}


_PARTS: dict[str, Callable[[Manifest], dict[str, Any]]] = {
    "parameter": lambda one: one.all_parameters,
    "data": _data,
    "code": _code,
    "version": lambda one: one.versions,
    "machine": _machine,
}


def _moved(project: Project, a: Manifest, b: Manifest) -> pd.DataFrame:
    judge = Judge(project, a, b)
    changes = {name: judge.change(name) for name in a.metrics if name in b.metrics}
    # What did not move at all is no test, and others need not be corrected for it.
    corrected = holm([one.p_value if one.value else math.nan for one in changes.values()])
    rows = {}
    for (name, change), p_value in zip(changes.items(), corrected, strict=True):
        low, high = change.interval(_CONFIDENCE)
        one, other = a.metrics[name], b.metrics[name]
        verdict = _verdict(change, p_value, other.higher_is_better)
        rows[name] = (
            one.value,
            other.value,
            change.value,
            low,
            high,
            p_value,
            change.noise,
            verdict,
        )
    columns = ["a", "b", "change", "low", "high", "p_value", "noise", "verdict"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("metric")


def _verdict(change: Change, p_value: float, higher_is_better: bool | None) -> str:
    if change.value == 0:
        return "same"
    if math.isnan(p_value):
        return "unknown"
    if p_value >= 1 - _CONFIDENCE:
        return "within noise"
    if higher_is_better is None:
        return "moved"
    return "better" if (change.value > 0) == higher_is_better else "worse"
