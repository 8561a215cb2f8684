"""A search keeps its budget, begins with what was given, and sees nothing but validation."""

import dataclasses
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from optuna.trial import TrialState, create_trial

from recsys_lib.dataset import Split
from recsys_lib.errors import ConfigError, LeakError
from recsys_lib.evaluation import evaluate
from recsys_lib.models import EASE, EDLAE, Bias, ItemKNN, PureSVD
from recsys_lib.models.neural import NeuralRecommender
from recsys_lib.models.on_likes import OnLikes
from recsys_lib.tuning import Options, Range, Space, search, search_all
from recsys_lib.tuning.search import sealed
from recsys_lib.tuning.studies import counted


@dataclass(kw_only=True)
class Learner(NeuralRecommender):
    """Reports a curve of which `level` is the height; its lists are better for it, too."""

    predicts: ClassVar[Any] = "rank"

    level: float = 0.5
    epochs: int = 20
    pause: float = 0.0

    def _fit(self, x: Any, validation: Any, *, on_epoch: Any = None, **_: Any) -> None:
        self.together_ = (x.T @ x).toarray()
        for epoch in range(1, self.epochs + 1):
            time.sleep(self.pause)
            if on_epoch is not None:
                on_epoch({"epoch": epoch, "ndcg@100": self.level * epoch, "seconds": 0.0})

    def _score(self, x: Any) -> Any:
        known = x @ self.together_
        noise = np.random.default_rng(0).random(known.shape) * known.max()
        return self.level * known + (1 - self.level) * noise


LEVELS = Space("Learner", {"level": Range(0.0, 1.0)})


def test_the_first_trial_is_the_model_as_given_and_the_best_is_never_worse(likes: Split) -> None:
    found = search(EDLAE(l2=30.0, dropout=0.2), likes, "ndcg@10", trials=12)
    assert found.first == {
        "l2": 30.0,
        "dropout": 0.2,
        "activity_power": 0.0,
        "popularity_discount": 0.0,
    }
    assert found.trials.loc[0, list(found.first)].to_dict() == found.first
    assert found.trials["ndcg@10"].max() == found.value >= found.first_value
    assert found.trials["best"].tolist() == found.trials["ndcg@10"].cummax().tolist()
    assert found.trials["state"].eq("complete").all()
    assert found.importance.sum() == pytest.approx(1.0)
    # What is returned is the model that was measured.
    again = evaluate(found.model, likes.validation, ["ndcg@10"])["ndcg@10"]
    assert again == found.value
    assert {name: getattr(found.model, name) for name in found.settings} == found.settings


def test_lower_is_better_for_an_error(ratings: Split) -> None:
    found = search(Bias(item_damping=50.0), ratings, "rmse", trials=6, rating_scale=(1, 10))
    assert found.value == found.trials["rmse"].min() < found.first_value
    assert found.trials["best"].is_monotonic_decreasing


def test_a_model_in_a_wrapper_keeps_it(ratings: Split) -> None:
    model = OnLikes(model=ItemKNN(n_neighbors=5), min_value=7.0)
    found = search(model, ratings, "ndcg@5", trials=4, min_value=7.0)
    assert isinstance(found.model, OnLikes)
    assert found.model.model.n_neighbors == found.settings["n_neighbors"]
    assert found.trials["n_neighbors"].iloc[0] == 5


def test_the_test_is_sealed(likes: Split) -> None:
    closed = sealed(likes)
    for name in ("fold_in", "targets", "users", "n_rows", "take"):
        with pytest.raises(LeakError, match=f"its '{name}' was asked for"):
            getattr(closed.test, name)
    # A search that looked at the test would be stopped by this one.
    assert len(search(EASE(), closed, "ndcg@10", trials=2).trials) == 2


