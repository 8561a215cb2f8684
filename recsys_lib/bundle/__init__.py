"""The one object that recommends for a person."""

from recsys_lib.bundle.bundle import RUNGS, Bundle

__all__ = ["RUNGS", "Bundle"]


def __dir__() -> list[str]:
    return sorted(__all__)
