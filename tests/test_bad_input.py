"""Damage and lack of room: one clear error each, and nothing half-written is left behind."""

import contextlib
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from recsys_lib import models
from recsys_lib.bundle import Bundle
from recsys_lib.dataset import Dataset, Fold, Split
from recsys_lib.errors import ArtifactError, DataError
from recsys_lib.evaluation import (
    assert_no_shared_pairs,
    by_history_length,
    compare,
    evaluate,
    evaluate_all,
    fit_calibrator,
    leaderboard,
    metric_table,
    reference_reports,
    wins,
)
from recsys_lib.exploration import overview, split_overview
from recsys_lib.models import EASE, ItemKNN
from recsys_lib.splitting import leave_last_out, split_ratings, strong_generalization
from recsys_lib.tuning import choose, search

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {"user_id": RNG.integers(0, 60, 900), "item_id": RNG.integers(0, 40, 900)}
).drop_duplicates()
DATASET = Dataset.from_frame(FRAME.assign(value=RNG.integers(1, 6, len(FRAME))))
SPLIT = split_ratings(DATASET)
MODEL = ItemKNN().fit(SPLIT.train)
BUNDLE = Bundle(model=MODEL, dataset=DATASET, like=4.0)

KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], object]]] = {
    "dataset": (DATASET.save, Dataset.load),
    "split": (SPLIT.save, Split.load),
    "model": (MODEL.save, models.load),
    "bundle": (BUNDLE.save, Bundle.load),
}


