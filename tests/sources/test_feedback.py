"""Likes by a threshold, and by what each user's ratings mean."""

import pandas as pd
import pytest

from recsys_lib.errors import DataError
from recsys_lib.sources import to_likes

FRAME = pd.DataFrame({"user_id": list("aabbb"), "item_id": list("xyxyz"), "value": [5, 3, 2, 2, 2]})


def test_likes_by_threshold_and_by_the_mean_of_the_user() -> None:
    assert to_likes(FRAME, 3)["item_id"].tolist() == ["x", "y"]
    mean = to_likes(FRAME, "user mean")
    assert (mean["user_id"] + mean["item_id"]).tolist() == ["ax", "bx", "by", "bz"]
    assert set(mean["value"]) == {1.0}
    assert FRAME["value"].tolist() == [5, 3, 2, 2, 2]


def test_no_like_and_no_value_are_refused() -> None:
    with pytest.raises(DataError, match="the highest is 5. Lower `min_value`"):
        to_likes(FRAME, 6)
    with pytest.raises(DataError, match="must have a column 'value'"):
        to_likes(FRAME.drop(columns="value"))
