"""Catalogs and profiles, and their join with the interactions."""

from pathlib import Path

import pandas as pd
import pytest

from recsys_lib.bundle import Bundle
from recsys_lib.errors import DataError
from recsys_lib.models import Popularity
from recsys_lib.sources import load_dataset, read_catalog, read_users

LIKES = pd.DataFrame({"user_id": [1, 2], "item_id": [10, 20], "rating": [4, 5]})


def test_quotes_in_recbole_titles_are_characters(tmp_path: Path) -> None:
    path = tmp_path / "films.item"
    path.write_text('item_id:token\tmovie_title:token_seq\n1\t"Live" from\n2\tTwo\n')
    assert read_catalog(path)["title"].tolist() == ['"Live" from', "Two"]


def test_sequences_of_recbole_are_tags_and_titles_stay_titles(tmp_path: Path) -> None:
    path = tmp_path / "films.item"
    head = "item_id:token\tmovie_title:token_seq\tclass:token_seq\tpaths:token_seq\n"
    path.write_text(f"{head}1\tToy Story\tComedy Family\tA b, C\n2\tHeat\t\tA b\n")
    films = read_catalog(path)
    assert films["title"].tolist() == ["Toy Story", "Heat"]
    assert films["class"].fillna("").tolist() == ["Comedy|Family", ""]
    assert films["paths"].tolist() == ["A b, C", "A b"]  # has separators of its own


def test_plain_numbers_become_numbers_and_postal_codes_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_text("id,age,zip\nnle,24,02139\nkro,,85711\n")
    users = read_users(path)
    assert users.index.tolist() == ["nle", "kro"]
    assert users["age"].tolist()[0] == 24.0
    assert users["zip"].tolist() == ["02139", "85711"]


def test_true_and_false_of_a_file_are_flags(tmp_path: Path) -> None:
    path = tmp_path / "labs.csv"
    path.write_text("item,free,open,paid,level\na,True,true,yes,true\nb,FALSE,,no,basic\n")
    items = read_catalog(path)
    assert items["free"].tolist() == [True, False]
    assert items["open"].isna().tolist() == [False, True]
    assert items["level"].tolist() == ["true", "basic"]
    likes = pd.DataFrame({"user_id": ["nle", "kro"], "item_id": ["a", "b"]})
    dataset = load_dataset(likes, items)
    bundle = Bundle(model=Popularity().fit(dataset.user_items), dataset=dataset)
    for rules in ({"available": "open"}, {"where": {"free": True}}, {"where": {"free": "True"}}):
        assert bundle.recommend(**rules)["item_id"].tolist() == ["a"]


def test_ids_may_stand_in_a_named_index() -> None:
    frame = pd.DataFrame({"name": ["Alien"]}, index=pd.Index([7], name="movie_id"))
    assert read_catalog(frame)["title"].to_dict() == {7: "Alien"}


def test_catalog_and_profiles_come_from_a_database_as_interactions_do(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as shop:
        shop.execute("CREATE TABLE films AS SELECT 7 AS movie_id, 'Alien' AS movie_title")
        shop.execute("CREATE TABLE people AS SELECT 'nle' AS login, '02139' AS zip")
    url = f"duckdb://{tmp_path}/shop.duckdb"
    assert read_catalog(url, table="films")["title"].to_dict() == {7: "Alien"}
    people = read_users(url, query="SELECT login AS user_id, zip FROM people")
    assert people["zip"].to_dict() == {"nle": "02139"}
    likes = pd.DataFrame({"user_id": ["nle"], "item_id": [7]})
    dataset = load_dataset(likes, read_catalog(url, table="films"), people)
    assert (dataset.n_users, dataset.n_items) == (1, 1)
    with pytest.raises(DataError, match="none is recognized among"):
        read_catalog(url, table="people")


def test_repeated_and_missing_ids_are_named(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item,title\nx,One\nx,Two\n")
    with pytest.raises(DataError, match="'item' of items.csv must hold each id once; line 3 has"):
        read_catalog(path)
    path.write_text("item,title\nx,One\n,Two\n")
    with pytest.raises(DataError, match="must hold an id in each row; line 3 has none"):
        read_catalog(path)
    with pytest.warns(UserWarning, match="1 of 2 rows dropped"):
        assert read_catalog(path, mode="lenient").index.tolist() == ["x"]


def test_text_ids_of_a_catalog_meet_the_integers_of_the_interactions(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item,title\n20,B\n10,A\n30,C\n")
    dataset = load_dataset(LIKES, items=path)
    assert dataset.item_ids.tolist() == [20, 10, 30]
    path.write_text("item,title\n20,B\n10,A\nX,C\n")
    assert load_dataset(LIKES, items=path).item_ids.tolist() == ["20", "10", "X"]


def test_an_item_outside_the_catalog_is_an_error_or_gets_a_row(tmp_path: Path) -> None:
    path = tmp_path / "likes.csv"
    LIKES.to_csv(path, index=False)
    items = pd.DataFrame({"item_id": ["10"], "title": ["A"]})
    with pytest.raises(DataError, match=r"item of likes.csv .* '20' is not \(line 3\)"):
        load_dataset(path, items=items)
    with pytest.warns(UserWarning, match="1 rows without contents added"):
        dataset = load_dataset(path, items=items, mode="lenient")
    assert dataset.item_ids.tolist() == ["10", "20"]
    assert dataset.n_interactions == 2


def test_users_without_interactions_are_empty_rows() -> None:
    users = pd.DataFrame({"user_id": [3, 2, 1], "role": ["ops", "dev", "ops"]})
    dataset = load_dataset(LIKES, users=users)
    assert dataset.user_ids.tolist() == [3, 2, 1]
    assert dataset.user_items.toarray().sum(axis=1).tolist() == [0, 5, 4]


@pytest.mark.parametrize("name", ["título", "Titel", "TITRE", "Titolo", "タイトル"])
def test_titles_are_recognized_in_the_languages_around_us(name: str) -> None:
    frame = pd.DataFrame({"item_id": [7, 8], name: ["Alien", "Brazil"], "genre": ["a", "b"]})
    assert read_catalog(frame)["title"].tolist() == ["Alien", "Brazil"]


def test_ids_that_lost_their_zeros_in_one_table_are_named_beside_the_others(tmp_path: Path) -> None:
    (tmp_path / "uses.csv").write_text("user,item\na,007\nb,012\n")
    (tmp_path / "items.csv").write_text("item,title\n7,Alien\n12,Brazil\n")
    told = "'007' is not, '7' is, and leading zeros count .* Write both alike, or read"
    with pytest.raises(DataError, match=told):
        load_dataset(tmp_path / "uses.csv", items=tmp_path / "items.csv")


def test_profiles_without_a_header_are_told_to_take_one(tmp_path: Path) -> None:
    (tmp_path / "uses.csv").write_text("user,item\n1,7\n2,8\n")
    people = tmp_path / "people.dat"
    people.write_text("1::F::1::10\n2::M::56::16\n")
    with pytest.raises(DataError, match=r"\['1'\] occur twice\. .* above data write a header"):
        load_dataset(tmp_path / "uses.csv", users=people)
    people.write_text(f"user_id::gender::age::work\n{people.read_text()}")
    assert load_dataset(tmp_path / "uses.csv", users=people).users["work"].tolist() == [10, 16]
