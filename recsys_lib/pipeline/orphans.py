"""What a killed run leaves outside its folder: its kernel, and the sockets that they spoke over."""

import ctypes
import hashlib
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

__all__ = ["RUNNER", "end_with_runner", "socket_folder"]

#: Environment variable of a kernel: the process that runs the notebook.
RUNNER = "RECSYS_RUNNER"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_runner() -> None:
    """Have this kernel killed when its runner dies, or end at once where it is dead already.

    As an orphan it would write beside its successor. Does nothing in a process that no runner has
    started, and none of its children. Elsewhere than on Linux the kernel looks for its parent
    itself, once a second.
    """
    runner = int(os.environ.get(RUNNER, 0))
    if not runner:
        return
    if os.getppid() == runner and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if not psutil.pid_exists(runner):
        os._exit(1)


@contextmanager
def socket_folder() -> Iterator[str]:
    """Yield a private folder for the sockets of a kernel; those of runs that died are removed."""
    begin = f"recsys-{_here()}-"
    for folder in Path(tempfile.gettempdir()).glob(f"{begin}*"):
        runner = folder.name.removeprefix(begin).partition("-")[0]
        if runner.isdecimal() and not psutil.pid_exists(int(runner)):
            shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        prefix=f"{begin}{os.getpid()}-", ignore_cleanup_errors=True
    ) as folder_name:
        yield folder_name


def _here() -> str:
    """Return where numbers of processes mean these processes: containers may share a folder."""
    try:
        space = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # another system than Linux
        space = 0
    return hashlib.sha256(f"{platform.node()} {space}".encode()).hexdigest()[:6]
