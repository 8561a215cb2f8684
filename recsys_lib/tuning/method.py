"""Choose settings with equally many tries for each family, and approach the ceiling."""

import time
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from recsys_lib import models
from recsys_lib.checks import CSR, check_integer, check_kind, check_numbers, check_positive
from recsys_lib.dataset import Split
from recsys_lib.evaluation import Report, evaluate, parse_metric, share_of_gap_closed
from recsys_lib.models.base import Cost, Recommender
from recsys_lib.models.neural import NeuralRecommender
from recsys_lib.progress import track
from recsys_lib.splitting import strong_generalization
from recsys_lib.synthesis import make_world, oracles_of_likes
from recsys_lib.tuning.search import sealed
from recsys_lib.tuning.spaces import settings_of

# What a network is asked for, and how much of a row it does not see; the best bets first.
_WAYS = (("hidden", 0.5), ("all", 0.5), ("hidden", 0.7), ("hidden", 0.3))
# From here on the dense closed forms begin to take minutes, and the sparse one is a family as well.
_WIDE = 5_000
# Lowest rating of a world that is a like.
_LIKE = 7.0


def candidate_families(
    user_items: CSR,
    *,
    tries: int = 2,
    epochs: int = 100,
    latent_dim: int = 200,
    hidden_dim: int = 600,
    seed: int = 0,
) -> dict[str, list[Recommender]]:
    """Return unfitted candidates for `choose`: every family with the same number of tries.

    Parameters
    ----------
    user_items : csr_array of shape (n_users, n_items)
        What will be fitted; penalties are in units of the users of its average item, so that one
        grid suits data of any size, and no code is wider than the data.
    tries : int
        Settings of each family, 1 to 4; the best bets come first.
    epochs : int
        Most passes of the networks over the users. RecVAE and VASP, whose passes are four times as
        dear, get a quarter.
    latent_dim, hidden_dim : int
        Of the networks.
    seed : int
        Of every model that draws.

    Returns
    -------
    dict of str to list of Recommender
        Name of the family -> candidates. Networks are tried on the whole row, as their papers
        do, and on its hidden part, which is what a recommender is asked for.

    Examples
    --------
    >>> from scipy import sparse
    >>> found = candidate_families(sparse.csr_array((100, 20)), tries=2)
    >>> {len(candidates) for candidates in found.values()}
    {2}
    >>> [model.l2 for model in candidate_families(sparse.eye_array(50).tocsr())["EASE"]]
    [2.0, 1.0]
    """
    check_integer("tries", tries, minimum=1)
    if tries > len(_WAYS):
        raise ValueError(f"`tries` must be at most {len(_WAYS)}; got {tries}. Use `search`.")
    per_item = max(user_items.nnz / user_items.shape[1], 1e-3)
    penalties = [float(f"{per_item * strength:.3g}") for strength in (2.0, 1.0, 4.0, 0.5)]
    dims = [min(dim, min(user_items.shape)) for dim in (8, 64, 16, 128)]
    factors = [(16, 0.5), (64, 0.5), (16, 0.25), (128, 0.25)]
    size: dict[str, Any] = {"latent_dim": latent_dim, "epochs": epochs, "seed": seed}
    ways = [size | {"targets": targets, "dropout": dropout} for targets, dropout in _WAYS]
    deep = {"hidden_dim": hidden_dim, "learning_rate": 1e-3, "epochs": -(-epochs // 4)}
    fast = {"learning_rate": 1e-2}  # the focal loss has small gradients
    families: dict[str, list[Recommender]] = {
        "item KNN": [models.ItemKNN(n_neighbors=n) for n in (100, 200, 50, 400)],
        "user KNN": [models.UserKNN(n_neighbors=n) for n in (200, 100, 400, 50)],
        "SVD": [models.PureSVD(latent_dim=dim, seed=seed) for dim in dims],
        "ALS": [models.ALS(latent_dim=d, l2=per_item * s, seed=seed) for d, s in factors],
        "EASE": [models.EASE(l2=l2) for l2 in penalties],
        "EDLAE": [models.EDLAE(l2=l2) for l2 in penalties],
        "KernelAE": [models.KernelAE(sharpness=s, seed=seed) for s in (4.0, 2.0, 1.0, 8.0)],
        "MultDAE": [models.MultDAE(**way) for way in ways],
        "MultVAE": [models.MultVAE(**way, hidden_dims=(hidden_dim,)) for way in ways],
        "RecVAE": [models.RecVAE(**way | deep) for way in ways],
        "VASP": [models.VASP(**way | deep | fast) for way in (ways[1], ways[0], *ways[2:])],
    }
    if user_items.shape[1] > _WIDE:
        sparse: Any = ({}, {"n_neighbors": 128}, {"latent_dim": 0}, {"dropout": 0.3})
        families["SparseEASE"] = [models.SparseEASE(**one) for one in sparse]
    return {name: candidates[:tries] for name, candidates in families.items()}


def leave_out_costly(
    families: Mapping[str, Sequence[Recommender]], user_items: CSR, *, minutes: float = 1.0
) -> tuple[dict[str, list[Recommender]], dict[str, str]]:
    """Leave out the families that would take too long or too much memory on these data.

    Parameters
    ----------
    families : mapping of str to sequence of Recommender
        As of `candidate_families`.
    user_items : csr_array of shape (n_users, n_items)
        What will be fitted.
    minutes : float
        The most that one fit may take, by an estimate for two CPU cores.

    Returns
    -------
    kept : dict of str to list of Recommender
    left_out : dict of str to str
        Name of the family -> why, such as ``"about 5 minutes a fit"``.

    Notes
    -----
    The estimate is what each model says itself, `Recommender.cost`. A family also goes if one
    of its models needs more than a quarter of the memory that is free.

    Examples
    --------
    >>> from scipy import sparse
    >>> wide = sparse.csr_array(([1.0], ([90_000], [29_999])))
    >>> kept, left_out = leave_out_costly(candidate_families(wide), wide)
    >>> "SVD" in kept, left_out["EASE"]
    (True, 'about 8 minutes a fit')
    """
    check_positive("minutes", minutes)
    left_out = {}
    for name, candidates in families.items():
        costs = [model.cost(user_items) for model in candidates]
        if reason := Cost(*map(max, zip(*costs, strict=True))).excess(minutes):
            left_out[name] = reason
    return {name: list(families[name]) for name in families if name not in left_out}, left_out


@dataclass(frozen=True)
class Choice:
    """The candidates tried and the ones chosen.

    Attributes
    ----------
    models : dict of str to model
        A fitted copy of the chosen candidate of each family, by the training part.
    trials : DataFrame
        One row a candidate: ``model``, its ``settings`` as text, the metric on the validation
        fold, and whether it was ``chosen``.
    seconds : dict of str to float
        How long the chosen candidate of each family took to fit, wall time.
    """

    models: dict[str, Any]
    trials: pd.DataFrame
    seconds: dict[str, float]


def choose(
    candidates: Mapping[str, Sequence[Any]], split: Split, metric: str, **options: Any
) -> Choice:
    """Fit every candidate on the training part and choose the best of each family on validation.

    Parameters
    ----------
    candidates : mapping of str to sequence of model
        Name of the family -> models with different settings. The same number for every family is
        the fair comparison: an untuned baseline is beaten by anything. They stay as they are.
    split : Split
        Of which the test is sealed: touching it is a `LeakError`.
    metric : str
        Per-user metric that is to be best, such as ``"rmse"`` or ``"ndcg@10"``.
    **options
        Passed on to `evaluate`: ``min_value``, ``rating_scale``.

    Returns
    -------
    Choice

    Raises
    ------
    ValueError
        If a family has no candidate.

    Notes
    -----
    One fit and one evaluation a candidate; the best so far of each family is held, and the one at
    work. Candidates that stop early see the validation fold while they are fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from recsys_lib import Dataset, split_ratings
    >>> from recsys_lib.models import Bias
    >>> rng = np.random.default_rng(0)
    >>> rows = [(u, i, 3 + i % 2 + rng.integers(2)) for u in range(40) for i in range(10)]
    >>> frame = pd.DataFrame(rows, columns=["user_id", "item_id", "value"])
    >>> split = split_ratings(Dataset.from_frame(frame))
    >>> biases = [Bias(item_damping=damping) for damping in (1e6, 2.0)]
    >>> choose({"biases": biases}, split, "rmse").trials[["settings", "chosen"]]
                     settings  chosen
    0  item_damping=1000000.0   False
    1        item_damping=2.0    True
    """
    split = sealed(split)
    check_kind("candidates", candidates, Mapping)
    # A lone model is a family, too.
    candidates = {name: [f] if hasattr(f, "fit") else f for name, f in candidates.items()}
    for name, family in candidates.items():
        if not family:
            raise ValueError(f"`candidates` must have a model for each name; {name!r} has none.")
    _load_libraries(model for family in candidates.values() for model in family)
    lower_is_better = parse_metric(metric).higher_is_better is False
    chosen, seconds, rows = {}, {}, []
    with track("choose", sum(map(len, candidates.values())), "models") as task:
        for name, family in candidates.items():
            best: dict[str, Any] = {}
            for candidate, text in zip(family, _differences(family), strict=True):
                # A copy, so that a loser leaves its memory: some hold a matrix of items by items.
                model = deepcopy(candidate)
                begun = time.perf_counter()
                model.fit(split.train, validation=split.validation)
                took = time.perf_counter() - begun
                value = evaluate(model, split.validation, [metric], **options)[metric]
                row = {"model": name, "settings": text, metric: value, "chosen": False}
                rows.append(row)
                if not best or (value < best[metric] if lower_is_better else value > best[metric]):
                    best, chosen[name], seconds[name] = row, model, took
                task.step()
            best["chosen"] = True
    return Choice(models=chosen, trials=pd.DataFrame(rows), seconds=seconds)


def _load_libraries(models: Iterable[Any]) -> None:
    """Load what models load when they are fitted: once in a process, it is no part of a fit."""
    import sklearn.preprocessing  # noqa: F401

    # `OnLikes` has its model inside.
    if any(isinstance(getattr(one, "model", one), NeuralRecommender) for one in models):
        import recsys_lib.training.trainer  # noqa: F401


def _differences(family: Sequence[Any]) -> list[str]:
    """Return the settings that distinguish each model from the others of its family."""
    configs = [settings_of(model) for model in family]
    telling = [key for key in configs[0] if len({repr(config.get(key)) for config in configs}) > 1]
    return [", ".join(f"{key}={config.get(key)!r}" for key in telling) for config in configs]


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
    scorers: dict[str, Any] = {"popularity": models.Popularity().fit(split.train)}
    scorers |= choose(families, split, metric).models
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
    seed : int
        Of the paired bootstrap over test people.

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
    with track("approach the ceiling", len(train_users), "sizes") as task:
        for n in train_users:
            part = replace(split, train=split.train[:n], train_users=split.train_users[:n])
            floor, *reports = contest(families, part, metric, seed=seed)
            shares = share_of_gap_closed(
                reports, floor=floor, ceiling=top, metrics=[metric], n_resamples=1_000, seed=seed
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
    seed : int
        Of the world, the split and the bootstrap.
    **settings
        Of `make_world`, such as ``ratings_per_user``.

    Returns
    -------
    DataFrame
        As of `approach_ceiling`, whose ceiling is the fold-in oracle of the world. Ratings from 7
        on are likes, and models see likes only.
    """
    check_numbers("train_users", train_users)
    # Twice the people needed: those with fewer than two likes drop out.
    n_users = 2 * (max(train_users) + test_users + validation_users)
    world = make_world(n_users=n_users, seed=seed, **settings)
    split = strong_generalization(
        world.dataset().likes(_LIKE),
        test_users=test_users,
        validation_users=validation_users,
        min_interactions=2,
        seed=seed,
    )
    ceiling = oracles_of_likes(world.truth, min_value=_LIKE)["fold-in oracle"]
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
    check_numbers(setting, values)
    tables = [
        approach_in_world(families, metric, **(options | {setting: value})).assign(x=value)
        for value in values
    ]
    return pd.concat(tables, ignore_index=True)
