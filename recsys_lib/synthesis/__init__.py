"""Worlds with a known truth: people, labs, ratings and clicks drawn from one seed, and oracles."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
