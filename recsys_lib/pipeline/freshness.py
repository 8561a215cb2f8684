"""Whether a notebook would produce the same again: then a run skips it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import recsys_lib
from recsys_lib.artifacts import fingerprint, versions
from recsys_lib.errors import ArtifactError
from recsys_lib.pipeline.chain import Step
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.record import ABSENT, Record

__all__ = ["is_fresh", "library_fingerprint", "source_fingerprint"]

# The runner and the command line, which notebooks don't call.
_OUTSIDE_FOLDERS = ("pipeline/sweeping/", "pipeline/tune/")
_OUTSIDE = {
    "__main__.py",
    "cli.py",
    *(
        f"pipeline/{name}.py"
        for name in (
            "chain",
            "doctor",
            "execution",
            "freshness",
            "lab",
            "lock",
            "measuring",
            "orphans",
            "progress",
            "provenance",
            "repeating",
            "rewriting",
            "runlog",
            "runner",
            "runs/command",
            "runs/mlflow_export",
            "runs/texts",
        )
    ),
}


def library_fingerprint() -> str:
    """Return one fingerprint of the library's code and of the versions that results rest on."""
    root = Path(recsys_lib.__file__).parent
    digest = hashlib.sha256(json.dumps(versions(), sort_keys=True).encode())
    for file in sorted(root.rglob("*.py")):
        name = file.relative_to(root).as_posix()
        if name not in _OUTSIDE and not name.startswith(_OUTSIDE_FOLDERS):
            digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return f"sha256:{digest.hexdigest()}"


def source_fingerprint(step: Step) -> str:
    """Return the fingerprint of the cells' sources; outputs and metadata don't count."""
    return f"sha256:{hashlib.sha256(json.dumps(step.sources).encode()).hexdigest()}"


def is_fresh(
    project: Project, run: str, step: Step, parameters: dict[str, Any], library: str
) -> Record | None:
    """Return the record of the last time if nothing has changed since, else None.

    That is: it ran to its end with the same cells, the same library and versions and the same
    parameters; what it read is still the same; and what it wrote still stands unchanged.
    """
    record = Record.find(project.record(run, step.name))
    if record is None or not record.done:
        return None
    same_code = record.source == source_fingerprint(step) and record.library == library
    # The record went through JSON, which has no tuples.
    if not same_code or record.parameters != json.loads(json.dumps(parameters)):
        return None
    folder = project.run_folder(run)
    if not (folder / step.path.name).exists() or not _unchanged(project, folder, record):
        return None
    return record


def _unchanged(project: Project, folder: Path, record: Record) -> bool:
    places = {
        name: folder / entry["path"]
        for step in project.chain()
        if (other := Record.find(project.record(record.run, step.stem)))
        for name, entry in other.writes.items()
    }
    if any(name in places for name, seen in record.reads.items() if seen == ABSENT):
        return False
    expected = [(places.get(name), seen) for name, seen in record.reads.items() if seen != ABSENT]
    expected += [(Path(path), seen) for path, seen in record.inputs.items()]
    expected += [(folder / one["path"], one["fingerprint"]) for one in record.writes.values()]
    expected += [(project.root / path, seen) for path, seen in record.figures.items()]
    try:
        return all(path and fingerprint(path) == seen for path, seen in expected)
    except (ArtifactError, OSError):
        return False
