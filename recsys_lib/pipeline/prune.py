"""Remove runs: only what they wrote, as their records tell."""

import contextlib
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from recsys_lib.artifacts import MANIFEST
from recsys_lib.pipeline.lock import locked
from recsys_lib.pipeline.manifest import Manifest
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.record import Record

# Beside what the records name; half-written files of a killed run have these names too.
_OWN = (MANIFEST, "checkpoints", "state/*.json", "[0-9][0-9]_*.ipynb", ".*.part*", "*/.*.part*")
_SWEEP = ("sweep.json", ".sweep")


def freed_bytes(project: Project, runs: Sequence[Manifest]) -> list[int]:
    """Return the bytes that the removal of each run would free, if all are removed.

    Files that the runs share are counted at the first one; those that other runs share with them
    are not counted.
    """
    links: Counter[tuple[int, int]] = Counter()
    sizes = []
    status = [[file.stat() for file in _files(_written(project, one))] for one in runs]
    inside = Counter((one.st_dev, one.st_ino) for own in status for one in own)
    for own in status:
        size = 0
        for one in own:
            place = one.st_dev, one.st_ino
            links[place] += 1
            size += one.st_size * (links[place] == 1 and inside[place] >= one.st_nlink)
        sizes.append(size)
    return sizes


def remove_runs(project: Project, runs: Sequence[Manifest]) -> list[Path]:
    """Remove what runs wrote, and return the files and folders that are not theirs and stay.

    Raises
    ------
    ConfigError
        If a run is active; the runs before it are removed.
    """
    kept: list[Path] = []
    for one in sorted(runs, key=lambda run: run.run, reverse=True):  # inner runs first
        folder = project.run_folder(one.run)
        with locked(folder, one.run):
            _remove(_written(project, one) - {folder / MANIFEST})
            _remove([folder / MANIFEST])
        kept += _tidied(folder)
        sweep = folder.parent
        if "/" in one.run and not any(path.is_dir() for path in sweep.glob("[!.]*")):
            _remove(sweep / name for name in _SWEEP)
            kept += _tidied(sweep)
    return kept


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _written(project: Project, run: Manifest) -> set[Path]:
    """Return the files and folders that a run wrote; nothing outside its folder, nor links."""
    folder = project.run_folder(run.run)
    found = {path for pattern in _OWN for path in folder.glob(pattern)}
    found |= {folder / "artifacts" / name for name in run.artifacts}  # of a recorded run
    for path in folder.glob("state/*.json"):
        if record := Record.find(path):
            found |= {folder / entry["path"] for entry in record.writes.values()}
            found |= {project.root / figure for figure in record.figures}
    inside = folder.resolve()
    return {
        path
        for path in found
        if path.exists() and not path.is_symlink() and inside in path.resolve().parents
    }


def _files(paths: Iterable[Path]) -> list[Path]:
    found = {one for path in paths for one in (path, *path.rglob("*"))}
    return [one for one in found if one.is_file() and not one.is_symlink()]


def _tidied(folder: Path) -> list[Path]:
    """Remove empty folders and the lock, and return what stays but other runs."""
    (folder / ".lock").unlink(missing_ok=True)
    folders = [path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()]
    for path in (*sorted(folders, reverse=True), folder):
        with contextlib.suppress(OSError):  # not empty
            path.rmdir()
    left = folder.iterdir() if folder.exists() else ()
    return sorted(path for path in left if not (path / MANIFEST).exists())
