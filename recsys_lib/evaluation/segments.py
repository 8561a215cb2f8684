"""A report by segment: by history length, mainstream taste and item popularity."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from recsys_lib.checks import check_integer
from recsys_lib.dataset import Fold
from recsys_lib.evaluation.beyond_accuracy import keep_entries
from recsys_lib.evaluation.catalog import parse_metric
from recsys_lib.evaluation.estimates import Sample, bootstrap, percentile_interval
from recsys_lib.evaluation.evaluate import fold_fingerprint
from recsys_lib.evaluation.metrics import find_hits, recall_at_k
from recsys_lib.evaluation.report import Report
from recsys_lib.evaluation.scoring import likes

__all__ = ["by_history_length", "by_item_popularity", "by_mainstream", "popularity_buckets"]


def by_history_length(
    report: Report,
    metrics: Sequence[str] | None = None,
    *,
    edges: Sequence[int] | None = None,
    n_groups: int = 4,
    confidence: float = 0.95,
    n_resamples: int = 2_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Split a report by the length of each user's history.

    Parameters
    ----------
    report : Report
    metrics : sequence of str, optional
        Per-user metrics; all of the report where it is not given.
    edges : sequence of int, optional
        Lower ends of the groups after the first, ascending: (5, 20) makes 0-4, 5-19, 20+. Where it
        is not given, quantiles that make `n_groups` about equal groups.
    n_groups : int
        Number of groups to aim for; fewer where many histories have one length.
    confidence, n_resamples, seed
        Of the bootstrap interval over the users of the group.

    Returns
    -------
    DataFrame
        Columns ``model, metric, segment, shortest, longest, value, se, low, high, n_users``, one
        row for each metric and group that has users; ``segment`` is an ordered category.

    Examples
    --------
    >>> users = pd.DataFrame({"n_fold_in": [1, 2, 8, 9], "n_targets": 1, "n_rated": 1})
    >>> values = pd.DataFrame({"recall@1": [0.0, 0.0, 1.0, 0.0]})
    >>> report = Report(name="A", values=values, users=users, totals={}, items=np.zeros((4, 1)),
    ...     protocol={}, definitions={"recall@1": ""})
    >>> by_history_length(report, edges=[5])[["segment", "value", "n_users"]]
      segment  value  n_users
    0     1-2    0.0        2
    1     8-9    0.5        2
    """
    lengths = report.users["n_fold_in"].to_numpy()
    names = report.per_user_metrics if metrics is None else tuple(metrics)
    frames = []
    for member in _members(lengths, edges, n_groups):
        low, high = int(lengths[member].min()), int(lengths[member].max())
        samples = {name: _masked(report.sample(name), member) for name in names}
        table = _estimates(samples, confidence, n_resamples, seed)
        table.insert(0, "model", report.name)
        table.insert(2, "segment", f"{low}-{high}" if low < high else f"{low}")
        table.insert(3, "shortest", low)
        table.insert(4, "longest", high)
        frames.append(table)
    return _ordered(frames)


