"""Runs side by side: found by name, as one table, listed, handed to MLflow, and removed.

Exported is each once, however often; removed is only what they wrote, as their records tell.
"""

import contextlib
import fnmatch
import math
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recsys_lib.artifacts import MANIFEST, digest_of
from recsys_lib.checks import needing
from recsys_lib.errors import ArtifactError, ConfigError, warn
from recsys_lib.naming import did_you_mean
from recsys_lib.pipeline.manifest import Manifest
from recsys_lib.pipeline.progress import text_table
from recsys_lib.pipeline.project import Project
from recsys_lib.pipeline.store import Record, remove

#: Columns that every run has.
FACTS = ("status", "begun", "seconds", "memory_mb")

_LONGEST = 28  # characters of a value in a table
#: Experiment of MLflow in which runs are kept.
EXPERIMENT = "recsys-lib"

_SEAL = "recsys.manifest"  # tag with the fingerprint of the manifest that was exported
_LONGEST_TEXT = 5_000  # characters of a value; MLflow refuses more than 6,000
# Beside what the records name; half-written files of a killed run have these names too.
_OWN = (MANIFEST, "checkpoints", "state/*.json", "[0-9][0-9]_*.ipynb", ".*.part*", "*/.*.part*")
_SWEEP = ("sweep.json", ".sweep")


def find_runs(project: Project, names: Sequence[str] = ()) -> list[Manifest]:
    """Return the manifests of runs, by name.

    Parameters
    ----------
    project : Project
        Where the runs are.
    names : sequence of str
        Runs, sweeps (all of their settings), or patterns such as ``"sweep/*"``; all by default.

    Raises
    ------
    ConfigError
        If no run has one of the names.

    Warns
    -----
    UserWarning
        For each damaged manifest; it is left out.
    """
    known = project.run_names()
    wanted = set().union(*(_matching(name, known) for name in names)) if names else set(known)
    found = []
    for name in (one for one in known if one in wanted):
        try:
            found.append(Manifest.load(project.run_folder(name)))
        except ArtifactError as error:
            warn(f"Left out: {error}")
    return found


def read_run(project: Project, name: str) -> Manifest:
    """Return the manifest of one run.

    Raises
    ------
    ConfigError
        If there is no such run.
    ArtifactError
        If its manifest is damaged.
    """
    known = project.run_names()
    if name not in known:
        raise _unknown(name, known)
    return Manifest.load(project.run_folder(name))


def _matching(name: str, known: Sequence[str]) -> set[str]:
    pattern = Path(name).as_posix()  # sweep/ is the sweep
    inside = f"{pattern}/"
    found = {one for one in known if one.startswith(inside) or fnmatch.fnmatchcase(one, pattern)}
    if not found:
        raise _unknown(name, known)
    return found


def _unknown(name: str, known: Sequence[str]) -> ConfigError:
    outer = sorted({one.partition("/")[0] for one in known})  # a run holds many of its own
    few = ", ".join(outer[:8]) + (f" and {len(outer) - 8} more" if len(outer) > 8 else "")
    return ConfigError(
        f"A run named {name!r} must have left a manifest; none has."
        f"{did_you_mean(name, {*known, *outer})} There are: {few or 'none yet'}."
    )


def list_runs(
    names: Sequence[str] | str = (),
    *,
    where: Sequence[str] | str = (),
    sort: str | None = None,
    project: Project | None = None,
) -> pd.DataFrame:
    """Return the runs of the project as a table.

    Parameters
    ----------
    names : str or sequence of str
        Runs, sweeps or patterns such as ``"sweep/*"``; all by default.
    where : str or sequence of str
        Expressions of `DataFrame.query` that all must hold, such as ``"EPOCHS >= 10"`` or
        ``"status == 'done' and `03.test_rmse` < 1.5"``. Lists are text: ``"DIMS == '[8, 4]'"``.
    sort : str, optional
        Column to sort by: metrics from the best down, anything else upwards.
    project : Project, optional
        Found from the working directory by default.

    Returns
    -------
    DataFrame
        Indexed by ``run``: ``status``, ``begun`` (UTC), ``seconds``, ``memory_mb``; a column for
        each parameter (``EPOCHS``) and each metric (``03.test_rmse``), missing if a run has
        none. A column may be named by its last part (``test_rmse``) if that is unambiguous.

    Raises
    ------
    ConfigError
        If no run has one of the names, no metric or parameter is named like a column, or a
        condition is not valid.

    Warns
    -----
    UserWarning
        For each damaged manifest; it is left out.
    """
    found = find_runs(project or Project.find(), [names] if isinstance(names, str) else names)
    table = filtered(table_of(found), [where] if isinstance(where, str) else where)
    return ordered(table, sort) if sort else table


