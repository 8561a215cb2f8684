"""What MultDAE, MultVAE, RecVAE and VASP do beyond the contract: stopping, history, settings."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from recsys_lib.dataset import Fold
from recsys_lib.models import VASP, MultDAE, MultVAE, RecVAE, load
from recsys_lib.models.variational import annealing_steps

COMMON = {"batch_size": 25, "learning_rate": 0.02, "latent_dim": 4}
MODELS = {
    MultDAE: {},
    MultVAE: {"hidden_dims": (8,)},
    RecVAE: {"hidden_dim": 8},
    VASP: {"hidden_dim": 8, "shallow_share": 1},
}
TERMS = {
    MultDAE: ["reconstruction"],
    MultVAE: ["reconstruction", "kl", "anneal"],
    RecVAE: ["encoder_reconstruction", "encoder_kl", "decoder_reconstruction"],
    VASP: ["reconstruction", "kl"],
}


def tastes(n_users: int, seed: int, n_items: int = 24) -> sparse.csr_array:
    """Users of three tastes; most of what they use lies in their third of the items."""
    rng = np.random.default_rng(seed)
    taste = rng.integers(0, 3, n_users)[:, None]
    likely = np.where(np.arange(n_items) // (n_items // 3) == taste, 0.7, 0.08)
    return sparse.csr_array((rng.random((n_users, n_items)) < likely).astype(np.float32))


def fold(seed: int) -> Fold:
    x = tastes(40, seed).toarray()
    hidden = (np.random.default_rng(seed).random(x.shape) < 0.3) & (x > 0)
    parts = sparse.csr_array(x * ~hidden), sparse.csr_array(x * hidden)
    return Fold(fold_in=parts[0], targets=parts[1], users=np.arange(40))


@pytest.fixture(scope="module", params=list(MODELS), ids=lambda kind: kind.__name__)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def watched(kind):
    model = kind(**COMMON, **MODELS[kind], epochs=30, patience=4)
    return model.fit(tastes(100, 1), validation=fold(2))


def test_history_has_the_terms_the_metric_and_the_seconds_of_each_epoch(kind, watched):
    history = watched.history_
    likelihood = ["validation_nll"] if kind is MultDAE else []
    assert list(history.columns) == ["epoch", *TERMS[kind], "ndcg@100", *likelihood, "seconds"]
    assert_array_equal(history["epoch"], np.arange(1, len(history) + 1))
    assert history["ndcg@100"].between(0, 1).all()
    reconstruction = history[TERMS[kind][0]]
    assert reconstruction.iloc[-1] < reconstruction.iloc[0]


def test_mult_dae_names_its_error_its_best_epoch_and_its_item_vectors():
    model = MultDAE(**COMMON, hidden_dims=(5,), epochs=6).fit(tastes(60, 1), validation=fold(2))
    history = model.history_.set_index("epoch")
    assert model.best_epoch_ == history["ndcg@100"].idxmax()
    assert model.item_vectors_.shape == (24, 5)
    # A blind guess among the items not shown costs at most log(24) nats.
    assert history["validation_nll"].between(0, np.log(24)).all()


def test_the_weights_of_the_best_epoch_of_the_validation_users_are_kept(watched):
    from recsys_lib.models.neural import mean_ndcg

    best = watched.history_["ndcg@100"].max()
    assert mean_ndcg(watched.score, fold(2)) == pytest.approx(best, abs=1e-9)


def test_training_stops_after_patience_epochs_without_a_new_best(kind):
    model = kind(**COMMON | {"learning_rate": 0.1}, **MODELS[kind], epochs=80, patience=3)
    history = model.fit(tastes(100, 1), validation=fold(2)).history_
    assert len(history) == int(history["ndcg@100"].idxmax()) + 1 + 3 < 80


def test_without_validation_every_epoch_is_made(kind):
    model = kind(**COMMON, **MODELS[kind], epochs=3, patience=1).fit(tastes(50, 1))
    assert list(model.history_.columns) == ["epoch", *TERMS[kind], "seconds"]
    assert len(model.history_) == 3


def test_a_taste_is_recognized(kind, watched):
    x = tastes(60, 7)
    third = x.toarray().reshape(60, 3, 8).sum(axis=2)
    clear = third.max(axis=1) >= 2 * np.sort(third, axis=1)[:, 1] + 1
    top = watched.recommend(x, k=1).items[:, 0] // 8
    assert (top == third.argmax(axis=1))[clear].mean() > 0.8


@pytest.mark.parametrize("kind", [MultVAE, RecVAE])
def test_a_code_is_what_the_score_goes_through(kind, tmp_path):
    model = kind(**COMMON, **MODELS[kind], epochs=5).fit(tastes(100, 1))
    x = sparse.csr_array(sparse.vstack([tastes(70, 7), sparse.csr_array((1, 24))]))
    code = model.encode(x)
    assert_allclose(model.decode(code.mean), model.score(x), atol=1e-5)
    assert not code.mean[-1].any()
    assert not code.log_variance[-1].any()
    model.save(tmp_path / "model")
    again = load(tmp_path / "model").encode(x)
    assert_array_equal(again.mean, code.mean)
    assert_array_equal(again.log_variance, code.log_variance)
    alone = model.encode(x[[3]])
    assert_allclose(alone.log_variance[0], code.log_variance[3], atol=1e-6)


def test_drawn_codes_have_the_spread_that_the_encoder_says_and_one_seed_draws_alike():
    from recsys_lib.models.neural import Code

    spread = np.array([[0.1, 1.0], [2.0, 3.0]], dtype=np.float32)
    code = Code(np.array([[1, -1], [0, 5]], dtype=np.float32), 2 * np.log(spread))
    drawn = code.sample(40_000, seed=3)
    assert drawn.shape == (40_000, 2, 2)
    assert_allclose(drawn.mean(axis=0), code.mean, atol=0.05)
    # The variance in the place of the standard deviation, the nearest mistake, would be 9 and 4.
    assert_allclose(drawn.std(axis=0), spread, rtol=0.03)
    assert_array_equal(code.sample(5, seed=3), code.sample(5, seed=3))
    assert not np.array_equal(code.sample(5, seed=3), code.sample(5, seed=4))


def test_codes_of_another_width_are_refused():
    model = MultVAE(**COMMON, **MODELS[MultVAE], epochs=1).fit(tastes(30, 1))
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 4"):
        model.decode(np.zeros((2, 3)))


@pytest.mark.parametrize("likelihood", ["logistic", "gaussian"])
@pytest.mark.parametrize("kind", [MultDAE, MultVAE])
def test_the_other_likelihoods_recognize_a_taste_too(kind, likelihood):
    settings = COMMON | MODELS[kind] | {"likelihood": likelihood}
    model = kind(**settings, epochs=25).fit(tastes(100, 1), validation=fold(2))
    assert model.history_["ndcg@100"].max() > model.history_["ndcg@100"].iloc[0] + 0.02


def test_hidden_targets_and_averaged_weights_train_too(kind):
    model = kind(**COMMON, **MODELS[kind], epochs=25, targets="hidden", average=0.5)
    model.fit(tastes(100, 1), validation=fold(2))
    assert model.history_["ndcg@100"].max() > model.history_["ndcg@100"].iloc[0] + 0.02


def test_the_history_and_the_scores_survive_a_save(kind, watched, tmp_path):
    watched.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    pd.testing.assert_frame_equal(loaded.history_, watched.history_)
    assert_array_equal(loaded.score(tastes(9, 3)), watched.score(tastes(9, 3)))


def test_counts_below_zero_are_refused(kind):
    x = tastes(10, 0)
    x.data[0] = -1
    with pytest.raises(ValueError, match="must hold counts >= 0.*row 0 holds"):
        kind(**COMMON, **MODELS[kind]).fit(x)


def test_a_validation_fold_without_targets_is_refused(kind):
    empty = Fold(
        fold_in=tastes(5, 0), targets=sparse.csr_array((5, 24), dtype="f4"), users=np.arange(5)
    )
    with pytest.raises(ValueError, match="`validation` must hold targets"):
        kind(**COMMON, **MODELS[kind]).fit(tastes(10, 0), validation=empty)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (MultDAE(dropout=1.0), "`dropout` must be a share"),
        (MultDAE(latent_dim=0), "`latent_dim` must be >= 1"),
        (MultDAE(l2=-1.0), "`l2` must be >= 0"),
        (MultDAE(targets="some"), "`targets` must be one of 'all', 'hidden'"),
        (MultDAE(targets="hidden", dropout=0.0), "must have a dropout > 0"),
        (MultDAE(likelihood="poisson"), "`likelihood` must be one of 'multinomial'"),
        (MultVAE(likelihood="logistic", targets="hidden"), "likelihood; got 0.5 and 'logistic'"),
        (MultDAE(average=1.0), "`average` must be a share"),
        (MultVAE(hidden_dims=600), "`hidden_dims` must be a tuple of layer widths; got 600"),
        (MultVAE(hidden_dims=(600, 0)), r"`hidden_dims\[1\]` must be >= 1"),
        (MultVAE(anneal_steps=-1), "`anneal_steps` must be >= 0"),
        (MultVAE(anneal_cap=-0.1), "`anneal_cap` must be >= 0"),
        (MultVAE(patience=0), "`patience` must be >= 1"),
        (RecVAE(prior_weights=(0.5, 0.6, 0.1)), "`prior_weights` must be three shares"),
        (RecVAE(gamma=-1.0), "`gamma` must be >= 0"),
        (RecVAE(encoder_passes=0), "`encoder_passes` must be >= 1"),
        (VASP(shallow_share=0.0), "`shallow_share` must be a share"),
        (VASP(focal_alpha=1.0), "`focal_alpha` must be a share"),
        (VASP(learning_rate=0.0), "`learning_rate` must be > 0"),
    ],
)
def test_a_setting_out_of_its_range_is_named(model, message):
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(tastes(10, 0))


def test_a_shallow_path_that_does_not_fit_says_so_before_it_is_allocated():
    x = sparse.csr_array((2, 3_000_000), dtype=np.float32)
    with pytest.raises(MemoryError, match="shallow path of VASP.*Lower `shallow_share`"):
        VASP(shallow_share=1).fit(x)


def test_ndcg_of_the_validation_users_is_the_one_that_is_reported():
    from recsys_lib.evaluation import evaluate
    from recsys_lib.models import Popularity
    from recsys_lib.models.neural import mean_ndcg

    x, held = tastes(80, 1), fold(2)
    # A user without targets counts in neither.
    targets = sparse.csr_array(np.vstack([np.zeros((1, 24)), held.targets.toarray()[1:]]))
    held = Fold(fold_in=held.fold_in, targets=targets, users=held.users)
    model = Popularity().fit(x)
    for k in (3, 100):
        report = evaluate(model, held, metrics=(f"ndcg@{k}",))
        expected = report[f"ndcg@{k}"]
        assert_allclose(mean_ndcg(model.score, held, k=k, batch_size=7), expected, rtol=1e-6)


@pytest.mark.parametrize("cap", [0.2, 1.0])
def test_the_divergence_has_its_weight_after_as_many_epochs_as_asked_for(cap):
    steps = annealing_steps(cap, n_users=40, batch_size=16, epochs=2)
    likes = sparse.csr_array(np.eye(40, 6, dtype="float32") + np.eye(40, 6, k=1, dtype="float32"))
    settings = {"hidden_dims": (4,), "latent_dim": 2, "batch_size": 16, "epochs": 3}
    weights = MultVAE(anneal_cap=cap, anneal_steps=steps, **settings).fit(likes).history_["anneal"]
    assert weights[0] < weights[1] < cap
    assert weights[2] == pytest.approx(cap)
