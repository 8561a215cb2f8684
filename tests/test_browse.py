"""The page of recommendations: what it shows is what the bundle says, of any bundle."""

import dataclasses
import re
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from recsys_lib.bundle import Bundle
from recsys_lib.bundle.browse import (
    Browse,
    Page,
    browse,
    choices,
    contributions,
    item_places,
    unknowns,
)
from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError
from recsys_lib.models import EASE, ItemKNN, Popularity, UserKNN

RATINGS = pd.DataFrame(
    [
        (user, item, 8 + (item == "a"))
        for user, items in [("u1", "abc"), ("u2", "abc"), ("u3", "ab"), ("u4", "def"), ("nle", "a")]
        for item in items
    ],
    columns=["user_id", "item_id", "value"],
)
ITEMS = pd.DataFrame(
    {
        "title": [f"Lab <{name}>" for name in "ABCDEF"],
        "track": ["NET", "NET", "SEC", "SEC", "OPS", "OPS"],
        "minutes": [45, 60, 60, 90, 90, 120],
    },
    index=list("abcdef"),
)
USERS = pd.DataFrame(
    {"role": ["dev", "dev", "ops", "ops", "dev"]}, index=["u1", "u2", "u3", "u4", "nle"]
)


@pytest.fixture
def bundle(monkeypatch) -> Bundle:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    monkeypatch.delenv("VSCODE_PID", raising=False)
    dataset = Dataset.from_frame(RATINGS, items=ITEMS, users=USERS, rating_scale=(1, 10))
    return Bundle(model=ItemKNN(shrinkage=0.0).fit(dataset.user_items), dataset=dataset, like=7.0)


@pytest.fixture
def page(bundle) -> Page:
    return Page(Browse(bundle, "nle", k=4))


def shown(page):
    """Return the items of the cards in sight."""
    return [card.item for card in page.cards if card.box.layout.display != "none"]


def test_a_card_says_rank_title_probability_rung_and_reason(page, bundle):
    wanted = bundle.recommend("nle", k=4)
    assert shown(page) == wanted["item_id"].tolist()
    text = page.cards[0].text.value
    assert "1. <bdi>Lab &lt;B&gt;</bdi>" in text  # escaped, and its direction is its own
    assert wanted["rung"][0] in text
    assert "because of <bdi>Lab &lt;A&gt;</bdi>" in text
    assert "probability unknown" in text  # there is no calibrator
    assert page.cards[0].ask.tooltip == "Why Lab <B>?"


def test_filters_and_variety_are_those_of_the_bundle(page, bundle):
    page.where["track"].value = ("SEC", "OPS")
    page.where["minutes"].value = (60, 90)
    where = {"track": ["SEC", "OPS"], "minutes": {"min": 60, "max": 90}}
    assert page.browse.edit.rules == {"where": where, "diversity": 0.0}
    assert shown(page) == bundle.recommend("nle", k=4, where=where)["item_id"].tolist()
    assert set(shown(page)) == {"c", "d", "e"}
    assert "No more than 3 items" in page.status.value
    page.where["minutes"].value = (90, 120)
    page.where["track"].value = ("SEC",)
    assert "No more than 1 item meets what is asked" in page.status.value
    page.where["track"].value = ("NET",)
    assert "1 item used" in page.status.value
    assert "No item meets what is asked" in page.status.value
    page.where["track"].value = ()
    page.where["minutes"].value = (45, 120)  # all of it: no condition, so unknown values stay
    assert page.browse.edit.rules["where"] == {}
    page.diversity.value = 0.9
    assert shown(page) == bundle.recommend("nle", k=4, diversity=0.9)["item_id"].tolist()
    assert page.browse.edit.rules == {"where": {}, "diversity": 0.9}


def test_an_item_used_leaves_the_list_and_the_others_say_how_they_moved(page, bundle):
    before = bundle.recommend("nle", k=5)["item_id"].tolist()
    page.controls.rating.value = 9.0
    next(card for card in page.cards if card.item == before[3]).add.click()
    after = bundle.recommend("nle", history={"a": 9, before[3]: 9}, k=4)["item_id"].tolist()
    assert shown(page) == after
    assert "What if: with" in page.status.value
    moved = [item for rank, item in enumerate(after) if before.index(item) > rank]
    for card in page.cards:
        assert ("▲" in card.text.value) == (card.item in moved and before.index(card.item) < 4)
    page.controls.back.click()
    assert shown(page) == before[:4]
    page.controls.matches.value = "a"
    page.controls.leave.click()
    assert "used before" in next(card.text.value for card in page.cards if card.item == "a")


