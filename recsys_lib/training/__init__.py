"""The Keras side: rows on the device, compiled passes, phases, schedules, devices.

Names are loaded on first use: importing this package starts no backend.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Batch": "rows",
    "Checkpoints": "checkpoints",
    "DeviceReport": "device",
    "Measure": "passes",
    "Monitor": "phases",
    "Pass": "passes",
    "Phase": "phases",
    "Rows": "rows",
    "Scorer": "scoring",
    "TensorBoardLog": "watching",
    "Trainer": "trainer",
    "configure": "device",
    "keras": "quiet",
    "ops": "quiet",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"recsys_lib.training.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
