"""Every family gets the same number of tries, in units of the data."""

import numpy as np
import pytest
from scipy import sparse

from recsys_lib.tuning import candidate_families

RNG = np.random.default_rng(0)
LIKES = sparse.csr_array((RNG.random((60, 12)) < 0.4).astype(np.float32))


@pytest.mark.parametrize("tries", [1, 4])
def test_every_family_has_that_many_different_candidates(tries: int) -> None:
    families = candidate_families(LIKES, tries=tries)
    for candidates in families.values():
        assert len(candidates) == tries
        assert len({type(one) for one in candidates}) == 1
    for name in ("item KNN", "EASE", "EDLAE", "KernelAE", "MultDAE", "RecVAE", "VASP"):
        assert len({repr(one.config()) for one in families[name]}) == tries


def test_penalties_follow_the_users_of_an_average_item_and_codes_fit_the_data() -> None:
    twice = sparse.csr_array(sparse.vstack([LIKES, LIKES]))
    few, many = candidate_families(LIKES, tries=4), candidate_families(twice, tries=4)
    for name in ("EASE", "EDLAE", "ALS"):
        ratio = [b.l2 / a.l2 for a, b in zip(few[name], many[name], strict=True)]
        assert ratio == pytest.approx([2.0] * 4, rel=0.01)
    assert max(one.latent_dim for one in few["SVD"]) == 12


def test_more_tries_than_there_are_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="must be at most 4"):
        candidate_families(LIKES, tries=5)
