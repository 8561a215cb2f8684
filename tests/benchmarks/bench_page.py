"""How fast the page of recommendations follows: a change within 0.3 s, with 20,000 items 1 s."""

import time
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from recsys_lib import Autoencoder, Bundle, Dataset
from recsys_lib.bundle.browse import Browse, Page

USED = 60  # items in the history of the person


def bundle(n_users: int, n_items: int) -> Bundle:
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(n_users), USED)
    items = rng.zipf(1.3, len(rows)) % n_items
    matrix = sparse.csr_array((np.ones(len(rows), np.float32), (rows, items)), (n_users, n_items))
    matrix.sum_duplicates()
    matrix.data = rng.integers(1, 11, matrix.nnz).astype(np.float32)
    catalog = pd.DataFrame({"title": [f"Course {i} on subject {i % 700}" for i in range(n_items)]})
    catalog["track"] = rng.choice(["NET", "SEC", "OPS"], n_items)
    catalog["minutes"] = rng.choice([30, 45, 60, 90], n_items)
    dataset = Dataset(
        user_items=matrix,
        user_ids=pd.RangeIndex(n_users),
        item_ids=pd.RangeIndex(n_items),
        items=catalog,
        rating_scale=(1.0, 10.0),
    )
    return Bundle(model=Autoencoder(epochs=1, seed=0).fit(matrix), dataset=dataset)


def change(page: Page, act) -> tuple[float, float, float]:
    """Return the seconds until the cards are shown, until all is, and the seconds of work."""
    fill, seen = page._fill, []

    def timed(**options) -> None:
        fill(**options)
        seen.append(time.perf_counter())

    page._fill = timed
    began, worked = time.perf_counter(), time.process_time()
    act()
    page._fill = fill
    return seen[0] - began, seen[-1] - began, time.process_time() - worked


@pytest.mark.parametrize(("n_users", "n_items", "bar"), [(5_000, 252, 0.3), (20_000, 20_000, 1.0)])
def test_a_change_shows_at_once(n_users: int, n_items: int, bar: float) -> None:
    own = bundle(n_users, n_items)
    own.recommend(0)  # compiles the network
    began, worked = time.perf_counter(), time.process_time()
    page = Page(Browse(own, 7))
    took, work = time.perf_counter() - began, time.process_time() - worked
    print(f"\n{n_items:,} items: page {took:.2f} s, work {work:.2f} s")
    page.places.result()
    ids = own.recommend(7, k=30)["item_id"].tolist()
    cases = {
        "person": (page.people.matches, "value", [17, 5, 11]),
        "filter": (page.where["track"], "value", [("NET",), ("SEC",), ("OPS",)]),
        "variety": (page.diversity, "value", [0.3, 0.6, 0.9]),
    }
    acts = {
        name: [partial(setattr, widget, trait, value) for value in values]
        for name, (widget, trait, values) in cases.items()
    }
    acts["item used"] = [partial(page.controls.rate, ids[-place]) for place in (1, 2, 3)]
    acts["why"] = [page.cards[place].ask.click for place in (0, 1, 2)]
    for name, three in acts.items():
        took = 1000 * np.median([change(page, act) for act in three], axis=0)
        shown, whole, work = (f"{one:5.0f} ms" for one in took)
        print(f"{name:<10} cards {shown}, all {whole}, work {work}; bar {bar} s")
