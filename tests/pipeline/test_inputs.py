"""From the parameters of a notebook to the data they name."""

import ast
import contextlib
import re
import sqlite3
import warnings

import numpy as np
import pytest

from recsys_lib.errors import ConfigError, DataError
from recsys_lib.pipeline import inputs, notebook
from recsys_lib.pipeline.inputs import (
    import_table,
    import_what_can_be_read,
    inspect_table,
)

GIVEN = {
    "RUN": "lab",
    "SOURCE": "own.csv",
    "ITEMS": "",
    "USERS": "",
    "USER_COLUMN": "auto",
    "ITEM_COLUMN": "auto",
    "VALUE_COLUMN": "auto",
    "TIMESTAMP_COLUMN": "auto",
    "DUPLICATES": "error",
    "FEEDBACK": "auto",
    "COUNT_FROM": 1,
    "READING": {},
}


@pytest.fixture
def begin(project, write):
    write("01_make", parameters="\n".join(f"{name} = {value!r}" for name, value in GIVEN.items()))
    (project.root / "own.csv").write_text("who,film,stars\nann,x,5\nbob,x,3\n")
    (project.root / "films.csv").write_text("film,title\nx,Ex\ny,Why\n")
    return lambda **values: notebook.start("01_make", GIVEN | values, project=project)


def test_named_columns_are_imported_and_every_file_is_recorded(begin, project):
    session = begin(ITEMS="films.csv", USER_COLUMN="who", ITEM_COLUMN="film", VALUE_COLUMN="stars")
    dataset = import_table(session).dataset
    assert (dataset.n_users, dataset.n_items, dataset.rating_scale) == (2, 2, (3, 5))
    assert dataset.items["title"].tolist() == ["Ex", "Why"]
    assert {path.rsplit("/", 1)[1] for path in session.record.inputs} == {"own.csv", "films.csv"}


def test_a_missing_file_is_named(begin):
    with pytest.raises(ConfigError, match=r"'nowhere\.csv' must be the path of a file"):
        import_table(begin(SOURCE="nowhere.csv"))


def rows(header, values):
    """Ten users and a pair for each value."""
    body = "".join(f"u{i % 10},i{i // 10},{value}\n" for i, value in enumerate(values))
    return f"user,item,{header}\n{body}"


@pytest.mark.parametrize(
    ("header", "values", "kind", "likes"),
    [
        ("rating", [1, 2, 3, 4, 5], "ratings", None),
        ("rating", [-9.93, 7.28, 0.5], "ratings", None),
        ("score", [0, 50, 100, 60], "ratings", None),
        ("rating", [1, 1, 1], "likes", 3),
        ("stars", [4, 4, 4], "likes", 3),
        ("plays", [1, 2, 3, 4, 5], "counts", 5),
        ("quantity", [-1, 2, 1], "counts", 2),
        ("value", [1, 3, 5000], "counts", 3),
        ("value", [1, 1, 2, 1, 40], "counts", 5),
    ],
)
def test_ratings_counts_and_likes_are_told_apart(begin, project, header, values, kind, likes):
    (project.root / "own.csv").write_text(rows(header, values))
    table = import_table(begin())
    assert table.kind == kind
    assert sorted(table.values) == pytest.approx(sorted(values))
    if likes is None:
        assert table.dataset.rating_scale == pytest.approx((min(values), max(values)))
    else:
        assert table.dataset.rating_scale is None
        assert table.dataset.user_items.data.tolist() == [1.0] * likes


