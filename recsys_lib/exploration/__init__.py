"""What to look at before any model: counts, groups, pairs of items, steps of a clickstream."""

from recsys_lib.exploration.counts import count_steps, observed_means, overview, split_overview
from recsys_lib.exploration.groups import favorite_group, group_labels, mean_by_group
from recsys_lib.exploration.pairs import item_lift, like_threshold, shuffled_ratings
from recsys_lib.exploration.vectors import flat_map, neighbor_agreement, spectrum

__all__ = [
    "count_steps",
    "favorite_group",
    "flat_map",
    "group_labels",
    "item_lift",
    "like_threshold",
    "mean_by_group",
    "neighbor_agreement",
    "observed_means",
    "overview",
    "shuffled_ratings",
    "spectrum",
    "split_overview",
]
