"""Batches taken inside a compiled step hold exactly the rows of the matrix."""

import numpy as np
import pytest
from scipy import sparse

from recsys_lib.training import backend
from recsys_lib.training._keras import keras, ops
from recsys_lib.training.passes import Phase
from recsys_lib.training.rows import Rows, bucket, expand
from recsys_lib.training.trainer import Trainer


def matrix() -> sparse.csr_array:
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((7, 5)) < 0.4, rng.integers(1, 6, (7, 5)), 0).astype(np.float32)
    dense[3] = 0  # an empty row in the middle
    return sparse.csr_array(dense)


def batch_of(x: sparse.csr_array, users: list[int], n_slots: int = 32, *, gather: bool = False):
    rows = Rows(x, gather=gather)
    slots = ops.arange(n_slots, dtype="int32")
    at = ops.convert_to_tensor(np.array(users, dtype=np.int32))
    return expand(rows.arrays, at, slots, n_items=rows.n_items, gather=gather)


def test_a_batch_made_dense_is_the_rows_in_order_and_padding_is_empty() -> None:
    x = matrix()
    users = [6, 3, 0, 7, 7]  # 7 rows, so 7 is the padding user
    batch = batch_of(x, users)
    expected = np.vstack([x.toarray(), np.zeros((1, 5))])[users]
    np.testing.assert_array_equal(ops.convert_to_numpy(batch.dense()), expected)
    np.testing.assert_array_equal(ops.convert_to_numpy(batch.present), [1, 1, 1, 0, 0])


