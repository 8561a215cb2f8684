"""How long the whole chain takes, and how much memory at its peak: under 3 minutes and 2.5 GB."""

import subprocess
import sys
import time
from pathlib import Path

import psutil

from recsys_lib.pipeline import Project

MINUTES, GIGABYTES = 3.0, 2.5


def resident(process):
    """Return the bytes that a process and its kernels hold; those that just ended count nothing."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def test_the_default_run_fits_a_laptop():
    root = Project.find(Path(__file__)).root
    command = [sys.executable, "-m", "recsys_lib", "run", "--force", "--name", "bench"]
    begun, peak = time.monotonic(), 0
    with subprocess.Popen(command, cwd=root) as running:
        process = psutil.Process(running.pid)
        while running.poll() is None:
            peak = max(peak, resident(process))
            time.sleep(0.1)
    seconds = time.monotonic() - begun
    print(f"\nwhole run: {seconds:.0f} s of {60 * MINUTES:.0f}, {peak / 1e9:.2f} GB of {GIGABYTES}")
    assert running.returncode == 0
    assert seconds < 60 * MINUTES
    assert peak < GIGABYTES * 1e9
