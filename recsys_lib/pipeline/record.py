"""What a notebook read and wrote in a run, and whether that is still what is there."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from recsys_lib.artifacts import MANIFEST, fingerprint, read_json, write_json, write_manifest
from recsys_lib.errors import ArtifactError
from recsys_lib.naming import did_you_mean
from recsys_lib.pipeline.chain import flow_of, load_steps
from recsys_lib.pipeline.project import MEASURING, Project

#: Environment variable of a kernel: the process that runs its notebook.
RUNNER = "RECSYS_RUNNER"
# Instead of a fingerprint: the notebook asked for an artifact that the run does not have.
ABSENT = "absent"


@dataclass(frozen=True)
class Failure:
    """Why a notebook stopped.

    Attributes
    ----------
    cell : int
        Number of the cell in the committed notebook, from 1.
    kind, message : str
        The exception's type and text.
    traceback : str
        As the notebook shows it, without colors; empty if the kernel died or was stopped.
    """

    cell: int
    kind: str
    message: str
    traceback: str = ""


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
    modules : list of str
        Those of the library that its kernel had loaded.
    source, library : str
        Fingerprints of the notebook's cells, and of those modules with the versions of packages.
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
    modules: list[str] = field(default_factory=list)
    source: str = ""
    library: str = ""
    cells: int = 0
    seconds: float = 0.0
    peak_memory: int = 0
    done: bool = False

    def rest_on(self, producers: Sequence["Record"]) -> None:
        """Take down by which parameters it was made: its own, and those of what it read.

        Parameters
        ----------
        producers : sequence of Record
            Of the notebooks that wrote what it read.
        """
        own = {place: value for place, value in self.changed.items() if self._is_own(place)}
        as_they_are = not (own or self.inputs or self.run.startswith(MEASURING))
        self.as_committed = as_they_are and all(one.as_committed for one in producers)
        for one in producers:
            own = {**one.changed, **own}
        self.changed = own

    def _is_own(self, place: str) -> bool:
        return place.partition(".")[0] == self.notebook[:2]

    def seal(self, folder: Path) -> None:
        """Give the folders that it wrote a manifest, where they date from before folders had one.

        Only what has a manifest may be replaced later; what has changed since is left alone.

        Parameters
        ----------
        folder : Path
            That of the run.
        """
        for one in self.writes.values():
            path = folder / one["path"]
            bare = path.is_dir() and not (path / MANIFEST).exists()
            if bare and fingerprint(path) == one["fingerprint"]:
                write_manifest(path, kind="folder")

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


def loaded_modules() -> list[str]:
    """Return the modules of the library that this process has loaded."""
    return sorted(name for name in list(sys.modules) if name.partition(".")[0] == "recsys_lib")


def records_of(project: Project, run: str) -> list[Record]:
    """Return the records of a run that can be read, in the order of the chain."""
    found = (Record.find(project.record(run, path.stem)) for path in project.chain())
    return [record for record in found if record]


def writer_of(records: Sequence[Record], name: str, before: str) -> Record | None:
    """Return the record of the last notebook before `before` that wrote the artifact `name`."""
    found = (one for one in reversed(records) if one.notebook < before and name in one.writes)
    return next(found, None)


def outdated(
    records: Sequence[Record], record: Record, _known: dict[str, dict[str, str]] | None = None
) -> dict[str, str]:
    """Return what has changed beneath a notebook since it ran.

    Parameters
    ----------
    records : sequence of Record
        Of its run, in the order of the chain.
    record : Record
        Of the notebook.

    Returns
    -------
    dict of str to str
        Notebooks to run again, in order, each with what it read and what has changed since: the
        notebook itself and those that it rests on. Empty if nothing has changed.
    """
    known = {} if _known is None else _known
    if record.notebook in known:
        return known[record.notebook]
    found: dict[str, str] = {}
    for name, seen in record.reads.items():
        if name in record.writes:
            continue
        source = writer_of(records, name, record.notebook)
        beneath = outdated(records, source, known) if source else {}
        found = {**beneath, **found}
        now = source.writes[name]["fingerprint"] if source else ABSENT
        if beneath or now != seen:
            found.setdefault(record.notebook, name)
    for path, seen in record.inputs.items():
        # A file that has been moved away says nothing of what was made from it.
        if Path(path).exists() and fingerprint(Path(path)) != seen:
            found.setdefault(record.notebook, Path(path).name)
    known[record.notebook] = dict(sorted(found.items()))
    return known[record.notebook]


def again(name: str, changed: dict[str, str]) -> str:
    """Return what is wrong with the artifact `name`, and which notebooks are to run again.

    Examples
    --------
    >>> again("autoencoder", {"02_split": "dataset", "03_train": "split"})
    '`autoencoder` was made from another `dataset`. Run 02 and 03 again.'
    """
    numbers = [notebook[:2] for notebook in changed]
    run = " and ".join(filter(None, [", ".join(numbers[:-1]), numbers[-1]]))
    return f"`{name}` was made from another `{next(iter(changed.values()))}`. Run {run} again."


def unwritten_error(
    project: Project, records: Sequence[Record], reader: Record, name: str
) -> ArtifactError:
    """Return the error that a run has no artifact `name`, with the notebook that writes it."""
    steps = [step for step in load_steps(project) if step.name < reader.notebook]
    known = [key for one in records if one.notebook <= reader.notebook for key in one.writes]
    writers = [step.name for step in steps if name in flow_of(step).writes]
    return ArtifactError(
        f"The artifact {name!r} must have been written in run {reader.run!r}; it holds "
        f"{', '.join(known) or 'none'}.{did_you_mean(name, known)} Run "
        f"{writers[-1] if writers else 'the notebooks before this one'} first."
    )


def upstream_rows(project: Project, reader: Record) -> dict[str, tuple[Any, str]]:
    """Return what earlier notebooks were told that is not the committed value.

    Returns
    -------
    dict of str to tuple
        Rows for the table of parameters: ``"EPOCHS in 03"`` -> value and meaning, of the notebooks
        that made what `reader` reads.
    """
    records = records_of(project, reader.run)
    step = next(one for one in load_steps(project) if one.name == reader.notebook)
    rows = {}
    for name in sorted(flow_of(step).needs | flow_of(step).asks):
        writer = writer_of(records, name, reader.notebook)
        for place, value in (writer.changed if writer else {}).items():
            number, _, key = place.partition(".")
            if reader.parameters.get(key) != value:
                rows[f"{key} in {number}"] = (value, f"not the committed value; it made `{name}`")
    return rows
