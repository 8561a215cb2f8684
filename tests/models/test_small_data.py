"""Data as small, empty or equal as on a first try: a score for each cell, or a sentence."""

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.models import (
    EASE,
    MODELS,
    Autoencoder,
    Blend,
    ItemKNN,
    MultDAE,
    PureSVD,
    knn,
    load,
    model_class,
)

RNG = np.random.default_rng(0)
SMALL = {
    "one cell": np.array([[3.0]]),
    "one user": np.array([[1.0, 2, 0, 5]]),
    "one item": np.array([[1.0], [2], [0]]),
    "one rating": np.array([[0.0, 0], [0, 5]]),
    "one rating each": 4.0 * np.eye(12),
    "equal ratings": 4.0 * (RNG.random((20, 12)) < 0.4),
    "everything rated": np.full((5, 5), 4.0),
    "six items": RNG.integers(0, 6, (30, 6)).astype(float),
    "empty rows": np.array([[0.0, 0, 0], [1, 2, 0], [0, 0, 0]]),
}
NETWORKS = {"Autoencoder", "ELSA", "MultDAE", "MultVAE", "RecVAE", "VASP"}


def csr(dense: Any) -> sparse.csr_array:
    return sparse.csr_array(np.asarray(dense, dtype=np.float32))


@pytest.mark.parametrize("name", sorted(MODELS.keys() - NETWORKS))
@pytest.mark.parametrize("kind", SMALL)
def test_every_model_scores_every_cell_of_small_data(name: str, kind: str) -> None:
    x = csr(SMALL[kind])
    model = model_class(name)().fit(x)
    assert np.isfinite(model.score(x)).all()
    assert model.recommend(x, k=3).items.shape == (x.shape[0], 3)


@pytest.mark.parametrize("name", ["Autoencoder", "ELSA", "MultDAE"])
def test_a_network_learns_from_one_cell(name: str) -> None:
    x = csr(SMALL["one cell"])
    assert np.isfinite(model_class(name)(epochs=1).fit(x).score(x)).all()


def test_a_rank_beyond_the_data_takes_half_of_theirs() -> None:
    x = csr(SMALL["six items"])
    wanted = PureSVD(latent_dim=3).fit(x).score(x)
    np.testing.assert_allclose(PureSVD(latent_dim=32).fit(x).score(x), wanted, atol=1e-5)


@pytest.mark.parametrize("name", ["Autoencoder", "BiasedSVD", "Bias"])
def test_ratings_that_tell_nothing_apart_are_said(name: str) -> None:
    likes = sparse.csr_array(np.eye(6, dtype=np.float32) + np.eye(6, k=1, dtype=np.float32))
    model = model_class(name)(**({} if name == "Bias" else {"epochs": 1}))
    with pytest.warns(
        UserWarning, match=f"ratings that differ for {name}, .* 11 are 1. .* EASE or"
    ):
        model.fit(likes)
    if name == "Autoencoder":
        with warnings.catch_warnings(action="error"):
            model_class(name)(loss_on="all", epochs=1).fit(likes)


@pytest.mark.parametrize("name", ["Autoencoder", "ELSA", "MultDAE", "RecVAE"])
def test_widths_may_be_numbers_of_numpy(name: str, tmp_path: Path) -> None:
    x = csr(SMALL["six items"]) if name == "Autoencoder" else csr(SMALL["six items"] > 2)
    wide: dict[str, Any] = {"latent_dim": np.int64(3)}
    if name == "Autoencoder":
        wide = {"hidden_dims": [np.int64(3)], "rating_scale": np.array([0, 5])}
    model = model_class(name)(epochs=1, **wide).fit(x)
    model.save(tmp_path / "model")
    np.testing.assert_allclose(load(tmp_path / "model").score(x), model.score(x), atol=1e-5)


def test_what_cannot_be_fitted_is_said() -> None:
    x = csr(SMALL["six items"])
    nothing = Fold(fold_in=x, targets=csr(np.zeros((30, 6))), users=np.arange(30))
    with pytest.raises(ValueError, match="`validation` must hold targets, which choose the weigh"):
        Blend(members=(EASE(),)).fit(x, validation=nothing)
    with pytest.raises(ValueError, match=r"`hidden_dims` must have a hidden layer; got \(\)"):
        Autoencoder(hidden_dims=()).fit(x)
    assert MultDAE(hidden_dims=(), epochs=1).fit(x).score(x).shape == x.shape


@pytest.mark.parametrize("feedback", ["implicit", "explicit"])
@pytest.mark.parametrize("shrinkage", [0.0, 10.0])
def test_few_users_of_many_items_have_the_same_neighbors_found_sooner(
    feedback: Any, shrinkage: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def likes(n_items: int) -> sparse.csr_array:
        items = np.concatenate([RNG.choice(n_items, 30, replace=False) for _ in range(60)])
        cells = (np.repeat(np.arange(60), 30), items)
        return sparse.csr_array((RNG.random(1800).astype(np.float32), cells), shape=(60, n_items))

    x = likes(2_000)
    model = ItemKNN(feedback=feedback, shrinkage=shrinkage)
    found = np.sort(model.fit(x).similarities_.toarray(), axis=0)  # of equal ones any may be kept
    monkeypatch.setattr(knn, "_FEW", 0.0)  # every pair is looked at
    wanted = np.sort(model.fit(x).similarities_.toarray(), axis=0)
    np.testing.assert_array_equal(found, wanted)
    monkeypatch.undo()
    began = time.perf_counter()
    model.fit(likes(60_000))
    assert time.perf_counter() - began < 10  # every pair takes 44 s
