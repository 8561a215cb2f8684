"""The leaderboard: floors, models and ceilings with intervals and the gap closed.

The floor is what needs no model: chance, popularity, the mean rating. The ceiling is what nobody
can beat: an oracle that knows the truth of a world. On real data nobody knows it, and its rows are
absent. Held-out ratings are ratings of items that somebody chose; where the truth is known, models
can also be judged on the pairs that nobody chose, which is where a list of recommendations lives.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from recsys_lib.checks import CSR, Floats, Integers, Ints, check_fraction, check_integer, check_kind
from recsys_lib.dataset import Fold, Split, likes_of
from recsys_lib.errors import ConfigError
from recsys_lib.evaluation.evaluate import count_items, evaluate
from recsys_lib.evaluation.metrics import parse_metric, parse_metrics
from recsys_lib.evaluation.report import Report, group_runs, listed
from recsys_lib.evaluation.significance import compare, metrics_of
from recsys_lib.evaluation.statistics import ALPHA, Estimate, estimates, percentile_interval
from recsys_lib.models import GlobalMean, Popularity
from recsys_lib.models.neural import mean_nll
from recsys_lib.ranking import mask_seen, top_k
from recsys_lib.seeding import rng_from
from recsys_lib.synthesis import Truth
from recsys_lib.synthesis.oracle import hidden_chance

#: Names of the rows that need no model, and of those that know the truth; see `reference_reports`.
FLOORS = ("random", "popularity", "mean rating")
CEILINGS = ("fold-in oracle", "omniscient")


def leaderboard(
    reports: Sequence[Report], metric: str, *, n_resamples: int = 2_000, seed: int = 0
) -> pd.DataFrame:
    """Rank models in one metric between the floor and the ceiling.

    Parameters
    ----------
    reports : sequence of Report
        On one fold; those without the metric are left out. `FLOORS` and `CEILINGS` are names that
        are no models, from low to high; real data has no oracle. The gap is that from the last
        floor to the first ceiling.
    metric : str
        A per-user metric, such as ``"rmse"`` or ``"ndcg@10"``.
    n_resamples, seed : int
        Of the bootstrap, whose 95 % interval is over users.

    Returns
    -------
    DataFrame
        Indexed by ``model``: floors, models from worst to best, ceilings. ``value``, its interval
        ``low`` and ``high``, ``role`` in {"floor", "model", "ceiling"}, and, where there is a
        ceiling, ``gap``: the share of the gap closed (see `share_of_gap_closed`), NaN beyond it.

    Raises
    ------
    ConfigError
        If fewer than two reports hold the metric.

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.dataset import Fold
    >>> from recsys_lib.evaluation import evaluate
    >>> from recsys_lib.models import Popularity
    >>> wanted = sparse.csr_array(np.eye(3)[[2] * 30 + [1] * 10])
    >>> fold = Fold(fold_in=sparse.csr_array((40, 3)), targets=wanted, users=np.arange(40))
    >>> first, second, third = np.eye(3, dtype=int)
    >>> used = {
    ...     "popularity": [first, first, second],
    ...     "knn": [second, second, third],
    ...     "omniscient": [third, third, second],
    ... }
    >>> models = {n: Popularity().fit(sparse.csr_array(rows)) for n, rows in used.items()}
    >>> reports = [evaluate(m, fold, ["mrr@3"], name=n) for n, m in models.items()]
    >>> leaderboard(reports, "mrr@3")[["value", "role", "gap"]].round(3)
                value     role  gap
    model
    popularity  0.375    floor  0.0
    knn         0.625    model  0.5
    omniscient  0.875  ceiling  1.0
    """
    reports = listed(reports)
    shared = [report for report in reports if metric in report.metrics]
    if len(shared) < 2:
        raise ConfigError(
            f"`reports` must hold {metric!r} at least twice; {len(shared)} of {len(reports)} do. "
            f"Evaluate with metrics=({metric!r}, ...)."
        )
    options: dict[str, Any] = {"n_resamples": n_resamples, "seed": seed}
    scores = compare(shared, [metric], **options).scores.set_index("model")
    best_last = parse_metric(metric).higher_is_better is not False
    ranked = scores.sort_values("value", ascending=best_last, kind="stable").index
    low_ends = [name for name in FLOORS if name in ranked]
    high_ends = [name for name in CEILINGS if name in ranked]
    models = [name for name in ranked if name not in low_ends + high_ends]
    table = scores.loc[[*low_ends, *models, *high_ends], ["value", "low", "high"]]
    roles = ["floor"] * len(low_ends) + ["model"] * len(models) + ["ceiling"] * len(high_ends)
    table["role"] = roles
    if low_ends and high_ends:
        last = {report.name: report for report in shared}
        ends: dict[str, Any] = {"floor": last[low_ends[-1]], "ceiling": last[high_ends[0]]}
        found = share_of_gap_closed(shared, metrics=[metric], **ends, **options)
        within = [low_ends[-1], *models, high_ends[0]]
        table["gap"] = found.set_index("model")["share"][within]
    return table


def metric_table(reports: Sequence[Report], metrics: Sequence[str]) -> pd.DataFrame:
    """Return the values of several metrics, one row a report and one column a metric.

    Parameters
    ----------
    reports : sequence of Report
    metrics : sequence of str
        Such as ``["ndcg@10", "coverage@10"]``; every report has them.

    Returns
    -------
    DataFrame
        Indexed by ``model``, the name of the report; float64.

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.dataset import Fold
    >>> from recsys_lib.evaluation import evaluate
    >>> from recsys_lib.models import Popularity
    >>> used = sparse.csr_array([[1, 1, 0], [1, 0, 0]], dtype="float32")
    >>> fold = Fold(fold_in=used[[1]], targets=sparse.csr_array([[0, 1, 0]], dtype="float32"))
    >>> metric_table([evaluate(Popularity().fit(used), fold, ["mrr@2"])], ["mrr@2"])
                mrr@2
    model
    Popularity    1.0
    """
    metrics = [metrics] if isinstance(metrics, str) else metrics
    rows = {one.name: [one[metric] for metric in metrics] for one in listed(reports)}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(metrics))
    return table.rename_axis("model")


def share_of_gap_closed(
    reports: Sequence[Report],
    *,
    floor: Report,
    ceiling: Report,
    metrics: Sequence[str] | None = None,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return the share of the gap each model closes: (model - floor) / (ceiling - floor).

    Parameters
    ----------
    reports : sequence of Report
        On the fold of `floor` and `ceiling`. Reports of one name are runs of one model.
    floor, ceiling : Report
        Such as popularity and an oracle.
    metrics : sequence of str, optional
        Per-user metrics; all that every report holds where it is not given.
    n_resamples, seed : int
        Of the paired bootstrap over users.

    Returns
    -------
    DataFrame
        Columns ``metric, model, value, floor, ceiling, share, low, high, n_users``. ``share`` is 0
        at the floor, 1 at the ceiling, below 0 for a model that is worse than the floor, and NaN
        where the gap itself is not distinguishable from 0, as in a world without anything to learn.

    Raises
    ------
    ConfigError
        If the reports share no per-user metric.
    ValueError
        If they are not on one fold.

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.dataset import Fold
    >>> from recsys_lib.evaluation import evaluate
    >>> from recsys_lib.models import Popularity
    >>> wanted = sparse.csr_array(np.eye(3)[[2] * 30 + [1] * 10])
    >>> fold = Fold(fold_in=sparse.csr_array((40, 3)), targets=wanted, users=np.arange(40))
    >>> class Oracle:
    ...     def score_users(self, users, fold_in):
    ...         return wanted[users].toarray()
    >>> rows = sparse.csr_array([[1, 0, 0]]), sparse.csr_array([[0, 0, 1]])
    >>> worst, middle = (Popularity().fit(row) for row in rows)
    >>> floor, model, top = (
    ...     evaluate(one, fold, ["recall@1"], name=name)
    ...     for one, name in ((worst, "floor"), (middle, "model"), (Oracle(), "oracle"))
    ... )
    >>> share_of_gap_closed([model], floor=floor, ceiling=top)[["model", "value", "share"]]
       model  value  share
    0  model   0.75   0.75
    """
    group_runs([floor, ceiling, *reports])  # raises where they are not on one fold
    models = [*group_runs([floor]), *group_runs([ceiling]), *group_runs(reports)]
    rows: list[dict[str, Any]] = []
    for metric in metrics_of(models, metrics):
        samples = [runs.mean_sample(metric.name) for runs in models]
        bottom, top, *found = estimates(samples, n_resamples=n_resamples, seed=seed)
        for runs, one in zip(models[2:], found, strict=True):
            ends = {"value": one.value, "floor": bottom.value, "ceiling": top.value}
            closed = _gap_closed(one - bottom, top - bottom)
            rows.append({"metric": metric.name, "model": runs.name, **ends, **closed})
    return pd.DataFrame(rows)


