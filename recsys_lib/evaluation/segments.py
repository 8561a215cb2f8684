"""A report by segment: by history length, mainstream taste, item popularity; who is served best."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from recsys_lib.checks import Doubles, Ints, Mask, check_integer, check_kind
from recsys_lib.dataset import Fold, keep_entries, likes_of
from recsys_lib.evaluation.evaluate import count_items, fold_fingerprint
from recsys_lib.evaluation.metrics import find_hits, parse_metrics, recall_at_k
from recsys_lib.evaluation.report import Report, group_runs, listed
from recsys_lib.evaluation.statistics import Sample, estimates
from recsys_lib.ranking import entry_rows

#: A segment: what stands in its rows of the table, and the values of its users by metric.
_Part = tuple[dict[str, Any], dict[str, Sample]]
#: How many draws make an interval that nobody reads.
_NO_INTERVAL = {"n_resamples": 1}
_TASTES = ("rare taste", "mixed taste", "usual taste")


def audience_table(
    reports: Sequence[Report], fold: Fold, item_counts: ArrayLike, metric: str, *, n_groups: int = 3
) -> pd.DataFrame:
    """Return one metric of each model by history length and by how mainstream the users are.

    Parameters
    ----------
    reports : sequence of Report
        All on `fold`.
    fold : Fold
    item_counts : array of shape (n_items,), int
        Interactions of each item in the training data.
    metric : str
        A per-user metric.
    n_groups : int
        Groups of history length; see `by_history_length`. Tastes are three; see `by_mainstream`.

    Returns
    -------
    DataFrame of shape (n_models, n_segments)
        Indexed by ``model`` in the order given.

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.evaluation import evaluate
    >>> from recsys_lib.models import Popularity
    >>> seen = sparse.csr_array([[1.0, 0, 0], [0, 1.0, 1.0]])
    >>> wanted = sparse.csr_array([[0, 1.0, 0], [1.0, 0, 0]])
    >>> fold = Fold(fold_in=seen, targets=wanted, users=np.arange(2))
    >>> model = Popularity().fit(sparse.csr_array(np.tri(3)))
    >>> report = evaluate(model, fold, ["recall@1"], name="popularity")
    >>> audience_table([report], fold, [9, 5, 2], "recall@1", n_groups=2)
    people      saw 1  saw 2  rare taste  mixed taste
    model
    popularity    1.0    1.0         1.0          1.0
    """
    rows = {}
    for report in reports:
        seen = by_history_length(report, [metric], n_groups=n_groups, **_NO_INTERVAL)
        taste = by_mainstream(report, fold, item_counts, [metric], **_NO_INTERVAL)
        names = [f"saw {label}" for label in seen["segment"]] + taste["segment"].tolist()
        rows[report.name] = pd.concat([seen["value"], taste["value"]]).set_axis(names)
    return pd.DataFrame(rows).T.rename_axis(index="model", columns="people")


def item_table(
    reports: Sequence[Report], fold: Fold, item_counts: ArrayLike, *, k: int = 20
) -> pd.DataFrame:
    """Return recall@k of each model among rare and among popular items; see `by_item_popularity`.

    Parameters
    ----------
    reports : sequence of Report
        All on `fold`.
    fold : Fold
    item_counts : array of shape (n_items,), int
        Interactions of each item in the training data.
    k : int
        List length.

    Returns
    -------
    DataFrame of shape (n_models, 3)
        Indexed by ``model`` in the order given, popular items first; buckets of which nothing was
        hidden are left out.

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.evaluation import evaluate
    >>> from recsys_lib.models import Popularity
    >>> wanted = sparse.csr_array(np.eye(3)[[0, 0, 2]])
    >>> fold = Fold(fold_in=sparse.csr_array((3, 3)), targets=wanted, users=np.arange(3))
    >>> model = Popularity().fit(sparse.csr_array(np.tri(3)))
    >>> report = evaluate(model, fold, ["recall@1"], name="popularity")
    >>> item_table([report], fold, [9, 5, 4], k=1)
    used in training    9    4
    model
    popularity        1.0  0.0
    """
    rows = {}
    for report in reports:
        cut = by_item_popularity(report, fold, item_counts, k=k, **_NO_INTERVAL)
        rows[report.name] = cut.set_index(cut["segment"].astype(str))["value"]
    table = pd.DataFrame(rows).T.rename_axis(index="model", columns="used in training")
    return table.dropna(axis="columns", how="all")


def wins(reports: Sequence[Report], metric: str) -> pd.DataFrame:
    """Count for how many users each model is the best of all.

    A model that leads the mean may serve half of the people worse than its rivals do; where many
    models win alone, a blend of them has something to gain.

    Parameters
    ----------
    reports : sequence of Report
        On one fold.
    metric : str
        A per-user metric where higher is better.

    Returns
    -------
    DataFrame
        Indexed by ``model``, most wins first: ``alone``, the share of users for whom it is strictly
        best; ``shared``, for whom it is best together with others. Users for whom every model has
        the same value count for none, and those without a value are no part of the whole.

    Raises
    ------
    ValueError
        If they are not on one fold.

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.evaluation import evaluate
    >>> from recsys_lib.models import Popularity
    >>> wanted = sparse.csr_array(np.eye(3)[[0, 0, 2]])
    >>> fold = Fold(fold_in=sparse.csr_array((3, 3)), targets=wanted, users=np.arange(3))
    >>> models = {"A": Popularity().fit(wanted[[0]]), "B": Popularity().fit(wanted[[2]])}
    >>> reports = [evaluate(m, fold, ["recall@1"], name=n) for n, m in models.items()]
    >>> wins(reports, "recall@1").round(2)
           alone  shared
    model
    A       0.67     0.0
    B       0.33     0.0
    """
    reports = listed(reports)
    group_runs(reports)  # raises where they are not on one fold
    # A row a model, a column a user.
    values = pd.DataFrame([report.sample(metric).per_user for report in reports]).dropna(axis=1)
    first = (values == values.max()) & (values.min() < values.max())
    alone = first & (first.sum() == 1)
    shares = {"alone": alone.mean(axis=1), "shared": (first & ~alone).mean(axis=1)}
    names = pd.Index([report.name for report in reports], name="model")
    table = pd.DataFrame(shares).set_axis(names)
    return table.sort_values(["alone", "shared"], ascending=False, kind="stable")


def by_history_length(
    report: Report,
    metrics: Sequence[str] | None = None,
    *,
    n_groups: int = 4,
    n_resamples: int = 2_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Split a report by the length of each user's history.

    Parameters
    ----------
    report : Report
    metrics : sequence of str, optional
        Per-user metrics; all of the report where it is not given.
    n_groups : int
        Number of about equal groups to aim for; fewer where many histories have one length.
    n_resamples, seed : int
        Of the bootstrap over the users of the group.

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
    >>> by_history_length(report, n_groups=2)[["segment", "value", "n_users"]]
      segment  value  n_users
    0     1-2    0.0        2
    1     8-9    0.5        2
    """
    check_kind("report", report, Report)
    lengths = report.users["n_fold_in"].to_numpy()
    parts: list[_Part] = []
    for member in _members(lengths, n_groups):
        low, high = lengths[member].min(), lengths[member].max()
        where = {"segment": _range(low, high), "shortest": low, "longest": high}
        parts.append((where, _samples_of(report, metrics, member)))
    return _table(report, parts, n_resamples, seed)


