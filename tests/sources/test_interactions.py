"""Reading interactions: what is recognized, what is refused, and where the finger points."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recsys_lib.errors import DataError
from recsys_lib.sources import load_dataset, read_interactions, validate_interactions

GOOD = "user_id,item_id,rating,timestamp\nann,x,5,10\nbob,y,3,20\nann,y,4,30\n"


def write(folder: Path, text: str, name: str = "ratings.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def refused(source: object, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        read_interactions(source, **options)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize("sign", ["\t", ",", ";", "|", "::"])
def test_every_delimiter_reads_the_same_table(tmp_path: Path, sign: str) -> None:
    plain = read_interactions(write(tmp_path, GOOD))
    other = read_interactions(write(tmp_path, GOOD.replace(",", sign), "ratings.dat"))
    pd.testing.assert_frame_equal(plain, other)
    assert plain["user_id"].tolist() == ["ann", "bob", "ann"]
    assert plain["value"].tolist() == [5.0, 3.0, 4.0]
    assert plain["timestamp"].dt.second.tolist() == [10, 20, 30]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks_tell_the_encoding(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path, GOOD.replace("ann", "Zoë"), encoding=encoding)
    assert read_interactions(path)["user_id"].tolist() == ["Zoë", "bob", "Zoë"]


def test_the_same_table_in_every_format_gives_the_same_interactions(tmp_path: Path) -> None:
    wanted = read_interactions(write(tmp_path, GOOD))
    frame = pd.read_csv(tmp_path / "ratings.csv")
    frame.to_parquet(tmp_path / "ratings.parquet")
    frame.to_json(tmp_path / "ratings.jsonl", orient="records", lines=True)
    (tmp_path / "ratings.csv.gz").write_bytes(gzip.compress(GOOD.encode()))
    recbole = GOOD.replace(",", "\t").replace(
        "user_id\titem_id\trating\ttimestamp",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float",
    )
    write(tmp_path, recbole, "ratings.inter")
    sources = ["ratings.parquet", "ratings.jsonl", "ratings.csv.gz", "ratings.inter"]
    for source in [frame, *(tmp_path / name for name in sources)]:
        pd.testing.assert_frame_equal(read_interactions(source), wanted)


def test_a_hive_folder_reads_its_partitions_as_columns_and_a_glob_its_files(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user_id": ["a", "b"], "item_id": [1, 2], "day": ["d1", "d2"]})
    frame.to_parquet(tmp_path / "lake", partition_cols=["day"])
    (tmp_path / "lake" / "_SUCCESS").touch()
    assert read_interactions(tmp_path / "lake")["item_id"].tolist() == [1, 2]
    assert read_interactions(tmp_path / "lake", user="day")["user_id"].tolist() == ["d1", "d2"]
    frame.assign(day=["007", "7"]).to_parquet(tmp_path / "zeros", partition_cols=["day"])
    assert read_interactions(tmp_path / "zeros", user="day")["user_id"].tolist() == ["007", "7"]
    write(tmp_path, GOOD, "part-1.csv")
    write(tmp_path, GOOD.replace("bob", "cyd"), "part-2.csv")
    stacked = read_interactions(tmp_path / "part-*.csv")
    assert stacked["user_id"].tolist() == ["ann", "bob", "ann", "ann", "cyd", "ann"]
    write(tmp_path, GOOD.replace("3,", "bad,"), "part-2.csv")
    assert "line 3 of part-2.csv" in refused(tmp_path / "part-*.csv")


def test_ids_in_text_keep_their_zeros_and_na_is_a_name(tmp_path: Path) -> None:
    path = write(tmp_path, "user,item\n007,1\nNA,null\n")
    frame = read_interactions(path)
    assert frame["user_id"].tolist() == ["007", "NA"]
    assert frame["item_id"].tolist() == ["1", "null"]


def test_columns_are_recognized_by_common_names_or_named() -> None:
    frame = pd.DataFrame({"User ID": ["a"], "movieId": [7], "stars": [4], "noted": [1.5e9]})
    seen = read_interactions(frame, timestamp="noted")
    assert list(seen.columns) == ["user_id", "item_id", "value", "timestamp"]
    assert list(read_interactions(frame, value=None).columns) == ["user_id", "item_id"]


def test_users_items_and_times_may_stand_in_the_index() -> None:
    frame = pd.DataFrame({"user": ["a", "b"], "item": ["x", "y"], "rating": [4, 5]})
    frame["date"] = pd.to_datetime(["2024-05-01", "2024-06-01"])
    read = read_interactions(frame)
    for index in (["user"], ["user", "item"], ["date"]):
        pd.testing.assert_frame_equal(read_interactions(frame.set_index(index)), read)
    assert len(read_interactions(frame.set_index("date", drop=False))) == 2


def test_a_member_is_the_user_where_nobody_else_can_be() -> None:
    frame = pd.DataFrame({"member": ["a"], "product": ["x"], "when": ["2024-05-01"]})
    assert list(read_interactions(frame).columns) == ["user_id", "item_id", "timestamp"]
    for name in ("visitor", "shopper", "student_id"):
        assert list(read_interactions(frame.rename(columns={"member": name}))["user_id"]) == ["a"]
    orders = frame.assign(customer="b", employee_id="c", date="2024-06-01")
    assert list(read_interactions(orders)["user_id"]) == ["b"]
    assert list(read_interactions(orders)["timestamp"].dt.month) == [6]


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        (["who", "item"], {}, r"column for the user; none is recognized among \['who', 'item'\]"),
        (["user", "login", "item"], {}, r"several could be it: \['user', 'login'\]"),
        (["user_id", "item_id"], {"item": "item_di"}, r"'item_di' .* Did you mean 'item_id'\?"),
        (["user_id", "item_id"], {"item": "user_id"}, "'user_id' is taken for `user` and `item`"),
        (["Report of May"], {}, "two columns or more: remove lines above it, or give `delimiter`"),
    ],
)
def test_missing_and_ambiguous_columns_list_what_there_is(
    columns: list[str], options: dict[str, str], said: str
) -> None:
    frame = pd.DataFrame([["a"] * len(columns)], columns=columns)
    with pytest.raises(DataError, match=said):
        read_interactions(frame, **options)  # type: ignore[arg-type]


def test_a_column_for_each_item_is_told_how_to_become_rows(tmp_path: Path) -> None:
    tall = pd.DataFrame({"user": ["a", "a", "b"], "item": ["7", "9", "7"], "value": [1, 5, 3]})
    items = [str(i) for i in range(30)]
    wide = tall.pivot_table(index="user", columns="item", values="value").reindex(columns=items)
    wide.to_csv(tmp_path / "wide.csv")
    with pytest.raises(DataError, match="for the item; none is recognized .* and 11 more") as found:
        read_interactions(tmp_path / "wide.csv")
    remedy = """frame.melt('user', var_name="item", value_name="value").dropna()"""
    assert remedy in str(found.value)
    frame = pd.read_csv(tmp_path / "wide.csv")
    rows = frame.melt("user", var_name="item", value_name="value").dropna()
    read = read_interactions(rows).sort_values(["user_id", "item_id"], ignore_index=True)
    assert list(read["item_id"]) == ["7", "9", "7"]
    assert list(read["value"]) == [1, 5, 3]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("cyd,z,good,40", "'rating' of ratings.csv must hold finite numbers; line 5 has 'good'"),
        ("cyd,z,nan,40", "line 5 has 'nan'"),
        ("cyd,z,-inf,40", "line 5 has '-inf'"),
        ("cyd,z,1e300,40", "line 5 has '1e300'"),
        ("cyd,z,,40", "'rating' .* line 5 has none. Drop the rows, or give value=None"),
        ("cyd,z,6,40", r"'rating' .* must lie in the declared scale 1 to 5; line 5 has '6'"),
        (",z,4,40", "'user_id' of ratings.csv must hold an id in each row; line 5 has none"),
        ("cyd, ,4,40", "'item_id' .* line 5 has none"),
        ("cyd,z,4,soon", "'timestamp' .* must hold times.* line 5 has 'soon'"),
        ("cyd,z,4", "'timestamp' .* line 5 has none. .* timestamp=None"),
        (
            "cyd,z,4,40,50",
            "must have the 4 fields of its header or `columns`; Expected 4 fields in line 5",
        ),
        ('"cyd,z,4,40', "must enclose whole fields; line 5 has"),
    ],
)
def test_each_bad_cell_is_named_with_file_column_and_line(
    tmp_path: Path, row: str, said: str
) -> None:
    path = write(tmp_path, f"{GOOD}{row}\n")
    with pytest.raises(DataError, match=said):
        read_interactions(path, rating_scale=(1, 5))


def test_lines_are_counted_in_the_file_blank_and_quoted_ones_included(tmp_path: Path) -> None:
    path = write(tmp_path, 'user,item,rating\nann,"x\ny",5\n\nbob,z,bad\ncyd,z,worse\n')
    assert "line 5 and line 6 (the first has 'bad')" in refused(path)
    headless = write(tmp_path, "ann,x,5\nbob,y,bad\n")
    assert "line 2 has 'bad'" in refused(headless, columns=["user", "item", "rating"])


def test_rows_of_other_sources_have_their_own_names(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user": ["a", "b"], "item": ["x", "y"], "rating": [1.0, np.inf]})
    assert "index 17 has" in refused(frame.set_axis([3, 17]))
    frame.to_parquet(tmp_path / "r.parquet")
    assert "largest of float32; row 2 has inf" in refused(tmp_path / "r.parquet")
    lines = ['{"user": "a", "item": 1}', "", '{"user": "b", "item": "x"}']
    path = write(tmp_path, "\n".join(lines), "r.jsonl")
    assert "all strings or all whole numbers; line 3 has 'x'" in refused(path)


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([1, "b", "c"], r"index 0 has 1 \(2 str, 1 int in all\)"),
        ([1.0, 2.5, 3.0], "must be strings or whole numbers .*; index 1 has"),
        ([True, False, True], "index 0, index 1 and index 2 .the first has True"),
        ([2.0**53, 1.0, 2.0], "whole numbers below 9.0072e.15 as float64; index 0 has"),
        ([b"a", b"b", b"c"], "3 bytes in all"),
    ],
)
def test_ids_are_strings_or_whole_numbers(ids: list[object], said: str) -> None:
    frame = pd.DataFrame({"user": ids, "item": ["x", "y", "z"]})
    with pytest.raises(DataError, match=said):
        read_interactions(frame)


def test_whole_floats_are_integers_because_pandas_made_them_floats() -> None:
    frame = pd.DataFrame({"user": [1.0, 2.0], "item": pd.array([1, 2], dtype="Int64")})
    assert read_interactions(frame).dtypes.astype(str).tolist() == ["int64", "int64"]


@pytest.mark.parametrize(
    ("policy", "values"), [("last", [3.0, 9.0]), ("mean", [2.0, 9.0]), ("sum", [4.0, 9.0])]
)
def test_repeated_pairs_follow_the_policy(policy: str, values: list[float]) -> None:
    frame = pd.DataFrame(
        {"user": ["a", "b", "a"], "item": ["x"] * 3, "value": [3, 9, 1], "time": [30, 20, 10]}
    )
    merged = read_interactions(frame, duplicates=policy)  # type: ignore[arg-type]
    assert merged["value"].tolist() == values
    assert merged["timestamp"].dt.second.tolist() == [30, 20]
    dataset = load_dataset(frame, duplicates=policy)  # type: ignore[arg-type]
    assert dataset.user_items.toarray().ravel().tolist() == values
    said = refused(frame, duplicates="error")
    assert "index 2 has user 'a' and item 'x' again" in said
    said = refused(frame.replace({"item": {"x": 1}}), duplicates="error")
    assert "index 2 has user 'a' and item 1 again" in said
    assert len(read_interactions(frame)) == 3


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_the_size_of_a_number_tells_its_unit(unit: int) -> None:
    seconds = np.array([881250949, 1700000000])
    frame = pd.DataFrame({"user": ["a", "b"], "item": ["x", "y"], "ts": seconds * unit})
    read = read_interactions(frame)["timestamp"]
    assert read.tolist() == pd.to_datetime(seconds, unit="s", utc=True).tolist()


def test_times_of_all_zones_become_utc() -> None:
    times = ["2024-01-01T12:00:00+02:00", "2024-01-01", "2024-01-01 10:00:00Z"]
    frame = pd.DataFrame({"user": list("abc"), "item": list("xyz"), "time": times})
    hours = read_interactions(frame)["timestamp"].dt.hour.tolist()
    assert hours == [10, 0, 10]


def test_a_part_of_the_times_without_their_zone_is_reported() -> None:
    times = ["2024-01-01T12:00+02:00", "2024-01-01", "2024-01-01 10:00", "2024-01-01T10:00:00Z"]
    frame = pd.DataFrame({"user": list("abcd"), "item": list("wxyz"), "time": times})
    report = validate_interactions(frame).set_index("check")
    assert report.index.tolist() == ["mixed time zones"]
    assert report["places"].tolist() == ["index 2"]
    assert report["severity"].tolist() == ["warning"]
    assert validate_interactions(frame.drop(index=[0, 3])).empty
    assert len(read_interactions(frame)) == 4
    frame["time"] = [times[0], b"\x80", *times[2:]]  # what is no text has no zone either
    assert validate_interactions(frame)["check"].tolist() == ["not a time", "mixed time zones"]


def test_lenient_mode_drops_bad_rows_and_says_how_many(tmp_path: Path) -> None:
    path = write(tmp_path, f"{GOOD}cyd,z,good,40\n,z,4,40\n")
    with pytest.warns(UserWarning, match="2 of 5 rows dropped") as told:
        assert len(read_interactions(path, mode="lenient")) == 3
    assert "(1 null in 'user_id', 1 not a number in 'rating')" in str(told[0].message)
    worst = write(tmp_path, "user,item,rating\na,x,bad\n", "worst.csv")
    assert "all 1 have some" in refused(worst, mode="lenient")


def test_the_report_lists_every_problem_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, f"{GOOD}Ann ,z,good,40\nann,x,7,50\n")
    report = validate_interactions(path, rating_scale=(1, 5))
    assert report["check"].tolist() == [
        "not a number",
        "outside the scale",
        "repeated pair",
        "look-alike ids",
    ]
    assert report["severity"].tolist() == ["error", "error", "warning", "warning"]
    assert report["places"].tolist()[:3] == ["line 5", "line 6", "line 6"]
    assert validate_interactions(write(tmp_path, GOOD)).empty


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"", "a.csv", "a.csv must hold a header and rows; it is empty"),
        (b"user,item\n", "a.csv", "must have at least one row"),
        (b"user,item\n\xe9,x\n", "a.csv", 'encoding .utf-8.; .* encoding="latin-1"'),
        (b"PAR1 half", "a.parquet", "a.parquet must be readable"),
        (b"\x1f\x8bhalf", "a.csv.gz", "a.csv.gz must be readable"),
        (b"[1]\n", "a.jsonl", "object 1 is 1. Write"),
        (b"{\n", "a.jsonl", "a.jsonl must be JSON; line 1: Exp"),
        (b"user,user,item\na,b,c\n", "a.csv", r"\['user'\] occur twice"),
        (b"1,2,3\n4,5,6\n", "a.csv", "looks like data: .* give `columns`"),
        (b"\x80\x04x", "a.pkl", "it holds pickle. Read it with pandas"),
    ],
)
def test_unreadable_files_say_what_they_must_be(
    tmp_path: Path, content: bytes, name: str, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_interactions(tmp_path / name)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    assert "nothing is at" in refused(tmp_path / "none.csv")
    assert "none is in" in refused(tmp_path / "*.csv")
    assert "none is in" in refused(tmp_path)
    with pytest.raises(TypeError, match="must be a DataFrame or a path; got list"):
        read_interactions([("a", "x")])  # type: ignore[arg-type]


def test_the_frame_given_is_not_modified() -> None:
    frame = pd.DataFrame({"user": ["a", None], "item": ["x", "y"]}, index=[5, 6])
    before = frame.copy(deep=True)
    refused(frame)
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.skipif("RECSYS_DATASETS" not in os.environ, reason="RECSYS_DATASETS is not set")
def test_movielens_100k_is_read_as_it_is_distributed_by_recbole() -> None:
    folder = Path(os.environ["RECSYS_DATASETS"]) / "ml-100k"
    dataset = load_dataset(
        folder / "ml-100k.inter", items=folder / "ml-100k.item", users=folder / "ml-100k.user"
    )
    assert (dataset.n_users, dataset.n_items, dataset.n_interactions) == (943, 1682, 100_000)
    assert dataset.rating_scale == (1.0, 5.0)
    assert dataset.items is not None
    assert dataset.items.loc["1", "title"] == "Toy Story"
    assert dataset.users is not None
    assert dataset.users["zip_code"].str.startswith("0").any()


def test_json_lines_may_leave_null_keys_out(tmp_path: Path) -> None:
    lines = [{"user": "a", "item": "x"}, {"user": "b", "item": "y", "rating": 3}]
    path = write(tmp_path, "\n".join(map(json.dumps, lines)), "r.jsonl")
    assert "line 1 has none" in refused(path)
