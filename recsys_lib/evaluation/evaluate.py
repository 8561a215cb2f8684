"""From a scorer and a fold to a report: score in batches, rank the whole catalog, measure."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from recsys_lib.artifacts import fingerprint_arrays
from recsys_lib.checks import (
    CSR,
    Doubles,
    Floats,
    Integers,
    Ints,
    Mask,
    check_integer,
    check_kind,
    check_rating_scale,
    check_room,
)
from recsys_lib.dataset import Fold, likes_of
from recsys_lib.evaluation.metrics import Metric, View, parse_metrics
from recsys_lib.evaluation.report import Report
from recsys_lib.models.base import each_batch
from recsys_lib.progress import track
from recsys_lib.ranking import Block, blocks_of, entry_rows, ties_at, top_k_of, without_nan


def evaluate(
    model: Any,
    fold: Fold,
    metrics: Sequence[str] = ("ndcg@100", "recall@20"),
    *,
    name: str | None = None,
    batch_size: int = 512,
    seed: int = 0,
    min_value: float | None = None,
    item_counts: Integers | None = None,
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
        If the fold holds no targets, or shows one that a list is to hold; if scores have the wrong
        shape or are NaN, or a rating error is asked of a model whose scores are no ratings.

    Notes
    -----
    The whole catalog is ranked, never a sample of it, with what the user has already used set
    to -inf. Models with factors or sparse weights are scored block by block of items, others hold
    one batch of scores, at most half a gigabyte; plus the lists (4 k bytes per user, less than the
    fold itself).

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
    check_kind("fold", fold, Fold)
    targets = likes_of(fold.targets, min_value)
    kept = _rows_with_targets(fold.targets if rated else targets, min_value, rated)
    part, targets = fold.take(kept), targets[kept]
    if any(metric.k is not None for metric in asked):
        _check_unseen(part, targets)
    ranks = np.diff(targets.indptr) > 0
    scale = rating_scale if rating_scale is not None else _observed_scale(part.fold_in)
    name = type(model).__name__ if name is None else name
    items, tied, predicted = _rank_fold(
        model, part, asked, batch_size=batch_size, seed=seed, name=name
    )
    view = View(
        items=np.where(ranks[:, None], items, np.int32(-1)),
        targets=targets,
        rated=part.targets,
        predicted=predicted if scale is None else predicted.clip(*check_rating_scale(scale)),
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
        # Of the users who count, by the length of the list: a string, as in JSON.
        "tie_share": {str(k): float(cut[ranks].mean()) for k, cut in tied.items() if ranks.any()},
        "fold": fold_fingerprint(fold),
    }
    values = {metric.name: metric.measure(view) for metric in asked if metric.per_user}
    return Report(
        name=name,
        values=pd.DataFrame(values, index=pd.Index(part.users), dtype=np.float64),
        users=_sizes(part, targets),
        totals={metric.name: metric.measure(view) for metric in asked if not metric.per_user},
        items=view.items,
        protocol=protocol,
        definitions={metric.name: metric.definition for metric in asked},
    )


def _sizes(fold: Fold, targets: CSR) -> pd.DataFrame:
    """Return how many items each user is shown, must find, and has rated of the held-out ones."""
    matrices = {"n_fold_in": fold.fold_in, "n_targets": targets, "n_rated": fold.targets}
    sizes = {name: np.diff(matrix.indptr) for name, matrix in matrices.items()}
    return pd.DataFrame(sizes, index=pd.Index(fold.users), dtype=np.int64)


def _rows_with_targets(targets: CSR, min_value: float | None, rated: bool) -> Ints:
    rows = np.flatnonzero(np.diff(targets.indptr))
    if not len(rows):
        limit = "" if min_value is None or rated else f" of at least {min_value:g}"
        raise ValueError(
            f"`fold` must hold a target{limit}; none of its {targets.shape[0]} users has one. "
            "Lower `min_value` (LIKE_FROM in a notebook), or hold out more."
        )
    return rows


def _check_unseen(fold: Fold, targets: CSR) -> None:
    """Raise where a target is shown: no list holds what was seen, so it could not be found."""
    shown = sparse.coo_array(likes_of(fold.fold_in).multiply(targets))
    if shown.nnz:
        raise ValueError(
            f"`fold.targets` must not be in `fold.fold_in`, for lists leave out what was seen; "
            f"{shown.nnz} are, first that of user {fold.users[shown.row[0]]} and item position "
            f"{shown.col[0]}. Hold them out of the fold-in, as the functions that split do."
        )


def _observed_scale(ratings: CSR) -> tuple[float, float] | None:
    """Lowest and highest stored value, None where they do not span a scale."""
    if not ratings.nnz or ratings.data.min() == ratings.data.max():
        return None
    return float(ratings.data.min()), float(ratings.data.max())


def fold_fingerprint(fold: Fold) -> str:
    """Return the SHA-256 of what a fold holds, so that reports can be known to share one.

    Examples
    --------
    >>> rows = sparse.csr_array([[1, 0]], dtype="float32")
    >>> fold_fingerprint(Fold(fold_in=rows, targets=rows, users=np.array([0])))[:10]
    'sha256:...'
    """
    return fingerprint_arrays(fold.targets.shape, fold.fold_in, fold.targets, fold.users)


def score_batches(model: Any, fold: Fold, batch_size: int = 512) -> Iterator[tuple[slice, Floats]]:
    """Yield the scores of each batch of users with the rows they belong to.

    Parameters
    ----------
    model : object
        Anything with ``score(user_items)``, or an oracle with ``score_users(users, fold_in)``.
    fold : Fold
    batch_size : int
        Users that are scored at once.

    Yields
    ------
    rows : slice
        Into the fold.
    scores : ndarray of shape (n_batch, n_items), float32

    Raises
    ------
    TypeError
        If `model` is a class.
    ValueError
        If the scores have the wrong shape.

    Examples
    --------
    >>> class Constant:
    ...     def score(self, user_items):
    ...         return np.zeros(user_items.shape)
    >>> row = sparse.csr_array([[1, 0]])
    >>> fold = Fold(fold_in=row, targets=row, users=np.array([0]))
    >>> next(score_batches(Constant(), fold))
    (slice(0, 1, None), array([[0., 0.]], dtype=float32))
    """
    check_integer("batch_size", batch_size, minimum=1)
    for start in range(0, fold.n_rows, batch_size):
        rows = slice(start, min(start + batch_size, fold.n_rows))
        yield rows, _scores(model, fold, rows)


def _scores(model: Any, fold: Fold, rows: slice) -> Floats:
    if isinstance(model, type):
        raise TypeError(
            f"`model` must be a fitted model; got the class {model.__name__}. Write "
            f"{model.__name__}().fit(split.train)."
        )
    knows_users = hasattr(model, "score_users")
    fold_in = fold.fold_in[rows]
    raw = model.score_users(fold.users[rows], fold_in) if knows_users else model.score(fold_in)
    scores = np.asarray(raw.toarray() if sparse.issparse(raw) else raw, dtype=np.float32)
    if scores.shape != fold_in.shape:
        raise ValueError(
            f"Scores must have the shape of the rows scored, {fold_in.shape}; "
            f"{type(model).__name__} gave {scores.shape}."
        )
    return scores


def _blocks(model: Any, fold: Fold, rows: slice) -> Block:
    """Return what scores these rows of a fold block by block, where the model can."""
    in_blocks = hasattr(model, "score_blocks") and not hasattr(model, "score_users")
    if in_blocks and not isinstance(model, type):
        found: Block = model.score_blocks(fold.fold_in[rows])
        return found
    return blocks_of(_scores(model, fold, rows))


def count_items(item_counts: ArrayLike | None, fold: Fold) -> Ints:
    """Return the interactions of each item: as given, or counted in the fold-in.

    Examples
    --------
    >>> rows = sparse.csr_array([[1, 1, 0], [0, 1, 0]])
    >>> count_items(None, Fold(fold_in=rows, targets=rows, users=np.array([0, 1])))
    array([1, 2, 0])
    """
    n_items = int(fold.fold_in.shape[1])
    if item_counts is None:
        return np.bincount(fold.fold_in.indices, minlength=n_items).astype(np.int64)
    counts = np.asarray(item_counts)
    if counts.shape != (n_items,) or counts.dtype.kind not in "iuf" or not (counts >= 0).all():
        raise ValueError(
            f"`item_counts` must hold a number >= 0 for each of the {n_items} items; got dtype "
            f"{counts.dtype} of shape {counts.shape}. Count with numpy.diff(train.tocsc().indptr)."
        )
    return counts.astype(np.int64)


def _rank_fold(
    model: Any, fold: Fold, asked: Sequence[Metric], *, batch_size: int, seed: int, name: str
) -> tuple[NDArray[np.int32], dict[int, Mask], Doubles]:
    """Rank the catalog for every row of `fold`, as far as the metrics `asked` need it.

    Returns
    -------
    items : ndarray of shape (n_rows, k_max), int32
        Ranked lists; -1 where a list is short.
    tied : dict of int to ndarray of shape (n_rows,), bool
        By list length: whether the list is cut through a group of equal scores.
    predicted : ndarray of shape (n_target_cells,), float64
        Scores at the target cells; empty unless a rating error was asked for.
    """
    lengths = sorted({metric.k for metric in asked if metric.k is not None})
    k_max = lengths[-1] if lengths else 0
    rated = any(metric.kind == "rating" for metric in asked)
    # Lists, hits, and gains with their sums.
    check_room(fold.n_rows, max(k_max, 1), fold.fold_in.shape[1], n_bytes=32)
    items = np.full((fold.n_rows, k_max), -1, dtype=np.int32)
    tied = {k: np.zeros(fold.n_rows, dtype=bool) for k in lengths}
    predicted = {0: np.empty(0)}

    def rank(rows: slice) -> None:
        block, seen = _blocks(model, fold, rows), fold.fold_in[rows]
        if rated:
            wanted, scores = fold.targets[rows], without_nan(block(slice(None)))
            predicted[rows.start] = scores[entry_rows(wanted), wanted.indices].astype(np.float64)
            block = blocks_of(scores)
        if lengths:
            # One place more than is reported shows whether the last place was won or drawn.
            top = top_k_of(block, seen.shape, k_max + 1, exclude=seen, seed=seed)
            items[rows] = top.items[:, :k_max]
            for k in lengths:
                tied[k][rows] = ties_at(top.scores, k)
        task.step(done=task.done + seen.shape[0])

    with track(f"evaluate {name}", fold.n_rows, "users") as task:
        each_batch(model, rank, fold.fold_in.shape, batch_size)
    return items, tied, np.concatenate([predicted[start] for start in sorted(predicted)])
