"""Ranking and measuring everybody: 10,000 users x 20,000 items, the whole catalog.

The scores come from a scorer that costs next to nothing (a block of random numbers, given again for
each batch), so that what is timed is masking, ranking, metrics and reports; as a reference, the
shortest NumPy code for one metric, in the same run.
"""

import re
import time
from pathlib import Path

import numpy as np
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.evaluation import evaluate

N_USERS, N_ITEMS, N_EACH = 10_000, 20_000, 70
BATCH = 512


class Given:
    """Scores that are there already."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.block = rng.standard_normal((BATCH, N_ITEMS), dtype=np.float32)

    def score(self, user_items):
        return self.block[: user_items.shape[0]]


def fold():
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(N_USERS), N_EACH)
    # Popularity falls as 1 / rank; a pair drawn twice counts once.
    items = (N_ITEMS ** rng.random(len(users))).astype(int) - 1
    pairs = np.unique(users * N_ITEMS + items)
    hidden = rng.random(len(pairs)) < 0.2
    parts = []
    for kept in (pairs[~hidden], pairs[hidden]):
        ones = np.ones(len(kept), dtype=np.float32)
        place = (kept // N_ITEMS, kept % N_ITEMS)
        parts.append(sparse.csr_array((ones, place), shape=(N_USERS, N_ITEMS)))
    return Fold(fold_in=parts[0], targets=parts[1], users=np.arange(N_USERS))


def bare_ndcg(scorer, fold, k=100):
    """Authors' formula for one metric: argpartition, sort, gather; ties as they fall."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.append(0, np.cumsum(discounts))
    values = []
    for start in range(0, N_USERS, BATCH):
        seen, wanted = fold.fold_in[start : start + BATCH], fold.targets[start : start + BATCH]
        scores = scorer.score(seen).copy()
        scores[seen.nonzero()] = -np.inf
        top = np.argpartition(-scores, k, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1)
        top = np.take_along_axis(top, order, axis=1)
        hits = np.take_along_axis(wanted.toarray(), top, axis=1)
        counts = np.diff(wanted.indptr)
        with np.errstate(invalid="ignore", divide="ignore"):
            values.append((hits * discounts).sum(axis=1) / ideal[np.minimum(counts, k)])
    return np.nanmean(np.concatenate(values))


def peak_bytes():
    return 1024 * int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1])


def test_a_whole_evaluation_takes_under_ten_seconds_and_a_few_batches_of_memory():
    held_out, scorer = fold(), Given()
    metrics = ("ndcg@100", "recall@20", "recall@50", "coverage@100")
    before = peak_bytes()
    begun = time.perf_counter()
    report = evaluate(scorer, held_out, metrics, batch_size=BATCH)
    ours = time.perf_counter() - begun
    grown = (peak_bytes() - before) / scorer.block.nbytes
    begun = time.perf_counter()
    plain = bare_ndcg(scorer, held_out)
    bare = time.perf_counter() - begun
    print(
        f"\nfull evaluation, {N_USERS:,} x {N_ITEMS:,}: {ours:.1f} s (<= 10), {ours / bare:.2f}x "
        f"the bare NumPy of one metric; memory grew by {grown:.1f} batches of scores"
    )
    assert abs(report["ndcg@100"] - plain) < 1e-6
    assert grown < 8
