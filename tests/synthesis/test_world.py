"""A world is one seed: its people, its labs, and what more people must not change."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest

from recsys_lib.errors import ArtifactError, ConfigError
from recsys_lib.synthesis import World, make_world
from recsys_lib.synthesis.catalog import TRACKS
from recsys_lib.synthesis.crowd import login_names


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


def test_the_default_world_has_the_size_that_was_asked_for(world):
    assert (len(world.users), len(world.items)) == (5235, 252)
    assert len(world.ratings) / 5235 == pytest.approx(20, rel=0.05)
    counts = world.ratings.groupby("user_id").size()
    assert counts.min() == 5
    assert np.log(counts).std() == pytest.approx(0.7, abs=0.07)  # clipping at 5 takes a little


def test_a_larger_world_holds_the_same_first_people():
    # 1500 and 2500 end in the middle of a block of 1024, and in different blocks.
    few, many = make_world(n_users=1500), make_world(n_users=2500)
    pd.testing.assert_frame_equal(few.users, many.users[:1500])
    pd.testing.assert_frame_equal(few.items, many.items)
    known = set(few.users["user_id"])
    for table in ("ratings", "events"):
        larger = getattr(many, table)
        same = larger[larger["user_id"].isin(known)].reset_index(drop=True)
        pd.testing.assert_frame_equal(getattr(few, table), same)
    np.testing.assert_array_equal(few.truth.tastes, many.truth.tastes[:1500])
    np.testing.assert_array_equal(few.truth.thresholds, many.truth.thresholds)


def test_a_seed_is_a_world_and_another_seed_another():
    one, same, other = (make_world(n_users=200, seed=seed) for seed in (4, 4, 5))
    pd.testing.assert_frame_equal(one.ratings, same.ratings)
    pd.testing.assert_frame_equal(one.events, same.events)
    assert not one.ratings.equals(other.ratings)
    assert not one.items.equals(other.items)
    assert list(one.users["user_id"][1:]) != list(other.users["user_id"][1:])


def test_worlds_that_differ_in_selection_hold_the_same_opinions():
    free, selected = (make_world(n_users=300, selection=s).truth for s in (0.0, 1.5))
    np.testing.assert_array_equal(free.tastes, selected.tastes)
    np.testing.assert_allclose(free.signal([7]), selected.signal([7]))


def test_lab_ids_and_titles_read_like_a_catalog(world):
    items = world.items
    pattern = re.compile(rf"HOL-\d{{4}}-\d{{2}}-({'|'.join(TRACKS)})-HOL")
    matches = [pattern.fullmatch(item) for item in items["item_id"]]
    assert all(matches)
    assert [match[1] for match in matches if match] == items["track"].to_list()
    assert items["item_id"].is_unique
    assert items["title"].is_unique
    assert {"CMP", "SDC", "ISM", "NET", "HBD"} <= set(items["track"])
    assert items["duration_minutes"].between(45, 180).all()
    # Variants of one lab are of one track.
    number = items["item_id"].str.slice(0, 8)
    assert (items.groupby(number)["track"].nunique() == 1).all()
    assert (items.groupby(number).size() > 1).any()


def test_login_names_are_short_unique_for_a_million_and_one_of_them_is_the_demo_users():
    names = login_names(1_000_000)
    assert len(set(names)) == 1_000_000
    assert {len(name) for name in names} <= set(range(3, 9))
    assert all(name.isalpha() and name.islower() for name in names[:10_000])
    assert [place for place, name in enumerate(names) if name == "nle"] == [0]


@pytest.mark.parametrize("preset", ["default", "null", "mission"])
def test_the_demo_user_has_a_history_to_show(preset):
    ratings = make_world(preset, n_users=10, n_events=None).ratings
    assert 8 <= (ratings["user_id"] == "nle").sum() <= 40


def test_profiles_tell_of_tastes_and_tracks_of_labs(world):
    truth = world.truth
    center = truth.profile_means[truth.profile]
    cosine = (center * truth.tastes).sum(1) / np.linalg.norm(center, axis=1) / np.sqrt(8)
    assert cosine.mean() == pytest.approx(0.6, abs=0.05)  # 0 if they were shuffled
    first = world.users["interests"].str.slice(0, 3).to_numpy()
    ratings = world.ratings.merge(world.items, on="item_id")
    own = ratings["track"].to_numpy() == first[world.positions(world.ratings)[0]]
    assert own.mean() > 1.5 / len(TRACKS)  # taken more than by chance, through selection
    assert ratings["value"][own].mean() > ratings["value"][~own].mean() + 0.2  # and liked more


def test_the_mission_has_its_events_and_its_sparsity():
    world = make_world("mission")
    assert len(world.events) == 29_843
    touched = world.events.drop_duplicates(["user_id", "item_id"]).groupby("user_id").size()
    assert len(touched) == 5235
    assert 0.5 < (touched <= 2).mean() < 0.7
    assert touched.max() > 50


def test_events_that_cannot_be_so_few_are_refused():
    with pytest.raises(ConfigError, match=r"`n_events` must be at least .*; got 100\."):
        _ = make_world("mission", n_users=200, n_events=100).events


def test_the_two_views_are_of_one_world(world):
    ratings, implicit = world.dataset("ratings"), world.dataset("clicks")
    assert ratings.rating_scale == (1.0, 10.0)
    assert implicit.rating_scale is None
    assert ratings.user_ids.equals(implicit.user_ids)
    assert implicit.user_items.multiply(ratings.user_items).nnz == ratings.n_interactions
    assert implicit.n_interactions / ratings.n_interactions == pytest.approx(1.5, abs=0.02)
    frame = ratings.to_frame().set_index(["user_id", "item_id"]).sort_index()
    said = world.ratings.set_index(["user_id", "item_id"]).sort_index()
    np.testing.assert_array_equal(frame["value"], said["value"])
    np.testing.assert_array_equal(frame["timestamp"], said["timestamp"])
    assert list(ratings.users.columns) == ["role", "interests", "experience"]


def test_a_world_is_read_as_it_was_written(tmp_path):
    world = make_world(n_users=60, n_items=30, seed=2)
    world.save(tmp_path / "world", note="test")
    again = World.load(tmp_path / "world")
    for table in ("users", "items", "ratings", "events"):
        pd.testing.assert_frame_equal(getattr(world, table), getattr(again, table))
    for field in dataclasses.fields(world.truth):
        one, other = getattr(world.truth, field.name), getattr(again.truth, field.name)
        np.testing.assert_array_equal(one, other)
    assert again.dataset("clicks").n_interactions == world.dataset("clicks").n_interactions


def test_a_changed_truth_is_noticed(tmp_path):
    make_world(n_users=20, n_items=12).save(tmp_path / "world")
    with (tmp_path / "world" / "truth.npz").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ArtifactError, match=r"truth\.npz must be the file that was written"):
        World.load(tmp_path / "world")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"preset": "nul"}, ConfigError, "`preset` must be one of 'default', 'null', 'mission'"),
        ({"n_user": 10}, ConfigError, r"Unknown setting 'n_user'\. Did you mean 'n_users'\?"),
        ({"rho2": 1.0}, ValueError, "`rho2` must be a share"),
        ({"n_users": 10.5}, TypeError, "n_users"),
        ({"n_items": 9}, ValueError, "`min_ratings` must be at most half of the catalog, 4"),
        ({"rating_mean": 11.0}, ValueError, "`rating_mean` must lie inside the scale 1 to 10"),
        ({"bias_share": 1.5}, ValueError, "`bias_share` must be a share"),
    ],
)
def test_a_wrong_setting_is_named(changes, error, message):
    with pytest.raises(error, match=message):
        make_world(**changes)


def test_a_world_without_room_for_its_people_is_refused_before_it_is_drawn():
    with pytest.raises(
        MemoryError, match="A world of 1000000000 items needs about 4.* `make_shop`"
    ):
        make_world(n_users=5, n_items=10**9)


def test_a_mask_is_not_taken_for_positions_of_people(world):
    with pytest.raises(ValueError, match="`users` must be a list of positions from 0 to 5234"):
        world.truth.expected_rating(np.ones(5235, dtype=bool))
