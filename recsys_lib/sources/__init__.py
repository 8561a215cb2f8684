"""Load interactions, catalogs and profiles from tables, files and databases, and check them."""

from recsys_lib.sources.feedback import to_likes
from recsys_lib.sources.grouplens import movielens
from recsys_lib.sources.interactions import read_interactions, validate_interactions
from recsys_lib.sources.loading import load_dataset
from recsys_lib.sources.profiles import read_catalog, read_users
from recsys_lib.sources.reduction import Reduction
from recsys_lib.sources.snapshots import Snapshot, read_facts, snapshot
from recsys_lib.sources.statements import show_sql

__all__ = [
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
