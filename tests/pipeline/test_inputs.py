"""From the parameters of a notebook to the data they name."""

import pytest

from recsys_lib.errors import ConfigError, DataError
from recsys_lib.pipeline import notebook
from recsys_lib.pipeline.inputs import import_dataset

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
}


@pytest.fixture
def begin(project, write):
    write("01_make", parameters="\n".join(f"{name} = {value!r}" for name, value in GIVEN.items()))
    (project.root / "own.csv").write_text("who,film,stars\nann,x,5\nbob,x,3\n")
    (project.root / "films.csv").write_text("film,title\nx,Ex\ny,Why\n")
    return lambda **values: notebook.start("01_make", GIVEN | values, project=project)


def test_named_columns_are_imported_and_every_file_is_recorded(begin, project):
    session = begin(ITEMS="films.csv", USER_COLUMN="who", ITEM_COLUMN="film", VALUE_COLUMN="stars")
    dataset = import_dataset(session)
    assert (dataset.n_users, dataset.n_items, dataset.rating_scale) == (2, 2, (3, 5))
    assert dataset.items["title"].tolist() == ["Ex", "Why"]
    assert {path.rsplit("/", 1)[1] for path in session.record.inputs} == {"own.csv", "films.csv"}


def test_a_missing_file_is_named(begin):
    with pytest.raises(ConfigError, match=r"'nowhere\.csv' must exist"):
        import_dataset(begin(SOURCE="nowhere.csv"))


def test_interactions_without_ratings_are_refused_with_what_to_do(begin, project):
    (project.root / "own.csv").write_text("user,item\nann,x\nbob,x\n")
    with pytest.raises(DataError, match="must have a column of ratings, which these notebooks"):
        import_dataset(begin())


@pytest.mark.parametrize("header", ["who,film,stars", "user,thing,stars", "user,film,lot"])
def test_a_column_that_is_not_recognized_is_named_by_its_parameter(begin, project, header):
    role = {"who": "USER", "thing": "ITEM", "lot": "VALUE"}
    (project.root / "own.csv").write_text(f"{header}\nann,x,5\nbob,x,3\n")
    wanted = next(role[name] for name in header.split(",") if name in role)
    with pytest.raises(DataError, match=f"{wanted}_COLUMN"):
        import_dataset(begin())
