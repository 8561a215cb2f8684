"""Ids stay who they are, and tables of any library are taken."""

import datetime as dt
import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_lib.errors import ConfigError, DataError
from recsys_lib.sources import (
    load_dataset,
    read_catalog,
    read_interactions,
    validate_interactions,
)

STEAM = 76561198007712555  # beyond 2**53, where floats skip whole numbers


def arrow(values: list[Any], kind: Any) -> pd.Series:
    return pd.Series(values, dtype=pd.ArrowDtype(kind))


@pytest.mark.parametrize(
    "ids",
    [
        pd.Series([STEAM, None, 1], dtype=object),
        pd.Series([STEAM, None, 1], dtype="Int64"),
        arrow([STEAM, None, 1], pa.int64()),
        pd.Series(pd.Categorical([STEAM, None, 1])),
        pd.Series([Decimal(STEAM), None, Decimal(1)], dtype=object),
        *("jsonl", "parquet", "sqlite", "duckdb"),
    ],
    ids=lambda ids: str(getattr(ids, "dtype", ids)),
)
def test_a_null_beside_large_ids_costs_its_own_row_only(ids: Any, tmp_path: Path) -> None:
    source, path = pd.DataFrame({"user_id": [STEAM, None, 1], "item_id": list("xyz")}), None
    if isinstance(ids, str):
        path = tmp_path / f"likes.{ids}"
        fill(path, ids)
    else:
        source["user_id"] = ids
    with pytest.warns(UserWarning, match="1 of 3 rows dropped"):
        frame = read_interactions(path or source, mode="lenient")
    assert frame["user_id"].tolist() == [STEAM, 1]


def fill(path: Path, kind: str) -> None:
    if kind == "jsonl":
        rows = [{"user_id": STEAM, "item_id": "x"}, {"user_id": None, "item_id": "y"}]
        path.write_text("\n".join(map(json.dumps, [*rows, {"user_id": 1, "item_id": "z"}])))
        return
    if kind == "parquet":
        pq.write_table(pa.table({"user_id": [STEAM, None, 1], "item_id": list("xyz")}), path)
        return
    pytest.importorskip("ibis", reason="the extra [sql] is not installed")
    made = "CREATE TABLE likes (user_id BIGINT, item_id TEXT)"
    fill_it = f"INSERT INTO likes VALUES ({STEAM}, 'x'), (NULL, 'y'), (1, 'z')"
    if kind == "sqlite":
        with closing(sqlite3.connect(path)) as shop, shop:
            shop.execute(made)
            shop.execute(fill_it)
        return
    import duckdb

    with duckdb.connect(str(path)) as shop:
        shop.execute(made)
        shop.execute(fill_it)


def test_the_ends_of_int64_are_ids_and_what_is_beyond_says_so() -> None:
    ends = [2**63 - 1, -(2**63)]
    frame = pd.DataFrame({"user": ends, "item": ["x", "y"]})
    assert read_interactions(frame)["user_id"].tolist() == ends
    frame["user"] = pd.Series([2**63, 1], dtype="uint64")
    with pytest.raises(DataError, match=r"below 2\*\*63; index 0 has 9223372036854775808. Cast"):
        read_interactions(frame)


@pytest.mark.parametrize(
    "column",
    [
        {"timestamp": arrow([dt.date(2024, 1, 1)] * 2, pa.date32())},
        {"timestamp": pd.Categorical(["2024-01-01", "2024-01-01"])},
        {"rating": pd.Categorical([3, 4])},
        {"rating": pd.Categorical(["3", "4"])},
        {"rating": arrow([3, 4], pa.decimal128(5, 2))},
        {"user_id": arrow(["a", "b"], pa.string()), "rating": arrow([3, 4], pa.int8())},
        {"user_id": arrow(["a", "b"], pa.string()).astype("category")},
    ],
)
def test_columns_of_every_type_are_read(column: dict[str, Any]) -> None:
    plain = {"user_id": ["a", "b"], "item_id": ["x", "y"], "rating": [3, 4]}
    frame = read_interactions(pd.DataFrame(plain | column))
    assert frame["user_id"].tolist() == ["a", "b"]
    assert frame["value"].tolist() == [3.0, 4.0]
    assert "timestamp" not in column or frame["timestamp"].dt.year.tolist() == [2024, 2024]


