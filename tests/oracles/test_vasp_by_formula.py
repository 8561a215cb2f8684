"""VASP's loss and its shallow path against the formulas written out over a dense matrix."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from recsys_lib.models import VASP

X = np.array([[1, 0, 1, 0, 0], [0, 1, 1, 0, 1], [0, 0, 0, 0, 0]], dtype=np.float32)
# Popularity of the items: the third, the first two equal, ...
SHARES = np.array([0.3, 0.3, 0.6, 0.05, 0.2])


def network(shallow_share=0.6, **settings):
    from recsys_lib.models.networks.variational import JointNetwork

    given = {
        "hidden_dim": 6,
        "latent_dim": 4,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "shallow_share": shallow_share,
        "dropout": 0.5,
        "l2": 0.0,
        "kl_weight": 0.1,
        "learning_rate": 0.01,
        "seed": 0,
    }
    return JointNetwork(VASP(**given | settings), np.log(SHARES).astype(np.float32))


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.5, 0.0)])
def test_the_focal_loss_is_the_sum_over_every_cell(batch_of, alpha, gamma):
    from recsys_lib.models.networks.variational import focal_loss

    p = np.random.default_rng(0).uniform(0.05, 0.95, X.shape)
    logs = np.log(p).astype(np.float32), np.log1p(-p).astype(np.float32)
    found = np.asarray(focal_loss(batch_of(X), *logs, VASP(focal_alpha=alpha, focal_gamma=gamma)))
    cells = np.where(
        X > 0, -alpha * (1 - p) ** gamma * np.log(p), -(1 - alpha) * p**gamma * np.log(1 - p)
    )
    assert_allclose(found, cells.sum(axis=1), rtol=1e-5)


def test_what_is_left_out_of_the_focal_loss_is_no_negative_either(batch_of):
    from recsys_lib.models.networks.variational import focal_loss

    p = np.random.default_rng(0).uniform(0.05, 0.95, X.shape)
    logs = np.log(p).astype(np.float32), np.log1p(-p).astype(np.float32)
    left_out = np.zeros(16, dtype=np.float32)
    left_out[[0, 3]] = 1  # items 0 of the first and 2 of the second row
    found = np.asarray(focal_loss(batch_of(X), *logs, VASP(), left_out))
    cells = np.where(X > 0, -0.25 * (1 - p) ** 2 * np.log(p), -0.75 * p**2 * np.log(1 - p))
    cells[[0, 1], [0, 2]] = 0
    assert_allclose(found, cells.sum(axis=1), rtol=1e-5)


def test_a_shallow_path_never_predicts_an_item_from_itself(batch_of):
    from recsys_lib.training._keras import ops

    built = network(shallow_share=1)
    shallow = built.shallow
    values = np.random.default_rng(1).normal(size=(5, 5)).astype(np.float32)
    shallow.layer.kernel.assign(values)
    batch = batch_of(np.eye(5))
    said = np.exp(np.asarray(shallow(batch, batch.values)))
    # Row j is what item j alone says; its own item gets the bias, which is 0.
    assert_allclose(np.diag(said), 0.5, rtol=1e-6)
    off = ~np.eye(5, dtype=bool)
    place = shallow.place
    expected = 1 / (1 + np.exp(-values[place][:, place]))
    assert_allclose(said[off], expected[off], rtol=1e-5)
    assert float(ops.sum(ops.abs(shallow.kernel()))) > 0


def test_the_diagonal_stays_out_while_the_network_learns():
    from recsys_lib.training.rows import Rows
    from recsys_lib.training.trainer import Trainer

    built = network()
    before = built.shallow.layer.kernel.numpy()
    trainer = Trainer(built.phases(), state=built.state, batch_size=2, seed=0)
    trainer.fit(Rows(sparse.csr_array(X)), epochs=3)
    moved = built.shallow.layer.kernel.numpy() != before
    assert not np.diag(moved).any()
    assert moved[~np.eye(3, dtype=bool)].any()


def test_the_shallow_path_is_silent_about_items_it_does_not_know(batch_of):
    built = network()
    said = np.exp(np.asarray(built.shallow(batch_of(X), X[X > 0].repeat(4)[:16])))
    # The three most popular items are 2, 0 and 1.
    assert_allclose(said[:, [3, 4]], 1.0)
    assert (said[:, [0, 1, 2]] < 1).all()
    # And of a user who has none of these it knows nothing.
    stranger = batch_of([[0, 0, 0, 1, 1]])
    said = np.exp(np.asarray(built.shallow(stranger, stranger.values)))
    assert_allclose(said[0, :3], 0.5)


def test_both_paths_multiply_and_their_logarithms_add_to_1(batch_of):
    built = network()
    batch = batch_of(X)
    code = np.random.default_rng(2).normal(size=(3, 4)).astype(np.float32)
    log_p, log_not = (np.asarray(a) for a in built.log_probabilities(batch, code, batch.values))
    assert_allclose(np.exp(log_p) + np.exp(log_not), 1.0, atol=1e-5)
    deep = np.asarray(built.deep.after(built.deep.hidden[0](code)))
    shallow = np.exp(np.asarray(built.shallow(batch, batch.values)))
    assert_allclose(np.exp(log_p), shallow / (1 + np.exp(-deep)), rtol=1e-5)


def test_it_starts_at_the_popularity_of_each_item(batch_of):
    scores = np.asarray(network().score(batch_of(X)))
    assert_allclose(np.exp(scores[2]), SHARES, rtol=0.25)
    assert np.argmax(scores[2]) == 2
