"""What tuning bought is measured on the test, from before to after, with its interval."""

import dataclasses

import pytest

from recsys_lib.dataset import Split
from recsys_lib.evaluation import evaluate
from recsys_lib.models import EASE, BiasedSVD, PureSVD
from recsys_lib.tuning import Range, Space, measure_gains, search, search_all, summarize


def test_a_gain_is_that_of_the_test_and_has_an_interval(likes: Split) -> None:
    models = {"svd": PureSVD(latent_dim=35), "ease": EASE(l2=5000.0)}
    spaces = {"svd": Space.of("PureSVD").replace(latent_dim=Range(1, 38))}
    found = search_all(models, likes, "ndcg@10", trials=6, spaces=spaces)
    table = measure_gains(found, likes, "ndcg@10")
    assert table.index.tolist() == ["svd", "ease"]
    for name, model in models.items():
        given = evaluate(model.fit(likes.train), likes.test, ["ndcg@10"])["ndcg@10"]
        tuned = evaluate(found[name].model, likes.test, ["ndcg@10"])["ndcg@10"]
        row = table.loc[name]
        assert row["as given"] == pytest.approx(given)
        assert row["tuned"] == pytest.approx(tuned)
        assert row["gain"] == pytest.approx(tuned - given)
        assert row["low"] <= row["gain"] <= row["high"]
    assert table.loc["svd", "gain"] > 0.05
    assert table["certain"].tolist() == [True, False]
    summary = summarize(found)
    assert summary[["complete", "pruned", "failed"]].to_numpy().tolist() == [[6, 0, 0], [6, 0, 0]]
    assert (summary["best"] >= summary["as given"]).all()


def test_a_lower_error_is_a_gain_and_a_higher_one_a_loss(ratings: Split) -> None:
    space = Space.of("BiasedSVD").only("l2").replace(l2=Range(0.3, 100.0, log=True))
    model = BiasedSVD(latent_dim=8, l2=0.4)
    found = search(model, ratings, "rmse", trials=5, space=space, rating_scale=(1, 10))
    table = measure_gains({"svd": found}, ratings, "rmse", rating_scale=(1, 10))
    row = table.loc["svd"]
    assert row["gain"] == pytest.approx(row["as given"] - row["tuned"])
    assert row["gain"] > 0
    assert 0 < row["low"] < row["high"]
    # The other way round: what was tuned beside what it came from.
    worse = dataclasses.replace(found, model=model.fit(ratings.train), first=found.settings)
    back = measure_gains({"svd": worse}, ratings, "rmse", rating_scale=(1, 10)).loc["svd"]
    assert back["gain"] == pytest.approx(-row["gain"])
    assert (back["low"], back["high"]) == pytest.approx((-row["high"], -row["low"]), rel=0.1)


def test_nothing_found_is_no_gain(likes: Split) -> None:
    found = search(EASE(l2=20.0), likes, "ndcg@10", trials=1)
    row = measure_gains({"ease": found}, likes, "ndcg@10").loc["ease"]
    assert (row["gain"], row["low"], row["high"]) == (0, 0, 0)
    assert not row["certain"]