@contextlib.contextmanager
def small_disk() -> Iterator[None]:
    """Let no file grow past 2 kB, as a full disk would; the error number differs, the path not.

    The limit holds for the whole process: as a fixture it would also stop pytest's own report where
    that goes to a file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_one_error_and_leaves_nothing(kind: str, tmp_path: Path) -> None:
    save, _ = KINDS[kind]
    refused = pytest.raises(ArtifactError, match="must be writable; .*nothing half-written")
    with refused, small_disk():
        save(tmp_path / "artifact")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_the_older_artifact_whole(kind: str, tmp_path: Path) -> None:
    save, load = KINDS[kind]
    save(tmp_path / "artifact")
    with pytest.raises(ArtifactError, match="must be writable"), small_disk():
        save(tmp_path / "artifact")
    load(tmp_path / "artifact")
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(which=st.integers(0, 20), place=st.floats(0, 1), damage=st.sampled_from(["cut", "flip"]))
def test_any_damage_to_any_file_is_an_artifact_error(
    kind: str, which: int, place: float, damage: str, tmp_path: Path
) -> None:
    save, load = KINDS[kind]
    folder = tmp_path / "artifact"
    shutil.rmtree(folder, ignore_errors=True)  # of the example before, whose damage nobody owns
    save(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    file = files[which % len(files)]
    content = bytearray(file.read_bytes())
    spot = min(int(place * len(content)), len(content) - 1)
    if damage == "cut":
        content = content[: min(spot, len(content) - 2)]  # a line's end more or less is no damage
    else:
        content[spot] ^= 0x55
    file.write_bytes(bytes(content))
    with pytest.raises(ArtifactError):
        load(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_an_artifact_of_another_kind_is_refused(kind: str, tmp_path: Path) -> None:
    save, _ = KINDS[kind]
    save(tmp_path / "artifact")
    for other, (_, load) in KINDS.items():
        if other != kind:
            with pytest.raises(ArtifactError, match=f"must hold a {other}"):
                load(tmp_path / "artifact")


REPORT = evaluate(MODEL, SPLIT.test, ["ndcg@10"])
ONES = DATASET.likes(4.0).user_items
# What people give in place of what is asked for, and the sentence that they read.
MISTAKEN: dict[str, tuple[Callable[[], object], str]] = {
    "a split for a fold": (
        lambda: evaluate(MODEL, SPLIT),
        "`fold` must be a Fold; got Split. A split has two, its `validation` and its `test`.",
    ),
    "a dataset for a fold": (
        lambda: evaluate(MODEL, DATASET),
        "`fold` must be a Fold; got Dataset. A split has two",
    ),
    "a class for a model": (
        lambda: evaluate(EASE, SPLIT.test),
        "`model` must be a fitted model; got the class EASE. Write EASE().fit(split.train).",
    ),
    "a split for validation": (
        lambda: ItemKNN().fit(SPLIT.train, validation=SPLIT),
        "`validation` must be a Fold; got Split. A split has two, its `validation` and its `test`.",
    ),
    "a matrix for a fold": (
        lambda: fit_calibrator(MODEL, SPLIT.train),
        "`fold` must be a Fold; got csr_array.",
    ),
    "a split for floors": (lambda: reference_reports(SPLIT), "`fold` must be a Fold; got Split."),
    "a table for a dataset": (
        lambda: split_ratings(FRAME),
        "`dataset` must be a Dataset; got DataFrame. `load_dataset` makes one of a file",
    ),
    "a path for a dataset": (
        lambda: strong_generalization("ratings.csv"),
        "`dataset` must be a Dataset; got str. `load_dataset` makes one of a file",
    ),
    "a split to be split": (
        lambda: leave_last_out(SPLIT),
        "`dataset` must be a Dataset; got Split.",
    ),
    "a table to look at": (lambda: overview(FRAME), "`dataset` must be a Dataset; got DataFrame."),
    "a dataset for a split": (
        lambda: split_overview(DATASET),
        "`split` must be a Split; got Dataset. `strong_generalization(dataset)` makes one",
    ),
    "a fold for a split": (
        lambda: assert_no_shared_pairs(SPLIT.test),
        "`split` must be a Split; got Fold.",
    ),
    "a dataset to search on": (
        lambda: search(ItemKNN(), DATASET, "ndcg@10", trials=1),
        "`split` must be a Split; got Dataset.",
    ),
    "a lone report": (
        lambda: compare(REPORT),
        "`reports` must be a list of Reports; got Report. Give what `evaluate` has returned.",
    ),
    "named reports": (
        lambda: leaderboard({"mine": REPORT}, "ndcg@10"),
        "`reports` must be a list of Reports; got dict.",
    ),
    "models for reports": (
        lambda: wins([REPORT, MODEL], "ndcg@10"),
        "`reports[1]` must be a Report; got ItemKNN. `evaluate(model, split.test)` makes one.",
    ),
    "a fold for a report": (
        lambda: by_history_length(SPLIT.test),
        "`report` must be a Report; got Fold.",
    ),
    "families without names": (
        lambda: choose([ItemKNN()], SPLIT, "ndcg@10"),
        "`candidates` must be a Mapping; got list. Give names to them",
    ),
    "models without names": (
        lambda: evaluate_all([MODEL], SPLIT, ["ndcg@10"]),
        "`models` must be a Mapping; got list. Give names to them, such as {'my model': model}.",
    ),
    "a table for a bundle": (
        lambda: Bundle(model=MODEL, dataset=FRAME),
        "`dataset` must be a Dataset; got DataFrame.",
    ),
    "many people at once": (
        lambda: BUNDLE.recommend([1, 2]),
        "The user must be one of the 60 known; got [1, 2]. Give one at a time.",
    ),
    "a threshold above all ratings": (
        lambda: DATASET.likes(6),
        "`min_value` must leave a like; the highest value is 5; got 6. Lower it.",
    ),
    "a threshold in quotes": (lambda: DATASET.likes("4"), "`min_value` must be a number; got '4'."),
    "a fold of tables": (
        lambda: Fold(fold_in=FRAME, targets=SPLIT.train),
        "must be SciPy CSR arrays of one shape; got DataFrame of shape",
    ),
    "a fold of two sizes": (
        lambda: Fold(fold_in=SPLIT.train, targets=SPLIT.train[:3]),
        "must be SciPy CSR arrays of one shape; got csr_array of shape (3, 40) as `targets`.",
    ),
    "a row without its brackets": (
        lambda: MODEL.score(SPLIT.train[0]),
        "`user_items` must have two dimensions; got 1. A single row is x[[0]].",
    ),
    "values for a model of likes": (
        lambda: Bundle(model=EASE().fit(ONES), dataset=DATASET, like=4.0),
        "`inputs` must be 'likes' for a model fitted on likes, each a 1; the dataset has values "
        "from 1 to 5. Give inputs='likes'",
    ),
    "likes for a model of values": (
        lambda: Bundle(model=MODEL, dataset=DATASET, inputs="likes", like=4.0),
        "`inputs` must be 'values' for a model fitted on values; got 'likes'.",
    ),
}


@pytest.mark.parametrize("case", MISTAKEN)
def test_one_thing_taken_for_another_is_said_with_the_way_to_the_right_one(case: str) -> None:
    call, said = MISTAKEN[case]
    with pytest.raises((TypeError, ValueError, DataError)) as caught:
        call()
    assert said in str(caught.value)


def test_a_single_id_needs_no_list() -> None:
    one, several = DATASET.item_ids[0], DATASET.item_ids[:1]
    for rule in ("history", "exclude", "only", "promote", "available"):
        found = [BUNDLE.recommend(**{rule: ids})["item_id"].tolist() for ids in (one, several)]
        assert found[0] == found[1]
    nobody = BUNDLE.recommend()["item_id"].tolist()
    assert BUNDLE.recommend(exclude=None, promote=None)["item_id"].tolist() == nobody


@pytest.mark.parametrize("ask", ["score", "score_blocks", "recommend"])
def test_a_model_of_likes_says_when_it_is_shown_ratings(ask: str, recwarn) -> None:
    likes = DATASET.likes(4.0).user_items
    model = EASE(l2=1.0).fit(likes)
    getattr(model, ask)(likes)
    assert not recwarn
    with pytest.warns(UserWarning, match="a 1, as those that EASE was fitted on; .* from 1 to 5"):
        getattr(model, ask)(DATASET.user_items)


def test_a_saved_model_knows_what_it_was_fitted_on(tmp_path: Path) -> None:
    EASE().fit(ONES).save(tmp_path / "likes")
    MODEL.save(tmp_path / "values")
    found = [models.load(tmp_path / name).saw_likes_ for name in ("likes", "values")]
    assert found == [True, False]
    nothing = EASE().fit(sparse.csr_array((4, 6), dtype=np.float32))
    assert nothing.saw_likes_ is None


def test_one_metric_and_one_model_need_no_list() -> None:
    others = [evaluate(ItemKNN(n_neighbors=1).fit(SPLIT.train), SPLIT.test, "ndcg@10", name="one")]
    compared = [compare([REPORT, *others], given).table for given in ("ndcg@10", ["ndcg@10"])]
    pd.testing.assert_frame_equal(*compared)
    tables = [metric_table(others, given) for given in ("ndcg@10", ["ndcg@10"])]
    pd.testing.assert_frame_equal(*tables)
    chosen = [choose({"knn": given}, SPLIT, "ndcg@10").models for given in (ItemKNN(), [ItemKNN()])]
    assert chosen[0] == chosen[1] == {"knn": ItemKNN()}


def test_two_datasets_can_be_asked_whether_they_are_the_same() -> None:
    assert DATASET == DATASET
    assert DATASET.likes(4.0) != DATASET
    assert len({SPLIT, SPLIT, SPLIT.test}) == 2


def test_every_entry_may_be_a_like() -> None:
    assert DATASET.likes(-np.inf).n_interactions == DATASET.n_interactions
