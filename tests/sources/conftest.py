"""Events, a rule, and its definition by loops: shared by the tests of every engine."""

import hashlib
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest

from recsys_lib.sources import Reduction

DAY = 86_400


def make_events(n_events: int = 600, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user": [f"u{n}" for n in rng.zipf(1.6, n_events) % 60],
            "item": rng.zipf(1.4, n_events) % 40,
            "event": rng.choice(["view", "start", "complete", "hover"], n_events),
            "dwell": rng.exponential(100, n_events).round(1),
            "time": pd.to_datetime(1.7e9 + rng.integers(0, 200 * DAY, n_events), unit="s"),
            "day": rng.integers(0, 7, n_events),
        }
    )


RULE = Reduction(
    weights={"view": 1.0, "start": 2.0, "complete": 4.0},
    dwell_cap=120.0,
    half_life=30.0,
    where="day <> 3",
    min_user_items=2,
    min_item_users=2,
    sample=0.7,
    seed=5,
)


def by_loops(events: pd.DataFrame, rule: Reduction) -> dict[tuple[str, int], float]:
    """The definition, event by event and round by round."""
    kept = events[events["day"] != 3]
    limit = round(rule.sample * 16**8)
    digest = kept["user"].map(lambda u: hashlib.md5(f"{rule.seed}:{u}".encode()).hexdigest())
    kept = kept[digest.str[:8].map(lambda text: int(text, 16)) < limit]
    assert rule.weights is not None
    kept = kept[kept["event"].isin(rule.weights)]
    latest = kept["time"].max()
    pairs: dict[tuple[str, int], float] = defaultdict(float)
    for row in kept.itertuples():
        age = (latest - row.time).total_seconds() / DAY
        weight = rule.weights[row.event] * min(row.dwell, 120.0) / 120.0
        pairs[row.user, row.item] += weight * 2 ** (-age / 30.0)
    while True:
        items, users = defaultdict(set), defaultdict(set)
        for user, item in pairs:
            items[user].add(item)
            users[item].add(user)
        rare = [pair for pair in pairs if len(items[pair[0]]) < 2 or len(users[pair[1]]) < 2]
        if not rare:
            return dict(pairs)
        for pair in rare:
            del pairs[pair]


@pytest.fixture(scope="session")
def events() -> pd.DataFrame:
    return make_events()


@pytest.fixture(scope="session")
def rule() -> Reduction:
    return RULE


@pytest.fixture(scope="session")
def wanted(events: pd.DataFrame) -> dict[tuple[str, int], float]:
    """What the rule makes of the events."""
    return by_loops(events, RULE)
