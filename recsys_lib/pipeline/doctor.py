"""Report the environment: versions, backend, devices, memory, disk."""

import shutil
from importlib import metadata
from pathlib import Path

import psutil

from recsys_lib._system import cores
from recsys_lib.artifacts import versions
from recsys_lib.errors import ConfigError
from recsys_lib.pipeline.project import Project

_GIB = 2**30
_TOOLS = ("jax", "jupyterlab", "matplotlib", "papermill")
# GiB that a run of the default world takes at most, measured.
_NEEDED_MEMORY, _NEEDED_DISK = 2.5, 1.0


def report() -> list[tuple[str, str]]:
    """Return pairs of a name and what was found.

    Notes
    -----
    Starts the Keras backend, which takes some seconds.
    """
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(Path.cwd())
    return [
        *versions().items(),
        *((name, _version(name)) for name in _TOOLS),
        ("project", _project()),
        *_keras(),
        ("memory", _room(memory.available, memory.total, _NEEDED_MEMORY)),
        ("cores", str(cores())),
        ("disk", _room(disk.free, disk.total, _NEEDED_DISK)),
    ]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


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
