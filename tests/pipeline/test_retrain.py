"""Which of two bundles answers better is asked on what neither was trained on."""

import re
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest

from recsys_lib import Bundle, Dataset, Popularity, Split, strong_generalization
from recsys_lib.artifacts import BusyError, read_manifest
from recsys_lib.dataset import Fold
from recsys_lib.errors import ConfigError
from recsys_lib.models import EASE
from recsys_lib.models.base import Recommender
from recsys_lib.pipeline import Project
from recsys_lib.pipeline.retrain import is_better, retrain


def dataset_of(seed: int, first: int, n_users: int, items: list[str]) -> Dataset:
    """People of two groups, each with half of the items."""
    users, places = np.indices((n_users, len(items)))
    alike = (users - places) % 2 == 0
    used = np.random.default_rng(seed).random(alike.shape) < alike * 0.6
    frame = pd.DataFrame(
        {"user_id": users[used] + first, "item_id": [items[i] for i in places[used]]}
    )
    return Dataset.from_frame(frame, value=None)


ITEMS = [f"i{number}" for number in range(20)]


def split_of(items: list[str]) -> tuple[Dataset, Split]:
    dataset = dataset_of(1, 1000, 160, items)
    return dataset, strong_generalization(dataset, validation_users=5, test_users=60, seed=0)


def bundle_of(model: Recommender, dataset: Dataset) -> Bundle:
    return Bundle(model=model.fit(dataset.user_items), dataset=dataset, handover=0.0)


def test_the_new_one_loses_only_beyond_luck() -> None:
    old = bundle_of(EASE(l2=5.0), dataset_of(0, 0, 100, ITEMS))
    dataset, parts = split_of(ITEMS[::-1])  # the same items in other places
    bad = Bundle(model=Popularity().fit(parts.train), dataset=dataset, handover=0.0)
    taken, verdict = is_better(old, bad, parts.test, "ndcg@10")
    assert not taken
    assert verdict.startswith("old leads new by")
    # Half of the catalog is new, which only the new one can list.
    dataset, parts = split_of([*ITEMS[10:], *"abcdefghij"])
    good = Bundle(model=EASE(l2=5.0).fit(parts.train), dataset=dataset, handover=0.0)
    taken, verdict = is_better(old, good, parts.test, "ndcg@10")
    assert taken
    assert verdict.startswith("new leads old by")
    # Where nothing tells them apart, the newer one answers.
    alike = bundle_of(EASE(l2=5.0), dataset_of(7, 5000, 75, [*ITEMS[10:], *"abcdefghij"]))
    taken, verdict = is_better(alike, good, parts.test, "ndcg@10")
    assert taken
    assert "is not distinguishable from" in verdict


def test_what_the_old_one_has_seen_decides_nothing() -> None:
    dataset, parts = split_of(ITEMS)
    old, new = (bundle_of(model, dataset) for model in (Popularity(), EASE(l2=5.0)))
    taken, verdict = is_better(old, new, parts.test, "ndcg@10")
    assert not taken
    assert verdict.endswith("have something that the old bundle has not seen; 0 have.")


def test_too_few_people_to_tell_keep_the_old_one() -> None:
    old = bundle_of(EASE(l2=5.0), dataset_of(0, 0, 100, ITEMS))
    dataset, parts = split_of(ITEMS[::-1])
    bad = Bundle(model=Popularity().fit(parts.train), dataset=dataset, handover=0.0)
    for n, said in ((5, "At least 6 held-out people must have .*; 5 have"), (20, "old leads new")):
        some = Fold(
            fold_in=parts.test.fold_in[:n],
            targets=parts.test.targets[:n],
            users=parts.test.users[:n],
        )
        taken, verdict = is_better(old, bad, some, "ndcg@10")
        assert not taken
        assert re.match(said, verdict)


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        ("ndgc@10", "A metric must be one of"),
        ("rmse", "must judge each person's list; got 'rmse'"),
        ("coverage@10", "must judge each person's list; got 'coverage@10'"),
    ],
)
def test_a_metric_that_cannot_decide_is_refused_before_a_notebook_runs(
    tmp_path: Path, metric: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):  # there are no notebooks to run
        retrain(Project(tmp_path), "default", {}, Mock(), metric=metric, timeout=1)


def test_one_retraining_at_a_time_of_its_first_look_to_the_new_bundle(
    project: Project, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("01_fit", 'session.save("bundle", [1])')
    dataset, parts = split_of(ITEMS)
    for run in ("default", "default.next"):
        bundle_of(Popularity(), dataset).save(project.artifacts(run) / "bundle")
    parts.save(project.artifacts("default.next") / "ranking_split")
    how: Any = {"run_steps": lambda *_, **__: Mock(failed=None), "timeout": 1}
    for run in ("default.next", "default"):
        only = rf"'{run}' may be active .*Wait for it to end, or stop it\.$"
        with project.locked(run), pytest.raises(BusyError, match=only):
            retrain(project, "default", {}, **how)

    def judged(*_: Any) -> tuple[bool, str]:
        for run in ("default.next", "default"):  # another one would put its own bundle there
            with pytest.raises(BusyError), project.locked(run):
                pass
        return True, "new leads."

    monkeypatch.setattr("recsys_lib.pipeline.retrain.is_better", judged)
    assert retrain(project, "default", {}, **how).taken
    assert read_manifest(project.artifacts("default") / "bundle", kind="bundle")["retrained"]