def test_columns_may_have_numbers_for_names() -> None:
    frame = read_interactions(pd.DataFrame([[1, 2, 3]]), user=0, item=1, value=2)  # type: ignore[arg-type]
    assert frame.to_numpy().tolist() == [[1, 2, 3]]


class Exporter:
    """A table of any library that speaks Arrow, as polars does."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.table.__arrow_c_stream__(requested_schema)


class LazyFrame:
    def collect(self) -> None: ...


def test_tables_of_other_libraries_are_taken_or_named() -> None:
    table = pa.table({"user_id": [STEAM, None], "item_id": pa.array(["x", "y"], pa.string_view())})
    for source in (table, Exporter(table), table.to_reader()):
        with pytest.warns(UserWarning, match="1 of 2 rows dropped"):
            found = read_interactions(source, mode="lenient")  # type: ignore[arg-type]
        assert found["user_id"].tolist() == [STEAM]
    titles = pa.table({"item_id": ["x"], "title": ["X"]})
    likes = pa.table({"user_id": [1], "item_id": ["x"]})
    assert load_dataset(likes, items=titles.to_reader()).items is not None  # type: ignore[arg-type]
    assert read_catalog(titles)["title"].tolist() == ["X"]  # type: ignore[arg-type]
    column = Exporter(pa.chunked_array([[1, 2]]))
    with pytest.raises(TypeError, match=r"got .*\.Exporter\. Wrap it with pandas.DataFrame"):
        read_interactions(column)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"got .*\.LazyFrame\. Give the result of its \.collect\("):
        read_interactions(LazyFrame())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("é", "e\u0301"),
        ("ann", "an\u200bn"),
        ("0012", "12"),
        ("17.0", "17"),
        ("Ann", "ann"),
        ("ann ", "ann"),
    ],
)
def test_ids_that_look_alike_are_listed_and_kept(one: str, other: str) -> None:
    frame = pd.DataFrame({"user": [one, other, "z"], "item": ["x", "x", "y"]})
    report = validate_interactions(frame)
    assert report["check"].tolist() == ["look-alike ids"]
    first, second = report["first"].iloc[0].split(" and ")
    assert first != second
    assert read_interactions(frame)["user_id"].tolist() == [one, other, "z"]


def test_lenient_mode_that_loses_all_names_what_most_rows_have() -> None:
    frame = pd.DataFrame({"user": [None, "b"], "item": ["x", "y"], "time": ["s", "t"]})
    with pytest.raises(DataError, match="2 of them this: Column 'time' .* must hold times"):
        read_interactions(frame, mode="lenient")


def test_a_database_file_opens_by_its_bytes_with_its_only_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ibis", reason="the extra [sql] is not installed")
    fill(tmp_path / "shop.data", "sqlite")
    before = (tmp_path / "shop.data").read_bytes()
    monkeypatch.chdir(tmp_path)
    for source in ("shop.data", "sqlite:///shop.data", f"sqlite:///{tmp_path}/shop.data"):
        with pytest.raises(DataError, match="table likes of sqlite://.* an id in each row; row 2"):
            read_interactions(source)
    found = read_interactions("shop.data", query="SELECT * FROM likes WHERE user_id > 1")
    assert found["user_id"].tolist() == [STEAM]
    with closing(sqlite3.connect("shop.data")) as shop, shop:
        assert (tmp_path / "shop.data").read_bytes() == before
        shop.execute("CREATE TABLE films (film_id TEXT)")
    with pytest.raises(ConfigError, match=r"it has the tables \['films', 'likes'\]"):
        read_interactions("shop.data")


def test_the_declared_pandas_has_the_text_type_that_checks_rely_on() -> None:
    root = Path(__file__).parents[2]
    assert '"pandas>=3' in (root / "pyproject.toml").read_text()
