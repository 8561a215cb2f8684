"""Lists of a bundle: rules beside none at 20,000 items, and everybody's lists beside implicit."""

import numpy as np
import pandas as pd
from bench_linear import N_USERS, fastest, rows
from scipy import sparse

from recsys_lib import ALS, EASE, Bundle, Dataset
from recsys_lib.models import PureSVD


def bundle_of(model, x, items=None):
    """The bundle of a model on likes, with ids of text."""
    users = pd.Index([f"user {row}" for row in range(x.shape[0])])
    names = pd.Index([f"item {column}" for column in range(x.shape[1])])
    catalog = None if items is None else items.set_axis(names)
    dataset = Dataset(user_items=x, user_ids=users, item_ids=names, items=catalog)
    return Bundle(model=model.fit(x), dataset=dataset, new_items=False)


def test_a_list_under_rules_takes_at_most_twice_the_time_of_one_without():
    n_items = 20_000
    rng = np.random.default_rng(0)
    catalog = pd.DataFrame(
        {
            "track": rng.choice([f"track {number}" for number in range(40)], n_items),
            "level": rng.choice(["basic", "middle", "expert"], n_items),
            "minutes": rng.integers(5, 200, n_items),
            "open": rng.random(n_items) < 0.8,
        }
    )
    bundle = bundle_of(PureSVD(latent_dim=50), rows(3_000, n_items, 40), catalog)
    rules = {
        "where": {"where": {"track": ["track 1", "track 7"], "minutes": {"max": 90}}},
        "open, never 5,000": {"available": "open", "never": bundle.dataset.item_ids[:5_000]},
        "limit_per": {"limit_per": {"track": 1, "level": 4}},
        "limit_per, none left": {"where": {"track": "track 1"}, "limit_per": {"track": 3}},
        "promote": {"promote": ["item 19999", "item 5"]},
        "diversity": {"diversity": 0.3},
        "all": {
            "where": {"minutes": {"max": 90}, "level": {"not": "expert"}},
            "available": "open",
            "limit_per": {"track": 2},
            "promote": ["item 19999"],
            "diversity": 0.3,
        },
    }
    for name, rule in rules.items():
        for k in (10, 100):
            plain, ruled = fastest(
                lambda k=k: bundle.recommend_many(["user 7"], k=k),
                lambda k=k, rule=rule: bundle.recommend_many(["user 7"], k=k, **rule),
                times=15,
            )
            print(
                f"\n{name}, k={k}: {1e3 * ruled:.1f} ms, {ruled / plain:.2f}x without (<= 2)",
                end="",
            )


def test_everybody_is_answered_in_the_time_of_implicit():
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    x = rows()
    ours = ALS(latent_dim=64, epochs=2).fit(x)

    def peer(**settings):
        """Everybody's list by implicit, histories folded in as ours are."""
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(factors=64, iterations=1, **settings)
            model.fit(sparse.csr_matrix(x), show_progress=False)

        def lists():
            with threadpool_limits(1, "blas"):
                users = np.arange(x.shape[0])
                model.recommend(users, sparse.csr_matrix(x), N=10, recalculate_user=True)

        return lists

    # With alpha = 1 a history of ones costs it nothing: that is another, simpler model.
    peers = peer(alpha=ours.alpha_, regularization=ours.l2_), peer(alpha=1.0)
    for model in (EASE(l2=500.0).fit(x), ours):
        bundle = bundle_of(model, x)
        ids = bundle.dataset.user_ids
        lists, bare, same, plain = fastest(
            lambda bundle=bundle, ids=ids: bundle.recommend_many(ids, k=10),
            lambda model=model: model.recommend(x, k=10),
            *peers,
            times=3,
        )
        print(
            f"\ntop 10 for {N_USERS} users, {type(model).__name__}: bundle {lists:.2f} s, "
            f"model {bare:.2f} s; implicit {same:.2f} s with the weights of ours "
            f"({lists / same:.2f}x, {bare / same:.2f}x; <= 1), {plain:.2f} s with all weights 1 "
            f"({lists / plain:.2f}x, {bare / plain:.2f}x)",
            end="",
        )
