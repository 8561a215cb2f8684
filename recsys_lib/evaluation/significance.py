"""Paired comparisons of models over users, corrected for the number of pairs.

With thousands of users nearly every difference is significant, so the size of the effect stands
beside each p-value; Wilcoxon and sign tests are left out, because their false-alarm rate on such
data is inflated [1]_.

References
----------
.. [1] N. Ihemelandu, M. D. Ekstrand, "Inference at Scale: Significance Testing for Large Search
   and Recommendation Experiments", SIGIR 2023. https://arxiv.org/abs/2305.02461
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from recsys_lib.checks import Doubles
from recsys_lib.errors import ConfigError
from recsys_lib.evaluation.metrics import Metric, parse_metric, parse_metrics
from recsys_lib.evaluation.report import Report, Runs, group_runs
from recsys_lib.evaluation.statistics import ALPHA, CONFIDENCE, Estimate, estimates
from recsys_lib.formatting import Shown


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison(Shown):
    """The result of `compare`.

    Attributes
    ----------
    table : DataFrame
        One row per metric and pair of models, the better one first: ``metric, a, b, value_a,
        value_b, difference, low, high, se, p_value, p_holm, distinguishable, relative, effect_size,
        share_better, n_users, seeds_a, seeds_b``. See `compare`.
    scores : DataFrame
        One row per metric and model, best first: ``metric, model, value, se, low, high, n_users,
        seeds, seed_sd``.
    verdicts : dict of str to str
        One plain sentence or two per metric.
    """

    table: pd.DataFrame
    scores: pd.DataFrame
    verdicts: Mapping[str, str]

    @property
    def verdict(self) -> str:
        """The verdict on the first metric."""
        return next(iter(self.verdicts.values()))

    def _title(self) -> str:
        return " ".join(self.verdicts.values())

    def _facts(self) -> pd.DataFrame:
        columns = ["metric", "model", "value", "low", "high", "n_users"]
        return self.scores[columns].rename(columns={"n_users": "users"})

    def __repr__(self) -> str:
        return f"Comparison({' '.join(self.verdicts.values())})"


def holm(p_values: ArrayLike) -> Doubles:
    """Return p-values corrected for their number by Holm's step-down method.

    Parameters
    ----------
    p_values : array of shape (n_tests,), float
        In [0, 1]. NaN, a test that could not be made, stays NaN and is not counted.

    Returns
    -------
    ndarray of shape (n_tests,), float64
        Rejecting where this is below alpha keeps the chance of any false alarm below alpha.

    References
    ----------
    .. [1] S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal
       of Statistics 6(2), 1979.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    values = np.asarray(p_values, dtype=np.float64)
    corrected = np.full(values.shape, np.nan)
    tests = np.flatnonzero(~np.isnan(values))
    order = tests[np.argsort(values[tests], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(factors * values[order]))
    return corrected


def compare(
    reports: Iterable[Report],
    metrics: Sequence[str] | None = None,
    *,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    r"""Compare models on the same users, pair by pair.

    Parameters
    ----------
    reports : iterable of Report
        All on one fold, of at least two models. Several reports of one name are runs of one model
        with other training seeds.
    metrics : sequence of str, optional
        Per-user metrics; all that the reports share where it is not given.
    n_resamples : int
        Bootstrap draws.
    seed : int
        Of the draws.

    Returns
    -------
    Comparison
        In ``table``: ``difference`` = value of `a` - value of `b`, where `a` is the better one;
        ``low, high`` its 95 % interval, of this pair alone; ``p_holm`` the p-value corrected for
        all pairs of the metric; ``distinguishable`` whether it is below 0.05; ``relative`` =
        difference / \|value of b\|; ``effect_size`` = difference / standard deviation of the users'
        differences (Cohen's d of pairs: 0.2 is small); ``share_better`` the share of users whom `a`
        serves better, ties counted half.

    Raises
    ------
    ConfigError
        If a metric is not in every report, or has no value per user.
    ValueError
        If there are fewer than two models, or the reports are not on the same users and targets.

    Notes
    -----
    Two sources of luck are kept apart. *Users*: others would give another mean; their part is
    s_user^2 / n, from the users' paired differences. *Seeds*: another initialization would give
    another model; their part is s_seed^2 / m for each model with m > 1 runs. The squared standard
    error is the sum. With one run of each model the interval is the paired percentile bootstrap
    over users (`percentile_interval`), or Student's t where the two disagree about 0, and speaks of
    these two *trained models*, not of the methods; with several it is Student's t on the sum, with
    Welch and Satterthwaite's degrees of freedom. (The spread of runs on the same users holds a
    little of the users' part as well; the sum errs on the wide side.)
    p-values are of Student's t on the same standard error, exact for means of many users, because
    a bootstrap p-value cannot be smaller than 1 / `n_resamples` and would not survive the
    correction for many pairs. None is below 2 ** (1 - n), that of all n users having one sign, so
    that fewer than six tell no models apart, and get no interval.

    Cost: `n_resamples` x n_users for all models and metrics at once; 5 s for 10,000 users.

    References
    ----------
    .. [1] N. Ihemelandu, M. D. Ekstrand, "Inference at Scale", SIGIR 2023, arXiv:2305.02461.
    .. [2] B. Efron, R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    .. [3] F. E. Satterthwaite, "An approximate distribution of estimates of variance components",
       Biometrics Bulletin 2(6), 1946.

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.dataset import Fold
    >>> from recsys_lib.evaluation import evaluate
    >>> class Favorite:
    ...     def __init__(self, item):
    ...         self.item = item
    ...     def score(self, user_items):
    ...         return np.eye(3)[[self.item] * user_items.shape[0]]
    >>> wanted = sparse.csr_array(np.eye(3)[[1] * 30 + [2] * 10])
    >>> fold = Fold(fold_in=sparse.csr_array((40, 3)), targets=wanted, users=np.arange(40))
    >>> reports = [evaluate(Favorite(i), fold, ["recall@1"], name=f"item {i}") for i in (1, 2)]
    >>> compare(reports).verdict
    'item 1 leads item 2 by 0.5000 in recall@1 (95 % interval 0.2000 to 0.7500).'
    """
    models = group_runs(reports)
    if len(models) < 2:
        raise ValueError(
            f"`reports` must be of at least two models; got {[runs.name for runs in models]}. "
            "Give each its own name=."
        )
    asked = metrics_of(models, metrics)
    samples = [runs.mean_sample(metric.name) for metric in asked for runs in models]
    found = iter(estimates(samples, n_resamples=n_resamples, seed=seed))
    tables, scores, verdicts = [], [], {}
    for metric in asked:
        sign = 1.0 if metric.higher_is_better is False else -1.0
        standings = [_Standing(runs, next(found)) for runs in models]
        standings.sort(key=lambda one: (sign * one.estimate.value, one.runs.name))
        scores.append(pd.DataFrame([one.row(metric) for one in standings]))
        tables.append(_pairs(standings, metric))
        verdicts[metric.name] = state_verdict(scores[-1], tables[-1])
    return Comparison(
        table=pd.concat(tables, ignore_index=True),
        scores=pd.concat(scores, ignore_index=True),
        verdicts=verdicts,
    )


def metrics_of(models: Sequence[Runs], names: Sequence[str] | None) -> tuple[Metric, ...]:
    """Return the metrics of these names, or where none are given those that all models share."""
    if names is None:
        first, *others = (report.per_user_metrics for runs in models for report in runs.reports)
        names = [metric for metric in first if all(metric in other for other in others)]
        if not names:
            raise ConfigError(
                "`reports` must share a per-user metric; they share none. "
                "Evaluate all with the same metrics."
            )
    return parse_metrics(names)


class _Standing(NamedTuple):
    """One model in one metric."""

    runs: Runs
    estimate: Estimate

    def row(self, metric: Metric) -> dict[str, object]:
        seeds = {"seeds": len(self.runs.reports), "seed_sd": self.runs.seed_spread(metric.name)}
        return {"metric": metric.name, "model": self.runs.name, **self.estimate.row(), **seeds}


def _pairs(standings: Sequence[_Standing], metric: Metric) -> pd.DataFrame:
    """Return one row a pair, the better model first."""
    table = pd.DataFrame([_pair(a, b, metric) for a, b in combinations(standings, 2)])
    place = list(table.columns).index("p_value") + 1
    table.insert(place, "p_holm", holm(table["p_value"]))
    table.insert(place + 1, "distinguishable", table["p_holm"] < ALPHA)
    return table


def _pair(a: _Standing, b: _Standing, metric: Metric) -> dict[str, object]:
    difference = a.estimate - b.estimate
    low, high = difference.interval_around_zero()
    spread = difference.user_error * difference.n_users**0.5
    base = abs(b.estimate.value)
    return {
        "metric": metric.name,
        "a": a.runs.name,
        "b": b.runs.name,
        "value_a": a.estimate.value,
        "value_b": b.estimate.value,
        "difference": difference.value,
        "low": low,
        "high": high,
        "se": difference.standard_error,
        "p_value": difference.p_value,
        "relative": difference.value / base if base > 0 else np.nan,
        "effect_size": difference.value / spread if spread > 0 else np.nan,
        "share_better": _share_better(a.runs, b.runs, metric),
        "n_users": difference.n_users,
        "seeds_a": len(a.runs.reports),
        "seeds_b": len(b.runs.reports),
    }


def _share_better(a: Runs, b: Runs, metric: Metric) -> float:
    """Share of users with the better value under `a`, equal ones counted half."""
    ours, theirs = a.mean_sample(metric.name), b.mean_sample(metric.name)
    counted = (ours.weights > 0) & (theirs.weights > 0)
    ahead = (ours.per_user - theirs.per_user)[counted]
    ahead *= -1 if metric.higher_is_better is False else 1
    return float(((ahead > 0) + 0.5 * (ahead == 0)).mean()) if len(ahead) else float("nan")


def state_verdict(scores: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """State who leads in one metric and by how much, and who cannot be told apart.

    Parameters
    ----------
    scores : DataFrame
        The rows of one metric in ``Comparison.scores``, best first.
    pairs : DataFrame
        The rows of that metric in ``Comparison.table``.

    Returns
    -------
    str

    Examples
    --------
    >>> scores = pd.DataFrame({"metric": "rmse", "model": ["A", "B"]})
    >>> pairs = pd.DataFrame({"a": ["A"], "b": ["B"], "difference": [-0.02], "low": [-0.03],
    ...     "high": [-0.01], "distinguishable": [True]})
    >>> state_verdict(scores, pairs)
    'A leads B by 0.0200 in rmse, where lower is better (95 % interval 0.0100 to 0.0300).'
    """
    metric = parse_metric(str(scores["metric"].iloc[0]))
    leader = str(scores["model"].iloc[0])
    rows = pairs[pairs["a"] == leader].set_index("b").reindex(scores["model"].iloc[1:])
    led, tied = rows[rows["distinguishable"]], rows[~rows["distinguishable"].astype(bool)]
    verb = "leads" if metric.higher_is_better is not None else "lies above"
    lower = ", where lower is better" if metric.higher_is_better is False else ""
    where = f" in {metric.name}{lower}"
    if (pairs[["difference", "low", "high"]] == 0).all(axis=None):
        return (
            f"Every user has the same {metric.name} from {_list(scores['model'])}, as where a list "
            "holds all or nothing of what is left: nothing tells them apart. Another length may."
        )
    if led.empty:
        first = f"{leader} is not distinguishable from {tied.index[0]}{where}"
        # The interval is of this pair alone, the verdict of all.
        if tied["low"].iloc[0] > 0 or tied["high"].iloc[0] < 0:
            first += f" once all {len(pairs)} pairs are accounted for"
        first += f" (difference {_amount(tied.iloc[0])})"
        return _sentence(first, [f"nor from {_list(tied.index[1:])}"] if len(tied) > 1 else [])
    nearest = led.iloc[0]
    size, interval = _amount(nearest).split(", ", 1)
    first = f"{leader} {verb} {led.index[0]} by {size}{where} ({interval})"
    rest = [f"and {_list(led.index[1:])} by more"] if len(led) > 1 else []
    if len(tied):
        rest.append(f"not distinguishable from {_list(tied.index)}")
    return _sentence(first, rest)


def _amount(row: pd.Series) -> str:
    """The lead and its interval, counted so that a positive lead is a better one."""
    sign = -1.0 if row["difference"] < 0 else 1.0
    low, high = sorted((sign * row["low"], sign * row["high"]))
    size = sign * row["difference"]
    if pd.isna(low):
        return f"{size:.4f}, too few users for an interval"
    return f"{size:.4f}, {100 * CONFIDENCE:g} % interval {low:.4f} to {high:.4f}"


def _list(names: pd.Index) -> str:
    words = [str(name) for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _sentence(first: str, rest: list[str]) -> str:
    return "; ".join([first, *rest]) + "."


def gains_of_steps(
    reports: Mapping[str, Report],
    steps: Mapping[str, str],
    metric: str,
    *,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the gain of each variant over the one it was derived from.

    Parameters
    ----------
    reports : mapping of str to Report
        Of all variants, on one fold.
    steps : mapping of str to str
        Variant -> the variant before it.
    metric : str
        A per-user metric.
    n_resamples, seed : int
        Of the paired bootstrap interval over users.

    Returns
    -------
    DataFrame
        Indexed by ``step, instead_of``: ``gain`` = value with the step - value before it, its
        interval ``low`` and ``high``, ``p_holm`` corrected for the number of steps, and ``certain``
        whether that is below 0.05.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> from recsys_lib.dataset import Fold
    >>> from recsys_lib.evaluation import evaluate
    >>> from recsys_lib.models import Popularity
    >>> wanted = sparse.csr_array(np.eye(3)[[2] * 30 + [1] * 10])
    >>> fold = Fold(fold_in=sparse.csr_array((40, 3)), targets=wanted, users=np.arange(40))
    >>> used = {"plain": [[0, 1, 0], [0, 1, 1]], "better": [[0, 0, 1], [0, 1, 1]]}
    >>> models = {n: Popularity().fit(sparse.csr_array(rows)) for n, rows in used.items()}
    >>> reports = {n: evaluate(model, fold, ["mrr@3"]) for n, model in models.items()}
    >>> gains_of_steps(reports, {"better": "plain"}, "mrr@3")[["gain", "certain"]]
                       gain  certain
    step   instead_of
    better plain       0.25     True
    """
    rows = {}
    for step in steps.items():
        group_runs(reports[name] for name in step)  # raises where they are not on one fold
        samples = [reports[name].sample(metric) for name in step]
        after, before = estimates(samples, n_resamples=n_resamples, seed=seed)
        gain = after - before
        rows[step] = (gain.value, *gain.interval_around_zero(), gain.p_value)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["gain", "low", "high", "p_holm"])
    table.index = pd.MultiIndex.from_tuples(rows, names=["step", "instead_of"])
    table["p_holm"] = holm(table["p_holm"])
    return table.assign(certain=table["p_holm"] < ALPHA)
