"""Cold-start evaluation: users with shortened histories, and unused items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import (
    CSR,
    Floats,
    Integers,
    Ints,
    check_fraction,
    check_integer,
    check_kind,
    check_numbers,
    check_positions,
    check_user_items,
)
from recsys_lib.dataset import Fold, keep_entries
from recsys_lib.errors import DataError
from recsys_lib.evaluation.evaluate import evaluate, score_batches
from recsys_lib.ranking import hits_of_lists, top_k
from recsys_lib.seeding import rng_from
from recsys_lib.splitting import cut_rows, rank_in_row


def cut_history(fold: Fold, n: int, *, seed: int = 0) -> Fold:
    """Return the fold with `n` interactions of each user at random; the targets stay.

    Parameters
    ----------
    fold : Fold
        Users with fewer keep what they have.
    n : int
        >= 0.
    seed : int
        Of the choice. Cuts of one seed are nested: the first two hold the first one.

    Returns
    -------
    Fold

    Examples
    --------
    >>> row = sparse.csr_array([[1.0, 2.0, 3.0, 0.0]])
    >>> fold = Fold(fold_in=row, targets=sparse.csr_array([[0.0, 0, 0, 1]]), users=np.array([0]))
    >>> cut_history(fold, 2).fold_in.nnz
    2
    """
    check_integer("n", n)
    x = fold.fold_in
    draw = rng_from(seed, "evaluation", "newcomers").random(x.nnz)
    order = rank_in_row(sparse.csr_array((draw, x.indices, x.indptr), shape=x.shape))
    return replace(fold, fold_in=keep_entries(x, order < n))


def reached_lengths(
    user_items: CSR, lengths: Sequence[int], *, min_users: int = 20
) -> tuple[int, ...]:
    """Return the lengths of history that enough users have.

    Parameters
    ----------
    user_items : csr_array of shape (n_users, n_items)
        Such as the fold-in of held-out users.
    lengths : sequence of int
        Interactions that are to be shown.
    min_users : int
        How many users must have so many; a quarter of the users where that is fewer.

    Returns
    -------
    tuple of int
        Each once, shortest first.

    Raises
    ------
    DataError
        If no length is reached.

    Examples
    --------
    >>> rows = sparse.csr_array([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    >>> reached_lengths(rows, (0, 1, 2, 5), min_users=2)
    (0, 1, 2)
    """
    check_integer("min_users", min_users, minimum=1)
    check_numbers("lengths", lengths)
    histories = np.diff(user_items.indptr)
    needed = max(1, min(min_users, len(histories) // 4))
    reached = tuple(n for n in sorted(set(lengths)) if (histories >= n).sum() >= needed)
    if not reached:
        longest = int(np.sort(histories)[-needed]) if len(histories) else 0
        raise DataError(
            f"At least {needed} people must have {min(lengths)} known interactions; so many have "
            f"{longest} at most. Ask for shorter histories."
        )
    return reached


def people_with(fold: Fold, longest: int) -> Fold:
    """Return the users of a fold whose history has at least `longest` entries.

    Raises
    ------
    ValueError
        If there are none.
    """
    histories = np.diff(fold.fold_in.indptr)
    enough = np.flatnonzero(histories >= longest)
    if not len(enough):
        raise ValueError(
            f"`lengths` must be reached by some row; {longest} was asked for and the longest has "
            f"{histories.max(initial=0)} entries. Take those of `reached_lengths`."
        )
    return fold.take(enough)


def newcomer_curve(
    scorers: Mapping[str, Any],
    fold: Fold,
    *,
    lengths: Sequence[int] = (0, 1, 2, 5, 10),
    metrics: Sequence[str] = ("ndcg@100", "recall@20"),
    seed: int = 0,
    **options: Any,
) -> pd.DataFrame:
    """Measure scorers on one fold as the users' histories grow.

    Parameters
    ----------
    scorers : mapping of name to scorer
        Whatever `evaluate` takes; one with ``score_users`` may look up profiles.
    fold : Fold
        Users with fewer than the longest history are left out, so that all points of the curve
        speak of the same people and the same targets.
    lengths : sequence of int
        Interactions shown.
    metrics : sequence of str
    seed : int
        Of the cuts.
    **options
        Of `evaluate`, such as ``min_value``.

    Returns
    -------
    DataFrame
        ``n_history`` and the columns of `Report.table`, one row for each length, scorer, metric.

    Raises
    ------
    ValueError
        If no user has that long a history.
    """
    check_kind("fold", fold, Fold)
    people = people_with(fold, max(lengths))
    tables = []
    for n in lengths:
        cut = cut_history(people, n, seed=seed)
        for name, scorer in scorers.items():
            report = evaluate(scorer, cut, metrics=metrics, name=name, **options)
            tables.append(report.table().assign(n_history=n))
    table = pd.concat(tables, ignore_index=True)
    return table[["n_history", *(name for name in table.columns if name != "n_history")]]


def newcomer_verdict(table: pd.DataFrame, *, ladder: str, floor: str = "popularity") -> str:
    """Return a sentence on whether a ladder is worth more than its lowest rung.

    Parameters
    ----------
    table : DataFrame
        Of `newcomer_curve`, with one metric.
    ladder, floor : str
        Names of models in the table.

    Returns
    -------
    str

    Examples
    --------
    >>> table = pd.DataFrame({"n_history": [0, 0, 1, 1], "model": ["ladder", "popularity"] * 2,
    ...     "value": [0.3, 0.2, 0.19, 0.21], "se": 0.03, "n_users": 35})
    >>> newcomer_verdict(table, ladder="ladder")
    'The ladder is ahead of popularity at 1 of 2 lengths of history. It is furthest behind with 1
    known: 0.190 against 0.210, over 35 people, with a standard error of 0.030 each; their
    difference, over the same people, is known better.'
    """
    values = table.pivot_table(index="n_history", columns="model", values="value")
    lead = values[ladder] - values[floor]
    worst = lead.idxmin()
    ahead = int((lead > 0).sum())
    start = f"The {ladder} is ahead of {floor} at {ahead} of {len(lead)} lengths of history."
    if lead[worst] >= 0:
        return start
    row = table[table["model"] == ladder].set_index("n_history").loc[worst]
    return (
        f"{start} It is furthest behind with {worst} known: {row['value']:.3f} against "
        f"{values.loc[worst, floor]:.3f}, over {row['n_users']:,} people, with a standard error of "
        f"{row['se']:.3f} each; their difference, over the same people, is known better."
    )


def measure_handover(
    scorer: Any,
    fold: Fold,
    *,
    handovers: Sequence[float] = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0),
    lengths: Sequence[int] = (1, 2, 5),
    metric: str = "ndcg@100",
    seed: int = 0,
    **options: Any,
) -> pd.Series:
    """Measure how many interactions the rung below the model should be worth, on short histories.

    What popularity is worth beside a first click hangs on the data: four clicks on MovieLens, where
    everybody sees the same films, not one on CiteULike, where hardly two read the same.

    Parameters
    ----------
    scorer : Handover
        Any scorer that is a dataclass with the field ``handover``.
    fold : Fold
        Of validation users.
    handovers : sequence of float
        What to try.
    lengths, metric, seed, **options
        As of `newcomer_curve`.

    Returns
    -------
    Series
        The metric, a mean over the lengths, indexed by ``handover``; take its ``.idxmax()``.
    """
    scorers = {str(value): replace(scorer, handover=value) for value in handovers}
    table = newcomer_curve(scorers, fold, lengths=lengths, metrics=(metric,), seed=seed, **options)
    means = table.groupby("model", sort=False)["value"].mean()
    return means.set_axis(pd.Index(handovers, name="handover")).rename(metric)


def list_stability(
    scorers: Mapping[str, Any],
    fold: Fold,
    *,
    lengths: Sequence[int] = (0, 1, 2, 3, 4, 5),
    k: int = 10,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure how much of a list remains after the next interaction.

    Parameters
    ----------
    scorers, fold, seed
        As of `newcomer_curve`.
    lengths : sequence of int
        Interactions shown, ascending.
    k : int
        Length of the lists.

    Returns
    -------
    DataFrame
        Indexed by ``n_history``, one column a scorer: the mean share of the list before, less what
        was used meanwhile, that is in the list now; from the second of the lengths on.

    Examples
    --------
    >>> from recsys_lib.models import Popularity
    >>> row = sparse.csr_array([[1.0, 1.0, 0.0, 0.0, 0.0]])
    >>> fold = Fold(fold_in=row, targets=row, users=np.array([0]))
    >>> scorers = {"popularity": Popularity().fit(sparse.csr_array(np.tri(5)))}
    >>> list_stability(scorers, fold, lengths=(0, 1, 2), k=2)["popularity"].tolist()
    [1.0, 1.0]
    """
    cuts = [cut_history(fold, n, seed=seed) for n in lengths]
    kept = {}
    for name, scorer in scorers.items():
        lists = [_lists(scorer, cut, k) for cut in cuts]
        kept[name] = [
            _share_kept(lists[i - 1], lists[i], cuts[i].fold_in) for i in range(1, len(cuts))
        ]
    return pd.DataFrame(kept, index=pd.Index(lengths[1:], name="n_history"))


def _lists(scorer: Any, fold: Fold, k: int) -> NDArray[np.int32]:
    """Return the top k of each user, without what is in the history."""
    parts = [
        top_k(scores, k, exclude=fold.fold_in[rows]).items
        for rows, scores in score_batches(scorer, fold)
    ]
    return np.concatenate([np.empty((0, k), dtype=np.int32), *parts])


def _share_kept(before: NDArray[np.int32], after: NDArray[np.int32], used: CSR) -> float:
    left = (before >= 0) & ~hits_of_lists(before, used)
    row = np.arange(len(before))[:, None] * used.shape[1]
    kept = left & np.isin(row + before, (row + after)[after >= 0])
    n_left = left.sum(axis=1)
    some = n_left > 0
    return float((kept.sum(axis=1)[some] / n_left[some]).mean()) if some.any() else float("nan")


def hide_items(
    user_items: CSR, users: Integers, *, share: float = 0.2, seed: int = 0
) -> tuple[CSR, Fold, Ints]:
    """Split a matrix so that some items have never been used.

    Parameters
    ----------
    user_items : csr_array of shape (n_users, n_items)
    users : ndarray of int
        Positions of the users held out.
    share : float
        Of the items that are hidden, in (0, 1).
    seed : int
        Of the choice.

    Returns
    -------
    train : csr_array of shape (n_users - n_held_out, n_items), float32
        The other users; the columns of hidden items are empty, for the catalog stays.
    fold : Fold
        Of each held-out user what they used of the items that are known, and as targets what they
        used of the hidden ones.
    hidden : ndarray of int64
        Positions of the hidden items, ascending.

    Examples
    --------
    >>> x = sparse.csr_array(np.ones((3, 4), dtype="float32"))
    >>> train, fold, hidden = hide_items(x, np.array([2]), share=0.5)
    >>> train.shape, train.nnz, fold.targets.nnz, len(hidden)
    ((2, 4), 4, 2, 2)
    """
    check_fraction("share", share)
    x = check_user_items(user_items)
    users = check_positions("users", users, x.shape[0])
    n_hidden = max(1, round(share * x.shape[1]))
    rng = rng_from(seed, "evaluation", "new items")
    hidden = np.sort(rng.choice(x.shape[1], n_hidden, replace=False))
    others, rows = x[np.setdiff1d(np.arange(x.shape[0]), users)], x[users]
    fold = cut_rows(rows, np.isin(rows.indices, hidden), users)
    return keep_entries(others, ~np.isin(others.indices, hidden)), fold, hidden


@dataclass(frozen=True, kw_only=True)
class OnlyItems:
    """A scorer restricted to some items, such as the hidden ones.

    Parameters
    ----------
    scorer : object
        Whatever `evaluate` takes.
    items : ndarray of int
        Positions of the items that may be listed.
    """

    scorer: Any
    items: Integers

    def score_users(self, users: Integers, fold_in: CSR) -> Floats:
        """Return the scores of the scorer, -inf for items that may not be listed."""
        fold = Fold(fold_in=fold_in, targets=fold_in, users=np.asarray(users, dtype=np.int64))
        ((_, scores),) = score_batches(self.scorer, fold, batch_size=max(1, fold.n_rows))
        kept = np.full(scores.shape, -np.inf, dtype=np.float32)
        kept[:, self.items] = scores[:, self.items]
        return kept