def by_mainstream(
    report: Report,
    fold: Fold,
    item_counts: ArrayLike,
    metrics: Sequence[str] | None = None,
    *,
    n_resamples: int = 2_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Split a report by the popularity of the items in each user's history, into thirds.

    Parameters
    ----------
    report : Report
    fold : Fold
        The one that `report` is on.
    item_counts : array of shape (n_items,), int
        Interactions of each item in the training data.
    metrics : sequence of str, optional
        Per-user metrics; all of the report where it is not given.
    n_resamples, seed : int
        Of the bootstrap over the users of the group.

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
    >>> from recsys_lib.evaluation import evaluate
    >>> from recsys_lib.models import Popularity
    >>> seen = sparse.csr_array([[1.0, 0, 0], [0, 0, 1.0]])
    >>> wanted = sparse.csr_array([[0, 1.0, 0], [0, 1.0, 0]])
    >>> fold = Fold(fold_in=seen, targets=wanted, users=np.arange(2))
    >>> report = evaluate(Popularity().fit(sparse.csr_array(np.tri(3))), fold, ["recall@1"])
    >>> table = by_mainstream(report, fold, [9, 5, 2])
    >>> table[["segment", "lowest", "highest", "value"]].round(3)
           segment  lowest  highest  value
    0   rare taste   0.062    0.062    0.0
    1  mixed taste   0.719    0.719    1.0
    """
    seen = fold.take(_evaluated(report, fold)).fold_in
    popularity = count_items(item_counts, fold).astype(np.float64)
    ranks = _middles(popularity, popularity)
    counts = np.maximum(np.diff(seen.indptr), 1)
    mainstream = np.bincount(entry_rows(seen), ranks[seen.indices], seen.shape[0]) / counts
    parts: list[_Part] = []
    for name, member in zip(_TASTES, _members(mainstream, len(_TASTES)), strict=False):
        low, high = mainstream[member].min(), mainstream[member].max()
        where = {"segment": name, "lowest": low, "highest": high}
        parts.append((where, _samples_of(report, metrics, member)))
    return _table(report, parts, n_resamples, seed)


def by_item_popularity(
    report: Report,
    fold: Fold,
    item_counts: ArrayLike,
    *,
    k: int = 20,
    n_buckets: int = 3,
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
    n_resamples, seed : int
        Of the bootstrap over users.

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
    counts = count_items(item_counts, fold)
    part = fold.take(_evaluated(report, fold))
    targets = likes_of(part.targets, report.protocol["min_value"])
    bucket = popularity_buckets(counts, n_buckets=n_buckets)
    listed = report.items[:, :k]
    shown = bucket[listed[listed >= 0]]
    parts: list[_Part] = []
    for label in np.unique(bucket):
        members = counts[bucket == label]
        fewest, most = int(members.min()), int(members.max())
        inside = keep_entries(targets, (bucket == label)[targets.indices])
        where = {
            "segment": _range(fewest, most),
            "fewest": fewest,
            "most": most,
            "n_items": len(members),
            "listed": float((shown == label).mean()) if len(shown) else np.nan,
        }
        recall = recall_at_k(find_hits(report.items, inside), k)
        parts.append((where, {f"recall@{k}": Sample.of(recall)}))
    return _table(report, parts, n_resamples, seed)


def popularity_buckets(item_counts: ArrayLike, *, n_buckets: int = 3) -> Ints:
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
    # A level belongs where the middle of its interactions lies.
    return np.minimum((_middles(-counts, counts) * n_buckets).astype(np.int64), n_buckets - 1)


def _middles(keys: Doubles, counts: Doubles) -> Doubles:
    """Return the share of interactions below the middle of each item's, in the order of `keys`."""
    levels, inverse = np.unique(keys, return_inverse=True)
    mass = np.bincount(inverse, weights=counts, minlength=len(levels))
    below = (np.cumsum(mass) - mass / 2) / max(1.0, mass.sum())
    return np.asarray(below[inverse])


def _evaluated(report: Report, fold: Fold) -> Ints:
    """Rows of the fold that are in the report: users without any target are not."""
    if report.protocol["fold"] != fold_fingerprint(fold):
        raise ValueError(
            f"`fold` must be the one that report {report.name!r} is on; its contents differ. "
            "Pass the fold that was given to evaluate."
        )
    return np.flatnonzero(np.isin(fold.users, report.users.index))


def _members(values: NDArray[Any], n_groups: int) -> list[Mask]:
    """Return the members of each of some about equal groups, lowest values first."""
    check_integer("n_groups", n_groups, minimum=1)
    bounds = np.quantile(values, np.arange(1, n_groups) / n_groups)
    group = np.searchsorted(np.unique(bounds), values, side="right")
    return [group == label for label in np.unique(group)]


def _range(low: int, high: int) -> str:
    return f"{low}-{high}" if low < high else f"{low}"


def _samples_of(report: Report, metrics: Sequence[str] | None, member: Mask) -> dict[str, Sample]:
    """Return the values of some users, by metric."""
    names = report.per_user_metrics if metrics is None else metrics
    whole = {metric.name: report.sample(metric.name) for metric in parse_metrics(names)}
    return {
        name: Sample(sample.per_user[member], sample.weights[member], sample.squared)
        for name, sample in whole.items()
    }


def _table(report: Report, parts: Sequence[_Part], n_resamples: int, seed: int) -> pd.DataFrame:
    """Return one row a segment and metric; segments keep their order in groupings and plots."""
    rows = []
    for where, samples in parts:
        found = estimates(list(samples.values()), n_resamples=n_resamples, seed=seed)
        for name, one in zip(samples, found, strict=True):
            rows.append({"model": report.name, "metric": name, **where, **one.row()})
    table = pd.DataFrame(rows)
    order = list(dict.fromkeys(table["segment"]))
    return table.assign(segment=pd.Categorical(table["segment"], order, ordered=True))
