"""``seeding="liang2018"`` against a port of the authors' notebook, and against ML-1M."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys_lib.dataset import Dataset, Fold, Split
from recsys_lib.errors import DataError
from recsys_lib.evaluation import assert_no_shared_pairs, assert_no_shared_users
from recsys_lib.splitting import liang_order, strong_generalization

DATA = Path(os.environ.get("RECSYS_DATASETS", "absent"))


@pytest.fixture(scope="module")
def plays() -> pd.DataFrame:
    """A table as ML-20M's: by user, then film; long tailed, so that held-out users lose films."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(300):
        n = rng.integers(2, 30)
        films = np.unique((200 * rng.random(n) ** 3).astype(int)) * 7 + 3
        nobody_elses = 10_000 + 10 * user + np.arange(rng.integers(0, 4))
        films = np.concatenate([films, nobody_elses])
        rows += [(user * 11 + 5, int(film)) for film in films]
    return pd.DataFrame(rows, columns=["userId", "movieId"])


def notebook(plays: pd.DataFrame, n_heldout: int) -> dict[str, object]:
    """What VAE_ML20M_WWW2018.ipynb does, statement by statement, on numpy's global stream."""
    counts = plays.groupby("userId").size()
    raw = plays[plays["userId"].isin(counts.index[counts >= 5])]
    unique_uid = np.array(sorted(raw["userId"].unique()))
    np.random.seed(98765)  # noqa: NPY002 - the very thing that is ported
    unique_uid = unique_uid[np.random.permutation(unique_uid.size)]  # noqa: NPY002
    n_users = unique_uid.size
    tr_users = unique_uid[: (n_users - n_heldout * 2)]
    vd_users = unique_uid[(n_users - n_heldout * 2) : (n_users - n_heldout)]
    te_users = unique_uid[(n_users - n_heldout) :]
    train = raw.loc[raw["userId"].isin(tr_users)]
    unique_sid = pd.unique(train["movieId"])

    def split_train_test_proportion(data: pd.DataFrame) -> tuple[set, set]:
        shown, hidden = set(), set()
        np.random.seed(98765)  # noqa: NPY002
        for _, group in data.groupby("userId"):
            n_items_u = len(group)
            idx = np.zeros(n_items_u, dtype="bool")
            if n_items_u >= 5:
                chosen = np.random.choice(  # noqa: NPY002
                    n_items_u, size=int(0.2 * n_items_u), replace=False
                )
                idx[chosen.astype("int64")] = True
            shown |= set(group[~idx].itertuples(index=False, name=None))
            hidden |= set(group[idx].itertuples(index=False, name=None))
        return shown, hidden

    def held(users: np.ndarray) -> tuple[set, set]:
        data = raw.loc[raw["userId"].isin(users)]
        return split_train_test_proportion(data.loc[data["movieId"].isin(unique_sid)])

    return {
        "train_users": tr_users,
        "items": unique_sid,
        "train": set(train.itertuples(index=False, name=None)),
        "validation": held(vd_users),
        "test": held(te_users),
    }


def named(matrix, users: np.ndarray, split: Split, dataset: Dataset) -> set[tuple[int, int]]:
    """External ids of the stored pairs."""
    coo = matrix.tocoo()
    return set(
        zip(
            dataset.user_ids[users[coo.row]].tolist(),
            dataset.item_ids[split.items[coo.col]].tolist(),
            strict=True,
        )
    )


def both(fold: Fold, split: Split, dataset: Dataset) -> tuple[set, set]:
    return (
        named(fold.fold_in, fold.users, split, dataset),
        named(fold.targets, fold.users, split, dataset),
    )


