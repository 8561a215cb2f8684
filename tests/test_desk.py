"""Ids and histories as people give them."""

from typing import Any

import pandas as pd
import pytest

from recsys_lib.bundle import Bundle
from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError
from recsys_lib.models import EASE
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
        (pd.Series([2, 3]), "must be one of the 5 known; got 0"),
        (pd.Series({2: 9.0}), r"`history\[2\]` must be a finite rating from 2 to 5; got 9.0"),
    ],
)
def test_a_history_that_cannot_be_meant_is_refused(
    bundle: Bundle, history: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        bundle.recommend(history=history)


@pytest.mark.parametrize("typed", ["--12", "-", "12-", "1" * 5_000, "²", None, [1]])
def test_whatever_is_typed_for_an_id_is_found_or_refused(typed: Any) -> None:
    with pytest.raises(DataError, match="must be one of the 2 known"):
        find_id(pd.Index([7, 12]), typed, "user")
    if isinstance(typed, str):
        assert find_id(pd.Index(["a", typed]), typed, "user") == 1
