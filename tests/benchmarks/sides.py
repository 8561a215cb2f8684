"""Sides of a comparison: processes that make an epoch in turn, so that a busy machine slows all."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
TORCH = "RECSYS_TORCH must name a Python with PyTorch, NumPy and SciPy to measure its loop too"


class Side:
    """A process that makes an epoch when it is asked to, and says how long it took."""

    def __init__(self, *command: object) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "2"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([str(part) for part in command], env=environment, **pipes)
        self._read()

    def _read(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("a side of the benchmark has died; its error is above")
        return line

    def ask(self, line: str) -> str:
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self._read()

    def epoch(self) -> float:
        return float(self.ask("epoch"))

    def scores(self, path: Path) -> np.ndarray:
        self.ask(f"scores {path}")
        return np.load(path)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def compare(
    label: str, commands: dict[str, tuple[object, ...]], *, epochs: int, in_a_row: int = 1
) -> dict:
    """Print the median seconds of an epoch of each side, and ours as a ratio; return them.

    Short epochs are made several in a row: threads of the side before spin on for a while.
    """
    if os.environ.get("RECSYS_TORCH") is None:
        commands = {name: one for name, one in commands.items() if "PyTorch" not in name}
        print(f"\n{TORCH}.", end="")
    sides = {name: Side(*command) for name, command in commands.items()}
    try:
        rounds = [
            [np.median([side.epoch() for _ in range(in_a_row)]) for side in sides.values()]
            for _ in range(epochs + 1)
        ][1:]
    finally:
        for side in sides.values():
            side.close()
    medians = dict(zip(sides, np.median(rounds, axis=0), strict=True))
    ours = medians["ours"]
    others = [f"{s:.3f} s in {n}, ratio {ours / s:.2f}" for n, s in medians.items() if n != "ours"]
    print(f"\n{label}: {ours:.3f} s; {'; '.join(others)}")
    return medians


def python_of(name: str) -> str:
    """Return the Python that runs a side."""
    return os.environ.get("RECSYS_TORCH", "") if name == "PyTorch" else sys.executable
