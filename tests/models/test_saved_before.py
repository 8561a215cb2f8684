"""Models that versions 0.1 and 0.2 saved are read, and score as they did."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from recsys_lib.errors import ArtifactError
from recsys_lib.models import Autoencoder, ItemKNN, PureSVD, UserKNN, load

FOLDER = Path(__file__).parent / "saved_before"  # all by 0.1, but PureSVD by 0.2
SCORES = np.load(FOLDER / "scores.npz")
KINDS = sorted(set(SCORES.files) - {"ratings", "likes", "Autoencoder"})


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_before_scores_as_it_did(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        model = load(FOLDER / kind)
    rows = SCORES["ratings" if model.predicts == "rating" else "likes"]
    found = model.score(sparse.csr_array(rows))
    # They were scored in a batch of 300, in blocks of another size.
    assert_allclose(found, SCORES[kind], rtol=1e-4, atol=1e-5)


def test_a_network_in_a_file_of_its_own_is_refused_with_the_way_to_read_it() -> None:
    with pytest.raises(ArtifactError, match="load and save it with version 0.2, which reads what"):
        load(FOLDER / "Autoencoder")


def test_a_svd_of_before_says_that_its_entries_were_not_weighed() -> None:
    model = load(FOLDER / "PureSVD")
    assert model == PureSVD(latent_dim=5, activity_power=0.0, popularity_power=0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_saved_again_in_the_form_of_today(kind: str, tmp_path: Path) -> None:
    model = load(FOLDER / kind)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again == model
    rows = sparse.csr_array(SCORES["ratings"])
    np.testing.assert_array_equal(again.score(rows), model.score(rows))


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        (Autoencoder, "averaging", "average"),
        (ItemKNN, "neighbours", "n_neighbors"),
        (UserKNN, "neighbours", "n_neighbors"),
    ],
)
def test_a_setting_is_known_by_its_old_name_too_with_a_warning(kind, old, new) -> None:
    with pytest.warns(FutureWarning, match=f"'{old}' .* is now called {new}"):
        model = kind(**{old: 0})
    assert model == kind(**{new: 0})
