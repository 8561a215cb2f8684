"""Each leak is planted, and found."""

import dataclasses
from time import process_time

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from recsys_lib.dataset import Dataset, Fold, Split, keep_entries
from recsys_lib.errors import DataError, LeakError
from recsys_lib.evaluation import (
    assert_below_ceiling,
    assert_no_future,
    assert_no_shared_pairs,
    assert_no_shared_users,
)
from recsys_lib.splitting import (
    leave_last_out,
    split_by_time,
    split_ratings,
    strong_generalization,
)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    rng = np.random.default_rng(0)
    pairs = np.argwhere(rng.random((60, 20)) < 0.5)
    frame = pd.DataFrame(pairs, columns=["user_id", "item_id"])
    frame["value"] = rng.integers(1, 6, size=len(frame))
    frame["time"] = rng.permutation(len(frame))
    return Dataset.from_frame(frame, timestamp="time")


def strong(dataset: Dataset) -> Split:
    return strong_generalization(dataset, validation_users=10, test_users=10)


def test_no_split_of_the_library_shares_pairs(dataset):
    for split in (
        strong(dataset),
        split_ratings(dataset),
        split_by_time(dataset),
        leave_last_out(dataset),
    ):
        assert_no_shared_pairs(split)


def test_strong_generalization_shares_no_users_and_a_split_of_ratings_shares_all(dataset):
    assert_no_shared_users(strong(dataset))
    with pytest.raises(LeakError, match="`train` and `validation` must have no user in common; 60"):
        assert_no_shared_users(split_ratings(dataset))


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_target_in_the_fold_in_is_found(dataset, part):
    split = strong(dataset)
    fold = getattr(split, part)
    copying = dataclasses.replace(fold, fold_in=fold.fold_in + fold.targets)
    with pytest.raises(LeakError, match=f"`{part}.targets` and `{part}.fold_in`"):
        assert_no_shared_pairs(dataclasses.replace(split, **{part: copying}))


def test_a_target_in_the_training_rows_is_found(dataset):
    split = split_ratings(dataset)
    everything = dataclasses.replace(split, train=dataset.user_items)
    n_hidden = split.validation.targets.nnz
    with pytest.raises(LeakError, match=f"`validation.targets` and `train` .*; {n_hidden} are in"):
        assert_no_shared_pairs(everything)


def test_the_same_positions_of_other_users_are_no_leak():
    row = sparse.csr_array([[1.0, 1.0]])
    from recsys_lib.dataset import Fold

    fold = Fold(fold_in=row * 0, targets=row, users=np.array([5]))
    empty = Fold(fold_in=sparse.csr_array((1, 2)), targets=row, users=np.array([5]))
    other = Fold(fold_in=sparse.csr_array((1, 2)), targets=row, users=np.array([6]))
    split = Split(train=row, validation=empty, test=other, train_users=np.array([4]))
    assert_no_shared_pairs(split)
    with pytest.raises(LeakError):  # a stored zero in the fold-in is an observation
        assert_no_shared_pairs(dataclasses.replace(split, validation=fold))


def test_millions_of_pairs_are_compared_in_a_moment():
    rows, columns = np.divmod(np.arange(3_000_000), 60)
    table = sparse.csr_array((np.ones(len(rows), "float32"), (rows, columns * 1_000)))
    users = np.arange(table.shape[0])
    shown, hidden = keep_entries(table, columns % 8 > 0), keep_entries(table, columns % 8 == 0)
    fold = Fold(fold_in=shown[:100], targets=hidden[:100], users=users[:100])
    rest = Fold(fold_in=shown[100:], targets=hidden[100:], users=users[100:])
    split = Split(train=shown, validation=fold, test=rest, train_users=users)
    begun = process_time()
    assert_no_shared_pairs(split)
    assert process_time() - begun < 4


def test_the_future_in_a_random_split_is_found(dataset):
    assert_no_future(split_by_time(dataset), dataset)
    with pytest.raises(LeakError, match="`train` must lie before every target"):
        assert_no_future(split_ratings(dataset), dataset)


def test_a_user_who_is_shown_what_comes_later_is_found(dataset):
    split = split_by_time(dataset)
    # Validation shows the test's targets: the training rows are innocent, the fold-in is not.
    late = dataclasses.replace(
        split.validation, fold_in=split.validation.fold_in + split.test.targets
    )
    with pytest.raises(LeakError, match="`validation.fold_in` must not be later"):
        assert_no_future(dataclasses.replace(split, validation=late), dataset)


def test_time_cannot_be_checked_without_timestamps_or_with_another_data_set(dataset):
    split = split_by_time(dataset)
    with pytest.raises(DataError, match="must have timestamps"):
        assert_no_future(split, dataclasses.replace(dataset, timestamps=None))
    with pytest.raises(ValueError, match="must be a split of `dataset`"):
        assert_no_future(split, dataset.implicit(min_value=3.0))


@pytest.mark.parametrize(
    ("metric", "model", "raises"),
    [("rmse", 1.2, False), ("rmse", 0.8, True), ("ndcg@10", 0.8, False), ("ndcg@10", 1.2, True)],
)
def test_a_model_beyond_the_doubt_about_its_oracle_has_seen_the_answers(metric, model, raises):
    names = ["mean rating", "knn", "fold-in oracle", "omniscient"]
    rows = {
        "value": [2.0, model, 1.0, 1.0],
        "low": [1.9, 0.1, 0.9, 0.9],
        "high": [2.1, 9, 1.1, 1.1],
    }
    table = pd.DataFrame(rows, index=names).assign(role=["floor", "model", "ceiling", "ceiling"])
    assert_below_ceiling(table.drop(index=["fold-in oracle", "omniscient"]), metric)
    if raises:
        with pytest.raises(LeakError, match="'knn' must not be better than the fold-in oracle"):
            assert_below_ceiling(table, metric)
    else:
        assert_below_ceiling(table, metric)
