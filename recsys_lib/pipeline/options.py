"""Numbers as they are typed on a command line."""

import argparse
import contextlib
import math

__all__ = ["HOUR", "count", "gigabytes", "seconds"]

HOUR = 3600.0


def seconds(text: str) -> float:
    """Return a number of seconds; 0 stands for no limit.

    Examples
    --------
    >>> seconds("90"), seconds("0")
    (90.0, inf)
    """
    with contextlib.suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return float(text) or math.inf
    raise argparse.ArgumentTypeError(f"must be a number of seconds >= 0; got {text!r}")


def count(text: str) -> int:
    """Return a whole number of at least 1."""
    with contextlib.suppress(ValueError):
        if int(text) >= 1:
            return int(text)
    raise argparse.ArgumentTypeError(f"must be a whole number >= 1; got {text!r}")


def gigabytes(text: str) -> float:
    """Return the bytes of a number of gigabytes.

    Examples
    --------
    >>> gigabytes("1.5")
    1500000000.0
    """
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text) * 1e9
    raise argparse.ArgumentTypeError(f"must be a number of gigabytes > 0; got {text!r}")
