"""Cold start: people without a history, from their profiles; items without users, from content.

Names are loaded on first use, from the modules that ``__init__.pyi`` names.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
