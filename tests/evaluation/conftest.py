"""Small folds and scorers that the tests of evaluation share."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import sparse

from recsys_lib.dataset import Fold


@dataclass
class Table:
    """Scores by dataset row, whatever is shown: a scorer whose answers are known."""

    scores: np.ndarray
    predicts: str = "rating"

    def score_users(self, users: np.ndarray, fold_in: sparse.csr_array) -> np.ndarray:
        return self.scores[users]


@dataclass
class Same:
    """The same scores for everyone."""

    scores: np.ndarray
    predicts: str = "rank"

    def score(self, user_items: sparse.csr_array) -> np.ndarray:
        return np.tile(np.asarray(self.scores, dtype="float32"), (user_items.shape[0], 1))


def _random_fold(n_rows: int, n_items: int, *, seed: int = 0, density: float = 0.3) -> Fold:
    """Random likes, split at random; some users have no target."""
    rng = np.random.default_rng(seed)
    liked = rng.random((n_rows, n_items)) < density
    hidden = liked & (rng.random((n_rows, n_items)) < 0.3)
    return Fold(
        fold_in=sparse.csr_array((liked & ~hidden).astype("float32")),
        targets=sparse.csr_array(hidden.astype("float32")),
        users=np.arange(n_rows),
    )


@pytest.fixture(scope="session")
def make_fold() -> Callable[..., Fold]:
    return _random_fold


@pytest.fixture(scope="session")
def scorer() -> type[Table]:
    """Make a scorer of a table of scores, one row per user of the dataset."""
    return Table


@pytest.fixture(scope="session")
def same() -> type[Same]:
    """Make a scorer of one row of scores, the same for everyone."""
    return Same


@pytest.fixture
def fold() -> Fold:
    return _random_fold(80, 30)


@pytest.fixture
def noise() -> Table:
    return Table(np.random.default_rng(5).normal(size=(80, 30)).astype("float32"))
