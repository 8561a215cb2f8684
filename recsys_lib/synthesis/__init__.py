"""Worlds with a known truth: people, labs, ratings and clicks drawn from one seed, and oracles."""

from recsys_lib.synthesis.oracle import (
    FoldInOracle,
    OmniscientOracle,
    ProfileOracle,
    oracles_of_likes,
)
from recsys_lib.synthesis.settings import PRESETS, WorldSettings
from recsys_lib.synthesis.truth import Truth
from recsys_lib.synthesis.world import World, make_world

__all__ = [
    "PRESETS",
    "FoldInOracle",
    "OmniscientOracle",
    "ProfileOracle",
    "Truth",
    "World",
    "WorldSettings",
    "make_world",
    "oracles_of_likes",
]
