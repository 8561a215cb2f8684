"""Wall time of a sweep against the number of workers: four settings of EPOCHS, default world.

What limits it: notebooks 01 and 02 are common, so nothing runs beside them; a notebook alone uses
more than one core here and there (linear algebra, TensorFlow), so two workers on two cores do not
halve the rest. ``RECSYS_BENCH_WORKERS=1,2,4`` measures other numbers.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from recsys_lib.pipeline import Project

# No other run has this seed, so nothing is taken over.
GRID = "SEED: 20261127\nEPOCHS: [10, 20, 30, 40]\nonly: 01-04\n"
WORKERS = [int(one) for one in os.environ.get("RECSYS_BENCH_WORKERS", "1,2").split(",")]
NAME = "bench-sweep"


@pytest.fixture(scope="module")
def root():
    return Project.find(Path(__file__)).root


def resident(process):
    """Return the bytes that a sweep, its workers and their kernels hold."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def measured(root, grid, *options):
    """Return seconds, bytes at the peak and what ``sweep.json`` says of the settings."""
    command = [sys.executable, "-m", "recsys_lib", "sweep", "-f", str(grid), "--name", NAME]
    begun, peak = time.monotonic(), 0
    with subprocess.Popen([*command, *options], cwd=root) as running:
        process = psutil.Process(running.pid)
        while running.poll() is None:
            peak = max(peak, resident(process))
            time.sleep(0.2)
    seconds = time.monotonic() - begun
    assert running.returncode == 0
    told = json.loads((root / "runs" / NAME / "sweep.json").read_text())
    return seconds, peak, told["settings"].values()


def test_more_workers_take_less_time(root, tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text(GRID)
    found = {}
    for workers in WORKERS:
        shutil.rmtree(root / "runs" / NAME, ignore_errors=True)
        seconds, peak, settings = measured(root, grid, "--workers", str(workers))
        ran = sum(one["ran"] for one in settings)
        found[workers] = seconds
        print(
            f"\n{workers} workers: {seconds:.0f} s, {peak / 1e9:.2f} GB together, {ran} of "
            f"{4 * len(settings)} notebooks run, largest kernel "
            f"{max(one['peak_memory'] for one in settings) / 1e9:.2f} GB; "
            f"{found[WORKERS[0]] / seconds:.2f} times as fast as {WORKERS[0]}; load "
            f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        )
        # 01 and 02 once, 03 and 04 for each setting.
        assert ran == 2 + 2 * len(settings)
    seconds, _, settings = measured(root, grid)
    print(f"all of it again, unchanged: {seconds:.0f} s")
    assert sum(one["ran"] for one in settings) == 0
    if len(WORKERS) > 1 and (os.cpu_count() or 1) > 1:
        assert found[WORKERS[1]] < found[WORKERS[0]]
