"""One object answers for everybody, and every row says which rung of the ladder spoke."""

import dataclasses
import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib import make_world, models
from recsys_lib.bundle import RUNGS, Bundle
from recsys_lib.coldstart import Ladder
from recsys_lib.dataset import Dataset
from recsys_lib.errors import ArtifactError, DataError
from recsys_lib.evaluation.calibration import Calibrator
from recsys_lib.models import base
from recsys_lib.models.base import Recommender, leave_one_out_gains


@dataclass(kw_only=True)
class CoOccurrence(Recommender):
    """Scores an item by the ratings of those it was used with: reasons are plain."""

    together_: NDArray[np.float32] = field(init=False, repr=False, compare=False)

    def _fit(self, x: sparse.csr_array, validation: Any) -> None:
        used = (x.toarray() != 0).astype(np.float32)
        self.together_ = used.T @ used
        np.fill_diagonal(self.together_, 0)

    def _score(self, x: sparse.csr_array) -> NDArray[np.float32]:
        return np.asarray(x @ self.together_, dtype=np.float32)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {"together": self.together_}

    def _restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        self.together_ = arrays["together"]


RATINGS = pd.DataFrame(
    [
        ("ann", "a", 9),
        ("ann", "b", 8),
        ("bob", "a", 8),
        ("bob", "b", 9),
        ("bob", "c", 2),
        ("cyd", "d", 9),
        ("cyd", "e", 8),
        ("dan", "d", 8),
        ("dan", "e", 9),
        ("dan", "c", 7),
        ("nle", "a", 9),
    ],
    columns=["user_id", "item_id", "value"],
)
USERS = pd.DataFrame(
    {"role": ["ops", "ops", "dev", "dev", "ops", "dev"], "years": [1, 2, 8, 9, 1, 10]},
    index=["ann", "bob", "cyd", "dan", "nle", "new"],
)
ITEMS = pd.DataFrame(
    {"title": ["Alpha", "Beta", "Gamma", "Delta", "Epsilon", None]}, index=list("abcdef")
)


@pytest.fixture
def dataset() -> Dataset:
    return Dataset.from_frame(RATINGS, users=USERS, items=ITEMS, rating_scale=(1, 10))


