"""Epochs, phases, counters, best weights, averages and checkpoints, on losses of one variable."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from recsys_lib.training import backend, trainer
from recsys_lib.training._keras import keras, ops
from recsys_lib.training.passes import STEPS_PER_CALL, Measure, Pass, Phase
from recsys_lib.training.rows import Rows
from recsys_lib.training.trainer import Monitor, Trainer

N_USERS = 11


def host(tensor) -> np.ndarray:
    return np.asarray(getattr(tensor, "value", tensor)).copy()


def rows() -> Rows:
    rng = np.random.default_rng(0)
    dense = rng.integers(0, 4, (N_USERS, 6)) * (rng.random((N_USERS, 6)) < 0.6)
    return Rows(sparse.csr_array(dense.astype(np.float32)))


class Line:
    """One weight per item, pulled toward the mean of the stored values by squared error."""

    def __init__(self, start: float = 0.0) -> None:
        self.weights = keras.Variable(np.full(6, start, dtype=np.float32), name="weights")

    def loss(self, batch, update):
        error = ops.square(ops.take(self.weights.value, batch.items) - batch.values) * batch.used
        mean = ops.sum(error) / ops.maximum(ops.sum(batch.used), 1.0)
        return mean, {"error": (ops.sum(error), ops.sum(batch.used)), "update": update}

    def phase(self, **options) -> Phase:
        settings = {"optimizer": keras.optimizers.SGD(0.05), "variables": [self.weights]}
        return Phase(loss=self.loss, terms=("error", "update"), **{**settings, **options})


def trainer_of(line: Line, **options) -> Trainer:
    return Trainer([line.phase()], state=[], **{"batch_size": 4, "seed": 0, **options})


@pytest.mark.parametrize("jit", [False, True])
def test_an_epoch_visits_every_user_once_in_a_new_order(jit: bool) -> None:
    line = Line()
    visits = keras.Variable(np.zeros(N_USERS + 1, np.float32), trainable=False)
    stamps = keras.Variable(np.zeros(N_USERS + 1, np.float32), trainable=False)

    def loss(batch, update):
        at = batch.users[:, None]
        once = ops.scatter(at, ops.ones_like(batch.present), (N_USERS + 1,))
        visits.assign(visits.value + once)
        stamps.assign(ops.where(once > 0, update, stamps.value))
        return line.loss(batch, update)

    phase = Phase(
        loss=loss,
        terms=("error", "update"),
        variables=[line.weights],
        optimizer=keras.optimizers.SGD(0.05),
    )
    trainer = Trainer([phase], state=[visits, stamps], batch_size=4, seed=0, jit=jit)
    orders = []
    for epoch in (1, 2, 3):
        trainer.fit(rows(), epochs=epoch)
        np.testing.assert_array_equal(host(visits)[:N_USERS], epoch)
        orders.append(host(stamps)[:N_USERS] - 3 * (epoch - 1))
        # The batches of this epoch hold 4, 4 and 3 users.
        assert sorted(np.bincount(orders[-1].astype(int))) == [3, 4, 4]
    assert not np.array_equal(orders[0], orders[1])


def test_the_counter_of_updates_goes_on_over_epochs_and_phases() -> None:
    a, b = Line(), Line(1.0)
    phases = [a.phase(name="a", passes=2), b.phase(name="b")]
    trainer = Trainer(phases, state=[], batch_size=4, seed=0)
    history = trainer.fit(rows(), epochs=2)
    assert int(trainer.updates.value) == 2 * 3 * 3
    # 3 steps a pass: in epoch 1 the second pass of `a` makes updates 3 to 5, then `b` 6 to 8. The
    # last batch has 3 of 11 users.
    weights = np.array([4, 4, 3]) / 11
    assert history[0]["a_update"] == pytest.approx(weights @ [3, 4, 5])
    assert history[0]["b_update"] == pytest.approx(weights @ [6, 7, 8])
    assert history[1]["b_update"] == pytest.approx(weights @ [15, 16, 17])


def test_a_phase_moves_its_own_variables_only() -> None:
    a, b = Line(), Line(1.0)
    before, frozen = host(a.weights), host(b.weights)
    phases = [a.phase(name="a"), b.phase(name="b", optimizer=keras.optimizers.SGD(0.0))]
    Trainer(phases, state=[], batch_size=4, seed=0).fit(rows(), epochs=2)
    np.testing.assert_array_equal(host(b.weights), frozen)
    assert not np.array_equal(host(a.weights), before)


def adam(gradients: list[np.ndarray], rate: float) -> np.ndarray:
    """Adam in numpy (Kingma and Ba 2015, algorithm 1, with epsilon as in its section 2)."""
    x = m = v = np.zeros_like(gradients[0])
    for t, gradient in enumerate(gradients, start=1):
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        x = x - rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-7)
    return x


@pytest.mark.parametrize(("precision", "compiled"), [("float32", True), ("mixed_bfloat16", False)])
def test_a_long_fit_is_compiled_by_xla_but_in_half_precision_on_a_cpu(
    precision: str, compiled: bool, monkeypatch
) -> None:
    asked: list[bool] = []

    def seen(*arguments, jit: bool, **options):
        asked.append(jit)
        return Pass(*arguments, jit=False, **options)

    monkeypatch.setattr(trainer, "Pass", seen)
    monkeypatch.setattr(trainer, "JIT_STEPS", 1)
    monkeypatch.setattr(backend, "describe_devices", lambda: ["CPU"])
    try:
        keras.config.set_dtype_policy(precision)
        trainer_of(Line()).fit(rows(), epochs=1)
    finally:
        keras.config.set_dtype_policy("float32")
    assert asked == [compiled]


@pytest.mark.parametrize("jit", [False, True])
def test_adam_steps_are_those_in_numpy(jit: bool) -> None:
    slopes = np.array([1.0, -0.5, 1e-4, 0.0], dtype=np.float32)
    weights = keras.Variable(np.zeros(4, np.float32))

    def loss(batch, update):
        del batch
        value = ops.sum(weights.value * ops.convert_to_tensor(slopes) * (update + 1.0))
        return value, {"value": value}

    phase = Phase(
        loss=loss, terms=("value",), variables=[weights], optimizer=keras.optimizers.Adam(0.01)
    )
    Trainer([phase], state=[], batch_size=N_USERS, seed=0, jit=jit).fit(rows(), epochs=3)
    expected = adam([slopes.astype(float) * t for t in (1, 2, 3)], 0.01)
    np.testing.assert_allclose(host(weights), expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ["rmsprop", "sgd", "nadam", "adam"])
def test_any_keras_optimizer_moves_as_it_does_by_itself(name: str) -> None:
    line, alone = Line(), keras.Variable(np.zeros(6, np.float32))
    config = {"class_name": name, "config": {"learning_rate": 0.01}}
    ours, theirs = keras.optimizers.get(config), keras.optimizers.get(config)
    trainer = Trainer([line.phase(optimizer=ours)], state=[], batch_size=N_USERS, seed=0)
    trainer.fit(rows(), epochs=3)
    x = rows().arrays
    items, values = host(x["items"]), host(x["values"])
    for _ in range(3):
        slopes = np.zeros(6, np.float32)
        np.add.at(slopes, items, 2 * (host(alone)[items] - values) / len(values))
        theirs.apply([ops.convert_to_tensor(slopes)], [alone])
    np.testing.assert_allclose(host(line.weights), host(alone), rtol=1e-5, atol=1e-7)


def test_the_same_seed_trains_the_same_and_another_seed_does_not() -> None:
    ends = []
    for seed in (0, 0, 1):
        line = Line()
        trainer_of(line, seed=seed).fit(rows(), epochs=3)
        ends.append(host(line.weights))
    np.testing.assert_array_equal(ends[0], ends[1])
    assert not np.array_equal(ends[0], ends[2])


def test_the_best_weights_are_kept_and_training_stops_after_patience() -> None:
    line, seen = Line(), []
    values = iter([3.0, 1.0, 2.0, 1.5, 0.0])

    def measure():
        seen.append(host(line.weights))
        return {"metric": next(values)}

    trainer = trainer_of(line)
    monitor = Monitor(measure=measure, watch="metric", goal="min", patience=2)
    history = trainer.fit(rows(), epochs=5, monitor=monitor)
    assert [record["epoch"] for record in history] == [1, 2, 3, 4]
    assert trainer.best_epoch == 2
    np.testing.assert_array_equal(host(line.weights), seen[1])


def test_a_goal_of_max_keeps_the_highest() -> None:
    values = iter([1.0, 3.0, 2.0])
    trainer = trainer_of(Line())
    monitor = Monitor(measure=lambda: {"metric": next(values)}, watch="metric", goal="max")
    trainer.fit(rows(), epochs=3, monitor=monitor)
    assert trainer.best_epoch == 2


def test_the_average_is_measured_and_kept_while_training_goes_on_from_the_weights() -> None:
    plain, averaged = Line(), Line()
    path, seen = [], []
    trainer_of(plain).fit(rows(), epochs=4, on_epoch=lambda _: path.append(host(plain.weights)))
    trainer = trainer_of(averaged, average=0.5)
    monitor = Monitor(measure=lambda: seen.append(host(averaged.weights)) or {})
    trainer.fit(rows(), epochs=4, monitor=monitor)
    expected = path[0]
    for weights, measured in zip(path[1:], seen[1:], strict=True):
        expected = 0.5 * expected + 0.5 * weights
        np.testing.assert_allclose(measured, expected, rtol=1e-6)
    np.testing.assert_allclose(host(averaged.weights), expected, rtol=1e-6)


def test_training_goes_on_from_a_checkpoint_as_if_it_had_not_stopped() -> None:
    def start():
        line = Line()
        phase = line.phase(optimizer=keras.optimizers.Adam(0.05))
        trainer = Trainer([phase], state=[], batch_size=4, seed=0, average=0.8)
        return line, trainer

    def monitor_of(line):
        return Monitor(
            measure=lambda: {"metric": float(np.sum(host(line.weights)))}, watch="metric"
        )

    whole, trainer = start()
    trainer.fit(rows(), epochs=6, monitor=monitor_of(whole))
    kept = []
    first, trainer = start()
    trainer.fit(
        rows(),
        epochs=3,
        monitor=monitor_of(first),
        on_epoch=lambda _: kept.append(trainer.checkpoint()),
    )
    second, trainer = start()
    trainer.restore(kept[-1])
    assert trainer.epoch == 3
    trainer.fit(rows(), epochs=6, monitor=monitor_of(second))
    np.testing.assert_allclose(host(second.weights), host(whole.weights), rtol=1e-6)


def test_a_pass_walks_in_chunks_and_pads_the_last_step(monkeypatch) -> None:
    def count(batch):
        return {"users": (ops.sum(batch.present), 1.0), "entries": (ops.sum(batch.used), 1.0)}

    whole = Measure(count, ["users", "entries"], rows(), batch_size=2)
    monkeypatch.setattr("recsys_lib.training.passes.STEPS_PER_CALL", 2)
    chunked = Measure(count, ["users", "entries"], rows(), batch_size=2)
    # 6 steps with weight 1 each, so the mean times 6 is the sum.
    assert whole.run()["users"] * 6 == pytest.approx(N_USERS)
    assert chunked.run()["users"] * 6 == pytest.approx(N_USERS)
    assert chunked.run()["entries"] == pytest.approx(whole.run()["entries"])


def test_into_how_many_calls_steps_are_divided_changes_no_bit(monkeypatch) -> None:
    """Calls are kept short by the clock, so that Ctrl-C is heard; results do not depend on it."""

    def fit(seconds: float):
        monkeypatch.setattr("recsys_lib.training.passes.CALL_S", seconds)
        line = Line()
        trainer = trainer_of(line, batch_size=1)
        history = pd.DataFrame(trainer.fit(rows(), epochs=3)).drop(columns="seconds")
        return host(line.weights), history.to_numpy(), trainer._passes[0]._pace

    one_by_one, all_at_once = fit(0.0), fit(1e9)
    assert (one_by_one[2], all_at_once[2]) == (1, STEPS_PER_CALL)
    np.testing.assert_array_equal(one_by_one[0], all_at_once[0])
    np.testing.assert_array_equal(one_by_one[1], all_at_once[1])


def test_a_batch_that_exceeds_the_usual_slots_is_still_whole() -> None:
    dense = np.zeros((40, 30), np.float32)
    dense[:, 0] = 1
    dense[:3] = 1  # three full rows, which chance hardly ever puts together
    many = Rows(sparse.csr_array(dense))
    phase = Phase(
        loss=lambda batch, _: (0.0, {"entries": (ops.sum(batch.used), 1.0)}), terms=("entries",)
    )
    walk = Pass(phase, many, batch_size=3)
    assert walk.run(np.array([5, 6, 7]))["entries"] == 3
    assert walk.run(np.array([0, 1, 2]))["entries"] == 90
