"""Measure recommenders: metrics, reports, comparisons, ceilings, calibration, leak checks.

Names are loaded on first use, from the modules that ``__init__.pyi`` names.
"""

import lazy_loader

# Loaded at once, because these modules would otherwise stand where their functions should.
from recsys_lib.evaluation.evaluate import evaluate as evaluate
from recsys_lib.evaluation.leaderboard import leaderboard as leaderboard
from recsys_lib.renamed import old_names

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = old_names(
    __name__, {"measure_blends": f"{__name__}.newcomers:measure_handover"}, __getattr__
)
