"""Checkpoints of a fit: written atomically, resumed after a kill.

In a notebook with somebody in front of it they need no argument: `keep_in` switches them on
(`recsys_lib.pipeline.notebook`), and an interrupted cell goes on when it is run again; a batch run
never does. Each fit then has a folder of its own, named for its data and settings, so another fit
starts afresh. What a cell has used is deleted once the whole cell is done.
"""

import contextlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib import artifacts
from recsys_lib.checks import check_integer, check_positive
from recsys_lib.errors import ArtifactError, warn
from recsys_lib.progress import notice
from recsys_lib.training.processes import is_first

if TYPE_CHECKING:
    from recsys_lib.training.trainer import Trainer

#: Bytes that all checkpoints that were not asked for may take.
LIMIT = 2_000_000_000

# Largest share of the time that writing takes, where the user has not said how often to write.
SHARE = 0.05
_FILES = {"arrays.npz", "history.parquet", "manifest.json"}


@dataclass(frozen=True)
class Checkpoints:
    """Where a fit keeps its checkpoints, and how often it writes them.

    By default it writes after every epoch, but not so often that writing would take more than a
    twentieth of the time. What is written last, always, is the end of the fit.

    Parameters
    ----------
    folder : Path or str
        One for each fit; made where it is missing.
    every_epochs : int, optional
        Write after each epoch whose number it divides, whatever it costs, >= 1.
    every_minutes : float, optional
        Write after the first epoch that ends so long after the last writing, > 0. With both,
        both must be due.
    keep : int
        How many to keep, >= 1; the newest that is not damaged is taken up.

    Examples
    --------
    >>> Checkpoints("runs/mine", every_minutes=10).keep
    2
    """

    folder: Path | str
    every_epochs: int | None = None
    every_minutes: float | None = None
    keep: int = 2

    def __post_init__(self) -> None:
        check_integer("keep", self.keep, minimum=1)
        if self.every_epochs is not None:
            check_integer("every_epochs", self.every_epochs, minimum=1)
        if self.every_minutes is not None:
            check_positive("every_minutes", self.every_minutes)

    @classmethod
    def of(cls, checkpoint: "Checkpoints | Path | str") -> "Checkpoints":
        """Return `checkpoint`, or the default for a folder."""
        return checkpoint if isinstance(checkpoint, Checkpoints) else cls(checkpoint)


