"""What the machine and the environment are: versions, backend, devices, memory, disk."""

import shutil
from importlib import metadata
from pathlib import Path

import psutil

from recsys_lib._system import cores
from recsys_lib.artifacts import versions
from recsys_lib.errors import ConfigError
from recsys_lib.pipeline.project import Project

__all__ = ["report"]

_GIB = 2**30
_TOOLS = ("jax", "jupyterlab", "matplotlib", "papermill")
# What a run of the default world takes at most, measured.
_NEEDED_MEMORY, _NEEDED_DISK = 2.5, 1.0


def report() -> list[tuple[str, str]]:
    """Return pairs of a name and what was found, in the order in which they are read.

    Notes
    -----
    Starts the Keras backend, which takes some seconds.
    """
    return [
        *versions().items(),
        *((name, _version(name)) for name in _TOOLS),
        ("project", _project()),
        *_keras(),
        ("memory", _memory()),
        ("cores", f"{cores()}"),
        ("disk", _disk()),
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


def _memory() -> str:
    memory = psutil.virtual_memory()
    free = memory.available / _GIB
    said = f"{free:.1f} GiB free of {memory.total / _GIB:.1f} GiB"
    low = f"; the default run needs {_NEEDED_MEMORY} GiB" if free < _NEEDED_MEMORY else ""
    return said + low


def _disk() -> str:
    usage = shutil.disk_usage(Path.cwd())
    free = usage.free / _GIB
    said = f"{free:.1f} GiB free of {usage.total / _GIB:.1f} GiB"
    return said + (f"; the default run needs {_NEEDED_DISK} GiB" if free < _NEEDED_DISK else "")
