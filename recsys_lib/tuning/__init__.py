"""Choosing settings, on validation only."""

from recsys_lib.tuning.choosing import Choice, choose

__all__ = ["Choice", "choose"]
