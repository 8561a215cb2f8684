"""Every metric: what ``"ndcg@100"`` means, how it is computed, and which way is better.

Ranking metrics read a `Hits`, so that all metrics of a report share one look-up. A user without
targets has no value (NaN): a list cannot be right or wrong about nothing. Rating errors are pooled
over ratings, as in Surprise, LensKit and the Netflix Prize; a mean of per-user errors, where every
*user* counts the same, is another number and usually lower.
"""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys_lib.checks import CSR, Doubles, Integers, Ints, Mask, check_fraction, check_integer
from recsys_lib.dataset import keep_entries
from recsys_lib.errors import ConfigError
from recsys_lib.naming import did_you_mean, listed
from recsys_lib.ranking import entry_rows, hits_of_lists, ndcg


@dataclass(frozen=True)
class Hits:
    """Which places of the ranked lists hold a target, and how many targets there are.

    Attributes
    ----------
    hit : ndarray of shape (n_rows, width), bool
        True where the item in that place is one of the user's targets.
    n_targets : ndarray of shape (n_rows,), int64
        Number of targets of each user.
    """

    hit: Mask
    n_targets: Ints

    def until(self, k: int) -> Mask:
        """Return the first `k` places; `ValueError` if the lists are shorter than that."""
        check_integer("k", k, minimum=1)
        if k > self.hit.shape[1]:
            raise ValueError(
                f"`k` must not exceed the length of the lists, {self.hit.shape[1]}; got {k}. "
                "Make longer lists with top_k(scores, k)."
            )
        return self.hit[:, :k]

    def per_target(self, total: ArrayLike, best: ArrayLike) -> Doubles:
        """Return `total` / `best`, NaN for users without targets."""
        has_targets = self.n_targets > 0
        return np.divide(total, best, out=np.full(len(has_targets), np.nan), where=has_targets)


def find_hits(items: ArrayLike, targets: CSR) -> Hits:
    """Look up which listed items are targets.

    Parameters
    ----------
    items : array of shape (n_rows, width), int
        Item positions, best first, no item twice in a row; -1 where a list is short.
    targets : csr_array of shape (n_rows, n_items)
        Every stored entry is a target.

    Returns
    -------
    Hits

    Examples
    --------
    >>> from scipy import sparse
    >>> targets = sparse.csr_array([[1, 0, 1], [0, 0, 0]])
    >>> find_hits([[2, 1], [0, -1]], targets)
    Hits(hit=array([[ True, False], [False, False]]), n_targets=array([2, 0]))
    """
    listed = np.asarray(items, dtype=np.int64)
    n_targets = np.diff(targets.indptr).astype(np.int64)
    return Hits(hit=hits_of_lists(listed, targets), n_targets=n_targets)


def recall_at_k(hits: Hits, k: int) -> Doubles:
    r"""Share of the findable targets that the list holds: hits / min(k, \|targets\|).

    The denominator makes a perfect list 1 also for users with more than `k` targets; many
    libraries divide by \|targets\|, and their values are lower.

    Parameters
    ----------
    hits : Hits
    k : int
        List length.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        In [0, 1]; NaN without targets.

    References
    ----------
    .. [1] D. Liang, R. Krishnan, M. Hoffman, T. Jebara, "Variational Autoencoders for
       Collaborative Filtering", WWW 2018, section 4.2.

    Examples
    --------
    >>> from scipy import sparse
    >>> targets = sparse.csr_array([[1, 0, 1, 1], [0, 1, 0, 0]])
    >>> recall_at_k(find_hits([[0, 1], [0, 1]], targets), k=2)
    array([0.5, 1. ])
    """
    return hits.per_target(hits.until(k).sum(axis=1), np.minimum(k, hits.n_targets))


def precision_at_k(hits: Hits, k: int) -> Doubles:
    """Share of the `k` places that hold a target: hits / k.

    A list that is shorter than `k` is still divided by `k`, and a user with fewer than `k` targets
    cannot reach 1.

    Parameters
    ----------
    hits : Hits
    k : int
        List length.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        In [0, 1]; NaN without targets.

    References
    ----------
    .. [1] C. D. Manning, P. Raghavan, H. Schuetze, "Introduction to Information Retrieval", 2008,
       section 8.4.

    Examples
    --------
    >>> from scipy import sparse
    >>> precision_at_k(find_hits([[0, 1]], sparse.csr_array([[1, 0, 1]])), k=2)
    array([0.5])
    """
    return hits.per_target(hits.until(k).sum(axis=1), k)


