"""Text as people export it: quotation marks, repeated headers, what comes before the header."""

import inspect
from pathlib import Path

import pandas as pd
import pytest

from recsys_lib.errors import DataError
from recsys_lib.sources import (
    load_dataset,
    read_catalog,
    read_interactions,
    read_users,
    snapshot,
    validate_interactions,
)
from recsys_lib.sources.options import _TEXT, ReadOptions

PLAYS = (
    "user\tartist_id\tname\tplays\nu1\ta1\tAir\t10\nu1\ta2\t{}unbalanced\t20\nu2\ta1\tAir\t30\n"
    "u2\ta3\tlast{} one\t40\nu3\ta1\tAir\t50\n"
)


def write(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_lenient_reading_is_named_where_it_leaves_most_rows(tmp_path: Path) -> None:
    text = "user,item,rating\nann,x,{}\nbob,x,{}\nbob,y,3\n"
    with pytest.raises(DataError, match='Or read with mode="lenient", which drops such rows'):
        read_interactions(write(tmp_path, text.format("good", 4)))
    with pytest.raises(DataError) as caught:
        read_interactions(write(tmp_path, text.format("good", "bad")))
    assert "lenient" not in str(caught.value)


def test_blanks_after_a_delimiter_belong_to_no_field(tmp_path: Path) -> None:
    text = 'user_id, "item_id", "title"\nu1, "Rock,\n2010", "a"\nu2, "x", b\nu3, , c\n'
    with pytest.raises(DataError, match='line 5 has none.*Or read with mode="lenient"'):
        read_interactions(write(tmp_path, text))
    frame = read_interactions(write(tmp_path, text.replace(" , c", " y, c")))
    assert frame["item_id"].tolist() == ["Rock,\n2010", "x", "y"]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (PLAYS.format('"', '"'), 3, "quoting=False"),
        (PLAYS.format('"', '" one\t'), 3, "quoting=False"),  # swallows whole rows
        (PLAYS.format('"', ""), 3, "quoting=False"),
        ('user,item\nu1,x\nu1,"Weird Al" Yankovic\n', 3, "quoting=False"),
        ('user,item,t\nu1,x,"In \\"N\\"; y"\n', 2, r'escape="\\\\"'),
    ],
)
def test_a_quotation_mark_inside_a_field_is_an_error_with_its_line(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    options = {"item": "artist_id", "value": "plays"} if "plays" in text else {}
    for read in (read_interactions, validate_interactions):
        with pytest.raises(DataError, match=f"enclose whole fields; line {line} .*{said}"):
            read(write(tmp_path, text), **options)  # type: ignore[operator]


def test_without_quoting_every_mark_is_kept(tmp_path: Path) -> None:
    plays = write(tmp_path, PLAYS.format('"', '"'))
    frame = read_interactions(plays, item="artist_id", value="plays", quoting=False)
    assert frame["value"].tolist() == [10, 20, 30, 40, 50]
    path = write(tmp_path, 'user,item\nu1,"Weird Al" Yankovic\n')
    assert read_interactions(path, quoting=False)["item_id"].tolist() == ['"Weird Al" Yankovic']
    path = write(tmp_path, 'user,item\nu1,"In \\"N\\", y"\n')
    assert read_interactions(path, escape="\\")["item_id"].tolist() == ['In "N", y']


def test_quotes_that_enclose_fields_are_fine(tmp_path: Path) -> None:
    text = 'user,item,review\n"u1","5"" disk","good,\nreally, very, good"\nu2, y" ,""\n'
    assert read_interactions(write(tmp_path, text))["item_id"].tolist() == ['5" disk', ' y" ']
    swallowing = write(tmp_path, 'user,item\nu1,"x\nu2,y"\n')
    with pytest.raises(DataError, match="line 2"):
        read_interactions(swallowing)
    assert read_interactions(swallowing, quoting=True)["item_id"].tolist() == ["x\nu2,y"]


@pytest.mark.parametrize("again", ["user_id,item_id", "\ufeffuser_id,item_id"])
def test_a_header_is_never_an_interaction(tmp_path: Path, again: str) -> None:
    path = write(tmp_path, f"user_id,item_id\na,x\n{again}\nb,y\n")
    with pytest.raises(DataError, match="must have one header line; line 3 has it again"):
        read_interactions(path)
    assert validate_interactions(path)["check"].tolist() == ["repeated header"]
    with pytest.warns(UserWarning, match="1 repeated header"):
        assert read_interactions(path, mode="lenient")["user_id"].tolist() == ["a", "b"]
    with pytest.raises(DataError, match="'item_id' again|must have one header line; line 3"):
        read_catalog(write(tmp_path, f"item_id,user_id\nx,a\n{again[-7:]},user_id\ny,b\n"))
    for columns in (["user_id", "item_id"], ["who", "what"]):
        with pytest.raises(DataError, match="line 1 of table.csv is .*Leave it out"):
            read_interactions(path, columns=columns, user=columns[0], item=columns[1])


@pytest.mark.parametrize(
    ("before", "sign"),
    [
        ("sep=;\n", ";"),
        ("# of 2024, by me\n#\n", ","),
        ("\n# by me\n", "\t"),
        ("", " "),
        ("", "   "),
    ],
)
def test_what_comes_before_the_header_is_skipped(tmp_path: Path, before: str, sign: str) -> None:
    rows = [["user_id", "item_id", "rating"], ["a", "x", "3"], ["b", "y", "bad"]]
    text = before + "".join(f"{sign.join(row)}\n" for row in rows)
    line = text.count("\n")
    with pytest.raises(DataError, match=f"line {line} has 'bad'"):
        read_interactions(write(tmp_path, text))
    frame = read_interactions(write(tmp_path, text.replace("bad", "4")))
    assert frame["item_id"].tolist() == ["x", "y"]
    assert frame["value"].tolist() == [3.0, 4.0]


def test_a_byte_order_mark_is_no_part_of_a_name_whatever_the_encoding(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeffuser_id,item_id\nä,x\n")
    assert read_interactions(path, encoding="utf-8")["user_id"].tolist() == ["ä"]
    path.write_bytes("\ufeffuser_id,item_id\nä,x\n".encode("utf-16-le"))
    assert read_interactions(path, encoding="utf-16-le")["user_id"].tolist() == ["ä"]


def test_a_byte_of_another_encoding_is_told_wherever_it_stands(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id\n" + "ann,x\n" * 50_000)
    path.write_bytes(path.read_bytes() + "zoé,y\n".encode("latin-1"))
    with pytest.raises(DataError, match="must be text in the encoding 'utf-8'"):
        read_interactions(path)
    assert read_interactions(path, encoding="latin-1")["user_id"].iloc[-1] == "zoé"


def test_a_mark_that_nothing_closes_is_found_however_much_it_swallows(tmp_path: Path) -> None:
    path = write(tmp_path, 'user_id,item_id\nann,x\nbob,"y\n' + "ann,x\n" * 50_000)
    with pytest.raises(DataError, match="must enclose whole fields; line 3 has"):
        read_interactions(path)


@pytest.mark.parametrize("mark", ["", '"'])
def test_a_field_may_be_longer_than_python_takes_by_itself(tmp_path: Path, mark: str) -> None:
    page = "x" * (2**17 + 1)
    path = write(tmp_path, f"item_id,title,page\n1,Alien,{mark}{page}{mark}\n2,Brazil,\n")
    assert read_catalog(path)["page"].iloc[0] == page


def test_a_decimal_comma_is_asked_for_and_read(tmp_path: Path) -> None:
    path = write(tmp_path, "user;item;rating\na;x;3,5\nb;y;4\n")
    with pytest.raises(DataError, match="has '3,5'. Give decimal=\",\""):
        read_interactions(path)
    assert read_interactions(path, decimal=",")["value"].tolist() == [3.5, 4.0]
    path = write(tmp_path, "user;item;rating\na;x;1.500\n")
    with pytest.raises(DataError, match=r"has '1.500'"):
        read_interactions(path, decimal=",")
    prices = read_catalog(write(tmp_path, "item;price\nx;1,5\n"), decimal=",")
    assert prices["price"].tolist() == [1.5]


@pytest.mark.parametrize(
    "reader",
    [read_interactions, validate_interactions, load_dataset, read_catalog, read_users, snapshot],
)
def test_options_of_reading_are_the_same_everywhere_and_checked(reader: object) -> None:
    shown = inspect.signature(reader).parameters  # type: ignore[arg-type]
    assert set(_TEXT.split()) < set(shown)
    assert "options" not in shown
    with pytest.raises(
        TypeError, match=r"\(\) has no option 'delimeter'. Did you mean 'delimiter'"
    ):
        reader(pd.DataFrame(), *["folder"] * ("folder" in shown), delimeter=";")  # type: ignore[operator]
    with pytest.raises(ValueError, match="`quoting` must be one of None, True, False"):
        ReadOptions(quoting="no")  # type: ignore[arg-type]


def test_titles_are_recognized_named_or_missed_in_a_sentence(tmp_path: Path) -> None:
    games = pd.DataFrame({"game_id": ["x"], "game_name": ["Go"], "publisher": ["no one"]})
    assert read_catalog(games)["title"].tolist() == ["Go"]
    tags = games.rename(columns={"game_name": "label"})
    with pytest.warns(UserWarning, match=r"title among \['label', 'publisher'\].*title="):
        assert "title" not in read_catalog(tags)
    likes = pd.DataFrame({"user": ["a"], "game_id": ["x"]})
    named = load_dataset(likes, items=tags, title="label")
    assert named.items is not None
    assert named.items["title"].tolist() == ["Go"]


def test_netflix_blocks_are_read_with_their_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "1:\n14,3,2005-09-06\n8,5,2005-05-13\n2:\n14,4,2005-10-19\n", "c.txt")
    frame = read_interactions(path)
    assert frame["item_id"].tolist() == ["1", "1", "2"]
    assert frame["timestamp"].dt.month.tolist() == [9, 5, 10]
    with pytest.raises(DataError, match=r"line 3 and line 5 \(the first has '5'"):
        read_interactions(path, rating_scale=(0, 3.5))
