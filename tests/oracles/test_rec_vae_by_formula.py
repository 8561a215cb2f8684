"""RecVAE against the formulas of its paper."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, sparse, stats

from recsys_lib.models import RecVAE

X = sparse.csr_array(
    np.array(
        [[1, 1, 0, 0, 1, 0], [0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0]],
        dtype=np.float32,
    )
)
WEIGHTS = (0.15, 0.75, 0.10)


def network(**settings):
    from recsys_lib.models.networks.variational import CompositeNetwork
    from recsys_lib.training import Scorer

    given = {
        "hidden_dim": 7,
        "latent_dim": 3,
        "gamma": 0.01,
        "prior_weights": WEIGHTS,
        "dropout": 0.5,
        "l2": 0.0,
        "learning_rate": 0.01,
        "seed": 0,
    }
    built = CompositeNetwork(RecVAE(**given | settings), np.zeros(6, dtype=np.float32))
    built.remember(Scorer(built.encode, n_items=6, n_out=6, state=built.state)(X))
    return built


def values(layers):
    return [weight.numpy() for layer in layers for weight in layer.weights]


def train(built, phases, epochs=1):
    from recsys_lib.training.rows import Rows
    from recsys_lib.training.trainer import Trainer

    trainer = Trainer(phases, state=built.state, batch_size=2, seed=0)
    trainer.fit(Rows(X), epochs=epochs)
    return trainer


def mixture(z, mean, log_variance):
    parts = (stats.norm(0, 1), stats.norm(mean, math.exp(log_variance / 2)))
    parts += (stats.norm(0, math.exp(5)),)
    return sum(w * part.pdf(z) for w, part in zip(WEIGHTS, parts, strict=True))


def test_the_prior_is_the_mixture_of_three_densities_in_each_dimension():
    from recsys_lib.models.networks.variational import log_composite_prior

    z = np.array([[-4.0, 0.0, 0.7], [2.0, 30.0, -200.0]], dtype=np.float32)
    mean = np.array([[0.5, -1.0, 0.7], [2.0, 0.0, 1.0]], dtype=np.float32)
    log_variance = np.array([[0.2, -3.0, 1.0], [-6.0, 0.0, 2.0]], dtype=np.float32)
    found = np.asarray(log_composite_prior(z, mean, log_variance, WEIGHTS))
    expected = [
        [math.log(mixture(*cell)) for cell in zip(*row, strict=True)]
        for row in zip(z.astype(float), mean.astype(float), log_variance.astype(float), strict=True)
    ]
    assert_allclose(found, expected, rtol=1e-4)


def test_the_prior_integrates_to_1():
    from recsys_lib.models.networks.variational import log_composite_prior

    # Trapezoids over what the wide component needs, fine where the narrow ones live.
    far = np.linspace(8, 1200, 20_000)
    z = np.concatenate([-far[::-1], np.linspace(-8, 8, 40_001)[1:-1], far]).astype(np.float32)
    mean, log_variance = np.full_like(z, 0.5), np.full_like(z, -2.0)
    density = np.exp(np.asarray(log_composite_prior(z, mean, log_variance, WEIGHTS)))
    assert integrate.trapezoid(density, z) == pytest.approx(1, abs=1e-4)


def test_with_the_standard_normal_alone_the_divergence_is_the_closed_form():
    from recsys_lib.models.networks.parts import gaussian_kl, sample
    from recsys_lib.models.networks.variational import log_composite_prior, sampled_divergence
    from recsys_lib.training._keras import keras

    n = 20_000
    mean = np.tile(np.array([[0.5, -1.0, 0.1]], dtype=np.float32), (n, 1))
    log_variance = np.tile(np.array([[0.3, -1.0, 0.0]], dtype=np.float32), (n, 1))
    z, noise = sample(mean, log_variance, keras.random.SeedGenerator(3))
    # The old encoder must not matter, whatever it says.
    log_p = log_composite_prior(z, mean + 3, log_variance + 1, (1.0, 0.0, 0.0))
    draws = np.asarray(sampled_divergence(log_p, noise, log_variance))
    exact = float(np.asarray(gaussian_kl(mean[:1], log_variance[:1]))[0])
    assert draws.mean() == pytest.approx(exact, abs=5 * float(draws.std()) / math.sqrt(n))
    assert draws.min() < 0 < exact


def test_the_divergence_vanishes_where_the_encoder_stays_and_the_prior_is_the_old_one(batch_of):
    from recsys_lib.models.networks.parts import sample
    from recsys_lib.models.networks.variational import log_composite_prior, sampled_divergence
    from recsys_lib.training._keras import keras

    built = network()
    batch = batch_of(X)
    mean, log_variance = built.posterior(batch)
    z, noise = sample(mean, log_variance, keras.random.SeedGenerator(3))
    log_p = log_composite_prior(z, *built.remembered(batch), (0.0, 1.0, 0.0))
    assert_allclose(np.asarray(sampled_divergence(log_p, noise, log_variance)), 0, atol=1e-5)


@pytest.mark.parametrize(("moving", "resting"), [("encoder", "decoder"), ("decoder", "encoder")])
def test_a_pass_moves_one_half_and_leaves_the_other_equal_to_the_bit(moving, resting):
    built = network()
    phase = next(phase for phase in built.phases() if phase.name == moving)
    halves = {"encoder": built.encoder.layers, "decoder": built.decoder.layers}
    before = {name: values(layers) for name, layers in halves.items()}
    train(built, [phase])
    for old, new in zip(before[resting], values(halves[resting]), strict=True):
        assert_array_equal(old, new)
    moved = zip(before[moving], values(halves[moving]), strict=True)
    assert all((old != new).any() for old, new in moved)


def test_the_encoder_moves_three_times_as_often_as_the_decoder_each_with_its_own_adam():
    built = network()
    phases = built.phases()
    trainer = train(built, phases, epochs=2)
    # Four users in batches of two: two updates a pass.
    assert [int(phase.optimizer.iterations.value) for phase in phases] == [12, 4]
    assert int(trainer.updates.value) == 16


def test_the_prior_remembers_the_encoder_at_the_end_of_its_passes_without_dropout(batch_of):
    built = network()
    encoder, decoder = built.phases()
    train(built, [encoder])
    batch = batch_of(X)
    now = np.hstack([np.asarray(part) for part in built.posterior(batch)])
    assert np.abs(built.old.numpy()[:4] - now).max() > 0.01
    train(built, [decoder])
    # The decoder's pass leaves the encoder alone, so `now` is what a frozen copy would say.
    assert_allclose(built.old.numpy()[:4], now, atol=1e-6)


def test_no_gradient_reaches_the_old_encoder(batch_of, gradient_of):
    built = network(gamma=1.0, dropout=0.0)
    batch = batch_of(X)

    def objective(old):
        built.old = SimpleNamespace(value=old)  # a tensor in the place of the variable
        return built.encoder_loss(batch, 0.0)[0]

    start = np.asarray(built.old.numpy())
    assert not gradient_of(objective, start).any()
    # The prior does depend on what the old encoder said.
    seeds = built.seeds.state.numpy()
    first = float(objective(start))
    built.seeds.state.assign(seeds)
    assert abs(float(objective(start + 2)) - first) > 0.1


def test_a_user_with_twice_the_items_has_twice_the_weight_on_the_divergence(batch_of):
    double = np.zeros((1, 6), dtype=np.float32)
    double[0, :4] = 1
    short = double.copy()
    short[0, 2:] = 0

    def weighted(row):
        # With equal noise, the objectives with and without a weight differ by the weighted term.
        objectives = []
        for gamma in (0.3, 0.0):
            built = network(gamma=gamma)
            objective, terms = built.encoder_loss(batch_of(row), 0.0)
            objectives.append(float(objective))
        return (objectives[0] - objectives[1]) / float(terms["kl"])

    assert weighted(short) == pytest.approx(0.3 * 2, rel=1e-3)
    assert weighted(double) == pytest.approx(0.3 * 4, rel=1e-3)
