"""What the fit of a model that trains in epochs reports, keeps on disk and takes up again."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.errors import ArtifactError, NotFittedError
from recsys_lib.models import load, model_class
from recsys_lib.models.base import Recommender
from recsys_lib.models.ease import EASE, EDLAE
from recsys_lib.models.factors import PureSVD
from recsys_lib.models.knn import ItemKNN, UserKNN
from recsys_lib.models.on_likes import OnLikes
from recsys_lib.models.sparse_ease import SparseEASE
from recsys_lib.training import configure
from recsys_lib.training._keras import keras
from recsys_lib.training.checkpoints import Checkpoints, Keeper

SMALL: dict[str, dict[str, object]] = {
    "Autoencoder": {"hidden_dims": (8,), "batch_size": 10},
    "ELSA": {"latent_dim": 4, "batch_size": 10},
    "MultDAE": {"latent_dim": 4, "batch_size": 10},
    "MultVAE": {"hidden_dims": (8,), "latent_dim": 4, "batch_size": 10},
    "MultVAE(outputs)": {"latent_dim": 4, "batch_size": 10, "hidden_dims": (8,), "outputs": 5},
    "RecVAE": {"hidden_dim": 8, "latent_dim": 4, "batch_size": 10},
    "VASP": {"hidden_dim": 8, "latent_dim": 4, "batch_size": 10, "encoder_layers": 2},
}


CLOSED: dict[str, Recommender] = {
    "EASE": EASE(),
    "EDLAE": EDLAE(popularity_discount=0.2),
    "ItemKNN": ItemKNN(),
    "PureSVD": PureSVD(latent_dim=3),
    "SparseEASE": SparseEASE(n_neighbors=3, latent_dim=2, popularity_discount=0.2),
}


def make(name: str, **settings: object) -> Recommender:
    return model_class(name.split("(")[0])(**SMALL[name] | {"epochs": 4, "seed": 1} | settings)


def rows(seed: int = 0) -> sparse.csr_array:
    """Ratings of 1 to 5 of 40 users for 12 items; models of likes see counts in them."""
    rng = np.random.default_rng(seed)
    ratings = rng.integers(1, 6, (40, 12)) * (rng.random((40, 12)) < 0.5)
    return sparse.csr_array(ratings.astype(np.float32))


def fold() -> Fold:
    return Fold(fold_in=rows(1), targets=rows(2), users=np.arange(40))


@pytest.fixture(scope="module", params=sorted(SMALL))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


class Whole:
    """A fit that nothing cuts, with the epochs that it told of and its checkpoints."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        self.told: list[dict[str, float]] = []
        self.model = make(name, **averaged(name))
        self.model.fit(rows(), validation=fold(), checkpoint=str(folder), on_epoch=self.told.append)


def averaged(name: str) -> dict[str, float]:
    return {"average": 0.8}


