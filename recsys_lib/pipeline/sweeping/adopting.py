"""A finished step of one run becomes that of another, where it would make the same there."""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

from recsys_lib.artifacts import atomic_folder, write_atomic
from recsys_lib.pipeline.chain import Step
from recsys_lib.pipeline.freshness import is_fresh
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.record import ABSENT, Record

__all__ = ["adopt"]


def adopt(
    project: Project, step: Step, parameters: dict[str, Any], library: str, *, run: str, donor: str
) -> bool:
    """Take what `step` made in the run `donor` over into `run`, if it would make the same there.

    That is: its record in `donor` is fresh for the same parameters, and each artifact that it read
    has the same fingerprint in `run`. Files are hard links where the file system has them; all
    writers of the workbench replace files and never change them, so the runs stay independent.

    Parameters
    ----------
    project : Project
    step : Step
    parameters : dict
        All that the step declares, as `run` has them.
    library : str
        Fingerprint of the library.
    run, donor : str
        Names of runs; `run` must be held by the caller.

    Returns
    -------
    bool
        Whether it was taken over; then the record in `run` is fresh.

    Raises
    ------
    ArtifactError
        If the disk is full or read-only; nothing half-written stays.
    """
    theirs = {**parameters, "RUN": donor} if "RUN" in parameters else parameters
    record = is_fresh(project, donor, step, theirs, library)
    if record is None or not _reads_the_same(project, run, step, record):
        return False
    before = Record.find(project.record(run, step.name))
    project.record(run, step.name).unlink(missing_ok=True)
    for source, target in _files(project, step, record, run, donor):
        _link(source, target)
    record = _renamed(project, record, run, parameters)
    if before:
        _forget(project, run, before, record)
    record.save(project.record(run, step.name))  # last: only now does the step count as done
    return True


def _reads_the_same(project: Project, run: str, step: Step, record: Record) -> bool:
    mine: dict[str, str] = {}
    for path in project.chain():
        if path.stem < step.name and (other := Record.find(project.record(run, path.stem))):
            mine |= {name: entry["fingerprint"] for name, entry in other.writes.items()}
    own = {name: entry["fingerprint"] for name, entry in record.writes.items()}
    return all(
        seen in (mine.get(name, ABSENT), own.get(name)) for name, seen in record.reads.items()
    )


def _files(
    project: Project, step: Step, record: Record, run: str, donor: str
) -> list[tuple[Path, Path]]:
    theirs, mine = project.run_folder(donor), project.run_folder(run)
    pairs = [(theirs / one["path"], mine / one["path"]) for one in record.writes.values()]
    figures = (Path(path).name for path in record.figures)
    pairs += [(project.figures(donor) / name, project.figures(run) / name) for name in figures]
    return [*pairs, (theirs / step.path.name, mine / step.path.name)]


def _renamed(project: Project, record: Record, run: str, parameters: dict[str, Any]) -> Record:
    figures = project.figures(run).relative_to(project.root)
    record.run = run
    record.parameters = parameters
    record.figures = {
        (figures / Path(path).name).as_posix(): seen for path, seen in record.figures.items()
    }
    return record


def _forget(project: Project, run: str, before: Record, now: Record) -> None:
    """Remove the files of the record before that the new one does not name."""
    kept = {one["path"] for one in now.writes.values()}
    gone = {one["path"] for one in before.writes.values()} - kept
    paths = [project.run_folder(run) / path for path in gone]
    paths += [project.root / path for path in before.figures.keys() - now.figures.keys()]
    for path in paths:
        with contextlib.suppress(OSError):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    """Put a file or folder in the place of `target`, whole or not at all."""
    if source.is_dir():
        with atomic_folder(target) as part:
            shutil.copytree(source, part, copy_function=_link_file, dirs_exist_ok=True)
    else:
        with write_atomic(target) as part:
            _link_file(source, part)


def _link_file(source: Path | str, target: Path | str) -> None:
    try:
        os.link(source, target)
    except OSError:  # no hard links here, or another file system
        shutil.copy2(source, target)
