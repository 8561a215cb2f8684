"""The manifests of the runs that are meant, and what is wrong with those that are damaged."""

import fnmatch
from collections.abc import Sequence
from pathlib import Path

from recsys_lib.errors import ArtifactError, ConfigError
from recsys_lib.naming import did_you_mean
from recsys_lib.pipeline.manifest import MANIFEST, Manifest
from recsys_lib.pipeline.project import Project

__all__ = ["find_runs", "read_run"]


def find_runs(
    project: Project, names: Sequence[str] = ()
) -> tuple[list[Manifest], list[ArtifactError]]:
    """Return the manifests of runs, and an error for each that cannot be read.

    Parameters
    ----------
    project : Project
        Where the runs are.
    names : sequence of str
        Runs, sweeps (all of their settings), or patterns such as ``"sweep/*"``; all by default.

    Returns
    -------
    list of Manifest
        By name.
    list of ArtifactError
        Of damaged manifests.

    Raises
    ------
    ConfigError
        If a name is of no run.
    """
    known = _names(project)
    wanted = set().union(*(_matching(name, known) for name in names)) if names else set(known)
    found: list[Manifest] = []
    damaged: list[ArtifactError] = []
    for name in known:
        if name in wanted:
            try:
                found.append(Manifest.load(project.run_folder(name)))
            except ArtifactError as error:
                damaged.append(error)
    return found, damaged


def read_run(project: Project, name: str) -> Manifest:
    """Return the manifest of one run.

    Raises
    ------
    ConfigError
        If there is no such run.
    ArtifactError
        If its manifest is damaged.
    """
    known = _names(project)
    if name not in known:
        raise _unknown(name, known)
    return Manifest.load(project.run_folder(name))


def _names(project: Project) -> list[str]:
    """Return the names of all runs with a manifest: at the top, and one level down in sweeps."""
    root = project.root / "runs"
    names = []
    for path in sorted([*root.glob(f"*/{MANIFEST}"), *root.glob(f"*/*/{MANIFEST}")]):
        name = path.parent.relative_to(root).as_posix()
        if _is_name(project, name) and path.is_file():
            names.append(name)
    return names


def _is_name(project: Project, name: str) -> bool:
    try:
        return project.run_folder(name).is_dir()
    except ConfigError:
        return False


def _matching(name: str, known: Sequence[str]) -> set[str]:
    pattern = Path(name).as_posix()  # sweep/ is the sweep
    found = {one for one in known if one.startswith(f"{pattern}/")}
    found |= {one for one in known if fnmatch.fnmatchcase(one, pattern)}
    if not found:
        raise _unknown(name, known)
    return found


def _unknown(name: str, known: Sequence[str]) -> ConfigError:
    sweeps = {one.partition("/")[0] for one in known if "/" in one}
    few = ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "")
    return ConfigError(
        f"A run named {name!r} must have left a manifest; none has."
        f"{did_you_mean(name, {*known, *sweeps})} There are: {few or 'none yet'}. Runs from before "
        "there were manifests get theirs from `recsys run --name NAME`."
    )
