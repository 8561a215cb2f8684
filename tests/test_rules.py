"""A list under rules is the full ranking, filtered by hand, on every rung of the ladder."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from recsys_lib.bundle import Bundle
from recsys_lib.coldstart import Ladder
from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError
from recsys_lib.evaluation.calibration import Calibrator
from recsys_lib.models import ALS, EASE, KernelAE, Popularity
from recsys_lib.models.base import Recommender

N_USERS, N_ITEMS = 60, 40
TRACKS = np.array(["NET", "SEC", "CMP", "STO"])

CATALOG = pd.DataFrame(
    {
        "title": [f"Lab {number}" for number in range(N_ITEMS)],
        "track": [TRACKS[number % 4] if number % 9 else None for number in range(N_ITEMS)],
        "level": np.tile(["basic", "expert"], N_ITEMS // 2),
        "tags": [[*"ab"[: 1 + number % 2], "cde"[number % 3]] for number in range(N_ITEMS)],
        "duration": [30.0 + 5 * (number % 20) if number % 11 else np.nan for number in range(40)],
        "since": pd.to_datetime("2024-01-01") + pd.to_timedelta(range(N_ITEMS), "D"),
        "open": np.arange(N_ITEMS) % 5 > 0,
        "released": [f"19{50 + n}-06-30" if n % 7 else None for n in range(N_ITEMS)],
    },
    index=[f"i{number}" for number in range(N_ITEMS)],
)
PEOPLE = pd.DataFrame(
    {"role": np.tile(["ops", "dev", "sec"], N_USERS // 3), "years": np.arange(N_USERS) % 13},
    index=[f"u{number}" for number in range(N_USERS)],
)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    rng = np.random.default_rng(3)
    # The last four items are new; u0 has used nothing, u1 one item.
    used = rng.random((N_USERS, N_ITEMS - 4)) < np.linspace(0.5, 0.1, N_ITEMS - 4)
    used[0] = used[1] = False
    used[1, 5] = True
    users, items = used.nonzero()
    frame = pd.DataFrame({"user_id": PEOPLE.index[users], "item_id": CATALOG.index[items]})
    dataset = Dataset.from_frame(frame, value=None, items=CATALOG, users=PEOPLE)
    return Bundle(model=EASE(l2=5.0).fit(dataset.user_items), dataset=dataset)


# One question for each rung of the ladder, and for a history that is shared with the next rung.
RUNGS: dict[str, dict[str, Any]] = {
    "history": {"user": "u7"},
    "history + profile neighbors": {"user": "u1"},
    "profile neighbors": {"user": "u0"},
    "item content": {"profile": {}, "history": ["i39"]},
    "segment popularity": {"profile": {"role": "dev"}},
    "popularity": {},
}
TAGS = CATALOG["tags"]
KEPT: dict[str, tuple[dict[str, Any], pd.Series]] = {
    "equal": ({"where": {"track": "NET"}}, CATALOG["track"] == "NET"),
    "one of": ({"where": {"track": ["NET", "SEC"]}}, CATALOG["track"].isin(["NET", "SEC"])),
    "max": ({"where": {"duration": {"max": 60}}}, CATALOG["duration"] <= 60),
    "min": ({"where": {"duration": {"min": 60}}}, CATALOG["duration"] >= 60),
    "a number": ({"where": {"duration": [60, "65"]}}, CATALOG["duration"].isin([60, 65])),
    "not": ({"where": {"track": {"not": ["NET", "CMP"]}}}, ~CATALOG["track"].isin(["NET", "CMP"])),
    "a tag": ({"where": {"tags": "b"}}, TAGS.map(lambda tags: "b" in tags)),
    "times": ({"where": {"since": {"min": "2024-01-11"}}}, CATALOG["since"] >= "2024-01-11"),
    "a year": ({"where": {"since": {"min": 2025}}}, CATALOG["since"] >= "2025"),
    "dates as a CSV has them": (
        {"where": {"released": {"min": 1960, "max": "1985-06-30", "not": "1970-06-30"}}},
        CATALOG["released"].between("1960", "1985-06-30") & (CATALOG["released"] != "1970-06-30"),
    ),
    "true": ({"where": {"open": True}}, CATALOG["open"]),
    "both": (
        {"where": {"level": "basic", "duration": {"min": 40, "max": 90, "not": 50}}},
        (CATALOG["level"] == "basic") & CATALOG["duration"].between(40, 90)
        & (CATALOG["duration"] != 50),
    ),
    "available column": ({"available": "open"}, CATALOG["open"]),
    "available ids": ({"available": CATALOG.index[:12]}, pd.Series(range(40), CATALOG.index) < 12),
    "never": ({"never": ["i3", "i39"], "exclude": "i4"}, ~CATALOG.index.isin(["i3", "i39", "i4"])),
}  # fmt: skip


@pytest.fixture(scope="module", params=RUNGS)
def asked(request: pytest.FixtureRequest, bundle: Bundle) -> dict[str, Any]:
    asked = RUNGS[request.param]
    bundle = bundle_for(bundle, request.param)
    full = bundle.recommend(**asked, k=N_ITEMS)
    assert request.param in set(full["rung"])
    return {"bundle": bundle, "question": asked, "full": full}


def bundle_for(bundle: Bundle, rung: str) -> Bundle:
    if rung == "history":
        return dataclasses.replace(bundle, handover=0.0)
    if rung == "segment popularity":  # where nobody is near enough
        return dataclasses.replace(bundle, ladder=Ladder(min_similarity=0.9))
    return bundle


@pytest.mark.parametrize("rule", KEPT)
def test_a_filtered_list_is_the_ranking_filtered_by_hand(asked: dict[str, Any], rule: str) -> None:
    rules, kept = KEPT[rule]
    full = asked["full"]
    wanted = full[full["item_id"].isin(CATALOG.index[kept])]
    found = asked["bundle"].recommend(**asked["question"], **rules, k=7)
    assert found["item_id"].tolist() == wanted["item_id"].tolist()[:7]
    assert found["rank"].tolist() == list(range(1, len(found) + 1))
    assert found.attrs["left"] == len(wanted)
    for column in ("rung", "title"):
        assert found[column].tolist() == wanted[column].tolist()[:7]
    known = wanted["probability"].tolist()[:7]
    assert found["probability"].tolist() == pytest.approx(known, nan_ok=True)


@pytest.mark.parametrize("n_promoted", [0, 3])
@pytest.mark.parametrize("per", [{"track": 1}, {"tags": 4}, {"track": 2, "level": 3}])
def test_a_limit_leaves_out_what_comes_after_it_was_reached(
    asked: dict[str, Any], per: dict[str, int], n_promoted: int
) -> None:
    ranked = asked["full"]["item_id"].tolist()
    promoted = [item for item in ranked if CATALOG.loc[item, "track"] == "SEC"][-n_promoted:]
    promoted = promoted if n_promoted else []  # all of one track
    wanted: list[str] = []
    counts: dict[tuple[str, Any], int] = {}
    for item in [*promoted, *(item for item in ranked if item not in promoted)]:
        cells = {column: CATALOG.loc[item, column] for column in per}
        labels = [
            (column, label)
            for column, cell in cells.items()
            for label in (cell if isinstance(cell, list) else [] if pd.isna(cell) else [cell])
        ]
        if all(counts.get(label, 0) < per[label[0]] for label in labels):
            wanted.append(item)
            counts |= {label: counts.get(label, 0) + 1 for label in labels}
    for k in (6, N_ITEMS):
        rules = {"limit_per": per, "promote": promoted, "k": k}
        found = asked["bundle"].recommend(**asked["question"], **rules)
        assert found["item_id"].tolist() == wanted[:k]
        varied = asked["bundle"].recommend(**asked["question"], **rules, diversity=0.3)
        if len(per) == 1 and "track" in per:  # how many there can be does not depend on which
            assert len(varied) == len(found)
        for column, most in per.items():
            assert varied["item_id"].map(CATALOG[column]).explode().value_counts().max() <= most


def test_promoted_items_come_first_but_pass_no_filter(asked: dict[str, Any]) -> None:
    bundle, question, full = asked["bundle"], asked["question"], asked["full"]
    last, near_last = full["item_id"].iloc[-1], full["item_id"].iloc[-3]
    used = sorted(set(CATALOG.index) - set(full["item_id"]))[:1]
    rest = [item for item in full["item_id"] if item not in (last, near_last)]
    promoted = [near_last, *used, last]
    for diversity in (0.0, 0.5):
        found = bundle.recommend(**question, promote=promoted, diversity=diversity, k=6)
        assert found["item_id"].tolist()[:2] == [near_last, last]
    found = bundle.recommend(**question, promote=promoted, k=6)
    assert found["item_id"].tolist() == [near_last, last, *rest[:4]]
    held = bundle.recommend(**question, promote=promoted, never=[near_last], k=6)
    assert held["item_id"].tolist() == [last, *rest[:5]]


def test_a_varied_list_is_what_maximizes_marginal_relevance(asked: dict[str, Any]) -> None:
    bundle, question = asked["bundle"], asked["question"]
    ranked = asked["full"]["item_id"].tolist()
    order = bundle.recommend_many([question], k=N_ITEMS)["score"].to_numpy()
    worth = (order - order.min()) / np.ptp(order)
    content = bundle._answerer.content.labels.toarray()
    at = CATALOG.index.get_indexer(ranked)
    alike = content[at] @ content[at].T
    for weight in (0.2, 0.7):
        listed: list[int] = []
        for _ in range(8):
            rest = [place for place in range(len(ranked)) if place not in listed]
            gain = [
                (1 - weight) * worth[place]
                - weight * max((alike[place, one] for one in listed), default=0.0)
                for place in rest
            ]
            listed.append(rest[int(np.argmax(gain))])
        found = bundle.recommend(**question, diversity=weight, k=8)
        assert found["item_id"].tolist() == [ranked[place] for place in listed]


def test_everybody_gets_the_list_of_one_by_one(bundle: Bundle) -> None:
    rules = {"where": {"duration": {"max": 90}}, "limit_per": {"track": 2}}
    people = [*PEOPLE.index, *RUNGS.values(), {"user": "u9", "k": 2, "limit_per": None}]
    found = bundle.recommend_many(people, k=5, because=True, **rules)
    assert found.index.unique().tolist() == list(range(len(people)))
    columns = ["user_id", "rank", "item_id", "title", "probability", "rung", "score", "because"]
    assert found.columns.tolist() == columns
    for number, one in enumerate(people):
        asked = {"k": 5, **rules, **(one if isinstance(one, dict) else {"user": one})}
        alone = bundle.recommend(**asked)
        part = found.loc[[number]].reset_index(drop=True)
        assert set(part["user_id"]) == {asked.get("user")}
        assert found.attrs["left"][number] == alone.attrs["left"]
        pd.testing.assert_frame_equal(
            part[alone.columns], alone, check_exact=False, rtol=1e-6, check_dtype=False
        )


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "column": ({"where": {"trak": "NET"}}, r"column of the catalog must be .* Near: 'track'"),
    "value": ({"where": {"track": "NETT"}}, r"value of `where\['track'\]` must be .* Near: 'NET'"),
    "one value": ({"where": {"track": ["NET", "x"]}}, "must be one of the 4 known; got 'x'"),
    "sign": ({"where": {"duration": {"mx": 3}}}, "min, max, not; got .* Did you mean 'max'"),
    "nothing": ({"where": {"duration": {}}}, "a mapping with min, max, not; got {}"),
    "text range": ({"where": {"track": {"max": "SEC"}}}, "for columns of numbers and times"),
    "no number": ({"where": {"duration": {"max": "long"}}}, "must be a number; got 'long'"),
    "NaN": ({"where": {"duration": {"max": float("nan")}}}, "must be a number; got nan"),
    "no such number": ({"where": {"duration": 61}}, "one of the 20 known; got 61.0. Near: '65.0'"),
    "no time": ({"where": {"since": {"max": "soon"}}}, "must be a time, such as .*; got 'soon'"),
    "seconds": (
        {"where": {"since": {"min": 1706659200}}},
        "must be a time, such as .*; got 170665",
    ),
    "NaT": ({"where": {"since": {"min": "NaT"}}}, "must be a time, such as .*; got 'NaT'"),
    "empty time": ({"where": {"since": {"min": ""}}}, "must be a time, such as .*; got ''"),
    "null": ({"where": {"track": None}}, "must be one of the 4 known; got None"),
    "deep": ({"where": {"track": [["NET"]]}}, "must be one of the 4 known"),
    "no flags": ({"available": "level"}, "a column of true and false; 'level' holds 'basic'"),
    "numbers": ({"available": "duration"}, "true and false; 'duration' holds 35.0. Use"),
    "no flag column": ({"available": "opn"}, "column of the catalog .* Near: 'open'"),
    "available id": ({"available": ["i1", "q"]}, "The item must be one of the 40 known; got 'q'"),
    "limit": ({"limit_per": {"track": 0}}, r"`limit_per\['track'\]` must be a whole number >= 1"),
    "limit column": ({"limit_per": {"trak": 1}}, "Near: 'track'"),
    "promote": ({"promote": ["q"]}, "The item must be one of"),
    "never": ({"never": ["i999"]}, "The item must be one of"),
    "diversity": ({"diversity": 2}, "`diversity` must be a number from 0 to 1; got 2"),
    "varied": ({"diversity": "very"}, "`diversity` must be a number from 0 to 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_rule_that_cannot_be_meant_is_named_with_what_is_near(bundle: Bundle, case: str) -> None:
    rules, said = WRONG[case]
    with pytest.raises(DataError, match=said):
        bundle.recommend("u7", **rules)
    with pytest.raises(DataError, match=said):
        bundle.recommend_many(["u6", {"user": "u7", **rules}])


def test_rules_of_many_have_names(bundle: Bundle) -> None:
    with pytest.raises(DataError, match=r"A rule must be one of .* Did you mean 'limit_per'"):
        bundle.recommend_many(["u7"], limits_per={"track": 2})
    with pytest.raises(DataError, match="got 'usr'"):
        bundle.recommend_many([{"usr": "u7"}])


def test_without_a_catalog_only_ids_make_rules(bundle: Bundle) -> None:
    plain = dataclasses.replace(bundle.dataset, items=None)
    bare = dataclasses.replace(bundle, dataset=plain)
    assert bare.recommend("u7", available=["i1", "i2", "i3"], k=9).attrs["left"] <= 3
    for rules in ({"where": {"track": "NET"}}, {"available": "open"}, {"limit_per": {"x": 1}}):
        with pytest.raises(DataError, match="need a catalog; the dataset has none"):
            bare.recommend("u7", **rules)
    varied = bare.recommend("u7", diversity=0.8, k=10)["item_id"].tolist()
    assert varied[0] == bare.recommend("u7", k=1)["item_id"].item()
    assert varied != bare.recommend("u7", k=10)["item_id"].tolist()


@pytest.mark.parametrize("model", [EASE(l2=5.0), ALS(latent_dim=8, epochs=2), KernelAE()])
@pytest.mark.parametrize("calibrated", [False, True])
def test_a_block_gives_a_person_the_bits_of_one_alone(model: Recommender, calibrated: bool) -> None:
    rng = np.random.default_rng(0)
    likes = sparse.csr_array((rng.random((300, 130)) < 0.1).astype(np.float32))
    dataset = Dataset(
        user_items=likes, user_ids=pd.RangeIndex(300), item_ids=pd.RangeIndex(130) + 1000
    )
    calibrator = Calibrator(method="platt", arrays={"slope": np.ones(1), "intercept": np.ones(1)})
    bundle = Bundle(
        model=model.fit(likes), dataset=dataset, calibrator=calibrator if calibrated else None
    )
    many = bundle.recommend_many(range(300), k=20)
    alone = pd.concat([bundle.recommend_many([user], k=20) for user in range(0, 300, 7)])
    part = many[many["user_id"].isin(range(0, 300, 7))]
    pd.testing.assert_frame_equal(
        part.reset_index(drop=True), alone.reset_index(drop=True), check_exact=True
    )


def test_nobody_gets_an_empty_table(bundle: Bundle) -> None:
    assert bundle.recommend_records([]) == []
    found = bundle.recommend_many([])
    assert found.empty
    assert found.columns.tolist() == bundle.recommend_many(["u7"]).columns.tolist()
    assert found.attrs["left"] == []


def test_similar_items_are_those_of_the_model_and_of_the_content_where_an_item_is_new(
    bundle: Bundle,
) -> None:
    found = bundle.similar("i3", k=5)
    weights = bundle.model.item_similarity([3])[0]
    weights[[3, 36, 37, 38, 39]] = -np.inf  # itself, and what nobody has used
    wanted = [f"i{item}" for item in np.argsort(-weights)[:5]]
    assert found["item_id"].tolist() == wanted
    assert set(found["by"]) == {"model"}
    assert found["similarity"].is_monotonic_decreasing
    assert found.columns.tolist() == ["rank", "item_id", "title", "similarity", "by"]
    new = bundle.similar("i39", k=40)
    assert set(new["by"]) == {"content"}
    assert len(new) == N_ITEMS - 1
    alike = bundle._answerer.content.likeness(39)
    assert new["similarity"].tolist() == pytest.approx(sorted(np.delete(alike, 39))[::-1])
    ruled = bundle.similar("i3", where={"track": "NET"}, k=40)
    full = bundle.similar("i3", k=40)
    kept = full["item_id"].isin(CATALOG.index[CATALOG["track"] == "NET"])
    assert ruled["item_id"].tolist() == full[kept]["item_id"].tolist()
    with pytest.raises(DataError, match="The item must be one of .* Near: 'i3'"):
        bundle.similar("i3 ")
    floor = dataclasses.replace(
        bundle,
        model=Popularity().fit(bundle.dataset.user_items),
        dataset=dataclasses.replace(bundle.dataset, items=None),
    )
    assert set(floor.similar("i3")["by"]) == {"users"}


@pytest.mark.parametrize("calibrated", [False, True])
@pytest.mark.parametrize("item", ["i3", "i38"])
def test_the_audience_are_those_for_whom_the_item_stands_out(
    bundle: Bundle, item: str, calibrated: bool
) -> None:
    calibrator = Calibrator(method="platt", arrays={"slope": np.ones(1), "intercept": np.ones(1)})
    one = dataclasses.replace(bundle, calibrator=calibrator if calibrated else None)
    rows = []
    for user in PEOPLE.index:
        full = one.recommend_many([user], k=N_ITEMS).set_index("item_id")
        if item in full.index:
            z = (full.loc[item, "score"] - full["score"].mean()) / full["score"].std(ddof=0)
            rows.append((user, full.loc[item, "probability"], full.loc[item, "rung"], z))
    wanted = pd.DataFrame(rows, columns=["user_id", "probability", "rung", "score"])
    by = "score" if wanted["probability"].isna().any() else "probability"
    assert (by == "probability") == (calibrated and item == "i3")
    wanted = wanted.sort_values(by, ascending=False, kind="stable", ignore_index=True)[:9]
    found = one.audience(item, k=9)
    assert found["rank"].tolist() == list(range(1, 10))
    assert found["user_id"].tolist() == wanted["user_id"].tolist()
    pd.testing.assert_frame_equal(
        found.drop(columns="rank"), wanted, check_dtype=False, rtol=1e-4, atol=1e-6
    )
    assert set(found["rung"]) <= {"item content"} if item == "i38" else True


def test_who_rated_an_item_zero_is_not_its_audience() -> None:
    rated = [("ann", "x", 0), ("ann", "y", 5), ("bob", "y", 4), ("cyd", "x", 3), ("cyd", "z", 2)]
    dataset = Dataset.from_frame(pd.DataFrame(rated, columns=["user_id", "item_id", "value"]))
    bundle = Bundle(model=EASE(l2=1.0).fit(dataset.user_items), dataset=dataset)
    assert bundle.audience("x")["user_id"].tolist() == ["bob"]
