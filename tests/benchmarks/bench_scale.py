"""What a larger catalog costs, in seconds and gigabytes, and what SparseEASE ranks like.

Each cost is measured in a process of its own, whose peak memory is its own. RECSYS_DATASETS names
the folder of real data; RECSYS_BENCH_SCALE=1 adds the long ones: a million users and items.

The metrics of Gowalla are those of its leaderboard (BARS, LightGCN): recall@20 divides by the
number of targets, ndcg@20 by the ideal of min(20, targets); the split is LightGCN's.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from recsys_lib.dataset import Fold

DATA = Path(os.environ.get("RECSYS_DATASETS", "nowhere"))
LONG = pytest.mark.skipif(not os.environ.get("RECSYS_BENCH_SCALE"), reason="RECSYS_BENCH_SCALE")
REAL = pytest.mark.skipif(not DATA.exists(), reason="RECSYS_DATASETS names no folder")

MEASURED = """
import json, re, sys, time
import numpy as np
from pathlib import Path
sys.path.insert(0, {here!r})
from bench_scale import *
from recsys_lib.models import *
from recsys_lib.evaluation import evaluate
from recsys_lib.synthesis import make_shop
def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1e6
{prepare}
start, begun = peak(), time.perf_counter()
{work}
taken = dict(seconds=time.perf_counter() - begun, gb=peak(), grown=peak() - start)
{after}
print(json.dumps(taken | found))
"""


def measured(prepare, work, after="found = {}", environment=None):
    """Time `work` after `prepare` in a new process; seconds, GB, and what is ``found`` after."""
    code = MEASURED.format(here=str(Path(__file__).parent), prepare=prepare, work=work, after=after)
    found = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    return json.loads(found.stdout.splitlines()[-1])


def split(name):
    """The training rows and the test fold of a split of the reference."""
    with np.load(DATA / "splits" / f"split_{name}.npz") as parts:
        rows = {}
        for part in ("train", "test_in", "test_out"):
            indptr, indices = parts[f"{part}_indptr"], parts[f"{part}_indices"]
            values = np.ones(len(indices), dtype=np.float32)
            shape = (len(indptr) - 1, int(parts["n_items"]))
            rows[part] = sparse.csr_array((values, indices, indptr), shape=shape)
    users = np.arange(rows["test_in"].shape[0])
    return rows["train"], Fold(fold_in=rows["test_in"], targets=rows["test_out"], users=users)


def gowalla():
    parts = []
    for name in ("train", "test"):
        pairs = pd.read_parquet(DATA / "gowalla" / f"{name}.parquet")
        ones = np.ones(len(pairs), dtype=np.float32)
        parts.append(sparse.csr_array((ones, (pairs.user, pairs.item)), shape=(29_858, 40_981)))
    return parts[0], Fold(fold_in=parts[0], targets=parts[1], users=np.arange(29_858))


def leaderboard_recall(report, targets, k=20):
    """Hits over all targets of a user, not over min(k, targets)."""
    n_targets = np.diff(targets.indptr)[np.diff(targets.indptr) > 0]
    return float((report.values["recall@20"] * np.minimum(k, n_targets) / n_targets).mean())


@REAL
@pytest.mark.parametrize(
    ("name", "bar", "aim"), [("ml1m", 0.486, 0.490), ("citeulike", 0.326, 0.332)]
)
def test_sparse_ease_beside_ease(name, bar, aim):
    for model in ("SparseEASE()", "EASE()", "EDLAE(activity_power=0.5)"):
        one = measured(
            f"train, test = split({name!r}); model = {model}",
            "model.fit(train)",
            "found = {'ndcg': evaluate(model, test)['ndcg@100']}",
        )
        print(
            f"\n{name}, {model}: ndcg@100 {one['ndcg']:.4f} (bar {bar}, aim {aim}), "
            f"{one['seconds']:.0f} s, {one['grown']:.2f} GB",
            end="",
        )


GOWALLA = "SparseEASE(l2=40.0, dropout=0.3, activity_power=0.4)"  # of a fifth of the training pairs


@REAL
def test_gowalla_beside_the_leaderboard():
    for model in (GOWALLA, "SparseEASE()"):
        one = measured(
            f"train, test = gowalla(); model = {model}; model.fit(train[:2000, :300])",
            "model.fit(train)",
            "report = evaluate(model, test, ['recall@20', 'ndcg@20'])\n"
            "found = {'ndcg': report['ndcg@20'],"
            " 'recall': leaderboard_recall(report, test.targets)}",
        )
        print(
            f"\nGowalla, {model}: recall@20 {one['recall']:.4f} (bar .1765, aim .183), ndcg@20 "
            f"{one['ndcg']:.4f} (bar .1467, aim .155); fit {one['seconds']:.0f} s (<= 60), "
            f"{one['grown']:.2f} GB (<= 2)",
            end="",
        )


def test_time_and_memory_against_items():
    for n_items in (5_000, 10_000, 20_000, 50_000):
        line = f"\n{n_items:>7,} items:"
        for model in ("EASE()", "SparseEASE(n_neighbors=128, n_candidates=512)"):
            if model == "EASE()" and n_items > 10_000 and not os.environ.get("RECSYS_BENCH_SCALE"):
                continue
            one = measured(
                f"x = make_shop({n_items}, {n_items}, 20 * {n_items}); model = {model}",
                "model.fit(x)",
            )
            line += f"  {model.split('(')[0]} {one['seconds']:.1f} s, {one['grown']:.2f} GB"
        print(line, end="")


@LONG
@pytest.mark.parametrize("n", [100_000, 1_000_000])
def test_a_million_users_and_items_are_fitted_in_half_an_hour(n):
    one = measured(
        f"x = make_shop({n}, {n}, 20 * {n}); model = SparseEASE(n_neighbors=128, n_candidates=512)",
        "model.fit(x)",
        "found = {'weights': model.weights_.nnz}",
    )
    print(
        f"\n{n:,} users x {n:,} items x {20 * n:,} events: {one['seconds'] / 60:.1f} min (<= 30), "
        f"peak {one['gb']:.1f} GB (<= 16), {one['weights'] / n:.0f} weights an item"
    )


@LONG
def test_two_workers_beside_one():
    for workers in (1, 2):
        one = measured(
            "from joblib.externals.loky import ProcessPoolExecutor\n"
            "x = make_shop(50_000, 50_000, 1_000_000)\n"
            "model = SparseEASE(n_neighbors=128, n_candidates=512)\n"
            f"pool = ProcessPoolExecutor({workers})\n"
            f"list(pool.map(abs, range({workers})))",
            "model.fit(x, executor=pool)",
            environment={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        print(
            f"\n{workers} workers of one thread: {one['seconds']:.1f} s (2: >= 1.8x faster)", end=""
        )


FACTORS = """
def factors(n_items, n_factors=64):
    rng = np.random.default_rng(0)
    model = ALS(latent_dim=n_factors)
    model.alpha_, model.l2_, model.n_items_ = 10.0, 10.0, n_items
    model.item_factors_ = rng.normal(size=(n_items, n_factors)).astype(np.float32)
    model.item_shares_ = rng.random(n_items, dtype=np.float32)
    return model