def _gap_closed(gain: Estimate, gap: Estimate) -> dict[str, float]:
    share, low, high = (np.nan,) * 3
    if gap.p_value < ALPHA:  # there is something to learn
        share, some = gain.value / gap.value, gap.draws != 0  # a draw of no gap has no share
        low, high = percentile_interval(gain.draws[some] / gap.draws[some])
    return {"share": share, "low": low, "high": high, "n_users": gap.n_users}


class RandomOrder:
    """Random scores: the floor of every ranking.

    Parameters
    ----------
    seed : int
        A user's scores depend on it and on the user only, not on who is scored beside.

    Examples
    --------
    >>> from scipy import sparse
    >>> scores = RandomOrder().score_users(np.array([3, 4, 3]), sparse.csr_array((3, 5)))
    >>> bool((scores[0] == scores[2]).all()), bool((scores[0] == scores[1]).any())
    (True, False)
    """

    predicts = "rank"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def score_users(self, users: Ints, fold_in: CSR) -> Floats:
        """Return scores of shape (n_rows, n_items), uniform on [0, 1)."""
        scores = np.empty(fold_in.shape, dtype=np.float32)
        for row, user in enumerate(users.tolist()):
            rng = rng_from(self.seed, "evaluation", "random order", str(user))
            scores[row] = rng.random(scores.shape[1], dtype=np.float32)
        return scores


