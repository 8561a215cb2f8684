"""What if: the table in batch, the controls where there is somebody to use them."""

import ipywidgets
import pandas as pd
import pytest

from recsys_lib.bundle import Bundle
from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError
from recsys_lib.models import ItemKNN
from recsys_lib.pipeline.what_if import history_of, list_by_list, list_change, what_if

CLICKS = [("u1", "abc"), ("u2", "abc"), ("u3", "ab"), ("u4", "def"), ("u5", "def"), ("nle", "a")]
RATINGS = pd.DataFrame(
    [(user, item, 8 + (item == "a")) for user, items in CLICKS for item in items],
    columns=["user_id", "item_id", "value"],
)
TITLES = pd.DataFrame({"title": [f"Lab {name}" for name in "ABCDEF"]}, index=list("abcdef"))


@pytest.fixture
def bundle(monkeypatch) -> Bundle:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.delenv("VSCODE_PID", raising=False)
    dataset = Dataset.from_frame(RATINGS, items=TITLES, rating_scale=(1, 10))
    model = ItemKNN(shrinkage=0.0).fit(dataset.user_items)
    return Bundle(model=model, dataset=dataset, like=7.0)


def test_an_edited_history_moves_the_list_and_the_table_says_from_where(bundle):
    before = bundle.recommend("nle", k=6)["item_id"].tolist()
    table = list_change(bundle, "nle", add={"d": 10}, drop=["a"], k=4)
    assert before[0] == "b"
    assert set(table["item_id"][:2]) == {"e", "f"}
    assert table["was"].tolist()[:2] == [before.index(item) + 1 for item in table["item_id"][:2]]
    assert table["rank"].tolist() == [1, 2, 3, 4]


def test_an_item_taken_out_of_the_history_can_be_listed_and_had_no_rank(bundle):
    table = list_change(bundle, "nle", add={"b": 10}, drop=["a"], k=6).set_index("item_id")
    assert table.loc["a", "was"] == 0
    assert "b" not in table.index


def test_no_edit_changes_nothing(bundle):
    table = list_change(bundle, "nle", k=5)
    assert (table["rank"] == table["was"]).all()


def test_the_history_is_shown_with_titles_best_rated_first(bundle):
    assert history_of(bundle, "u1")["title"].tolist() == ["Lab A", "Lab B", "Lab C"]
    assert history_of(bundle, "u1")["value"].tolist() == [9, 8, 8]


def test_list_by_list_is_what_the_bundle_says_after_each_click(bundle):
    lists = list_by_list(bundle, ["a", "d"], k=4)
    assert lists["step"].unique().tolist() == [0, 1, 2]
    for step, history in enumerate([None, ["a"], ["a", "d"]]):
        part = lists[lists["step"] == step]
        wanted = bundle.recommend(history=history, k=4)
        assert part["item_id"].tolist() == wanted["item_id"].tolist()
        assert set(part["clicked"]) == {["", "Lab A", "Lab D"][step]}
    assert not lists.loc[lists["step"] == 0, "stayed"].any()
    before, after = (set(lists.loc[lists["step"] == step, "item_id"]) for step in (1, 2))
    now = lists[lists["step"] == 2]
    assert set(now.loc[now["stayed"], "item_id"]) == before & after


def test_in_batch_the_same_call_is_a_plain_table(bundle):
    table = what_if(bundle, "nle", drop=["a"])
    assert table["item_id"].tolist() == list_change(bundle, "nle", drop=["a"])["item_id"].tolist()
    assert table.index.tolist() == list(range(1, len(table) + 1))


def test_in_the_lab_the_list_follows_the_controls(bundle, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "05_recommend.ipynb")
    shown: list[pd.DataFrame] = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    box = what_if(bundle, "nle", k=3)
    assert isinstance(box, ipywidgets.VBox)
    dropped, (added, rated) = box.children[0].children[0], box.children[0].children[1].children
    assert shown[-1]["was"].tolist() == [1, 2, 3]
    added.value = "d"
    rated.value = 9.0
    dropped.value = ("a",)
    edited = list_change(bundle, "nle", add={"d": 9.0}, drop=["a"], k=3)
    assert shown[-1]["item_id"].tolist() == edited["item_id"].tolist()
    assert edited["item_id"].tolist() != list_change(bundle, "nle", k=3)["item_id"].tolist()


def test_ids_are_found_as_recommend_finds_them_and_unknown_ones_refused():
    frame = pd.DataFrame({"user_id": [0, 0, 1, 1, 2, 2], "item_id": [0, 1, 0, 2, 1, 2]})
    dataset = Dataset.from_frame(frame.assign(value=[5, 1, 4, 2, 3, 5]))
    numbers = Bundle(model=ItemKNN().fit(dataset.user_items), dataset=dataset)
    pd.testing.assert_frame_equal(history_of(numbers, "0"), history_of(numbers, 0))
    wanted = list_change(numbers, 0, add={1: 5.0}, drop=[0])
    pd.testing.assert_frame_equal(list_change(numbers, "0", add={"1": 5.0}, drop=["0"]), wanted)
    pd.testing.assert_frame_equal(list_by_list(numbers, ["2"]), list_by_list(numbers, [2]))
    for edit in ({"add": {"zz": 5}}, {"drop": ["zz"]}):
        with pytest.raises(DataError, match="The item must be one of the 3 known; got 'zz'"):
            list_change(numbers, 0, **edit)
    with pytest.raises(DataError, match="The item must be one of the 3 known; got 9"):
        list_by_list(numbers, [9])