@pytest.mark.parametrize(
    ("header", "often", "kind"),
    [
        ("Menge", [60, 25, 10, 4, 1], "counts"),
        ("Menge", [40, 30, 20, 9, 1], "ratings"),
        ("Menge", [55, 10, 5, 20, 10], "ratings"),
        ("Menge", [1, 4, 10, 25, 60], "ratings"),
        ("rating", [60, 25, 10, 4, 1], "ratings"),
    ],
)
def test_quantities_under_any_name_are_counts(begin, project, header, often, kind):
    values = np.repeat([1, 2, 3, 4, 5], often)
    (project.root / "own.csv").write_text(rows(header, values))
    assert import_table(begin(VALUE_COLUMN=header)).kind == kind


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([-1, 7, 8, 10, 9], 'are -1: .*{"rating_scale": [7, 10], "mode": "lenient"}'),
        ([0, 0, 0, 0, 1, 2, 5], '57% of them are 0: .*{"rating_scale": [1, 5], "mode": "lenient"}'),
        ([0, 0, 1, 2, 5], ""),
        ([-1, 0, 1], ""),
        ([1, 1, 1, 1, 2, 3], ""),
    ],
)
def test_a_lowest_rating_that_may_mean_none_is_asked_about(begin, project, values, said):
    (project.root / "own.csv").write_text(rows("rating", values))
    sentence = import_table(begin()).sentence
    assert re.search(re.escape(said).replace(r"\.\*", ".*"), sentence)
    assert bool(said) == ("not rated" in sentence)
    if said:
        reading = ast.literal_eval(re.search("READING = ({.*?})", sentence)[1])
        with pytest.warns(UserWarning, match="rows dropped"):
            dataset = import_table(begin(READING=reading)).dataset
        assert dataset.user_items.data.min() == min(one for one in values if one > 0)


@pytest.mark.parametrize(
    ("values", "asked"), [([0, 0, 0, 0, 1], True), ([0, 0, 1], False), ([-1, -1, -1, -1, 1], False)]
)
def test_zeros_of_a_matrix_are_asked_about(begin, project, values, asked):
    (project.root / "own.csv").write_text(rows("value", values))
    sentence = import_table(begin()).sentence
    assert (
        '80% of them are 0: where that means *not used*, `FEEDBACK = "counts"`' in sentence
    ) is (asked)
    if asked:
        likes = import_table(begin(FEEDBACK="counts")).dataset
        assert likes.user_items.data.tolist() == [1.0]


def test_a_table_without_values_holds_likes(begin, project):
    (project.root / "own.csv").write_text("user,item\nann,x\nbob,x\n")
    table = import_table(begin())
    assert (table.kind, table.dataset.n_interactions) == ("likes", 2)
    assert "no column of ratings" in table.sentence
    assert "VALUE_COLUMN" in table.sentence


def test_columns_that_nobody_recognizes_are_named_where_ratings_are_missed(begin, project):
    text = "ユーザー,商品,評価\nann,x,5\nbob,x,3\n"
    (project.root / "own.csv").write_text(text, encoding="utf-8")
    given = {"USER_COLUMN": "ユーザー", "ITEM_COLUMN": "商品"}
    said = import_table(begin(**given)).sentence
    assert "(VALUE_COLUMN would name it, if it is one of 評価)" in said
    assert import_table(begin(VALUE_COLUMN="評価", **given)).kind == "ratings"


def test_uses_of_one_pair_are_counted(begin, project):
    (project.root / "own.csv").write_text("user,item\nann,x\nbob,x\nann,x\n")
    table = import_table(begin())
    assert (table.kind, table.values.max(), table.dataset.n_interactions) == ("counts", 2, 2)


def test_the_lowest_count_that_is_a_like_can_be_said(begin, project):
    (project.root / "own.csv").write_text(rows("plays", [1, 2, 3, 4, 5]))
    assert import_table(begin(COUNT_FROM=4)).dataset.n_interactions == 2
    with pytest.raises(DataError, match=r"COUNT_FROM; the highest is 5\. Lower COUNT_FROM\."):
        import_table(begin(COUNT_FROM=6))


def test_what_feedback_says_goes_before_what_is_recognized(begin, project):
    (project.root / "own.csv").write_text(rows("plays", [1, 2, 3, 4, 5]))
    assert import_table(begin(FEEDBACK="ratings")).dataset.rating_scale == (1, 5)
    assert import_table(begin(FEEDBACK="likes")).kind == "likes"
    with pytest.raises(ConfigError, match="`FEEDBACK` must be one of .* got 'stars'"):
        import_table(begin(FEEDBACK="stars"))


@pytest.mark.parametrize(("values", "found"), [([3, 3], "every value is 3"), (None, "no column")])
def test_ratings_are_asked_for_where_there_are_none(begin, project, values, found):
    text = rows("rating", values) if values else "user,item\nann,x\nbob,x\n"
    (project.root / "own.csv").write_text(text)
    with pytest.raises(DataError, match=f"{found}.*VALUE_COLUMN"):
        import_table(begin(FEEDBACK="ratings"))


