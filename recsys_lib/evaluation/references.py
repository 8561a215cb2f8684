"""Reference rows of a table: the floor, and the ceiling where the truth is known.

The floor is what needs no model: chance, popularity, the mean rating. The ceiling is what nobody
can beat: an oracle that knows the truth of a world. On real data nobody knows it, and its rows are
absent.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from recsys_lib.dataset import Fold, Split
from recsys_lib.evaluation.catalog import parse_metrics
from recsys_lib.evaluation.evaluate import evaluate
from recsys_lib.evaluation.report import Report
from recsys_lib.evaluation.scoring import count_items
from recsys_lib.ranking import negative_log_likelihood
from recsys_lib.seeding import rng_from

__all__ = [
    "MeanRating",
    "MostPopular",
    "RandomOrder",
    "error_levels",
    "evaluate_all",
    "reference_reports",
]


class RandomOrder:
    """Random scores: the floor of every ranking.

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
    """The same order for everyone: by number of interactions.

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
    """The same rating for everything: the floor of every rating prediction.

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
    scorers |= oracles or {}
    fitting = {name: _fitting(scorer, metrics) for name, scorer in scorers.items()}
    return [
        evaluate(scorers[name], fold, names, name=name, seed=seed, item_counts=counts, **options)
        for name, names in fitting.items()
        if names
    ]


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
    >>> seen, wanted = sparse.csr_array([[0, 5.0, 0]]), sparse.csr_array([[4.0, 0, 0]])
    >>> fold = Fold(fold_in=seen, targets=wanted, users=np.array([0]))
    >>> split = Split(train=seen, validation=fold, test=fold, train_users=np.array([0]))
    >>> evaluate_all({"four stars": MeanRating(4.0)}, split, ["rmse"])
    [Report('mean rating', rmse 1.0000, 1 users), Report('four stars', rmse 0.0000, 1 users)]
    """
    kept = split.train.data >= (-np.inf if min_value is None else min_value)
    counts = np.bincount(split.train.indices[kept], minlength=split.train.shape[1])
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
    counts = np.bincount(split.train.indices, minlength=split.train.shape[1])
    scores = np.broadcast_to(np.log(counts + 0.5).astype(np.float32), fold.fold_in.shape)
    return {"popularity": negative_log_likelihood(scores, fold.fold_in, fold.targets)}


def _fitting(scorer: Any, metrics: Sequence[str]) -> list[str]:
    """Return the metrics that apply to a scorer."""
    rates = getattr(scorer, "predicts", "rating") == "rating"
    ranks = getattr(scorer, "ranks", True)
    return [
        metric.name
        for metric in parse_metrics(metrics)
        if (rates if metric.kind == "rating" else ranks)
    ]
