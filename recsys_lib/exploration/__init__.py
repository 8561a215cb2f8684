"""What to look at before any model: counts, groups, pairs of items, steps of a clickstream."""

from recsys_lib.exploration.counts import count_steps, observed_means, overview, split_overview
from recsys_lib.exploration.groups import group_labels, mean_by_group
from recsys_lib.exploration.pairs import item_lift, like_threshold, shuffled_ratings

__all__ = [
    "count_steps",
    "group_labels",
    "item_lift",
    "like_threshold",
    "mean_by_group",
    "observed_means",
    "overview",
    "shuffled_ratings",
    "split_overview",
]
