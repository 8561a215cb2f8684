"""Every family gets the same number of tries, in units of the data."""

import numpy as np
import pytest
from scipy import sparse

from recsys_lib.models.base import Cost
from recsys_lib.tuning import candidate_families, leave_out_costly

RNG = np.random.default_rng(0)
NETWORKS = {"MultDAE", "MultVAE", "RecVAE", "VASP"}
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


def test_a_wide_catalog_gets_the_sparse_closed_form_as_well() -> None:
    assert "SparseEASE" not in candidate_families(corner(60, 5_000))
    found = candidate_families(corner(60, 5_001), tries=4)
    assert len({repr(one.config()) for one in found["SparseEASE"]}) == 4
    assert "SparseEASE" in leave_out_costly(found, corner(60, 5_001))[0]


def test_more_tries_than_there_are_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="must be at most 4"):
        candidate_families(LIKES, tries=5)


def corner(n_users: int, n_items: int) -> sparse.csr_array:
    """As wide and long as asked for, with a single like in its last corner."""
    return sparse.csr_array(([1.0], ([n_users - 1], [n_items - 1])))


@pytest.mark.parametrize(
    ("shape", "left_out"),
    [
        ((4_000, 250), set()),
        ((6_000, 3_700), set()),  # MovieLens 1M
        ((2_100, 10_300), set()),  # few people: their matrix is the small one
        ((90_000, 30_000), {"EASE", "EDLAE", "KernelAE", "SparseEASE"} | NETWORKS),
    ],
)
def test_what_takes_too_long_is_left_out_and_named(
    shape: tuple[int, int], left_out: set[str]
) -> None:
    likes = corner(*shape)
    sizes = {"epochs": 40, "latent_dim": 64, "hidden_dim": 128}
    kept, reasons = leave_out_costly(candidate_families(likes, **sizes), likes, minutes=1)
    assert reasons.keys() == left_out
    assert all(" minute" in reason and reason.endswith("a fit") for reason in reasons.values())
    assert kept.keys() | left_out == candidate_families(likes).keys()
    patient, _ = leave_out_costly(candidate_families(likes, **sizes), likes, minutes=1e6)
    assert "VASP" in patient


def test_what_takes_too_much_memory_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    likes = corner(12_000, 12_000)
    monkeypatch.setattr("recsys_lib.models.base.available_memory", lambda: 2_000_000_000)
    _, reasons = leave_out_costly(candidate_families(likes), likes, minutes=1e6)
    assert reasons["EASE"] == "about 0.6 GB a model"
    assert "ALS" not in reasons


def test_one_minute_is_one() -> None:
    said = [Cost(minutes * 60 * 3e10, 0).excess(0.1) for minutes in (0.6, 1.2, 2)]
    assert said == ["about 0.6 minutes a fit", "about 1 minute a fit", "about 2 minutes a fit"]