def test_a_search_seals_the_test_itself(likes: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that measured on the test by mistake would fail, not flatter."""

    def measured_on_test(model: Any, fold: Any, *args: Any, **options: Any) -> Any:
        return evaluate(model, seen[0].test, *args, **options)

    seen: list[Split] = []
    original = dataclasses.replace

    def spy(split: Any, **changes: Any) -> Any:
        result = original(split, **changes)
        if isinstance(split, Split):
            seen.append(result)
        return result

    monkeypatch.setattr("dataclasses.replace", spy)
    monkeypatch.setattr("recsys_lib.tuning.studies.evaluate", measured_on_test)
    with pytest.raises(LeakError, match="must not be looked at"):
        search(EASE(), likes, "ndcg@10", trials=2)


def test_who_falls_behind_is_given_up_but_never_the_first(likes: Split) -> None:
    model = Learner(level=0.001)
    found = search(model, likes, "ndcg@10", trials=14, space=LEVELS)
    pruned = found.trials.query("state == 'pruned'")
    assert 0 < len(pruned) < 14
    assert (pruned["epochs_run"] < 20).all()
    assert pruned["ndcg@10"].isna().all()
    finished = found.trials.query("state == 'complete'")
    assert (finished["epochs_run"] == 20).all()
    assert found.trials.loc[0, "state"] == "complete"
    everything = search(model, likes, "ndcg@10", trials=14, space=LEVELS, prune=False)
    assert everything.trials["state"].eq("complete").all()
    assert everything.value == found.value, "pruning must not lose the best here"


def test_an_epoch_error_prunes_the_high_ones(likes: Split) -> None:
    class Erring(Learner):
        def _fit(self, x: Any, validation: Any, *, on_epoch: Any = None, **_: Any) -> None:
            super()._fit(x, validation)
            for epoch in range(1, 21 if on_epoch else 0):
                on_epoch({"epoch": epoch, "validation_rmse": 2.0 - self.level, "seconds": 0.0})

    space = dataclasses.replace(LEVELS, model="Erring")
    found = search(Erring(level=0.4), likes, "ndcg@10", trials=16, space=space)
    states = found.trials.groupby("state")["level"].mean()
    assert states["pruned"] < states["complete"]


def test_seconds_are_a_budget_too(likes: Split) -> None:
    model = Learner(pause=0.01)  # 0.2 s a trial
    began = time.perf_counter()
    found = search(model, likes, "ndcg@10", seconds=0.9, space=LEVELS, prune=False)
    assert 2 <= len(found.trials) <= 6
    assert found.trials["seconds"].iloc[:-1].sum() < 0.9
    assert time.perf_counter() - began < 5.0
    # One that is under way is finished.
    short = search(model, likes, "ndcg@10", seconds=0.01, space=LEVELS)
    assert short.trials["state"].tolist() == ["complete"]


def test_settings_that_cannot_be_fitted_are_trials_that_failed(likes: Split) -> None:
    class Low(Learner):
        def _fit(self, x: Any, validation: Any, **hooks: Any) -> None:
            if self.level > 0.5:
                raise ValueError(f"`level` must be at most 0.5; got {self.level}.")
            super()._fit(x, validation, **hooks)

    space = Space("Low", dict(LEVELS.ranges))
    found = search(Low(level=0.1), likes, "ndcg@10", trials=8, space=space)
    failed = found.trials.query("state == 'failed'")
    assert len(found.trials) == 8
    assert failed["level"].gt(0.5).all()
    assert failed["error"].str.startswith("ValueError: `level` must be at most").all()
    assert len(failed) >= 2
    with pytest.raises(ValueError, match="`level` must be at most"):
        search(Low(level=0.9), likes, "ndcg@10", trials=8, space=space)


def test_an_error_in_the_code_is_no_trial(likes: Split) -> None:
    class Broken(Learner):
        def _score(self, x: Any) -> Any:
            raise TypeError("a bug")

    with pytest.raises(TypeError, match="a bug"):
        search(
            Broken(), likes, "ndcg@10", trials=3, space=dataclasses.replace(LEVELS, model="Broken")
        )


def test_options_come_back_as_they_are(likes: Split) -> None:
    widths = ((), (8,), (16, 4))
    found = search(
        Wide(widths=()),
        likes,
        "ndcg@10",
        trials=9,
        space=Space("Wide", {"widths": Options(widths)}),
    )
    assert set(found.trials["widths"]) == set(widths)
    assert found.settings["widths"] in widths


@dataclass(kw_only=True)
class Wide(Learner):
    widths: tuple[int, ...] = ()

    def _fit(self, x: Any, validation: Any, **options: Any) -> None:
        assert isinstance(self.widths, tuple)
        self.level = 0.1 * len(self.widths)
        super()._fit(x, validation, **options)


def test_equal_seeds_are_equal_searches(likes: Split) -> None:
    tables = [
        search(EDLAE(), likes, "ndcg@10", trials=14, seed=seed).trials.drop(columns="seconds")
        for seed in (0, 0, 1)
    ]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not tables[0]["l2"].equals(tables[2]["l2"])


def test_proposals_learn(likes: Split) -> None:
    """The later half of a search is better than random settings are."""
    found = search(Learner(), likes, "ndcg@10", trials=30, space=LEVELS, prune=False)
    values = found.trials["ndcg@10"]
    assert values.iloc[15:].mean() > values.iloc[1:4].mean()
    assert values.iloc[15:].mean() > values.iloc[:15].mean()


def test_several_models_get_the_same_budget(likes: Split) -> None:
    rows: list[dict[str, Any]] = []
    found = search_all(
        {"ease": EASE, "knn": "ItemKNN"},
        likes,
        "ndcg@10",
        trials=3,
        spaces={"knn": Space.of("ItemKNN").only("n_neighbors")},
        on_trial=rows.append,
    )
    assert [len(one.trials) for one in found.values()] == [3, 3]
    assert list(found["knn"].settings) == ["n_neighbors"]
    assert [row["trial"] for row in rows] == [0, 1, 2] * 2
    with pytest.raises(ValueError, match="must be one of 'ease'; got 'svd'"):
        search_all({"ease": EASE}, likes, "ndcg@10", trials=1, spaces={"svd": Space.of(PureSVD)})


@pytest.mark.parametrize(
    ("options", "said"),
    [({}, "needs a budget"), ({"trials": 0}, "`trials`"), ({"seconds": -1.0}, "`seconds`")],
)
def test_a_budget_is_needed(options: dict[str, Any], said: str, likes: Split) -> None:
    with pytest.raises((ConfigError, ValueError), match=said):
        search(EASE(), likes, "ndcg@10", **options)


def test_a_search_says_nothing(likes: Split, capfd: pytest.CaptureFixture[str]) -> None:
    search(PureSVD(latent_dim=4), likes, "ndcg@10", trials=8)
    assert capfd.readouterr() == ("", "")


def trial(state: TrialState, number: int, settings: float, **attrs: Any) -> Any:
    made = create_trial(
        state=state,
        value=0.5 if state == TrialState.COMPLETE else None,
        params={"l2": settings},
        distributions={"l2": Range(0.0, 1.0).distribution()},
        user_attrs=attrs,
    )
    made.number = number
    return made


def test_what_ended_for_no_fault_of_its_settings_does_not_count() -> None:
    trials = [
        trial(TrialState.COMPLETE, 0, 0.1),
        trial(TrialState.FAIL, 1, 0.2),  # its process died
        trial(TrialState.FAIL, 2, 0.2, seconds=3.0),  # interrupted
        trial(TrialState.FAIL, 3, 0.2),
        trial(TrialState.FAIL, 4, 0.3, error="ValueError: too wide"),
        trial(TrialState.FAIL, 5, 0.2),  # the third time over the same settings
        trial(TrialState.RUNNING, 6, 0.4),
        trial(TrialState.FAIL, 7, 0.2),
    ]
    assert [one.number for one in counted(trials)] == [0, 4, 5, 6]
