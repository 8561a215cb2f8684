"""Splits small enough that a trial takes milliseconds."""

import numpy as np
import pandas as pd
import pytest

from recsys_lib import Dataset, split_ratings
from recsys_lib.dataset import Split
from recsys_lib.splitting import strong_generalization


@pytest.fixture(scope="session")
def ratings() -> Split:
    """80 users, 20 items; items differ, and people by kind."""
    rng = np.random.default_rng(0)
    rows = [
        (user, item, np.clip(5 + item % 4 + 2 * (user % 2 == item % 2) + rng.normal(), 1, 10))
        for user in range(80)
        for item in rng.choice(20, 12, replace=False)
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "value"])
    return split_ratings(Dataset.from_frame(frame, rating_scale=(1, 10)))


@pytest.fixture(scope="session")
def likes() -> Split:
    """150 users who take what lies near them on a circle of 40 items."""
    rng = np.random.default_rng(1)
    rows = []
    for user in range(150):
        near = np.exp(4 * np.cos(2 * np.pi * (np.arange(40) / 40 - rng.random())))
        rows += [(user, i, 1.0) for i in rng.choice(40, 9, replace=False, p=near / near.sum())]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "value"])
    return strong_generalization(Dataset.from_frame(frame), seed=0)