def test_a_stored_zero_is_an_observation() -> None:
    x = sparse.csr_array(([0.0, 2.0], ([0, 1], [1, 0])), shape=(2, 3), dtype=np.float32)
    batch = batch_of(x, [0, 1])
    seen = ops.convert_to_numpy(batch.dense(batch.used))
    np.testing.assert_array_equal(seen, [[0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize("high", [1.0, 5.0])
def test_values_that_are_all_1_are_not_looked_up_and_others_are(high: float) -> None:
    x = sparse.csr_array(np.float32([[1, 0, high], [0, 1, 0]]))
    assert ("values" in Rows(x).arrays) == (high != 1)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(batch_of(x, [1, 0]).dense()), x[[1, 0]].toarray()
    )


def test_what_stands_in_no_row_counts_for_nothing() -> None:
    rows, items = np.int32([0, 2, 2, 3]), np.int32([1, 0, 1, 1])
    slots = [ops.convert_to_tensor(one) for one in (rows, items)]
    values = ops.convert_to_tensor(np.float32([1, 2, 3, 4]))  # the last one has no row
    dense = ops.convert_to_numpy(backend.dense(*slots, values, 3, 2))
    np.testing.assert_array_equal(dense, [[0, 1], [0, 0], [2, 3]])
    np.testing.assert_array_equal(backend.row_sum(values, slots[0], 3), [1, 0, 5])


def test_a_batch_that_fills_its_slots_exactly_loses_nothing() -> None:
    x = matrix()
    batch = batch_of(x, list(range(7)), n_slots=x.nnz)
    np.testing.assert_array_equal(ops.convert_to_numpy(batch.dense()), x.toarray())


@pytest.mark.parametrize("gather", [False, True])
def test_project_is_the_product_with_the_kernel_gathered_or_dense(gather: bool) -> None:
    x, users = matrix(), [5, 3, 1, 7]
    kernel = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    batch = batch_of(x, users, gather=gather)
    product = batch.project(ops.convert_to_tensor(kernel))
    expected = np.vstack([x.toarray(), np.zeros((1, 5))])[users] @ kernel
    np.testing.assert_allclose(ops.convert_to_numpy(product), expected, atol=1e-5)


@pytest.mark.parametrize("gather", [False, True])
def test_a_product_has_the_precision_that_was_asked_for(gather: bool) -> None:
    x, users = matrix(), [5, 3, 1, 7]
    kernel = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    batch = batch_of(x, users, gather=gather)
    product = batch.project(ops.convert_to_tensor(kernel), dtype="bfloat16")
    assert product.dtype == "bfloat16"
    expected = np.vstack([x.toarray(), np.zeros((1, 5))])[users] @ kernel
    said = ops.convert_to_numpy(ops.cast(product, "float32"))
    np.testing.assert_allclose(said, expected, rtol=0.02, atol=0.05)


@pytest.mark.skipif(
    backend.NAME != "tensorflow" or len(backend.describe_devices()) > 1,
    reason="TensorFlow on a CPU",
)
def test_where_only_float32_has_sparse_kernels_they_are_used() -> None:
    rows = sparse.random_array((60, 400), density=0.05, rng=np.random.default_rng(0), dtype="f4")
    kernel = np.random.default_rng(1).normal(size=(400, 3)).astype(np.float32)
    batch = batch_of(sparse.csr_array(rows), list(range(60)), n_slots=rows.nnz, gather=True)
    product = batch.project(ops.convert_to_tensor(kernel), dtype="bfloat16")
    exact = ops.cast(batch.project(ops.convert_to_tensor(kernel)), "bfloat16")
    np.testing.assert_array_equal(*(ops.convert_to_numpy(one) for one in (product, exact)))


def test_pick_and_spread_and_row_sum_address_the_right_cells() -> None:
    x, users = matrix(), [2, 4, 3]
    batch = batch_of(x, users)
    scores = np.arange(15, dtype=np.float32).reshape(3, 5)
    picked = ops.convert_to_numpy(batch.pick(ops.convert_to_tensor(scores)) * batch.used)
    expected = np.concatenate([scores[row, x[[user]].indices] for row, user in enumerate(users)])
    np.testing.assert_array_equal(picked[: len(expected)], expected)
    assert not picked[len(expected) :].any()
    lengths = ops.convert_to_numpy(batch.row_sum(batch.used))
    np.testing.assert_array_equal(lengths, np.diff(x.indptr)[users])
    spread = ops.convert_to_numpy(batch.spread(ops.convert_to_tensor([1.0, 2.0, 3.0])) * batch.used)
    np.testing.assert_array_equal(
        spread[: len(expected)], np.repeat([1.0, 2.0, 3.0], lengths.astype(int))
    )


def test_buckets_waste_at_most_an_eighth_and_never_cut() -> None:
    for n in range(1, 5000):
        assert n <= bucket(n) <= max(16, n * 1.125 + 1)


def test_usual_slots_hold_random_batches() -> None:
    rng = np.random.default_rng(0)
    lengths = np.minimum(rng.lognormal(2.5, 0.8, 2000).astype(int) + 1, 200)
    row = np.repeat(np.arange(2000), lengths)
    column = np.concatenate([np.arange(n) for n in lengths])
    x = sparse.csr_array((np.ones(len(row), np.float32), (row, column)), shape=(2000, 200))
    rows = Rows(x)
    usual = rows.usual_slots(64)
    needed = max(rows.slots_for(rng.permutation(2000)[:1984].reshape(31, 64)) for _ in range(20))
    assert needed <= usual <= 2 * needed


def test_training_on_gathered_rows_gives_the_same_bits_each_time() -> None:
    x = sparse.random_array((500, 3400), density=0.02, format="csr", dtype=np.float32, rng=0)
    start = np.random.default_rng(1).normal(size=(3400, 300)).astype(np.float32)

    def trained() -> np.ndarray:
        kernel = keras.Variable(start)

        def loss(batch, update):
            value = ops.sum(ops.square(batch.project(kernel.value)))
            return value, {"value": value}

        phase = Phase(
            loss=loss, terms=("value",), variables=[kernel], optimizer=keras.optimizers.SGD(0.01)
        )
        Trainer([phase], state=[], batch_size=500, seed=0).fit(Rows(x, gather=True), epochs=1)
        return np.asarray(kernel.value)

    once = trained()
    for _ in range(3):
        np.testing.assert_array_equal(trained(), once)
