"""From a scorer and a fold to a report."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.evaluation import beyond_accuracy, rating
from recsys_lib.evaluation import metrics as ranking_metrics
from recsys_lib.evaluation.catalog import Metric, parse_metrics
from recsys_lib.evaluation.ranked import rank_fold
from recsys_lib.evaluation.report import Report
from recsys_lib.evaluation.scoring import count_items, likes

__all__ = ["evaluate", "fold_fingerprint"]

_ON_HITS: dict[str, Callable[[ranking_metrics.Hits, int], NDArray[np.float64]]] = {
    "ndcg": ranking_metrics.ndcg_at_k,
    "recall": ranking_metrics.recall_at_k,
    "precision": ranking_metrics.precision_at_k,
    "map": ranking_metrics.map_at_k,
    "mrr": ranking_metrics.mrr_at_k,
    "hit_rate": ranking_metrics.hit_rate_at_k,
}
_ON_EXPOSURE: dict[str, Callable[[NDArray[np.int64]], float]] = {
    "coverage": beyond_accuracy.coverage,
    "gini": beyond_accuracy.gini,
}
_ON_RATINGS: dict[str, Callable[[NDArray[np.float64], sparse.csr_array], NDArray[np.float64]]] = {
    "rmse": rating.root_squared_error,
    "mae": rating.absolute_error,
}


def evaluate(
    model: Any,
    fold: Fold,
    metrics: Sequence[str] = ("ndcg@100", "recall@20"),
    *,
    name: str | None = None,
    batch_size: int = 512,
    seed: int = 0,
    min_value: float | None = None,
    item_counts: NDArray[np.integer] | None = None,
    rating_scale: tuple[float, float] | None = None,
) -> Report:
    """Measure a scorer on a fold.

    Parameters
    ----------
    model : object
        Anything with ``score(user_items) -> (n_rows, n_items)``. Where it has
        ``score_users(users, fold_in)`` (an oracle, who must know whose row it is), that is called
        instead with the rows of ``fold.users``.
    fold : Fold
        What the model sees of each user, and what it must find.
    metrics : sequence of str
        Such as ``"ndcg@100"``, ``"recall@20"``, ``"precision@10"``, ``"map@10"``, ``"mrr@10"``,
        ``"hit_rate@10"``, ``"tail_recall@20"``, ``"coverage@10"``, ``"gini@10"``,
        ``"novelty@10"``, ``"rmse"``, ``"mae"``.
    name : str, optional
        The name in tables; the class's name where it is not given.
    batch_size : int
        Users that are scored at once. It bounds the memory and does not change the result.
    seed : int
        Of the order among equal scores.
    min_value : float, optional
        Ranking metrics count targets of at least this value, in rating units; None counts all.
        Rating errors always count every held-out rating.
    item_counts : ndarray of shape (n_items,), int, optional
        Interactions of each item in the training data, for novelty and tail recall. Where it is
        not given, the fold-in is counted: for held-out users a smaller sample of the same thing.
    rating_scale : (low, high), optional
        Predictions are clipped to it. Where it is not given, to the lowest and highest rating of
        the fold-in, so that held-out ratings are not looked at.

    Returns
    -------
    Report
        Users without targets are left out, and their number is in ``report.protocol``.

    Raises
    ------
    ConfigError
        If a metric is unknown.
    ValueError
        If the fold holds no targets, scores have the wrong shape or are NaN, or a rating error is
        asked of a model whose scores are no ratings.

    Notes
    -----
    The whole catalog is ranked, never a sample of it, with what the user has already used set
    to -inf. Memory is that of one batch of scores, about 4 x ``batch_size`` x n_items x 4 bytes,
    plus the lists (4 k bytes per user, less than the fold itself).

    References
    ----------
    .. [1] D. Liang, R. Krishnan, M. Hoffman, T. Jebara, "Variational Autoencoders for
       Collaborative Filtering", WWW 2018, section 4.2 (protocol and metrics).
    .. [2] W. Krichene, S. Rendle, "On Sampled Metrics for Item Recommendation", KDD 2020 (why
       nothing is sampled).

    Examples
    --------
    >>> class Popularity:
    ...     def score(self, user_items):
    ...         return np.tile([3.0, 2.0, 1.0], (user_items.shape[0], 1))
    >>> fold = Fold(
    ...     fold_in=sparse.csr_array([[1, 0, 0], [0, 0, 1]], dtype="float32"),
    ...     targets=sparse.csr_array([[0, 1, 0], [0, 1, 0]], dtype="float32"),
    ...     users=np.array([7, 8]),
    ... )
    >>> evaluate(Popularity(), fold, metrics=("ndcg@2", "mrr@2"))
    Report('Popularity', ndcg@2 0.8155, mrr@2 0.7500, 2 users)
    """
    asked = parse_metrics(metrics)
    rated = any(metric.kind == "rating" for metric in asked)
    if rated and getattr(model, "predicts", "rating") == "rank":
        raise ValueError(
            f"`metrics` must hold no rating error for a model whose scores are no ratings; "
            f"{type(model).__name__} ranks. Leave out rmse and mae."
        )
    targets = likes(fold.targets, min_value)
    kept = _rows_with_targets(fold.targets if rated else targets, min_value, rated)
    part = fold.take(kept)
    scale = rating_scale if rating_scale is not None else _observed_scale(part.fold_in)
    name = type(model).__name__ if name is None else name
    ranked = rank_fold(model, part, asked, batch_size=batch_size, seed=seed, name=name)
    view = _View(
        items=np.where(np.diff(targets.indptr)[kept, None] > 0, ranked.items, np.int32(-1)),
        targets=targets[kept],
        fold=part,
        predicted=rating.clip_to_scale(ranked.predicted, scale),
        item_counts=count_items(item_counts, fold),
    )
    protocol = {
        "ranking": "whole catalog, seen items at -inf, equal scores in seeded random order",
        "n_users": len(kept),
        "n_users_without_targets": fold.n_rows - len(kept),
        "n_items": int(fold.targets.shape[1]),
        "min_value": min_value,
        "rating_scale": list(scale) if rated and scale is not None else None,
        "seed": seed,
        "tie_share": ranked.tie_share(np.diff(view.targets.indptr) > 0),
        "fold": fold_fingerprint(fold),
    }
    return Report(
        name=name,
        values=view.values(asked),
        users=view.users(),
        totals={metric.name: view.total(metric) for metric in asked if not metric.per_user},
        items=view.items,
        protocol=protocol,
        definitions={metric.name: metric.definition for metric in asked},
    )


def _rows_with_targets(
    targets: sparse.csr_array, min_value: float | None, rated: bool
) -> NDArray[np.int64]:
    rows = np.flatnonzero(np.diff(targets.indptr))
    if not len(rows):
        limit = "" if min_value is None or rated else f" of at least {min_value:g}"
        raise ValueError(
            f"`fold` must hold a target{limit}; none of its {targets.shape[0]} users has one. "
            "Lower `min_value` or hold out more."
        )
    return rows


def _observed_scale(ratings: sparse.csr_array) -> tuple[float, float] | None:
    """Lowest and highest stored value, None where they do not span a scale."""
    if not ratings.nnz or ratings.data.min() == ratings.data.max():
        return None
    return float(ratings.data.min()), float(ratings.data.max())


@dataclass(frozen=True)
class _View:
    """Everything a metric may read, one row per evaluated user."""

    items: NDArray[np.int32]
    targets: sparse.csr_array
    fold: Fold
    predicted: NDArray[np.float64]
    item_counts: NDArray[np.int64]

    @cached_property
    def hits(self) -> ranking_metrics.Hits:
        return ranking_metrics.find_hits(self.items, self.targets)

    def users(self) -> pd.DataFrame:
        matrices = {
            "n_fold_in": self.fold.fold_in,
            "n_targets": self.targets,
            "n_rated": self.fold.targets,
        }
        sizes = {name: np.diff(matrix.indptr) for name, matrix in matrices.items()}
        return pd.DataFrame(sizes, index=pd.Index(self.fold.users), dtype=np.int64)

    def values(self, asked: Sequence[Metric]) -> pd.DataFrame:
        columns = {metric.name: self.per_user(metric) for metric in asked if metric.per_user}
        return pd.DataFrame(columns, index=pd.Index(self.fold.users), dtype=np.float64)

    def per_user(self, metric: Metric) -> NDArray[np.float64]:
        if metric.family in _ON_RATINGS:
            return _ON_RATINGS[metric.family](self.predicted, self.fold.targets)
        assert metric.k is not None
        if metric.family in _ON_HITS:
            return _ON_HITS[metric.family](self.hits, metric.k)
        if metric.family == "novelty":
            return beyond_accuracy.novelty_at_k(self.items, self.item_counts, metric.k)
        tail = beyond_accuracy.tail_items(self.item_counts)
        return beyond_accuracy.tail_recall_at_k(self.items, self.targets, tail, metric.k)

    def total(self, metric: Metric) -> float:
        shown = beyond_accuracy.exposure(self.items[:, : metric.k], self.targets.shape[1])
        return _ON_EXPOSURE[metric.family](shown)


def fold_fingerprint(fold: Fold) -> str:
    """Return the SHA-256 of what a fold holds, so that reports can be known to share one.

    Examples
    --------
    >>> rows = sparse.csr_array([[1, 0]], dtype="float32")
    >>> fold_fingerprint(Fold(fold_in=rows, targets=rows, users=np.array([0])))[:10]
    'sha256:...'
    """
    digest = hashlib.sha256(repr(fold.targets.shape).encode())
    for matrix in (fold.fold_in, fold.targets):
        # Index dtypes differ by platform and history, the positions do not.
        for array in (matrix.indptr, matrix.indices):
            digest.update(np.asarray(array, dtype="<i8").tobytes())
        digest.update(np.asarray(matrix.data, dtype="<f4").tobytes())
    digest.update(np.asarray(fold.users, dtype="<i8").tobytes())
    return f"sha256:{digest.hexdigest()}"