def drawn_weights(n_items, width, per_item=32):
    rng = np.random.default_rng(0)
    model = SparseEASE(latent_dim=width)
    model.n_items_, model.item_shares_ = n_items, rng.random(n_items, dtype=np.float32)
    parts = (
        rng.random(n_items * per_item, dtype=np.float32),
        rng.integers(0, n_items, n_items * per_item, dtype=np.int32),
        np.arange(0, n_items * per_item + 1, per_item),
    )
    model.weights_ = sparse.csr_array(parts, shape=(n_items, n_items))
    model.item_factors_ = rng.normal(size=(n_items, width)).astype(np.float32)
    model.item_scales_ = np.ones(n_items, dtype=np.float32)
    return model
"""


def test_lists_among_a_million_items():
    one = measured(
        FACTORS + "model = factors(1_000_000); x = make_shop(2048, 1_000_000, 40_960)\n"
        "model.recommend(x[:512], k=10)",
        "model.recommend(x, k=10)",
    )
    print(
        f"\n1,000,000 items x 64 factors, top 10: {2048 / one['seconds']:.0f} rows/s (>= 400), "
        f"{one['grown']:.2f} GB more (<= 2)"
    )


@pytest.mark.parametrize(
    "model",
    ["factors(1_000_000)", "drawn_weights(1_000_000, 0)", "drawn_weights(1_000_000, 67)"],
)
def test_one_person_among_a_million_items(model):
    one = measured(
        FACTORS + "from recsys_lib import Bundle, Dataset\n"
        f"model = {model}; x = make_shop(2048, 1_000_000, 40_960)\n"
        "ids = [pd.Index(np.arange(n).astype(str)) for n in x.shape]\n"
        "dataset = Dataset(user_items=x, user_ids=ids[0], item_ids=ids[1])\n"
        "bundle = Bundle(model=model, dataset=dataset, new_items=False)\n"
        "[bundle.recommend(str(user)) for user in range(3)]\n"
        "each = []",
        "for user in range(20):\n"
        "    at = time.perf_counter(); bundle.recommend(str(user))\n"
        "    each.append(time.perf_counter() - at)",
        "found = {'ms': 1000 * float(np.median(each))}",
    )
    print(f"\nBundle.recommend for one person, {model}: {one['ms']:.0f} ms (<= 60)")


def test_evaluation_of_ten_thousand_users_on_a_hundred_thousand_items():
    one = measured(
        FACTORS + "model = factors(100_000); x = make_shop(10_000, 100_000, 400_000)\n"
        "y = make_shop(10_000, 100_000, 100_000, seed=1)\n"
        "y = sparse.csr_array(y - y.multiply(x)); y.eliminate_zeros()\n"  # no target is shown
        "fold = Fold(fold_in=x, targets=y, users=np.arange(10_000))",
        "evaluate(model, fold)",
    )
    print(
        f"\nevaluation of 10,000 users x 100,000 items, ALS of 64: {one['seconds']:.1f} s (<= 20), "
        f"{one['grown']:.2f} GB more"
    )
