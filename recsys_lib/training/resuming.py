"""Checkpoints that need no argument: an interrupted cell goes on when it is run again.

A notebook with somebody in front of it switches them on (`recsys_lib.pipeline.notebook`); a batch
run never does. Each fit has a folder of its own, named for its data and settings, so another fit
starts afresh. What a cell has used is deleted once the whole cell is done.
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recsys_lib.training.checkpoints import Checkpoints, Keeper

__all__ = ["LIMIT", "advice", "cell_is_over", "checkpoints_of", "is_on", "keep_in", "switched_off"]

#: Bytes that all of them may take.
LIMIT = 2_000_000_000

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
    text = json.dumps(fit, default=np.generic.item, sort_keys=True)
    folder = _home / f"{fit['model']}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
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
