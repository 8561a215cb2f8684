"""Ids stop at the dataset, and every bad cell is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recsys_lib.dataset import Dataset, Fold, Split, likes_of
from recsys_lib.errors import ArtifactError, DataError
from recsys_lib.evaluation import evaluate
from recsys_lib.models import Popularity
from recsys_lib.sources import load_dataset
from recsys_lib.splitting import split_ratings

FRAME = pd.DataFrame(
    {
        "user_id": ["bob", "ann", "ann", "cyd"],
        "item_id": ["y", "x", "y", "x"],
        "value": [1.0, 2.0, 0.0, 5.0],
        "timestamp": [40.0, 10.0, 20.0, 30.0],
    }
)


def test_positions_follow_the_sorted_ids_and_zero_ratings_stay() -> None:
    dataset = Dataset.from_frame(FRAME, timestamp="timestamp")
    assert dataset.user_ids.tolist() == ["ann", "bob", "cyd"]
    np.testing.assert_array_equal(dataset.user_items.toarray(), [[2, 0], [0, 1], [5, 0]])
    assert dataset.n_interactions == 4
    assert dataset.rating_scale == (0.0, 5.0)
    assert (dataset.timestamps / 1e9).tolist() == [10, 20, 40, 30]


def test_the_catalog_fixes_the_items() -> None:
    items = pd.DataFrame({"item_id": ["z", "y", "x"], "title": ["Z", "Y", "X"]})
    dataset = Dataset.from_frame(FRAME, items=items)
    assert dataset.item_ids.tolist() == ["z", "y", "x"]
    assert dataset.user_items.toarray()[:, 0].tolist() == [0, 0, 0]
    assert dataset.items["title"].tolist() == ["Z", "Y", "X"]
    with pytest.raises(DataError, match="'y' is not"):
        Dataset.from_frame(FRAME, items=items[items["item_id"] != "y"])


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 6), st.sampled_from("abcde"), st.integers(1, 9)),
        min_size=1,
        unique_by=lambda row: row[:2],
    )
)
def test_a_table_survives_the_round_trip(rows: list[tuple[int, str, int]]) -> None:
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "value"])
    back = Dataset.from_frame(frame).to_frame()
    assert sorted(back.itertuples(index=False, name=None)) == sorted(rows)


@pytest.mark.parametrize(
    ("policy", "value", "time"), [("last", 4.0, 30), ("mean", 3.0, 30), ("sum", 6.0, 30)]
)
def test_duplicates_follow_the_policy(policy: str, value: float, time: int) -> None:
    frame = pd.DataFrame({"u": [1, 1], "i": [7, 7], "v": [4.0, 2.0], "t": [30, 10]})
    names = {"user": "u", "item": "i", "value": "v", "timestamp": "t"}
    dataset = Dataset.from_frame(frame, **names, duplicates=policy)
    assert dataset.user_items.data.tolist() == [value]
    assert dataset.timestamps.tolist() == [time * 10**9]
    assert (dataset.rating_scale is None) == (policy == "sum")


def with_cell(column: str, value: object) -> pd.DataFrame:
    frame = FRAME.astype(object)
    frame.loc[2, column] = value
    return frame


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.drop(columns="value"), "Column 'value' must be in the table; it has 'user_id'"),
        (FRAME.iloc[:0], "must have at least one row"),
        (
            with_cell("user_id", None),
            "Column 'user_id' of the DataFrame must hold an id in each row; index 2",
        ),
        (
            with_cell("item_id", np.nan),
            "Column 'item_id' of the DataFrame must hold an id in each row; index 2",
        ),
        (
            with_cell("user_id", 7),
            r"'user_id' .* all strings or all whole numbers; index 2 has 7 \(3 str, 1 int in all",
        ),
        (with_cell("value", "three"), "'value' .* must hold finite numbers; index 2 has 'three'"),
        (with_cell("value", np.inf), "'value' .* must hold finite numbers up to 3.4.*; index 2"),
        (with_cell("value", 11), "'value' .* in the declared scale 0 to 10; index 2 has 11"),
        (with_cell("item_id", "x"), "index 2 has user 'ann' and item 'x' again"),
        (
            with_cell("timestamp", "noon-ish"),
            "'timestamp' .* must hold times.*; index 2 has 'noon-ish'",
        ),
        (with_cell("timestamp", None), "'timestamp' .* must hold times; index 2 has none"),
    ],
)
def test_bad_tables_name_the_column_and_the_row(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Dataset.from_frame(frame, timestamp="timestamp", rating_scale=(0, 10))


@pytest.mark.parametrize("times", [[1.7e12] * 4, [20231114] * 4, ["14/11/2023"] * 4])
def test_times_are_read_as_by_load_dataset_and_never_as_other_seconds(times: list[Any]) -> None:
    frame = FRAME.assign(timestamp=times)
    dataset = Dataset.from_frame(frame, timestamp="timestamp")
    np.testing.assert_array_equal(dataset.timestamps, load_dataset(frame).timestamps)
    assert str(dataset.to_frame()["timestamp"].iloc[0].date()) == "2023-11-14"


@pytest.mark.parametrize("times", [["01/02/2024"] * 4, [45322] * 4])
def test_times_with_two_meanings_are_asked_about_where_they_can_be_given(times: list[Any]) -> None:
    frame = FRAME.assign(timestamp=times)
    with pytest.raises(DataError, match="have one meaning; .*date_format=.*of `load_dataset`"):
        Dataset.from_frame(frame, timestamp="timestamp")


def test_datetimes_and_zones_become_utc() -> None:
    zoned = pd.to_datetime(["2026-01-01 01:00"] * 4).tz_localize("Europe/Sofia")
    dataset = Dataset.from_frame(FRAME.assign(timestamp=zoned), timestamp="timestamp")
    assert dataset.to_frame()["timestamp"].iloc[0] == pd.Timestamp("2025-12-31 23:00", tz="UTC")


def test_unknown_ids_are_named() -> None:
    dataset = Dataset.from_frame(FRAME)
    assert dataset.user_positions(["cyd", "ann"]).tolist() == [2, 0]
    assert dataset.user_positions("ann").tolist() == [0]
    with pytest.raises(DataError, match="'dan' is not"):
        dataset.user_positions(["ann", "dan"])


def test_likes_keep_users_and_items() -> None:
    likes = Dataset.from_frame(FRAME, timestamp="timestamp").implicit(min_value=2)
    np.testing.assert_array_equal(likes.user_items.toarray(), [[1, 0], [0, 0], [1, 0]])
    assert (likes.timestamps / 1e9).tolist() == [10, 30]
    assert likes.rating_scale is None


def test_a_saved_dataset_comes_back_whole(tmp_path: Path) -> None:
    users = pd.DataFrame({"role": ["dev", "ops", "dev"]}, index=["cyd", "bob", "ann"])
    dataset = Dataset.from_frame(FRAME, timestamp="timestamp", users=users)
    dataset.save(tmp_path / "d")
    back = Dataset.load(tmp_path / "d")
    np.testing.assert_array_equal(back.user_items.toarray(), dataset.user_items.toarray())
    assert back.user_items.nnz == dataset.user_items.nnz
    assert back.user_ids.equals(dataset.user_ids)
    assert back.item_ids.equals(dataset.item_ids)
    pd.testing.assert_frame_equal(back.users, dataset.users)
    assert back.items is None
    assert back.rating_scale == dataset.rating_scale
    np.testing.assert_array_equal(back.timestamps, dataset.timestamps)
    with pytest.raises(ArtifactError, match="must hold a split"):
        Split.load(tmp_path / "d")


def test_a_saved_split_comes_back_whole(tmp_path: Path) -> None:
    split = split_ratings(Dataset.from_frame(FRAME), validation=0.25, test=0.25)
    split.save(tmp_path / "s")
    back = Split.load(tmp_path / "s")
    for part in ("validation", "test"):
        ours, theirs = getattr(split, part), getattr(back, part)
        for name in ("fold_in", "targets"):
            a, b = getattr(ours, name), getattr(theirs, name)
            np.testing.assert_array_equal(a.toarray(), b.toarray())
            assert a.nnz == b.nnz
        np.testing.assert_array_equal(ours.users, theirs.users)


def test_a_fold_takes_rows() -> None:
    x = Dataset.from_frame(FRAME).user_items
    taken = Fold(fold_in=x, targets=x, users=np.array([4, 5, 6])).take(np.array([2, 0]))
    assert taken.users.tolist() == [6, 4]
    assert taken.fold_in.toarray().tolist() == [[5, 0], [2, 0]]


def test_some_users_keep_their_rows_their_times_and_all_items() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"user_id": rng.integers(0, 9, 60), "item_id": rng.integers(0, 20, 60)})
    frame = frame.drop_duplicates().assign(value=1.0)
    frame["timestamp"] = pd.to_datetime(rng.integers(0, 10**9, len(frame)), unit="s", utc=True)
    users = pd.DataFrame({"role": list("abcdefghi")}, index=range(9))
    whole = Dataset.from_frame(frame, users=users, timestamp="timestamp")
    some = whole.take_users(np.array([7, 2, 3]))
    assert some.item_ids.equals(whole.item_ids)
    assert some.user_ids.tolist() == [7, 2, 3]
    assert some.users is not None
    assert some.users["role"].tolist() == ["h", "c", "d"]
    by = ["user_id", "item_id"]
    wanted = whole.to_frame().query("user_id in [7, 2, 3]").sort_values(by, ignore_index=True)
    pd.testing.assert_frame_equal(some.to_frame().sort_values(by, ignore_index=True), wanted)


F = FRAME.drop(columns="timestamp")
HALF = np.array([2049, 2051, 4097, 1], dtype="float16")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"item_id": HALF},
            "'item_id' .* strings or whole numbers below 2048 as float16; index 0",
        ),
        ({"item_id": np.float32([2**24, 1, 2, 3])}, "below 1.67772e[+]07 as float32; index 0"),
        ({"item_id": [1.5, 2, 3, 4]}, "must be strings or whole numbers .*; index 0 has"),
        (
            {"user_id": [(1, 2), (1, 3), (1, 4), (1, 5)]},
            r"'user_id' .* all strings .*\(1, 2\) \(4 tuple in all",
        ),
        (
            {"user_id": pd.to_datetime(["2020-01-01"] * 4)},
            r"4 Timestamp in all\)\)\. Cast the column",
        ),
        (
            {"value": [1, 2, 3, 1e39]},
            "'value' .* must hold finite numbers up to 3.4e[+]38.*index 3",
        ),
        ({"value": pd.to_datetime(["2020-01-01"] * 4)}, "'value' .* must hold finite numbers"),
        (
            {"timestamp": pd.to_datetime(["2020-01-01", "9999-12-31"] * 2)},
            "1678 to 2261; index 1 and",
        ),
        ({"timestamp": ["2020-01-01", "01/02/2024"] * 2}, "ISO 8601, .*; index 1 and index 3"),
        ({"timestamp": [20240131, 20240230, 20231231, 20240131]}, "must hold times.*; index 1 has"),
    ],
)
def test_what_load_dataset_refuses_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Dataset.from_frame(
            F.assign(**change), timestamp="timestamp" if "timestamp" in change else None
        )


def test_a_column_that_stands_twice_and_half_a_scale_are_named() -> None:
    with pytest.raises(TypeError, match="`items` must be a DataFrame; got list. Wrap it with pan"):
        Dataset.from_frame(F, items=["x"])
    with pytest.raises(TypeError, match=r"`frame` must .* str. Read a file with load_dataset\("):
        Dataset.from_frame("ratings.csv")
    with pytest.raises(DataError, match=r"must have one name each; \['value'\] occur twice"):
        Dataset.from_frame(pd.concat([F, F[["value"]]], axis=1))
    with pytest.raises(
        ValueError, match=r"must be \(lowest, highest\), two numbers .*got \(1, None\)"
    ):
        Dataset.from_frame(F, rating_scale=(1, None))


@pytest.mark.parametrize(
    ("column", "back"),
    [
        ([4.99, "Free To Play"], ["4.99", "Free To Play"]),
        ([["a"], "b"], ["['a']", "b"]),
        (pd.Categorical([1.5, "a"]), ["1.5", "a"]),
        (pd.arrays.SparseArray([0, 1]), [0, 1]),
        (
            pd.array([["a"], ["b", "c"]], dtype=pd.ArrowDtype(pa.list_(pa.string()))),
            [["a"], ["b", "c"]],
        ),
        ([{"b", "a"}, None], [["a", "b"], None]),
    ],
)
def test_any_column_of_a_catalog_is_saved_and_read(
    column: Any, back: list[Any], tmp_path: Path
) -> None:
    items = pd.DataFrame({"odd": column, 5: [1, 2]}, index=["x", "y"])
    dataset = Dataset.from_frame(F, items=items)
    dataset.save(tmp_path / "d")
    read = Dataset.load(tmp_path / "d").items
    plain = [one if one is None or np.isscalar(one) else sorted(one) for one in read["odd"]]
    assert plain == back
    assert read["5"].tolist() == [1, 2]


def test_tables_of_others_and_levels_of_an_index_are_read_as_columns() -> None:
    wanted = Dataset.from_frame(F, items=pd.DataFrame({"item_id": F["item_id"].unique()}))
    table = pa.Table.from_pandas(F)
    catalog = pa.table({"item_id": F["item_id"].unique()})
    for frame, items in ((table, catalog), (F.set_index(["user_id", "item_id"]), wanted.items)):
        found = Dataset.from_frame(frame, items=items)
        assert found.user_ids.equals(wanted.user_ids)
        assert found.item_ids.equals(wanted.item_ids)
        assert (found.user_items != wanted.user_items).nnz == 0
    named = F.assign(value=np.nan).rename_axis("line").rename(index=lambda row: f"line {row}")
    with pytest.raises(DataError, match="index 'line 0', index 'line 1'"):
        Dataset.from_frame(named)


def test_one_column_plays_one_role_and_ids_have_one() -> None:
    with pytest.raises(DataError, match="'user_id' is taken for `user` and `item`"):
        Dataset.from_frame(F, item="user_id")
    with pytest.raises(DataError, match="Column 'None' must be in the table"):
        Dataset.from_frame(F, user=None)


def test_a_catalog_without_its_ids_is_told_by_what_it_begins_with() -> None:
    with pytest.raises(DataError, match=r"is not \(row 0\), they begin with 0, 1, 2. .* list it"):
        Dataset.from_frame(F, items=pd.DataFrame({"title": ["A", "B", "C", "D"]}))


def test_a_negative_zero_is_a_zero() -> None:
    ratings = Dataset.from_frame(F.assign(value=-0.0))
    assert "ratings 0 to 0" in repr(ratings)
    assert not np.signbit(ratings.user_items.data).any()


def test_ids_of_more_than_64_bits_are_refused_before_they_cannot_be_saved() -> None:
    frame = pd.DataFrame({"user_id": [7, 2**70], "item_id": [1, 2]})
    with pytest.raises(DataError, match=r"'user_id' .* whole numbers below 2\*\*63; index 1 has"):
        Dataset.from_frame(frame, value=None)


def test_whole_floats_are_ids_and_a_catalog_has_ids_of_one_kind() -> None:
    ids = {"item_id": [1.0, 2.0, 3.0, 4.0]}
    assert Dataset.from_frame(F.assign(**ids)).item_ids.tolist() == [1, 2, 3, 4]
    with pytest.raises(
        DataError, match="'item_id' of `items` must be all strings .*; index 1 has 1"
    ):
        Dataset.from_frame(F, items=pd.DataFrame({"title": ["X", "Y"]}, index=["x", 1]))


@pytest.mark.parametrize(("scale", "like"), [((1, 10), 7), ((1, 5), 4), ((0.5, 5), 3.5)])
def test_a_like_is_by_default_a_rating_in_the_upper_third_of_the_scale(scale, like) -> None:
    levels = np.arange(scale[0], scale[1] + 0.1, 0.5 if scale[0] < 1 else 1.0)
    frame = pd.DataFrame({"user_id": 1, "item_id": np.arange(len(levels)), "value": levels})
    dataset = Dataset.from_frame(frame, rating_scale=scale)
    assert dataset.like_threshold() == like
    assert dataset.like_threshold(4.5) == 4.5
    assert dataset.likes().n_interactions == (levels >= like).sum()


def test_a_like_outside_the_scale_is_refused() -> None:
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "value": [1, 5]})
    dataset = Dataset.from_frame(frame)
    with pytest.raises(DataError, match=r"above 1 and up to 5; got 7\.0\. Try 5\."):
        dataset.like_threshold(7.0)
    with pytest.raises(DataError, match="above 1 and up to 5; got abc"):
        dataset.like_threshold("abc")


def test_without_a_scale_every_interaction_is_a_like() -> None:
    likes = Dataset.from_frame(FRAME).likes(2)
    assert likes.like_threshold() == 1.0
    assert likes.like_threshold(7.0) == 1.0
    np.testing.assert_array_equal(likes.likes().user_items.toarray(), likes.user_items.toarray())


def test_likes_are_ones_and_leave_the_ratings_as_they_are() -> None:
    ratings = sparse.csr_array([[9.0, 2.0, 0.0], [8.0, 0.0, 3.0]], dtype=np.float32)
    before = ratings.toarray()
    np.testing.assert_array_equal(likes_of(ratings, 7.0).toarray(), [[1, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(likes_of(ratings).toarray(), before > 0)
    assert likes_of(ratings, 7.0).nnz == 2
    np.testing.assert_array_equal(ratings.toarray(), before)
    stored_zero = sparse.csr_array((np.zeros(1, np.float32), ([0], [1])), shape=(1, 2))
    assert likes_of(stored_zero).toarray().tolist() == [[0.0, 1.0]]


def test_users_of_a_fold_are_positions_unless_they_are_named() -> None:
    rows = sparse.csr_array(np.eye(3, dtype=np.float32))
    fold = Fold(fold_in=rows, targets=rows[[1, 2, 0]])
    assert fold.users.tolist() == [0, 1, 2]
    assert fold.take(np.array([2, 0])).users.tolist() == [2, 0]
    assert Fold(fold_in=rows, targets=rows, users=np.array([7, 5, 3])).users.tolist() == [7, 5, 3]
    report = evaluate(Popularity().fit(rows), fold, ["recall@3"])
    assert report.protocol["n_users"] == 3


def test_likes_of_a_fold_keep_the_users_who_have_some_to_find() -> None:
    seen = sparse.csr_array([[9.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    fold = Fold(fold_in=seen, targets=sparse.csr_array([[0, 2.0, 8.0], [0, 5.0, 0]])).likes(7.0)
    assert fold.users.tolist() == [0]
    assert fold.fold_in.toarray().tolist() == [[1.0, 0.0, 0.0]]
    assert fold.targets.toarray().tolist() == [[0.0, 0.0, 1.0]]


def test_users_of_a_fold_are_a_whole_number_for_each_row() -> None:
    rows = sparse.csr_array(np.eye(3, dtype=np.float32))
    assert Fold(fold_in=rows, targets=rows, users=[2, 1, 0]).take(np.array([0])).users == [2]
    for users in ([1, 2], ["a", "b", "c"], np.eye(3, dtype=int)):
        with pytest.raises(ValueError, match="`users` must be the position of each of the 3 rows"):
            Fold(fold_in=rows, targets=rows, users=users)


def test_a_mask_is_not_taken_for_positions_of_users() -> None:
    dataset = Dataset.from_frame(FRAME)
    with pytest.raises(
        ValueError, match=r"`users` must be a list of positions from 0 to 2; .*flatnonzero"
    ):
        dataset.take_users(np.diff(dataset.user_items.indptr) > 1)


@pytest.mark.parametrize("build", [Dataset.from_frame, load_dataset])
def test_pairs_without_values_are_counted(build: Any) -> None:
    frame = pd.DataFrame({"user_id": ["a", "b", "a"], "item_id": ["x", "y", "x"]})
    found = build(frame, value=None, duplicates="sum")
    assert found.user_items.toarray().tolist() == [[2, 0], [0, 1]]
    assert found.rating_scale is None


def test_an_unlisted_id_is_named_by_its_own_column() -> None:
    frame = FRAME.rename(columns={"user_id": "login"})
    with pytest.raises(DataError, match="Every 'login' must be among the 1 known ids"):
        Dataset.from_frame(frame, user="login", users=pd.DataFrame({"login": ["ann"]}))