@pytest.mark.parametrize("header", ["who,film,stars", "user,thing,stars"])
def test_a_column_that_is_not_recognized_is_named_by_its_parameter(begin, project, header):
    role = {"who": "USER", "thing": "ITEM"}
    (project.root / "own.csv").write_text(f"{header}\nann,x,5\nbob,x,3\n")
    wanted = next(role[name] for name in header.split(",") if name in role)
    with pytest.raises(DataError, match=f"{wanted}_COLUMN"):
        import_table(begin())


@pytest.mark.parametrize(
    ("reading", "text", "timestamp"),
    [
        (
            {"encoding": "latin-1"},
            "user_id,item_id,rating\nJörg,x,5\nbob,x,3\n".encode("latin-1"),
            "auto",
        ),
        ({"columns": ["user_id", "item_id", "rating"]}, b"ann,x,5\nbob,x,3\n", "auto"),
        ({"mode": "lenient"}, b"user_id,item_id,rating\nann,x,5\nbob,x,3\ncat,x,?\n", "auto"),
        ({"delimiter": "^"}, b"user_id^item_id^rating\nann^x^5\nbob^x^3\n", "auto"),
        ({"decimal": ","}, b"user_id;item_id;rating\nann;x;5,5\nbob;x;3\n", "auto"),
        ({"quoting": False}, b'user_id,item_id,rating\n"ann" b,x,5\nbob,x,3\n', "auto"),
        ({"date_format": "%d/%m/%Y"}, b"user,item,date\na,x,01/02/2024\nb,x,03/02/2024\n", "auto"),
        ({}, b"user_id,item_id,rating,date\nann,x,5,soon\nbob,x,3,late\n", "none"),
    ],
    ids=["encoding", "no header", "lenient", "delimiter", "decimal", "quotes", "dates", "no times"],
)
@pytest.mark.filterwarnings("ignore:.*dropped")
def test_options_of_reading_reach_the_reader(begin, project, reading, text, timestamp):
    (project.root / "own.csv").write_bytes(text)
    session = begin(READING=reading, TIMESTAMP_COLUMN=timestamp)
    assert import_table(session).dataset.n_users == 2


def test_a_table_is_read_without_its_values_where_that_is_asked_for(begin, project):
    (project.root / "own.csv").write_text("user,item,rating\nann,x,5\nbob,x,\n")
    table = import_table(begin(VALUE_COLUMN="none"))
    assert (table.kind, table.dataset.n_interactions) == ("likes", 2)


def test_an_unknown_option_of_reading_is_answered_with_the_near_one(begin):
    with pytest.raises(ConfigError, match="'encodin' is none. Did you mean 'encoding'"):
        import_table(begin(READING={"encodin": "latin-1"}))


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (b"user_id,item_id,rating\nann,x,5\nann,x,3\n", "DUPLICATES last"),
        ("user_id,item_id,rating\nJörg,x,5\n".encode("latin-1"), "READING.encoding latin-1"),
        (b"user_id;item_id;rating\nann;x;5,5\n", 'READING.decimal "," if'),
        (b"user_id,item_id,rating\nann,x,\n", "VALUE_COLUMN none for interactions without"),
        (b'user_id,item_id,rating\n"ann" b,x,5\n', "READING.quoting False"),
        (b"user_id,item_id,date\na,x,1/2/2024 8:26\n", 'READING.date_format "%d/%m/%Y %H:%M"'),
    ],
    ids=["repeated pairs", "encoding", "decimal", "no value", "quotes", "dates"],
)
def test_remedies_name_parameters(begin, project, text, remedy):
    (project.root / "own.csv").write_bytes(text)
    with pytest.raises(DataError, match=remedy):
        import_table(begin())


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (b"user_id,item_id,rating\nann,x,5\nann,x,3\n", '`DUPLICATES = "last"`'),
        (b"user_id;item_id;rating\nann;x;5,5\n", '`READING = {"decimal": ","}` if'),
        (b'user_id,item_id,rating\n"ann" b,x,5\n', '`READING = {"quoting": False}`'),
    ],
    ids=["repeated pairs", "decimal", "quotes"],
)
def test_in_jupyterlab_a_remedy_is_a_line_of_the_parameters(
    begin, project, monkeypatch, text, remedy
):
    monkeypatch.setattr(inputs, "has_front_end", lambda: True)
    (project.root / "own.csv").write_bytes(text)
    with pytest.raises(DataError) as told:
        import_table(begin())
    assert remedy in str(told.value)


