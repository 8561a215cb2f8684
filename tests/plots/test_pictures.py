"""What a figure says to those who cannot see it."""

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from recsys_lib import plots
from recsys_lib.plots.pictures import show_picture


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_rows_are_told_from_the_highest_with_their_numbers():
    table = pd.DataFrame(
        {"value": [0.1, 0.3], "low": [np.nan, 0.2], "high": [np.nan, 0.4], "role": "model"},
        index=["popularity", "EASE"],
    )
    ax = plots.plot_comparison(table, title="Who is best?", xlabel="ndcg@10")
    wanted = "Who is best? ndcg@10, from the highest: EASE (0.3), popularity (0.1)."
    assert plots.describe(ax.figure) == wanted


def test_shares_are_told_in_percent_and_the_middle_of_many_is_left_out():
    table = pd.DataFrame({"alone": np.arange(12) / 100, "shared": 0.0}, index=list("abcdefghijkl"))
    told = plots.describe(plots.plot_wins(table).figure)
    assert "l (11%), k (10%), j (9.0%), i (8.0%), 6 others, b (1.0%), a (0.0%)." in told


def test_curves_are_told_by_their_ends_along_what_they_change_with():
    table = pd.DataFrame(
        {"EASE": [0.1, 0.5, 0.4]}, index=pd.Index([500, 2000, 6000], name="people")
    )
    (ax,) = plots.plot_curves(table, title="How many?", ylabel="share", levels={"floor": 0.1})
    wanted = "How many? share by people (500 to 6,000): EASE from 0.1 to 0.4, highest 0.5."
    assert plots.describe(ax.figure) == wanted


def test_places_are_told_by_the_names_that_stand_there():
    table = pd.DataFrame({"n_history": [0, 1, 10], "model": "ladder", "value": [0.1, 0.2, 0.4]})
    ax = plots.plot_newcomers(table.assign(se=0.01), ladder="ladder")
    assert "that are known (0 to 10): ladder from 0.1 to 0.4." in plots.describe(ax.figure)


def test_nothing_is_told_as_nan_or_as_less_than_nothing():
    groups = pd.Series(["all", "all"], name="group")
    lift = np.array([[np.nan, 2.0], [2.0, np.nan]])
    told = plots.describe(plots.plot_cooccurrence(lift, groups).figure)
    assert told.endswith("Against chance, two items meet 2.00 times as often.")
    told = plots.describe(plots.plot_item_map([[0, 0], [1, 1]], groups).figure)
    assert told.endswith("2 points.")
    shares = pd.DataFrame({"one": [0.5, -1e-9]}, index=[1, 2])
    told = plots.describe(plots.plot_curves(shares, title="t", percent=True)[0].figure)
    assert "from 50% to 0.0%" in told


def test_cells_are_told_by_the_names_of_their_row_and_column():
    table = pd.DataFrame([[1.0, np.nan], [2.5, 3.0]], index=["a", "b"], columns=["x", "y"])
    told = plots.describe(plots.plot_heatmap(table, title="Cells", label="units").figure)
    assert told == "Cells. 2 by 2 cells: highest 3 at b, y; lowest 1 at a, x."


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (lambda ax: ax.bar(["x", "y"], [3.0, 4.0]), "v, from the highest: y (4), x (3)."),
        (
            lambda ax: ax.bar([1.5, 2.5, 9], [3.0, 4.0, 5]),
            "v, from the highest: 3 (5), 2 (4), 1 (3).",
        ),
        (lambda ax: ax.scatter([1, 2], [5, 1000]), "2 points: time 1 to 2, v 5 to 1,000."),
        (
            lambda ax: ax.plot(pd.to_datetime(["2020-01-01", "2020-03-01"]), [1, 2], label="a"),
            "v by time (2020-01-01 to 2020-03-01): a from 1 to 2.",
        ),
        (
            lambda ax: ax.imshow([[1, 2], [3, 4]]),
            "2 by 2 cells: highest 4 at 2, 2; lowest 1 at 1, 1.",
        ),
        (lambda ax: ax.plot([], [], label="a"), ""),
        (lambda ax: None, ""),
    ],
)
def test_figures_of_others_are_read_off_their_axes(draw, told):
    figure, ax = plt.subplots()
    draw(ax)
    ax.set(title="Mine", xlabel="time", ylabel="v")
    assert plots.describe(figure).startswith(f"Mine. {told}".strip())


def test_a_picture_is_shown_with_the_text_of_its_figure(monkeypatch):
    from recsys_lib.plots import pictures

    shown = []
    monkeypatch.setattr(pictures, "_display", lambda *parts: shown.append(parts[-1]))
    show_picture(plots.plot_long_tail([50, 30, 20]))
    assert shown[0].startswith("How long is the tail? 1 of 3 items hold 50% of the interactions;")
    show_picture(plots.plot_long_tail([3, 1]), "two bars")
    assert shown[1] == "two bars"


def test_a_title_with_two_dollar_signs_is_no_formula() -> None:
    table = pd.DataFrame({"title": ["From $5 to $9", "_"], "probability": [0.9, 0.4]})
    ax = plots.plot_recommendations(table, title="What next?")
    ax.set_yscale("symlog")
    formula = ax.set_ylabel(r"$\mathrm{log}$")
    show_picture(ax)
    assert not ax.get_yticklabels()[0].get_parse_math()
    assert formula.get_parse_math()
