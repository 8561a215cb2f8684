"""Mult-DAE and Mult-VAE against arithmetic that fits on a page."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, sparse, stats

from recsys_lib.models import MultDAE, MultVAE
from recsys_lib.seeding import rng_from

# Three users, four items; the last user used nothing.
X = np.array([[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]], dtype=np.float32)
LOGITS = np.array(
    [[0.0, math.log(2), math.log(4), 0.0], [1.0, 2.0, 3.0, 4.0], [5.0, -5.0, 0.0, 1.0]],
    dtype=np.float32,
)
# exp(logits) of the first user: 1, 2, 4, 1, sum 8; so p = 1/8 and 1/2 for its two items.
BY_HAND = [
    -math.log(1 / 8) - math.log(1 / 2),
    -4.0 + math.log(math.e + math.e**2 + math.e**3 + math.e**4),
    0.0,
]


def variational(**settings):
    from recsys_lib.models.networks.variational import VariationalNetwork

    given = {
        "hidden_dims": (5,),
        "latent_dim": 3,
        "dropout": 0.0,
        "l2": 0.0,
        "learning_rate": 0.01,
        "seed": 0,
        "anneal_cap": 0.5,
        "anneal_steps": 10,
    }
    return VariationalNetwork(MultVAE(**given | settings), np.zeros(4, dtype=np.float32))


@pytest.mark.parametrize("gather", [False, True])
def test_the_likelihood_of_a_3_by_4_matrix_is_the_one_by_hand(batch_of, gather):
    from recsys_lib.models.networks.parts import mean_over_users, multinomial_nll

    batch = batch_of(X, gather=gather, batch_size=5)
    padded = np.vstack([LOGITS, np.full((2, 4), 7.0, dtype=np.float32)])
    per_user = multinomial_nll(batch, padded)
    assert_allclose(np.asarray(per_user)[:3], BY_HAND, rtol=1e-6, atol=1e-6)
    assert float(mean_over_users(batch, per_user)) == pytest.approx(sum(BY_HAND) / 3, rel=1e-6)


@pytest.mark.parametrize("gather", [False, True])
def test_the_other_likelihoods_are_those_of_a_dense_row(batch_of, gather):
    from recsys_lib.models.networks.parts import gaussian_nll, logistic_nll

    batch = batch_of(X, gather=gather)
    yes = 1 / (1 + np.exp(-LOGITS.astype(np.float64)))
    cross_entropy = -np.where(X > 0, np.log(yes), np.log(1 - yes)).sum(axis=1)
    assert_allclose(np.asarray(logistic_nll(batch, LOGITS)), cross_entropy, rtol=1e-5)
    half_squares = 0.5 * ((X - LOGITS) ** 2).sum(axis=1)
    assert_allclose(np.asarray(gaussian_nll(batch, LOGITS)), half_squares, rtol=1e-5)


@pytest.mark.parametrize("likelihood", ["multinomial", "logistic", "gaussian"])
def test_each_likelihood_starts_from_popularity(likelihood):
    share = np.array([0.5, 0.1, 0.02, 0.3], dtype=np.float32)
    from recsys_lib.models.networks.parts import popular_scores

    read = {
        "multinomial": np.exp,
        "logistic": lambda score: 1 / (1 + np.exp(-score)),
        "gaussian": lambda score: score,
    }
    scores = popular_scores(np.log(share), likelihood)
    assert_allclose(read[likelihood](scores), share, rtol=1e-5)


def test_the_gradient_of_the_likelihood_is_softmax_times_length_less_the_row(batch_of, gradient_of):
    from recsys_lib.models.networks.parts import multinomial_nll
    from recsys_lib.training._keras import ops

    batch = batch_of(X)
    found = gradient_of(lambda logits: ops.sum(multinomial_nll(batch, logits)), LOGITS)
    softmax = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    assert_allclose(found, X.sum(axis=1, keepdims=True) * softmax - X, atol=1e-6)


def test_a_constant_added_to_the_logits_changes_nothing(batch_of):
    from recsys_lib.models.networks.parts import multinomial_nll

    batch = batch_of(X)
    moved = multinomial_nll(batch, LOGITS + np.float32(100))
    assert_allclose(np.asarray(moved), BY_HAND, atol=2e-5)


def test_the_divergence_is_the_integral_summed_over_dimensions():
    from recsys_lib.models.networks.parts import gaussian_kl

    mean = np.array([[0.5, -1.0, 0.0], [0.0, 0.0, 0.0]], dtype=np.float32)
    log_variance = np.array([[0.3, -1.2, 0.7], [0.0, 0.0, 0.0]], dtype=np.float32)

    def by_quadrature(mu, spread):
        q, p = stats.norm(mu, spread), stats.norm(0, 1)
        value = integrate.quad(
            lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), mu - 9 * spread, mu + 9 * spread
        )
        return value[0]

    dimensions = zip(mean[0].astype(float), np.exp(log_variance[0].astype(float) / 2), strict=True)
    expected = sum(by_quadrature(mu, spread) for mu, spread in dimensions)
    found = np.asarray(gaussian_kl(mean, log_variance))
    # The mean over dimensions, a mistake of one peer, would be a third of it.
    assert found[0] == pytest.approx(expected, rel=1e-5)
    assert found[1] == 0


def test_the_noise_of_the_code_has_unit_scale():
    from recsys_lib.models.networks.parts import sample
    from recsys_lib.training._keras import keras

    n = 200_000
    mean, log_variance = np.full((n, 1), 2.0, "float32"), np.full((n, 1), math.log(9), "float32")
    code, noise = (np.asarray(a) for a in sample(mean, log_variance, keras.random.SeedGenerator(1)))
    # Five standard errors; two peers scale their noise by 0.01.
    assert noise.mean() == pytest.approx(0, abs=5 / math.sqrt(n))
    assert noise.std() == pytest.approx(1, abs=5 / math.sqrt(2 * n))
    assert code.std() == pytest.approx(3, abs=15 / math.sqrt(2 * n))
    assert code.mean() == pytest.approx(2, abs=15 / math.sqrt(n))


def test_dropout_keeps_the_expectation_and_the_target_is_the_whole_row(batch_of):
    batch = batch_of(np.ones((400, 64)))
    network = variational(dropout=0.25)
    kept = network.keep(batch)
    shown = np.asarray(network.noisy(batch, kept))[np.asarray(batch.used) > 0]
    assert_allclose(np.unique(shown), [0, 1 / 8 / 0.75], rtol=1e-6)
    error = (1 / 8) * math.sqrt(0.25 / 0.75) / math.sqrt(400 * 64)
    assert shown.mean() == pytest.approx(1 / 8, abs=5 * error)
    assert np.asarray(batch.values).sum() == 400 * 64


def test_the_encoder_is_shown_what_dropout_leaves(batch_of):
    network, batch = variational(dropout=0.5), batch_of(np.ones((40, 4)))
    seen, encode = [], network.encoder
    network.encoder = lambda batch, values: (
        seen.append(np.asarray(values)),
        encode(batch, values),
    )[1]
    network.loss(batch, 0.0)
    network.score(batch)
    in_training, at_inference = (values[np.asarray(batch.used) > 0] for values in seen)
    assert (in_training == 0).mean() == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(160))
    assert_allclose(at_inference, 0.5)


def test_hidden_targets_compete_with_what_is_not_shown_only(batch_of):
    from recsys_lib.models.networks.parts import hidden_nll

    batch = batch_of(X)
    # The first user shows item 0 and hides item 2; the second shows all it has.
    shown = np.ones(np.asarray(batch.used).shape, dtype=np.float32)
    shown[1] = 0
    found = np.asarray(hidden_nll(batch, LOGITS, shown))
    # exp(logits) without item 0: 2, 4, 1. Two items in the row, one of them hidden.
    assert_allclose(found, [-2 * math.log(4 / 7), 0, 0], rtol=1e-5, atol=1e-6)


def test_what_is_shown_gets_no_gradient_from_hidden_targets(batch_of, gradient_of):
    from recsys_lib.models.networks.parts import hidden_nll
    from recsys_lib.training._keras import ops

    batch = batch_of(X)
    shown = np.ones(np.asarray(batch.used).shape, dtype=np.float32)
    shown[1] = 0
    found = gradient_of(lambda logits: ops.sum(hidden_nll(batch, logits, shown)), LOGITS)
    p = np.array([0, 2, 4, 1]) / 7
    assert_allclose(found, [2 * (p - [0, 0, 1, 0]), np.zeros(4), np.zeros(4)], atol=1e-6)


def test_the_divergence_is_annealed_by_updates_up_to_the_cap():
    from recsys_lib.models.networks.parts import linear_anneal

    weights = [float(linear_anneal(float(t), n_updates=20, cap=0.2)) for t in (0, 1, 3, 4, 10**6)]
    assert_allclose(weights, [0, 0.05, 0.15, 0.2, 0.2], rtol=1e-6)


def test_the_annealing_goes_on_over_epochs_and_through_a_checkpoint():
    from recsys_lib.training.rows import Rows
    from recsys_lib.training.trainer import Trainer

    rows = Rows(sparse.csr_array(np.tile(X[:2], (5, 1))))

    def trainer():
        network = variational(anneal_steps=100, anneal_cap=0.12)
        return Trainer(network.phases(), state=network.state, batch_size=2, seed=0)

    whole = trainer()
    whole.fit(rows, epochs=4)
    # Five updates an epoch: 0..4, 5..9, then the cap at 12.
    expected = [np.minimum(np.arange(5 * e, 5 * e + 5) / 100, 0.12).mean() for e in range(4)]
    assert_allclose([record["anneal"] for record in whole.history], expected, rtol=1e-5)

    first, second = trainer(), trainer()
    first.fit(rows, epochs=2)
    second.restore(first.checkpoint())
    second.fit(rows, epochs=4)
    assert_allclose([record["anneal"] for record in second.history], expected[2:], rtol=1e-5)
    assert second.history[-1]["reconstruction"] == whole.history[-1]["reconstruction"]


def numpy_gradients(weights, noise, *, beta, l2):
    """Gradients of Mult-VAE [4-5-3-5-4] on X in float64, one line for each line of the forward."""
    w1, b1, w2, b2, w3, b3, w4, b4 = weights
    length = X.sum(axis=1, keepdims=True)
    unit = X / np.sqrt(np.maximum(length, 1))
    n_users, some = len(X), length > 0
    h1 = np.tanh(unit @ w1 + b1)
    both = (h1 @ w2 + b2) * some
    mean, log_variance = both[:, :3], both[:, 3:]
    spread = np.exp(log_variance / 2)
    code = mean + spread * noise
    h2 = np.tanh(code @ w3 + b3)
    logits = h2 @ w4 + b4
    exps = np.exp(logits - logits.max(axis=1, keepdims=True))

    d_logits = (length * exps / exps.sum(axis=1, keepdims=True) - X) / n_users
    d_h2 = d_logits @ w4.T * (1 - h2**2)
    d_code = d_h2 @ w3.T
    d_mean = d_code + beta * mean / n_users
    d_log_variance = d_code * noise * spread / 2 + beta * (spread**2 - 1) / 2 / n_users
    d_both = np.hstack([d_mean, d_log_variance]) * some
    d_h1 = d_both @ w2.T * (1 - h1**2)
    gradients = [unit.T @ d_h1, d_h1.sum(0), h1.T @ d_both, d_both.sum(0)]
    gradients += [code.T @ d_h2, d_h2.sum(0), h2.T @ d_logits, d_logits.sum(0)]
    return [g + 2 * l2 * w * (w.ndim == 2) for g, w in zip(gradients, weights, strict=True)]


def numpy_adam(weights, noises, *, learning_rate, **objective):
    """Kingma and Ba 2015, the order of section 2's last paragraph, as Keras has it."""
    weights = [weight.astype(np.float64) for weight in weights]
    m, v = [0.0] * len(weights), [0.0] * len(weights)
    for step, noise in enumerate(noises, start=1):
        rate = learning_rate * math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        for index, gradient in enumerate(numpy_gradients(weights, noise, **objective)):
            m[index] = 0.9 * m[index] + 0.1 * gradient
            v[index] = 0.999 * v[index] + 0.001 * gradient**2
        weights = [
            w - rate * a / (np.sqrt(b) + 1e-7) for w, a, b in zip(weights, m, v, strict=True)
        ]
    return weights


