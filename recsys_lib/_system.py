"""Where operating systems differ: cores, memory, locks on files, renames."""

import contextlib
import os
import platform
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import psutil

_CGROUP = Path("/sys/fs/cgroup")
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.M)
# Seconds between attempts to rename on Windows, where a reader keeps a file in its place.
_PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
# What numerical libraries take their number of threads from.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)


def cores() -> int:
    """Return how many cores this process may use: affinity and container limits count.

    Examples
    --------
    >>> cores() >= 1
    True
    """
    import joblib  # 0.2 s to import, which most processes need not spend

    return int(joblib.cpu_count())


def limited_threads(workers: int, threads: int | None = None) -> dict[str, str]:
    """Return variables for one of several workers: its threads; what the user has set stands.

    Parameters
    ----------
    workers : int
        Processes that share the cores.
    threads : int, optional
        Of each; an equal share of the cores by default.
    """
    threads = threads or max(cores() // workers, 1)
    return {name: os.environ.get(name, str(threads)) for name in _THREADS}


def available_memory(cgroup: Path = _CGROUP) -> int:
    """Return how many bytes this process may still allocate: machine and container limit.

    Parameters
    ----------
    cgroup : Path
        Folder of the control group; other systems than Linux have none.
    """
    free = int(psutil.virtual_memory().available)
    # psutil reads the machine; inside a container the control group is what kills the process.
    with contextlib.suppress(OSError, ValueError):  # "max" is no number: no limit
        limit = int((cgroup / "memory.max").read_text(encoding="utf-8"))
        used = int((cgroup / "memory.current").read_text(encoding="utf-8"))
        facts = (cgroup / "memory.stat").read_text(encoding="utf-8")
        cache = re.search(r"^inactive_file (\d+)", facts, re.M)
        free = min(free, limit - used + int(cache[1] if cache else 0))
    return free


def peak_memory(pid: int) -> int:
    """Return the bytes that a process and its children have taken, 0 if it has ended.

    Each counts with its peak on Linux and Windows. macOS does not tell it, so that there it is
    what they take now: ask repeatedly.
    """
    try:
        process = psutil.Process(pid)
        return sum(_peak_of(one) for one in (process, *process.children(recursive=True)))
    except psutil.Error:
        return 0


def _peak_of(process: psutil.Process) -> int:
    try:
        memory = process.memory_info()
    except psutil.Error:  # a child that has just ended
        return 0
    with contextlib.suppress(OSError, TypeError):
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        return 1024 * int(_PEAK.search(status)[1])  # type: ignore[index]
    return int(getattr(memory, "peak_wset", memory.rss))


def this_process() -> dict[str, Any]:
    """Return what tells this process from all others, as plain data."""
    return {"host": platform.node(), "pid": os.getpid(), "born": psutil.Process().create_time()}


def has_ended(process: Mapping[str, Any]) -> bool:
    """Whether a process that was told by `this_process` is gone; elsewhere nobody can know."""
    if process.get("host") != platform.node():
        return False
    try:
        born = psutil.Process(process["pid"]).create_time()
    except psutil.NoSuchProcess:
        return True
    return bool(abs(born - process.get("born", born)) > 1)  # its number may be another's by now


def lock_file(handle: IO[Any]) -> bool:
    """Lock an open file and return whether that worked; another holder is not waited for.

    The lock lasts until the file is closed. The operating system closes it when the process ends,
    however it ends, so no stale lock is left behind.

    Raises
    ------
    OSError
        If the file system has no locks.

    Notes
    -----
    On Windows nobody else can read the first byte of a locked file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as first, open(first.name) as second:
    ...     lock_file(first), lock_file(second)
    (True, False)
    """
    from filelock import lock_descriptor

    return lock_descriptor(handle.fileno(), blocking=False)


def move(source: Path, target: Path) -> None:
    """Rename `source` to `target`, replacing a file that is there.

    On Windows a file cannot be replaced, nor a folder renamed, while anybody has it open; readers
    and virus scanners are given a second.
    """
    for pause in _PAUSES if sys.platform == "win32" else ():
        try:
            source.replace(target)
            return
        except PermissionError:
            time.sleep(pause)
    source.replace(target)