def hit_rate_at_k(hits: Hits, k: int) -> Doubles:
    """1 if the list holds any target, else 0.

    Parameters
    ----------
    hits : Hits
    k : int
        List length.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        0 or 1; NaN without targets.

    References
    ----------
    .. [1] M. Deshpande, G. Karypis, "Item-based top-N recommendation algorithms", ACM TOIS 22(1),
       2004, section 6.

    Examples
    --------
    >>> from scipy import sparse
    >>> hit_rate_at_k(find_hits([[0, 1], [0, 1]], sparse.csr_array([[0, 1, 1], [0, 0, 1]])), k=2)
    array([1., 0.])
    """
    return hits.per_target(hits.until(k).any(axis=1), 1)


def mrr_at_k(hits: Hits, k: int) -> Doubles:
    """1 / place of the first target, 0 if the list holds none.

    Parameters
    ----------
    hits : Hits
    k : int
        List length.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        In [0, 1]; NaN without targets.

    References
    ----------
    .. [1] E. M. Voorhees, "The TREC-8 Question Answering Track Report", 1999.

    Examples
    --------
    >>> from scipy import sparse
    >>> mrr_at_k(find_hits([[0, 1, 2]], sparse.csr_array([[0, 1, 1]])), k=3)
    array([0.5])
    """
    hit = hits.until(k)
    return hits.per_target(hit.any(axis=1), hit.argmax(axis=1) + 1)


def map_at_k(hits: Hits, k: int) -> Doubles:
    r"""Average precision: the precision at each hit, summed, over min(k, \|targets\|).

    Libraries that divide by \|targets\| (trec_eval, ranx) give lower values to users with more than
    `k` targets.

    Parameters
    ----------
    hits : Hits
    k : int
        List length.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        In [0, 1]; NaN without targets.

    References
    ----------
    .. [1] C. D. Manning, P. Raghavan, H. Schuetze, "Introduction to Information Retrieval", 2008,
       eq. 8.8; truncated at `k` as in the Million Song Dataset Challenge (B. McFee et al., 2012).

    Examples
    --------
    >>> from scipy import sparse
    >>> map_at_k(find_hits([[0, 1, 2]], sparse.csr_array([[1, 0, 1]])), k=3).round(4)
    array([0.8333])
    """
    hit = hits.until(k)
    precision = np.cumsum(hit, axis=1) / np.arange(1.0, k + 1.0)
    return hits.per_target((precision * hit).sum(axis=1), np.minimum(k, hits.n_targets))


def ndcg_at_k(hits: Hits, k: int) -> Doubles:
    r"""Discounted gain of the list over that of the best list: binary gains, 1 / log2(place + 1).

    The best list holds min(k, \|targets\|) targets first.

    Parameters
    ----------
    hits : Hits
    k : int
        List length.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        In [0, 1]; NaN without targets.

    References
    ----------
    .. [1] D. Liang, R. Krishnan, M. Hoffman, T. Jebara, "Variational Autoencoders for
       Collaborative Filtering", WWW 2018, section 4.2.

    Examples
    --------
    >>> from scipy import sparse
    >>> ndcg_at_k(find_hits([[0, 1, 2]], sparse.csr_array([[0, 1, 0]])), k=3).round(4)
    array([0.6309])
    """
    return ndcg(hits.until(k), hits.n_targets)


def exposure(items: Integers, n_items: int) -> Ints:
    """Return how often each item is listed.

    Parameters
    ----------
    items : ndarray of shape (n_rows, k), int
        Ranked lists; -1 where a list is short.
    n_items : int
        Size of the catalog.

    Returns
    -------
    ndarray of shape (n_items,), int64

    Examples
    --------
    >>> exposure(np.array([[0, 2], [0, -1]]), n_items=4)
    array([2, 0, 1, 0])
    """
    return np.bincount(items[items >= 0], minlength=n_items)


def coverage(counts: ArrayLike) -> float:
    """Share of the catalog that is listed to anyone.

    Parameters
    ----------
    counts : array of shape (n_items,)
        How often each item is listed, see `exposure`.

    Returns
    -------
    float
        In [0, 1]. It grows with the number of users, so compare it on the same users only.

    References
    ----------
    .. [1] M. Ge, C. Delgado-Battenfeld, D. Jannach, "Beyond accuracy: evaluating recommender
       systems by coverage and serendipity", RecSys 2010, section 2.1.

    Examples
    --------
    >>> coverage([2, 0, 1, 0])
    0.5
    """
    return float(np.mean(np.asarray(counts) > 0))


