"""Every model by its name: the class that has it, and what `Recommender.save` wrote."""

from importlib import import_module
from pathlib import Path

from recsys_lib.artifacts import read_manifest
from recsys_lib.errors import ConfigError
from recsys_lib.models.base import Recommender

__all__ = ["MODELS", "load", "model_class"]

# Class name -> module. The contract tests, `load` and the documentation go through this table.
MODELS: dict[str, str] = {
    "ALS": "recsys_lib.models.als",
    "Autoencoder": "recsys_lib.models.autoencoder",
    "Bias": "recsys_lib.models.bias",
    "BiasedSVD": "recsys_lib.models.biased_svd",
    "Blend": "recsys_lib.models.blend",
    "EASE": "recsys_lib.models.ease",
    "EDLAE": "recsys_lib.models.ease",
    "GlobalMean": "recsys_lib.models.bias",
    "ItemKNN": "recsys_lib.models.item_knn",
    "KernelAE": "recsys_lib.models.kernel_ae",
    "MultDAE": "recsys_lib.models.mult_dae",
    "MultVAE": "recsys_lib.models.mult_vae",
    "Popularity": "recsys_lib.models.popularity",
    "PureSVD": "recsys_lib.models.pure_svd",
    "Random": "recsys_lib.models.popularity",
    "RecVAE": "recsys_lib.models.rec_vae",
    "UserKNN": "recsys_lib.models.user_knn",
    "VASP": "recsys_lib.models.vasp",
}


def model_class(name: str) -> type[Recommender]:
    """Return the class of the model called `name`; `ConfigError` lists the known names.

    Examples
    --------
    >>> model_class("Popularity").__name__
    'Popularity'
    """
    if name not in MODELS:
        raise ConfigError(f"A model must be one of {', '.join(sorted(MODELS))}; got {name!r}.")
    found: type[Recommender] = getattr(import_module(MODELS[name]), name)
    return found


def load(folder: Path | str) -> Recommender:
    """Load the model that `Recommender.save` wrote to `folder`.

    Parameters
    ----------
    folder : Path or str

    Returns
    -------
    Recommender
        Fitted; it gives the same lists as the model that was saved.

    Raises
    ------
    ArtifactError
        If the folder is missing, damaged, or holds something else.
    """
    record = read_manifest(folder, kind="model")
    return model_class(record["model"])._load(Path(folder), record)