def test_a_visitor_has_a_profile_and_picks_what_they_know(page, bundle):
    page.who.value = "A visitor"
    assert shown(page) == bundle.recommend(k=4)["item_id"].tolist()
    assert page.told.layout.display == ""
    assert page.known.layout.display == "none"
    page.profile["role"].value = "ops"
    assert shown(page) == bundle.recommend(profile={"role": "ops"}, k=4)["item_id"].tolist()
    assert "A visitor · ops" in page.status.value
    page.profile["role"].index = 0  # which says that it is not known, and goes on saying so
    assert (page.profile["role"].index, page.browse.edit.profile) == (0, None)
    page.profile["role"].value = "ops"
    page.controls.rate("d")
    wanted = bundle.recommend(profile={"role": "ops"}, history={"d": 10}, k=4)
    assert shown(page) == wanted["item_id"].tolist()
    page.who.value = "Somebody in the data"
    page.people.matches.value = "u4"
    assert shown(page) == bundle.recommend("u4", k=4)["item_id"].tolist()
    assert "u4 · ops" in page.status.value


def test_a_profile_is_told_in_words(bundle):
    users = USERS.assign(age=[18.0, None, 30, 41, 52], joined=pd.Timestamp("2020-01-01"), paid=True)
    dataset = dataclasses.replace(bundle.dataset, users=users)
    page = Page(Browse(dataclasses.replace(bundle, dataset=dataset), "u1", k=4))
    assert "u1 · dev · 18 · 2020-01-01 · yes</bdi>" in page.status.value


def test_an_open_card_tells_why_what_is_like_it_and_where_it_is(page, bundle):
    first = page.cards[0]
    first.ask.click()
    text = first.more.value
    gains = contributions(bundle, {"a": 9.0}, first.item)
    assert gains["item_id"].tolist() == ["a"]
    assert f"{gains['gain'][0]:+.2g}" in text
    similar = bundle.similar(first.item, k=5)
    assert all(f"Lab &lt;{one.upper()}&gt;" in text for one in similar["item_id"])
    assert len(re.findall("<circle class='?\"?rs-listed", text)) == 4 + 1  # and in the legend
    assert len(re.findall('<circle class="rs-all"', text)) == 6
    page.controls.rate("d")  # which nobody used beside that item: it speaks for nothing
    opened = next(card for card in page.cards if card.item == page.item).more.value
    assert "+0<" not in opened
    assert f"{gains['gain'][0]:+.2g}" in opened
    page.controls.back.click()
    page.diversity.value = 0.2  # a change leaves it open
    assert first.more.value.startswith("<div")
    first.ask.click()
    assert first.more.value == ""


def test_what_speaks_for_an_item_is_what_its_score_would_lose(bundle):
    history = {"a": 9.0, "b": 8.0}
    rows = bundle.dataset.user_items[[0]].toarray()[0] * 0
    scores = {}
    for name, used in {"both": "ab", "a": "b", "b": "a"}.items():
        row = rows.copy()
        row[["abcdef".index(one) for one in used]] = [history[one] for one in used]
        scores[name] = bundle.model.score(type(bundle.dataset.user_items)(row[None, :]))[0, 2]
    gains = contributions(bundle, history, "c").set_index("item_id")["gain"]
    for one in "ab":
        assert gains[one] == pytest.approx(scores["both"] - scores[one], abs=1e-6)
    with pytest.raises(DataError, match="'zz'"):
        contributions(bundle, history, "zz")


@pytest.mark.parametrize("model", [ItemKNN(shrinkage=0.0), EASE(), UserKNN()])
def test_a_bundle_that_has_taken_up_what_is_new_says_why_and_where(bundle, model):
    bundle = Bundle(model=model.fit(bundle.dataset.user_items), dataset=bundle.dataset, like=7.0)
    events = pd.DataFrame({"user_id": ["new", "u1"], "item_id": ["a", "g"], "value": [9, 9]})
    item = pd.DataFrame({"title": ["Lab G"], "track": ["NET"], "minutes": [30]}, index=["g"])
    later = bundle.update(events, items=item)
    gains = contributions(later, {"a": 9.0, "b": 9.0}, "c").set_index("item_id")["gain"]
    assert (gains > 0).all()
    places = item_places(later)
    assert places.shape == (7, 2)
    assert np.isfinite(places).all()
    page = Page(Browse(later, "u1", k=4))
    page.cards[0].ask.click()
    assert "Lab &lt;A&gt;" in page.cards[0].more.value


