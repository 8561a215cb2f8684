"""The manifest of a run: one file with all that a comparison of runs needs."""

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import psutil

from recsys_lib.artifacts import read_json, write_json
from recsys_lib.errors import ArtifactError
from recsys_lib.pipeline.redaction import without_secrets

__all__ = ["MANIFEST", "Manifest", "Metric", "Status", "seeds_of", "this_process"]

MANIFEST = "manifest.json"
_FORMAT = 1

Status = Literal["running", "done", "partial", "failed", "interrupted", "killed"]


@dataclass(frozen=True)
class Metric:
    """A number that a run stands by.

    Attributes
    ----------
    value : float
    se : float, optional
        Its standard error over users.
    n_users : int, optional
        How many.
    higher_is_better : bool, optional
        None where neither end is the better one, or nobody has said.
    """

    value: float
    se: float | None = None
    n_users: int | None = None
    higher_is_better: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One run: its inputs, its results, its cost.

    Attributes
    ----------
    run : str
        Its name; ``"sweep/setting"`` for one of a sweep.
    status : {"running", "done", "partial", "failed", "interrupted", "killed"}
        How it ended. "partial": all went well, but other notebooks of the run have failed before
        or rest on what has changed. "killed" is never written: it is what a reader finds if the
        process of a run has gone.
    failure : dict, optional
        ``notebook, cell, kind, message`` of what failed first.
    begun, ended : str
        UTC, ISO 8601, of the last attempt in which anything ran. `ended` is `begun` plus the
        time that passed, so a clock that is set back in between cannot make it the earlier one.
    attempts : int
        How often it was begun until it was done.
    seconds : float
        Of all notebooks together, those kept from earlier attempts included.
    peak_memory : int
        Bytes that the largest kernel took, with its child processes.
    parameters : dict
        Name -> value, where all notebooks that declare it had the same.
    seeds : dict
        Those of them that are seeds.
    notebooks : dict
        Name -> ``status`` ("ran", "skipped", "failed", "not run", or, of those that were not to
        run this time, "kept", "stale" or "unfinished"), ``seconds``,
        ``peak_memory``, ``cells``, ``source`` (fingerprint of its cells), ``device``, and
        ``parameters`` that differ from those of other notebooks.
    data : dict
        Fingerprints: ``inputs`` by path, and of the artifacts that data is made into.
    artifacts : dict
        Name -> fingerprint of everything that was written.
    code : dict
        ``commit`` and ``dirty`` of the git checkout (None outside one), ``library``, the
        fingerprint of the library with its versions.
    versions, machine : dict
        See `provenance`.
    device : list of str
        What networks were trained on, such as ``"cpu tensorflow float32"``.
    metrics : dict of str to Metric
        ``"03.test_rmse"`` from `Session.check` and `Session.note`, ``"03.autoencoder.rmse"`` from
        `Session.report`.
    process : dict
        ``host`` and ``pid`` that worked on it last.
    """

    run: str
    status: Status
    failure: dict[str, Any] | None = None
    begun: str = ""
    ended: str = ""
    attempts: int = 1
    seconds: float = 0.0
    peak_memory: int = 0
    parameters: dict[str, Any] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)
    notebooks: dict[str, dict[str, Any]] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    code: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    device: list[str] = field(default_factory=list)
    metrics: dict[str, Metric] = field(default_factory=dict)
    process: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write ``manifest.json`` into the folder of the run, atomically and without secrets."""
        write_json(folder / MANIFEST, without_secrets({"format": _FORMAT, **asdict(self)}))

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """Read the manifest of a run.

        Parameters
        ----------
        folder : Path
            ``runs/<run>``.

        Raises
        ------
        ArtifactError
            If it is missing, damaged or of another format.
        """
        path = folder / MANIFEST
        content = read_json(path)
        try:
            if (version := content.pop("format")) != _FORMAT:
                raise ValueError(f"it is of format {version!r}, not {_FORMAT}")
            metrics = {name: Metric(**one) for name, one in content.pop("metrics").items()}
            found = cls(**content, metrics=metrics)
            found._check_kinds()
            killed = found._is_orphan()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"{path} must be the manifest of a run; {error}. Delete it and run again: "
                "finished notebooks are kept."
            ) from error
        return replace(found, status="killed") if killed else found

    @property
    def all_parameters(self) -> dict[str, Any]:
        """Every parameter; one that differs between notebooks once for each, as ``"03.SEED"``."""
        apart = {
            f"{notebook[:2]}.{name}": value
            for notebook, entry in self.notebooks.items()
            for name, value in entry["parameters"].items()
        }
        return {**self.parameters, **apart}

    def _check_kinds(self) -> None:
        """Raise `TypeError` where a value is not of the kind that is written."""
        example = Manifest(run="", status="done")
        kinds = {float: (int, float), type(None): (dict, type(None))}
        for one in fields(self):
            kind, value = type(getattr(example, one.name)), getattr(self, one.name)
            if not isinstance(value, kinds.get(kind, kind)):
                raise TypeError(f"{one.name} is {type(value).__name__}")

    def _is_orphan(self) -> bool:
        """Whether it says to be running, and the process that did so is no more."""
        here = self.process.get("host") == platform.node()
        return self.status == "running" and here and not psutil.pid_exists(self.process["pid"])


def seeds_of(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that are seeds: ``SEED``, or a name that ends in ``_SEED``."""
    return {name: one for name, one in parameters.items() if name.split("_")[-1] == "SEED"}


def this_process() -> dict[str, Any]:
    """Return the host and the number of this process."""
    return {"host": platform.node(), "pid": os.getpid()}
