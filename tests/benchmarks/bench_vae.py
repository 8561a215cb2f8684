"""Mult-VAE and RecVAE beside the plain PyTorch loop of the same network: seconds as ratios.

    python tests/benchmarks/bench_vae.py [--torch PYTHON] [--epochs 3] [--to-best 120]

PYTHON is an interpreter with PyTorch, NumPy and SciPy (``pip install torch`` in an environment of
its own). Both sides run on 2 threads and take turns, epoch by epoch, so that a busy machine slows
both. `RECSYS_DATASETS` names the folder that holds ``ml-1m/pairs.parquet``; without it only the
large random matrix is measured. With ``--to-best N`` both sides train for N epochs, and the time in
which ours passes the best nDCG@100 of PyTorch is printed too.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy import sparse

HERE = Path(__file__).parent
MULT_VAE = {"hidden_dims": (600,), "latent_dim": 200, "anneal_steps": 6375}
REC_VAE = {"gamma": 0.0035}
# What the tuned model takes to the peer's best; the network is the same.
QUICK = {**MULT_VAE, "batch_size": 250}


class Side:
    """One process that makes an epoch whenever it is asked to, and says how long it took."""

    def __init__(self, command):
        environment = {**os.environ, "OMP_NUM_THREADS": "2"}
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._read()

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("a side of the benchmark has died; its error is above")
        return line

    def ask(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self._read()

    def epoch(self):
        return float(self.ask("epoch"))

    def scores(self, path):
        self.ask(f"scores {path}")
        return np.load(path)

    def close(self):
        self.process.kill()
        self.process.wait()


def write_parts(path, train, fold_in):
    arrays = {"n_items": np.int64(train.shape[1])}
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


def interleave(ours, theirs, n_epochs):
    """Medians of both sides over `n_epochs` epochs each, after one to warm up."""
    seconds = [(ours.epoch(), theirs.epoch()) for _ in range(n_epochs + 1)][1:]
    return tuple(np.median(seconds, axis=0))


def compare(label, bar, name, settings, parts, options):
    ours = Side([sys.executable, __file__, "--worker", name, parts, repr(settings)])
    theirs = Side([options.torch, HERE / "torch_loops.py", name, parts])
    try:
        mine, other = interleave(ours, theirs, options.epochs)
    finally:
        ours.close()
        theirs.close()
    print(f"{label}: {mine:.2f} s against {other:.2f} s, ratio {mine / other:.2f} (bar {bar})")
    return mine, other


def to_best(validation, parts, n_epochs, options, folder):
    """Epochs in which ours passes the peer's best, and how long each takes in turns."""
    from recsys_lib.models.neural import mean_ndcg

    def curve(side):
        values = []
        for _ in range(n_epochs):
            side.epoch()
            scores = side.scores(Path(folder) / "scores.npy")
            values.append(mean_ndcg(lambda _, s=scores: s, validation, batch_size=10**6))
        return np.array(values)

    theirs = Side([options.torch, HERE / "torch_loops.py", "mult_vae", parts])
    other = curve(theirs)
    theirs.close()
    ours = Side([sys.executable, __file__, "--worker", "mult_vae", parts, repr(QUICK)])
    mine = curve(ours)
    ours.close()
    needed = int(np.argmax(mine >= other.max())) + 1 if mine.max() >= other.max() else None
    return other.max(), int(other.argmax()) + 1, needed, mine.max()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", default=sys.executable)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--to-best", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.npz"
        rows = random_rows()
        write_parts(large, rows, rows[:10])
        compare("Mult-VAE, 10 steps of 500 x 20,000", 0.6, "mult_vae", MULT_VAE, large, options)
        data = os.environ.get("RECSYS_DATASETS")
        if not data:
            print("ML-1M: not measured, RECSYS_DATASETS is not set")
            return
        split = movielens(data)
        parts = Path(folder) / "ml1m.npz"
        write_parts(parts, split.train, split.validation.fold_in)
        compare("Mult-VAE, epoch of ML-1M", 1.0, "mult_vae", MULT_VAE, parts, options)
        compare("RecVAE, outer epoch of ML-1M", 0.6, "rec_vae", REC_VAE, parts, options)
        if options.to_best:
            quick, plain = compare("our quick setting", "-", "mult_vae", QUICK, parts, options)
            best, at, needed, reached = to_best(
                split.validation, parts, options.to_best, options, folder
            )
            print(f"PyTorch's best nDCG@100 (validation): {best:.4f} in epoch {at}")
            if needed is None:
                print(f"ours stays below: {reached:.4f}")
                return
            ratio = needed * quick / (at * plain)
            print(f"ours passes it in epoch {needed}: ratio of the times {ratio:.2f} (bar 0.5)")


def work(name, path, settings):
    """Our side: the same protocol as `torch_loops.py`."""
    import ast

    from recsys_lib.models import MultVAE, RecVAE

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
        main()
