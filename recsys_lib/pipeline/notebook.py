"""What a notebook calls: its parameters, artifacts, figures, and the numbers it stands by."""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import pandas as pd
import psutil

from recsys_lib import artifacts
from recsys_lib.dataset import Dataset
from recsys_lib.errors import ArtifactError, ConfigError, RecsysError
from recsys_lib.formatting import table
from recsys_lib.naming import did_you_mean, find_id
from recsys_lib.pipeline import pins, store
from recsys_lib.pipeline.chain import Step, check_value, load_steps, writer_of
from recsys_lib.pipeline.machine import device
from recsys_lib.pipeline.project import Project
from recsys_lib.progress import has_front_end, in_voila, track
from recsys_lib.training.checkpoints import cell_is_over, keep_in

__all__ = ["Session", "start", "table"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_hooks: "_Hooks | None" = None


def start(name: str, namespace: Mapping[str, Any], *, project: Project | None = None) -> "Session":
    """Begin a notebook: check its parameters and return the session that knows its paths.

    Call it once, right below the `parameters` cell.

    Parameters
    ----------
    name : str
        The notebook's file name without ``.ipynb``.
    namespace : mapping
        ``globals()``: the values of the declared parameters are taken from it. ``RUN`` is one
        of them.
    project : Project, optional
        Found from the working directory by default.

    Returns
    -------
    Session
        Its ``parameters`` are a table to show.

    Raises
    ------
    ConfigError
        If there is no such notebook, ``RUN`` is not declared, or a value is of another type than
        its literal.
    """
    _end_with_runner()
    _show_errors_briefly()
    project = project or Project.find()
    steps = {step.name: step for step in load_steps(project)}
    if name not in steps:
        raise ConfigError(
            f"{name!r} must be a notebook of {project.notebooks}; it holds {', '.join(steps)}."
            f"{did_you_mean(name, steps)} Give the file's name without .ipynb."
        )
    known = steps[name].parameters
    if "RUN" not in known:
        raise ConfigError(f'{name} must declare RUN = "lab" in its parameters cell; it does not.')
    unset = [key for key in known if key not in namespace]
    if unset:
        raise ConfigError(f"{unset[0]} must have a value; run the parameters cell first.")
    values = {key: check_value(one, namespace[key]) for key, one in known.items()}
    # Pins say what they hold for: a notebook may have been changed and saved. RUN says where
    # results go, not what they are; but what is being measured cannot be judged.
    committed = pins.parameters_of([steps[name]])[name]
    committed |= pins.pinned_parameters(project.expected, name)
    changed = {
        f"{name[:2]}.{key}": values[key]
        for key in known
        if key != "RUN" and pins.as_json(values[key]) != committed[key]
    }
    record = store.Record(name, values["RUN"], values, changed=changed)
    record.rest_on(())
    rows = {key: (values[key], one.comment) for key, one in known.items()}
    rows |= _upstream_rows(store.records_of(project, record.run), record, steps[name])
    resolved = pd.DataFrame(rows, index=["value", "meaning"], dtype=object).T
    # Text and None as they are written; numbers stay numbers.
    resolved["value"] = [repr(x) if x is None or isinstance(x, str) else x for x in resolved.value]
    resolved = resolved.rename_axis("parameter")
    session = Session(project=project, record=record, parameters=table(resolved))
    if in_voila():
        return session
    session._save_record()
    _accompany(project.run_folder(record.run) / "checkpoints" / name, session._record_modules)
    return session


def _upstream_rows(
    records: list[store.Record], reader: store.Record, step: Step
) -> dict[str, tuple[Any, str]]:
    """Return what earlier notebooks were told that is not the committed value.

    Returns
    -------
    dict of str to tuple
        Rows for the table of parameters: ``"EPOCHS in 03"`` -> value and meaning, of the notebooks
        that made what `reader` reads.
    """
    rows = {}
    for name in sorted(step.reads):
        writer = writer_of(records, name, reader.notebook)
        for place, value in (writer.changed if writer else {}).items():
            number, _, key = place.partition(".")
            if reader.parameters.get(key) != value:
                rows[f"{key} in {number}"] = (value, f"not the committed value; it made `{name}`")
    return rows


def _settings_text(changed: dict[str, Any]) -> str:
    """Return changed parameters as text, each value once with the notebooks that had it.

    Examples
    --------
    >>> _settings_text({"01.SEED": 1, "02.SEED": 1, "03.EPOCHS": 5})
    'SEED = 1 in 01, 02; EPOCHS = 5 in 03'
    """
    places: dict[str, list[str]] = {}
    for place, value in sorted(changed.items()):
        number, _, name = place.partition(".")
        # Of a path the last part says enough.
        said = value.rpartition("/")[2] if isinstance(value, str) else repr(value)
        places.setdefault(f"{name} = {said}", []).append(number)
    return "; ".join(f"{said} in {', '.join(numbers)}" for said, numbers in places.items())


def _loaded_modules() -> list[str]:
    """Return the modules of the library that this process has loaded."""
    return sorted(name for name in list(sys.modules) if name.partition(".")[0] == "recsys_lib")


@dataclass(frozen=True, kw_only=True)
class Session:
    """One notebook at work in one run; made by `start`.

    Attributes
    ----------
    project : Project
        Where the notebook stands.
    record : Record
        What was read and written so far.
    parameters : DataFrame
        The resolved parameters: ``value`` and ``meaning``, indexed by name.
    """

    project: Project
    record: store.Record
    parameters: pd.DataFrame
    _reports: list[Any] = field(default_factory=list, repr=False)

    def save(self, name: str, value: Any) -> Path:
        """Save an artifact under its name, and record it.

        Parameters
        ----------
        name : str
            Letters, digits and ``_``; what later notebooks `read`.
        value : object with ``save(folder)``, DataFrame, dict or list
            A table becomes ``name.parquet``, plain data ``name.json``, anything else a folder.

        Returns
        -------
        Path
            Where it stands.

        Raises
        ------
        ArtifactError
            If it cannot be written; nothing half-written stays.
        """
        if isinstance(value, pd.DataFrame):
            path = self._place(name, ".parquet")
            artifacts.write_table(path, value)
        elif isinstance(value, dict | list):
            path = self._place(name, ".json")
            artifacts.write_json(path, value)
        else:
            path = self._place(name, "")
            value.save(path)
        self._record_write(name, path)
        return path

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Yield an empty folder to write an artifact into; it takes its place when all is well.

        Parameters
        ----------
        name : str
            What later notebooks `read`.

        Yields
        ------
        Path
            A temporary folder.
        """
        with artifacts.atomic_folder(path := self._place(name, "")) as part:
            yield part
        self._record_write(name, path)

    def read(self, name: str) -> Path:
        """Return the path of an artifact of this run, after verifying that it is the one written.

        Parameters
        ----------
        name : str
            As it was saved.

        Returns
        -------
        Path
            A file or folder.

        Raises
        ------
        ArtifactError
            If no notebook of this run wrote it, it has changed since, or what it was made from has.
        """
        records = store.records_of(self.project, self.record.run)
        producer = self._writer(name, records)
        if producer is None:
            raise self._unwritten(name, records)
        path = self.project.run_folder(self.record.run) / producer.writes[name]["path"]
        seen = artifacts.fingerprint(path)
        if seen != producer.writes[name]["fingerprint"]:
            raise ArtifactError(
                f"{path} must be what {producer.notebook} wrote in run {self.record.run!r}; it has "
                f"changed since. Run {producer.notebook} again."
            )
        if producer is not self.record and (changed := store.outdated(records, producer)):
            raise ArtifactError(store.again(name, changed))
        self.record.reads[name] = seen
        self.record.rest_on(records)
        self._save_record()
        return path

    def find(self, name: str) -> Path | None:
        """Return the path of an artifact as `read` does, or None where this run has none.

        Parameters
        ----------
        name : str
            Such as ``"world"``: real data has no known truth, and a run on it writes none.

        Raises
        ------
        ArtifactError
            If it, or what it was made from, has changed since it was written.
        """
        if self._writer(name, store.records_of(self.project, self.record.run)):
            return self.read(name)
        self.record.reads[name] = store.ABSENT
        self._save_record()
        return None

    def input(self, path: Path | str) -> Path:
        """Return a file or folder from outside the run, and record its fingerprint.

        Parameters
        ----------
        path : Path or str
            Absolute, or anywhere in the project; see `Project.find_input`.

        Raises
        ------
        ConfigError
            If nothing is there, or it cannot be read.
        """
        full = self.project.find_input(path)
        try:
            self.record.inputs[full.as_posix()] = artifacts.fingerprint(full)
        except OSError as error:
            raise ConfigError(
                f"{full} must be readable; {error.strerror}. Change its permissions."
            ) from error
        self.record.as_committed = False
        self._save_record()
        return full

    def figure(self, figure: Any, name: str | None, *, alt: str | None = None) -> None:
        """Show a Matplotlib figure, and save it as ``NN_name.png``.

        Parameters
        ----------
        figure : matplotlib Figure or Axes
            It is closed.
        name : str or None
            Begins with the notebook's number: ``"03_training_curve"``. With None the figure is
            shown but not saved: seconds, say, differ each time.
        alt : str, optional
            What the figure shows, for those who cannot see it; by default its titles and numbers.
        """
        from recsys_lib.plots.pictures import show_picture

        png = show_picture(figure, alt)
        if name is None:
            return
        path = self.project.figures(self.record.run) / f"{name}.png"
        with artifacts.write_atomic(path) as part:
            part.write_bytes(png)
        place = path.relative_to(self.project.root).as_posix()
        self.record.figures[place] = artifacts.fingerprint(path)
        self._save_record()

    def check(self, **values: float) -> pd.DataFrame | pins.Sentence:
        """Compare numbers with their pinned expectations, as ``check(test_rmse=rmse)``.

        Parameters
        ----------
        **values : float
            Each name is an entry of ``notebooks/expected.json`` under this notebook.

        Returns
        -------
        DataFrame or Sentence
            The numbers beside their pins; a sentence where parameters or data are not the
            committed ones, because then the pins don't apply.

        Raises
        ------
        AssertionError
            If a number moved out of its tolerance or has no pin.
        """
        numbers = {name: float(value) for name, value in values.items()}
        self.record.checks.update(numbers)
        self._save_record()
        if not self.record.as_committed:
            shown = ", ".join(f"{name} = {value:.4g}" for name, value in numbers.items())
            made = _settings_text(self.record.changed)
            return pins.Sentence(f"{shown}: not pinned for these parameters{made and f' ({made})'}")
        return pins.compare(numbers, pins.read_pins(self.project.expected, self.record.notebook))

    def report(self, *reports: Any) -> pd.DataFrame:
        """Hand in what `evaluate` found, so that runs can be compared by it.

        The numbers go to the manifest of the run with their standard errors. The values of the
        single users are kept as the artifact ``reports_NN``: on them, `compare_runs` tells a
        difference between two runs from the luck of who is in the test.

        Parameters
        ----------
        *reports : Report, or lists of them
            Each metric of a model once, over all calls.

        Returns
        -------
        DataFrame
            Columns ``value, se, n_users``, indexed by ``model.metric``.

        Raises
        ------
        ValueError
            If a metric of a model is handed in twice.
        """
        from recsys_lib.pipeline.manifest import as_reports, metrics_of, write_reports

        handed_in = [*self._reports, *as_reports(reports)]
        found = metrics_of(handed_in)
        self._reports[:] = handed_in
        self.record.metrics.update(found)
        with self.writing(f"reports_{self.record.notebook[:2]}") as folder:
            write_reports(folder, handed_in)
        columns = ["value", "se", "n_users"]
        table = pd.DataFrame(list(found.values()), index=list(found), columns=columns)
        return table.rename_axis("metric")

    def note(self, **values: float) -> None:
        """Put numbers into the manifest of the run that nothing is held against, such as times.

        Parameters
        ----------
        **values : float
            By name.
        """
        self.record.note(**values)
        self._save_record()

    def pick_user(self, dataset: Dataset, user: Any) -> Any:
        """Return the id of the user that a parameter names.

        An empty one is the first user for whom there is something left to recommend.

        Parameters
        ----------
        dataset : Dataset
        user : id
            As typed: a number finds the id written with its digits, and the other way round.

        Raises
        ------
        DataError
            If there is no such user; near names are proposed.
        """
        ends = dataset.user_items.indptr
        first = int((ends[1:] - ends[:-1] < dataset.n_items).argmax())
        position = first if user in ("", None) else find_id(dataset.user_ids, user, "user")
        return dataset.user_ids[position]

    def _place(self, name: str, suffix: str) -> Path:
        return self.project.artifacts(self.record.run) / f"{name}{suffix}"

    def _record_write(self, name: str, path: Path) -> None:
        place = path.relative_to(self.project.run_folder(self.record.run)).as_posix()
        self.record.writes[name] = {"path": place, "fingerprint": artifacts.fingerprint(path)}
        self._save_record()

    def _unwritten(self, name: str, records: list[store.Record]) -> ArtifactError:
        """Return the error that the run has no such artifact, with the notebook that writes it."""
        here, run = self.record.notebook, self.record.run
        known = [key for one in records if one.notebook <= here for key in one.writes]
        writer = writer_of(load_steps(self.project), name, here)
        first = writer.name if writer else "the notebooks before this one"
        return ArtifactError(
            f"The artifact {name!r} must have been written in run {run!r}; it holds "
            f"{', '.join(known) or 'none'}.{did_you_mean(name, known)} Run {first} first."
        )

    def _writer(self, name: str, records: list[store.Record]) -> store.Record | None:
        if name in self.record.writes:
            return self.record
        return writer_of(records, name, self.record.notebook)

    def _record_modules(self) -> None:
        """Record which code a cell has loaded: whatever it did, it may have asked no session."""
        if self.record.modules != _loaded_modules():
            self._save_record()

    def _save_record(self) -> None:
        if in_voila():  # a page reads a run, and is no part of it
            return
        self.record.device = device()
        self.record.modules = _loaded_modules()
        self.record.save(self.project.record(self.record.run, self.record.notebook))


def _end_with_runner() -> None:
    """Have this kernel killed when its runner dies, or end at once where it is dead already.

    As an orphan it would write beside its successor. Does nothing in a process that no runner has
    started, and none of its children. Elsewhere than on Linux the kernel looks for its parent
    itself, once a second.
    """
    runner = int(os.environ.get(store.RUNNER, 0))
    if not runner:
        return
    if os.getppid() == runner and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if not psutil.pid_exists(runner):
        os._exit(1)


def _accompany(checkpoints: Path, after_cell: Callable[[], None]) -> None:
    """Have `after_cell` called after each cell from now on.

    With somebody in front of the notebook, also show that a cell is running, and let interrupted
    training go on.

    Parameters
    ----------
    checkpoints : Path
        Folder for training to go on from; deleted when the cell that trains is done.
    after_cell : callable
        It takes the place of that of an earlier call.
    """
    from IPython import get_ipython

    global _hooks
    shell: Any = get_ipython()
    if shell is None:
        return
    if has_front_end():
        keep_in(checkpoints)
    if _hooks is None:
        _hooks = _Hooks(has_front_end())
        shell.events.register("pre_run_cell", _hooks.begin)
        shell.events.register("post_run_cell", _hooks.end)
    _hooks.after_cell = after_cell


def _show_errors_briefly() -> None:
    """Have interrupts and what this library refuses shown as one sentence; %tb has the frames.

    In batch the traceback stays.
    """
    from IPython import get_ipython

    shell: Any = get_ipython()
    if shell is not None and has_front_end():
        kinds = (KeyboardInterrupt, RecsysError, ValueError, TypeError)
        shell.set_custom_exc(kinds, _show_error)


def _show_error(
    shell: Any, kind: type[BaseException], error: BaseException, frames: TracebackType, **_: Any
) -> None:
    last = frames
    while last.tb_next:
        last = last.tb_next
    refused = last.tb_frame.f_globals.get("__name__", "").startswith("recsys_lib.")
    brief = refused or isinstance(error, KeyboardInterrupt | RecsysError)
    shell.showtraceback((kind, error, frames), exception_only=brief)


class _Hooks:
    """What IPython calls around a cell."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._open = contextlib.ExitStack()
        self.after_cell: Callable[[], None] = lambda: None

    def begin(self, _: Any) -> None:
        self._open.close()  # of a cell whose end nobody told
        if self._shown:
            self._open.enter_context(track(""))

    def end(self, result: Any) -> None:
        self._open.close()
        self.after_cell()
        if self._shown:
            cell_is_over(success=result.success)
