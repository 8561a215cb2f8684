"""What each step read and wrote, and whether it has been made already: in this run or another.

Results stay in the folders of their runs, which hold them or hard links to them. What finds them
there is an index by content, ``runs/.steps``: the key of a step is made of its cells, parameters
and the artifacts that it reads. Behind a key stands the name of a run, and the record there says
all that the result rests on: the code that was loaded, and every fingerprint. The index is only
a hint; without it steps are made again.
"""

import ast
import contextlib
import hashlib
import json
import os
import shlex
import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import recsys_lib
from recsys_lib import artifacts
from recsys_lib._system import lock_file
from recsys_lib.errors import ArtifactError, ConfigError
from recsys_lib.naming import did_you_mean
from recsys_lib.pipeline.chain import Step, parsed, writer_of
from recsys_lib.pipeline.project import DEFAULT_RUN, MEASURING, Project

#: Environment variable of a kernel: the process that runs its notebook.
RUNNER = "RECSYS_RUNNER"
# Instead of a fingerprint: the notebook asked for an artifact that the run does not have.
ABSENT = "absent"
# A kernel that dies says something of the machine, not of the step: the next one tries again.
_BAD_LUCK = "DeadKernel"
# Variables that decide what computes the numbers.
_COMPUTES = ("KERAS_BACKEND", "CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS")

HowItEnded = Literal["ran", "skipped", "failed", "not run"]


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

    def rest_on(self, records: Sequence["Record"]) -> None:
        """Take down by which parameters it was made: its own, and those of what it read.

        Parameters
        ----------
        records : sequence of Record
            Of its run, in the order of the chain.
        """
        number = self.notebook[:2]
        own = {at: value for at, value in self.changed.items() if at.partition(".")[0] == number}
        self.as_committed = not (own or self.inputs or self.run.startswith(MEASURING))
        self.changed = own
        for name in self.reads:
            if writer := writer_of(records, name, self.notebook):
                self.as_committed &= writer.as_committed
                self.changed = {**writer.changed, **self.changed}

    @property
    def name(self) -> str:
        """The notebook."""
        return self.notebook

    def note(self, **values: float) -> None:
        """Add numbers by name."""
        self.metrics |= {name: {"value": float(value)} for name, value in values.items()}

    def files(self, project: Project, run: str) -> dict[Path, str]:
        """Return every file and folder that it wrote in a run, with the fingerprint."""
        folder = project.run_folder(run)
        found = {folder / one["path"]: one["fingerprint"] for one in self.writes.values()}
        return found | {project.root / path: seen for path, seen in self.figures.items()}

    def save(self, path: Path) -> None:
        """Write the record, atomically."""
        artifacts.write_json(path, asdict(self))

    @classmethod
    def find(cls, path: Path) -> "Record | None":
        """Read a record; None where it is missing, damaged or of another version."""
        with contextlib.suppress(ArtifactError, TypeError):
            return cls(**artifacts.read_json(path))
        return None


@dataclass(frozen=True)
class Outcome:
    """How one notebook ended.

    Attributes
    ----------
    record : Record
        What it read and wrote, and what it took; in the earlier run if it was skipped.
    status : {"ran", "skipped", "failed", "not run"}
        "skipped" where it was made before, "not run" where it reads from one that failed.
    copy : Path
        The executed copy.
    failure : Failure, optional
        Why it failed.
    reason : str
        Why it was not run.
    donor : str
        The run from which it was taken over, if it was skipped for that.
    """

    record: Record
    status: HowItEnded
    copy: Path
    failure: Failure | None = None
    reason: str = ""
    donor: str = ""

    @property
    def name(self) -> str:
        """The notebook."""
        return self.record.notebook


def records_of(project: Project, run: str) -> list[Record]:
    """Return the records of a run that can be read, in the order of the chain."""
    found = (Record.find(project.record(run, path.stem)) for path in project.chain())
    return [record for record in found if record]


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
        if Path(path).exists() and artifacts.fingerprint(Path(path)) != seen:
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