def table_of(manifests: Iterable[Manifest]) -> pd.DataFrame:
    """Return the table of runs; its ``attrs`` say for which metrics a higher value is better."""
    rows: dict[str, dict[str, Any]] = {}
    better: dict[str, bool | None] = {}
    for one in manifests:
        facts = [one.status, one.begun, one.seconds, one.peak_memory / 1e6]
        metrics = {name: metric.value for name, metric in one.metrics.items()}
        better |= {name: metric.higher_is_better for name, metric in one.metrics.items()}
        parameters = {
            name: str(value) if isinstance(value, list | dict) else value  # to compare and sort by
            for name, value in one.all_parameters.items()
        }
        rows[one.run] = dict(zip(FACTS, facts, strict=True)) | parameters | metrics
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")
    known = sorted(name for name in table.columns if name not in (*FACTS, *better))
    table = table.reindex(columns=[*FACTS, *known, *sorted(better)])
    table[known] = table[known].convert_dtypes()  # whole numbers stay whole
    table["begun"] = pd.to_datetime(table["begun"], utc=True, format="ISO8601")
    table.attrs["higher_is_better"] = better
    return table


def find_column(table: pd.DataFrame, name: str) -> str:
    """Return the column with a name, or the only one whose last parts are that name.

    Raises
    ------
    ConfigError
        If there is none, or more than one.

    Examples
    --------
    >>> table = pd.DataFrame(columns=["EPOCHS", "03.test_rmse", "04.SVD.rmse", "04.KNN.rmse"])
    >>> find_column(table, "test_rmse"), find_column(table, "svd.rmse")
    ('03.test_rmse', '04.SVD.rmse')
    """
    if name in table.columns:
        return name
    near = [one for one in table.columns if f".{one}".casefold().endswith(f".{name}".casefold())]
    if len(near) == 1:
        return near[0]
    found = f"{len(near)} are called so: {', '.join(near)}. Say which."
    if not near:
        last = {one.rpartition(".")[2] for one in table.columns}
        found = f"none is called so.{did_you_mean(name, {*table.columns, *last})}"
    raise ConfigError(f"The column {name!r} must be one of the table; {found}")


def filtered(table: pd.DataFrame, conditions: Iterable[str]) -> pd.DataFrame:
    """Return the runs that meet every condition; see `list_runs`."""
    for condition in conditions:
        try:
            table = table.query(condition, engine="python")
        except Exception as error:  # an expression may raise anything
            first = condition.split(maxsplit=1)[0] if condition.strip() else condition
            raise ConfigError(
                "A condition must be an expression of DataFrame.query, such as 'EPOCHS >= 10' or "
                f"'status == \"done\"'; {condition!r} is none: {error}. Put a column with a dot in "
                f"backticks.{did_you_mean(first, table.columns)}"
            ) from error
    return table


