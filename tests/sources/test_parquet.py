"""Folders of Parquet whose files differ."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from recsys_lib.errors import DataError
from recsys_lib.sources import Reduction, read_interactions

PLAIN = {"user_id": [1], "item_id": ["x"]}


def folder(path: Path, *tables: dict[str, Any]) -> Path:
    for number, columns in enumerate(tables):
        parquet.write_table(pa.table(columns), path / f"{number}.parquet")
    return path


@pytest.mark.parametrize("turn", [1, -1])
def test_columns_that_only_some_files_have_are_read(tmp_path: Path, turn: int) -> None:
    rated = {"user_id": [2], "item_id": ["x"], "rating": [3.5]}
    path = folder(tmp_path, *[PLAIN, rated][::turn])
    with pytest.raises(DataError, match="'rating' of .* must hold finite numbers; row . has none"):
        read_interactions(path)
    with pytest.warns(UserWarning, match="1 null"):
        assert read_interactions(path, mode="lenient")["value"].tolist() == [3.5]
    pytest.importorskip("ibis", reason="the extra [sql] is not installed")
    found = read_interactions(path, reduce=Reduction(where="rating > 3"))
    assert found["value"].tolist() == [3.5]


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"rating": [3]}, {"rating": [3.5]}),
        ({"rating": pa.array([3], pa.int8())}, {"rating": pa.array([3.5], pa.float32())}),
        ({"day": pa.array(["d"])}, {"day": pa.array(["d"]).dictionary_encode()}),
        ({"day": pa.array(["d"])}, {"day": pa.array(["d"], pa.large_string())}),
        ({"day": pa.nulls(1)}, {"day": pa.array(["d"])}),
    ],
)
def test_types_that_can_be_joined_are(
    tmp_path: Path, one: dict[str, Any], other: dict[str, Any], turn: int
) -> None:
    path = folder(tmp_path, *[PLAIN | one, PLAIN | {"user_id": [2]} | other][::turn])
    found = read_interactions(path)
    assert sorted(found["user_id"]) == [1, 2]
    assert "rating" not in one or sorted(found["value"]) == [3.0, 3.5]


def test_types_that_cannot_be_joined_are_named_with_their_column(tmp_path: Path) -> None:
    path = folder(tmp_path, PLAIN, PLAIN | {"user_id": ["u1"]})
    with pytest.raises(DataError, match=r"must be readable; .* user_id .*int64 vs string"):
        read_interactions(path)


def test_text_beside_parquet_is_not_passed_over(tmp_path: Path) -> None:
    folder(tmp_path, PLAIN)
    (tmp_path / "0.parquet").rename(tmp_path / "000000_0")  # as Hive names its files
    assert len(read_interactions(tmp_path)) == 1
    (tmp_path / "more.csv").write_text("user_id,item_id\n2,x\n")
    with pytest.raises(DataError, match="must be readable; .*more.csv.*not a parquet file"):
        read_interactions(tmp_path)
    assert len(read_interactions(tmp_path / "0*")) == 1
