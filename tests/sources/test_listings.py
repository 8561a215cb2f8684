"""Lists of items, one user a line."""

from pathlib import Path

import pandas as pd
import pytest

from recsys_lib.errors import DataError
from recsys_lib.sources import load_dataset, read_interactions


def test_the_line_is_the_user_and_an_empty_list_leaves_its_number_free(tmp_path: Path) -> None:
    path = tmp_path / "users.dat"
    path.write_text("2 7 9\n0\n3 7 8 9\n")
    frame = read_interactions(path)
    expected = pd.DataFrame(
        {"user_id": [0, 0, 2, 2, 2], "item_id": [7, 9, 7, 8, 9]}, dtype=frame["user_id"].dtype
    )
    pd.testing.assert_frame_equal(frame[["user_id", "item_id"]], expected)
    assert load_dataset(path).n_interactions == 5


def test_a_wrong_count_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "users.dat"
    path.write_text(
        "".join(f"{n} {' '.join(map(str, range(n)))}\n" for n in range(1, 60)) + "3 1\n"
    )
    with pytest.raises(DataError, match="line 60 says 3 and holds 1"):
        read_interactions(path)


def test_lines_may_begin_with_the_user_as_those_of_lightgcn_do(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("0 7 9\n1 7\n3 7 8 9\n")
    (tmp_path / "test.txt").write_text("0 8\n1\n3 4 5\n")
    frame = read_interactions(tmp_path / "train.txt")
    assert "".join(frame["user_id"]) == "001333"
    assert "".join(frame["item_id"]) == "797789"
    assert load_dataset(tmp_path).n_interactions == 9
    (tmp_path / "log.txt").write_text("7 1\n7 2 30\n")  # a user has one line
    with pytest.raises(DataError, match="must have a column for the user"):
        read_interactions(tmp_path / "log.txt")


def test_lines_of_one_length_are_a_table(tmp_path: Path) -> None:
    path = tmp_path / "ratings.dat"
    path.write_text("user_id,item_id\n1,2\n")
    assert read_interactions(path)["user_id"].tolist() == ["1"]
