"""Splits hide what they promise, and nothing is in two places."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError
from recsys_lib.splitting import (
    enough_interactions,
    leave_last_out,
    split_by_time,
    split_ratings,
    strong_generalization,
)


def random_dataset(seed: int, n_users: int = 30, n_items: int = 15) -> Dataset:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        np.argwhere(rng.random((n_users, n_items)) < 0.5), columns=["user_id", "item_id"]
    )
    table["value"] = rng.integers(0, 6, len(table))
    table["timestamp"] = rng.integers(0, 50, len(table))
    return Dataset.from_frame(table, timestamp="timestamp")


def pairs(matrix: sparse.csr_array, users: np.ndarray) -> set[tuple[int, int, float]]:
    coo = matrix.tocoo()
    return {
        (int(users[r]), int(c), float(v))
        for r, c, v in zip(coo.row, coo.col, coo.data, strict=True)
    }


@given(seed=st.integers(0, 10_000), share=st.floats(0.05, 0.95))
@settings(max_examples=40)
def test_held_out_users_are_disjoint_and_their_rows_are_cut_in_two(seed: int, share: float) -> None:
    dataset = random_dataset(seed)
    split = strong_generalization(
        dataset, validation_users=4, test_users=0.2, fold_in=share, seed=seed
    )
    groups = [split.train_users, split.validation.users, split.test.users]
    everyone = np.concatenate(groups)
    assert len(set(everyone.tolist())) == len(everyone)
    counts = np.diff(dataset.user_items.indptr)
    assert set(everyone.tolist()) == set(np.flatnonzero(counts >= 5).tolist())
    for fold in (split.validation, split.test):
        shown, hidden = pairs(fold.fold_in, fold.users), pairs(fold.targets, fold.users)
        assert not shown & hidden
        assert shown | hidden == pairs(dataset.user_items[fold.users], fold.users)
        n, n_shown = counts[fold.users], np.diff(fold.fold_in.indptr)
        assert (n_shown >= 1).all()
        assert (n_shown <= n - 1).all()
        np.testing.assert_array_equal(n_shown, np.clip(np.round(share * n), 1, n - 1))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40)
def test_rating_parts_sum_to_the_whole(seed: int) -> None:
    dataset = random_dataset(seed)
    split = split_ratings(dataset, validation=0.2, test=0.1, seed=seed)
    users = np.arange(dataset.n_users)
    parts = [pairs(m, users) for m in (split.train, split.validation.targets, split.test.targets)]
    assert set.union(*parts) == pairs(dataset.user_items, users)
    assert sum(len(part) for part in parts) == dataset.n_interactions
    assert len(parts[2]) == round(0.1 * dataset.n_interactions)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40)
def test_nothing_shown_is_later_than_a_target(seed: int) -> None:
    dataset = random_dataset(seed)
    times = sparse.csr_array(
        (dataset.timestamps + 1, dataset.user_items.indices, dataset.user_items.indptr),
        shape=dataset.user_items.shape,
    ).toarray()

    def of(matrix: sparse.csr_array) -> np.ndarray:
        coo = matrix.tocoo()
        return times[coo.row, coo.col]

    split = split_by_time(dataset, validation=0.2, test=0.2)
    assert of(split.train).max() < of(split.validation.targets).min()
    assert of(split.test.fold_in).max() < of(split.test.targets).min()
    assert split.test.fold_in.nnz == split.train.nnz + split.validation.targets.nnz

    last = leave_last_out(dataset)
    for row in range(dataset.n_users):
        hidden = times[row, last.test.targets[[row]].indices]
        if len(hidden):
            assert len(hidden) == 1
            assert times[row, last.test.fold_in[[row]].indices].max() <= hidden[0]
            assert last.test.fold_in[[row]].nnz == dataset.user_items[[row]].nnz - 1


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    dataset = random_dataset(0)
    users = [strong_generalization(dataset, seed=seed).test.users.tolist() for seed in (1, 1, 2)]
    assert users[0] == users[1] != users[2]


def test_a_pair_is_hidden_whatever_else_is_held_out() -> None:
    dataset = random_dataset(0)
    a = strong_generalization(dataset, validation_users=2, test_users=2, seed=1).test
    b = strong_generalization(dataset, validation_users=8, test_users=2, seed=1).test
    assert pairs(a.targets, a.users) == pairs(b.targets, b.users)


def test_stored_zeros_are_split_as_observations() -> None:
    dataset = random_dataset(3)
    assert (dataset.user_items.data == 0).any()
    split = split_ratings(dataset)
    kept = [split.train, split.validation.targets, split.test.targets]
    assert sum(int((m.data == 0).sum()) for m in kept) == int((dataset.user_items.data == 0).sum())


def test_impossible_splits_say_what_is_wrong() -> None:
    dataset = random_dataset(0)
    with pytest.raises(DataError, match="Enough users must be left"):
        strong_generalization(dataset, validation_users=20, test_users=20)
    with pytest.raises(ValueError, match="must leave ratings"):
        split_ratings(dataset, validation=0.5, test=0.5)
    timeless = Dataset.from_frame(dataset.to_frame().drop(columns="timestamp"))
    with pytest.raises(DataError, match="must have timestamps"):
        split_by_time(timeless)
    frozen = Dataset.from_frame(dataset.to_frame().assign(timestamp=1), timestamp="timestamp")
    with pytest.raises(DataError, match="must tell three parts apart; .* has 1 different one"):
        split_by_time(frozen)


@pytest.mark.parametrize("times", [[1, 2, 3, 4, 5], [1, 2, 3, 3, 3], [1, 1, 1, 2, 3]])
def test_five_interactions_are_split_in_three(times: list[int]) -> None:
    frame = pd.DataFrame({"user_id": list("aabbc"), "item_id": list("xyxzy"), "t": times})
    dataset = Dataset.from_frame(frame, value=None, timestamp="t")
    for split in (split_by_time(dataset), split_ratings(dataset)):
        parts = [split.train.nnz, split.validation.targets.nnz, split.test.targets.nnz]
        assert min(parts) >= 1
        assert sum(parts) == 5


def test_the_last_of_one_interaction_each_is_not_left_out() -> None:
    frame = pd.DataFrame({"user_id": list("abc"), "item_id": list("xyz"), "t": [1, 2, 3]})
    with pytest.raises(DataError, match="at least 3 interactions .*the longest history has 1"):
        leave_last_out(Dataset.from_frame(frame, value=None, timestamp="t"))


@pytest.mark.parametrize(
    ("lengths", "enough"),
    [([9] * 20, 5), ([3] * 20, 3), ([1] * 400 + [6] * 120, 5), ([1] * 60 + [2] * 5, 2)],
)
def test_a_held_out_user_has_as_many_interactions_as_the_data_allow(lengths, enough):
    rows = [(user, item) for user, n in enumerate(lengths) for item in range(n)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id"])
    assert enough_interactions(Dataset.from_frame(frame, value=None)) == enough


def test_one_interaction_a_user_is_too_little_to_hold_anything_out():
    frame = pd.DataFrame({"user_id": range(9), "item_id": 0})
    with pytest.raises(DataError, match="At least 3 users .* two interactions, .*; 0 of 9 have"):
        enough_interactions(Dataset.from_frame(frame, value=None))


def test_lists_for_items_are_told_a_way_to_rows_that_works() -> None:
    rng = np.random.default_rng(0)
    rows = ["{} {} {}".format(*rng.choice(40, 3, replace=False)) for _ in range(60)]
    frame = pd.DataFrame({"user_id": range(60), "X": rows})
    with pytest.raises(DataError, match="Where a row lists all items of a user, pandas") as caught:
        strong_generalization(Dataset.from_frame(frame, item="X", value=None))
    code = str(caught.value).partition("their column: ")[2].rstrip(".")
    dataset = Dataset.from_frame(eval(code, {"frame": frame}), item="X", value=None)
    assert (dataset.n_interactions, dataset.n_items) == (180, 40)
    assert strong_generalization(dataset).train.nnz


def test_who_asks_for_two_interactions_hears_that_nobody_has_them() -> None:
    once = Dataset.from_frame(pd.DataFrame({"user_id": range(9), "item_id": [0] * 9}), value=None)
    with pytest.raises(DataError, match="must have two interactions.* 0 of 9 have"):
        strong_generalization(once, min_interactions=2)
