"""A workbench for autoencoder recommenders, with a known ceiling.

Names are loaded on first use, so that ``import recsys_lib`` costs nothing and TensorFlow starts
only where a network is trained or loaded.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Public name -> the module that holds it.
_HOMES = {
    "Dataset": "recsys_lib.dataset",
    "Fold": "recsys_lib.dataset",
    "Split": "recsys_lib.dataset",
    "strong_generalization": "recsys_lib.splitting",
    "split_ratings": "recsys_lib.splitting",
    "leave_last_out": "recsys_lib.splitting",
    "split_by_time": "recsys_lib.splitting",
    "evaluate": "recsys_lib.evaluation",
    "compare": "recsys_lib.evaluation",
    "Report": "recsys_lib.evaluation",
    "make_world": "recsys_lib.synthesis",
    "World": "recsys_lib.synthesis",
    "Bundle": "recsys_lib.bundle",
    "read_interactions": "recsys_lib.sources",
    "load_dataset": "recsys_lib.sources",
    "movielens": "recsys_lib.sources",
    "snapshot": "recsys_lib.sources",
    "Reduction": "recsys_lib.sources",
    "notebook": "recsys_lib.pipeline",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    from recsys_lib.models import MODELS

    if name in MODELS:
        return getattr(import_module(MODELS[name]), name)
    try:
        return import_module(f"recsys_lib.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"recsys_lib.{name}":
            raise
    raise AttributeError(f"module 'recsys_lib' has no attribute {name!r}")


def __dir__() -> list[str]:
    from recsys_lib.models import MODELS

    return sorted([*_HOMES, *MODELS, "__version__"])
