"""Load interactions, catalogs and profiles from tables, files and databases, and check them."""

from recsys_lib.sources.grouplens import movielens
from recsys_lib.sources.options import ReadOptions
from recsys_lib.sources.read import (
    load_dataset,
    read_catalog,
    read_interactions,
    read_users,
    validate_interactions,
)
from recsys_lib.sources.reduction import Reduction, to_likes
from recsys_lib.sources.snapshots import Snapshot, read_facts, snapshot
from recsys_lib.sources.sql import show_sql

__all__ = [
    "ReadOptions",
    "Reduction",
    "Snapshot",
    "load_dataset",
    "movielens",
    "read_catalog",
    "read_facts",
    "read_interactions",
    "read_users",
    "show_sql",
    "snapshot",
    "to_likes",
    "validate_interactions",
]


def __dir__() -> list[str]:
    return sorted(__all__)