def test_optimizer_steps_are_those_in_numpy():
    from recsys_lib.training._keras import keras
    from recsys_lib.training.rows import Rows
    from recsys_lib.training.trainer import Trainer

    network = variational(l2=0.01, anneal_steps=0, anneal_cap=0.5)
    before = [weight.numpy() for layer in network.layers for weight in layer.weights]
    twin = keras.random.SeedGenerator(0)
    twin.state.assign(network.seeds.state.value)
    # The first step of Adam moves every weight by the learning rate, whatever the size of its
    # gradient; the third tells sizes apart. Users come in another order in each epoch.
    noises = []
    for epoch in ("1", "2", "3"):
        drawn = np.asarray(keras.random.normal((3, 3), seed=twin), dtype=np.float64)
        noises.append(drawn[np.argsort(rng_from(0, "order", epoch).permutation(3))])
    trainer = Trainer(network.phases(), state=network.state, batch_size=3, seed=0, jit=False)
    trainer.fit(Rows(sparse.csr_array(X)), epochs=3)
    after = [weight.numpy() for layer in network.layers for weight in layer.weights]
    expected = numpy_adam(before, noises, beta=0.5, l2=0.01, learning_rate=0.01)
    for found, wanted, old in zip(after, expected, before, strict=True):
        assert_allclose(found - old, wanted - old, rtol=1e-3, atol=1e-6)