def ordered(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the runs sorted by a column: a metric from the best down, anything else upwards."""
    column = find_column(table, name)
    falling = table.attrs.get("higher_is_better", {}).get(column) is True
    return table.sort_values(column, ascending=not falling, kind="stable", na_position="last")


def listing(table: pd.DataFrame, *, columns: Sequence[str] = (), width: int = 0) -> str:
    """Return the table of runs as text.

    Parameters
    ----------
    table : DataFrame
        As `list_runs` returns it.
    columns : sequence of str
        Which to show beside the name; by default as many as fit, first those in which the runs
        differ.
    width : int
        Characters in a line of the table; those of the terminal by default.
    """
    numbers = table.select_dtypes("number").columns
    if columns:
        chosen = table[[find_column(table, name) for name in columns]]
        return text_table(cells(chosen.reset_index()), right=numbers)
    width = width or shutil.get_terminal_size().columns
    shown = _fitting(cells(_by_relevance(table).reset_index()), width)
    text, left_out = text_table(shown, right=numbers), 1 + table.shape[1] - shown.shape[1]
    return f"{text}\n{left_out} more columns: --columns NAMES" if left_out else text


def varied_in(table: pd.DataFrame) -> list[str]:
    """Return the parameters in which runs differ."""
    others = {*FACTS, *table.attrs["higher_is_better"]}
    own = [name for name in table.columns if name not in others]
    return [name for name in own if len(set(table[name].dropna())) > 1]


def _by_relevance(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns by what they tell: facts, parameters in which runs differ, metrics."""
    metrics = [name for name in table.columns if name in table.attrs["higher_is_better"]]
    # The last notebooks judge the models; the first describe the data.
    metrics.sort(key=lambda name: (-int(number) if (number := name[:2]).isdecimal() else 0, name))
    return table[[*FACTS, *varied_in(table), *metrics]]


def _fitting(shown: pd.DataFrame, width: int) -> pd.DataFrame:
    """Return as many of the first columns as fit into a line."""
    widths = [2 + max(map(len, [name, *shown[name]])) for name in shown.columns]
    count = int((np.cumsum(widths) <= width + 2).sum())
    return shown.iloc[:, : max(count, 1 + len(FACTS))]


def cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return the values of a table as short text."""
    return table.map(_cell).where(table.notna(), "-")


def _cell(value: Any) -> str:
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M}"
    text = f"{value:.5g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def local_store(project: Project) -> str:
    """Return the address of the store that is used by default: a file among the runs."""
    return f"sqlite:///{(project.root / 'runs' / 'mlflow.db').as_posix()}"


def export_runs(
    names: Sequence[str], *, to: str | None = None, project: Project | None = None
) -> list[str]:
    """Write runs to an MLflow tracking store; one that is there already is brought up to date.

    Parameters
    ----------
    names : sequence of str
        Runs, sweeps or patterns; none takes all.
    to : str, optional
        Tracking URI, such as ``"http://host:5000"`` or ``"file:///shared/mlruns"``; an SQLite
        file among the runs by default, which ``mlflow ui --backend-store-uri`` opens.
    project : Project, optional
        Found from the working directory by default.

    Returns
    -------
    list of str
        The runs that are there now.

    Raises
    ------
    ConfigError
        If MLflow is not installed, the store does not answer, or a name is of no run.

    Notes
    -----
    Parameters become params, metrics metrics (``@`` is written ``_at_``), their standard errors
    metrics that end in ``.se``; versions, machine and code are tags. MLflow's params cannot be
    changed, so an update writes the run anew and removes the old one.
    """
    project = project or Project.find()
    found = find_runs(project, names)
    address = to or local_store(project)
    with _client(address) as client:
        known = client.get_experiment_by_name(EXPERIMENT)
        place = known.experiment_id if known else client.create_experiment(EXPERIMENT)
        for one in found:
            _export(client, place, one)
    return [one.run for one in found]


@contextlib.contextmanager
def _client(address: str) -> Iterator[Any]:
    # MLflow takes these from the environment only: no telemetry, seconds of patience for a store
    # that does not answer, and plain files, which MLflow no longer develops, where asked for.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    if address.startswith("file:") or "://" not in address:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    with needing("mlflow", "MLflow"):
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    try:
        yield MlflowClient(tracking_uri=address)
    except (MlflowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"The MLflow store {address} must take the runs; {reason} Check its address."
        ) from error


def _export(client: Any, experiment: str, manifest: Manifest) -> None:
    """Write a run in the place of what was exported of it before, unless that is the same."""
    from mlflow.entities import Metric, Param

    seal = digest_of(asdict(manifest))
    old = client.search_runs([experiment], f"tags.`recsys.run` = '{manifest.run}'")
    if any(one.data.tags.get(_SEAL) == seal for one in old):
        return
    begun, ended = (
        int(datetime.fromisoformat(text).timestamp() * 1000) if text else None
        for text in (manifest.begun, manifest.ended)
    )
    # Fluent calls know no start but now.
    run = client.create_run(experiment, begun, _texts(_tags(manifest)), run_name=manifest.run)
    params = [Param(*one) for one in _texts(manifest.all_parameters).items()]
    metrics = [Metric(_plain(name), value, begun or 0, 0) for name, value in _numbers(manifest)]
    client.log_batch(run.info.run_id, metrics, params)
    status = "FINISHED" if manifest.status == "done" else "FAILED"
    client.set_terminated(run.info.run_id, status, end_time=ended or begun)
    # Without it, a run that was cut off counts as another one, and the next export removes it.
    client.set_tag(run.info.run_id, _SEAL, seal)
    for one in old:
        client.delete_run(one.info.run_id)


def _tags(manifest: Manifest) -> dict[str, Any]:
    facts = {
        "recsys.run": manifest.run,
        "recsys.status": manifest.status,
        "recsys.device": ", ".join(manifest.device),
        "mlflow.source.git.commit": manifest.code.get("commit"),
        "mlflow.note.content": (manifest.failure or {}).get("message"),
        **{f"data.{name}": one for name, one in manifest.data.items() if isinstance(one, str)},
        **{f"version.{name}": one for name, one in manifest.versions.items()},
        **{f"machine.{name}": one for name, one in manifest.machine.items()},
    }
    return {name: one for name, one in facts.items() if one}


def _numbers(manifest: Manifest) -> Iterator[tuple[str, float]]:
    yield "seconds", manifest.seconds
    yield "peak_memory_mb", manifest.peak_memory / 1e6
    for name, metric in manifest.metrics.items():
        for suffix, value in {"": metric.value, ".se": metric.se}.items():
            if value is not None and math.isfinite(value):
                yield f"{name}{suffix}", value


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {_plain(name): str(one)[:_LONGEST_TEXT] for name, one in values.items()}


def _plain(name: str) -> str:
    return re.sub(r"[^\w\-. :/]", "_", name.replace("@", "_at_"))


def freed_bytes(project: Project, runs: Sequence[Manifest]) -> int:
    """Return the bytes that the removal of runs would free; what others share with them stays."""
    files = [file.stat() for run in runs for file in _files(_written(project, run))]
    held = Counter((one.st_dev, one.st_ino) for one in files)
    shares = (
        one.st_size / one.st_nlink for one in files if held[one.st_dev, one.st_ino] == one.st_nlink
    )
    return round(sum(shares))


def remove_runs(project: Project, runs: Sequence[Manifest]) -> list[Path]:
    """Remove what runs wrote, and return the files and folders that are not theirs and stay.

    Raises
    ------
    BusyError
        If a run is active; the runs before it are removed.
    """
    kept: list[Path] = []
    for one in sorted(runs, key=lambda run: run.run, reverse=True):  # inner runs first
        folder = project.run_folder(one.run)
        # What says which files are its own goes last: a removal that stops can be begun again.
        order = {folder / MANIFEST: 2, **dict.fromkeys(folder.glob("state/*.json"), 1)}
        with project.locked(one.run, remedy="leave it out"):
            remove(*sorted(_written(project, one), key=lambda path: order.get(path, 0)))
        kept += _tidied(folder)
        sweep = folder.parent
        if "/" in one.run and not any(path.is_dir() for path in sweep.glob("[!.]*")):
            remove(*(sweep / name for name in _SWEEP))
            kept += _tidied(sweep)
    return kept


def _written(project: Project, run: Manifest) -> set[Path]:
    """Return the files and folders that a run wrote; nothing outside its folder, nor links."""
    folder = project.run_folder(run.run)
    found = {path for pattern in _OWN for path in folder.glob(pattern)}
    found |= {folder / "artifacts" / name for name in run.artifacts}  # of a recorded run
    for path in folder.glob("state/*.json"):
        if record := Record.find(path):
            found |= record.files(project, run.run).keys()
    inside = folder.resolve()
    return {
        path
        for path in found
        if path.exists() and not path.is_symlink() and inside in path.resolve().parents
    }


def _files(paths: Iterable[Path]) -> list[Path]:
    found = {one for path in paths for one in (path, *path.rglob("*"))}
    return [one for one in found if one.is_file() and not one.is_symlink()]


def _tidied(folder: Path) -> list[Path]:
    """Remove empty folders and the lock, and return what stays but other runs."""
    (folder / ".lock").unlink(missing_ok=True)
    folders = [path for path in folder.rglob("*") if path.is_dir() and not path.is_symlink()]
    for path in (*sorted(folders, reverse=True), folder):
        with contextlib.suppress(OSError):  # not empty
            path.rmdir()
    left = folder.iterdir() if folder.exists() else ()
    return sorted(path for path in left if not (path / MANIFEST).exists())
