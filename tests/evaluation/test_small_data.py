"""Few people, few items, equal ratings: every measure answers, with NaN where it cannot know."""

import numpy as np
import pandas as pd
import pytest

from recsys_lib import evaluation
from recsys_lib.bundle import Bundle
from recsys_lib.dataset import Dataset
from recsys_lib.models import EASE, Popularity
from recsys_lib.splitting import split_ratings

METRICS = ("ndcg@100", "recall@20", "tail_recall@5", "coverage@10", "gini@10", "novelty@10")


def dataset(n_users: int, n_items: int, each: int, *, equal: bool = False) -> Dataset:
    rng = np.random.default_rng(0)
    pairs = [(u, i) for u in range(n_users) for i in rng.choice(n_items, each, replace=False)]
    frame = pd.DataFrame(pairs, columns=["user_id", "item_id"])
    values = 4 if equal else rng.integers(1, 6, len(frame))
    return Dataset.from_frame(frame.assign(value=values))


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    "data",
    [
        dataset(30, 6, 4),
        dataset(40, 20, 1),
        dataset(30, 20, 8, equal=True),
        dataset(3, 10, 5),
        dataset(1, 10, 8),
        dataset(10, 1, 1),
    ],
    ids=["6 items", "one rating each", "equal ratings", "3 users", "1 user", "1 item"],
)
def test_every_measure_answers_on_small_data(data: Dataset) -> None:
    split = split_ratings(data)
    counts = np.bincount(split.train.indices, minlength=data.n_items)
    models = [EASE().fit(split.train), Popularity().fit(split.train)]
    reports = [evaluation.evaluate(model, split.test, METRICS) for model in models]
    assert np.isfinite([report["ndcg@100"] for report in reports]).all()
    assert evaluation.compare(reports, n_resamples=50).verdict.endswith(".")
    for table in (
        evaluation.leaderboard(reports, "ndcg@100", n_resamples=50),
        evaluation.by_history_length(reports[0], n_resamples=50),
        evaluation.by_mainstream(reports[0], split.test, counts, n_resamples=50),
        evaluation.by_item_popularity(reports[0], split.test, counts, n_resamples=50),
        evaluation.audience_table(reports, split.test, counts, "ndcg@100"),
        found := evaluation.item_table(reports, split.test, counts),
        evaluation.newcomer_curve({"ease": models[0]}, split.test, lengths=(0,)),
    ):
        assert len(table)
    assert found.notna().to_numpy().all()  # without buckets of which nothing was hidden
    evaluation.list_stability({"ease": models[0]}, split.test)
    bundle = Bundle(model=EASE().fit(data.user_items), dataset=data)
    unused = data.n_items - int(np.diff(data.user_items.indptr)[0])
    assert len(bundle.recommend(data.user_ids[0], k=30)) == unused
    assert len(bundle.recommend(k=30)) == data.n_items
