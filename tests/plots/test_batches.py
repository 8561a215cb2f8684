"""What the figures of a batch draw: a dot a run, luck beside the setting."""

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color

from recsys_lib import plots
from recsys_lib.plots.style import COLORS

RUNS = pd.DataFrame(
    {
        "setting": ["8", "8", "16", "16"],
        "value": [1.0, 1.2, 0.8, 0.9],
        "se": [0.1, 0.1, 0.2, 0.2],
        "seconds": [1.0, 1.1, 2.0, 2.1],
        "memory_mb": [300.0, 310.0, 400.0, 410.0],
    }
)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def dots(ax):
    (line,) = [line for line in ax.lines if line.get_marker() == "o"]
    return pd.Series(line.get_xdata()).groupby(np.asarray(line.get_ydata())).agg(list).to_dict()


def bars(ax):
    """From where to where the interval of each row goes that has one."""
    return [list(part[:, 0]) for part in ax.collections[0].get_segments() if len(part)]


def test_each_setting_shows_its_runs_their_mean_and_how_far_other_users_reach():
    ax = plots.plot_settings(RUNS, xlabel="rmse", order=["16", "8"])
    assert dots(ax) == {0: [0.8, 0.9], 1: [1.0, 1.2]}
    assert ax.collections[0].get_linewidth() == 9
    assert bars(ax)[0] == pytest.approx([0.85 - 0.392, 0.85 + 0.392])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["16", "8"]
    low, high = ax.get_ylim()
    assert low > high, "the first on top"


def test_a_setting_without_errors_has_no_bar():
    ax = plots.plot_settings(RUNS.assign(se=np.nan), xlabel="rmse")
    assert not bars(ax)


def test_differences_that_are_none_are_not_blown_up():
    table = pd.DataFrame({"behind": [3e-8], "low": [-1e-6], "high": [1e-6]}, index=["16"])
    ax = plots.plot_behind(table.assign(distinguishable=False), best="8", xlabel="behind")
    assert ax.get_xlim() == pytest.approx((-0.01, 0.01))
    assert any("the others are alike" in text.get_text() for text in ax.texts)
    assert "there is no difference" in plots.describe(ax.figure)


def test_only_what_can_be_told_from_the_best_is_filled():
    table = pd.DataFrame(
        {
            "behind": [0.1, 0.3],
            "low": [-0.1, 0.2],
            "high": [0.3, 0.4],
            "distinguishable": [False, True],
        },
        index=["16", "32"],
    )
    ax = plots.plot_behind(table, best="8", xlabel="behind")
    hollow, filled = [line for line in ax.lines if line.get_marker() == "o"]
    assert hollow.get_markerfacecolor() == "none"
    assert same_color(filled.get_markerfacecolor(), COLORS["blue"])
    assert any("best: 8" in text.get_text() for text in ax.texts)


def test_time_and_memory_of_each_run_stand_in_the_row_of_its_setting():
    time, memory = plots.plot_resources(RUNS)
    assert list(time.lines[0].get_xdata()) == RUNS["seconds"].tolist()
    assert list(memory.lines[0].get_ydata()) == [0, 0, 1, 1]
    assert time.get_xlim()[0] == memory.get_xlim()[0] == 0
