"""What vectors of items tell."""

import numpy as np
import pandas as pd
import pytest

from recsys_lib.exploration import flat_map, neighbor_agreement, spectrum


@pytest.fixture
def clusters() -> tuple[np.ndarray, pd.Series]:
    rng = np.random.default_rng(0)
    groups = pd.Series(np.repeat(["a", "b", "c"], 20))
    centers = 5 * np.eye(3, 10)[groups.factorize()[0]]
    return centers + 0.3 * rng.normal(size=(60, 10)), groups


def test_the_spectrum_falls_off_a_cliff_after_the_dimensions_there_are() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 4)) @ rng.normal(size=(4, 30)) + 0.01 * rng.normal(size=30)
    shares = spectrum(vectors + 7.0)
    assert shares.sum() == pytest.approx(1)
    assert shares[3] > 1e-3 > 1e-9 > shares[4]


def test_neighbors_of_separate_groups_agree_and_of_mixed_ones_only_by_chance(clusters) -> None:
    vectors, groups = clusters
    assert neighbor_agreement(vectors, groups) == (1.0, pytest.approx(19 / 59))
    mixed = groups.sample(frac=1, random_state=0).reset_index(drop=True)
    found, chance = neighbor_agreement(vectors, mixed)
    assert found == pytest.approx(chance, abs=0.12)


def test_the_map_keeps_groups_together_and_does_not_depend_on_when_it_is_drawn(clusters) -> None:
    vectors, groups = clusters
    places = flat_map(vectors, seed=3)
    assert np.array_equal(places, flat_map(vectors, seed=3))
    middles = {name: places[groups == name].mean(axis=0) for name in "abc"}
    nearest = [min(middles, key=lambda name: np.linalg.norm(p - middles[name])) for p in places]
    assert nearest == groups.tolist()


def test_fewer_than_four_items_are_laid_out_by_their_principal_components():
    places = flat_map([[0.0, 0, 0], [3.0, 0, 0], [0, 4.0, 0]])
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    assert np.allclose(distances, [[0, 3, 4], [3, 0, 5], [4, 5, 0]])


def test_vectors_of_one_dimension_are_laid_out_on_a_line():
    places = flat_map([[0.0], [3.0], [1.0], [7.0], [4.0]])
    assert np.allclose(abs(places[:, 0] - places[0, 0]), [0, 3, 1, 7, 4])
    assert not places[:, 1].any()
