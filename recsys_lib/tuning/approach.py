"""How close models get to the ceiling as the data grow."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from recsys_lib.checks import check_integer
from recsys_lib.dataset import Split
from recsys_lib.evaluation import Report, evaluate, share_of_gap_closed
from recsys_lib.models import Popularity
from recsys_lib.progress import track
from recsys_lib.splitting import strong_generalization
from recsys_lib.synthesis import make_world, oracles_of_likes
from recsys_lib.tuning.choosing import choose

__all__ = [
    "approach_by_setting",
    "approach_ceiling",
    "approach_in_world",
    "contest",
    "fit_and_evaluate",
]


def fit_and_evaluate(models: Mapping[str, Any], split: Split, metric: str) -> dict[str, Report]:
    """Fit each model on the training part and measure it on the test people.

    Parameters
    ----------
    models : mapping of str to model
        Name in tables -> model. They are fitted in place; where they train in epochs, validation
        people choose the epoch.
    split : Split
    metric : str

    Returns
    -------
    dict of str to Report
        In the order given.

    Examples
    --------
    >>> from recsys_lib import make_world, strong_generalization
    >>> from recsys_lib.models import EASE
    >>> likes = make_world(n_users=300, n_items=30).dataset().implicit(7)
    >>> split = strong_generalization(likes, min_interactions=2)
    >>> list(fit_and_evaluate({"EASE": EASE(l2=100.0)}, split, "ndcg@10"))
    ['EASE']
    """
    reports = {}
    for name, model in models.items():
        model.fit(split.train, validation=split.validation)
        reports[name] = evaluate(model, split.test, [metric], name=name)
    return reports


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
    scorers = {
        "popularity": Popularity().fit(split.train),
        **choose(families, split, metric).models,
    }
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
    options: dict[str, Any] = {"confidence": confidence, "n_resamples": n_resamples}
    with track("approach the ceiling", len(train_users), "sizes") as task:
        for n in train_users:
            part = replace(split, train=split.train[:n], train_users=split.train_users[:n])
            floor, *reports = contest(families, part, metric, seed=seed)
            shares = share_of_gap_closed(
                reports, floor=floor, ceiling=top, metrics=[metric], seed=seed, **options
            )
            shares = shares.drop(columns=["metric", "n_users"])
            shares.insert(0, "interactions", part.train.nnz)
            shares.insert(0, "train_users", n)
            tables.append(shares)
            task.step()
    return pd.concat(tables, ignore_index=True)


def approach_in_world(
    families: Mapping[str, Sequence[Any]],
    metric: str,
    *,
    train_users: Sequence[int],
    test_users: int,
    validation_users: int = 300,
    min_value: float = 7.0,
    seed: int = 0,
    **settings: Any,
) -> pd.DataFrame:
    """Make a world, and measure how close models get to its ceiling as the training people grow.

    Parameters
    ----------
    families, metric, train_users
        As of `approach_ceiling`.
    test_users, validation_users : int
        People whose lists are measured; people who choose the settings.
    min_value : float
        Lowest rating that is a like; models see likes only.
    seed : int
        Of the world, the split and the bootstrap.
    **settings
        Of `make_world`, such as ``ratings_per_user``.

    Returns
    -------
    DataFrame
        As of `approach_ceiling`, whose ceiling is the fold-in oracle of the world.
    """
    # Twice the people needed: those with fewer than two likes drop out.
    n_users = 2 * (max(train_users) + test_users + validation_users)
    world = make_world(n_users=n_users, seed=seed, **settings)
    split = strong_generalization(
        world.dataset().implicit(min_value),
        test_users=test_users,
        validation_users=validation_users,
        min_interactions=2,
        seed=seed,
    )
    ceiling = oracles_of_likes(world.truth, min_value=min_value)["fold-in oracle"]
    return approach_ceiling(
        families, split, metric, ceiling=ceiling, train_users=train_users, seed=seed
    )


def approach_by_setting(
    families: Mapping[str, Sequence[Any]],
    metric: str,
    setting: str,
    values: Sequence[float],
    **options: Any,
) -> pd.DataFrame:
    """Measure the same as `approach_in_world` in one world for each value of a setting.

    Parameters
    ----------
    families, metric
        As of `approach_ceiling`.
    setting : str
        Of `make_world`, such as ``"ratings_per_user"``.
    values : sequence of number
        One world each.
    **options
        Of `approach_in_world`.

    Returns
    -------
    DataFrame
        With the value of the setting as ``x``.
    """
    tables = [
        approach_in_world(families, metric, **(options | {setting: value})).assign(x=value)
        for value in values
    ]
    return pd.concat(tables, ignore_index=True)
