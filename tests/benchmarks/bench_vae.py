"""Mult-VAE and RecVAE beside plain loops of the same network: seconds as ratios.

The loops are PyTorch's (``RECSYS_TORCH`` names a Python that has it, see `bench_autoencoder.py`)
and, of Mult-VAE, `keras.Model.fit`. All sides run on 2 threads and take turns, epoch by epoch, so
that a busy machine slows all. `RECSYS_DATASETS` names the folder that holds
``ml-1m/pairs.parquet``; without it only the large random matrix is measured. Both sides trained to
their best::

    python tests/benchmarks/bench_vae.py --to-best 120
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from sides import HERE, Side, python_of
from sides import compare as compare_sides

MULT_VAE = {"hidden_dims": (600,), "latent_dim": 200, "anneal_steps": 6375}
REC_VAE = {"gamma": 0.0035}
# What the tuned model takes to the peer's best; the network is the same.
QUICK = {**MULT_VAE, "batch_size": 250}


def write_parts(path, train, fold_in):
    arrays = {"n_items": np.int64(train.shape[1])}
    arrays |= {"data": train.data, "indices": train.indices, "indptr": train.indptr}
    for name, part in (("train", train), ("fold_in", fold_in)):
        arrays |= {f"{name}_indptr": part.indptr, f"{name}_indices": part.indices}
    np.savez(path, **arrays)


def movielens(folder):
    """The split of Liang et al. 2018 of ML-1M, all pairs."""
    import pandas as pd

    from recsys_lib import Dataset, strong_generalization

    pairs = pd.read_parquet(Path(folder) / "ml-1m" / "pairs.parquet")
    dataset = Dataset.from_frame(pairs, user="userID", item="movieID", value=None)
    return strong_generalization(dataset, validation_users=600, test_users=600, seeding="liang2018")


def random_rows(n_users=5000, n_items=20_000, per_user=70):
    """Rows of a long-tailed catalog: ten steps of the 50,000 x 20,000 matrix of the peers."""
    rng = np.random.default_rng(0)
    weights = 1.0 / np.arange(10, n_items + 10)
    items = rng.choice(n_items, size=(n_users, 2 * per_user), p=weights / weights.sum())
    rows = [np.unique(row)[:per_user] for row in items]
    indptr = np.cumsum([0, *(len(row) for row in rows)])
    data = np.ones(indptr[-1], dtype=np.float32)
    return sparse.csr_array((data, np.concatenate(rows), indptr), shape=(n_users, n_items))


def ours(name, settings, parts, precision="float32"):
    return (sys.executable, __file__, "--worker", name, parts, repr(settings), precision)


def compare(label, name, settings, parts, *, epochs=3):
    """Print the seconds of an epoch of each side; return ours and PyTorch's."""
    commands = {"ours": ours(name, settings, parts)}
    if name == "mult_vae":
        commands["keras.Model.fit"] = (sys.executable, HERE / "keras_fit.py", name, parts)
    commands["PyTorch"] = (python_of("PyTorch"), HERE / "torch_loops.py", name, parts)
    commands["PyTorch, bfloat16"] = (*commands["PyTorch"], "bfloat16")
    commands["ours, bfloat16"] = ours(name, settings, parts, "mixed_bfloat16")
    return compare_sides(label, commands, epochs=epochs)


def test_an_epoch_on_twenty_thousand_items(tmp_path) -> None:
    rows = random_rows()
    write_parts(tmp_path / "large.npz", rows, rows[:10])
    compare("Mult-VAE, 10 steps of 500 x 20,000", "mult_vae", MULT_VAE, tmp_path / "large.npz")


@pytest.mark.skipif("RECSYS_DATASETS" not in os.environ, reason="RECSYS_DATASETS is not set")
def test_an_epoch_of_movielens(tmp_path) -> None:
    split = movielens(os.environ["RECSYS_DATASETS"])
    parts = tmp_path / "ml1m.npz"
    write_parts(parts, split.train, split.validation.fold_in)
    compare("Mult-VAE, epoch of ML-1M", "mult_vae", MULT_VAE, parts)
    compare("RecVAE, outer epoch of ML-1M", "rec_vae", REC_VAE, parts)


def to_best(validation, parts, n_epochs, folder):
    """Epochs in which ours passes the peer's best, and how long each takes in turns."""
    from recsys_lib.models.neural import mean_ndcg

    def curve(side):
        values = []
        for _ in range(n_epochs):
            side.epoch()
            scores = side.scores(Path(folder) / "scores.npy")
            values.append(mean_ndcg(lambda _, s=scores: s, validation, batch_size=10**6))
        return np.array(values)

    theirs = Side(python_of("PyTorch"), HERE / "torch_loops.py", "mult_vae", parts)
    other = curve(theirs)
    theirs.close()
    quick = Side(*ours("mult_vae", QUICK, parts))
    mine = curve(quick)
    quick.close()
    needed = int(np.argmax(mine >= other.max())) + 1 if mine.max() >= other.max() else None
    return other.max(), int(other.argmax()) + 1, needed, mine.max()


def main(n_epochs):
    with tempfile.TemporaryDirectory() as folder:
        split, parts = movielens(os.environ["RECSYS_DATASETS"]), Path(folder) / "ml1m.npz"
        write_parts(parts, split.train, split.validation.fold_in)
        taken = compare("Mult-VAE, our quick setting", "mult_vae", QUICK, parts)
        best, at, needed, reached = to_best(split.validation, parts, n_epochs, folder)
    print(f"PyTorch's best nDCG@100 (validation): {best:.4f} in epoch {at}")
    if needed is None:
        print(f"ours stays below: {reached:.4f}")
        return
    ratio = needed * taken["ours"] / (at * taken["PyTorch"])
    print(f"ours passes it in epoch {needed}: ratio of the times {ratio:.2f}")


def work(name, path, settings, precision):
    """Our side: the same protocol as `torch_loops.py`."""
    import ast

    from recsys_lib.models import MultVAE, RecVAE
    from recsys_lib.training import configure

    configure("cpu", precision=precision)

    parts = np.load(path)

    def matrix(part):
        indices, indptr = parts[f"{part}_indices"], parts[f"{part}_indptr"]
        ones = np.ones(len(indices), dtype=np.float32)
        return sparse.csr_array(
            (ones, indices, indptr), shape=(len(indptr) - 1, int(parts["n_items"]))
        )

    train = matrix("train")
    model = {"mult_vae": MultVAE, "rec_vae": RecVAE}[name](**ast.literal_eval(settings))
    trainer = model._begin(train)

    def wait():
        for line in sys.stdin:
            if not line.startswith("scores"):
                return
            np.save(line.split(maxsplit=1)[1].strip(), model._score(matrix("fold_in")))
            print("done", flush=True)
        raise SystemExit

    def report(record):
        print(record["seconds"], flush=True)
        wait()

    print("ready", flush=True)
    wait()
    trainer.fit(model._rows(train), epochs=10**6, on_epoch=report)


if __name__ == "__main__":
    if "--worker" in sys.argv:
        work(*sys.argv[2:])
    else:
        main(int(sys.argv[sys.argv.index("--to-best") + 1]))
