"""What every model in the catalog promises; a new model is tested by being in the catalog."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from recsys_lib import ranking
from recsys_lib.dataset import Fold
from recsys_lib.errors import NotFittedError
from recsys_lib.models import MODELS, base, load, model_class
from recsys_lib.models.base import Recommender, leave_one_out_gains
from recsys_lib.ranking import top_k

# Settings that suit worlds of some dozens of rows; a model without an entry takes its defaults.
NETWORK = {"latent_dim": 4, "batch_size": 10, "learning_rate": 0.01, "epochs": 40}
SMALL: dict[str, dict[str, object]] = {
    "ALS": {"latent_dim": 2, "l2": 0.1},
    "Autoencoder": {"hidden_dims": (16,), "batch_size": 10, "learning_rate": 0.01},
    "BiasedSVD": {"latent_dim": 2, "l2": 1.0},
    "Blend": {
        "members": (
            {"model": "EASE", "config": {"l2": 5.0}},
            {"model": "PureSVD", "config": {"latent_dim": 2}},
        )
    },
    "EASE": {"l2": 5.0},
    "EDLAE": {"l2": 5.0},
    "ELSA": NETWORK,
    "MultDAE": NETWORK | {"latent_dim": 8},
    "MultVAE": NETWORK | {"hidden_dims": (16,)},
    "PureSVD": {"latent_dim": 2},
    "RecVAE": NETWORK | {"hidden_dim": 16, "epochs": 20},
    "SparseEASE": {"l2": 5.0},
    "VASP": NETWORK | {"hidden_dim": 16},
}
# Both views of the models that have two, and networks that see a sample of the items.
VARIANTS: dict[str, dict[str, object]] = {
    "ELSA(outputs)": {"outputs": 8},
    "ItemKNN(explicit)": {"feedback": "explicit"},
    "MultDAE(outputs)": {"outputs": 8},
    "UserKNN(explicit)": {"feedback": "explicit"},
}
# Floors know nothing of the row, so they cannot tell one half of a checkerboard from the other.
FLOORS = {"Bias", "GlobalMean", "Popularity"}
# Their draws depend on the position of an item, so relabeling gives another, equally good fit.
POSITIONAL = {"Autoencoder", "ELSA", "MultDAE", "MultVAE", "RecVAE", "VASP"}

NAMES = [*sorted(MODELS), *VARIANTS]


def make(name: str) -> Recommender:
    plain = name.split("(")[0]
    return model_class(plain)(**{**SMALL.get(plain, {}), **VARIANTS.get(name, {})})


def is_rating(name: str) -> bool:
    return make(name).predicts == "rating"


def checkerboard(*, ratings: bool, n_users: int = 40, n_items: int = 20) -> sparse.csr_array:
    """Even users like even items, odd users odd ones; one cell in seven is withheld."""
    users, items = np.indices((n_users, n_items))
    alike = (users - items) % 2 == 0
    shown = (3 * users + items) % 7 > 0
    dense = np.where(alike, 5, 1) * shown if ratings else alike * shown
    return sparse.csr_array(dense.astype(np.float32))


def scattered(*, ratings: bool, n_users: int = 50, n_items: int = 18) -> sparse.csr_array:
    """Random rows over items of very different popularity; with ratings, a signal of rank one."""
    rng = np.random.default_rng(5)
    shown = rng.random((n_users, n_items)) < np.linspace(0.75, 0.15, n_items)
    shown[:, 3] = True  # the one most popular item
    shown[:, -1] = False  # and one that nobody used
    shown[0, :4] = shown[0, 3]
    taste = np.outer(rng.normal(size=n_users), rng.normal(size=n_items))
    values = np.clip(np.round(3 + taste), 1, 5) if ratings else np.ones((n_users, n_items))
    return sparse.csr_array((values * shown).astype(np.float32))


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def rows(name: str) -> sparse.csr_array:
    return scattered(ratings=is_rating(name))


@pytest.fixture(scope="module")
def fitted(name: str, rows: sparse.csr_array) -> Recommender:
    return make(name).fit(rows)


def same_lists(a: Recommender, b: Recommender, rows: sparse.csr_array) -> None:
    assert_array_equal(a.recommend(rows, k=5).items, b.recommend(rows, k=5).items)


def test_a_setting_left_to_the_data_is_what_suited_to_says(name, rows):
    plain = name.split("(")[0]
    kind = model_class(plain)
    model = kind(**VARIANTS.get(name, {}))
    suited = model.suited_to(rows)
    left = {key for key, value in model.config().items() if value is None}
    changed = {key for key in left if suited.config()[key] is not None}
    assert {key: value for key, value in suited.config().items() if key not in left} == {
        key: value for key, value in model.config().items() if key not in left
    }
    own = {"ALS": {"alpha", "l2"}, "UserKNN": {"n_neighbors"}, "PureSVD": {"latent_dim"}}
    own |= {"SparseEASE": {"l2", "latent_dim"}, "KernelAE": {"l2", "sharpness"}}
    own["ItemKNN"] = {"n_neighbors", "activity_power"}
    assert changed == left & own.get(plain, {"l2"})
    if changed:
        scores = model.fit(rows).score(rows)
        assert_array_equal(scores, suited.fit(rows).score(rows))
    for key in changed:  # and what is given is used
        value = suited.config()[key]
        value = max(1, min(4, value // 10)) if isinstance(value, int) else 10 * value
        other = kind(**model.config() | {key: value}).fit(rows)
        assert np.abs(other.score(rows) - scores).max() > 1e-3


def test_the_withheld_half_of_a_checkerboard_is_recommended(name):
    if name in FLOORS:
        pytest.skip("a floor does not look at the row")
    board = checkerboard(ratings=is_rating(name))
    # The last users are unseen: their rows are folded in.
    top = make(name).fit(board[:30]).recommend(board, k=1).items[:, 0]
    assert_array_equal(top % 2, np.arange(board.shape[0]) % 2)


def test_scores_are_finite_float32_also_for_unseen_and_empty_rows(name, fitted, rows):
    unseen = rows[[0, 1]] * np.float32(1)
    unseen.data[:] = unseen.data[::-1]
    asked = sparse.csr_array(sparse.vstack([unseen, sparse.csr_array((1, rows.shape[1]))]))
    scores = fitted.score(asked)
    assert scores.shape == asked.shape
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


def test_an_empty_row_is_answered_by_popularity(name, fitted, rows):
    if is_rating(name):
        pytest.skip("the declared answer is another: the expected rating")
    counts = np.bincount(rows.indices, minlength=rows.shape[1])
    top = fitted.recommend(sparse.csr_array((1, rows.shape[1])), k=1).items[0, 0]
    assert top == counts.argmax(), "learn `item_shares_` and use `baselines.answer_empty_rows`"


def test_rating_models_answer_in_rating_units(name, fitted, rows):
    if not is_rating(name):
        pytest.skip("scores are an order only")
    error = np.sqrt(np.mean((fitted.score(rows)[rows.nonzero()] - rows.data) ** 2))
    assert error <= rows.data.std() * 1.01


def test_a_second_fit_starts_from_scratch(name, fitted, rows):
    model = make(name).fit(checkerboard(ratings=is_rating(name)))
    same_lists(model.fit(rows), fitted, rows)


def test_the_same_seed_gives_the_same_lists(name, fitted, rows):
    same_lists(make(name).fit(rows), fitted, rows)


def test_a_loaded_model_gives_the_same_lists(name, fitted, rows, tmp_path):
    fitted.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded == fitted
    assert loaded.config() == fitted.config()
    assert_array_equal(loaded.recommend(rows, k=5).items, fitted.recommend(rows, k=5).items)
    assert_array_equal(loaded.recommend(rows, k=5).scores, fitted.recommend(rows, k=5).scores)


def test_items_are_as_alike_as_the_model_has_learned(name, fitted, rows, tmp_path):
    found = fitted.item_similarity([2, 7])
    if name in FLOORS:
        assert found is None
        return
    assert found is not None, "define `_item_vectors` or `_relate`; a floor goes into FLOORS"
    assert found.shape == (2, rows.shape[1])
    assert found.dtype == np.float32
    assert (np.abs(found) <= 1).all()
    assert_array_equal(found[[0, 1], [2, 7]], 1)
    assert_allclose(found[0, 7], found[1, 2], atol=1e-5) if name != "ItemKNN" else None
    fitted.save(tmp_path / "model")
    assert_array_equal(load(tmp_path / "model").item_similarity([2, 7]), found)
    board = checkerboard(ratings=is_rating(name))
    alike = make(name).fit(board).item_similarity(range(board.shape[1]))
    np.fill_diagonal(alike, np.nan)
    same = (np.add.outer(np.arange(20), np.arange(20)) % 2) == 0
    assert np.nanmean(alike[same]) > np.nanmean(alike[~same]) + 0.05


def test_one_row_at_a_time_scores_as_the_batch(name, fitted, rows, monkeypatch):
    alone = np.vstack([fitted.score(rows[[r]]) for r in range(8)])
    assert_allclose(alone, fitted.score(rows[:8]), rtol=1e-4, atol=1e-5)
    whole = fitted.recommend(rows, k=5)
    monkeypatch.setattr(base, "_BATCH", 1)
    single = fitted.recommend(rows, k=5)
    # Lists are compared where scores differ by more than rounding can move them.
    clear = np.abs(np.diff(whole.scores, axis=1)).min(axis=1) > 1e-4
    assert_array_equal(single.items[clear], whole.items[clear])


def test_lists_and_scores_do_not_depend_on_the_block_of_items(name, fitted, rows, monkeypatch):
    scores, whole = fitted.score(rows), fitted.recommend(rows, k=5)
    for items in (slice(3, 9), np.array([17, 0, 4])):
        assert_allclose(fitted.score(rows, items=items), scores[:, items], rtol=1e-5, atol=1e-6)
    assert_array_equal(whole.items, top_k(scores, 5, exclude=rows).items)
    monkeypatch.setattr(ranking, "_TILE", 1)
    monkeypatch.setattr(ranking, "_LEAST_WIDTH", 4)
    assert_array_equal(fitted.recommend(rows, k=5).items, whole.items)


@pytest.mark.filterwarnings("ignore:.user_items. must hold likes")
def test_what_an_entry_adds_is_what_is_lost_without_it(name, fitted, rows):
    items, longest = np.array([17, 0, 7]), rows[[np.diff(rows.indptr).argmax()]]
    single = sparse.csr_array(np.eye(1, rows.shape[1], 5, dtype=np.float32))
    unequal = longest.copy()
    unequal.data = 1 + np.arange(longest.nnz, dtype=np.float32) % 3
    for row in (longest, single, unequal):
        whole = fitted.score(row)[0, items]
        expected = []
        for place in range(row.nnz):
            kept = np.arange(row.nnz) != place
            parts = (row.data[kept], row.indices[kept], [0, row.nnz - 1])
            without = fitted.score(sparse.csr_array(parts, shape=row.shape))
            expected.append(whole - without[0, items])
        found = leave_one_out_gains(fitted, row, items)
        assert_allclose(found, expected, rtol=1e-3, atol=1e-5 * max(np.abs(whole).max(), 1))


def test_relabeled_items_get_relabeled_scores(name, fitted, rows):
    if name.split("(")[0] in POSITIONAL:
        pytest.skip("starts from a draw for each item position")
    order = np.random.default_rng(0).permutation(rows.shape[1])
    moved = sparse.csr_array(rows.toarray()[:, order])
    scores = make(name).fit(moved).score(moved)
    hint = "a model that draws for each item position goes into POSITIONAL"
    assert_allclose(scores, fitted.score(rows)[:, order], rtol=1e-3, atol=1e-3, err_msg=hint)


def test_a_seen_item_is_never_recommended(name, fitted, rows):
    top = fitted.recommend(rows, k=rows.shape[1])
    for row in range(rows.shape[0]):
        listed = top.items[row][top.items[row] >= 0]
        unseen = np.setdiff1d(np.arange(rows.shape[1]), rows[[row]].indices)
        assert_array_equal(np.sort(listed), unseen)
    assert_array_equal(np.isneginf(top.scores), top.items == -1)


def test_the_input_is_not_modified(name, rows):
    parts = [rows.data.copy(), rows.indices.copy(), rows.indptr.copy()]
    fold = Fold(fold_in=rows, targets=rows, users=np.arange(rows.shape[0]))
    make(name).fit(rows, validation=fold).recommend(rows, k=3)
    for now, before in zip([rows.data, rows.indices, rows.indptr], parts, strict=True):
        assert_array_equal(now, before)


def test_another_number_of_columns_is_refused(name, fitted, rows):
    with pytest.raises(ValueError, match="must have the 18 item columns"):
        fitted.score(rows[:, :-1])


def test_scoring_before_fitting_is_refused(name, rows):
    with pytest.raises(NotFittedError, match="must be fitted"):
        make(name).recommend(rows)


def test_a_copy_and_one_for_another_process_score_alike(fitted, rows):
    for other in (copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        assert_array_equal(other.score(rows), fitted.score(rows))


@pytest.mark.parametrize("items", [[-1], [18], 3, [0.5], ["a"], [True] * 18])
def test_what_is_no_position_of_an_item_is_refused(fitted, rows, items):
    for ask in (lambda: fitted.score(rows, items=items), lambda: fitted.item_similarity(items)):
        with pytest.raises(ValueError, match="`items` must be a list of positions from 0 to 17"):
            ask()


def test_a_length_that_no_memory_holds_is_refused_before(fitted, rows):
    with pytest.raises(MemoryError, match="Ask for at most 18, the number of items"):
        fitted.recommend(rows, k=10**12)


@pytest.mark.parametrize("k", [0, -1, 2.5, "3"])
def test_a_length_that_is_none_is_refused_by_name(fitted, rows, k):
    for asked in (rows, rows[:0]):
        with pytest.raises((TypeError, ValueError), match="`k` must be"):
            fitted.recommend(asked, k=k)
