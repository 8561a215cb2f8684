"""What is known of a sweep: the settings, how each stands, and ``sweep.json`` beside them."""

import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from recsys_lib.artifacts import write_json
from recsys_lib.errors import ArtifactError
from recsys_lib.pipeline.manifest import Manifest
from recsys_lib.pipeline.sweeping.grid import Setting
from recsys_lib.pipeline.sweeping.worker import Result

__all__ = ["SWEEP_FILE", "Entry", "SweepState"]

SWEEP_FILE = "sweep.json"
Status = Literal["waiting", "running", "done", "failed", "interrupted"]


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