@pytest.mark.parametrize("order", ["by id", "catalog"])
def test_the_split_is_that_of_the_notebook_pair_by_pair(plays, order):
    ids = {"user": "userId", "item": "movieId", "value": None}
    dataset = Dataset.from_frame(plays, **ids)
    if order == "catalog":  # positions that don't follow the ids change nothing
        shuffled = np.random.default_rng(1).permutation
        items = pd.DataFrame(index=shuffled(plays["movieId"].unique()))
        users = pd.DataFrame(index=shuffled(plays["userId"].unique()))
        dataset = Dataset.from_frame(plays, **ids, items=items, users=users)
    theirs = notebook(plays, n_heldout=40)
    split = strong_generalization(
        dataset, validation_users=40, test_users=40, fold_in=0.8, seeding="liang2018"
    )
    assert dataset.user_ids[split.train_users].tolist() == theirs["train_users"].tolist()
    assert dataset.item_ids[split.items].tolist() == theirs["items"].tolist()
    assert len(split.items) < dataset.n_items  # a film that only held-out users know is dropped
    assert named(split.train, split.train_users, split, dataset) == theirs["train"]
    assert both(split.validation, split, dataset) == theirs["validation"]
    assert both(split.test, split, dataset) == theirs["test"]
    shown, hidden = (np.diff(matrix.indptr) for matrix in (split.test.fold_in, split.test.targets))
    assert ((hidden == 0) == (shown + hidden < 5)).all()
    assert (hidden == 0).any()  # who has lost too many films has nothing to find
    assert_no_shared_users(split)
    assert_no_shared_pairs(split)


def test_the_permutation_of_the_users_of_ml_20m_begins_and_ends_as_theirs():
    one_each = pd.DataFrame({"user_id": np.arange(136_677), "item_id": 0})
    dataset = Dataset.from_frame(one_each, value=None)
    order = liang_order(dataset, np.arange(136_677))
    assert order[:3].tolist() == [104323, 11053, 111295]
    assert order[-2:].tolist() == [69107, 134933]


def test_the_global_stream_is_left_alone(plays):
    dataset = Dataset.from_frame(plays, user="userId", item="movieId", value=None)
    np.random.seed(1)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    strong_generalization(dataset, seeding="liang2018")
    assert np.random.random() == expected  # noqa: NPY002


def test_the_columns_survive_saving(plays, tmp_path):
    dataset = Dataset.from_frame(plays, user="userId", item="movieId", value=None)
    split = strong_generalization(dataset, seeding="liang2018")
    split.save(tmp_path / "split")
    np.testing.assert_array_equal(Split.load(tmp_path / "split").items, split.items)


def test_what_the_notebook_fixes_cannot_be_chosen(plays):
    dataset = Dataset.from_frame(plays, user="userId", item="movieId", value=None)
    with pytest.raises(ValueError, match="whose seed is 98765; got 7"):
        strong_generalization(dataset, seeding="liang2018", seed=7)
    with pytest.raises(ValueError, match="'named', 'liang2018'"):
        strong_generalization(dataset, seeding="liang")
    with pytest.raises(DataError, match="Enough users must be left"):
        strong_generalization(dataset, seeding="liang2018", validation_users=200, test_users=200)


@pytest.mark.skipif(
    not (DATA / "ml-1m" / "pairs.parquet").exists() or not (DATA / "splits").exists(),
    reason="RECSYS_DATASETS with ml-1m and splits is not there",
)
def test_ml_1m_is_split_as_the_peers_were_measured():
    spec = importlib.util.spec_from_file_location("protocol", DATA / "splits" / "protocol.py")
    protocol = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(protocol)
    pairs = pd.read_parquet(DATA / "ml-1m" / "pairs.parquet").astype("int64")
    theirs = protocol.strong_split(pairs["userID"].to_numpy(), pairs["movieID"].to_numpy(), 600)
    dataset = Dataset.from_frame(pairs, user="userID", item="movieID", value=None)
    split = strong_generalization(
        dataset, validation_users=600, test_users=600, seeding="liang2018"
    )
    assert split.train.shape == (4840, len(theirs["item_ids"]))
    assert dataset.user_ids[split.train_users].tolist() == theirs["train_users"].tolist()
    # Theirs are in order of id, ours of first appearance.
    assert sorted(dataset.item_ids[split.items].tolist()) == theirs["item_ids"].tolist()
    for ours, name in ((split.validation, "val"), (split.test, "test")):
        for matrix, part in ((ours.fold_in, "in"), (ours.targets, "out")):
            indptr, indices = theirs[f"{name}_{part}_indptr"], theirs[f"{name}_{part}_indices"]
            users = np.repeat(theirs[f"{name}_users"], np.diff(indptr))
            expected = set(zip(users.tolist(), theirs["item_ids"][indices].tolist(), strict=True))
            kept = set(users.tolist())
            found = named(matrix, ours.users, split, dataset)
            # They drop held-out users with fewer than 5 known films; here these have no targets.
            assert {pair for pair in found if pair[0] in kept} == expected
