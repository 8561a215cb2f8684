"""What the figures of newcomers draw: values, order, words; never pixels."""

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from recsys_lib import plots
from recsys_lib.plots.style import COLORS


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_rungs_are_lines_at_equal_distances_named_in_the_order_of_their_ends() -> None:
    table = pd.DataFrame(
        {
            "n_history": [0, 1, 10] * 3,
            "model": ["popularity"] * 3 + ["ladder"] * 3 + ["oracle"] * 3,
            "value": [0.1, 0.1, 0.1, 0.2, 0.3, 0.4, 0.3, 0.4, 0.6],
            "se": 0.01,
        }
    )
    ax = plots.plot_newcomers(table, ladder="ladder", ceiling="oracle")
    lines = {str(line.get_label()): line for line in ax.lines}
    assert np.asarray(lines["ladder"].get_xdata()).tolist() == [0, 1, 2]
    assert np.asarray(lines["oracle"].get_ydata()).tolist() == [0.3, 0.4, 0.6]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "1", "10"]
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["oracle", "ladder", "popularity"]
    band = ax.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((0.19, 0.41))
    assert lines["oracle"].get_linestyle() == "--"


def test_a_ceiling_of_one_length_is_a_mark_for_a_dash_of_one_point_is_not_seen() -> None:
    table = pd.DataFrame({"n_history": 0, "model": ["ladder", "oracle"], "value": [0.2, 0.3]})
    ax = plots.plot_newcomers(table.assign(se=0.01), ladder="ladder", ceiling="oracle")
    assert {str(line.get_label()): line.get_marker() for line in ax.lines}["oracle"] == "_"


def test_a_line_breaks_where_an_item_was_off_the_list_and_who_stays_is_colored() -> None:
    rows = [(0, 1, "a"), (0, 2, "b"), (1, 1, "c"), (1, 2, "b"), (2, 1, "a"), (2, 2, "d")]
    lists = pd.DataFrame(rows, columns=["step", "rank", "item_id"])
    lists["title"] = "Lab " + lists["item_id"]
    lists.loc[lists["item_id"] == "d", "title"] = "A title that is longer than there is place for"
    ax = plots.plot_list_moves(lists, ["after 0: profile neighbors", "after 1: x", "after 2: y"])
    drawn = {
        (tuple(np.asarray(line.get_xdata())), tuple(np.asarray(line.get_ydata()))): to_hex(
            str(line.get_color())
        )
        for line in ax.lines
    }
    gray, blue = COLORS["gray"], COLORS["blue"]
    assert drawn.pop(((1,), (1,))) not in (gray, blue)  # c passed through
    assert drawn == {
        ((0,), (1,)): gray,
        ((2,), (1,)): gray,
        ((0, 1), (2, 2)): gray,
        ((2,), (2,)): blue,
    }
    shown = [text.get_text() for text in ax.texts]
    assert shown[:3] == ["Lab a", "Lab a", "Lab b"]
    assert shown[-1] == "A title that is longer than there…"
    assert ax.get_xticklabels()[0].get_text() == "after 0:\nprofile\nneighbors"


def test_variety_is_drawn_as_changes_in_percent_with_their_intervals() -> None:
    table = pd.DataFrame(
        {
            "distance_change": [0.0, 0.1],
            "distance_low": [0.0, 0.05],
            "distance_high": [0.0, 0.2],
            "ndcg_change": [0.0, -0.02],
            "ndcg_low": [0.0, -0.03],
            "ndcg_high": [0.0, 0.01],
        },
        index=pd.Index([0.0, 0.3], name="diversity"),
    )
    ax = plots.plot_variety(table)
    lines = {str(line.get_label()): line for line in ax.lines}
    assert np.asarray(lines["distance within a list"].get_ydata()).tolist() == [0, 10]
    assert np.asarray(lines["ndcg"].get_xdata()).tolist() == [0, 0.3]
    ends = [band.get_paths()[0].vertices[:, 1] for band in ax.collections]
    assert [(low.min(), low.max()) for low in ends] == [(0, 20), (-3, 1)]
