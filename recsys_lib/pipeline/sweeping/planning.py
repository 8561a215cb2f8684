"""Everything about a sweep that can be settled before anything runs."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from recsys_lib.errors import ConfigError
from recsys_lib.pipeline.chain import Step, load_steps, select
from recsys_lib.pipeline.flow import steps_for
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.sweeping.grid import Grid, Setting, settings_of, told_of
from recsys_lib.pipeline.sweeping.reading import step_keys, unwritten

__all__ = ["Plan", "plan"]


@dataclass(frozen=True)
class Plan:
    """A sweep that can begin.

    Attributes
    ----------
    project : Project
    name : str
    grid : dict
        As it was given.
    only : str, optional
        Which notebooks run.
    settings : tuple of Setting
    keys : dict of str to dict
        Setting -> notebook -> key; equal keys are one and the same step.
    """

    project: Project
    name: str
    grid: dict[str, Any]
    only: str | None
    settings: tuple[Setting, ...]
    keys: dict[str, dict[str, str]]

    @cached_property
    def shared(self) -> dict[str, dict[str, str]]:
        """Of `keys` those of the steps that a setting has in common with others."""
        return {
            setting: {step: key for step, key in its.items() if self._counts[key] > 1}
            for setting, its in self.keys.items()
        }

    @property
    def n_steps(self) -> int:
        """How many notebooks all settings have together."""
        return self._counts.total()

    @property
    def n_different(self) -> int:
        """How many of them have to be run."""
        return len(self._counts)

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(key for its in self.keys.values() for key in its.values())


def plan(
    project: Project, grid: Grid, name: str, *, only: str | None = None, folder: Path | None = None
) -> Plan:
    """Return the plan of a sweep, or say what is wrong.

    Parameters
    ----------
    project : Project
    grid : Grid
    name : str
        Of the sweep.
    only : str, optional
        Which notebooks; those of the grid by default.
    folder : Path, optional
        Where relative paths begin; the working directory by default.

    Raises
    ------
    ConfigError
        If anything in the grid is wrong, the name is taken by a run, or a notebook that is left
        out writes what another one reads.
    """
    place = project.run_folder(name)
    if "/" in name or (place / "state").exists():
        raise ConfigError(
            f"The name of a sweep must be new, or that of a sweep; {name!r} is a run. "
            "Choose another with --name."
        )
    only = only or grid.only
    chain = load_steps(project)
    with told_of(grid.origin):
        steps = select(chain, only=only)
    settings = settings_of(grid, steps, folder=folder)
    with told_of(grid.origin):
        for one in settings:
            project.run_folder(f"{name}/{one.name}")  # a source may be called like a folder of runs
    _check_complete(project, name, steps, chain, settings)
    keys = {
        one.name: step_keys(steps_for(chain, only, one.parameters), one.parameters)
        for one in settings
    }
    return Plan(project, name, grid.content, only, settings, keys)


def _check_complete(
    project: Project,
    name: str,
    steps: Sequence[Step],
    chain: Sequence[Step],
    settings: Iterable[Setting],
) -> None:
    for reader, artifact, writer in unwritten(steps, chain):
        for one in settings:
            if not project.record(f"{name}/{one.name}", writer.name).exists():
                raise ConfigError(
                    f"--only must name what the chosen notebooks rest on; {reader.name} reads "
                    f"`{artifact}`, which {writer.name} writes. Add {writer.number}."
                )
