"""The outputs of a step: a sample that is right on average, chunks that are exact, Adam by rows."""

import math
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from recsys_lib.models import ELSA, MultDAE, MultVAE, RecVAE

N_ITEMS = 40
X = (np.random.default_rng(1).random((7, N_ITEMS)) < 0.2).astype(np.float32)
BIAS = np.log(np.linspace(0.5, 0.01, N_ITEMS)).astype(np.float32)


def drawn(n: int, updates: int):
    """The items of many updates, and their weights; 0 for one that does not count."""
    from recsys_lib.models.networks.outputs import OutputSample
    from recsys_lib.training import backend, ops

    sample = OutputSample(BIAS, n, seed=3)

    def draw(update):
        items, log_weights = sample(update)
        return ops.stack([ops.cast(items, "float32"), ops.exp(log_weights)])

    run = backend.compile_function(draw)
    draws = np.array([run(np.float32(update)) for update in range(updates)])
    return draws[:, 0].astype(int), draws[:, 1]


def test_a_weighted_sum_over_drawn_items_is_that_over_all_items_on_average():
    items, weights = drawn(12, 1000)
    values = np.random.default_rng(0).normal(size=N_ITEMS)
    sums = (weights * values[items]).sum(axis=1)
    assert abs(sums.mean() - values.sum()) < 5 * sums.std() / math.sqrt(len(sums))
    # Uniform draws, or weights without the share of popularity, would be far off for one item.
    counts = np.bincount(items.ravel(), weights.ravel(), N_ITEMS) / len(items)
    assert_allclose(counts, 1, atol=0.7)


def test_an_item_counts_once_in_a_draw_and_the_most_popular_ones_always():
    items, weights = drawn(30, 40)
    for row, weight in zip(items, weights, strict=True):
        assert len(set(row[weight > 0])) == (weight > 0).sum()
    certain = [j for j in range(N_ITEMS) if (items == j).any(axis=1).all()]
    assert 1 <= len(certain) < 30
    assert_array_equal(certain, np.arange(len(certain)))


def test_a_draw_depends_on_the_update_only_and_changes_with_it():
    first, again = drawn(12, 5)[0], drawn(12, 5)[0]
    assert_array_equal(first, again)
    assert all(set(a) != set(b) for a, b in pairwise(first))


def estimate(batch_of, hidden, kernel, bias, shown, seed):
    from recsys_lib.models.networks.outputs import OutputSample, among_sample
    from recsys_lib.training import ops

    batch = batch_of(X, gather=True).narrow(*OutputSample(BIAS, 12, seed=seed)(1.0))
    own, total = among_sample(batch, ops.convert_to_tensor(hidden), kernel, bias, shown)
    return batch, np.asarray(own), np.asarray(total)


@pytest.mark.parametrize("hidden_only", [False, True])
def test_the_sum_of_a_row_over_a_sample_is_that_over_all_items_on_average(batch_of, hidden_only):
    from recsys_lib.training import keras

    rng = np.random.default_rng(2)
    hidden, kernel = (rng.normal(size=(n, 3)).astype(np.float32) for n in (len(X), N_ITEMS))
    table, bias = (keras.Variable(value) for value in (kernel, BIAS))
    logits = hidden @ kernel.T + BIAS
    shown, left = None, np.ones_like(X)
    if hidden_only:
        users, items = np.nonzero(X)
        shown = np.zeros(len(batch_of(X).used), dtype=np.float32)
        shown[: len(users) : 2] = 1
        left[users[::2], items[::2]] = 0
    sums = []
    for seed in range(25):
        batch, own, total = estimate(batch_of, hidden, table, bias, shown, seed)
        sums.append(np.exp(total))
    expected = (left * np.exp(logits)).sum(axis=1)
    error = np.std(sums, axis=0) / math.sqrt(len(sums))
    assert (np.abs(np.mean(sums, axis=0) - expected) < 5 * error + 1e-4).all()
    used = np.asarray(batch.used) > 0
    assert_allclose(own[used], logits[np.nonzero(X)], rtol=1e-4, atol=1e-5)


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
    x = sparse.csr_array(np.tile(X, (3, 1)))
    small = {"latent_dim": 3, "epochs": 2, "batch_size": 8}
    small |= {MultVAE: {"hidden_dims": (8,)}, RecVAE: {"hidden_dim": 8}}.get(kind, {})
    losses = {
        n: kind(**small, outputs=n).fit(x).history_.iloc[:, 1].to_numpy()
        for n in ("all", N_ITEMS, 30)
    }
    assert_array_equal(losses["all"], losses[N_ITEMS])
    assert_allclose(losses[30][0], losses["all"][0], rtol=0.1)
    assert (losses[30] != losses["all"]).all()


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
        batch = Batch(*[None] * 6, n_rows=1, n_items=2, touched=Touched(items, None, None))
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


@pytest.mark.parametrize(("outputs", "said"), [("some", "'all' or how many"), (0, "must be >= 1")])
def test_outputs_that_are_none_are_refused(outputs, said):
    with pytest.raises((TypeError, ValueError), match=f"`outputs` must.*{said}|{said}"):
        ELSA(outputs=outputs).fit(sparse.csr_array(X))