def world(seed=0, n_users=60, n_items=30):
    rng = np.random.default_rng(seed)
    return sparse.csr_array((rng.random((n_users, n_items)) < 0.25).astype(np.float32))


SMALL = {
    MultDAE: {"latent_dim": 6},
    MultVAE: {"latent_dim": 4, "hidden_dims": (8,)},
}


@pytest.mark.parametrize("kind", [MultDAE, MultVAE])
def test_inference_has_no_noise_and_does_not_depend_on_the_batch(kind):
    x = world()
    model = kind(**SMALL[kind], epochs=3, batch_size=20, learning_rate=0.01).fit(x)
    scores = model.score(x)
    assert_array_equal(model.score(x), scores)
    alone = np.vstack([model.score(x[[row]]) for row in range(x.shape[0])])
    assert_array_equal(alone, scores)


@pytest.mark.parametrize("kind", [MultDAE, MultVAE])
def test_seen_items_are_never_listed_where_every_logit_is_negative(kind):
    x = world()
    model = kind(**SMALL[kind], epochs=2, batch_size=20).fit(x)
    bias = model.network_.layers[-1].bias
    bias.assign(bias.value - 100.0)
    assert model.score(x).max() < 0
    top = model.recommend(x, k=30)
    seen = x.toarray()[np.arange(x.shape[0])[:, None], np.maximum(top.items, 0)]
    assert not seen[top.items >= 0].any()
    assert_array_equal((top.items >= 0).sum(axis=1), 30 - np.diff(x.indptr))


def test_a_row_of_stored_zeros_counts_as_empty():
    x = world()
    x.data[x.indptr[3] : x.indptr[4]] = 0
    model = MultVAE(**SMALL[MultVAE], epochs=2, batch_size=16).fit(x)
    assert np.isfinite(model.score(x)).all()
    assert_allclose(model.score(x[[3]]), model.score(sparse.csr_array((1, 30))), atol=1e-6)


@pytest.mark.parametrize("kind", [MultDAE, MultVAE])
def test_users_without_items_stay_finite_in_training_and_answer_with_the_decoder_at_0(kind):
    x = sparse.csr_array(sparse.vstack([world(), sparse.csr_array((5, 30))]).astype(np.float32))
    model = kind(**SMALL[kind], epochs=4, batch_size=16, learning_rate=0.01).fit(x)
    assert np.isfinite(model.history_.drop(columns="seconds").to_numpy()).all()
    at_zero = model.network_.decoder(np.zeros((1, model.latent_dim), dtype=np.float32))
    assert_allclose(model.score(x[-1:]), np.asarray(at_zero), atol=1e-5)
