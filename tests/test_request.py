"""Ids and histories as people give them."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from recsys_lib.bundle import Bundle
from recsys_lib.coldstart import Ladder
from recsys_lib.dataset import Dataset, Fold
from recsys_lib.errors import DataError, NotFittedError
from recsys_lib.models import EASE, BiasedSVD, Blend, ItemKNN
from recsys_lib.models.on_likes import OnLikes
from recsys_lib.naming import find_id

FRAME = pd.DataFrame(
    {"user_id": [1, 1, 2, 2, 3, 3], "item_id": [1, 2, 3, 4, 5, 1], "value": [5, 4, 5, 4, 3, 2]}
)


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    dataset = Dataset.from_frame(FRAME)
    return Bundle(model=EASE(l2=1.0).fit(dataset.user_items), dataset=dataset)


@pytest.mark.parametrize(
    ("history", "same_as"),
    [
        (pd.Series({2: 5, 3: 4}), {2: 5, 3: 4}),
        (pd.Series({"2": 5.0, "3": 4.0}), {2: 5, 3: 4}),
        (pd.Series(["2", "3"]), [2, 3]),
        (pd.Series([2, 3]), [2, 3]),
        (pd.Series([2, 3], index=[3, 4], name="item_id"), [2, 3]),
        ("2", [2]),
        (pd.Index([2, 3]), [2, 3]),
    ],
)
def test_a_history_is_read_in_every_form(bundle: Bundle, history: Any, same_as: Any) -> None:
    wanted = bundle.recommend(history=same_as)
    pd.testing.assert_frame_equal(bundle.recommend(history=history), wanted)


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ({2: 5, "2": 3}, "must rate each item once; '2' is rated twice"),
        (pd.Series([2, 9]), "must be one of the 5 known; got 0"),
        (pd.Series({9: 5}), "must be one of the 5 known; got 9"),
        (pd.Series({2: 9.0}), r"`history\[2\]` must be a finite rating from 2 to 5; got 9.0"),
    ],
)
def test_a_history_that_cannot_be_meant_is_refused(
    bundle: Bundle, history: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        bundle.recommend(history=history)


@pytest.mark.parametrize("typed", ["--12", "-", "12-", "007", "-0", "1" * 5_000, "²", None, [1]])
def test_whatever_is_typed_for_an_id_is_found_or_refused(typed: Any) -> None:
    with pytest.raises(DataError, match="must be one of the 2 known"):
        find_id(pd.Index([7, 12]), typed, "user")
    if isinstance(typed, str):
        assert find_id(pd.Index(["a", typed]), typed, "user") == 1


QUICK = """
import sys
from recsys_lib import Bundle
for folder in sys.argv[1:]:
    Bundle.load(folder).recommend(1)
heavy = {"tensorflow", "keras", "matplotlib", "optuna", "IPython", "sklearn"} & sys.modules.keys()
assert not heavy, heavy
"""


def test_a_bundle_without_a_network_recommends_without_tensorflow(tmp_path: Path) -> None:
    dataset = Dataset.from_frame(FRAME)
    folders = []
    for model in (EASE(), ItemKNN(feedback="explicit"), BiasedSVD(), Blend(members=(EASE(),))):
        folders.append(tmp_path / type(model).__name__)
        Bundle(model=model.fit(dataset.user_items), dataset=dataset).save(folders[-1])
    done = subprocess.run([sys.executable, "-c", QUICK, *folders], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"like": "4"}, TypeError, "`like` must be a number; got '4'"),
        ({"like": 6}, ValueError, "`like` must .* reaches; got 6, and the highest is 5. Leave it"),
        ({"handover": -1}, ValueError, "`handover` must be >= 0; got -1"),
        ({"model": EASE()}, NotFittedError, "EASE must be fitted before it scores"),
        ({"model": OnLikes(model=EASE(), min_value=4)}, TypeError, "got OnLikes.*inputs='likes'"),
        ({"ladder": {"segment": ["role"]}}, TypeError, "must be a Ladder; got dict. Give its"),
    ],
)
def test_a_bundle_is_put_together_from_the_right_parts(
    bundle: Bundle, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        dataclasses.replace(bundle, **change)


def test_people_may_be_one_or_none_and_a_table_is_asked_for_its_ids(bundle: Bundle) -> None:
    for one in (2, "2"):
        assert bundle.recommend_many(one).equals(bundle.recommend_many([2]))
    assert bundle.recommend_many(None).empty
    for ask in (bundle.recommend_many, lambda table: bundle.recommend(history=table)):
        with pytest.raises(TypeError, match="got a DataFrame. Give its index or one of its col"):
            ask(FRAME)
    with pytest.raises(DataError, match="got 'usr'. Did you mean 'user'"):
        bundle.recommend_many([{"usr": 2}])


def test_a_profile_is_a_mapping_or_a_series_and_a_year_is_no_date(bundle: Bundle) -> None:
    since = pd.to_datetime(["2020-01-01", "2020-01-01", "2021-01-01"])
    users = pd.DataFrame({"role": ["dev", "ops", "dev"], "since": since}, index=[1, 2, 3])
    dataset = Dataset.from_frame(FRAME, users=users)
    known = dataclasses.replace(bundle, dataset=dataset, ladder=Ladder(segment="role"))
    wanted = known.recommend(profile={"role": "dev"})
    pd.testing.assert_frame_equal(known.recommend(profile=pd.Series({"role": "dev"})), wanted)
    with pytest.raises(DataError, match=r"`profile\['since'\]` must be a value that some user"):
        known.recommend(profile={"since": "2020"})
    with pytest.raises(DataError, match="`profile` must be a mapping .* got DataFrame. A row"):
        known.recommend(profile=users[:1])


def test_variety_is_asked_of_a_fold_a_length_and_shares(bundle: Bundle) -> None:
    rows = bundle.dataset.user_items
    fold = Fold(fold_in=rows, targets=sparse.csr_array(rows.shape, dtype=np.float32))
    for asked, message in (
        ({"fold": [fold]}, "`fold` must be a Fold; got list"),
        ({"k": 0}, "`k` must be >= 1; got 0"),
        ({"settings": (0, 2)}, "`diversity` must be a number from 0 to 1; got 2"),
    ):
        with pytest.raises((TypeError, ValueError, DataError), match=message):
            bundle.variety(**{"fold": fold} | asked)


def test_an_accent_may_be_written_in_either_way() -> None:
    frame = pd.DataFrame({"user_id": ["Jose\u0301", "Zo\u00eb"], "item_id": ["x", "y"]})
    ids = Dataset.from_frame(frame, value=None).user_ids
    assert ids[find_id(ids, "Jos\u00e9", "user")] == "Jose\u0301"
    assert ids[find_id(ids, "Zoe\u0308", "user")] == "Zo\u00eb"
    both = pd.Index(["\u00e9", "e\u0301"])  # whoever is meant is found first
    assert [find_id(both, one, "item") for one in both] == [0, 1]
