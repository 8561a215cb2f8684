"""The default Autoencoder beside the plain PyTorch loop of the same sizes: seconds as ratios.

PyTorch is no dependency of the project. ``RECSYS_TORCH`` names a Python that has it::

    python -m venv /path/to/torch && /path/to/torch/bin/pip install torch==2.13.0 numpy
    RECSYS_TORCH=/path/to/torch/bin/python make bench

Both sides run on 2 threads and take turns, epoch by epoch, so that a busy machine slows both. Ours
does more in an epoch than the loop: it hides, drops and averages, and it measures the
reconstruction error of 2,000 users afterwards.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

HERE = Path(__file__).parent
N_USERS, N_ITEMS, N_EPOCHS = 5_000, 252, 15


def ratings() -> sparse.csr_array:
    """5,000 rows of about 25 ratings of 1 to 10, long-tailed over 252 items."""
    rng = np.random.default_rng(0)
    counts = np.clip(rng.lognormal(3.1, 0.5, N_USERS), 2, N_ITEMS).astype(int)
    keys = rng.gumbel(size=(N_USERS, N_ITEMS)) - 0.9 * np.log(np.arange(1, N_ITEMS + 1))
    places = np.argsort(np.argsort(-keys, axis=1), axis=1)
    values = rng.integers(1, 11, (N_USERS, N_ITEMS))
    return sparse.csr_array((values * (places < counts[:, None])).astype(np.float32))


class Side:
    """A process that makes an epoch when it is asked to, and says how long it took."""

    def __init__(self, *command: object) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "2"}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([str(part) for part in command], env=environment, **pipes)
        self.answer()

    def answer(self) -> str:
        line = self.process.stdout.readline()
        assert line, "a side of the benchmark has died; its error is above"
        return line

    def epoch(self) -> float:
        self.process.stdin.write("epoch\n")
        self.process.stdin.flush()
        return float(self.answer())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def matrix() -> sparse.csr_array:
    return ratings()


def test_an_epoch_takes_no_longer_than_the_plain_loop_in_pytorch(matrix, tmp_path) -> None:
    torch = os.environ.get("RECSYS_TORCH")
    if not torch:
        pytest.skip("RECSYS_TORCH must name a Python with torch and numpy; see this file's top")
    path = tmp_path / "ratings.npz"
    np.savez(path, data=matrix.data, indices=matrix.indices, indptr=matrix.indptr)
    ours = Side(sys.executable, __file__, path)
    theirs = Side(torch, HERE / "torch_autoencoder.py", path)
    try:
        ours.epoch(), theirs.epoch()
        seconds = np.array([(ours.epoch(), theirs.epoch()) for _ in range(N_EPOCHS)])
    finally:
        ours.close()
        theirs.close()
    mine, other = np.median(seconds, axis=0)
    least, least_other = seconds.min(axis=0)
    print(
        f"\nAutoencoder, epoch of {N_USERS} x {N_ITEMS}: {mine:.3f} s against {other:.3f} s in "
        f"PyTorch, ratio {mine / other:.2f}; fastest {least:.3f} s and {least_other:.3f} s, "
        f"ratio {least / least_other:.2f} (bar 1.0)"
    )
    assert mine <= other


def test_ten_items_for_every_user_take_less_than_a_twentieth_of_a_second(matrix) -> None:
    from recsys_lib.models import Autoencoder

    model = Autoencoder(epochs=2).fit(matrix)
    seconds = []
    for _ in range(7):
        started = time.perf_counter()
        model.recommend(matrix, k=10)
        seconds.append(time.perf_counter() - started)
    print(f"\nAutoencoder, top 10 of {N_USERS} users: {min(seconds):.3f} s (bar 0.05)")


def test_a_whole_default_fit_takes_a_few_seconds(matrix) -> None:
    from recsys_lib.models import Autoencoder

    started = time.perf_counter()
    model = Autoencoder().fit(matrix)
    whole = time.perf_counter() - started
    first = model.history_["seconds"][0]
    print(f"\nAutoencoder, 50 epochs: {whole:.1f} s, of which the first epoch {first:.1f} s")


def work(path: str) -> None:
    """Our side of the comparison."""
    from recsys_lib.models import Autoencoder

    parts = np.load(path)
    arrays = (parts["data"], parts["indices"], parts["indptr"])
    x = sparse.csr_array(arrays, shape=(N_USERS, N_ITEMS))
    model = Autoencoder()
    trainer = model._begin(x)

    def report(record: dict[str, float]) -> None:
        print(record["seconds"], flush=True)
        sys.stdin.readline()

    print("ready", flush=True)
    sys.stdin.readline()
    trainer.fit(model._rows(x), epochs=10**6, monitor=model._monitor(x, None), on_epoch=report)


if __name__ == "__main__":
    work(sys.argv[1])
