"""The outputs of a step: a sample that is right on average, chunks that are exact, Adam by rows."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from recsys_lib.models import ELSA, MultDAE, MultVAE, RecVAE

N_ITEMS = 40
X = (np.random.default_rng(1).random((7, N_ITEMS)) < 0.2).astype(np.float32)
BIAS = np.log(np.linspace(0.5, 0.01, N_ITEMS)).astype(np.float32)


def narrowed(batch_of, seed, n=5, rows=2):
    """The first rows over their own items and `n` of the others."""
    from recsys_lib.models.networks.parts import uniform

    return batch_of(X[:rows], gather=True).narrow(uniform((n,), seed=seed, update=1.0))


def counts_of(batch):
    items, weights = np.asarray(batch.part.items), np.asarray(batch.part.weights)
    assert not weights[items == N_ITEMS].any()  # the padding of JAX
    counted = np.zeros(N_ITEMS)
    counted[items[items < N_ITEMS]] = weights[items < N_ITEMS]
    return counted


def test_items_of_any_row_count_once_and_the_others_on_average(batch_of):
    of_rows = X[:2].any(axis=0)
    counted = np.array([counts_of(narrowed(batch_of, seed)) for seed in range(120)])
    assert (counted[:, of_rows] == 1).all()
    others = counted[:, ~of_rows]
    # One in each stratum, or the same one in two.
    assert set((others > 0).sum(axis=1)) <= {4, 5}
    assert_allclose(others.sum(axis=1), np.count_nonzero(~of_rows), rtol=1e-5)
    error = others.std(axis=0) / math.sqrt(len(others))
    assert (error > 0).all()
    assert (np.abs(others.mean(axis=0) - 1) < 5 * error).all()


def test_no_more_others_than_are_to_be_drawn_count_once_each(batch_of):
    assert_array_equal(counts_of(narrowed(batch_of, seed=0, n=N_ITEMS - 2)), 1)


def test_a_draw_depends_on_the_update_only_and_changes_with_it(batch_of):
    from recsys_lib.models.networks.variational import DenoisingNetwork

    network = DenoisingNetwork(MultDAE(outputs=5), BIAS)
    parts = [
        network.narrow(batch_of(X[:2], gather=True), update).part for update in (1.0, 1.0, 2.0)
    ]
    first, again, later = (np.asarray(part.items).tolist() for part in parts)
    assert first == again
    assert first != later


@pytest.mark.parametrize("likelihood", ["multinomial", "logistic", "gaussian"])
def test_the_likelihood_of_a_row_over_a_sample_is_that_over_all_items_on_average(
    batch_of, likelihood
):
    from recsys_lib.models.networks.parts import Decoder, reconstruction
    from recsys_lib.training import ops

    rng = np.random.default_rng(2)
    decoder = Decoder(SimpleNamespace(latent_dim=3, seed=0), (), BIAS, by_item=True)
    code = ops.convert_to_tensor(rng.normal(size=(2, 3)).astype(np.float32))

    def loss(batch, logits):
        found = reconstruction(batch, logits, ops.ones_like(batch.used), "all", likelihood)
        if likelihood != "multinomial":
            return float(found)
        # Its logarithm is not right on average; the sum in it is.
        return np.exp(np.asarray(ops.logsumexp(batch.counted(logits), axis=1)))

    whole = batch_of(X[:2])
    expected = loss(whole, decoder(code))
    batches = [narrowed(batch_of, seed) for seed in range(60)]
    found = np.array([loss(batch, decoder(code, batch)) for batch in batches])
    error = found.std(axis=0) / math.sqrt(len(found))
    assert (error > 1e-4).all()
    assert (np.abs(found.mean(axis=0) - expected) < 5 * error).all()
    own = np.asarray(batches[0].pick(decoder(code, batches[0])))
    assert_allclose(own, np.asarray(whole.pick(decoder(code))), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("some_shown", [False, True])
def test_in_chunks_sums_and_gradients_are_those_of_dense_logits(
    batch_of, gradient_of, monkeypatch, some_shown
):
    from recsys_lib.models.networks import outputs
    from recsys_lib.training import ops

    monkeypatch.setattr(outputs, "CHUNK_CELLS", 9 * len(X))  # the last chunk is not full
    rng, batch = np.random.default_rng(0), batch_of(X)
    weights = [rng.normal(size=size).astype(np.float32) for size in ((7, 3), (3, N_ITEMS), N_ITEMS)]
    shown = np.zeros(len(np.asarray(batch.used)), dtype=np.float32)
    shown[: np.count_nonzero(X) : 3] = some_shown
    factors, values = rng.random(7).astype(np.float32), np.asarray(batch.values) * (1 - shown)

    def in_chunks(code, kernel, bias):
        own, total = outputs.in_chunks(batch, code, kernel, bias, ops.convert_to_tensor(shown))
        return ops.sum(total * factors) - ops.sum(own * values)

    def dense(code, kernel, bias):
        logits = ops.matmul(code, kernel) + bias - 1e9 * batch.dense(ops.convert_to_tensor(shown))
        total = ops.logsumexp(logits, axis=1)
        return ops.sum(total * factors) - ops.sum(batch.pick(logits) * values)

    def found(loss):
        yield float(loss(*(ops.convert_to_tensor(part) for part in weights)))
        for i in range(3):
            one = lambda v, i=i: loss(*weights[:i], v, *weights[i + 1 :])  # noqa: E731
            yield gradient_of(one, weights[i])

    for got, wanted in zip(found(in_chunks), found(dense), strict=True):
        assert np.abs(wanted).max() > 0.1
        assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("targets", ["all", "hidden"])
def test_a_fit_whose_logits_are_too_many_for_memory_is_that_of_dense_ones(monkeypatch, targets):
    from recsys_lib.models.networks import outputs

    calls, real = [], outputs.in_chunks
    monkeypatch.setattr(outputs, "in_chunks", lambda *given: calls.append(1) or real(*given))

    def losses():
        model = MultDAE(latent_dim=3, epochs=3, batch_size=4, targets=targets)
        return model.fit(sparse.csr_array(X)).history_["reconstruction"]

    dense = losses()
    assert not calls
    monkeypatch.setattr(outputs, "DENSE_CELLS", 4 * N_ITEMS - 1)
    monkeypatch.setattr(outputs, "CHUNK_CELLS", 4 * 9)
    assert_allclose(losses(), dense, rtol=1e-6)
    assert calls


@pytest.mark.parametrize("kind", [ELSA, MultDAE, MultVAE, RecVAE])
def test_so_many_outputs_as_items_are_all_outputs_and_fewer_are_not(kind):
    x = sparse.csr_array(np.tile(X[:2], (10, 1)))
    small = {"latent_dim": 3, "epochs": 2, "batch_size": 8}
    small |= {MultVAE: {"hidden_dims": (8,)}, RecVAE: {"hidden_dim": 8}}.get(kind, {})
    losses = {
        n: kind(**small, outputs=n).fit(x).history_.iloc[:, 1].to_numpy()
        for n in ("all", N_ITEMS, 12)
    }
    assert_array_equal(losses["all"], losses[N_ITEMS])
    assert_allclose(losses[12][0], losses["all"][0], rtol=0.1)
    assert (losses[12] != losses["all"]).all()


def test_adam_by_rows_is_adam_also_of_rows_that_a_step_does_not_touch():
    from recsys_lib.training import Batch, keras
    from recsys_lib.training.row_adam import RowAdam
    from recsys_lib.training.rows import Touched

    rng = np.random.default_rng(0)
    start = rng.normal(size=(5, 2)).astype(np.float32)
    table, dense = keras.Variable(start.copy()), keras.Variable(start.copy())
    by_row, adam = (RowAdam([table], keras.optimizers.Adam(0.1)), keras.optimizers.Adam(0.1))
    # So late that the bias correction hardly changes from one update to the next.
    by_row.variables[0].assign(3000)
    by_row.variables[1].assign(np.full(5, 3000))
    adam.build([dense])
    adam.iterations.assign(3000)
    for step in range(40):
        items = np.sort(rng.choice(4, 1 + step % 2, replace=False)).astype(np.int32)
        gradient = rng.normal(size=(len(items), 2)).astype(np.float32)
        touched = Touched(items, np.ones(len(items), dtype=np.float32))
        batch = Batch(*[None] * 6, n_rows=1, n_items=2, touched=touched)
        rows = by_row.take(batch)
        assert_allclose(rows[id(table)], np.array(dense.value)[items], rtol=1e-3, atol=1e-3)
        by_row.apply(batch, rows, {id(table): gradient})
        everywhere = np.zeros((5, 2), dtype=np.float32)
        everywhere[items] = gradient
        adam.apply([everywhere], [dense])
    # Rows that stay as they are between their turns would be off by more than the rate.
    assert np.abs(np.array(table.value) - np.array(dense.value)).max() > 0.1
    by_row.settle()
    assert_allclose(np.array(table.value), np.array(dense.value), rtol=1e-3, atol=1e-3)
    assert_array_equal(np.array(table.value)[4], start[4])
    assert np.abs(np.array(table.value)[:4] - start[:4]).min() > 0.1


def test_the_moments_of_rows_that_are_drawn_now_and_then_are_those_of_dense_adam_on_average():
    from recsys_lib.training import Batch, keras
    from recsys_lib.training.row_adam import RowAdam
    from recsys_lib.training.rows import Touched

    n, chance, rng = 4000, np.float32(0.2), np.random.default_rng(0)
    table = keras.Variable(np.zeros((n, 1), dtype=np.float32))
    adam = RowAdam([table], keras.optimizers.Adam(1e-6, beta_1=0.8, beta_2=0.8))
    everywhere = np.arange(n, dtype=np.int32)
    for _ in range(30):
        items = everywhere[rng.random(n) < chance]
        weights = np.full(len(items), 1 / chance, dtype=np.float32)
        batch = Batch(*[None] * 6, n_rows=1, n_items=n, touched=Touched(items, weights))
        adam.apply(batch, adam.take(batch), {id(table): 3 * weights[:, None]})
    adam.settle()
    first, second = (np.asarray(one.value).mean() for one in adam.variables[2:])
    assert first == pytest.approx(3, rel=0.05)
    assert second == pytest.approx(9, rel=0.05)  # 45 without the correction


def test_elsa_with_all_outputs_is_the_formula_of_dense_scores(batch_of):
    from recsys_lib.models.networks.linear import LinearNetwork

    network, batch = LinearNetwork(ELSA(latent_dim=3), BIAS), batch_of(X)
    rows = np.random.default_rng(0).normal(size=(N_ITEMS, 3))
    network.layers[0].kernel.assign(rows)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    scores = X @ (unit @ unit.T - np.eye(N_ITEMS))
    directions = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (X, scores)]
    expected = ((directions[0] - directions[1]) ** 2).sum(axis=1).mean()
    assert float(network.loss(batch, 0.0)[0]) == pytest.approx(expected, rel=1e-5)
    assert_allclose(np.asarray(network.score(batch)), scores, atol=1e-5)


def test_the_length_of_elsas_scores_over_a_sample_is_that_over_all_items_on_average(batch_of):
    from recsys_lib.models.networks.linear import LinearNetwork

    network = LinearNetwork(ELSA(latent_dim=3, dropout=0.0, l2=0.0), BIAS)
    network.layers[0].kernel.assign(np.random.default_rng(0).normal(size=(N_ITEMS, 3)))

    def squared_length(batch):
        # But for a factor: the cosine is a product that is exact, over the length.
        return (1 - float(network.loss(batch, 0.0)[0]) / 2) ** -2

    found = [squared_length(narrowed(batch_of, seed, rows=1)) for seed in range(100)]
    error = np.std(found) / math.sqrt(len(found))
    assert error > 1e-4
    assert abs(np.mean(found) - squared_length(batch_of(X[:1]))) < 5 * error


@pytest.mark.parametrize(("outputs", "said"), [("some", "an integer"), (0, ">= 1")])
def test_outputs_that_are_none_are_refused(outputs, said):
    with pytest.raises((TypeError, ValueError), match=f"`outputs` must be {said}"):
        ELSA(outputs=outputs).fit(sparse.csr_array(X))
