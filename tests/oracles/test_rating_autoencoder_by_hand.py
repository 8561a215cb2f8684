"""The rating autoencoder against its formula in numpy, on a 3 x 4 matrix and on both backends."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse

from recsys_lib.models import Autoencoder

RATINGS = np.array([[5, 1, 0, 2], [0, 0, 0, 0], [4, 0, 3, 0]], dtype=np.float64)
SHOWN = np.array([[1, 0, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=np.float64)
ITEMS = np.array([0.5, -0.4, 0.1, 0.0])
MEAN, DAMPING, LO, HI, SPREAD, MARGIN, SHOWN_WEIGHT, L2 = 3.2, 5.0, 1.0, 5.0, 1.3, 0.02, 0.2, 0.01

# Weights from numpy, since the backends draw differently; nothing is dropped.
PROGRAM = """
import json, sys
import numpy as np
from scipy import sparse
from recsys_lib.models.networks import rating
from recsys_lib.models.autoencoder import Autoencoder
from recsys_lib.models.networks import parts
from recsys_lib.models.networks.rating import Base, RatingNetwork
from recsys_lib.training._keras import keras
from recsys_lib.training.rows import Rows, expand

facts = json.loads(sys.argv[1])
base = Base(facts["mean"], np.array(facts["items"], np.float32), facts["damping"],
            (facts["lo"], facts["hi"]), facts["spread"], facts["margin"])
found = {"backend": keras.backend.backend()}
for cells in ("observed", "all"):
    for gather in (False, True):
        settings = Autoencoder(hidden_dims=(3, 2), input_dropout=0.5, dropout=0.0, loss_on=cells,
                               shown_weight=facts["shown_weight"], l2=facts["l2"], seed=0)
        network = RatingNetwork(settings, base)
        weights = [weight for layer in network.layers for weight in layer.weights]
        rng = np.random.default_rng(1)
        for weight in weights:
            weight.assign(rng.normal(size=weight.shape).astype(np.float32) / 2)
        rows = Rows(sparse.csr_array(np.array(facts["ratings"], np.float32)), gather=gather)
        slots, users = np.arange(16, dtype=np.int32), np.array([0, 1, 2, 3], np.int32)
        batch = expand(rows.arrays, users, slots, n_items=4, gather=gather)
        # Slots are the stored entries in order; the draw decides what is shown.
        draws = np.zeros(16, np.float32)
        draws[: len(facts["draws"])] = facts["draws"]
        rating.uniform = lambda *_, **__: keras.ops.convert_to_tensor(draws)
        loss, terms = network.loss(batch, 0.0)
        key = f"{cells}, {'gathered' if gather else 'dense'}"
        found[key] = [float(loss), *(float(part) for part in terms["error"])]
        found[key + ", scores"] = np.asarray(network.score(batch))[:3].tolist()
        found[key + ", code"] = np.asarray(network.encode(batch))[:3].tolist()
        found["weights"] = {w.path: np.asarray(w.value).tolist() for w in weights}

from recsys_lib.dataset import Fold

rating.uniform = parts.uniform
rng = np.random.default_rng(2)
shown = (rng.integers(1, 6, (20, 9)) * (rng.random((20, 9)) < 0.5)).astype(np.float32)
asked = np.where((shown == 0) & (rng.random((20, 9)) < 0.3), 3, 0).astype(np.float32)
x = sparse.csr_array(shown)
fold = Fold(fold_in=x, targets=sparse.csr_array(asked), users=np.arange(20))
model = Autoencoder(hidden_dims=(6, 4), batch_size=8, learning_rate=0.01)
trainer = model._begin(x)
for weight in model._weights():
    weight.assign(rng.normal(size=weight.shape).astype(np.float32) / 2)
