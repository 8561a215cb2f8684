"""Candidates for each family of rankers, equally many, with settings scaled to the data."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy import sparse

from recsys_lib import models
from recsys_lib._system import available_memory
from recsys_lib.checks import check_integer, check_positive
from recsys_lib.models.base import Recommender
from recsys_lib.models.neural import LikelihoodRecommender

__all__ = ["candidate_families", "leave_out_costly"]

# Multiplications a second on two CPU cores, measured on 2,100 users x 10,000 items.
_SPEED = 3e10
# Of the free memory, for one model: two are held at once, and scores besides.
_SHARE_OF_MEMORY = 0.25

# What a network is asked for, and how much of a row it does not see; the best bets first.
_WAYS = (("hidden", 0.5), ("all", 0.5), ("hidden", 0.7), ("hidden", 0.3))


def candidate_families(
    user_items: sparse.csr_array,
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
    return {name: candidates[:tries] for name, candidates in families.items()}


def leave_out_costly(
    families: Mapping[str, Sequence[Recommender]],
    user_items: sparse.csr_array,
    *,
    minutes: float = 1.0,
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
    The estimate counts the multiplications of the step that grows fastest: the inverse of a matrix
    of items (or users), the dense layers of a network. A family also goes if one of its models
    needs more than a quarter of the memory that is free.

    Examples
    --------
    >>> wide = sparse.csr_array(([1.0], ([90_000], [29_999])))
    >>> kept, left_out = leave_out_costly(candidate_families(wide), wide)
    >>> "SVD" in kept, left_out["EASE"]
    (True, 'about 15 minutes a fit')
    """
    check_positive("minutes", minutes)
    kept, left_out = {}, {}
    room = _SHARE_OF_MEMORY * available_memory()
    for name, candidates in families.items():
        costs = [_cost(model, *user_items.shape) for model in candidates]
        time = max(multiplications for multiplications, _ in costs) / _SPEED / 60
        size = max(n_bytes for _, n_bytes in costs)
        if time > minutes:
            left_out[name] = f"about {time:,.0f} minutes a fit"
        elif size > room:
            left_out[name] = f"about {size / 1e9:,.1f} GB a model"
        else:
            kept[name] = list(candidates)
    return kept, left_out


def _cost(model: Recommender, n_users: int, n_items: int) -> tuple[float, float]:
    """Return about how many multiplications a fit takes, and how many bytes."""
    if isinstance(model, models.EASE | models.EDLAE):
        side = min(n_users, n_items)
        return float(side) ** 3, 4.2 * side**2
    if isinstance(model, models.KernelAE):
        m = min(n_users, model.landmarks)
        return m**2 * (m / 3 + n_items + (n_users if m < n_users else 0)), 16 * m * (m + n_items)
    if not isinstance(model, LikelihoodRecommender):
        return 0.0, 0.0
    return _network_cost(model, n_users, n_items)


def _network_cost(model: Any, n_users: int, n_items: int) -> tuple[float, float]:
    """Return what the last layer costs, which is dense in users and items."""
    widths = getattr(model, "hidden_dims", None) or (getattr(model, "hidden_dim", 0),)
    weights = n_items * max(model.latent_dim, *widths)
    if isinstance(model, models.VASP):
        weights += math.ceil(model.shallow_share * n_items) ** 2
    passes = getattr(model, "encoder_passes", 1) + getattr(model, "decoder_passes", 0)
    # Weights, gradients and Adam's two moments; of a batch the scores and what becomes of them.
    n_bytes = 16 * weights + 40 * model.batch_size * n_items
    # Once forward and twice backward.
    return 3.0 * model.epochs * passes * n_users * weights, n_bytes
