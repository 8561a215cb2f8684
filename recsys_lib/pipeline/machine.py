"""The machine and the code that runs on it: for the record of a run, and for the doctor."""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from recsys_lib._system import cores
from recsys_lib.artifacts import versions
from recsys_lib.errors import ConfigError
from recsys_lib.pipeline.project import Project

_GIB = 2**30
_TOOLS = ("jax", "jupyterlab", "matplotlib", "papermill")
# Beside those of `versions`, what results may rest on.
_PACKAGES = ("jax", "jaxlib", "optuna", "pyarrow", "papermill")
# GiB that a run of the default world takes at most, measured.
_NEEDED_MEMORY, _NEEDED_DISK = 2.5, 1.0
_GIT_LIMIT = 5.0  # seconds; a network drive may be slow


def revision(folder: Path) -> dict[str, Any]:
    """Return the ``commit`` of a git checkout and whether it is ``dirty``; None outside one."""
    # Without optional locks it cannot get in the way of a commit at the same moment.
    command = ["git", "--no-optional-locks", "-C", str(folder), "describe"]
    command += ["--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", check=True, timeout=_GIT_LIMIT
        )
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}
    commit, _, dirty = done.stdout.strip().partition("-")
    return {"commit": commit, "dirty": bool(dirty)}


def all_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results rest on."""
    return versions(*_PACKAGES)


def machine() -> dict[str, Any]:
    """Return system, processor, the cores and threads that may be used, and memory in bytes."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": cores(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "memory": psutil.virtual_memory().total,
    }


def device() -> dict[str, Any]:
    """Return what networks are trained on in this process; empty if none was."""
    # Only if the module is loaded: loading it starts the backend.
    module = sys.modules.get("recsys_lib.training.device")
    report = module.configured() if module else None
    return asdict(report) if report else {}


def report() -> list[tuple[str, str]]:
    """Return pairs of a name and what was found.

    Notes
    -----
    Starts the Keras backend, which takes some seconds.
    """
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(Path.cwd())
    return [
        *(versions() | dict.fromkeys(_TOOLS, "not installed") | versions(*_TOOLS)).items(),
        ("project", _project()),
        *_keras(),
        ("memory", _room(memory.available, memory.total, _NEEDED_MEMORY)),
        ("cores", str(cores())),
        ("disk", _room(disk.free, disk.total, _NEEDED_DISK)),
    ]


def _project() -> str:
    try:
        project = Project.find()
        return f"{project.root} ({len(project.chain())} notebooks)"
    except ConfigError as error:
        return f"none: {error}"


def _keras() -> list[tuple[str, str]]:
    try:
        from recsys_lib.training import backend
    except (ImportError, ConfigError) as error:
        return [("backend", f"does not start: {error}")]
    return [("backend", backend.NAME), ("devices", ", ".join(map(str, backend.describe_devices())))]


def _room(free: int, total: int, needed: float) -> str:
    text = f"{free / _GIB:.1f} GiB free of {total / _GIB:.1f} GiB"
    return text if free >= needed * _GIB else f"{text}; the default run needs {needed} GiB"
