"""What if: the table in batch, the controls where there is somebody to use them."""

import dataclasses
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from recsys_lib.bundle import Bundle
from recsys_lib.bundle.what_if import Controls, list_by_list, what_if
from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError
from recsys_lib.models import ItemKNN, Popularity

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
    table = what_if(bundle, "nle", add={"d": 10}, drop=["a"], k=4).table
    assert before[0] == "b"
    assert set(table["item_id"][:2]) == {"e", "f"}
    assert table["was"].tolist()[:2] == [before.index(item) + 1 for item in table["item_id"][:2]]
    assert table["rank"].tolist() == [1, 2, 3, 4]


def test_an_item_taken_out_of_the_history_is_listed_as_dropped_without_a_rank(bundle):
    table = what_if(bundle, "nle", add={"b": 10}, drop=["a"], k=6).table.set_index("item_id")
    assert table.loc["a", "moved"] == "dropped"
    assert pd.isna(table.loc["a", "was"])
    assert "b" not in table.index


def test_arrows_say_how_far_an_item_moved_and_new_what_stood_below_the_list(bundle):
    table = what_if(bundle, "nle", add={"d": 10}, k=2).table
    assert table["moved"].tolist() == ["new", "new"]
    longer = what_if(bundle, "nle", add={"d": 10}, k=6).table
    for moved, rank, was in zip(longer["moved"], longer["rank"], longer["was"], strict=True):
        assert moved == ("=" if rank == was else f"{'▲' if was > rank else '▼'} {abs(was - rank)}")
    assert set(longer["moved"]) >= {"▼ 2"}


def test_no_edit_changes_nothing(bundle):
    table = what_if(bundle, "nle", k=5).table
    assert (table["rank"] == table["was"]).all()


def test_the_history_is_shown_with_titles_best_rated_first(bundle):
    edit = what_if(bundle, "u1")
    assert [edit.names[item] for item in edit.history] == ["Lab A · a", "Lab B · b", "Lab C · c"]
    assert str(list(edit.history.values())) == "[9.0, 8.0, 8.0]"  # as a reader sees them


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


def test_in_batch_it_is_a_table_that_cuts_no_title(bundle):
    bundle.dataset.items.loc["b", "title"] = "A very long title " * 10
    view = what_if(bundle, "nle", drop=["a"])._repr_mimebundle_()
    assert "A very long title " * 9 in view["text/html"]
    assert "What if: without Lab A." in view["text/plain"]
    assert "NaN" not in view["text/html"]
    with pytest.raises(NotImplementedError):  # then IPython shows the table
        what_if(bundle, "nle")._ipython_display_()


@pytest.mark.parametrize(
    ("add", "drop"), [({"a": 2}, []), ({"d": 9, "e": 3, "a": 1}, []), ({"d": 9}, ["a"])]
)
def test_controls_begin_with_any_edit_and_reset_to_it(bundle, add, drop):
    edit = what_if(bundle, "nle", add=add, drop=drop, k=3)
    controls = Controls(edit)
    begun = edit.edited
    assert begun == {item: value for item, value in ({"a": 9.0} | add).items() if item not in drop}
    controls.search.value = "lab f"
    controls.matches.value = "f"
    controls.use.click()
    assert edit.edited == begun | {"f": 10.0}
    controls.back.click()
    assert edit.edited == begun


def test_the_list_follows_the_controls(bundle):
    edit = what_if(bundle, "nle", k=3)
    controls, shown = Controls(edit), []
    controls.changed = lambda: shown.append(edit._repr_mimebundle_())
    assert [item for _, item in controls.matches.options] == ["a"]  # the history
    assert "The history, 1 item; " in controls.found.value

    controls.search.value = "LAB d"
    assert controls.matches.options == (("Lab D · d", "d"),)
    controls.matches.value = "d"
    controls.rating.value = 9.0
    controls.use.click()
    controls.search.value = ""
    assert ("Lab D · d (added 9)", "d") in controls.matches.options
    controls.matches.value = "a"
    assert controls.rating.value == 9.0
    assert controls.use.description == "Rate"
    controls.rating.value = 2.0
    controls.use.click()
    assert edit.add == {"d": 9.0, "a": 2.0}
    controls.leave.click()
    assert ("Lab A · a (dropped)", "a") in controls.matches.options
    edited = what_if(bundle, "nle", add={"d": 9.0}, drop=["a"], k=3).table
    assert edit.table["item_id"].tolist() == edited["item_id"].tolist()
    assert edited["item_id"].tolist() != what_if(bundle, "nle", k=3).table["item_id"].tolist()
    assert len(shown) == 3
    assert "without Lab A; with Lab D (9)" in shown[-1]["text/html"]


