"""What to look at before any model: counts, groups, pairs of items, steps of a clickstream.

Names are loaded on first use, from the modules that ``__init__.pyi`` names.
"""

import lazy_loader

from recsys_lib.renamed import old_names

_lazy, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = old_names(
    __name__, {"like_threshold": "recsys_lib.dataset:Dataset.like_threshold"}, _lazy
)
