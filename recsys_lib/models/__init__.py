"""Models: one file per family, one contract for all (`recsys_lib.models.base.Recommender`).

Names are loaded on first use, from the modules that ``__init__.pyi`` names.
"""

import lazy_loader

from recsys_lib.renamed import old_module

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# Modules of before, with the names that notebooks and guides imported from them.
for _module, _names in {
    "blended": {"Blended": "handover:Handover", "rungs_of": "handover:rungs_of"},
    "content": {"ItemContent": "content:ItemContent", "stack_content": "content:stack_content"},
    "ladder": {"Ladder": "ladder:Ladder"},
    "new_items": {"NewItems": "content:NewItems", "WithNewItems": "content:WithNewItems"},
}.items():
    _homes = {old: f"recsys_lib.coldstart.{new}" for old, new in _names.items()}
    old_module(f"{__name__}.{_module}", _homes)
for _module in ("mult", "mult_vae"):
    _home = "recsys_lib.models.variational:annealing_steps"
    old_module(f"{__name__}.{_module}", {"annealing_steps": _home})