def gini(counts: ArrayLike) -> float:
    """Gini coefficient of exposure: 0 if all items are listed equally often, near 1 if one is.

    Parameters
    ----------
    counts : array of shape (n_items,)
        How often each item is listed, items never listed included.

    Returns
    -------
    float
        In [0, 1 - 1/n_items]; NaN if nothing is listed.

    References
    ----------
    .. [1] D. Fleder, K. Hosanagar, "Blockbuster culture's next rise or fall", Management Science
       55(5), 2009, section 3.

    Examples
    --------
    >>> gini([1, 1, 1, 1]), gini([0, 0, 0, 4])
    (0.0, 0.75)
    """
    ordered = np.sort(np.asarray(counts, dtype=np.float64))
    total, n_items = ordered.sum(), len(ordered)
    if total == 0:
        return float("nan")
    places = np.arange(1, n_items + 1)
    return float(((2 * places - n_items - 1) @ ordered) / (n_items * total))


def novelty_at_k(items: Integers, item_counts: Integers, k: int) -> Doubles:
    """Mean self-information of the listed items, in bits: -log2 of their share of interactions.

    One interaction is added to every item, so that an item nobody has used is very new, not
    infinitely so.

    Parameters
    ----------
    items : ndarray of shape (n_rows, width), int
        Ranked lists, width >= k; -1 where a list is short.
    item_counts : ndarray of shape (n_items,), int
        Interactions of each item in the *training* data.
    k : int
        List length.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        >= 0; NaN for an empty list.

    References
    ----------
    .. [1] S. Vargas, P. Castells, "Rank and Relevance in Novelty and Diversity Metrics for
       Recommender Systems", RecSys 2011 (free discovery).
    .. [2] T. Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems",
       PNAS 107(10), 2010. Differs: their surprisal is of the share of *users*, which is less by the
       logarithm of the interactions of a user.

    Examples
    --------
    >>> novelty_at_k(np.array([[0, 1], [2, -1]]), np.array([13, 5, 0]), k=2).round(2)
    array([1.2 , 4.39])
    """
    smoothed = np.asarray(item_counts, dtype=np.float64) + 1.0
    bits = np.append(np.log2(smoothed.sum()) - np.log2(smoothed), 0.0)  # item -1 reads the last one
    listed = items[:, :k]
    filled = (listed >= 0).sum(axis=1)
    total = bits[listed].sum(axis=1)
    return np.divide(total, filled, out=np.full(len(total), np.nan), where=filled > 0)


def tail_items(item_counts: ArrayLike, *, head_share: float = 1 / 3) -> Mask:
    """Return which items are in the long tail: all but the fewest that hold `head_share`.

    Parameters
    ----------
    item_counts : array of shape (n_items,), int
        Interactions of each item in the *training* data.
    head_share : float
        Share of all interactions that the short head holds, in (0, 1).

    Returns
    -------
    ndarray of shape (n_items,), bool
        Items with equally many interactions as the last of the head belong to the head.

    References
    ----------
    .. [1] P. Cremonesi, Y. Koren, R. Turrin, "Performance of recommender algorithms on top-N
       recommendation tasks", RecSys 2010: the short head holds 33 % of the ratings.

    Examples
    --------
    >>> tail_items([50, 20, 20, 10], head_share=0.5)
    array([False,  True,  True,  True])
    """
    check_fraction("head_share", head_share)
    counts = np.asarray(item_counts, dtype=np.float64)
    descending = np.sort(counts)[::-1]
    last = int(np.searchsorted(np.cumsum(descending), head_share * counts.sum()))
    return np.asarray(counts < descending[min(last, len(counts) - 1)])


