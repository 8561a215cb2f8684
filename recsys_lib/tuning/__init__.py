"""Choosing settings, on validation only.

Names are loaded on first use, from the modules that ``__init__.pyi`` names.
"""

import lazy_loader

# Loaded at once, because the module would otherwise stand where its function should.
from recsys_lib.tuning.search import search as search

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
