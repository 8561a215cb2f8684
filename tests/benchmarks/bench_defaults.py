"""Defaults beside the best of a few tries: how good is each model out of the box?

Each try is fitted on the training users and judged by ndcg@100 on validation users; the best one
and the defaults are then measured on test users. ``RECSYS_DATASETS`` names the folder of public
data; without it the default world alone is measured. By default the models that fit in seconds;
``RECSYS_LONG=1`` adds networks and the blend, which take hours. ::

    python tests/benchmarks/bench_defaults.py "ALS EASE" "ml1m sparse"     # some models and tables
"""

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from recsys_lib import models
from recsys_lib.dataset import Dataset, Fold, Split
from recsys_lib.evaluation import evaluate
from recsys_lib.models.base import Recommender
from recsys_lib.splitting import strong_generalization

BAR = 0.95
METRIC = "ndcg@100"
PUBLIC = ("ml100k", "ml1m", "citeulike")
TABLES = ("world", "world7", *PUBLIC, "gowalla", "sparse")

# What is tried besides the defaults: a list of settings, where a penalty is a multiple of what
# the data suggest. The networks: with an eye on what an hour allows.
SHARP = [{"sharpness": s, "l2": f} for s in (1.0, 2.0, 3.0, 4.0) for f in (0.25, 1.0, 4.0)]
QUICK = {
    "ItemKNN": [
        {"n_neighbors": n, "shrinkage": s, "activity_power": p}
        for n in (50, 200, 800)
        for s in (0.0, 10.0, 50.0)
        for p in (0.5, 1.0)
    ],
    "UserKNN": [
        {"n_neighbors": n, "shrinkage": s} for n in (50, 100, 200, 400) for s in (0.0, 10.0, 50.0)
    ],
    "PureSVD": [{"latent_dim": d} for d in (5, 8, 12, 16, 25, 35, 50, 100, 200, 400, 800, 1200)],
    "ALS": [
        {"latent_dim": d, "alpha": a, "l2": f}
        for d in (64, 256)
        for a in (0.3, 1.0)
        for f in (0.3, 1.0, 3.0)
    ],
    "EASE": [{"l2": f} for f in (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)],
    "EDLAE": [{"l2": f, "dropout": p} for f in (0.1, 0.3, 1.0, 3.0, 10.0) for p in (0.3, 0.5)],
    "SparseEASE": [
        {"l2": f, "activity_power": p} for f in (0.1, 0.3, 1.0, 3.0, 10.0) for p in (0.0, 0.5)
    ],
    "KernelAE": SHARP,
}
STOPPED = {"patience": 8}
LONG = {
    "ELSA": [
        {"latent_dim": d, "learning_rate": r, "epochs": 60} for d in (64, 256) for r in (3e-3, 1e-2)
    ],
    "MultDAE": [{"dropout": p, "targets": t} for p in (0.5, 0.7) for t in ("all", "hidden")],
    "MultVAE": [{"anneal_steps": s, "targets": t} for s in (2_000,) for t in ("all", "hidden")],
    "RecVAE": [{"targets": "hidden"}, {"gamma": 0.0035}],
    "VASP": [{"latent_dim": 64}, {"learning_rate": 2e-4}],
    "Blend": [{"rounds": 10}],
}
SCALED = ("l2", "alpha")


def datasets() -> Path | None:
    """Return the folder of public data, if there is one."""
    named = os.environ.get("RECSYS_DATASETS")
    return Path(named) if named else None


def table(name: str) -> Split:
    """Return a table of likes, split by users."""
    if name in ("world", "world7"):
        from recsys_lib.synthesis import make_world

        likes = make_world().dataset().likes(7.0 if name == "world7" else 4.0)
        return strong_generalization(
            likes, validation_users=0.1, test_users=0.1, min_interactions=2, seed=0
        )
    if name == "gowalla":
        return gowalla(datasets() / "gowalla" / "train.parquet")
    if name == "sparse":
        whole = public("citeulike")
        few = np.sort(np.random.default_rng(0).permutation(whole.train.shape[0])[:300])
        return replace(whole, train=whole.train[few], train_users=few)
    return public(name)


