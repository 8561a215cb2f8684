"""The clickstream and the ratings are two views of the same visits."""

import numpy as np
import pandas as pd
import pytest

from recsys_lib.synthesis import World, make_world

PAIR = ["user_id", "item_id"]


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(n_users=1300)


@pytest.fixture(scope="module")
def firsts(world: World) -> pd.DataFrame:
    """Time of the first event of each kind of each pair, and of the rating."""
    table = world.events.pivot_table(
        index=PAIR, columns="event", values="timestamp", aggfunc="min", observed=True
    )
    return table.join(world.ratings.set_index(PAIR)["timestamp"].rename("rating"))


def test_the_funnel_narrows_and_runs_in_order(firsts):
    assert firsts["view"].notna().all()
    started, completed = firsts["start"].notna(), firsts["complete"].notna()
    assert (completed <= started).all()
    assert 0 < completed.sum() < started.sum() < len(firsts)
    assert (firsts["view"] < firsts["start"])[started].all()
    assert (firsts["start"] < firsts["complete"])[completed].all()


def test_what_is_started_is_rated_and_after_the_work(firsts):
    assert (firsts["start"].notna() == firsts["rating"].notna()).all()
    done = firsts["complete"].notna()
    assert (firsts["complete"] < firsts["rating"])[done].all()
    assert (firsts["start"] < firsts["rating"])[firsts["rating"].notna()].all()


def test_sessions_are_of_one_user_one_after_the_other(world):
    events = world.events
    sessions = events.groupby("session_id")
    assert (sessions["user_id"].nunique() == 1).all()
    spans = pd.DataFrame(
        {
            "user": sessions["user_id"].first(),
            "first": sessions["timestamp"].min(),
            "last": sessions["timestamp"].max(),
        }
    ).sort_values(["user", "first"])
    later = spans["user"].to_numpy()[1:] == spans["user"].to_numpy()[:-1]
    assert (spans["first"].to_numpy()[1:] > spans["last"].to_numpy()[:-1])[later].all()
    assert (events.groupby("user_id")["timestamp"].diff().dropna() >= pd.Timedelta(0)).all()
    assert (events["timestamp"].dt.year == 2020).all()
    assert (world.ratings["timestamp"].dt.year == 2020).all()


def test_nobody_is_on_two_pages_at_a_time(world):
    events = world.events
    ends = events["timestamp"] + pd.to_timedelta(events["dwell_seconds"], unit="s")
    same = events["session_id"].to_numpy()[1:] == events["session_id"].to_numpy()[:-1]
    assert (ends.to_numpy()[:-1] <= events["timestamp"].to_numpy()[1:])[same].all()
    assert (events["dwell_seconds"] >= 0).all()


def test_nights_and_weekends_are_quiet(world):
    begun = world.events.groupby("session_id")["timestamp"].min()
    assert (begun.dt.hour.between(7, 19)).mean() > 0.75
    assert (begun.dt.day_of_week >= 5).mean() < 0.12


def test_who_likes_a_lab_more_finishes_it_more_often_and_looks_back_more_often(world):
    truth, events = world.truth, world.events
    users, items = world.positions(events)
    pairs, kind = users * truth.n_items + items, events["event"].to_numpy()
    started, completed = np.unique(pairs[kind == "start"]), pairs[kind == "complete"]
    signal = truth.signal_of_pairs(started // truth.n_items, started % truth.n_items)
    likes = signal > np.median(signal)
    finished = np.isin(started, completed)
    assert finished[likes].mean() - finished[~likes].mean() > 0.15
    views = pd.Series(pairs[kind == "view"]).value_counts().reindex(started).to_numpy()
    assert views[likes].mean() / views[~likes].mean() > 1.1


def test_the_order_of_a_history_is_the_order_of_the_draw(world):
    # Popular and fitting labs are taken first, so propensities fall along a history.
    (users, items), truth = world.positions(world.ratings), world.truth
    rank = pd.Series(users).groupby(users).cumcount().to_numpy()
    eta = truth.exposure(np.arange(truth.n_users))[users, items]
    first, later = eta[rank == 0].mean(), eta[rank >= 10].mean()
    assert first - later > 0.5  # 0 if the order in time were shuffled
