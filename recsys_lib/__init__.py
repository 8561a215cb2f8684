"""A workbench for autoencoder recommenders, with a known ceiling.

>>> from recsys_lib import EASE, Popularity, compare, evaluate, make_world, strong_generalization
>>> likes = make_world(n_users=900, n_items=60).dataset().implicit(7)
>>> split = strong_generalization(likes, min_interactions=2)
>>> models = [EASE(l2=50.0).fit(split.train), Popularity().fit(split.train)]
>>> print(compare([evaluate(model, split.test, ["ndcg@10"]) for model in models]).verdict)
EASE leads Popularity by ...
>>> models[0].recommend(split.test.fold_in[:1], k=3).items.shape
(1, 3)

With a table of your own, ``load_dataset("ratings.csv").implicit(4)`` takes the place of the world.
Names are loaded on first use, so that ``import recsys_lib`` costs nothing and TensorFlow starts
only where a network is trained or loaded.
"""

from importlib import import_module
from typing import Any

from recsys_lib.models import MODELS

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
    **MODELS,
}
_PACKAGES = (
    "evaluation",
    "exploration",
    "models",
    "plots",
    "sources",
    "splitting",
    "synthesis",
    "training",
    "tuning",
)

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    try:
        return import_module(f"recsys_lib.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"recsys_lib.{name}":
            raise
    raise AttributeError(f"module 'recsys_lib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_PACKAGES, "__version__"])
