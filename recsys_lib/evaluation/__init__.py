"""Measure recommenders: metrics, reports, comparisons, ceilings, calibration, leak checks.

Names are loaded on first use, from the modules that ``__init__.pyi`` names.
"""

import lazy_loader

# Loaded at once, because these modules would otherwise stand where their functions should.
from recsys_lib.evaluation.evaluate import evaluate as evaluate
from recsys_lib.evaluation.leaderboard import leaderboard as leaderboard

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
