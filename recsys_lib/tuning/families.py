"""Candidates for each family of rankers, equally many, with settings scaled to the data."""

from scipy import sparse

from recsys_lib import models
from recsys_lib.checks import check_integer
from recsys_lib.models.base import Recommender

__all__ = ["candidate_families"]

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
    size = {"latent_dim": latent_dim, "epochs": epochs, "seed": seed}
    ways = [size | {"targets": targets, "dropout": dropout} for targets, dropout in _WAYS]
    deep = {"hidden_dim": hidden_dim, "learning_rate": 1e-3, "epochs": -(-epochs // 4)}
    fast = {"learning_rate": 1e-2}  # the focal loss has small gradients
    families: dict[str, list[Recommender]] = {
        "item KNN": [models.ItemKNN(neighbours=n) for n in (100, 200, 50, 400)],
        "user KNN": [models.UserKNN(neighbours=n) for n in (200, 100, 400, 50)],
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
