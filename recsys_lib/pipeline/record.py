"""The record of what a notebook reads and writes in a run, kept as it happens."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from recsys_lib.artifacts import read_json, write_json
from recsys_lib.errors import ArtifactError

__all__ = ["ABSENT", "Record", "settings_text"]

# Instead of a fingerprint: the notebook asked for an artifact that the run does not have.
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
    changed : dict
        ``"03.EPOCHS"`` -> value, where it is not the committed default: of this notebook and of
        those that made what it read.
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
        Name -> ``value, se, n_users, higher_is_better``, from `Session.report` and
        `Session.note`.
    device : dict
        ``device, backend, precision`` and details, if networks were trained.
    source, library : str
        Fingerprints of the notebook's cells, and of the library with its dependencies' versions.
    cells : int
        How many cells it has.
    seconds : float
        How long it took.
    peak_memory : int
        Most bytes that its kernel took.
    done : bool
        Whether it ran to its end.
    """

    notebook: str
    run: str
    parameters: dict[str, Any] = field(default_factory=dict)
    as_committed: bool = False
    changed: dict[str, Any] = field(default_factory=dict)
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
        """Read a record, or return None if that fails: then the notebook runs again."""
        try:
            return cls.load(path)
        except ArtifactError:
            return None


def settings_text(changed: dict[str, Any]) -> str:
    """Return changed parameters as text, each value once with the notebooks that had it.

    Examples
    --------
    >>> settings_text({"01.SEED": 1, "02.SEED": 1, "03.EPOCHS": 5})
    'SEED = 1 in 01, 02; EPOCHS = 5 in 03'
    """
    places: dict[str, list[str]] = {}
    for place, value in sorted(changed.items()):
        number, _, name = place.partition(".")
        # Of a path the last part says enough.
        said = value.rpartition("/")[2] if isinstance(value, str) else repr(value)
        places.setdefault(f"{name} = {said}", []).append(number)
    return "; ".join(f"{said} in {', '.join(numbers)}" for said, numbers in places.items())
