"""Tables as people read them."""

import numpy as np
import pandas as pd
import pytest

from recsys_lib.formatting import table


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([83189, 16.0], ["83,189", "16"]),
        ([0.5, np.nan], ["0.5", "–"]),
        ([-0.0, 0.25], ["0.00", "0.25"]),
        ([1e-6, 1.0], ["1e-06", "1.000"]),
        ([0.1 + 0.2, 3.0], ["0.3", "3.0"]),
        ([5.0, 12.0], ["5", "12"]),
        ([1.0987595424399415, 178], ["1.099", "178.000"]),
        (["EASE", None], ["EASE", "–"]),
        (["EASE", ""], ["EASE", "–"]),
        ([True, False], ["yes", "no"]),
        ([(128, 64), 0.002], ["128, 64", "0.002"]),
        ([pd.Timestamp("2024-01-31"), pd.NaT], ["2024-01-31", "–"]),
        ([pd.Timestamp("2024-01-31 08:05:59.5", tz="UTC")] * 2, ["2024-01-31 08:05"] * 2),
        (["EASE", 5235.0], ["EASE", "5,235"]),
    ],
)
def test_values_are_shown_with_the_digits_that_matter(values, shown):
    text = repr(table(pd.DataFrame({"x": pd.Series(values, ["a", "b"], dtype=object)})))
    assert [line.split(maxsplit=1)[1].strip() for line in text.splitlines()[1:]] == shown


def test_nobody_counts_with_ids_and_years():
    frame = pd.DataFrame({"item_id": [100209, 7], "year": [1995.0, np.nan], "users": [5235, 12]})
    lines = [line.split() for line in repr(table(frame)).splitlines()]
    assert lines == [["item_id", "year", "users"], ["100209", "1995", "5,235"], ["7", "–", "12"]]


def test_shares_and_outer_labels():
    frame = pd.DataFrame({"gap": [0.7733, -0.0], "rmse": [1.5, 1.25]}, [["a", "a"], ["x", "y"]])
    text = repr(table(frame, digits=2, percent=["gap"]))
    assert [line.split("  ")[0].strip() for line in text.splitlines()[1:]] == ["a · x", "y"]
    assert "77 %" in text
    assert " 0 %" in text


def test_text_is_escaped_aligned_left_and_never_cut():
    meaning = "<b>a very long sentence</b> " * 20
    page = table({"EPOCHS": meaning})._repr_html_()
    assert page.count("a very long sentence") == 20
    assert "<b>" not in page
    assert 'style="text-align: left"' in page


def test_prices_are_no_formulas_for_jupyterlab():
    assert "$5 to $9" not in table({"title": "$5 to $9"})._repr_html_()
    assert "$5 to $9" in repr(table({"title": "$5 to $9"}))


def test_a_table_is_a_frame_and_what_is_made_of_it_is_a_plain_one():
    frame = pd.DataFrame({"x": [0.12345]})
    shown = table(frame)
    pd.testing.assert_frame_equal(pd.DataFrame(shown), frame)
    assert type(shown.head(1)) is pd.DataFrame


def test_a_table_without_rows_says_so():
    assert repr(table(pd.DataFrame({"check": []}))) == "none"
