"""Worlds with a known truth: people, labs, ratings and clicks drawn from one seed, and oracles."""

from recsys_lib.synthesis.oracle import (
    FoldInOracle,
    OmniscientOracle,
    ProfileOracle,
    newcomer_oracle,
    oracles_of,
    oracles_of_likes,
)
from recsys_lib.synthesis.settings import PRESETS, WorldSettings
from recsys_lib.synthesis.taste import TRACK_NAMES
from recsys_lib.synthesis.truth import Truth
from recsys_lib.synthesis.world import World, load_world, make_world

__all__ = [
    "PRESETS",
    "TRACK_NAMES",
    "FoldInOracle",
    "OmniscientOracle",
    "ProfileOracle",
    "Truth",
    "World",
    "WorldSettings",
    "load_world",
    "make_world",
    "newcomer_oracle",
    "oracles_of",
    "oracles_of_likes",
]


def __dir__() -> list[str]:
    return sorted(__all__)
