"""The exceptions that a caller can catch: one type for each meaning.

Wrong arguments in Python code raise plain ``TypeError`` or ``ValueError``. The types below are
for what comes from outside the code: files, tables, parameters, devices.
"""

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
