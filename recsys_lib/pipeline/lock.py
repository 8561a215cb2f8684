"""A lock on the folder of a run."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from recsys_lib._system import lock_file
from recsys_lib.errors import ConfigError


class RunBusyError(ConfigError):
    """Another process is using the folder of a run."""


@contextlib.contextmanager
def locked(folder: Path, name: str | None = None) -> Iterator[None]:
    """Lock the folder of a run.

    The operating system releases the lock when the process ends, however it ends, so no stale
    lock is left behind.

    Parameters
    ----------
    folder : Path
        Created if it is missing.
    name : str, optional
        Of the run; the folder's name by default.

    Raises
    ------
    RunBusyError
        If another process holds it; the message names it.
    ConfigError
        If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"The folder of the run must be writable; {folder}: {error.strerror}. "
            "Change its permissions, or choose another name with --name."
        ) from error
    with handle:
        if not lock_file(handle):
            raise RunBusyError(
                f"Only one run named {name or folder.name!r} may be active at a time; "
                f"{_holder(handle.name)} is running it. Wait for it to end, or choose another "
                "name with --name."
            )
        # Only for the message above: the lock itself is the open file.
        holder = {"pid": os.getpid(), "since": time.strftime("%H:%M:%S")}
        with contextlib.suppress(OSError):
            handle.truncate(0)
            handle.write(f" {json.dumps(holder)}")
            handle.flush()
        yield


def _holder(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            file.seek(1)  # on Windows, only the holder can read the first byte
            holder = json.loads(file.read())
        return f"process {holder['pid']}, since {holder['since']},"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