def test_a_warning_about_a_table_names_parameters_at_the_line_of_the_reader(begin, project):
    (project.root / "own.csv").write_text("user_id,item_id,rating\nann,x,5\nbob,x,3\n")
    (project.root / "items.csv").write_text("item_id,nombre\nx,Uno\n")
    with pytest.warns(UserWarning, match="Name it with READING.title ..., or give") as told:
        import_table(begin(ITEMS="items.csv"))
    assert [one.filename for one in told] == [__file__]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"DUPLICATES": "first"}, "DUPLICATES must be one of 'error', 'last', 'mean', 'sum'"),
        ({"READING": {"mode": "careless"}}, "READING.mode must be"),
    ],
)
def test_an_unknown_value_is_a_wrong_parameter(begin, project, given, message):
    (project.root / "own.csv").write_text("user_id,item_id,rating\nann,x,5\nbob,x,3\n")
    with pytest.raises(ConfigError, match=message):
        import_table(begin(**given))


def test_a_file_of_sqlite_is_a_source_and_an_input(begin, project):
    file = project.root / "data" / "own.db"
    file.parent.mkdir()
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("create table seen (user_id text, item_id text, rating integer)")
        database.execute("insert into seen values ('ann', 'x', 5), ('bob', 'x', 3)")
        database.commit()
    session = begin(SOURCE="sqlite:///own.db", READING={"table": "seen"})
    assert import_table(session).dataset.n_users == 2
    assert list(session.record.inputs) == [file.as_posix()]


def test_an_inspected_table_says_what_was_recognized_and_what_is_wrong(begin, project):
    (project.root / "own.csv").write_text("user,film,stars,note\nann,x,5,a\nbob,x,good,b\n")
    found = inspect_table(begin(ITEM_COLUMN="film"))
    assert found.columns["used as"].tolist() == ["user", "item", "value", ""]
    assert found.sentence == "own.csv has 1 kind of error:"
    (project.root / "own.csv").write_text("user,film,stars\nann,x,5\nbob,x,3\n")
    assert inspect_table(begin(ITEM_COLUMN="film")).sentence.startswith(
        "Nothing is wrong with own.csv"
    )


def test_a_column_of_two_roles_is_told_how_to_leave_one_out(begin, project):
    (project.root / "own.csv").write_text("user,item,date\nann,x,2024-05-01\nbob,x,2024-05-02\n")
    remedy = "the parameter TIMESTAMP_COLUMN, or leave it out with TIMESTAMP_COLUMN none"
    with pytest.raises(DataError, match=f"'date' is taken for .* Name another with {remedy}"):
        import_table(begin(VALUE_COLUMN="date"))


@pytest.mark.parametrize(
    ("mode", "stars", "said"),
    [
        ("strict", "4", "**Strict** reading takes every row. The table"),
        ("lenient", "4", "**Lenient** reading takes what can be read. The table"),
        ("lenient", "good", "**Lenient** reading takes what can be read. own.csv: 1 of 3 rows"),
    ],
)
def test_what_the_parameters_ask_for_is_not_called_strict(begin, project, mode, stars, said):
    rows = f"user,item,stars\nann,x,5\nbob,x,{stars}\ncat,x,3\n"
    (project.root / "own.csv").write_text(rows)
    with warnings.catch_warnings(action="error"):  # it is said, and nothing is on stderr
        assert import_what_can_be_read(begin(READING={"mode": mode})).sentence.startswith(said)


def test_what_can_be_read_is_read_and_the_rest_is_told(begin, project):
    (project.root / "own.csv").write_text("user,item,stars\nann,x,5\nbob,x,good\ncat,x,3\n")
    found = import_what_can_be_read(begin())
    assert found.dataset.n_users == 2
    assert "**Strict** reading stops" in found.sentence
    assert "1 of 3 rows dropped" in found.sentence
    (project.root / "own.csv").write_text("user,item,stars\nann,x,5\nbob,x,good\n,x,3\ncat,x,3\n")
    told = import_what_can_be_read(begin()).sentence
    assert "1 other problem: notebook 10 lists all. " in told.replace("\n", " ")