def test_columns_to_choose_in_are_short_and_of_numbers_a_ladder():
    table = pd.DataFrame(
        {
            "title": [f"Title {i}" for i in range(200)],
            "code": [f"c{i}" for i in range(200)],
            "tags": ["red|blue" if i % 2 else "blue|green" for i in range(200)],
            "minutes": np.arange(200) * 1.5,
            "same": "x",
            "since": pd.date_range("2024-01-01", periods=200),
            "free": [True, False] * 100,
        }
    )
    found = choices(table)
    assert list(found) == ["tags", "minutes", "since", "free"]
    assert [label for label, _ in found["tags"]] == ["blue", "green", "red"]
    assert len(found["minutes"]) == 40
    assert found["minutes"][0] == ("0", 0.0)
    assert found["minutes"][-1] == ("298.5", 298.5)
    assert found["since"][-1] == ("2024-07-18", table["since"].max())
    assert found["free"] == [("no", False), ("yes", True)]
    noon = pd.to_datetime(["2024-01-01 12:00", "2024-01-02 00:00"], utc=True)
    labels = [label for label, _ in choices(pd.DataFrame({"at": noon}))["at"]]
    assert labels == ["2024-01-01 12:00:00", "2024-01-02"]
    views = pd.DataFrame({"views": [1_087_400, 9_829_410], "price": [1_087_400.5, np.nan]})
    assert [label for label, _ in choices(views)["views"]] == ["1087400", "9829410"]
    views.loc[1, "price"] = 9_829_410
    assert [label for label, _ in choices(views)["price"]] == ["1087400.5", "9829410"]
    assert choices(None) == {}


@pytest.mark.parametrize("model", [EASE(l2=1.0), Popularity()])
def test_own_data_without_titles_catalog_and_profiles_work_and_it_is_said(model):
    rng = np.random.default_rng(0)
    pairs = [(u, i) for u in range(30) for i in rng.choice(9, rng.integers(2, 6), replace=False)]
    frame = pd.DataFrame(pairs, columns=["user_id", "item_id"])
    dataset = Dataset.from_frame(frame, value=None)
    own = Bundle(model=model.fit(dataset.user_items), dataset=dataset)
    page = Page(Browse(own, 7, k=3))
    assert shown(page) == own.recommend(7, k=3)["item_id"].tolist()
    page.cards[0].ask.click()
    page.controls.rate(shown(page)[1])
    page.who.value = "A visitor"
    assert shown(page) == own.recommend(k=3)["item_id"].tolist()
    said = " ".join(unknowns(own))
    for word in ("no titles", "no column to filter by", "No profiles", "not calibrated"):
        assert word in said
    assert page.where == {}
    titles = pd.DataFrame({"title": ["A", None] + ["B"] * 7}, index=dataset.item_ids)
    titled = Bundle(model=own.model, dataset=dataclasses.replace(dataset, items=titles))
    assert "Of 9 items 1 have no title; ids stand for them." in unknowns(titled)


def test_five_thousand_people_are_found_by_typing():
    frame = pd.DataFrame({"user_id": [f"user-{i}" for i in range(5000)], "item_id": ["x"] * 5000})
    frame.loc[::2, "item_id"] = "y"
    dataset = Dataset.from_frame(frame, value=None)
    page = Page(Browse(Bundle(model=Popularity().fit(dataset.user_items), dataset=dataset)))
    assert len(page.people.matches.options) == 20
    page.people.search.value = "4711"
    assert page.people.matches.options == (("user-4711", "user-4711"),)
    assert ">1 match<" in page.people.found.value
    page.people.search.value = "nobody"
    assert "Nothing matches" in page.people.found.value


def test_in_batch_it_is_the_list_of_the_bundle(bundle):
    view = browse(bundle, "nle", k=3)
    with pytest.raises(NotImplementedError):  # then IPython shows the table
        view._ipython_display_()
    pd.testing.assert_frame_equal(view.table, bundle.recommend("nle", k=3))
    html = view._repr_mimebundle_()["text/html"]
    assert "Lab &lt;B&gt;" in html
    assert "was not calibrated" in html


@pytest.mark.parametrize("place", ["JPY_SESSION_NAME", "VOILA_BASE_URL"])
def test_where_somebody_watches_the_list_is_saved_only_in_a_notebook(bundle, monkeypatch, place):
    monkeypatch.setenv(place, "here")
    kept = []

    def display(one, **options):
        kept.append(one)
        return SimpleNamespace(update=lambda view, **_: kept.append(view))

    monkeypatch.setattr("IPython.display.display", display)
    browse(bundle, "nle", k=3)._ipython_display_()
    assert len(kept) == (1 if place.startswith("VOILA") else 2)
    if len(kept) == 2:
        who = kept[0].children[1].children[1]
        who.value = "A visitor"
        assert "A visitor" not in kept[1]["text/html"]
        assert kept[-1]["text/html"] != kept[1]["text/html"]


def test_a_change_among_twenty_thousand_items_takes_under_a_second():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"user_id": np.repeat(np.arange(400), 50)})
    frame["item_id"] = rng.permutation(20_000)
    items = pd.DataFrame({"title": [f"Course {i}" for i in range(20_000)]})
    items["level"] = rng.choice(["low", "high"], 20_000)
    dataset = Dataset.from_frame(frame, items=items, value=None)
    page = Page(Browse(Bundle(model=ItemKNN().fit(dataset.user_items), dataset=dataset), 3))
    took = []
    for level in ("low", "high", "low"):  # one of them may meet a collection of all garbage
        began = time.thread_time()  # the map of the items is drawn by another thread meanwhile
        page.where["level"].value = (level,)
        took.append(time.thread_time() - began)
    assert min(took) < 0.5, took
