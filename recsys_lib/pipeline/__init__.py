"""The notebook chain: what notebooks call (`notebook`), what runs them, and the runs side by side.

Names are loaded on first use: the command line shows its help without pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys_lib.pipeline import notebook
    from recsys_lib.pipeline.manifest import Manifest
    from recsys_lib.pipeline.notebook import Session, start
    from recsys_lib.pipeline.project import Project
    from recsys_lib.pipeline.runs.batch import Batch, read_batch
    from recsys_lib.pipeline.runs.comparison import RunComparison, compare_runs
    from recsys_lib.pipeline.runs.recording import record_run
    from recsys_lib.pipeline.runs.table import list_runs
    from recsys_lib.pipeline.sweeping.api import sweep

__all__ = [
    "Batch",
    "Manifest",
    "Project",
    "RunComparison",
    "Session",
    "compare_runs",
    "list_runs",
    "notebook",
    "read_batch",
    "record_run",
    "start",
    "sweep",
]

# Public name -> the module that holds it.
_HOMES = {
    "Batch": "runs.batch",
    "Manifest": "manifest",
    "Project": "project",
    "RunComparison": "runs.comparison",
    "Session": "notebook",
    "compare_runs": "runs.comparison",
    "list_runs": "runs.table",
    "read_batch": "runs.batch",
    "record_run": "runs.recording",
    "start": "notebook",
    "sweep": "sweeping.api",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"recsys_lib.pipeline.{_HOMES[name]}"), name)
    if name == "notebook":
        return import_module("recsys_lib.pipeline.notebook")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
