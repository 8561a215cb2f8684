"""Figures: tables and arrays in, matplotlib Axes out; no model, no file, no global setting.

Every function takes `ax` where one figure is one set of axes, and draws in the house style whatever
the caller's settings are.
"""

from recsys_lib.plots.batches import plot_behind, plot_resources, plot_settings
from recsys_lib.plots.behavior import plot_funnel, plot_selection, plot_two_views
from recsys_lib.plots.comparison import (
    plot_comparison,
    plot_cost,
    plot_recommendations,
    plot_reliability,
    plot_wins,
)
from recsys_lib.plots.curves import plot_agreement, plot_approach, plot_curves
from recsys_lib.plots.distributions import (
    plot_activity,
    plot_long_tail,
    plot_quantiles,
    plot_ratings,
    rating_shares,
)
from recsys_lib.plots.learning import (
    error_table,
    plot_history,
    plot_item_map,
    plot_spectrum,
    plot_terms,
)
from recsys_lib.plots.matrices import plot_cooccurrence, plot_heatmap, plot_user_items
from recsys_lib.plots.newcomers import plot_list_moves, plot_newcomers
from recsys_lib.plots.style import COLORS, MARKERS, new_figure, styled
from recsys_lib.plots.tuning import plot_gains, plot_importance, plot_searches, plot_slices

__all__ = [
    "COLORS",
    "MARKERS",
    "error_table",
    "new_figure",
    "plot_activity",
    "plot_agreement",
    "plot_approach",
    "plot_behind",
    "plot_comparison",
    "plot_cooccurrence",
    "plot_cost",
    "plot_curves",
    "plot_funnel",
    "plot_gains",
    "plot_heatmap",
    "plot_history",
    "plot_importance",
    "plot_item_map",
    "plot_list_moves",
    "plot_long_tail",
    "plot_newcomers",
    "plot_quantiles",
    "plot_ratings",
    "plot_recommendations",
    "plot_reliability",
    "plot_resources",
    "plot_searches",
    "plot_selection",
    "plot_settings",
    "plot_slices",
    "plot_spectrum",
    "plot_terms",
    "plot_two_views",
    "plot_user_items",
    "plot_wins",
    "rating_shares",
    "styled",
]


def __dir__() -> list[str]:
    return sorted(__all__)
