"""Between the floor and the ceiling: reference rows for a table, and the share of the gap closed.

The floor is what needs no model: chance, popularity, the mean rating. The ceiling is what nobody
can beat: an oracle that knows the truth of a world. On real data nobody knows it, and the rows of
the oracles are absent.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.errors import ConfigError
from recsys_lib.evaluation.catalogue import parse_metrics
from recsys_lib.evaluation.estimates import (
    Estimate,
    Sample,
    bootstrap,
    percentile_interval,
)
from recsys_lib.evaluation.evaluate import evaluate
from recsys_lib.evaluation.report import Report
from recsys_lib.evaluation.runs import group_runs
from recsys_lib.evaluation.scoring import count_items
from recsys_lib.seeding import rng_from

__all__ = ["MeanRating", "MostPopular", "RandomOrder", "reference_reports", "share_of_gap_closed"]


class RandomOrder:
    """Scores by chance: the floor under every ranking.

    Parameters
    ----------
    seed : int
        A user's scores depend on it and on the user only, not on who is scored beside.

    Examples
    --------
    >>> scores = RandomOrder().score_users(np.array([3, 4, 3]), sparse.csr_array((3, 5)))
    >>> bool((scores[0] == scores[2]).all()), bool((scores[0] == scores[1]).any())
    (True, False)
    """

    predicts = "rank"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def score_users(
        self, users: NDArray[np.int64], fold_in: sparse.csr_array
    ) -> NDArray[np.float32]:
        """Return scores of shape (n_rows, n_items), uniform on [0, 1)."""
        scores = np.empty(fold_in.shape, dtype=np.float32)
        for row, user in enumerate(users.tolist()):
            rng = rng_from(self.seed, "evaluation", "random order", str(user))
            scores[row] = rng.random(scores.shape[1], dtype=np.float32)
        return scores


class MostPopular:
    """The same order for everybody: by number of interactions.

    Parameters
    ----------
    item_counts : array of shape (n_items,), int
        In the training data.

    Examples
    --------
    >>> MostPopular([3, 8]).score(sparse.csr_array((1, 2)))
    array([[3., 8.]], dtype=float32)
    """

    predicts = "rank"

    def __init__(self, item_counts: ArrayLike) -> None:
        self.item_counts = np.asarray(item_counts, dtype=np.float32)

    def score(self, user_items: sparse.csr_array) -> NDArray[np.float32]:
        """Return scores of shape (n_rows, n_items)."""
        return np.tile(self.item_counts, (user_items.shape[0], 1))


class MeanRating:
    """The same rating for everything: the floor under every rating prediction.

    A random draw from the ratings is *not* the floor: it is worse than knowing nothing, by a factor
    of about the square root of 2.

    Parameters
    ----------
    mean : float
        Of the training ratings.

    Examples
    --------
    >>> MeanRating(5.5).score(sparse.csr_array((1, 2)))
    array([[5.5, 5.5]], dtype=float32)
    """

    predicts = "rating"
    ranks = False

    def __init__(self, mean: float) -> None:
        self.mean = mean

    def score(self, user_items: sparse.csr_array) -> NDArray[np.float32]:
        """Return scores of shape (n_rows, n_items)."""
        return np.full(user_items.shape, self.mean, dtype=np.float32)


def reference_reports(
    fold: Fold,
    metrics: Sequence[str] = ("ndcg@100", "recall@20"),
    *,
    oracles: Mapping[str, Any] | None = None,
    item_counts: NDArray[np.integer] | None = None,
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
        Name in the table to anything that `evaluate` takes. Not given on real data.
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
        Floor first.

    Examples
    --------
    >>> seen, wanted = sparse.csr_array([[0, 5.0, 0]]), sparse.csr_array([[4.0, 0, 0]])
    >>> fold = Fold(fold_in=seen, targets=wanted, users=np.array([0]))
    >>> reference_reports(fold, ["recall@2", "rmse"])
    [Report('random', recall@2 1.0000, 1 users),
     Report('popularity', recall@2 1.0000, 1 users),
     Report('mean rating', rmse 1.0000, 1 users)]
    """
    counts = count_items(item_counts, fold)
    known = fold.fold_in.data
    mean = float(known.mean()) if mean_rating is None and len(known) else mean_rating
    scorers: dict[str, Any] = {"random": RandomOrder(seed), "popularity": MostPopular(counts)}
    if mean is not None:
        scorers["mean rating"] = MeanRating(mean)
    reports = []
    for name, scorer in {**scorers, **(oracles or {})}.items():
        fitting = _fitting(scorer, metrics)
        if fitting:
            reports.append(
                evaluate(scorer, fold, fitting, name=name, seed=seed, item_counts=counts, **options)
            )
    return reports


