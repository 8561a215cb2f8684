"""From a bundle to everybody's list: in files and tables, over HTTP.

Names are loaded on first use, since each way has needs of its own.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