def changes_of(project: Project, run: str) -> dict[str, Any]:
    """Return the parameters of a run that are not those that its notebooks declare."""
    changed: dict[str, Any] = {}
    for record in records_of(project, run):
        for place, value in record.changed.items():
            number, _, name = place.partition(".")
            if number == record.notebook[:2]:
                changed.setdefault(name, value)
    return changed


def command_of(project: Project, run: str, *, without: Collection[str] = ()) -> str:
    """Return the command that makes a run with the parameters that it has had, but for some."""
    words = ["recsys", "run", *([] if run == DEFAULT_RUN else ["--name", run])]
    for name, value in changes_of(project, run).items():
        if name in without:
            continue
        entries = {name: value}
        if isinstance(value, dict):
            entries = {f"{name}.{key}": one for key, one in value.items()}
        for key, one in entries.items():
            words += ["-p", key, one if isinstance(one, str) else json.dumps(one)]
    return shlex.join(words)


def find_artifact(project: Project, run: str, name: str) -> Path:
    """Return the path of an artifact that a run has made; `ConfigError` says how to make it."""
    path = project.artifacts(run) / name
    if path.exists():
        return path
    there, near = "it has not come so far", ""
    if not project.run_folder(run).exists():
        there, near = "there is no such run", did_you_mean(run, project.run_names())
    raise ConfigError(
        f"Run {run!r} must have made `{name}`; {there}.{near} Make it with "
        f"`{command_of(project, run)}`, or name another run with --run."
    )


def retire(project: Project, run: str, step: Step) -> Record | None:
    """Have the record of a step and its executed copy count no more, and return the record."""
    place, copy = project.record(run, step.name), project.run_folder(run) / step.path.name
    before = Record.find(place)
    remove(place, copy)
    return before


def settle(project: Project, record: Record, before: Record | None) -> None:
    """Save the record of a step that is made, after what only the one before it wrote is gone."""
    run = record.run
    if before:
        remove(*(before.files(project, run).keys() - record.files(project, run).keys()))
    record.save(project.record(run, record.notebook))


def remove(*paths: Path) -> None:
    """Remove files and folders, where they are; `ArtifactError` if one cannot be removed."""
    for path in paths:
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise ArtifactError(
                f"{path} must be removable; {error.strerror or error}. Change its permissions."
            ) from error


class Library:
    """The code of the library as it was when this object was made.

    A run lasts, and whoever edits the library meanwhile must not be told that results rest on
    what was written later.
    """

    def __init__(self) -> None:
        root = Path(recsys_lib.__file__).parent
        self._texts = {
            ".".join(("recsys_lib", *file.relative_to(root).with_suffix("").parts)).removesuffix(
                ".__init__"
            ): file.read_bytes()
            for file in sorted(root.rglob("*.py"))
        }

    def fingerprint(self, modules: Iterable[str] | None = None) -> str:
        """Return one fingerprint of modules and of the versions that results rest on.

        Comments, docstrings and layout don't count; without `modules`, all files count as they are.
        """
        if modules is None:
            code = {name: hashlib.sha256(text).hexdigest() for name, text in self._texts.items()}
        else:
            code = {name: _code(self._texts[name]) for name in modules if name in self._texts}
        return f"sha256:{artifacts.digest_of({'versions': artifacts.versions(), 'code': code})}"


@cache
def _code(text: bytes) -> str:
    tree = parsed(text)
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is(path: Path, seen: str) -> bool:
    try:
        return artifacts.fingerprint(path) == seen
    except (ArtifactError, OSError):
        return False