class Keeper:
    """Context manager that writes the checkpoints of one fit and resumes from them.

    Parameters
    ----------
    checkpoints : Checkpoints
    identity : mapping of str to JSON value
        Whatever must be the same for a fit to go on: data fingerprints, hyper-parameters.

    Raises
    ------
    ArtifactError
        On entry: if the folder cannot be written or another process is at work in it.

    Notes
    -----
    ``epoch_000007/`` holds ``arrays.npz`` (the weights, the optimizer's memory, counters, states of
    random generators, the best weights and the running average), ``history.parquet`` and a manifest
    with the fingerprint of each. A folder appears by one rename, so a fit that is killed while it
    writes leaves the one before.
    """

    def __init__(self, checkpoints: Checkpoints, identity: Mapping[str, Any]) -> None:
        self._rule = checkpoints
        self.folder = Path(checkpoints.folder)
        #: Epoch of the newest checkpoint; 0 where there is none.
        self.epoch = 0
        self._unwritten: tuple[int, dict[str, NDArray[Any]], list[dict[str, float]]] | None = None
        # As it will be read: tuples are lists in JSON, NumPy's numbers are numbers.
        self._identity = json.loads(json.dumps(identity, default=np.generic.item))
        self._written_at = time.monotonic()
        self._cost = 0.0
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if not is_first():
            return self  # of a job, one process writes
        only = f"Only one fit may write its checkpoints to {self.folder}"
        writable = "`checkpoint` must be a folder that can be written"
        lock = artifacts.alone_in(
            self.folder, writable=writable, alone=only, remedy="give another folder"
        )
        self._open.enter_context(lock)
        for left_over in self.folder.glob(".epoch_[0-9]*.*"):
            shutil.rmtree(left_over, ignore_errors=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def resume(self, trainer: "Trainer", *, epochs: int) -> None:
        """Restore `trainer` from the newest intact checkpoint, if there is one.

        Warns
        -----
        UserWarning
            Where a damaged checkpoint had to be passed over; it is removed.

        Raises
        ------
        ArtifactError
            If the checkpoint belongs to another fit, or has made more than `epochs` epochs.
        """
        damaged: list[Path] = []
        for folder in self._newest_first():
            try:
                record = artifacts.read_manifest(folder, kind="checkpoint")
            except ArtifactError:
                damaged.append(folder)
                continue
            self._check_same_fit(record)
            self._restore(trainer, folder)
            break
        self.epoch = trainer.epoch
        if trainer.epoch > epochs:
            raise ArtifactError(
                f"`epochs` must be >= {trainer.epoch}, which the fit in {self.folder} has made "
                f"already; got {epochs}. Give another folder as `checkpoint`."
            )
        for folder in damaged if is_first() else ():
            shutil.rmtree(folder, ignore_errors=True)
        if damaged:
            names = ", ".join(folder.name for folder in damaged)
            warn(
                f"In {self.folder}, {names} was damaged and is removed; training goes on after "
                f"epoch {trainer.epoch}."
            )
        if trainer.epoch:
            notice(f"Going on after epoch {trainer.epoch} of an earlier fit, kept in {self.folder}")

    def epoch_done(self, trainer: "Trainer", *, last: bool) -> None:
        """Write a checkpoint if one is due, and always after the last epoch.

        Raises
        ------
        ArtifactError
            If it cannot be written; the ones before stand.
        """
        if not is_first():
            return
        self._unwritten = (trainer.epoch, trainer.checkpoint(), list(trainer.history))
        if last or self._is_due(trainer.epoch):
            self.write()

    def write(self) -> None:
        """Write the last epoch that is done, if it is not on disk; such as after Ctrl-C."""
        from recsys_lib.training.device import in_use

        if self._unwritten is None:
            return
        epoch, arrays, history = self._unwritten
        started = time.monotonic()
        with artifacts.atomic_folder(self.folder / f"epoch_{epoch:06d}") as part:
            artifacts.write_arrays(part / "arrays.npz", **arrays)
            artifacts.write_table(part / "history.parquet", pd.DataFrame(history))
            facts = {"epoch": epoch, "fit": self._identity, "trained_on": in_use()}
            artifacts.write_manifest(part, kind="checkpoint", **facts)
        for old in self._newest_first()[self._rule.keep :]:
            shutil.rmtree(old, ignore_errors=True)
        self._written_at = time.monotonic()
        self._cost = self._written_at - started
        self.epoch, self._unwritten = epoch, None

    def _is_due(self, epoch: int) -> bool:
        rule, waited = self._rule, time.monotonic() - self._written_at
        if rule.every_epochs is None and rule.every_minutes is None:
            return self._cost <= SHARE * waited
        return epoch % (rule.every_epochs or 1) == 0 and waited >= 60 * (rule.every_minutes or 0)

    def _newest_first(self) -> list[Path]:
        # By the number in the name: a clock may go backwards.
        found = [one for one in self.folder.glob("epoch_[0-9]*") if _is_checkpoint(one)]
        return sorted(found, reverse=True)

    def _restore(self, trainer: "Trainer", folder: Path) -> None:
        try:
            trainer.restore(artifacts.read_arrays(folder / "arrays.npz"))
        except (KeyError, ValueError) as error:
            raise ArtifactError(
                f"{folder} must be a checkpoint of this version of the library; {error}. "
                "Delete the folder to start over."
            ) from error
        table = artifacts.read_table(folder / "history.parquet")
        trainer.history = [dict(record) for record in table.to_dict("records")]

    def _check_same_fit(self, record: Mapping[str, Any]) -> None:
        """Raise `ArtifactError` that names what differs between two fits."""
        different = list(differences(record["fit"], self._identity))
        if different:
            more = f" and {len(different) - 4} more" if len(different) > 4 else ""
            raise ArtifactError(
                f"`checkpoint` must be a folder of this fit; the one in {self.folder} differs in "
                f"{', '.join(different[:4])}{more}. Give another folder, or delete it to start "
                "anew."
            )


def _is_checkpoint(folder: Path) -> bool:
    """Whether a folder is ours, be it damaged; anything else is left alone."""
    return folder.is_dir() and {file.name for file in folder.iterdir()} <= _FILES


def differences(stored: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> Any:
    """Yield in words what differs between two records; of a fingerprint its name is enough.

    Examples
    --------
    >>> list(differences({"data": "sha256:1", "l2": 1.0}, {"data": "sha256:2", "l2": 2.0}))
    ['data', 'l2 (1.0 there, 2.0 here)']
    """
    for name in [*now, *(key for key in stored if key not in now)]:
        there, here = stored.get(name), now.get(name)
        if there == here:
            continue
        if any(str(one).startswith("sha256:") for one in (there, here)):
            yield f"{within}{name}"
        elif isinstance(there, dict) and isinstance(here, dict) and "low" not in here:  # a range
            yield from differences(there, here, f"{within}{name}: ")
        else:
            yield f"{within}{name} ({there!r} there, {here!r} here)"


_home: Path | None = None
_used: set[Path] = set()


def keep_in(folder: Path | None) -> None:
    """Keep the checkpoints of every fit in `folder` from now on; None switches them off."""
    global _home
    _home = folder
    _used.clear()


@contextlib.contextmanager
def switched_off() -> Iterator[None]:
    """Keep no checkpoints in the block: a search goes on by its own means."""
    global _home
    before, _home = _home, None
    try:
        yield
    finally:
        _home = before


def is_on() -> bool:
    """Return whether fits keep checkpoints without being asked to."""
    return _home is not None


def checkpoints_of(fit: Mapping[str, Any]) -> Checkpoints:
    """Return the checkpoints of a fit, in a folder named for all that makes it what it is."""
    assert _home is not None
    folder = _home / f"{fit['model']}-{artifacts.digest_of(fit, 12)}"
    _make_room(_home, wanted=folder)
    _used.add(folder)
    return Checkpoints(folder, keep=1)


def _make_room(home: Path, *, wanted: Path) -> None:
    """Delete the oldest folders where all together take too much of the disk."""
    sizes = {
        folder: sum(file.stat().st_size for file in folder.rglob("*"))
        for folder in sorted(home.glob("*-*"), key=lambda folder: folder.stat().st_mtime)
    }
    total = sum(sizes.values())
    for folder, size in sizes.items():
        if total > LIMIT and folder != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            total -= size


def cell_is_over(*, success: bool) -> None:
    """Delete the checkpoints of all fits of a cell that is done; keep those of a stopped one."""
    for folder in _used:
        if success:
            shutil.rmtree(folder, ignore_errors=True)
    _used.clear()
    if _home is not None and _home.is_dir() and not any(_home.iterdir()):
        _home.rmdir()


def advice(keeper: Keeper | None) -> str:
    """Say how an interrupted fit goes on."""
    if keeper is None:
        return "To be able to go on from there, fit with `checkpoint=` and a folder."
    if not keeper.epoch:
        return "It was too short to go on from: run it again."
    return f"Run it again to go on from there; to start over, delete {keeper.folder}."
