"""What is known of a sweep: its plan, how each setting stands, and ``sweep.json`` beside them."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from recsys_lib.artifacts import write_json
from recsys_lib.errors import ArtifactError, ConfigError
from recsys_lib.pipeline.chain import Step, flow_of, load_steps, rests_on, select, steps_for
from recsys_lib.pipeline.manifest import Manifest
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.store import source_fingerprint
from recsys_lib.pipeline.sweeping.grid import Grid, Setting, digest, settings_of, told_of
from recsys_lib.pipeline.sweeping.worker import Result

SWEEP_FILE = "sweep.json"
Status = Literal["waiting", "running", "done", "failed", "interrupted"]


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
        one.name: step_keys(
            steps_for(chain, only, one.parameters),
            {**one.parameters, "RUN": f"{name}/{one.name}"},
        )
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


def step_keys(steps: Sequence[Step], parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return a key for each step: equal keys promise equal results.

    It is made of the cells, the parameters and the keys of the steps that wrote what is read. It
    only plans the work: what is taken over is decided by the fingerprints of what was really read
    (`Store`), so a notebook that hides its reading costs time, never truth.

    Parameters
    ----------
    steps : sequence of Step
        The chain, in order.
    parameters : mapping
        Overrides of one setting.
    """
    keys: dict[str, str] = {}
    beneath = rests_on(steps)
    for step in steps:
        values = step.values(parameters)
        before = [keys[name] for name in beneath[step.name]]
        keys[step.name] = digest([source_fingerprint(step), values, before], 16)
    return keys


def unwritten(steps: Sequence[Step], chain: Sequence[Step]) -> list[tuple[Step, str, Step]]:
    """Return what `steps` read that only notebooks left out of them write.

    Parameters
    ----------
    steps : sequence of Step
        Those that will run, in order.
    chain : sequence of Step
        All of the project.

    Returns
    -------
    list of (reader, artifact, writer)
    """
    missing: list[tuple[Step, str, Step]] = []
    written: set[str] = set()
    for step in steps:
        for name in sorted(flow_of(step).needs - written):
            writers = [one for one in chain if one.name < step.name and name in flow_of(one).writes]
            if writers and writers[-1] not in steps:
                missing.append((step, name, writers[-1]))
        written |= flow_of(step).writes
    return missing


@dataclass
class Entry:
    """One setting of a sweep and how it stands.

    Attributes
    ----------
    setting : Setting
    status : {"waiting", "running", "done", "failed", "interrupted"}
    message : str
        Why it failed.
    attempts : int
        How often it was given to a worker in this start of the sweep.
    ran : int
        Notebooks that were run, and neither skipped nor taken over.
    seconds : float
        Of all its notebooks, also of those that were skipped or taken over.
    peak_memory : int
        Bytes of its largest kernel.
    metrics : dict of str to float
    """

    setting: Setting
    status: Status = "waiting"
    message: str = ""
    attempts: int = 0
    ran: int = 0
    seconds: float = 0.0
    peak_memory: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    begun: float = 0.0

    def settle(self, result: Result, folder: Path) -> None:
        """Take down how it ended, and what its manifest says."""
        self.status, self.message, self.ran = result.status, result.message, result.ran
        try:
            manifest = Manifest.load(folder)
        except ArtifactError:
            return
        self.seconds, self.peak_memory = manifest.seconds, manifest.peak_memory
        self.metrics = {name: one.value for name, one in manifest.metrics.items()}


@dataclass
class SweepState:
    """A sweep.

    Attributes
    ----------
    name : str
    folder : Path
        ``runs/<name>``.
    grid : dict
        As it was given.
    entries : list of Entry
    token : str
        Of this start.
    status : str
        "running", "done", "failed" (a setting did) or "interrupted".
    workers : int
        Settings at once.
    need : float
        Bytes that one is expected to take.
    """

    name: str
    folder: Path
    grid: dict[str, Any]
    entries: list[Entry]
    token: str
    status: str = "running"
    workers: int = 0
    need: float = 0.0
    clock: float = field(default_factory=time.monotonic)
    begun: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def failed(self) -> list[Entry]:
        """The settings that failed."""
        return [one for one in self.entries if one.status == "failed"]

    def count(self, status: Status) -> int:
        """Return how many settings have a status."""
        return sum(one.status == status for one in self.entries)

    def save(self) -> None:
        """Write ``sweep.json``, atomically."""
        write_json(self.folder / SWEEP_FILE, self.content())

    def text(self) -> str:
        """Return ``sweep.json`` as text."""
        return json.dumps(self.content(), indent=2, sort_keys=True)

    def content(self) -> dict[str, Any]:
        """Return what ``sweep.json`` holds."""
        return {
            "sweep": self.name,
            "status": self.status,
            "begun": self.begun,
            "seconds": round(time.monotonic() - self.clock, 3),
            "workers": self.workers,
            "grid": self.grid,
            "settings": {
                one.setting.name: {
                    "status": one.status,
                    "message": one.message,
                    "attempts": one.attempts,
                    "ran": one.ran,
                    "seconds": one.seconds,
                    "peak_memory": one.peak_memory,
                    "varied": one.setting.varied,
                    "parameters": one.setting.parameters,
                    "metrics": one.metrics,
                }
                for one in self.entries
            },
        }

    def table(self) -> pd.DataFrame:
        """Return one row for each setting.

        Returns
        -------
        DataFrame
            Indexed by setting: one column for each varied parameter, then ``status``,
            ``seconds``, ``peak_gb``, then every metric.
        """
        rows = [
            {
                **one.setting.varied,
                "status": one.status,
                "seconds": one.seconds,
                "peak_gb": one.peak_memory / 1e9,
                **one.metrics,
            }
            for one in self.entries
        ]
        index = pd.Index([one.setting.name for one in self.entries], name="setting")
        return pd.DataFrame(rows, index=index)
