"""How close models get to the ceiling as the data grow."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from recsys_lib.checks import check_integer
from recsys_lib.dataset import Split
from recsys_lib.evaluation import MostPopular, Report, evaluate, share_of_gap_closed
from recsys_lib.tuning.choosing import choose

__all__ = ["approach_ceiling", "contest"]


def contest(
    families: Mapping[str, Sequence[Any]], split: Split, metric: str, *, seed: int = 0
) -> list[Report]:
    """Measure popularity and the chosen model of each family on the test people.

    Parameters
    ----------
    families : mapping of str to sequence of model
        As for `choose`, which fits them on the training part and chooses on validation.
    split : Split
    metric : str
        A per-user metric of lists.
    seed : int
        Of the order among equal scores.

    Returns
    -------
    list of Report
        "popularity" first, which counts what was used in the training part.

    Examples
    --------
    >>> from recsys_lib import make_world, strong_generalization
    >>> from recsys_lib.models import EASE
    >>> likes = make_world(n_users=300, n_items=30).dataset().implicit(7)
    >>> split = strong_generalization(likes, min_interactions=2)
    >>> families = {"EASE": [EASE(l2=l2) for l2 in (10.0, 100.0)]}
    >>> [report.name for report in contest(families, split, "ndcg@10")]
    ['popularity', 'EASE']
    """
    counts = np.bincount(split.train.indices, minlength=split.train.shape[1])
    scorers = {"popularity": MostPopular(counts), **choose(families, split, metric).models}
    return [
        evaluate(scorer, split.test, [metric], name=name, seed=seed, item_counts=counts)
        for name, scorer in scorers.items()
    ]


def approach_ceiling(
    families: Mapping[str, Sequence[Any]],
    split: Split,
    metric: str,
    *,
    ceiling: Any,
    train_users: Sequence[int],
    confidence: float = 0.95,
    n_resamples: int = 1_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Train on more and more users; measure the share of the gap to the ceiling each family closes.

    Parameters
    ----------
    families : mapping of str to sequence of model
        Settings are chosen anew for each number of people, as by `choose`.
    split : Split
        Of likes. The first people of its training part are taken; validation and test people stay
        the same, so the points of a curve are paired.
    metric : str
        A per-user metric of lists.
    ceiling : scorer
        Such as the fold-in oracle of `synthesis.oracles_of_likes`; it is asked once.
    train_users : sequence of int
        Numbers of training people.
    confidence, n_resamples, seed
        Of the paired bootstrap interval over test people.

    Returns
    -------
    DataFrame
        ``train_users, interactions, model, value, floor, ceiling, share, low, high``: the metric of
        the model, of popularity *of the same training part* and of the ceiling; the share of the
        gap closed with its interval, NaN where there is no gap that could be told from 0.

    Raises
    ------
    ValueError
        If more people are asked for than the training part has.

    Examples
    --------
    >>> from recsys_lib import make_world, strong_generalization
    >>> from recsys_lib.models import EASE
    >>> from recsys_lib.synthesis import oracles_of_likes
    >>> world = make_world(n_users=900, n_items=40)
    >>> split = strong_generalization(
    ...     world.dataset().implicit(7), test_users=300, min_interactions=2
    ... )
    >>> table = approach_ceiling(
    ...     {"EASE": [EASE(l2=100.0)]},
    ...     split,
    ...     "ndcg@10",
    ...     ceiling=oracles_of_likes(world.truth)["fold-in oracle"],
    ...     train_users=(50, 400),
    ... )
    >>> table["train_users"].tolist(), bool(table["share"].is_monotonic_increasing)
    ([50, 400], True)
    """
    for n in train_users:
        check_integer("train_users", n, minimum=1)
        if n > split.train.shape[0]:
            raise ValueError(
                f"`train_users` must be at most {split.train.shape[0]}, the people to train on; "
                f"got {n}. Make a larger world, or train on fewer."
            )
    tables, top = [], evaluate(ceiling, split.test, [metric], name="ceiling", seed=seed)
    for n in train_users:
        part = replace(split, train=split.train[:n], train_users=split.train_users[:n])
        floor, *reports = contest(families, part, metric, seed=seed)
        options: dict[str, Any] = {"confidence": confidence, "n_resamples": n_resamples}
        shares = share_of_gap_closed(
            reports, floor=floor, ceiling=top, metrics=[metric], seed=seed, **options
        )
        shares = shares.drop(columns=["metric", "n_users"])
        shares.insert(0, "interactions", part.train.nnz)
        shares.insert(0, "train_users", n)
        tables.append(shares)
    return pd.concat(tables, ignore_index=True)
