"""The order that a model's scores and the rates of a rung make together."""

import numpy as np
import pytest
from scipy import sparse

from recsys_lib.coldstart import handover


@pytest.mark.parametrize("shape", [(50,), (3, 50)])
def test_scores_and_rates_are_standardized_over_what_is_left(shape) -> None:
    rng = np.random.default_rng(0)
    scores, rates = rng.normal(5, 2, (3, 50)).astype(np.float32), rng.random(shape)
    used, weights = rng.random((3, 50)) < 0.2, np.array([0.25, 0.5, 1.0])
    given = [scores.copy(), rates.copy()]
    mixed = handover.mix_scores(scores, rates, weights, sparse.csr_array(used.astype(float)))
    for row, weight in enumerate(weights):
        left = ~used[row]
        own, others = scores[row], np.broadcast_to(rates, scores.shape)[row]
        mine = (own - own[left].mean()) / own[left].std()
        theirs = (others - others[left].mean()) / others[left].std()
        np.testing.assert_allclose(mixed[row], weight * mine + (1 - weight) * theirs, atol=1e-5)
    np.testing.assert_array_equal(scores, given[0])
    np.testing.assert_array_equal(rates, given[1])