def by_mainstream(
    report: Report,
    fold: Fold,
    item_counts: ArrayLike,
    metrics: Sequence[str] | None = None,
    *,
    n_groups: int = 3,
    confidence: float = 0.95,
    n_resamples: int = 2_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Split a report by the popularity of the items in each user's history.

    Parameters
    ----------
    report : Report
    fold : Fold
        The one that `report` is on.
    item_counts : array of shape (n_items,), int
        Interactions of each item in the training data.
    metrics : sequence of str, optional
        Per-user metrics; all of the report where it is not given.
    n_groups : int
        Number of about equal groups to aim for.
    confidence, n_resamples, seed
        Of the bootstrap interval over the users of the group.

    Returns
    -------
    DataFrame
        Columns ``model, metric, segment, lowest, highest, value, se, low, high, n_users``, users
        with rare items first. The mean share of training interactions that is of a less popular
        item runs from ``lowest`` to ``highest``: 0.5 is the history of an average interaction.

    Raises
    ------
    ValueError
        If `fold` is not the one the report is on.

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.evaluation import MostPopular, evaluate
    >>> seen = sparse.csr_array([[1.0, 0, 0], [0, 0, 1.0]])
    >>> wanted = sparse.csr_array([[0, 1.0, 0], [0, 1.0, 0]])
    >>> fold = Fold(fold_in=seen, targets=wanted, users=np.arange(2))
    >>> report = evaluate(MostPopular([9, 5, 2]), fold, ["recall@1"])
    >>> table = by_mainstream(report, fold, [9, 5, 2], n_groups=2)
    >>> table[["lowest", "highest", "value", "n_users"]].round(3)
       lowest  highest  value  n_users
    0   0.062    0.062    0.0        1
    1   0.719    0.719    1.0        1
    """
    kept = _evaluated(report, fold)
    seen = fold.take(kept).fold_in
    ranks = _popularity_ranks(np.asarray(item_counts, dtype=np.float64))
    counts = np.maximum(np.diff(seen.indptr), 1)
    mainstream = np.asarray((seen != 0).astype(np.float64) @ ranks) / counts
    names = report.per_user_metrics if metrics is None else tuple(metrics)
    frames = []
    for number, member in enumerate(_members(mainstream, None, n_groups), start=1):
        samples = {name: _masked(report.sample(name), member) for name in names}
        table = _estimates(samples, confidence, n_resamples, seed)
        table.insert(0, "model", report.name)
        table.insert(2, "segment", f"group {number}")
        table.insert(3, "lowest", float(mainstream[member].min()))
        table.insert(4, "highest", float(mainstream[member].max()))
        frames.append(table)
    return _ordered(frames)


def _popularity_ranks(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each item's mid-rank: the share of interactions with less popular items."""
    levels, inverse = np.unique(counts, return_inverse=True)
    mass = np.bincount(inverse, weights=counts, minlength=len(levels))
    below = (np.cumsum(mass) - mass / 2) / max(1.0, mass.sum())
    return np.asarray(below[inverse])


def _evaluated(report: Report, fold: Fold) -> NDArray[np.int64]:
    """Rows of the fold that are in the report: users without any target are not."""
    if report.protocol["fold"] != fold_fingerprint(fold):
        raise ValueError(
            f"`fold` must be the one that report {report.name!r} is on; its contents differ. "
            "Pass the fold that was given to evaluate."
        )
    return np.flatnonzero(np.isin(fold.users, report.users.index))


def popularity_buckets(item_counts: ArrayLike, *, n_buckets: int = 3) -> NDArray[np.int64]:
    """Put items into buckets that hold about equally many interactions, most popular first.

    Parameters
    ----------
    item_counts : array of shape (n_items,), int
        Interactions of each item in the training data.
    n_buckets : int
        Number of buckets, >= 2.

    Returns
    -------
    ndarray of shape (n_items,), int64
        0 for the head to ``n_buckets - 1`` for the tail. Equally popular items share a bucket.

    Examples
    --------
    >>> popularity_buckets([6, 3, 3, 2, 2, 2, 0])
    array([0, 1, 1, 2, 2, 2, 2])
    """
    check_integer("n_buckets", n_buckets, minimum=2)
    counts = np.asarray(item_counts, dtype=np.float64)
    levels, inverse = np.unique(-counts, return_inverse=True)
    mass = np.bincount(inverse, weights=counts, minlength=len(levels))
    # A level belongs where the middle of its interactions lies.
    middle = (np.cumsum(mass) - mass / 2) / max(1.0, mass.sum())
    bucket = np.minimum((middle * n_buckets).astype(np.int64), n_buckets - 1)
    return np.asarray(bucket[inverse])


def by_item_popularity(
    report: Report,
    fold: Fold,
    item_counts: ArrayLike,
    *,
    k: int = 20,
    n_buckets: int = 3,
    confidence: float = 0.95,
    n_resamples: int = 2_000,
    seed: int = 0,
) -> pd.DataFrame:
    r"""Split recall by the popularity of the targets.

    Parameters
    ----------
    report : Report
        Its lists are read; they must be at least `k` long.
    fold : Fold
        The one that `report` is on.
    item_counts : array of shape (n_items,), int
        Interactions of each item in the training data.
    k : int
        List length.
    n_buckets : int
        Number of buckets of items, each with about equally many interactions.
    confidence, n_resamples, seed
        Of the bootstrap interval over users.

    Returns
    -------
    DataFrame
        Columns ``model, metric, segment, fewest, most, n_items, listed, value, se, low, high,
        n_users``. ``value`` is the recall of the bucket's targets, hits / min(k, \|targets of the
        user in the bucket\|), over the users who have such targets; ``listed`` the bucket's share
        of all list places, which a model that only follows popularity puts into the head.

    Raises
    ------
    ValueError
        If `fold` is not the one the report is on, or the lists are shorter than `k`.

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.evaluation import evaluate
    >>> class Popularity:
    ...     def score(self, user_items):
    ...         return np.tile([3.0, 2.0, 1.0], (user_items.shape[0], 1))
    >>> wanted = sparse.csr_array([[1, 0, 0], [1, 0, 0], [0, 0, 1]])
    >>> fold = Fold(fold_in=sparse.csr_array((3, 3)), targets=wanted, users=np.arange(3))
    >>> report = evaluate(Popularity(), fold, ["recall@1"])
    >>> table = by_item_popularity(report, fold, [9, 5, 4], k=1, n_buckets=2)
    >>> table[["segment", "n_items", "listed", "value", "n_users"]]
      segment  n_items  listed  value  n_users
    0       9        1     1.0    1.0        2
    1     4-5        2     0.0    0.0        1
    """
    kept = _evaluated(report, fold)
    counts = np.asarray(item_counts)
    targets = likes(fold.take(kept).targets, report.protocol["min_value"])
    bucket = popularity_buckets(counts, n_buckets=n_buckets)
    listed = report.items[:, :k]
    shown = bucket[listed[listed >= 0]]
    frames = []
    for label in np.unique(bucket):
        members = counts[bucket == label]
        fewest, most = int(members.min()), int(members.max())
        inside = keep_entries(targets, (bucket == label)[targets.indices])
        values = recall_at_k(find_hits(report.items, inside), k)
        table = _estimates({f"recall@{k}": Sample.of(values)}, confidence, n_resamples, seed)
        table.insert(0, "model", report.name)
        table.insert(2, "segment", f"{fewest}-{most}" if fewest < most else f"{most}")
        table.insert(3, "fewest", fewest)
        table.insert(4, "most", most)
        table.insert(5, "n_items", len(members))
        table.insert(6, "listed", float((shown == label).mean()) if len(shown) else np.nan)
        frames.append(table)
    return _ordered(frames)


def _members(
    values: NDArray[Any], edges: Sequence[int] | None, n_groups: int
) -> list[NDArray[np.bool_]]:
    """Return the members of each non-empty group, lowest values first."""
    if edges is None:
        check_integer("n_groups", n_groups, minimum=1)
        bounds = np.quantile(values, np.arange(1, n_groups) / n_groups)
        whole = np.issubdtype(values.dtype, np.integer)
        bounds = np.unique(np.ceil(bounds).astype(int) if whole else bounds)
    else:
        bounds = np.asarray(edges)
        if (np.diff(bounds) <= 0).any():
            raise ValueError(f"`edges` must ascend; got {list(edges)}.")
    group = np.searchsorted(bounds, values, side="right")
    return [group == label for label in np.unique(group)]


def _masked(sample: Sample, member: NDArray[np.bool_]) -> Sample:
    return Sample(sample.per_user[member], sample.weights[member], sample.squared)


def _estimates(
    samples: dict[str, Sample], confidence: float, n_resamples: int, seed: int
) -> pd.DataFrame:
    draws = bootstrap(list(samples.values()), n_resamples=n_resamples, seed=seed)
    rows = []
    for column, (name, sample) in enumerate(samples.items()):
        low, high = percentile_interval(draws[:, column], confidence)
        rows.append(
            {
                "metric": parse_metric(name).name,
                "value": sample.mean,
                "se": sample.standard_error,
                "low": low,
                "high": high,
                "n_users": sample.n_users,
            }
        )
    return pd.DataFrame(rows)


def _ordered(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """One table whose segments keep their order in groupings and plots."""
    table = pd.concat(frames, ignore_index=True)
    table["segment"] = pd.Categorical(
        table["segment"], categories=list(dict.fromkeys(table["segment"])), ordered=True
    )
    return table