def test_where_somebody_watches_the_list_stands_below_the_controls(bundle, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "here")
    shown = []

    def display(one, **options):
        shown.append(one)
        return SimpleNamespace(update=lambda view, **_: shown.append(view))

    monkeypatch.setattr("IPython.display.display", display)
    what_if(bundle, "nle", k=3)._ipython_display_()
    search, matches, *_, buttons = shown[0].children
    search.value = "lab d"
    matches.children[0].value = "d"
    buttons.children[1].click()
    html = shown[-1]["text/html"]
    assert "with Lab D (10)" in html
    assert "<table" in html
    monkeypatch.setenv("VOILA_BASE_URL", "here")  # where outputs don't change
    with pytest.raises(NotImplementedError):
        what_if(bundle, "nle")._ipython_display_()


@pytest.mark.parametrize("rated", [True, False])
def test_a_slider_stands_only_where_there_is_a_scale(bundle, rated):
    frame = RATINGS if rated else RATINGS.drop(columns="value")
    dataset = Dataset.from_frame(frame, value="value" if rated else None, items=TITLES)
    edit = what_if(Bundle(model=ItemKNN().fit(dataset.user_items), dataset=dataset), "nle")
    controls = Controls(edit)
    assert (controls.rating in controls.box.children[-1].children) == rated
    controls.search.value = "d"
    controls.matches.value = "d"
    controls.use.click()
    assert edit.add == {"d": controls.rating.value}
    assert ("(9)" in edit.summary) == rated


def test_ratings_off_the_scale_are_refused_in_words(bundle):
    with pytest.raises(DataError, match=r"`history\['d'\]` must be .* from 1 to 10; got 99"):
        what_if(bundle, "nle", add={"d": 99})
    with pytest.raises(ValueError, match="`k` must be >= 1; got 0"):
        what_if(bundle, "nle", k=0)


def test_a_search_among_50_000_items_answers_at_once():
    rng = np.random.default_rng(0)
    pairs = pd.DataFrame({"user_id": np.repeat(np.arange(500), 100)})
    pairs["item_id"] = rng.permutation(50_000)
    items = pd.DataFrame({"title": [f"Course {i} on subject {i % 700}" for i in range(50_000)]})
    dataset = Dataset.from_frame(pairs, items=items, value=None)
    edit = what_if(Bundle(model=Popularity().fit(dataset.user_items), dataset=dataset), 7)
    controls = Controls(edit)
    assert len(controls.matches.options) == 100
    began = time.process_time()
    controls.search.value = "Subject 23 course 12"
    seconds = time.process_time() - began
    assert len(controls.matches.options) == 20
    assert "355 matches; the first 20 are shown" in controls.found.value
    assert seconds < 0.2


def test_ids_are_found_as_recommend_finds_them_and_unknown_ones_refused():
    frame = pd.DataFrame({"user_id": [0, 0, 1, 1, 2, 2], "item_id": [0, 1, 0, 2, 1, 2]})
    dataset = Dataset.from_frame(frame.assign(value=[5, 1, 4, 2, 3, 5]))
    numbers = Bundle(model=ItemKNN().fit(dataset.user_items), dataset=dataset)
    assert what_if(numbers, "0").history == what_if(numbers, 0).history == {0: 5, 1: 1}
    wanted = what_if(numbers, 0, add={1: 5.0}, drop=[0]).table
    pd.testing.assert_frame_equal(what_if(numbers, "0", add={"1": 5.0}, drop=["0"]).table, wanted)
    pd.testing.assert_frame_equal(list_by_list(numbers, ["2"]), list_by_list(numbers, [2]))
    for edit in ({"add": {"zz": 5}}, {"drop": ["zz"]}):
        with pytest.raises(DataError, match="The item must be one of the 3 known; got 'zz'"):
            what_if(numbers, 0, **edit)
    with pytest.raises(DataError, match="The item must be one of the 3 known; got 9"):
        list_by_list(numbers, [9])


def test_a_search_finds_accents_written_in_either_way(bundle):
    titles = TITLES.replace("Lab F", "Cafe\u0301")
    dataset = dataclasses.replace(bundle.dataset, items=titles)
    controls = Controls(what_if(dataclasses.replace(bundle, dataset=dataset), "nle"))
    controls.search.value = "CAF\u00c9"
    assert [item for _, item in controls.matches.options] == ["f"]


def test_of_many_changes_a_few_are_told(bundle):
    edit = what_if(bundle, "nle", add=dict.fromkeys("abcdef", 5))
    assert edit.summary.count("with Lab") == 5
    assert edit.summary.endswith("; and 1 more")
