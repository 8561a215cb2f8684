"""Several processes, on one machine or more, that train as one; on JAX.

Run as a program, it starts them on this machine and sees to it that all end together::

    python -m recsys_lib.training.processes 2 train.py --arguments --of the program

Each runs the same program on the same data and computes with its part of the columns of the large
weights. They know of one another by the variables of `keras.distribution.initialize`, which a
scheduler can set just as well: KERAS_DISTRIBUTION_JOB_ADDRESSES, KERAS_DISTRIBUTION_NUM_PROCESSES
and KERAS_DISTRIBUTION_PROCESS_ID.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

_VARIABLE = "KERAS_DISTRIBUTION_"
_AGAIN = "Run it again: a fit with `checkpoint` goes on after its last epoch"


def n_processes() -> int:
    """Return how many processes train as one."""
    return int(os.environ.get(f"{_VARIABLE}NUM_PROCESSES", 1))


def is_first() -> bool:
    """Return whether this process is the one that writes."""
    return int(os.environ.get(f"{_VARIABLE}PROCESS_ID", 0)) == 0


def lost(error: Exception) -> str:
    """Return what to say where another process cannot be reached any more."""
    reason = str(error).splitlines()[0][:150]
    return f"All {n_processes()} processes of a job must live until its end; {reason}. {_AGAIN}."


def start(n: int, command: Sequence[str]) -> str | None:
    """Run a Python program `n` times, as one job on this machine; return what went wrong."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    job = {"JOB_ADDRESSES": address, "NUM_PROCESSES": str(n)}
    processes = []
    try:
        for place in range(n):
            own = {f"{_VARIABLE}{k}": v for k, v in {**job, "PROCESS_ID": str(place)}.items()}
            environment = {"KERAS_BACKEND": "jax", **os.environ, **own}
            # One of them reports; errors are shown of all.
            output = None if place == 0 else subprocess.DEVNULL
            program = [sys.executable, *command]
            processes.append(subprocess.Popen(program, env=environment, stdout=output))
        return _watch(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _watch(processes: Sequence["subprocess.Popen[bytes]"]) -> str | None:
    """Wait until all have ended, or one has failed; return which, and how."""
    codes: list[int | None] = [None]
    while None in codes:
        time.sleep(0.1)
        codes = [process.poll() for process in processes]
        if any(codes):
            # A signal is the cause, the errors of the others are what follows from it.
            code, place = min((code, place) for place, code in enumerate(codes) if code)
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            return f"Process {place + 1} of {len(codes)} ended with {how}, and the job with it."
    return None


if __name__ == "__main__":
    if len(sys.argv) < 3 or not sys.argv[1].isdigit():
        raise SystemExit("usage: python -m recsys_lib.training.processes N PROGRAM [ARGUMENT ...]")
    if problem := start(int(sys.argv[1]), sys.argv[2:]):
        raise SystemExit(f"{problem} {_AGAIN}.")
