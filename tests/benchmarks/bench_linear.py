"""Linear models beside the bare calls they rest on: ratios, on data shaped like MovieLens 1M.

Each reference is the shortest code that gives the same numbers, timed in turns with ours, so that
a busy machine slows both. RECSYS_BENCH_ITEMS=20000 repeats the fit at that many items (minutes).
"""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from scipy import sparse
from scipy.linalg import lapack

from recsys_lib.models import ALS, EASE, BiasedSVD, ItemKNN, KernelAE
from recsys_lib.ranking import top_k

N_USERS, N_ITEMS, N_EACH = 6_040, 3_706, 165
N_LARGE = int(os.environ.get("RECSYS_BENCH_ITEMS", 0))


def rows(n_users=N_USERS, n_items=N_ITEMS, n_each=N_EACH):
    """Long-tailed likes: Gumbel top-n over popularity that falls as 1 / rank."""
    rng = np.random.default_rng(0)
    appeal = -np.log(np.arange(1, n_items + 1))
    counts = np.minimum(rng.lognormal(np.log(n_each) - 0.5, 1.0, n_users) + 5, n_items / 2)
    indices, indptr = [], [0]
    for count in counts.astype(int):
        chosen = np.argpartition(-(appeal + rng.gumbel(size=n_items)), count)[:count]
        indices.append(np.sort(chosen))
        indptr.append(indptr[-1] + count)
    flat = np.concatenate(indices)
    return sparse.csr_array(
        (np.ones(len(flat), np.float32), flat, np.array(indptr)), shape=(n_users, n_items)
    )


def fastest(*works, times=5):
    """Seconds of the fastest of some runs of each, taken in turns."""
    taken = [[] for _ in works]
    for _ in range(times):
        for each, work in zip(taken, works, strict=True):
            begun = time.perf_counter()
            work()
            each.append(time.perf_counter() - begun)
    return [min(each) for each in taken]


def bare_ease(x, l2=500.0):
    """Gram matrix, Cholesky factor and inverse; no weights, no second triangle."""
    matrix = np.asfortranarray((x.T @ x).toarray())
    matrix[np.diag_indices_from(matrix)] += l2
    factor, _ = lapack.spotrf(matrix, lower=1, clean=0, overwrite_a=1)
    return lapack.spotri(factor, lower=1, overwrite_c=1)[0]


def test_ease_fits_in_the_time_of_its_lapack_calls():
    x = rows()
    ours, bare = fastest(lambda: EASE(l2=500.0, solver="items").fit(x), lambda: bare_ease(x))
    print(f"\nEASE fit, {N_ITEMS} items: {ours:.2f} s, {ours / bare:.2f}x the bare calls (<= 1.1)")


@pytest.mark.skipif(not N_LARGE, reason="RECSYS_BENCH_ITEMS is not set")
def test_ease_fits_many_items_in_the_time_of_its_lapack_calls():
    x = rows(50_000, N_LARGE, 74)
    ours, bare = fastest(
        lambda: EASE(l2=500.0, solver="items").fit(x), lambda: bare_ease(x), times=1
    )
    print(f"\nEASE fit, {N_LARGE} items: {ours:.0f} s, {ours / bare:.2f}x the bare calls (<= 1.1)")


def test_ease_holds_little_more_than_its_weights():
    n = N_LARGE or 6000
    # VmHWM belongs to this program; ru_maxrss remembers the parent before it.
    code = (
        "import re, numpy as np, scipy.sparse as s\n"
        "from recsys_lib.models import EASE\n"
        "peak = lambda: int(re.search('VmHWM:.*?([0-9]+)', open('/proc/self/status').read())[1])\n"
        f"x = s.random_array(({n} + 10, {n}), density=0.004, rng=0, dtype=np.float32).tocsr()\n"
        "EASE(l2=1.0).fit(x[:300, :200])\n"
        "before = peak()\n"
        "EASE(l2=500.0).fit(x)\n"
        "print((peak() - before) * 1024)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ratio = int(found.stdout) / (4 * n * n)
    print(f"\nEASE peak memory, {n} items: {ratio:.2f} x n_items^2 x 4 bytes (<= 2.5)")
    assert ratio <= 2.5


def test_fewer_users_than_items_are_fitted_by_users():
    x = rows(1500, N_ITEMS, 37)
    users, items = fastest(lambda: EASE(solver="users").fit(x), lambda: EASE(solver="items").fit(x))
    print(
        f"\nEASE of 1500 users: by users {users:.2f} s, {items / users:.1f}x faster than by items"
    )


def test_ten_items_for_every_user_take_less_than_with_implicit():
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    x = rows()
    ease, als = EASE(l2=500.0).fit(x), ALS(latent_dim=64, epochs=2).fit(x)
    with threadpool_limits(1, "blas"):
        peer = AlternatingLeastSquares(factors=64, iterations=1)
        peer.fit(sparse.csr_matrix(x), show_progress=False)

    def peers():
        users = np.arange(x.shape[0])
        with threadpool_limits(1, "blas"):
            peer.recommend(users, sparse.csr_matrix(x), N=10, recalculate_user=True)

    def lists_alone():
        for start in range(0, x.shape[0], 512):
            top_k(scores[: min(512, x.shape[0] - start)], 10, exclude=x[start : start + 512])

    scores = ease.score(x[:512])
    taken = fastest(lambda: ease.recommend(x), lambda: als.recommend(x), lists_alone, peers)
    for name, seconds in zip(("EASE", "ALS", "lists alone", "implicit ALS"), taken, strict=True):
        print(f"\ntop 10 for {N_USERS} users, {name}: {seconds:.2f} s", end="")
    print(f"\nEASE {taken[0] / taken[3]:.2f}x implicit (<= 0.7 s: {taken[0]:.2f} s)")


@pytest.mark.parametrize(
    "model",
    [ItemKNN(), KernelAE(), ALS(), BiasedSVD()],
    ids=lambda model: type(model).__name__,
)
def test_seconds_of_the_others(model):
    x = rows()
    (seconds,) = fastest(lambda: model.fit(x), times=1)
    print(f"\n{type(model).__name__} fit: {seconds:.1f} s")
