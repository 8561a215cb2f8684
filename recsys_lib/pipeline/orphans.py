"""A kernel ends with the run that started it: as an orphan it would write beside its successor."""

import ctypes
import os
import signal
import sys

import psutil

__all__ = ["RUNNER", "end_with_runner"]

#: Environment variable of a kernel: the process that runs the notebook.
RUNNER = "RECSYS_RUNNER"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_runner() -> None:
    """Have this kernel killed when its runner dies, or end at once where it is dead already.

    Does nothing in a process that no runner has started, and none of its children. Elsewhere than
    on Linux the kernel looks for its parent itself, once a second.
    """
    runner = int(os.environ.get(RUNNER, 0))
    if not runner:
        return
    if os.getppid() == runner and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if not psutil.pid_exists(runner):
        os._exit(1)