def _fitting(scorer: Any, metrics: Sequence[str]) -> list[str]:
    """The metrics that mean something for a scorer."""
    rates = getattr(scorer, "predicts", "rating") == "rating"
    ranks = getattr(scorer, "ranks", True)
    return [
        metric.name
        for metric in parse_metrics(metrics)
        if (rates if metric.kind == "rating" else ranks)
    ]


def share_of_gap_closed(
    reports: Sequence[Report],
    *,
    floor: Report,
    ceiling: Report,
    metrics: Sequence[str] | None = None,
    confidence: float = 0.95,
    n_resamples: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Say how far each model gets from floor to ceiling: (model - floor) / (ceiling - floor).

    Parameters
    ----------
    reports : sequence of Report
        On the fold of `floor` and `ceiling`. Reports of one name are runs of one model.
    floor, ceiling : Report
        Such as popularity and an oracle.
    metrics : sequence of str, optional
        Per-user metrics; all that every report holds where it is not given.
    confidence, n_resamples, seed
        Of the paired bootstrap interval over users.

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
    >>> wanted = sparse.csr_array(np.eye(3)[[2] * 30 + [1] * 10])
    >>> fold = Fold(fold_in=sparse.csr_array((40, 3)), targets=wanted, users=np.arange(40))
    >>> class Oracle:
    ...     def score_users(self, users, fold_in):
    ...         return wanted[users].toarray()
    >>> worst, middle = (MostPopular(counts) for counts in ([9, 1, 0], [0, 1, 9]))
    >>> floor, model, top = (
    ...     evaluate(one, fold, ["recall@1"], name=name)
    ...     for one, name in ((worst, "floor"), (middle, "model"), (Oracle(), "oracle"))
    ... )
    >>> share_of_gap_closed([model], floor=floor, ceiling=top)[["model", "value", "share"]]
       model  value  share
    0  model   0.75   0.75
    """
    models = group_runs([floor, ceiling, *reports])
    low_end, high_end = group_runs([floor])[0], group_runs([ceiling])[0]
    wanted = [runs for runs in models if runs.name in {report.name for report in reports}]
    shared = [
        name for name in floor.per_user_metrics if all(name in runs.metrics for runs in models)
    ]
    names = shared if metrics is None else [metric.name for metric in parse_metrics(metrics)]
    if not names:
        raise ConfigError(
            "`reports`, `floor` and `ceiling` must share a per-user metric; they share none. "
            "Evaluate all with the same metrics."
        )
    tables = []
    for name in names:
        samples = [runs.mean_sample(name) for runs in (low_end, high_end, *wanted)]
        draws = bootstrap(samples, n_resamples=n_resamples, seed=seed)
        table = _gap_table(samples, draws, confidence)
        table.insert(0, "metric", name)
        table.insert(1, "model", [runs.name for runs in wanted])
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _gap_table(
    samples: Sequence[Sample], draws: NDArray[np.float64], confidence: float
) -> pd.DataFrame:
    """One row per model; the samples and draws of floor and ceiling come first."""
    bottom, top, *values = (sample.mean for sample in samples)
    gap = Estimate(
        value=top - bottom,
        influence=samples[1].influence - samples[0].influence,
        n_users=samples[0].n_users,
        seed_parts=(),
        draws=draws[:, 1] - draws[:, 0],
    )
    learnable = gap.p_value < 1 - confidence
    rows = []
    for value, drawn in zip(values, draws[:, 2:].T, strict=True):
        closed = (drawn - draws[:, 0]) / gap.draws if learnable else np.array([])
        low, high = percentile_interval(closed, confidence)
        share = (value - bottom) / gap.value if learnable else np.nan
        rows.append({"value": value, "floor": bottom, "ceiling": top, "share": share})
        rows[-1] |= {"low": low, "high": high, "n_users": gap.n_users}
    return pd.DataFrame(rows)