def tail_recall_at_k(items: Integers, targets: CSR, tail: Mask, k: int) -> Doubles:
    r"""Recall that counts long-tail targets only: tail hits / min(k, \|tail targets\|).

    Parameters
    ----------
    items : ndarray of shape (n_rows, width), int
        Ranked lists of the *whole* catalog, width >= k.
    targets : csr_array of shape (n_rows, n_items)
    tail : ndarray of shape (n_items,), bool
        Which items count, see `tail_items`.
    k : int
        List length.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        In [0, 1]; NaN for users without a target in the tail.

    References
    ----------
    .. [1] P. Cremonesi, Y. Koren, R. Turrin, RecSys 2010 (recall on the long tail), with the
       denominator of `recall_at_k`.

    Examples
    --------
    >>> from scipy import sparse
    >>> targets = sparse.csr_array([[1, 1, 0], [1, 0, 0]])
    >>> tail_recall_at_k(np.array([[0, 1], [0, 1]]), targets, np.array([False, True, True]), k=2)
    array([ 1., nan])
    """
    return recall_at_k(find_hits(items, keep_entries(targets, tail[targets.indices])), k)


def root_squared_error(predicted: Doubles, targets: CSR) -> Doubles:
    """Root of the mean squared error of a user's ratings, in rating units.

    Parameters
    ----------
    predicted : ndarray of shape (targets.nnz,), float64
        Predictions in the order of ``targets.data``.
    targets : csr_array of shape (n_rows, n_items)
        Held-out ratings.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        NaN for users without held-out ratings. A report pools these over cells:
        sqrt(sum n_u r_u^2 / sum n_u).

    References
    ----------
    .. [1] J. L. Herlocker et al., "Evaluating collaborative filtering recommender systems", ACM
       TOIS 22(1), 2004, section 4.1.

    Examples
    --------
    >>> from scipy import sparse
    >>> root_squared_error(np.array([4.0, 2.0]), sparse.csr_array([[5.0, 1.0], [0.0, 0.0]]))
    array([ 1., nan])
    """
    return np.sqrt(_mean_by_row((predicted - targets.data) ** 2, targets))


def absolute_error(predicted: Doubles, targets: CSR) -> Doubles:
    """Mean absolute error of a user's ratings, in rating units.

    Parameters
    ----------
    predicted : ndarray of shape (targets.nnz,), float64
        Predictions in the order of ``targets.data``.
    targets : csr_array of shape (n_rows, n_items)
        Held-out ratings.

    Returns
    -------
    ndarray of shape (n_rows,), float64
        NaN for users without held-out ratings. A report pools these over cells.

    References
    ----------
    .. [1] J. L. Herlocker et al., "Evaluating collaborative filtering recommender systems", ACM
       TOIS 22(1), 2004, section 4.1.

    Examples
    --------
    >>> from scipy import sparse
    >>> absolute_error(np.array([4.0, 3.0]), sparse.csr_array([[5.0, 1.0]]))
    array([1.5])
    """
    return _mean_by_row(np.abs(predicted - targets.data), targets)


def _mean_by_row(values: Doubles, targets: CSR) -> Doubles:
    """Mean of the cell values of each row, NaN for empty rows."""
    counts = np.diff(targets.indptr)
    totals = np.bincount(entry_rows(targets), weights=values, minlength=len(counts))
    return np.divide(totals, counts, out=np.full(len(counts), np.nan), where=counts > 0)


@dataclass(frozen=True)
class View:
    """What metrics read, one row per evaluated user.

    Attributes
    ----------
    items : ndarray of shape (n_rows, k_max), int32
        Ranked lists; -1 where a list is short, and for users without ranking targets.
    targets, rated : csr_array of shape (n_rows, n_items)
        What counts in ranking metrics; all held-out ratings.
    predicted : ndarray of shape (rated.nnz,), float64
        Predictions in the order of ``rated.data``; empty where no rating error was asked for.
    item_counts : ndarray of shape (n_items,), int64
        Interactions of each item in the training data.
    """

    items: NDArray[np.int32]
    targets: CSR
    rated: CSR
    predicted: Doubles
    item_counts: Ints

    @cached_property
    def hits(self) -> Hits:
        """Where the lists hold a target."""
        return find_hits(self.items, self.targets)


#: Metric -> the function that computes it, whose first line says what it is.
_COMPUTED_BY: dict[str, Callable[..., Any]] = {
    "ndcg": ndcg_at_k,
    "recall": recall_at_k,
    "precision": precision_at_k,
    "map": map_at_k,
    "mrr": mrr_at_k,
    "hit_rate": hit_rate_at_k,
    "tail_recall": tail_recall_at_k,
    "novelty": novelty_at_k,
    "coverage": coverage,
    "gini": gini,
    "rmse": root_squared_error,
    "mae": absolute_error,
}
# Those of all lists together, and those of predicted ratings; the others are of each list.
_OF_ALL, _OF_RATINGS = ("coverage", "gini"), ("rmse", "mae")


