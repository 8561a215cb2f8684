"""Warnings stand where the reader's own code does."""

import warnings

import pandas as pd
import pytest

from recsys_lib import Dataset, load_dataset
from recsys_lib.errors import warn
from recsys_lib.models import EASE


def test_a_warning_is_of_the_line_that_called_the_library(tmp_path):
    table = tmp_path / "ratings.csv"
    table.write_text("user_id,item_id,rating\nann,a,5\nann,b,\nbob,b,4\nbob,a,3\n")
    with pytest.warns(UserWarning, match="1 of 4 rows dropped") as read:
        ratings = load_dataset(table, mode="lenient")
    with pytest.warns(UserWarning, match="must hold likes") as scored:
        EASE().fit(ratings.likes(4.0).user_items).recommend(ratings.user_items, k=1)
    with pytest.warns(FutureWarning) as own:
        warn("mine", FutureWarning)
    assert {one.filename for one in (*read, *scored, *own)} == {__file__}


def test_what_calls_the_library_within_another_is_the_line():
    table = pd.DataFrame({"user_id": ["ann"], "item_id": ["a"], "value": [1.0]})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pd.Series([0]).map(lambda _: warn(str(Dataset.from_frame(table).n_users)))
    assert [one.filename for one in caught] == [__file__]