def public(name: str) -> Split:
    """Return a split of measurements.md."""
    folder = datasets() / "splits"
    os.environ["BENCH_DATA"] = str(folder)
    sys.path.insert(0, str(folder))
    import protocol

    found = protocol.Split(name)
    parts = {
        part: sparse.csr_array(getattr(found, part)).astype(np.float32)
        for part in ("train", "val_in", "val_out", "test_in", "test_out")
    }
    fold = {
        name: Fold(fold_in=parts[f"{name}_in"], targets=parts[f"{name}_out"])
        for name in ("val", "test")
    }
    users = np.arange(parts["train"].shape[0])
    return Split(train=parts["train"], validation=fold["val"], test=fold["test"], train_users=users)


def gowalla(path: Path) -> Split:
    """Return a table with about 12,000 places: a quarter of the people, places that five know."""
    import pandas as pd

    pairs = pd.read_parquet(path)
    people = np.random.default_rng(0).permutation(pairs["user"].unique())[:8_000]
    pairs = pairs[pairs["user"].isin(people)]
    pairs = pairs[pairs.groupby("item")["user"].transform("size") >= 5]
    return strong_generalization(
        Dataset.from_frame(pairs.assign(value=1.0), user="user", item="item", value="value"),
        validation_users=800,
        test_users=800,
        min_interactions=5,
        seed=0,
    )


def tried(name: str, train: sparse.csr_array) -> list[Recommender]:
    """Return the default model and the tries beside it."""
    kind = getattr(models, name)
    suited = kind().suited_to(train).config()
    found = [kind()]
    for settings in (QUICK | LONG)[name]:
        scaled = {
            key: value * suited[key]
            if key in SCALED and isinstance(suited.get(key), float)
            else value
            for key, value in settings.items()
        }
        found.append(kind(**scaled))
    return found


def compare(name: str, data: str, split: Split) -> None:
    """Print the test ndcg of the defaults and of the try that validation users prefer."""
    default = best = None
    tries = tried(name, split.train)
    for number, model in enumerate(tries):
        started = time.perf_counter()
        model.fit(split.train, validation=split.validation)
        seconds = time.perf_counter() - started
        value = evaluate(model, split.validation, [METRIC])[METRIC]
        if os.environ.get("RECSYS_TRIES"):
            print(f"    {value:.4f} {seconds:6.1f} s {model}", flush=True)
        if number == 0:
            default = best = (value, seconds, model)
        elif value > best[0]:
            best = (value, seconds, model)
    values = [evaluate(model, split.test, [METRIC])[METRIC] for _, _, model in (default, best)]
    ratio = values[0] / values[1]
    print(
        f"{name:10} {data:9} default {values[0]:.4f}, best of {len(tries)} {values[1]:.4f}, "
        f"ratio {ratio:.3f}{'' if ratio >= BAR else ' MISS'}, "
        f"{default[1]:.1f} s, chosen {best[2]}",
        flush=True,
    )


def main(names: list[str], tables: list[str]) -> None:
    """Print a line for each model and table."""
    for data in tables:
        split = table(data)
        floor = models.Popularity().fit(split.train)
        value = evaluate(floor, split.test, [METRIC])[METRIC]
        users = split.train.nnz / split.train.shape[1]
        print(f"\n{data}: {split.train.shape}, {users:.1f} users an item, popularity {value:.4f}")
        for name in names:
            compare(name, data, split)


@pytest.mark.parametrize("data", TABLES)
def test_defaults(data: str) -> None:
    if not data.startswith("world") and datasets() is None:
        pytest.skip("RECSYS_DATASETS must name the folder of public data")
    main([*QUICK, *(LONG if os.environ.get("RECSYS_LONG") else ())], [data])


if __name__ == "__main__":
    main(sys.argv[1].split(), sys.argv[2].split())