@dataclass(frozen=True)
class Conditions:
    """What is special about a run beside others, such as a setting of a sweep.

    Of the settings of a sweep none makes what another one is making.

    Attributes
    ----------
    environment : mapping of str to str
        Variables for its kernels, in addition to those of this process.
    token : str
        Of the start of the sweep: a step that failed in it is not tried by everybody. Empty for a
        run without neighbors: then nobody is waited for.
    stop : threading.Event
        Ends waiting, and the notebook at work, as Ctrl-C does, which reaches only the main thread.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    token: str = ""
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Store:
    """What one run has, and may take over from others.

    Parameters
    ----------
    project : Project
    run : str
        Its name; its folder must be locked.
    library : Library
    parameters : mapping, optional
        Overrides; each holds for the steps that declare it.
    conditions : Conditions, optional
        Without neighbors nobody is waited for: what another process is making is made here too.
    """

    project: Project
    run: str
    library: Library
    parameters: Mapping[str, Any] = field(default_factory=dict)
    conditions: Conditions = field(default_factory=Conditions)

    def values(self, step: Step, run: str = "") -> dict[str, Any]:
        """Return all that a step declares with the values that it has here, or in another run."""
        given = {**self.parameters, "RUN": run or self.run}
        return {name: given.get(name, one.default) for name, one in step.parameters.items()}

    def outcome(
        self, step: Step, make: Callable[[Step], Outcome], *, force: bool = False
    ) -> Outcome | None:
        """Return how a step ended that is made already, or else what `make` returns.

        Parameters
        ----------
        step : Step
        make : callable
            Makes it. Meanwhile none of the neighbors begins it, and afterwards all can take it.
        force : bool
            Make it in any case.

        Returns
        -------
        Outcome or None
            None where a neighbor is making it just now.
        """
        key, copy = self._key(step), self.copy_of(step)
        note = key.with_suffix(".json")
        if not force and (record := self.is_fresh(step)):
            if not note.exists():
                self._tell(note)
            return Outcome(record, "skipped", copy)
        with self._holding(key) as free:
            if not free:
                return None
            found = {} if force else read_note(note)
            donor, failed = str(found.get("run", "")), found.get("failure")
            if failed and found.get("token") == self.conditions.token:
                said = f"{failed['message']} (shared with {donor.rpartition('/')[2]})"
                failure = Failure(**{**failed, "message": said})
                record = Record(step.name, self.run, cells=len(step.sources))
                return Outcome(record, "failed", copy, failure)
            if not failed and (record := self.adopt(step, donor)):
                return Outcome(record, "skipped", copy, donor=donor)
            outcome = make(step)
            self._tell(note, outcome.failure)
            return outcome

    def copy_of(self, step: Step) -> Path:
        """Return where the executed copy of a step stands."""
        return self.project.run_folder(self.run) / step.path.name

    def is_fresh(self, step: Step) -> Record | None:
        """Return the record of a step if it would produce the same again, else None.

        That is: it ran to its end with the same cells, the same code and versions and the same
        parameters; what it read is still the same; and what it wrote still stands unchanged.
        """
        record = self._standing(self.run, step)
        return record if record and self._reads_the_same(record) else None

    def _standing(self, run: str, step: Step) -> Record | None:
        """Return the record of a step as `is_fresh` does, whatever has become of what it read."""
        record = Record.find(self.project.record(run, step.name))
        if record is None or not record.done:
            return None
        # The record went through JSON, which has no tuples.
        same_values = record.parameters == json.loads(json.dumps(self.values(step, run)))
        if not same_values or record.source != step.fingerprint:
            return None
        if record.library != self.library.fingerprint(record.modules):
            return None
        expected = {Path(path): seen for path, seen in record.inputs.items()}
        expected |= record.files(self.project, run)
        has_copy = (self.project.run_folder(run) / step.path.name).exists()
        return record if has_copy and all(_is(*one) for one in expected.items()) else None

    def _reads_the_same(self, record: Record) -> bool:
        """Whether the run has, beside what the step itself writes, just what it read."""
        records = records_of(self.project, self.run)
        for name, seen in record.reads.items():
            own = record.writes.get(name, {}).get("fingerprint")
            writer = writer_of(records, name, record.notebook)
            if writer is None and seen not in (ABSENT, own):
                return False
            if writer and seen != own:
                path = self.project.run_folder(self.run) / writer.writes[name]["path"]
                if not _is(path, seen):
                    return False
        return True

    def adopt(self, step: Step, donor: str) -> Record | None:
        """Take what a step made in the run `donor` over, if it would make the same here.

        That is: its record in `donor` holds for the same code and parameters, each artifact that
        it read has the same fingerprint here, and both rest on committed parameters or neither
        does: a number that was held against its pin stays one. Artifacts are hard links where the
        file system has them; all writers of the workbench replace files and never change them, so
        the runs stay independent. Notebooks and figures, which people may change, are copies.

        Returns
        -------
        Record or None
            Its record here if it was taken over.

        Raises
        ------
        ArtifactError
            If the disk is full or read-only; nothing half-written stays.
        """
        project, run = self.project, self.run
        if donor in ("", run):
            return None
        found = self._standing(donor, step)
        if found is None or not self._reads_the_same(found):
            return None
        place = project.figures(run).relative_to(project.root).as_posix()
        figures = {f"{place}/{Path(path).name}": seen for path, seen in found.figures.items()}
        mine = replace(found, run=run, parameters=self.values(step), figures=figures)
        mine.rest_on(records_of(project, run))
        if mine.as_committed != found.as_committed:
            return None
        before = retire(project, run, step)
        for pair in zip(found.files(project, donor), mine.files(project, run), strict=True):
            _put(*pair)
        _put(*(project.run_folder(one) / step.path.name for one in (donor, run)))
        settle(project, mine, before)  # last: only now does the step count as done
        # Looked at here once more, for the donor may just be running again.
        return self.is_fresh(step)

    def _tell(self, note: Path, failure: Failure | None = None) -> None:
        """Tell all others how a step was made."""
        told: dict[str, Any] = {"run": self.run}
        if failure:
            if not self.conditions.token or failure.kind == _BAD_LUCK:
                return
            told |= {"failure": asdict(failure), "token": self.conditions.token}
        # What is half-written, or not at all on a full disk, reads as nothing.
        with contextlib.suppress(OSError):
            note.write_text(json.dumps(told), encoding="utf-8")

    def _key(self, step: Step) -> Path:
        """Return the key: equal keys promise equal results, which their records then confirm."""
        there = {
            name: one["fingerprint"]
            for record in records_of(self.project, self.run)
            if record.notebook < step.name
            for name, one in record.writes.items()
        }
        # What is not read by its name may be any artifact.
        names = sorted(step.reads if step.is_plain else there)
        reads = {name: there.get(name, ABSENT) for name in names}
        values = step.values(self.values(step))
        computes = [os.environ.get(name) for name in _COMPUTES]
        # What is being measured cannot be judged, so its results are nobody else's.
        measuring = self.run.startswith(MEASURING)
        key = artifacts.digest_of([step.fingerprint, values, reads, computes, measuring], 32)
        return self.project.root / "runs" / ".steps" / key

    @contextlib.contextmanager
    def _holding(self, key: Path) -> Iterator[bool]:
        """Hold the lock of a step, which ends with this process, or tell that a neighbor does."""
        with contextlib.ExitStack() as stack:
            free = True
            # Without a place for locks, or locks, two runs may make one step, which is only slower.
            with contextlib.suppress(OSError):
                key.parent.mkdir(parents=True, exist_ok=True)
                path = key.with_suffix(".lock")
                free = lock_file(stack.enter_context(path.open("a", encoding="utf-8")))
            yield free or not self.conditions.token


def _put(source: Path, target: Path) -> None:
    """Put a file or folder in the place of `target`, whole or not at all."""
    if source.is_dir():
        with artifacts.atomic_folder(target) as part:
            shutil.copytree(source, part, copy_function=_link, dirs_exist_ok=True)
    else:
        with artifacts.write_atomic(target) as part:
            (shutil.copy2 if source.suffix in (".ipynb", ".png") else _link)(source, part)


def _link(source: Path | str, target: Path | str) -> None:
    try:
        os.link(source, target)
    except OSError:  # no hard links here, or another file system
        shutil.copy2(source, target)


def read_note(path: Path) -> dict[str, Any]:
    """Return what a file of JSON says; nothing where it is missing or half-written."""
    with contextlib.suppress(ArtifactError):
        found = artifacts.read_json(path)
        return found if isinstance(found, dict) else {}
    return {}