trainer.fit(model._rows(x), epochs=4, monitor=model._monitor(x, fold))
found["trained"] = [[r["error"], r["reconstruction"], r["validation"]] for r in trainer.history]
print(json.dumps(found))
"""


def ask(backend: str) -> dict[str, object]:
    stored = SHOWN[RATINGS > 0]
    facts = {
        "ratings": RATINGS.tolist(),
        "items": ITEMS.tolist(),
        "draws": np.where(stored, 0.9, 0.1).tolist(),
        "mean": MEAN,
        "damping": DAMPING,
        "lo": LO,
        "hi": HI,
        "spread": SPREAD,
        "margin": MARGIN,
        "shown_weight": SHOWN_WEIGHT,
        "l2": L2,
    }
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", PROGRAM, json.dumps(facts)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, object]]:
    pytest.importorskip("jax")
    return {backend: ask(backend) for backend in ("tensorflow", "jax")}


@pytest.fixture(params=["tensorflow", "jax"])
def answer(request: pytest.FixtureRequest, answers) -> dict[str, object]:
    assert answers[request.param]["backend"] == request.param
    return answers[request.param]


def by_hand(weights: dict[str, list], shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return expected ratings (3, 4) and codes (3, 2), with loops where they help reading."""
    w = {path: np.array(v) for path, v in weights.items()}
    ratings, codes = np.zeros((3, 4)), np.zeros((3, 2))
    for user in range(3):
        seen = [item for item in range(4) if shown[user, item]]
        rest = np.array([RATINGS[user, i] - MEAN - ITEMS[i] if i in seen else 0 for i in range(4)])
        bias = rest.sum() / (len(seen) + DAMPING)
        deviations = np.where(shown[user] > 0, rest - bias, 0) / SPREAD
        shrink = 1 / np.sqrt(1 + len(seen) / 20)
        enter = (
            (deviations * shrink) @ w["deviations_in/kernel"]
            + (shown[user] * shrink) @ w["mask_in/kernel"]
            + w["deviations_in/bias"]
        )
        hidden = np.tanh(enter)
        codes[user] = np.tanh(hidden @ w["hidden_1/kernel"] + w["hidden_1/bias"])
        hidden = np.tanh(codes[user] @ w["hidden_2/kernel"] + w["hidden_2/bias"])
        change = hidden @ w["ratings_out/kernel"] + w["ratings_out/bias"] if seen else 0.0
        start = np.clip((MEAN + bias + ITEMS - LO) / (HI - LO), MARGIN, 1 - MARGIN)
        logits = np.log(start / (1 - start)) + change
        ratings[user] = LO + (HI - LO) / (1 + np.exp(-logits))
    return ratings, codes


def penalty(weights: dict[str, list]) -> float:
    return L2 * sum(np.sum(np.square(v)) for path, v in weights.items() if "kernel" in path)


@pytest.mark.parametrize("way", ["dense", "gathered"])
def test_scores_and_codes_are_those_of_the_formula(answer, way: str) -> None:
    ratings, codes = by_hand(answer["weights"], (RATINGS > 0).astype(float))
    np.testing.assert_allclose(answer[f"observed, {way}, scores"], ratings, atol=1e-5)
    np.testing.assert_allclose(answer[f"observed, {way}, code"], codes, atol=1e-5)


@pytest.mark.parametrize("way", ["dense", "gathered"])
def test_the_loss_on_ratings_weighs_hidden_by_1_and_shown_by_less(answer, way: str) -> None:
    ratings, _ = by_hand(answer["weights"], SHOWN)
    weights = np.where(SHOWN > 0, SHOWN_WEIGHT, 1.0) * (RATINGS > 0)
    error = np.sum(weights * (ratings - RATINGS) ** 2)
    loss = error / weights.sum() / (HI - LO) ** 2 + penalty(answer["weights"])
    assert answer[f"observed, {way}"] == pytest.approx([loss, error, weights.sum()], rel=1e-5)


@pytest.mark.parametrize("way", ["dense", "gathered"])
def test_the_loss_on_all_cells_takes_0_for_what_is_not_stored(answer, way: str) -> None:
    ratings, _ = by_hand(answer["weights"], SHOWN)
    error = np.sum((ratings - RATINGS) ** 2)
    loss = error / RATINGS.size / (HI - LO) ** 2 + penalty(answer["weights"])
    assert answer[f"all, {way}"] == pytest.approx([loss, error, RATINGS.size], rel=1e-5)


def test_both_backends_train_alike_with_what_is_hidden_and_dropped(answers) -> None:
    ours, theirs = (np.array(answers[backend]["trained"]) for backend in ("tensorflow", "jax"))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    assert ours[-1, 0] < ours[0, 0]


def test_what_is_measured_on_targets_leaves_out_what_was_shown() -> None:
    from recsys_lib.models.networks.rating import Base, RatingNetwork
    from recsys_lib.training.passes import Measure
    from recsys_lib.training.rows import Rows

    fold_in, targets = np.zeros((2, 4)), np.zeros((2, 4))
    fold_in[0, 0], fold_in[1, 2], targets[0, 1], targets[1, 3] = 4, 5, 2, 3
    shown, asked = (sparse.csr_array(part.astype(np.float32)) for part in (fold_in, targets))
    for all_cells, cells in ((False, targets > 0), (True, fold_in == 0)):
        base = Base(3.0, np.zeros(4, np.float32), 5.0, (0.0, 5.0), 1.0, 0.02)
        settings = Autoencoder(hidden_dims=(3,), loss_on="all" if all_cells else "observed", l2=0.0)
        network = RatingNetwork(settings, base)
        walk = Measure(
            network.measure, ["error"], Rows(shown), targets=Rows(asked), state=network.state
        )
        batch_scores = Measure(
            lambda batch, net=network: {
                str(cell): net.score(batch)[cell // 4, cell % 4] for cell in range(8)
            },
            [str(cell) for cell in range(8)],
            Rows(shown),
            state=network.state,
        ).run()
        scores = np.array([batch_scores[str(cell)] for cell in range(8)]).reshape(2, 4)
        expected = np.mean((scores - targets)[cells] ** 2)
        assert walk.run()["error"] == pytest.approx(expected, rel=1e-5)
