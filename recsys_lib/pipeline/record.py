"""What a notebook read and wrote in a run, written down as it happens."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from recsys_lib.artifacts import read_json, write_json
from recsys_lib.errors import ArtifactError

__all__ = ["ABSENT", "Record"]

# In place of a fingerprint: the notebook asked for an artifact that the run does not have.
ABSENT = "absent"


@dataclass
class Record:
    """One notebook in one run; the kernel fills it, the runner completes it.

    Attributes
    ----------
    notebook, run : str
        Which one, and of which run.
    parameters : dict
        Every declared parameter with the value it had.
    as_committed : bool
        Whether these are the committed defaults, on data made by the committed defaults: only
        then do the pinned numbers apply.
    reads : dict
        Artifact name -> fingerprint, or `ABSENT`.
    inputs : dict
        Absolute path of a file from outside the run -> fingerprint.
    writes : dict
        Artifact name -> its ``path`` in the run folder and its ``fingerprint``.
    figures : dict
        Path from the project folder -> fingerprint.
    checks : dict
        Name -> number that passed through `Session.check`.
    metrics : dict
        Name -> ``value, se, n_users, higher_is_better`` of what `Session.report` and
        `Session.note` took down.
    device : dict
        ``device, backend, precision`` and what was seen, where networks were trained.
    source, library : str
        Fingerprints of the notebook's cells, and of the library with its dependencies' versions.
    cells : int
        How many cells it has.
    seconds : float
        How long it took.
    peak_memory : int
        Bytes that its kernel took at most.
    done : bool
        Whether it ran to its end.
    """

    notebook: str
    run: str
    parameters: dict[str, Any] = field(default_factory=dict)
    as_committed: bool = False
    reads: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    writes: dict[str, dict[str, str]] = field(default_factory=dict)
    figures: dict[str, str] = field(default_factory=dict)
    checks: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    device: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    library: str = ""
    cells: int = 0
    seconds: float = 0.0
    peak_memory: int = 0
    done: bool = False

    def save(self, path: Path) -> None:
        """Write the record, atomically."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Record":
        """Read a record; `ArtifactError` if it is missing, damaged or of another version."""
        content = read_json(path)
        try:
            return cls(**content)
        except TypeError as error:
            raise ArtifactError(
                f"{path} must be the record of a notebook; {error}. Delete it and run again."
            ) from error

    @classmethod
    def find(cls, path: Path) -> "Record | None":
        """Read a record, or return None where none can be read: then the notebook runs again."""
        try:
            return cls.load(path)
        except ArtifactError:
            return None
