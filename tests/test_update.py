"""What is new is taken up without a fit: exactly by regressions, by folding in otherwise."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from recsys_lib.bundle import Bundle, answers
from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError
from recsys_lib.models import ALS, EASE, EDLAE, PureSVD
from recsys_lib.models.base import Recommender

N_ITEMS = 60
CATALOG = pd.DataFrame(
    {"track": [f"t{number % 5}" for number in range(N_ITEMS)], "minutes": range(N_ITEMS)},
    index=[f"i{number:02}" for number in range(N_ITEMS)],
)


def frame(seed: int, first: int, n_users: int, n_items: int = N_ITEMS) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    users, items = (rng.random((n_users, n_items)) < 0.15).nonzero()
    ids = [f"u{first + user:03}" for user in users]
    return pd.DataFrame({"user_id": ids, "item_id": CATALOG.index[items]})


def pairs(events: pd.DataFrame) -> set[tuple[str, str]]:
    return set(events.itertuples(index=False, name=None))


def bundle_of(model: Recommender, **parts: Any) -> Bundle:
    dataset = Dataset.from_frame(frame(0, 0, 200), value=None, items=CATALOG, **parts)
    return Bundle(model=model.fit(dataset.user_items), dataset=dataset)


NEW_ITEMS = pd.DataFrame({"track": ["t1", "t2"], "minutes": [7, 8]}, index=["new1", "new2"])
# New users, more of known ones, one pair that is known already, and one use of a new item.
EVENTS = pd.concat(
    [
        frame(1, 200, 4),
        frame(2, 10, 2),
        frame(0, 0, 1)[:1],
        pd.DataFrame({"user_id": ["u201"], "item_id": ["new1"]}),
    ]
).drop_duplicates()


@pytest.mark.parametrize("model", [EASE(), EASE(l2=3.0), EDLAE(), EDLAE(activity_power=0.3)])
@pytest.mark.parametrize("n_events", [len(EVENTS), 0])
def test_a_regression_is_updated_to_what_a_fit_gives(model: EASE, n_events: int) -> None:
    bundle = bundle_of(model)
    used = model.suited_to(bundle.dataset.user_items)
    later = bundle.update(EVENTS[:n_events], items=NEW_ITEMS)
    x = later.dataset.user_items
    again = used.fit(x)
    assert_allclose(later.model.score(x), again.score(x), atol=1e-4)
    # And once more, upon what was updated.
    last = later.update(frame(5, 300, 3))
    x = last.dataset.user_items
    assert_allclose(last.model.score(x), used.fit(x).score(x), atol=1e-4)
    assert last.since_fit == {
        "interactions": len(pairs(EVENTS[:n_events]) - pairs(frame(0, 0, 200)))
        + len(frame(5, 300, 3)),
        "users": (4 if n_events else 0) + 3,
        "items": 2,
        "model": "updated",
    }


def test_an_update_with_many_rows_and_one_of_fewer_users_than_items_are_fits() -> None:
    for n_users, n_more in ((200, 100), (30, 4)):
        dataset = Dataset.from_frame(frame(0, 0, n_users), value=None, items=CATALOG)
        bundle = Bundle(model=EASE(l2=4.0).fit(dataset.user_items), dataset=dataset)
        later = bundle.update(frame(3, 500, n_more))
        x = later.dataset.user_items
        assert_allclose(later.model.score(x), EASE(l2=4.0).fit(x).score(x), atol=1e-4)


def test_a_regression_fitted_on_other_rows_folds_in(tmp_path: Path) -> None:
    dataset = Dataset.from_frame(frame(0, 0, 200), value=None, items=CATALOG)
    part = EASE(l2=4.0).fit(dataset.user_items[:150])
    later = Bundle(model=part, dataset=dataset).update(frame(3, 500, 2))
    assert later.model is part
    assert later.since_fit["model"] == "as fitted"


@pytest.mark.parametrize("model", [ALS(latent_dim=8, epochs=3), PureSVD(latent_dim=8)])
def test_new_people_and_items_are_answered_at_once(model: Recommender, tmp_path: Path) -> None:
    bundle = bundle_of(model)
    later = bundle.update(EVENTS, items=NEW_ITEMS)
    assert later.model is model
    assert bundle.dataset.n_users == 200  # the old one still answers as it did
    # A known user without new events: the same items in the same order, new ones among them.
    before = bundle.recommend("u100", k=99)
    after = later.recommend("u100", k=99).set_index("item_id")
    assert set(after.index) - set(before["item_id"]) == {"new1", "new2"}
    assert set(after.loc[["new1", "new2"], "rung"]) == {"item content"}
    # A new user is answered from the history, and what they have used is not listed.
    fresh = later.recommend("u202", k=99)
    assert "history" in fresh["rung"].iloc[0]
    used = set(EVENTS[EVENTS["user_id"] == "u202"]["item_id"])
    assert used
    assert not used & set(fresh["item_id"])
    assert "new1" not in set(later.recommend("u201", k=99)["item_id"])
    assert later.recommend(history=["new1"])["rung"].iloc[0] == "item content"
    assert set(later.similar("new1")["by"]) == {"content"}
    assert set(CATALOG.loc[later.similar("new1", k=5)["item_id"], "track"]) == {"t1"}
    assert set(later.similar("i05", k=5)["by"]) == {"model"}
    assert len(later.audience("new2", k=5)) == 5
    later.save(tmp_path / "bundle")
    record = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert record["config"]["since_fit"] == later.since_fit
    assert later.since_fit["items"] == 2
    people = ["u100", "u202", {"history": ["new1", "i03"]}]
    pd.testing.assert_frame_equal(
        Bundle.load(tmp_path / "bundle").recommend_many(people), later.recommend_many(people)
    )


def test_reasons_by_formula_score_no_shorter_histories(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, people = bundle_of(ALS(latent_dim=8, epochs=3)), ["u100", "u101"]
    expected = bundle.recommend("u100"), bundle.recommend_many(people, because=True)
    assert expected[1]["because"].str.len().gt(0).any()
    monkeypatch.delattr(answers, "with_left_out")
    pd.testing.assert_frame_equal(bundle.recommend("u100"), expected[0])
    pd.testing.assert_frame_equal(bundle.recommend_many(people, because=True), expected[1])


@pytest.mark.parametrize("model", [ALS(latent_dim=8, epochs=3), PureSVD(latent_dim=8)])
def test_a_long_history_has_its_reasons_after_an_update_too(
    model: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = bundle_of(model).update(EVENTS, items=NEW_ITEMS)
    expected = later.recommend("u202", k=9)
    assert expected["because"].str.len().gt(0).any()
    monkeypatch.setattr(answers, "_AT_ONCE", 1)  # all histories are long
    pd.testing.assert_frame_equal(later.recommend("u202", k=9), expected)


def test_an_item_without_content_waits_for_a_fit() -> None:
    dataset = Dataset.from_frame(frame(0, 0, 200), value=None)
    bundle = Bundle(model=PureSVD(latent_dim=8).fit(dataset.user_items), dataset=dataset)
    later = bundle.update(pd.DataFrame({"user_id": ["u001", "zoe"], "item_id": ["odd", "odd"]}))
    assert "odd" not in set(later.recommend("u100", k=99)["item_id"])
    assert later.recommend("zoe", k=99)["rung"].iloc[0] == "popularity"
    assert set(later.similar("odd", k=3)["by"]) == {"users"}


def test_ratings_times_and_profiles_are_appended() -> None:
    table = frame(0, 0, 50).assign(value=4.0, timestamp="2024-01-01")
    table.loc[::3, "value"] = 2.0
    people = pd.DataFrame({"role": np.tile(["dev", "ops"], 25)}, index=table["user_id"].unique())
    dataset = Dataset.from_frame(
        table, timestamp="timestamp", items=CATALOG, users=people, rating_scale=(1, 5)
    )
    bundle = Bundle(model=PureSVD(latent_dim=4).fit(dataset.user_items), dataset=dataset)
    row = table.iloc[0]
    again = {"user_id": row.user_id, "item_id": row.item_id, "value": 5, "timestamp": "2025-01-01"}
    zoe = {"user_id": "zoe", "item_id": "i00", "value": 1, "timestamp": "2025-01-01"}
    told = pd.DataFrame({"user_id": ["zoe"], "role": ["dev"]})
    later = bundle.update(pd.DataFrame([again, zoe]), users=told).dataset
    assert later.n_interactions == dataset.n_interactions + 1
    assert later.rating_scale == (1, 5)
    found = later.to_frame().set_index(["user_id", "item_id"])
    assert found.loc[(row.user_id, row.item_id), "value"] == 5
    assert found.loc[("zoe", "i00"), "timestamp"] == pd.Timestamp("2025-01-01", tz="UTC")
    in_seconds = bundle.update(pd.DataFrame([zoe | {"timestamp": 1_767_225_600}]))
    assert in_seconds.dataset.to_frame()["timestamp"].max() == pd.Timestamp("2026-01-01", tz="UTC")
    assert later.users.loc["zoe", "role"] == "dev"
    assert later.user_ids[:50].equals(dataset.user_ids)
    only = bundle.update(users=told.assign(user_id="new"))
    assert "history" not in only.recommend("new")["rung"].iloc[0]


def test_events_that_come_twice_are_counted_once() -> None:
    later = bundle_of(PureSVD(latent_dim=2)).update(EVENTS, items=NEW_ITEMS)
    assert later.update(EVENTS).since_fit == later.since_fit


def test_a_column_that_the_catalog_lacks_is_named() -> None:
    said = "`items` must have the dataset's columns; 'tracks' is left out. Did you mean 'track'"
    bundle = bundle_of(PureSVD(latent_dim=2))
    with pytest.warns(UserWarning, match=said):
        later = bundle.update(items=NEW_ITEMS.rename(columns={"track": "tracks"}))
    assert later.dataset.items.columns.tolist() == bundle.dataset.items.columns.tolist()


@pytest.mark.parametrize(
    ("events", "parts", "said"),
    [
        ({"user_id": ["a"]}, {}, "must have the columns user_id, item_id.*'item_id' is missing"),
        ({"user_id": ["a"], "item_id": ["odd"]}, {}, "known ids; 'odd' is not .row 0"),
        ({"user_id": [None], "item_id": ["i00"]}, {}, "'user_id' .* an id in each row; index 0"),
        ({"user_id": [3], "item_id": ["i00"]}, {}, "must be all strings or all whole numbers"),
        ({"user_id": ["a"], "item_id": ["i00"]}, {"items": CATALOG[:1]}, "must list new ids only"),
    ],
)
def test_events_that_cannot_be_appended_are_named(events: Any, parts: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        bundle_of(PureSVD(latent_dim=2)).update(pd.DataFrame(events), **parts)


def test_a_new_item_that_is_known_is_named_as_its_reader_wrote_it() -> None:
    frame = pd.DataFrame({"user_id": ["a", "b"], "item_id": [5, 6]})
    dataset = Dataset.from_frame(frame, value=None)
    bundle = Bundle(model=PureSVD(latent_dim=1).fit(dataset.user_items), dataset=dataset)
    with pytest.raises(DataError, match="must list new ids only; 5 is in the dataset"):
        bundle.update(frame, items=pd.DataFrame(index=[5]))


def test_a_model_of_other_items_is_still_refused() -> None:
    x = sparse.csr_array(np.ones((3, 2), dtype=np.float32))
    dataset = Dataset(user_items=x, user_ids=pd.RangeIndex(3), item_ids=pd.RangeIndex(2))
    since = {"interactions": 0, "users": 0, "items": 0}
    with pytest.raises(ValueError, match="it knows 1 items and the dataset has 2"):
        Bundle(model=PureSVD(latent_dim=1).fit(x[:, :1]), dataset=dataset, since_fit=since)
