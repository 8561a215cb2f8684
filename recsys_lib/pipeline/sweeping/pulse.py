"""How a sweep and its workers hear of each other, on whatever machine they are: two small files."""

import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from recsys_lib._system import move
from recsys_lib.pipeline.manifest import this_process

__all__ = ["Pulse", "heard", "listening", "tell", "work_folder"]

_BEAT = 1.0  # seconds between two beats
_SILENCE = 120.0  # seconds without a beat after which the sweep is gone; NFS may hide one for 60
_LOOK = 0.3


def work_folder(sweep: Path) -> Path:
    """Return the folder for what a sweep and its workers tell each other."""
    return sweep / ".sweep"


def tell(path: Path, **content: Any) -> None:
    """Write a small file that is whole at any moment; on a full disk nothing is told."""
    part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(content), encoding="utf-8")
        move(part, path)


def heard(path: Path) -> dict[str, Any]:
    """Read what was told; nothing where there is nothing."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


class Pulse:
    """Sign of life of a sweep, while the context lasts.

    Parameters
    ----------
    sweep : Path
        ``runs/<sweep>``.
    token : str
        Of this start of the sweep.
    """

    def __init__(self, sweep: Path, token: str) -> None:
        self._path = work_folder(sweep) / "driver.json"
        self._token = token
        self._stopped = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "Pulse":
        self._tell(0)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.stop()

    def stop(self) -> None:
        """Tell all workers to stop their kernels and come to an end."""
        self._stopped.set()
        self._tell(-1)

    def _beat(self) -> None:
        beat = 0
        while not self._ended.wait(_BEAT):
            beat += 1
            self._tell(beat)

    def _tell(self, beat: int) -> None:
        stop = self._stopped.is_set()
        tell(self._path, token=self._token, beat=beat, stop=stop, **this_process())


def _is_here(now: dict[str, Any]) -> bool:
    here = now.get("host") == platform.node()
    return here and psutil.pid_exists(int(now.get("pid", 0)))


@contextlib.contextmanager
def listening(sweep: Path, token: str, stop: threading.Event) -> Iterator[None]:
    """Set `stop` when the sweep says so, is gone, or was started anew."""
    ended = threading.Event()
    path = work_folder(sweep) / "driver.json"

    def listen() -> None:
        # Only what changes is looked at, by this machine's own steady clock; and a network drive
        # may show for a while what an earlier start has written.
        last, since, ours, near = None, time.monotonic(), False, False
        while not ended.wait(_LOOK):
            now = heard(path)
            mine = now.get("token") == token
            if mine and now.get("beat") != last:
                last, since = now.get("beat"), time.monotonic()
            silent = time.monotonic() - since > _SILENCE
            another = ours and bool(now) and not mine
            # A process that was seen here and is no more need not be waited for.
            dead = near and mine and not _is_here(now)
            ours, near = ours or mine, near or (mine and _is_here(now))
            if another or silent or dead or (mine and now.get("stop")):
                stop.set()
                return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