@pytest.fixture
def bundle(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.setitem(models.MODELS, "CoOccurrence", __name__)
    monkeypatch.setattr(base, "model_class", lambda name: CoOccurrence)
    calibrator = Calibrator(
        method="platt", arrays={"slope": np.array([0.1]), "intercept": np.array([-1.0])}
    )
    return Bundle(
        model=CoOccurrence().fit(dataset.user_items),
        dataset=dataset,
        calibrator=calibrator,
        like=7.0,
        handover=0.0,
        ladder=Ladder(n_neighbors=2, prior=1.0),
    )


def test_a_known_user_is_answered_from_the_history_with_reasons(bundle: Bundle) -> None:
    top = bundle.recommend("nle", k=2)
    assert top.columns.tolist() == ["rank", "item_id", "title", "probability", "rung", "because"]
    assert top["item_id"].tolist() == ["b", "c"]
    assert top["title"].tolist() == ["Beta", "Gamma"]
    assert set(top["rung"]) == {"history"}
    assert top["because"].tolist() == ["Alpha", "Alpha"]
    # Two users used a and b together: score 9 * 2 = 18, logit 0.1 * 18 - 1.
    assert top["probability"].iloc[0] == pytest.approx(1 / (1 + np.exp(-0.8)), rel=1e-6)


def test_the_reason_is_the_item_whose_absence_costs_most(bundle: Bundle) -> None:
    top = bundle.recommend(history={"a": 9, "e": 10, "d": 10}, k=2)
    assert top.set_index("item_id")["because"].to_dict() == {
        "b": "Alpha",
        # Gamma was used once with each of the three; ratings of 10 weigh more than the 9.
        "c": "Delta · Epsilon",
    }


def test_every_rung_answers_when_it_is_its_turn(bundle: Bundle) -> None:
    cases = {
        "history": bundle.recommend(history=["a"]),
        "profile neighbors": bundle.recommend(profile={"role": "dev", "years": 9}),
        "segment popularity": Bundle(
            model=bundle.model, dataset=bundle.dataset, like=7.0, ladder=Ladder(min_similarity=0.9)
        ).recommend(profile={"role": "dev"}),
        "popularity": bundle.recommend(),
    }
    assert [rung for rung in RUNGS if rung != "item content"] == list(cases)
    for rung, answer in cases.items():
        assert set(answer["rung"]) == {rung}
        assert answer["probability"].is_monotonic_decreasing
    assert cases["profile neighbors"]["because"].iloc[0] == "role=dev, years=9"
    assert cases["segment popularity"]["because"].iloc[0] == "role=dev"


def test_profiles_move_the_list_toward_what_near_users_like(bundle: Bundle) -> None:
    ops, dev = (
        bundle.recommend(profile=profile, k=99).set_index("item_id")["probability"]
        for profile in ({"role": "ops", "years": 1}, {"role": "dev", "years": 9})
    )
    assert (dev[["d", "e", "c"]] > ops[["d", "e", "c"]]).all()
    assert (dev[["a", "b"]] < ops[["a", "b"]]).all()


def test_a_user_without_history_is_answered_by_the_profile_in_the_database(bundle: Bundle) -> None:
    asked = bundle.recommend("new", k=99)
    assert set(asked["rung"]) == {"profile neighbors"}
    told = bundle.recommend(profile=USERS.loc["new"].to_dict(), k=99)
    assert told["item_id"].tolist() == asked["item_id"].tolist()


def test_users_are_no_neighbors_of_their_own(bundle: Bundle) -> None:
    one = Bundle(
        model=bundle.model,
        dataset=bundle.dataset,
        like=7.0,
        ladder=Ladder(n_neighbors=1, prior=1.0),
    )
    asked = one.recommend("new", k=99).set_index("item_id")["probability"]
    # Told the same profile as a stranger's, the nearest user is "new", who has used nothing.
    told = one.recommend(profile=USERS.loc["new"].to_dict(), k=99).set_index("item_id")
    assert asked["c"] > told.loc["c", "probability"]


def test_the_first_clicks_move_the_list_from_the_profile_to_the_model(bundle: Bundle) -> None:
    mixed = dataclasses.replace(bundle, handover=2.0)
    profile = {"role": "dev", "years": 9}
    rungs, shares = [], []
    items = ["a", "b", "d", "e"]
    before = mixed.recommend(profile=profile, k=99).set_index("item_id")["probability"]
    for n in range(1, 5):
        asked: dict[str, Any] = {"history": items[:n], "profile": profile, "k": 99}
        found = mixed.recommend(**asked).set_index("item_id")
        model = bundle.recommend(**asked).set_index("item_id")["probability"]
        rungs.append(found["rung"].iloc[0])
        # Of the way from what the profile says to what the model says of Gamma.
        shares.append((found["probability"]["c"] - before["c"]) / (model["c"] - before["c"]))
    assert shares == pytest.approx([1 / 3, 2 / 4, 3 / 5, 4 / 6])
    assert rungs == ["history + profile neighbors"] * 4
    long = mixed.recommend(history=list("abcdef"), profile=profile)
    assert long.empty
    assert set(dataclasses.replace(mixed, handover=0.5).recommend("bob")["rung"]) == {"history"}


@pytest.mark.parametrize("handover", [0.5, 2.0, 8.0])
def test_probabilities_do_not_increase_down_a_blended_list(bundle: Bundle, handover: float) -> None:
    mixed = dataclasses.replace(bundle, handover=handover)
    for user in ("ann", "bob", "cyd", "nle"):
        found = mixed.recommend(user, profile={"role": "dev", "years": 9}, k=99)
        assert (found["probability"].diff().dropna() <= 1e-12).all()


def test_without_probabilities_the_blended_order_is_that_of_the_standardized_sum(
    bundle: Bundle,
) -> None:
    mixed = dataclasses.replace(bundle, handover=2.0, calibrator=None)
    profile = {"role": "dev", "years": 9}
    row = bundle.dataset.user_items[[bundle.dataset.user_ids.get_loc("nle")]]
    scores = bundle.model.score(row)[0]
    before = mixed.recommend(profile=profile, k=99).set_index("item_id")["probability"]
    rates = before[bundle.dataset.item_ids].to_numpy()
    rest = bundle.dataset.item_ids != "a"
    z = [(x - x[rest].mean()) / x[rest].std() for x in (scores, rates)]
    wanted = pd.Series(z[0] / 3 + 2 * z[1] / 3, bundle.dataset.item_ids)[rest]
    found = mixed.recommend("nle", profile=profile, k=99)["item_id"]
    assert set(found) == set(wanted.index)
    assert (wanted[found].diff().dropna() < 1e-5).all()


def test_an_edited_history_moves_the_list_and_takes_the_place_of_the_users_own(
    bundle: Bundle,
) -> None:
    before, after = bundle.recommend("nle"), bundle.recommend("nle", history=["d"])
    assert before["item_id"].iloc[0] == "b"
    assert after["item_id"].iloc[0] == "e"
    assert "a" in set(after["item_id"])
    assert "d" not in set(after["item_id"])


def test_used_and_excluded_items_are_left_out_and_only_the_others_listed(bundle: Bundle) -> None:
    assert "a" not in set(bundle.recommend("nle", k=99)["item_id"])
    assert bundle.recommend("nle", exclude=["b"], k=1)["item_id"].tolist() == ["c"]
    assert bundle.recommend("nle", only=["f", "a"])["item_id"].tolist() == ["f"]
    assert bundle.recommend("nle", only=[]).empty


def test_a_list_is_as_long_as_there_are_items_and_never_padded(bundle: Bundle) -> None:
    top = bundle.recommend("nle", k=1000)
    assert top["rank"].tolist() == [1, 2, 3, 4, 5]
    assert top["title"].tolist().count("f") == 1  # no title: the id
    with pytest.raises(ValueError, match="`k` must be >= 1"):
        bundle.recommend("nle", k=0)


def test_probabilities_know_how_long_each_history_is(bundle: Bundle) -> None:
    arrays = {"slope": np.array([0.1]), "intercept": np.array([-1.0]), "tilt": np.array([5.0])}
    tilted = Calibrator(method="platt", arrays=arrays)
    asked = dataclasses.replace(bundle, calibrator=tilted)
    people = [{"user": "nle"}, {"user": "dan"}, {"history": {"a": 9, "d": 8}}]
    found = asked.recommend_many(people, k=2)
    lengths = np.array([1, 3, 2])[found.index]
    assert len(set(lengths)) == 3
    wanted = tilted.probability(found["score"], lengths)
    np.testing.assert_allclose(found["probability"], wanted, atol=1e-6)


def test_without_a_calibrator_the_probability_of_the_model_is_missing(bundle: Bundle) -> None:
    bare = Bundle(model=bundle.model, dataset=bundle.dataset)
    assert bare.recommend("nle")["probability"].isna().all()
    assert bare.recommend()["probability"].notna().all()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"user": "nel"}, "The user must be one of the 6 known; got 'nel'. Near: 'nle'"),
        ({"user": "zzz"}, "got 'zzz'. Check its spelling"),
        ({"user": ["nle"]}, "The user must be one of"),
        ({"history": ["q"]}, "The item must be one of the 6 known; got 'q'"),
        ({"history": {"a": 11}}, r"`history\['a'\]` must be a finite rating from 1 to 10; got 11"),
        ({"history": {"a": "good"}}, "must be a finite rating"),
        ({"history": {"a": float("nan")}}, "must be a finite rating"),
        ({"profile": {"rol": "dev"}}, "The profile column must be .* Near: 'role'"),
        (
            {"profile": {"role": "wizard"}},
            r"`profile\['role'\]` must be a value that some user has",
        ),
        ({"profile": {"years": "many"}}, r"`profile\['years'\]` must be a number"),
        ({"exclude": ["q"]}, "The item must be one of"),
        ({"only": "q"}, "The item must be one of"),
    ],
)
def test_what_is_unknown_is_named_with_what_is_near(
    bundle: Bundle, asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        bundle.recommend(**asked)


def test_ids_that_are_numbers_are_found_as_text_and_text_as_numbers() -> None:
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": ["10", "20"]})
    data = Dataset.from_frame(frame, value=None)
    bundle = Bundle(model=CoOccurrence().fit(data.user_items), dataset=data)
    assert bundle.recommend("1")["item_id"].tolist() == ["20"]
    assert bundle.recommend(history=[10])["item_id"].tolist() == ["20"]


def test_new_items_are_listed_for_being_like_the_history(dataset: Dataset) -> None:
    items = pd.DataFrame(
        {
            "title": [f"Lab {name}" for name in "abcdefgh"],
            "track": ["NET", "NET", "SEC", "SEC", "CMP", "NET", "SEC", "CMP"],
        },
        index=list("abcdefgh"),
    )
    data = Dataset.from_frame(RATINGS, users=USERS, items=items)
    bundle = Bundle(model=CoOccurrence().fit(data.user_items), dataset=data, like=7.0, handover=0.0)
    top = bundle.recommend("nle", k=99).set_index("item_id")
    new = top.loc[["f", "g", "h"]]
    assert set(new["rung"]) == {"item content"}
    assert set(top.drop(["f", "g", "h"])["rung"]) == {"history"}
    assert new["probability"].isna().all()
    assert top.loc["f", "rank"] < top.loc["g", "rank"]  # f is on NET like what nle used
    assert top.loc["f", "because"] == "Lab a"
    only_new = bundle.recommend(history=["f"], k=99)
    assert set(only_new["rung"]) == {"item content"}
    assert set(only_new["item_id"][:2]) == {"a", "b"}
    without = dataclasses.replace(bundle, new_items=False).recommend("nle", k=99)
    assert set(without["rung"]) == {"history"}


TRACKS = pd.DataFrame(
    {
        "title": [f"Lab {name}" for name in "abcdefgh"],
        "track": ["NET", "NET", "SEC", "SEC", "CMP", "NET", "SEC", "CMP"],
    },
    index=list("abcdefgh"),
)


def test_interests_are_enough_where_nobody_has_a_profile() -> None:
    data = Dataset.from_frame(RATINGS, items=TRACKS)
    bundle = Bundle(model=CoOccurrence().fit(data.user_items), dataset=data, like=7.0)
    top = bundle.recommend(profile={"interests": "SEC, cooking"}, k=8)
    before = bundle.recommend(k=8).set_index("item_id")["rank"]
    gained = before - top.set_index("item_id")["rank"]
    assert set(gained.nlargest(2, keep="all").index) <= {"c", "d", "g"}
    assert top["item_id"].iloc[0] == "d"
    assert set(top["rung"]) == {"item content"}
    assert set(top["because"]) == {"SEC"}
    assert top["probability"].isna().all()
    with pytest.raises(DataError, match=r"must name a tag .* got 'cooking'"):
        bundle.recommend(profile={"interests": "cooking"})


def test_interests_and_near_profiles_place_new_items_for_a_newcomer() -> None:
    people = USERS.assign(interests=["NET", "NET", "SEC", "SEC", "NET", "SEC"])
    data = Dataset.from_frame(RATINGS, users=people, items=TRACKS)
    model = CoOccurrence().fit(data.user_items)
    bundle = Bundle(model=model, dataset=data, like=7.0, ladder=Ladder(n_neighbors=2, prior=1.0))
    ahead = {}
    for track, role in {"NET": "ops", "SEC": "dev"}.items():
        asked = {"role": role, "years": 1, "interests": track}
        top = bundle.recommend(profile=asked, k=99).set_index("item_id")
        assert set(top.loc[["f", "g", "h"], "rung"]) == {"item content"}
        assert set(top.loc[["a", "d"], "rung"]) == {"profile neighbors"}
        assert top.loc[["f", "g", "h"], "probability"].isna().all()
        ahead[track] = top.loc["g", "rank"] - top.loc["f", "rank"]
    assert ahead["NET"] > 0
    assert ahead["NET"] > ahead["SEC"]
    # Interests alone are half a profile at most: nobody is near, and the items answer.
    alone = bundle.recommend(profile={"interests": "SEC"}, k=1)
    assert alone["rung"].tolist() == ["item content"]
    assert alone["item_id"].iloc[0] in {"c", "d", "g"}


def test_a_model_of_likes_sees_likes_only_but_lists_nothing_used(dataset: Dataset) -> None:
    likes = dataset.implicit(7.0)
    bundle = Bundle(
        model=CoOccurrence().fit(likes.user_items), dataset=dataset, like=7.0, inputs="likes"
    )
    top = bundle.recommend("bob", k=99)
    assert "c" not in set(top["item_id"])
    assert not top["because"].str.contains("Gamma").any()
    assert set(bundle.recommend(history={"c": 2})["rung"]) == {"popularity"}


def test_a_saved_bundle_gives_the_same_lists_and_pickles_nothing(
    bundle: Bundle, tmp_path: Path
) -> None:
    bundle.save(tmp_path / "bundle", run="test")
    again = Bundle.load(tmp_path / "bundle")
    questions: list[dict[str, Any]] = [
        {"user": "nle"},
        {"history": ["d"]},
        {"profile": {"role": "dev", "years": 9}},
        {},
    ]
    for question in questions:
        pd.testing.assert_frame_equal(again.recommend(**question), bundle.recommend(**question))
    suffixes = {file.suffix for file in (tmp_path / "bundle").rglob("*") if file.is_file()}
    assert suffixes <= {".json", ".npz", ".parquet"}
    assert json.loads((tmp_path / "bundle" / "manifest.json").read_text())["run"] == "test"


@pytest.mark.parametrize("name", ["model/arrays.npz", "dataset/items.parquet", "calibrator.json"])
def test_half_written_or_changed_files_are_named(bundle: Bundle, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "bundle"
    bundle.save(folder)
    file = folder / name
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ArtifactError, match=name.split("/")[-1]):
        Bundle.load(folder)
    file.unlink()
    with pytest.raises(ArtifactError, match=name.split("/")[-1]):
        Bundle.load(folder)


def test_other_artifacts_and_later_formats_are_refused(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle.dataset.save(tmp_path / "dataset")
    with pytest.raises(ArtifactError, match="must hold a bundle; its manifest says 'dataset'"):
        Bundle.load(tmp_path / "dataset")
    monkeypatch.setattr("recsys_lib.bundle.bundle._FORMAT", 99)
    bundle.save(tmp_path / "bundle")
    monkeypatch.undo()
    with pytest.raises(ArtifactError, match="must be a bundle of format 1 or 2; it has 99"):
        Bundle.load(tmp_path / "bundle")
    with pytest.raises(ArtifactError, match="no manifest.json is there"):
        Bundle.load(tmp_path / "none")


def test_a_model_of_another_run_is_refused(bundle: Bundle) -> None:
    other = Dataset.from_frame(RATINGS)
    with pytest.raises(ValueError, match="it knows 6 items and the dataset has 5"):
        Bundle(model=bundle.model, dataset=other)


def test_a_bundle_of_version_0_1_answers_as_it_did() -> None:
    folder = Path(__file__).parent / "data"
    old = Bundle.load(folder / "bundle_0_1")
    assert old.handover == 2.0
    assert old.ladder == Ladder(n_neighbors=2, min_similarity=0.4, prior=1.0, segment=["role"])
    for case in json.loads((folder / "bundle_0_1.json").read_text(encoding="utf-8")):
        found = old.recommend(**case["asked"])
        wanted = pd.DataFrame(case["list"])
        pd.testing.assert_frame_equal(found, wanted, check_dtype=False, rtol=1e-5)


def test_a_bundle_of_before_is_saved_in_todays_form(tmp_path: Path) -> None:
    old = Bundle.load(Path(__file__).parent / "data" / "bundle_0_1")
    old.save(tmp_path / "bundle")
    again = Bundle.load(tmp_path / "bundle")
    assert (again.handover, again.ladder) == (old.handover, old.ladder)
    pd.testing.assert_frame_equal(again.recommend("nle"), old.recommend("nle"))


@pytest.mark.parametrize(
    "model",
    [
        models.EASE(l2=20.0, solver="users"),
        models.KernelAE(),
        models.ALS(epochs=2, latent_dim=33),
        models.PureSVD(latent_dim=20),
        models.ItemKNN(),
        models.SparseEASE(n_neighbors=8, n_candidates=16, latent_dim=20),
        models.ELSA(epochs=1, latent_dim=32),
        models.Blend(members=(models.ALS(epochs=1, latent_dim=33), models.KernelAE())),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_row_is_scored_to_the_bit_alike_alone_and_among_others(model) -> None:
    dataset = make_world(n_users=150, n_items=40, seed=3).dataset()
    likes = dataset.likes(7).user_items
    bundle = Bundle(model=model.fit(likes), dataset=dataset, like=7, inputs="likes")
    answerer = bundle._answerer
    together = answerer.score(likes[:60])
    alone = [answerer.score(likes[[row]])[0] for row in range(60)]
    np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize(
    "model",
    [
        lambda: models.EASE(l2=20.0),
        lambda: models.ALS(epochs=2, latent_dim=4),
        lambda: models.SparseEASE(n_neighbors=8, n_candidates=16, latent_dim=5),
    ],
)
@pytest.mark.parametrize("inputs", ["likes", "values"])
def test_reasons_are_the_same_for_one_and_for_many(model, inputs) -> None:
    dataset = make_world(n_users=150, n_items=40, seed=3).dataset()
    seen = dataset.likes(7).user_items if inputs == "likes" else dataset.user_items
    bundle = Bundle(model=model().fit(seen), dataset=dataset, like=7, inputs=inputs)
    items = dataset.item_ids
    people = [*dataset.user_ids[:60], {"history": items[:1]}, {"history": []}, {"profile": {}}]
    people += [{"history": items[:30], "k": 3}, {"user": dataset.user_ids[0], "history": items[:4]}]
    together = bundle.recommend_records(people)
    bundle = pickle.loads(pickle.dumps(bundle))  # as workers of other libraries get it
    alone = [bundle.recommend_records([one])[0] for one in people]
    assert json.dumps(together) == json.dumps(alone)  # unknown probabilities are equal there
    # By the definition: the two titles in the history without which the score would drop most.
    user = int(np.argmax(np.diff(seen.indptr)))
    row, titles = seen[[user]], dataset.items["title"].to_numpy()
    listed = bundle.recommend(dataset.user_ids[user])
    for item, because in zip(listed["item_id"], listed["because"], strict=True):
        at = dataset.item_positions([item])[0]
        lost = {}
        for entry, known in enumerate(row.indices):
            kept = np.delete(np.arange(row.nnz), entry)
            less = sparse.csr_array(
                (row.data[kept], row.indices[kept], [0, len(kept)]), shape=row.shape
            )
            lost[titles[known]] = float(
                bundle.model.score(row)[0, at] - bundle.model.score(less)[0, at]
            )
        best = sorted(lost.values(), reverse=True)[:2]
        told = [lost[title] for title in because.split(" · ") if title]
        assert told == pytest.approx([gain for gain in best if gain > 0], abs=1e-5)


@pytest.mark.parametrize("name", ["EASE", "SparseEASE", "ALS", "PureSVD", "KernelAE", "UserKNN"])
def test_the_reason_after_one_click_is_that_click(name: str) -> None:
    # Without it popularity answers, on a scale on which the click seemed to lower every score.
    dataset = make_world(n_users=400, n_items=60, seed=3).dataset()
    model = getattr(models, name)().fit(dataset.likes(7).user_items)
    bundle = Bundle(model=model, dataset=dataset, like=7, inputs="likes")
    click = dataset.item_ids[7]
    found = bundle.recommend(history=[click], k=5)
    row = sparse.csr_array(np.eye(1, 60, 7, dtype=np.float32))
    speaks = model.score(row, items=dataset.item_positions(found["item_id"]))[0] > 0
    title = dataset.items["title"].iloc[7]
    assert found["because"].tolist() == [title if yes else "" for yes in speaks]
    assert speaks.any()
    many = bundle.recommend_many([{"history": [click]}] * 2, k=5, because=True)
    assert many["because"].tolist() == found["because"].tolist() * 2
    popular = Bundle(model=models.Popularity().fit(dataset.user_items), dataset=dataset)
    assert not popular.recommend(history=[click], k=5)["because"].any(), "it sees no click"


@pytest.mark.parametrize("name", ["UserKNN", "ItemKNN"])
def test_a_low_rating_is_no_reason_for_what_it_makes_less_likely(name: str) -> None:
    # What is expected of somebody unknown is a rating, too: the scale is the same.
    dataset = make_world(n_users=400, n_items=60, seed=3).dataset()
    model = getattr(models, name)(feedback="explicit").fit(dataset.user_items)
    bundle = Bundle(model=model, dataset=dataset, like=7)
    found = bundle.recommend(history={dataset.item_ids[7]: 1.0}, k=59)
    row = sparse.csr_array(np.eye(1, 60, 7, dtype=np.float32))
    gains = model.score(row)[0] - model.score(sparse.csr_array(row.shape))[0]
    raised = gains[dataset.item_positions(found["item_id"])] > 0
    title = dataset.items["title"].iloc[7]
    assert found["because"].tolist() == [title if yes else "" for yes in raised]
    assert not raised.all()


def test_the_reasons_of_a_long_history_cost_as_much_as_those_of_255_items(monkeypatch) -> None:
    dataset = make_world(n_users=900, n_items=500, seed=3).dataset()
    likes = dataset.likes(7).user_items
    model = models.UserKNN().fit(likes)
    bundle = Bundle(model=model, dataset=dataset, like=7, inputs="likes")
    used = np.random.default_rng(0).permutation(dataset.n_items)[:400]
    scored, score = [], models.UserKNN._score

    def counted(self: Any, x: sparse.csr_array) -> NDArray[np.float32]:
        scored.append(np.count_nonzero(np.diff(x.indptr)))
        return score(self, x)

    monkeypatch.setattr(models.UserKNN, "_score", counted)
    found = bundle.recommend(history=dataset.item_ids[used], k=20)
    assert sum(scored) <= 257
    row = sparse.csr_array(np.isin(np.arange(500), used)[None], dtype=np.float32)
    exact = leave_one_out_gains(model, row, dataset.item_positions(found["item_id"]))
    titles = dataset.items["title"].to_numpy()[row.indices]  # some items share theirs
    shares = []
    for gains, because in zip(exact.T, found["because"], strict=True):
        told = [gains[titles == title].max() for title in because.split(" · ")]
        assert len(told) == 2
        assert min(told) > 0
        shares.append(sum(told) / np.sort(gains)[-2:].sum())
    assert np.mean(shares) > 0.9
