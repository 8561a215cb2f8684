"""Likes of a shop of any size: for what a large catalog costs, not for what can be known of it."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import check_integer
from recsys_lib.seeding import rng_from

_TASTES = 3  # of a person
_PER_TASTE = 250  # items of one taste
_STRAY = 0.1  # share of likes that follow no taste


def make_shop(n_users: int, n_items: int, n_events: int, *, seed: int = 0) -> sparse.csr_array:
    """Draw likes of people with three tastes each, long-tailed in people and in items.

    Parameters
    ----------
    n_users, n_items, n_events : int
        At least 1. Events of one person with one item count once, so there are fewer likes.
    seed : int

    Returns
    -------
    csr_array of shape (n_users, n_items), float32
        A 1 for each like; the order of the items says nothing.

    Notes
    -----
    An event belongs to one of the tastes of its person, of which there is one for each 250 items;
    within a taste, and for one event in ten among all items, popularity falls as 1 / rank. Time and
    memory grow with the events: a second and 50 MB for each million.

    Examples
    --------
    >>> likes = make_shop(100, 1_000, 2_000)
    >>> likes.shape, 1_000 < likes.nnz < 2_000
    ((100, 1000), True)
    """
    for name, value in (("n_users", n_users), ("n_items", n_items), ("n_events", n_events)):
        check_integer(name, value, minimum=1)
    rng = rng_from(seed, "shop")
    activity = rng.lognormal(0, 1, n_users)
    users = rng.choice(n_users, n_events, p=activity / activity.sum()).astype(np.int32)
    n_tastes = max(n_items // _PER_TASTE, 1)
    tastes = rng.integers(n_tastes, size=(n_users, _TASTES), dtype=np.int32)
    taste = tastes[users, rng.integers(_TASTES, size=n_events)]
    items = taste * (n_items // n_tastes) + _ranks(rng, n_items // n_tastes, n_events)
    stray = np.flatnonzero(rng.random(n_events, dtype=np.float32) < _STRAY)
    items[stray] = _ranks(rng, n_items, len(stray))
    names = rng.permutation(n_items).astype(np.int32)
    likes = sparse.csr_array(
        (np.ones(n_events, dtype=np.float32), (users, names[items])), shape=(n_users, n_items)
    )
    likes.data[:] = 1
    return likes


def _ranks(rng: np.random.Generator, n: int, size: int) -> NDArray[np.int32]:
    """Ranks below n, drawn with a probability that falls as 1 / rank."""
    return np.asarray((n + 1) ** rng.random(size), dtype=np.int32) - 1
