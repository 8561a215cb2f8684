"""Settings are chosen on validation, and nothing else is looked at."""

import gc
import subprocess
import sys
import weakref

import pytest

from recsys_lib.dataset import Split
from recsys_lib.models import Bias, ItemKNN
from recsys_lib.models.on_likes import OnLikes
from recsys_lib.tuning import choose
from recsys_lib.tuning.search import sealed


def damped() -> list[Bias]:
    return [Bias(item_damping=damping) for damping in (1e6, 2.0, 50.0)]


def test_the_lowest_error_is_chosen_and_all_trials_are_told(ratings: Split) -> None:
    choice = choose({"biases": damped()}, ratings, "rmse")
    assert choice.models["biases"].item_damping == 2.0
    assert choice.trials["settings"].tolist() == [
        "item_damping=1000000.0",
        "item_damping=2.0",
        "item_damping=50.0",
    ]
    assert choice.trials["chosen"].tolist() == [False, True, False]
    assert choice.trials["rmse"].idxmin() == 1
    assert choice.seconds.keys() == {"biases"}
    assert choice.seconds["biases"] > 0


LOADED = """
import sys
import numpy as np
from scipy import sparse
from recsys_lib import models, tuning
from recsys_lib.dataset import Fold, Split
from recsys_lib.models.on_likes import OnLikes

kind = getattr(models, sys.argv[1])
plain, loaded = kind.fit, []

def fit(self, *args, **kwargs):
    loaded.append({"sklearn.preprocessing", "keras"} & sys.modules.keys())
    return plain(self, *args, **kwargs)

kind.fit = fit
x = sparse.csr_array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0]], dtype="float32")
fold = Fold(fold_in=x, targets=sparse.csr_array(1 - x.toarray()))
split = Split(train=x, train_users=np.arange(3), validation=fold, test=fold)
given = kind(epochs=1) if sys.argv[1] == "MultDAE" else kind()
tuning.choose({"one": [OnLikes(model=given, min_value=1.0)]}, split, "ndcg@1", min_value=1.0)
print(*sorted(loaded[0]))
"""


@pytest.mark.parametrize(("name", "count"), [("ItemKNN", 1), ("MultDAE", 2)])
def test_what_is_loaded_once_is_no_part_of_the_seconds_of_a_fit(name: str, count: int) -> None:
    command = [sys.executable, "-c", LOADED, name]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == count


def test_the_highest_value_is_chosen_where_higher_is_better(ratings: Split) -> None:
    rankers = [OnLikes(model=ItemKNN(n_neighbors=n), min_value=7.0) for n in (1, 15)]
    choice = choose({"knn": rankers}, ratings, "ndcg@5", min_value=7.0)
    assert choice.trials.set_index("chosen").loc[True, "ndcg@5"] == choice.trials["ndcg@5"].max()
    assert choice.trials["settings"].tolist() == ["n_neighbors=1", "n_neighbors=15"]


def test_candidates_stay_unfitted_and_losers_leave_their_memory(
    ratings: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[weakref.ref[Bias]] = []
    fit = Bias.fit

    def watched(self: Bias, *args: object, **options: object) -> Bias:
        gc.collect()
        # At work: this one, and at most the best before it.
        assert sum(one() is not None for one in fitted) <= 1
        fitted.append(weakref.ref(self))
        return fit(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Bias, "fit", watched)
    candidates = [*damped(), *damped()]
    choice = choose({"biases": candidates}, ratings, "rmse")
    assert len(fitted) == 6
    assert not any(hasattr(one, "n_items_") for one in candidates)
    assert hasattr(choice.models["biases"], "n_items_")


def test_the_test_fold_is_never_looked_at(ratings: Split) -> None:
    choose({"biases": damped()}, sealed(ratings), "rmse")


def test_a_family_without_candidates_is_named(ratings: Split) -> None:
    with pytest.raises(ValueError, match="'svd' has none"):
        choose({"svd": []}, ratings, "rmse")
