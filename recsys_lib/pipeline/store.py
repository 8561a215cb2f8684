"""Has this step been made already? One answer for runs, for sweeps, and across all runs.

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
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import recsys_lib
from recsys_lib._system import lock_file
from recsys_lib.artifacts import (
    atomic_folder,
    fingerprint,
    read_json,
    versions,
    write_atomic,
)
from recsys_lib.errors import ArtifactError
from recsys_lib.pipeline.chain import Step, flow_of
from recsys_lib.pipeline.project import MEASURING, Project
from recsys_lib.pipeline.record import ABSENT, Failure, Record, records_of, writer_of

# A kernel that dies says something of the machine, not of the step: the next one tries again.
_BAD_LUCK = "DeadKernel"
_PAUSE = 0.2  # seconds between two looks at a step that another process is making
# Variables that decide what computes the numbers.
_COMPUTES = ("KERAS_BACKEND", "CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS")


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
        return _digest({"versions": versions(), "code": code})


@cache
def _code(text: bytes) -> str:
    tree = ast.parse(text)
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def source_fingerprint(step: Step) -> str:
    """Return the fingerprint of the cells' sources; outputs and metadata don't count."""
    return f"sha256:{hashlib.sha256(json.dumps(step.sources).encode()).hexdigest()}"


def is_fresh(
    project: Project, run: str, step: Step, parameters: dict[str, Any], library: Library
) -> Record | None:
    """Return the record of a step in a run if it would produce the same again, else None.

    That is: it ran to its end with the same cells, the same code and versions and the same
    parameters; what it read is still the same; and what it wrote still stands unchanged.
    """
    record = _standing(project, run, step, parameters, library)
    return record if record and _reads_the_same(project, run, record) else None


def _standing(
    project: Project, run: str, step: Step, parameters: dict[str, Any], library: Library
) -> Record | None:
    """Return the record of a step as `is_fresh` does, whatever has become of what it read."""
    record = Record.find(project.record(run, step.name))
    if record is None or not record.done:
        return None
    # The record went through JSON, which has no tuples.
    same_values = record.parameters == json.loads(json.dumps(parameters))
    if not same_values or record.source != source_fingerprint(step):
        return None
    if record.library != library.fingerprint(record.modules):
        return None
    folder = project.run_folder(run)
    expected = [(Path(path), seen) for path, seen in record.inputs.items()]
    expected += [(folder / one["path"], one["fingerprint"]) for one in record.writes.values()]
    expected += [(project.root / path, seen) for path, seen in record.figures.items()]
    whole = (folder / step.path.name).exists() and all(_is(path, seen) for path, seen in expected)
    return record if whole else None


def _is(path: Path, seen: str) -> bool:
    try:
        return fingerprint(path) == seen
    except (ArtifactError, OSError):
        return False


def _reads_the_same(project: Project, run: str, record: Record) -> bool:
    """Whether a run has, beside what the step itself writes, just what its record says it read."""
    records = records_of(project, run)
    for name, seen in record.reads.items():
        own = record.writes.get(name, {}).get("fingerprint")
        writer = writer_of(records, name, record.notebook)
        if writer is None and seen not in (ABSENT, own):
            return False
        if writer and seen != own:
            path = project.run_folder(run) / writer.writes[name]["path"]
            if not _is(path, seen):
                return False
    return True


def adopt(
    project: Project,
    step: Step,
    parameters: dict[str, Any],
    library: Library,
    *,
    run: str,
    donor: str,
) -> Record | None:
    """Take what `step` made in the run `donor` over into `run`, if it would make the same there.

    That is: its record in `donor` holds for the same code and parameters, each artifact that it
    read has the same fingerprint in `run`, and both rest on committed parameters or neither does:
    a number that was held against its pin stays one. Artifacts are hard links where the file
    system has them; all writers of the workbench replace files and never change them, so the runs
    stay independent. Notebooks and figures, which people may change, are copies.

    Parameters
    ----------
    project : Project
    step : Step
    parameters : dict
        All that the step declares, as `run` has them.
    library : Library
    run, donor : str
        Names of runs; `run` must be held by the caller.

    Returns
    -------
    Record or None
        Its record in `run` if it was taken over.

    Raises
    ------
    ArtifactError
        If the disk is full or read-only; nothing half-written stays.
    """
    theirs = {**parameters, "RUN": donor} if "RUN" in parameters else parameters
    record = _standing(project, donor, step, theirs, library)
    if record is None or not _reads_the_same(project, run, record):
        return None
    pinned, figures = record.as_committed, project.figures(run)
    pairs = _files(project, step, record, run, donor)
    record.run, record.parameters = run, parameters
    record.figures = {
        (figures / Path(path).name).relative_to(project.root).as_posix(): seen
        for path, seen in record.figures.items()
    }
    records = records_of(project, run)
    writers = [writer_of(records, name, step.name) for name in record.reads]
    record.rest_on([one for one in writers if one])
    if record.as_committed != pinned:
        return None
    place = project.record(run, step.name)
    before = Record.find(place)
    if before:
        before.seal(project.run_folder(run))
    place.unlink(missing_ok=True)
    for source, target in pairs:
        _put(source, target)
    if before:
        for path in no_longer_written(project, run, before, record):
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    record.save(place)  # last: only now does the step count as done
    # Looked at here once more, for the donor may just be running again.
    return is_fresh(project, run, step, parameters, library)


def no_longer_written(project: Project, run: str, before: Record, now: Record) -> list[Path]:
    """Return the files of an earlier record that the one of now does not name."""
    kept = {one["path"] for one in now.writes.values()}
    gone = sorted({one["path"] for one in before.writes.values()} - kept)
    figures = sorted(before.figures.keys() - now.figures.keys())
    folder = project.run_folder(run)
    return [*(folder / path for path in gone), *(project.root / path for path in figures)]


def _files(
    project: Project, step: Step, record: Record, run: str, donor: str
) -> list[tuple[Path, Path]]:
    theirs, mine = project.run_folder(donor), project.run_folder(run)
    pairs = [(theirs / one["path"], mine / one["path"]) for one in record.writes.values()]
    figures = (Path(path).name for path in record.figures)
    pairs += [(project.figures(donor) / name, project.figures(run) / name) for name in figures]
    return [*pairs, (theirs / step.path.name, mine / step.path.name)]


def _put(source: Path, target: Path) -> None:
    """Put a file or folder in the place of `target`, whole or not at all."""
    if source.is_dir():
        with atomic_folder(target) as part:
            shutil.copytree(source, part, copy_function=_link, dirs_exist_ok=True)
    else:
        with write_atomic(target) as part:
            (shutil.copy2 if source.suffix in (".ipynb", ".png") else _link)(source, part)


def _link(source: Path | str, target: Path | str) -> None:
    try:
        os.link(source, target)
    except OSError:  # no hard links here, or another file system
        shutil.copy2(source, target)


class StepBusyError(Exception):
    """A neighbor is making this very step just now."""


@dataclass(frozen=True)
class Neighbors:
    """The settings of a sweep, of which none makes what another one is making.

    Attributes
    ----------
    token : str
        Of this start of the sweep: a step that failed in it is not tried by everybody.
    stop : threading.Event
        Ends waiting, as with Ctrl-C.
    on_wait : callable
        Called with the name of a step that is waited for.
    """

    token: str
    stop: threading.Event
    on_wait: Callable[[str], None]


@dataclass
class Store:
    """What one run asks before each step, and tells after it.

    Parameters
    ----------
    project : Project
    run : str
        Its name; its folder must be locked.
    library : Library
    neighbors : Neighbors, optional
        Without them nobody is waited for: what another process is making is made here as well.

    Attributes
    ----------
    donor : str
        The run from which the last step was taken over, if it was.
    """

    project: Project
    run: str
    library: Library
    neighbors: Neighbors | None = None
    donor: str = field(default="", init=False)
    _key: Path = field(default=Path(), init=False)

    @contextlib.contextmanager
    def step(
        self, step: Step, parameters: dict[str, Any], *, force: bool = False
    ) -> Iterator[Record | Failure | None]:
        """Yield the record of a step that is made, how it failed, or None: then it is to be made.

        While it is made none of the neighbors begins it: they get a `StepBusyError`. `force` has
        it made in any case.
        """
        self._key = self.project.root / "runs" / ".steps" / self._name(step, parameters)
        self.donor = ""
        own = self.project, step, parameters, self.library
        made = None if force else is_fresh(self.project, self.run, *own[1:])
        if made:
            if not self._note.exists():
                self.tell(None)
            yield made
            return
        with contextlib.ExitStack() as held:
            held.enter_context(self._holding())
            found = {} if force else _read(self._note)
            if failure := self._failed(found):
                yield failure
                return
            donor = str(found.get("run", ""))
            if donor not in ("", self.run) and not found.get("failure"):
                made = adopt(*own, run=self.run, donor=donor)
            if made:
                self.donor = donor
                held.close()  # nothing is to be made: nobody has to wait for this run
            yield made

    def tell(self, failure: Failure | None) -> None:
        """Tell all others how the step was made; called inside the context of `step`."""
        told: dict[str, Any] = {"run": self.run}
        if failure:
            if self.neighbors is None or failure.kind == _BAD_LUCK:
                return
            told |= {"failure": asdict(failure), "token": self.neighbors.token}
        # What is half-written, or not at all on a full disk, reads as nothing.
        with contextlib.suppress(OSError):
            self._note.write_text(json.dumps(told), encoding="utf-8")

    @property
    def _note(self) -> Path:
        return self._key.with_suffix(".json")

    def _failed(self, found: dict[str, Any]) -> Failure | None:
        token = self.neighbors.token if self.neighbors else None
        if not found.get("failure") or found.get("token") != token:
            return None
        told = Failure(**found["failure"])
        by = str(found["run"]).rpartition("/")[2]
        return Failure(told.cell, told.kind, f"{told.message} (shared with {by})", told.traceback)

    def _name(self, step: Step, parameters: dict[str, Any]) -> str:
        """Return the key: equal keys promise equal results, which their records then confirm."""
        flow = flow_of(step)
        there = {
            name: one["fingerprint"]
            for record in records_of(self.project, self.run)
            if record.notebook < step.name
            for name, one in record.writes.items()
        }
        # What is not read by its name may be any artifact.
        names = sorted(flow.needs | flow.asks if flow.plain else there)
        reads = {name: there.get(name, ABSENT) for name in names}
        values = step.values(parameters)
        computes = [os.environ.get(name) for name in _COMPUTES]
        # What is being measured cannot be judged, so its results are nobody else's.
        measuring = self.run.startswith(MEASURING)
        return _digest([source_fingerprint(step), values, reads, computes, measuring])[7:39]

    @contextlib.contextmanager
    def _holding(self) -> Iterator[None]:
        """Hold the lock of a step, which ends with this process, however that ends."""
        path = self._key.with_suffix(".lock")
        with contextlib.ExitStack() as stack:
            # Without a place for locks, or locks, two runs may make one step, which is only slower.
            with contextlib.suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                handle = stack.enter_context(path.open("a", encoding="utf-8"))
                if not lock_file(handle) and self.neighbors:
                    raise StepBusyError(path.stem)
            yield

    def wait(self, step: Step) -> None:
        """Wait a little for the neighbor who is making a step; `KeyboardInterrupt` to stop."""
        assert self.neighbors, "without neighbors no step is busy"
        self.neighbors.on_wait(step.name)
        if self.neighbors.stop.wait(_PAUSE):
            raise KeyboardInterrupt


def _read(note: Path) -> dict[str, Any]:
    try:
        found = read_json(note)
    except ArtifactError:
        return {}
    return found if isinstance(found, dict) else {}
