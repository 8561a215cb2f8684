"""What is looked at before any model, against loops and small tables."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError
from recsys_lib.exploration import (
    count_steps,
    favorite_group,
    group_labels,
    group_lift,
    history,
    item_lift,
    liking_by_group,
    neighbor_agreement,
    observed_means,
    overview,
    spectrum,
    without_taste,
)
from recsys_lib.plots import plot_user_items


@pytest.fixture
def dataset() -> Dataset:
    frame = pd.DataFrame(
        {
            "user_id": ["a", "a", "b", "c", "c"],
            "item_id": ["x", "y", "x", "y", "z"],
            "value": [5, 3, 4, 1, 2],
            "timestamp": [0, 86_400, 0, 0, 3 * 86_400],
        }
    )
    items = pd.DataFrame({"track": ["net", "cmp", "cmp", "net"]}, index=list("xyzw"))
    return Dataset.from_frame(frame, items=items, timestamp="timestamp", rating_scale=(1, 5))


def test_the_overview_counts_what_is_there_and_what_is_not(dataset: Dataset) -> None:
    told = overview(dataset)["value"]
    assert told["users"] == "3"
    assert told["items without any"] == "1"
    assert told["interactions of a user: median, highest"] == "2, 2"
    assert told["ratings: mean, standard deviation"] == "3.00, 1.41"
    assert told["first, last"] == "1970-01-01, 1970-01-04"


def test_the_overview_of_interactions_without_values_speaks_of_no_scale(dataset: Dataset) -> None:
    assert "rating scale" not in overview(dataset.implicit(3)).index


def test_the_few_known_pairs_of_a_large_table_do_not_read_as_none() -> None:
    likes = pd.DataFrame({"user_id": range(40_000), "item_id": range(40_000)})
    large = Dataset.from_frame(likes, value=None)
    assert overview(large).loc["density", "value"] == "0.0025%"
    assert "density 0.0025 %" in repr(large)
    assert "0.0025% of all pairs are known" in plot_user_items(large.user_items).get_title("left")


def test_lift_is_the_ratio_of_meetings_to_chance() -> None:
    rng = np.random.default_rng(0)
    dense = (rng.random((60, 7)) < 0.3).astype("float32") * 4
    dense[:, 6] = 0
    lift = item_lift(sparse.csr_array(dense))
    has = dense > 0
    degrees = has.sum(axis=1)
    for i in range(7):
        for j in range(7):
            if i == j or not has[:, i].any() or not has[:, j].any():
                assert np.isnan(lift[i, j])
            else:
                chance = sum(
                    has[:, i].sum() * d / has.sum() * has[:, j].sum() * (d - 1) / has.sum()
                    for d in degrees
                )
                assert lift[i, j] == pytest.approx((has[:, i] & has[:, j]).sum() / chance)


def test_active_people_lift_no_pair_by_themselves() -> None:
    # Nobody has a taste here, but some have far more of everything.
    rng = np.random.default_rng(1)
    activity = rng.uniform(0.05, 0.9, size=(4000, 1))
    lift = item_lift(sparse.csr_array((rng.random((4000, 20)) < activity).astype("float32")))
    # Against users / (users x users) / n, without activity, the mean would be 1.27.
    assert np.nanmean(lift) == pytest.approx(1, abs=0.06)


def test_lift_leaves_its_input_alone() -> None:
    matrix = sparse.csr_array(np.array([[2.0, 3.0]]))
    item_lift(matrix)
    assert matrix.data.tolist() == [2.0, 3.0]


def test_group_means_average_ratings_not_group_means(dataset: Dataset) -> None:
    roles = pd.Series(["dev", "ops", "dev"], name="role")
    table = liking_by_group(dataset, roles, dataset.items["track"])
    # dev on cmp: 3, 1 and 2; the mean of the items' means (y: 2, z: 2) would be the same, of the
    # users' means (a: 3, c: 1.5) it would be 2.25. The mean of all is 3.
    assert table.loc["cmp", "dev"] == 2 - 3
    assert np.isnan(table.loc["cmp", "ops"])
    assert (table.index.name, table.columns.name) == ("track", "role")


def test_observed_means_divide_by_the_ratings_there_are(dataset: Dataset) -> None:
    table = observed_means(dataset.user_items)
    assert table["count"].tolist() == [2, 2, 1, 0]
    assert table["mean"].tolist()[:3] == [4.5, 2.0, 2.0]
    assert np.isnan(table["mean"][3])


def test_a_pair_counts_at_every_step_before_the_one_it_reached() -> None:
    events = pd.DataFrame(
        {
            "user_id": ["a", "a", "a", "b", "c"],
            "item_id": ["x", "x", "x", "x", "y"],
            "event": ["view", "view", "start", "complete", "view"],
        }
    )
    assert count_steps(events).to_dict() == {"view": 3, "start": 2, "complete": 1}


def test_groups_keep_the_ids_and_an_unknown_column_is_named(dataset: Dataset) -> None:
    labels = group_labels(dataset.items, dataset.item_ids, "track")
    assert labels.index.equals(dataset.items.index)
    assert labels.name == "track"
    with pytest.raises(DataError, match=r"column 'role' must exist; there are track\."):
        group_labels(dataset.items, dataset.item_ids, "role")


def test_the_first_column_that_makes_groups_is_taken_where_none_is_named() -> None:
    films = pd.DataFrame(
        {
            "title": [f"Film{n}" for n in range(60)],
            "minutes": 90,
            "language": "en",
            "genres": [f"Drama War{n}" if n % 2 else f"Comedy|Noir{n}" for n in range(60)],
        }
    )
    labels = group_labels(films, films.index)
    assert labels.name == "genres"
    assert set(group_labels(films.head(8)[["title"]], films.index[:8])) == {"all"}
    assert set(labels) == {"Drama", "Comedy"}
    assert set(group_labels(films[["title"]], films.index)) == {"all"}
    assert group_labels(None, films.index).tolist() == ["all"] * 60


def test_shuffling_keeps_pairs_and_histogram_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"user_id": np.repeat(range(50), 20), "item_id": list(range(20)) * 50})
    # Everybody agrees on every item: all the ratings say is which item it is.
    frame["value"] = 1 + frame["item_id"] % 5
    dataset = Dataset.from_frame(frame.sample(frac=0.6, random_state=int(rng.integers(9))))
    dealt = without_taste(dataset, seed=1)
    assert np.array_equal(dealt.user_items.indices, dataset.user_items.indices)
    assert np.array_equal(np.sort(dealt.user_items.data), np.sort(dataset.user_items.data))
    assert observed_means(dataset.user_items)["mean"].std() > 1.3
    assert observed_means(dealt.user_items)["mean"].std() < 0.5
    again = without_taste(dataset, seed=1).user_items.data
    assert np.array_equal(dealt.user_items.data, again)


def test_likes_without_taste_keep_activity_and_popularity_and_no_pair_that_belongs_together() -> (
    None
):
    rng = np.random.default_rng(0)
    halves = np.repeat([[True, False], [False, True]], 200, axis=0).repeat(10, axis=1)
    likes = sparse.csr_array((halves & (rng.random((400, 20)) < 0.6)).astype("float32"))
    frame = pd.DataFrame({"user_id": likes.nonzero()[0], "item_id": likes.nonzero()[1]})
    drawn = without_taste(Dataset.from_frame(frame, value=None), seed=1)
    assert np.array_equal(drawn.user_items.indptr, likes.indptr)
    assert drawn.user_items.has_canonical_format
    counts = np.bincount(drawn.user_items.indices, minlength=20)
    assert counts == pytest.approx(np.bincount(likes.indices, minlength=20), rel=0.25)
    assert item_lift(likes)[0, 15] == 0
    assert item_lift(drawn.user_items)[0, 15] == pytest.approx(1, abs=0.35)


def test_groups_of_likes_are_compared_by_the_share_of_their_likes(dataset: Dataset) -> None:
    roles = pd.Series(["dev", "ops", "dev"], name="role")
    table = liking_by_group(dataset.implicit(1), roles, dataset.items["track"])
    # dev: 1 of 4 likes on net, 3 on cmp; ops: 1 of 1 on net; everybody: 2 of 5 and 3 of 5.
    assert table.loc["net"].tolist() == pytest.approx([25 - 40, 100 - 40])


@pytest.mark.parametrize("first", ["title", "genre"])
def test_a_column_of_categories_makes_the_groups_and_no_title_does(first) -> None:
    games = pd.DataFrame(
        {
            "title": [f"{'Golden' if n % 2 else 'Clever'} Game {n}" for n in range(60)],
            "genre": [f"{'Dice' if n % 2 else 'Card'} {n}" for n in range(60)],
            "category": ["party", "family", "expert"] * 20,
        }
    )
    ordered = games[[first, *games.columns.drop(first)]]
    assert group_labels(ordered, ordered.index).name == "category"
    assert group_labels(games[["title"]], games.index).name == "group"
    assert group_labels(games[["title", "genre"]], games.index).name == "genre"


def test_the_first_entry_of_a_list_is_the_group_and_the_spaces_in_it_stay() -> None:
    films = pd.DataFrame({"genres": ["kids & family|drama", "kids & family", "drama|war", None]})
    found = group_labels(films, films.index, "genres").tolist()
    assert found == ["kids & family", "kids & family", "drama", "none"]
    for kind in (list, np.array):  # as JSON and Parquet bring them
        lists = films["genres"].str.split("|").map(kind, na_action="ignore")
        lists[3] = kind([])
        assert group_labels(lists.to_frame(), films.index, "genres").tolist() == found


def test_items_that_are_left_over_are_not_of_one_group() -> None:
    groups = pd.Series(["a", "a", "other", "other", "none", "none"])
    vectors = [[3, 0], [3, 0.1], [-1, 5], [-1, 5.1], [-2, -5], [-2, -5.1]]
    assert neighbor_agreement(vectors, groups, k=1) == (1.0, 0.2)
    assert neighbor_agreement(vectors, groups.replace("a", "b"), k=5)[0] == 0.2
    lift = np.where(groups.to_numpy()[:, None] == "a", 2.0, 9.0)
    assert group_lift(np.minimum(lift, lift.T), groups)[0] == 2.0


def test_two_vectors_and_equal_vectors_are_measured_without_a_number_that_is_none() -> None:
    found, chance = neighbor_agreement([[1, 0], [0, 1]], pd.Series(["a", "a"]))
    assert (found, chance) == (1.0, 1.0)
    assert spectrum(np.ones((3, 2))).tolist() == [0.0, 0.0]


def test_the_favorite_group_is_by_the_mean_so_that_a_large_group_has_no_advantage() -> None:
    tracks = pd.Series(["net", "net", "net", "cmp"], name="track")
    favorites = favorite_group([[2, 2, 2, 5], [5, 0, 5, 3], [0, 0, 0, 0]], tracks)
    assert favorites.tolist() == ["cmp", "net", "cmp"]
    assert favorites.name == "track"


def test_a_category_makes_the_groups_and_a_title_never_does() -> None:
    games = pd.DataFrame(
        {
            "title": ["Clever Fox", "Clever Owl", "Frozen Sea", "Frozen Sun"] * 20,
            "name": ["a b", "a c", "d e", "d f"] * 20,
            "genres": [f"War|{n}" if n % 2 else f"Drama|{n}" for n in range(80)],
            "category": ["party", "party", "strategy", "solo"] * 20,
        }
    )
    for columns, name in (([], "category"), (["category"], "genres")):
        assert group_labels(games.drop(columns=columns), games.index).name == name
    assert set(group_labels(games[["title", "name"]], games.index)) == {"all"}
    unique = games.assign(movie_title=[f"{word} {n}" for n, word in enumerate(games["title"])])
    assert set(group_labels(unique[["movie_title"]], games.index)) == {"all"}
    assert group_labels(pd.DataFrame({"job_title": ["dev", "ops"] * 9}), None).name == "job_title"


def test_a_history_shows_the_best_rated_first_and_likes_the_latest(dataset: Dataset) -> None:
    assert history(dataset, "c")["item_id"].tolist() == ["z", "y"]
    likes = history(dataset.implicit(1), "c")
    assert likes["item_id"].tolist() == ["z", "y"]
    assert "value" not in likes
    titled = dataclasses.replace(dataset, items=dataset.items.assign(title=list("XYZW")))
    assert history(titled, "a")["title"].tolist() == ["X", "Y"]


def test_a_dataset_is_not_taken_for_its_matrix(dataset: Dataset) -> None:
    for measure in (observed_means, item_lift):
        with pytest.raises(TypeError, match="got Dataset. Use dataset.user_items"):
            measure(dataset)


def test_the_first_of_many_interests_is_one_group_with_those_who_have_no_other():
    tracks = [f"T{number}" for number in range(9)]
    pairs = [f"{one}, {other}" for one in tracks for other in tracks if one != other]
    people = pd.DataFrame({"interests": [*tracks, *pairs]})
    found = group_labels(people, people.index, "interests", max_groups=9)
    assert found.value_counts().to_dict() == dict.fromkeys(tracks, 9)
