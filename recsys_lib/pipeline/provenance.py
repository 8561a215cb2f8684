"""What a run was made by: the revision of the code, the versions, the machine."""

import contextlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from recsys_lib._system import cores
from recsys_lib.artifacts import versions

__all__ = ["Stopwatch", "device", "device_names", "machine", "revision", "run_versions"]

_ALSO = ("jax", "jaxlib", "optuna", "pyarrow", "papermill")
_PATIENCE = 5.0  # seconds for git, which may wait for a network drive


class Stopwatch:
    """When something began, and how long ago: true also where the clock is set in between."""

    def __init__(self) -> None:
        self._begun, self._clock = datetime.now(UTC), time.monotonic()

    @property
    def seconds(self) -> float:
        """How long ago it began."""
        return time.monotonic() - self._clock

    @property
    def begun(self) -> str:
        """When it began: UTC, ISO 8601."""
        return self._begun.isoformat(timespec="seconds")

    @property
    def now(self) -> str:
        """What time it is by the clock that it began by."""
        return (self._begun + timedelta(seconds=self.seconds)).isoformat(timespec="seconds")


def revision(folder: Path) -> dict[str, Any]:
    """Return the git commit that `folder` stands at, and whether tracked files differ from it.

    Returns
    -------
    dict
        ``commit`` and ``dirty``; both None outside a git checkout or without git.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no") if commit else None
    return {"commit": commit or None, "dirty": None if changed is None else bool(changed)}


def _git(folder: Path, *words: str) -> str | None:
    # Without optional locks it cannot be in the way of somebody who commits at this moment.
    command = ["git", "--no-optional-locks", "-C", str(folder), *words]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", check=True, timeout=_PATIENCE
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def run_versions() -> dict[str, str]:
    """Return `artifacts.versions` and those of the second backend, the search and the runner."""
    found = versions()
    for package in _ALSO:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def device() -> dict[str, Any]:
    """Return what networks are trained on in this process; empty where none was."""
    # Asked of the module only where it is loaded: loading it starts the backend.
    module = sys.modules.get("recsys_lib.training.device")
    report = module.configured() if module else None
    return asdict(report) if report else {}


def device_names(devices: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return devices as text, each once, such as ``"cpu tensorflow float32"``."""
    names = ("device", "backend", "precision")
    return sorted({" ".join(one[name] for name in names) for one in devices if one})


def machine() -> dict[str, Any]:
    """Return system, processor, the cores and threads that may be used, and memory in bytes."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": cores(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "memory": psutil.virtual_memory().total,
    }
