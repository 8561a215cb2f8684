"""Figures: tables and arrays in, matplotlib Axes out; no model, no file, no global setting.

Every function takes `ax` where one figure is one set of axes, and draws in the house style whatever
the caller's settings are. Names are loaded on first use, from the modules that ``__init__.pyi``
names.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