def reference_reports(
    fold: Fold,
    metrics: Sequence[str] = ("ndcg@100", "recall@20"),
    *,
    oracles: Mapping[str, Any] | None = None,
    item_counts: Integers | None = None,
    mean_rating: float | None = None,
    seed: int = 0,
    **options: Any,
) -> list[Report]:
    """Return the floor and, where the truth is known, the ceiling of a table.

    Parameters
    ----------
    fold : Fold
    metrics : sequence of str
        Each row holds those it has a meaning for: "random" and "popularity" the ranking metrics,
        "mean rating" the rating errors, an oracle those it declares by ``predicts``.
    oracles : dict of str to scorer, optional
        Name in the table to anything that `evaluate` takes, such as ``{"fold-in oracle":
        FoldInOracle(world.truth), "omniscient": OmniscientOracle(world.truth)}``, the names that
        `leaderboard` knows. Not given on real data.
    item_counts : ndarray of shape (n_items,), int, optional
        Interactions of each item in the training data; counted in the fold-in if not given.
    mean_rating : float, optional
        Of the training ratings; taken from the fold-in if not given.
    seed : int
        Of the random row and the order among equal scores.
    **options
        Passed on to `evaluate`, so that the rows are measured as the models are: ``min_value``,
        ``batch_size``, ``rating_scale``.

    Returns
    -------
    list of Report
        Floors first, then the oracles in the order they were given.

    Examples
    --------
    >>> from scipy import sparse
    >>> seen, wanted = sparse.csr_array([[0, 5.0, 0]]), sparse.csr_array([[4.0, 0, 0]])
    >>> fold = Fold(fold_in=seen, targets=wanted, users=np.array([0]))
    >>> reference_reports(fold, ["recall@2", "rmse"])
    [Report('random', recall@2 1.0000, 1 users),
     Report('popularity', recall@2 1.0000, 1 users),
     Report('mean rating', rmse 1.0000, 1 users)]
    """
    check_kind("fold", fold, Fold)
    counts = count_items(item_counts, fold)
    known = fold.fold_in.data
    mean = float(known.mean()) if mean_rating is None and len(known) else mean_rating
    asked = parse_metrics(metrics)
    ranking = [metric.name for metric in asked if metric.kind != "rating"]
    errors = [metric.name for metric in asked if metric.kind == "rating"]
    scorers: dict[str, Any] = {"random": RandomOrder(seed), "popularity": _by_counts(counts)}
    names = dict.fromkeys(scorers, ranking)
    if mean is not None:
        scorers["mean rating"], names["mean rating"] = _by_mean(mean, len(counts)), errors
    for name, oracle in (oracles or {}).items():
        rates = getattr(oracle, "predicts", "rating") == "rating"
        scorers[name] = oracle
        names[name] = [metric.name for metric in asked] if rates else ranking
    options |= {"seed": seed, "item_counts": counts}
    return [
        evaluate(scorer, fold, names[name], name=name, **options)
        for name, scorer in scorers.items()
        if names[name]
    ]