@pytest.fixture(scope="module")
def whole(name: str, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(name, tmp_path_factory.mktemp(name))


def test_each_epoch_is_reported_as_its_row_of_the_history(whole: Whole) -> None:
    pd.testing.assert_frame_equal(pd.DataFrame(whole.told), whole.model.history_)


def test_an_exception_in_on_epoch_leaves_fit() -> None:
    def stop(record: dict[str, float]) -> None:
        if record["epoch"] == 2:
            raise StopIteration

    model = make("MultDAE")
    with pytest.raises(StopIteration):
        model.fit(rows(), on_epoch=stop)
    assert not hasattr(model, "n_items_")
    model.fit(rows())
    with pytest.raises(StopIteration):  # what is half trained is not taken for the model of before
        model.fit(rows(), on_epoch=stop)
    with pytest.raises(NotFittedError):
        model.score(rows())


def test_an_interrupted_fit_names_the_epoch_that_is_kept(tmp_path, monkeypatch) -> None:
    """Also where the interrupt falls between the end of an epoch and the line that shows it."""

    def interrupted(keeper: Keeper, epoch: int) -> bool:
        if epoch == 3:
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr(Keeper, "_is_due", interrupted)
    with pytest.raises(KeyboardInterrupt, match="stopped after epoch 3 of 4"):
        make("MultDAE").fit(rows(), checkpoint=tmp_path)
    assert [path.name for path in tmp_path.glob("epoch_*")] == ["epoch_000003"]


def test_a_model_on_likes_passes_what_it_does_not_know_to_its_model() -> None:
    records: list[dict[str, float]] = []
    OnLikes(model=make("MultDAE"), min_value=4).fit(rows(), on_epoch=records.append)
    assert len(records) == 4


class Power(Exception):
    """What fails in the middle of a fit."""


def cut_after(epoch: int):
    def cut(record: dict[str, float]) -> None:
        if record["epoch"] == epoch:
            raise Power

    return cut


def test_a_fit_that_was_cut_ends_with_the_bits_of_one_that_was_not(name, whole, tmp_path) -> None:
    every = Checkpoints(tmp_path, every_epochs=1)
    told: list[dict[str, float]] = []
    cut, resumed = make(name, **averaged(name)), make(name, **averaged(name))
    with pytest.raises(Power):
        cut.fit(rows(), validation=fold(), checkpoint=every, on_epoch=cut_after(2))
    resumed.fit(rows(), validation=fold(), checkpoint=every, on_epoch=told.append)
    assert [record["epoch"] for record in told] == [3, 4]
    np.testing.assert_array_equal(resumed.score(rows(3)), whole.model.score(rows(3)))
    timeless = [model.history_.drop(columns="seconds") for model in (resumed, whole.model)]
    pd.testing.assert_frame_equal(*timeless, check_exact=True)


def test_an_ended_fit_returns_the_same_model_at_once(name, whole) -> None:
    again = make(name, **averaged(name))
    again.fit(rows(), validation=fold(), checkpoint=whole.folder, on_epoch=cut_after(4))
    np.testing.assert_array_equal(again.score(rows(3)), whole.model.score(rows(3)))
    pd.testing.assert_frame_equal(again.history_, whole.model.history_)


def test_more_epochs_go_on_from_where_a_fit_has_ended(tmp_path) -> None:
    make("MultVAE", epochs=2).fit(rows(), checkpoint=tmp_path)
    longer = make("MultVAE", epochs=4, patience=7).fit(rows(), checkpoint=tmp_path)
    np.testing.assert_array_equal(
        longer.score(rows()), make("MultVAE", epochs=4).fit(rows()).score(rows())
    )


def test_a_checkpoint_of_other_data_or_settings_is_refused_by_name(tmp_path) -> None:
    make("MultDAE").fit(rows(), validation=fold(), checkpoint=tmp_path)

    train, held_out = rows(), fold()

    def refused(said: str, x=train, validation=held_out, **settings: object) -> None:
        with pytest.raises(ArtifactError, match=said):
            make("MultDAE", **settings).fit(x, validation=validation, checkpoint=tmp_path)

    one_more = rows()
    one_more[0, 0] += 1
    refused("differs in user_items. Give another folder", x=one_more)
    refused("differs in validation. Give", validation=None)
    swapped = Fold(fold_in=held_out.targets, targets=held_out.fold_in, users=held_out.users)
    refused("differs in validation. Give", validation=swapped)
    refused(
        r"differs in dropout \(0.5 there, 0.2 here\), seed \(1 there, 2 here\). Give",
        dropout=0.2,
        seed=2,
    )


def test_a_model_without_epochs_knows_no_on_epoch() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'on_epoch'"):
        EASE().fit(rows(), on_epoch=print)


def test_mixed_precision_comes_to_about_the_same_loss(name: str) -> None:
    plain = make(name, epochs=1).fit(rows())
    try:
        configure("cpu", precision="mixed_bfloat16")
        mixed = make(name, epochs=1).fit(rows())
    finally:
        configure("cpu")
    assert (plain.trained_on_["precision"], mixed.trained_on_["precision"]) == (
        "float32",
        "mixed_bfloat16",
    )
    assert mixed.history_.iloc[0, 1] == pytest.approx(plain.history_.iloc[0, 1], rel=0.02)
    assert not np.array_equal(mixed.score(rows()), plain.score(rows()))


PLAIN = """
import sys, keras, numpy as np
for name in sys.argv[2:]:
    model = keras.models.load_model(f"{sys.argv[1]}/{name}.keras", safe_mode=True)
    np.save(f"{sys.argv[1]}/{name}.npy", model(np.load(f"{sys.argv[1]}/rows.npy")))
assert "recsys_lib" not in sys.modules
"""


def test_plain_keras_reads_what_was_exported_and_scores_alike(tmp_path) -> None:
    asked = sparse.csr_array(sparse.vstack([rows(3), sparse.csr_array((1, 12))]))
    np.save(tmp_path / "rows.npy", asked.toarray())
    models = {name: make(name, epochs=1).fit(rows()) for name in SMALL}
    models |= {name: model.fit(rows()) for name, model in CLOSED.items()}
    models["EASE of few users"] = EASE().fit(rows()[:6])
    for name, model in models.items():
        model.export_keras(tmp_path / f"{name}.keras")
    done = subprocess.run(
        [sys.executable, "-I", "-c", PLAIN, tmp_path, *models], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for name, model in models.items():
        scores = np.load(tmp_path / f"{name}.npy")
        np.testing.assert_allclose(scores, model.score(asked), atol=1e-5)


def test_a_model_is_as_it_was_after_an_export(name: str, whole: Whole, tmp_path) -> None:
    for _ in range(2):
        whole.model.export_keras(tmp_path / "scores.keras")
    whole.model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(again.score(rows(3)), whole.model.score(rows(3)))


def check_as_a_saved_model(model: Recommender, folder: Path) -> None:
    if keras.backend.backend() != "tensorflow":
        pytest.skip("a format of TensorFlow")
    import tensorflow as tf

    model.export_keras(folder / "scores.keras")
    keras.models.load_model(folder / "scores.keras").export(folder / "saved", verbose=False)
    saved = tf.saved_model.load(folder / "saved")  # holds the weights
    np.testing.assert_allclose(saved.serve(rows(3).toarray()), model.score(rows(3)), atol=1e-5)


def test_an_export_becomes_a_saved_model(whole: Whole, tmp_path) -> None:
    check_as_a_saved_model(whole.model, tmp_path)


def test_an_export_of_a_closed_form_becomes_a_saved_model(tmp_path) -> None:
    check_as_a_saved_model(CLOSED["SparseEASE"].fit(rows()), tmp_path)


@pytest.mark.parametrize("model", [UserKNN(), ItemKNN(feedback="explicit")])
def test_a_model_that_cannot_be_exported_says_how_to_serve_it(model: Recommender, tmp_path) -> None:
    with pytest.raises(TypeError, match=r"KNN is neither. Serve it with `Bundle.to_mlflow`"):
        model.fit(rows()).export_keras(tmp_path / "scores.keras")
    assert not list(tmp_path.iterdir())


def test_an_export_must_end_in_keras(whole: Whole, tmp_path) -> None:
    with pytest.raises(ValueError, match="`path` must end in .keras"):
        whole.model.export_keras(tmp_path / "model.h5")
    assert not list(tmp_path.iterdir())
