"""Runs handed to MLflow: once each, however often they are exported."""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from hashlib import sha256
from typing import Any

from recsys_lib.errors import ConfigError
from recsys_lib.pipeline.manifest import Manifest, find_runs
from recsys_lib.pipeline.project import Project

EXPERIMENT = "recsys-lib"

_SEAL = "recsys.manifest"  # tag with the fingerprint of the manifest that was exported
_STATUS = {"done": "FINISHED", "partial": "FAILED", "failed": "FAILED", "running": "RUNNING"}
_LONGEST = 5_000  # characters of a value; MLflow refuses more than 6,000


def local_store(project: Project) -> str:
    """Return the address of the store that is used by default: a file among the runs."""
    return f"sqlite:///{(project.root / 'runs' / 'mlflow.db').as_posix()}"


def export_runs(
    names: Sequence[str],
    *,
    to: str | None = None,
    experiment: str = EXPERIMENT,
    project: Project | None = None,
) -> dict[str, str]:
    """Write runs to an MLflow tracking store; one that is there already is brought up to date.

    Parameters
    ----------
    names : sequence of str
        Runs, sweeps or patterns; none takes all.
    to : str, optional
        Tracking URI, such as ``"http://host:5000"`` or ``"file:///shared/mlruns"``; an SQLite
        file among the runs by default, which ``mlflow ui --backend-store-uri`` opens.
    experiment : str
        Where they go; made if it is missing.
    project : Project, optional
        Found from the working directory by default.

    Returns
    -------
    dict of str to str
        Run -> "added", "updated" or "unchanged".

    Raises
    ------
    ConfigError
        If MLflow is not installed, the store does not answer, or a name is of no run.
    ArtifactError
        If a manifest is damaged.

    Notes
    -----
    Parameters become params, metrics metrics (``@`` is written ``_at_``), their standard errors
    metrics that end in ``.se``; versions, machine and code are tags. MLflow's params cannot be
    changed, so an update writes the run anew and removes the old one.
    """
    project = project or Project.find()
    found, damaged = find_runs(project, names)
    if damaged:
        raise damaged[0]
    address = to or local_store(project)
    with _client(address) as client:
        known = client.get_experiment_by_name(experiment)
        place = known.experiment_id if known else client.create_experiment(experiment)
        return {one.run: _export(client, place, one) for one in found}


@contextmanager
def _client(address: str) -> Iterator[Any]:
    # MLflow takes these from the environment only: no telemetry, seconds of patience for a store
    # that does not answer, and plain files, which MLflow no longer develops, where asked for.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    if address.startswith("file:") or "://" not in address:
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise ConfigError(
            "MLflow must be installed to export runs; it is not. "
            "Install it with `pip install 'recsys-lib[mlflow]'`."
        ) from error
    try:
        yield MlflowClient(tracking_uri=address)
    except (MlflowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"The MLflow store {address} must take the runs; {reason} Check its address."
        ) from error


def _export(client: Any, experiment: str, manifest: Manifest) -> str:
    """Write one run, unless its manifest has been exported as it is."""
    content = json.dumps(asdict(manifest), sort_keys=True, default=str)
    seal = sha256(content.encode()).hexdigest()
    old = client.search_runs([experiment], f"tags.`recsys.run` = '{manifest.run}'")
    same = [one for one in old if one.data.tags.get(_SEAL) == seal]
    if not same:
        _write(client, experiment, manifest, seal)
    # Only now: an interrupted export leaves a run too many, which the next one removes.
    for one in old:
        if one not in same[:1]:
            client.delete_run(one.info.run_id)
    return "unchanged" if same else "updated" if old else "added"


def _write(client: Any, experiment: str, manifest: Manifest, seal: str) -> None:
    from mlflow.entities import Metric, Param

    begun, ended = (
        int(datetime.fromisoformat(text).timestamp() * 1000) if text else None
        for text in (manifest.begun, manifest.ended)
    )
    # Fluent calls know no start but now.
    run = client.create_run(experiment, begun, _texts(_facts(manifest)), run_name=manifest.run)
    params = [Param(*one) for one in _texts(manifest.all_parameters).items()]
    metrics = [Metric(_name(name), value, begun or 0, 0) for name, value in _numbers(manifest)]
    client.log_batch(run.info.run_id, metrics, params)
    status = _STATUS.get(manifest.status, "KILLED")
    if status != "RUNNING":
        client.set_terminated(run.info.run_id, status, end_time=ended or begun)
    # The last to be written: a run without it counts as not exported.
    client.set_tag(run.info.run_id, _SEAL, seal)


def _facts(manifest: Manifest) -> dict[str, Any]:
    sweep, _, setting = manifest.run.partition("/")
    facts = {
        "recsys.run": manifest.run,
        "recsys.sweep": sweep if setting else None,
        "recsys.status": manifest.status,
        "recsys.device": ", ".join(manifest.device),
        "recsys.library": manifest.code.get("library"),
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
    return {_name(name): str(one)[:_LONGEST] for name, one in values.items()}


def _name(name: str) -> str:
    return re.sub(r"[^\w\-. :/]", "_", name.replace("@", "_at_"))
