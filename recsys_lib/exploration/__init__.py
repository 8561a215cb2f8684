"""What to look at before any model: counts, groups, pairs of items, steps of a clickstream."""

from recsys_lib.exploration.counts import (
    count_steps,
    history,
    observed_means,
    overview,
    split_overview,
)
from recsys_lib.exploration.groups import favorite_group, group_labels, liking_by_group
from recsys_lib.exploration.pairs import group_lift, item_lift, without_taste
from recsys_lib.exploration.vectors import flat_map, neighbor_agreement, spectrum
from recsys_lib.renamed import old_names

__all__ = [
    "count_steps",
    "favorite_group",
    "flat_map",
    "group_labels",
    "group_lift",
    "history",
    "item_lift",
    "liking_by_group",
    "neighbor_agreement",
    "observed_means",
    "overview",
    "spectrum",
    "split_overview",
    "without_taste",
]

__getattr__ = old_names(__name__, {"like_threshold": "recsys_lib.dataset:Dataset.like_threshold"})


def __dir__() -> list[str]:
    return sorted(__all__)