class Metric(NamedTuple):
    """One metric of a report.

    Attributes
    ----------
    name : str
        As in the report: ``"ndcg@100"``.
    family : str
        The name without its list length: ``"ndcg"``.
    k : int or None
        List length; None for rating errors.
    """

    name: str
    family: str
    k: int | None

    @property
    def kind(self) -> Literal["list", "system", "rating"]:
        """What there is a value of.

        "list" has one value per user, averaged over users; "system" has one value for all lists
        together; "rating" has one value per user, pooled over rated cells.
        """
        if self.family in _OF_RATINGS:
            return "rating"
        return "system" if self.family in _OF_ALL else "list"

    @property
    def higher_is_better(self) -> bool | None:
        """Which end is the better one; None where neither is."""
        if self.kind == "system" or self.family == "novelty":
            return None
        return self.kind == "list"

    @property
    def definition(self) -> str:
        """One line with the denominator; the function has the source, too."""
        text = inspect.getdoc(_COMPUTED_BY[self.family]) or ""
        return text.partition("\n")[0].replace("\\|", "|")

    @property
    def per_user(self) -> bool:
        """Whether there is a value for each user, hence an interval."""
        return self.kind != "system"

    @property
    def squared(self) -> bool:
        """Whether it is pooled as the root of a mean of squares."""
        return self.family == "rmse"

    def measure(self, view: View) -> Any:
        """Return the value of each user, or the one number where there is no value per user."""
        compute, k = _COMPUTED_BY[self.family], self.k
        match self.kind, self.family:
            case "rating", _:
                return compute(view.predicted, view.rated)
            case "system", _:
                return compute(exposure(view.items[:, :k], view.targets.shape[1]))
            case _, "novelty":
                return compute(view.items, view.item_counts, k)
            case _, "tail_recall":
                return compute(view.items, view.targets, tail_items(view.item_counts), k)
        return compute(view.hits, k)


def known_metrics() -> tuple[str, ...]:
    """Return the names that `parse_metric` knows, ``@k`` standing for a list length.

    Examples
    --------
    >>> known_metrics()[:2], known_metrics()[-1]
    (('ndcg@k', 'recall@k'), 'mae')
    """
    return tuple(name if name in _OF_RATINGS else f"{name}@k" for name in _COMPUTED_BY)


def parse_metric(name: str) -> Metric:
    """Return the metric called `name`.

    Parameters
    ----------
    name : str
        Such as ``"ndcg@100"`` or ``"rmse"``.

    Returns
    -------
    Metric

    Raises
    ------
    ConfigError
        If the metric is unknown, or its list length is missing, superfluous or not a number >= 1.

    Examples
    --------
    >>> metric = parse_metric("recall@20")
    >>> metric.family, metric.k, metric.definition
    ('recall', 20, 'Share of the findable targets that the list holds: hits / min(k, |targets|).')
    """
    if not isinstance(name, str):
        raise ConfigError(f"A metric must be named by a string such as 'ndcg@100'; got {name!r}.")
    family, at, length = name.partition("@")
    if family not in _COMPUTED_BY:
        known, near = ", ".join(known_metrics()), did_you_mean(family, _COMPUTED_BY)
        raise ConfigError(f"A metric must be one of {known}; got {name!r}.{near}")
    if family in _OF_RATINGS:
        if at:
            raise ConfigError(f"{family!r} has no list length; got {name!r}. Write {family!r}.")
        return Metric(name, family, None)
    if not (length.isascii() and length.isdigit() and int(length) >= 1):
        raise ConfigError(
            f"{family!r} needs a list length >= 1; got {name!r}. Write '{family}@20', for example."
        )
    return Metric(f"{family}@{int(length)}", family, int(length))


def parse_metrics(names: Iterable[str]) -> tuple[Metric, ...]:
    """Return the metrics called `names`, in their order, each once.

    Raises
    ------
    ConfigError
        If there is none, or one is unknown.

    Examples
    --------
    >>> [metric.name for metric in parse_metrics(["rmse", "mae", "rmse"])]
    ['rmse', 'mae']
    """
    # A lone string is iterable too, and "rmse" would be read as the metrics r, m, s, e.
    if not (names := listed(names)):
        raise ConfigError(f"`metrics` must name at least one of {', '.join(known_metrics())}.")
    return tuple({metric.name: metric for metric in map(parse_metric, names)}.values())
