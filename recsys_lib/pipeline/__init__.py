"""The notebook chain: what notebooks call (`notebook`), what runs them, and the runs side by side.

Names are loaded on first use: the command line shows its help without pandas.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
