"""What the fit of a model that trains in epochs reports, keeps on disk and takes up again."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.models import model_class
from recsys_lib.models.base import Recommender
from recsys_lib.models.ease import EASE
from recsys_lib.models.on_likes import OnLikes

SMALL: dict[str, dict[str, object]] = {
    "Autoencoder": {"hidden_dims": (8,), "batch_size": 10},
    "MultDAE": {"latent_dim": 4, "batch_size": 10},
    "MultVAE": {"hidden_dims": (8,), "latent_dim": 4, "batch_size": 10},
    "RecVAE": {"hidden_dim": 8, "latent_dim": 4, "batch_size": 10},
    "VASP": {"hidden_dim": 8, "latent_dim": 4, "batch_size": 10, "encoder_layers": 2},
}


def make(name: str, **settings: object) -> Recommender:
    return model_class(name)(**SMALL[name] | {"epochs": 4, "seed": 1} | settings)


def rows(seed: int = 0) -> sparse.csr_array:
    """Ratings of 1 to 5 of 40 users for 12 items; models of likes see counts in them."""
    rng = np.random.default_rng(seed)
    ratings = rng.integers(1, 6, (40, 12)) * (rng.random((40, 12)) < 0.5)
    return sparse.csr_array(ratings.astype(np.float32))


def fold() -> Fold:
    return Fold(fold_in=rows(1), targets=rows(2), users=np.arange(40))


@pytest.fixture(params=sorted(SMALL))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_each_epoch_is_reported_as_its_row_of_the_history(name: str) -> None:
    records: list[dict[str, float]] = []
    again: list[dict[str, float]] = []
    model = make(name).fit(rows(), validation=fold(), on_epoch=[records.append, again.append])
    pd.testing.assert_frame_equal(pd.DataFrame(records), model.history_)
    assert again == records


def test_an_exception_in_on_epoch_leaves_fit() -> None:
    def stop(record: dict[str, float]) -> None:
        if record["epoch"] == 2:
            raise StopIteration

    model = make("MultDAE")
    with pytest.raises(StopIteration):
        model.fit(rows(), on_epoch=stop)
    assert not hasattr(model, "n_items_")


def test_a_model_on_likes_passes_what_it_does_not_know_to_its_model() -> None:
    records: list[dict[str, float]] = []
    OnLikes(model=make("MultDAE"), min_value=4).fit(rows(), on_epoch=records.append)
    assert len(records) == 4


def test_a_model_without_epochs_knows_no_on_epoch() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'on_epoch'"):
        EASE().fit(rows(), on_epoch=print)