def _by_counts(counts: Ints) -> Popularity:
    """Return the popularity of items that are counted already."""
    model = Popularity()
    model.n_items_, model.item_shares_ = len(counts), counts.astype(np.float32)
    return model


def _by_mean(mean: float, n_items: int) -> GlobalMean:
    """Return the mean rating that is known already."""
    model = GlobalMean()
    model.n_items_, model.mean_ = n_items, mean
    return model


def evaluate_all(
    models: Mapping[str, Any],
    split: Split,
    metrics: Sequence[str],
    *,
    oracles: Mapping[str, Any] | None = None,
    min_value: float | None = None,
    **options: Any,
) -> list[Report]:
    """Return the reports of a whole table on the test: floors, oracles, and models by their names.

    Parameters
    ----------
    models : mapping of str to model
        Fitted on the training part.
    split : Split
    metrics, oracles, **options
        As of `reference_reports`.
    min_value : float, optional
        Lowest value that counts as a like, in targets and for the popularity of the training part.

    Returns
    -------
    list of Report

    Examples
    --------
    >>> from scipy import sparse
    >>> seen, wanted = sparse.csr_array([[0, 5.0, 0]]), sparse.csr_array([[4.0, 0, 0]])
    >>> fold = Fold(fold_in=seen, targets=wanted, users=np.array([0]))
    >>> split = Split(train=seen, validation=fold, test=fold, train_users=np.array([0]))
    >>> evaluate_all({"four stars": GlobalMean().fit(wanted)}, split, ["rmse"])
    [Report('mean rating', rmse 1.0000, 1 users), Report('four stars', rmse 0.0000, 1 users)]
    """
    check_kind("split", split, Split)
    check_kind("models", models, Mapping)
    liked = likes_of(split.train, min_value)
    counts = np.bincount(liked.indices, minlength=liked.shape[1])
    floors = reference_reports(
        split.test, metrics, oracles=oracles, item_counts=counts, min_value=min_value, **options
    )
    options |= {"item_counts": counts, "min_value": min_value}
    return floors + [
        evaluate(model, split.test, metrics, name=name, **options) for name, model in models.items()
    ]


def error_levels(
    models: Mapping[str, Any],
    split: Split,
    *,
    oracles: Mapping[str, Any] | None = None,
    rating_scale: tuple[float, float] | None = None,
) -> dict[str, float]:
    """Return the validation errors of what needs no training, for the figure of a training.

    Parameters
    ----------
    models : mapping of str to model
        Fitted.
    split : Split
    oracles : mapping of str to scorer, optional
    rating_scale : tuple of float, optional
        None for likes.

    Returns
    -------
    dict of str to float
        RMSE of the mean rating, of `models` and of the oracles; of likes the negative
        log-likelihood of popularity, in nats.

    Examples
    --------
    >>> from scipy import sparse
    >>> likes = sparse.csr_array([[1.0, 0, 0], [1.0, 1.0, 0]])
    >>> fold = Fold(fold_in=likes[[0]], targets=likes[[1]] - likes[[0]], users=np.array([1]))
    >>> split = Split(train=likes, validation=fold, test=fold, train_users=np.arange(2))
    >>> {name: round(level, 2) for name, level in error_levels({}, split).items()}
    {'popularity': 0.29}
    """
    fold = split.validation
    if rating_scale is not None:
        asked: dict[str, Any] = {"metrics": ["rmse"], "rating_scale": rating_scale}
        reports = reference_reports(fold, oracles=oracles, **asked)
        reports += [evaluate(model, fold, name=name, **asked) for name, model in models.items()]
        return {report.name: report["rmse"] for report in reports}
    popular = np.log(np.bincount(split.train.indices, minlength=split.train.shape[1]) + 0.5)
    return {"popularity": mean_nll(lambda rows: np.broadcast_to(popular, rows.shape), fold)}


