"""The exceptions that a caller can catch, one type for each meaning, and how to warn.

Wrong arguments in Python code raise plain ``TypeError`` or ``ValueError``. The types below are
for what comes from outside the code: files, tables, parameters, devices.
"""

import sys
import warnings

__all__ = [
    "ArtifactError",
    "ConfigError",
    "DataError",
    "DeviceError",
    "LeakError",
    "NotFittedError",
    "RecsysError",
]


class RecsysError(Exception):
    """Base of every error that the workbench raises on purpose."""


class DataError(RecsysError, ValueError):
    """The contents of a table or file are wrong; the message names file, column and row."""


class ConfigError(RecsysError, ValueError):
    """A parameter is unknown or mistyped; the message names it and what is known."""


class ArtifactError(RecsysError, ValueError):
    """An artifact is missing, half-written, changed since it was written, or of another kind."""


class NotFittedError(RecsysError, ValueError):
    """A model was asked to score before it was fitted."""


class DeviceError(RecsysError, RuntimeError):
    """The requested device is not there; the message says what was seen."""


class LeakError(RecsysError, AssertionError):
    """Held-out data can reach the model; the message says which and how much."""


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line outside of this library that led here, which is the reader's own."""
    frame, level, ours = sys._getframe(1), 2, (__package__, "contextlib")
    while frame.f_back and frame.f_globals["__name__"].partition(".")[0] in ours:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, level)
