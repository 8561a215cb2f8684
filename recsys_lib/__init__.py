"""A workbench for autoencoder recommenders, with a known ceiling.

>>> from recsys_lib import EASE, Popularity, compare, evaluate, make_world, strong_generalization
>>> likes = make_world(n_users=900, n_items=60).dataset().likes(7)
>>> split = strong_generalization(likes, min_interactions=2)
>>> models = [EASE(l2=50.0).fit(split.train), Popularity().fit(split.train)]
>>> print(compare([evaluate(model, split.test, ["ndcg@10"]) for model in models]).verdict)
EASE leads Popularity by ...
>>> models[0].recommend(split.test.fold_in[:1], k=3).items.shape
(1, 3)

With a table of your own, ``load_dataset("ratings.csv").likes(4)`` takes the place of the world.
Names are loaded on first use, so that ``import recsys_lib`` costs nothing and TensorFlow starts
only where a network is trained or loaded.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
