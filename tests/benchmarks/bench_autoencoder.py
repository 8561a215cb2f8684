"""The default Autoencoder beside plain loops of the same sizes: seconds as ratios.

The loops are PyTorch's, and `keras.Model.fit`. PyTorch is no dependency of the project;
``RECSYS_TORCH`` names a Python that has it::

    python -m venv /path/to/torch && /path/to/torch/bin/pip install torch==2.13.0 numpy scipy
    RECSYS_TORCH=/path/to/torch/bin/python make bench

All sides run on 2 threads and take turns, nine epochs each, so that a busy machine slows all. Ours
does more in an epoch than the loops: it hides, drops and averages, and it measures the
reconstruction error of 2,000 users afterwards.
"""

import sys
import time

import numpy as np
import pytest
from scipy import sparse
from sides import HERE, compare, python_of

N_USERS, N_ITEMS, N_EPOCHS = 5_000, 252, 9


def ratings() -> sparse.csr_array:
    """5,000 rows of about 25 ratings of 1 to 10, long-tailed over 252 items."""
    rng = np.random.default_rng(0)
    counts = np.clip(rng.lognormal(3.1, 0.5, N_USERS), 2, N_ITEMS).astype(int)
    keys = rng.gumbel(size=(N_USERS, N_ITEMS)) - 0.9 * np.log(np.arange(1, N_ITEMS + 1))
    places = np.argsort(np.argsort(-keys, axis=1), axis=1)
    values = rng.integers(1, 11, (N_USERS, N_ITEMS))
    return sparse.csr_array((values * (places < counts[:, None])).astype(np.float32))


@pytest.fixture(scope="module")
def matrix() -> sparse.csr_array:
    return ratings()


def test_an_epoch_beside_the_plain_loops(matrix, tmp_path) -> None:
    path = tmp_path / "ratings.npz"
    parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
    np.savez(path, n_items=N_ITEMS, **parts)
    commands = {
        "ours": (sys.executable, __file__, path),
        "keras.Model.fit": (sys.executable, HERE / "keras_fit.py", "autoencoder", path),
        "PyTorch": (python_of("PyTorch"), HERE / "torch_autoencoder.py", path),
    }
    label = f"Autoencoder, epoch of {N_USERS} x {N_ITEMS}"
    compare(label, commands, epochs=N_EPOCHS, in_a_row=N_EPOCHS)


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
