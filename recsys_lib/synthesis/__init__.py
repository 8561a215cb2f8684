"""Worlds with a known truth: people, labs, ratings and clicks drawn from one seed, and oracles."""

import lazy_loader

from recsys_lib.renamed import old_module

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

old_module(f"{__name__}.files", {"write_files": f"{__name__}.world:write_files"})