def measured_and_true(
    models: Mapping[str, Any],
    fold: Fold,
    truth: Truth,
    *,
    k: int = 10,
    min_value: float = 7.0,
    share: float = 0.8,
    seed: int = 0,
) -> pd.DataFrame:
    r"""Evaluate models on held-out ratings and on the truth of all pairs.

    Parameters
    ----------
    models : mapping of str to model
        Fitted; of ratings or of likes (`OnLikes`).
    fold : Fold
        Ratings of users of the world.
    truth : Truth
        Of that world.
    k : int
        Length of a list.
    min_value : float
        Lowest rating that counts as a like.
    share : float
        Share of each history that `fold` shows, in (0, 1).
    seed : int
        Of the order among equal scores.

    Returns
    -------
    DataFrame
        Indexed by ``model``. ``measured_list``: ndcg\@k of held-out likes; ``true_list``: the share
        of the listed items that their user would truly like, in expectation. ``measured_rmse``: on
        the held-out ratings; ``weighted_rmse``: on the same ones, each weighted by the inverse of
        its true chance of being among them [1]_; ``true_rmse``: on all items not shown, each with
        the noise that its rating would have; ``counts``: how many ratings without weights would be
        as telling as the weighted ones (Kish). NaN for models whose scores are no ratings.

    Notes
    -----
    The true error of a prediction :math:`\hat r` is :math:`(\hat r - E[r])^2 + Var[r]`: what is
    expected over the ratings that could be given, without drawing any. Lists and predictions are
    those of the same scores. Dense: n_users x n_items numbers, some ten times.

    The weights are known here; on real data they would have to be estimated, or made by showing
    some items at random.

    References
    ----------
    .. [1] T. Schnabel, A. Swaminathan, A. Singh, N. Chandak, T. Joachims, "Recommendations as
       Treatments: Debiasing Learning and Evaluation", ICML 2016, eq. 11 (self-normalized).

    Examples
    --------
    >>> from recsys_lib import make_world, strong_generalization
    >>> from recsys_lib.models import Bias
    >>> world = make_world(n_users=200, n_items=30)
    >>> split = strong_generalization(world.dataset())
    >>> table = measured_and_true({"biases": Bias().fit(split.train)}, split.test, world.truth)
    >>> bool(table.loc["biases", "true_rmse"] > table.loc["biases", "measured_rmse"])
    True
    """
    check_integer("k", k, minimum=1)
    check_fraction("share", share)
    ndcg, rows = f"ndcg@{k}", {}
    for name, model in models.items():
        rates = getattr(model, "predicts", "rating") == "rating"
        metrics = [ndcg, "rmse"] if rates else [ndcg]
        report = evaluate(model, fold, metrics, name=name, min_value=min_value, seed=seed)
        scores = model.score(fold.fold_in)
        listed = top_k(scores, k, exclude=fold.fold_in, seed=seed).items
        chance = truth.like_probability(fold.users, min_value)
        chance = np.take_along_axis(chance, np.maximum(listed, 0), axis=1)
        rows[name] = {"measured_list": report[ndcg], "true_list": chance[listed >= 0].mean()}
        if rates:
            rows[name] |= {"measured_rmse": report["rmse"], **_errors(scores, fold, truth, share)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def _errors(scores: Floats, fold: Fold, truth: Truth, share: float) -> dict[str, float]:
    """Return the weighted held-out error, and the expected error on all pairs not shown."""
    predicted = np.clip(scores.astype(np.float64), *truth.settings.rating_scale)
    pairs, taken = fold.targets.tocoo(), np.minimum(truth.inclusion(fold.users), 1 - 1e-12)
    chance = hidden_chance(-np.log1p(-taken), share)[pairs.row, pairs.col]
    squares = (predicted[pairs.row, pairs.col] - pairs.data) ** 2
    signal = truth.signal(fold.users)
    hidden = ~np.isneginf(mask_seen(np.zeros(signal.shape, np.float32), fold.fold_in))
    expected = (predicted - truth.probit.expected(signal)) ** 2 + truth.probit.variance(signal)
    return {
        "weighted_rmse": float(np.sqrt(np.average(squares, weights=1 / chance))),
        "true_rmse": float(np.sqrt(expected[hidden].mean())),
        "counts": float((1 / chance).sum() ** 2 / (1 / chance**2).sum()),
    }
