"""Figures of a search: each trial where it belongs, and nothing hidden."""

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from recsys_lib import plots


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def trials() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "trial": range(5),
            "state": ["complete", "pruned", "complete", "failed", "complete"],
            "ndcg@10": [0.2, np.nan, 0.4, np.nan, 0.3],
            "best": [0.2, 0.2, 0.4, 0.4, 0.4],
            "l2": [10.0, 100.0, 1000.0, 20.0, 300.0],
            "widths": [(600,), (), (600, 200), (600,), ()],
        }
    )


def drawn(ax: Axes, label: str) -> np.ndarray:
    line = next(line for line in ax.lines if line.get_label() == label)
    return np.asarray(line.get_xydata(), dtype=float)


def test_each_search_has_its_trials_its_start_its_best_and_what_was_lost() -> None:
    one, two = plots.plot_searches({"EASE": trials(), "KNN": trials().iloc[:1]}, "ndcg@10")
    assert drawn(one, "trial").tolist() == [[0, 0.2], [2, 0.4], [4, 0.3]]
    assert drawn(one, "as given").tolist() == [[0, 0.2]]
    assert drawn(one, "best so far")[:, 1].tolist() == [0.2, 0.2, 0.4, 0.4, 0.4]
    assert drawn(one, "given up early")[:, 0].tolist() == [1]
    assert drawn(one, "failed")[:, 0].tolist() == [3]
    assert [ax.get_title(loc="left") for ax in (one, two)] == ["EASE", "KNN"]
    assert one.get_ylim() == two.get_ylim()
    legend = one.figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == [
        "best so far",
        "trial",
        "as given",
        "given up early",
        "failed",
    ]


def test_bars_of_importance_stand_at_their_settings() -> None:
    shares = {
        "EDLAE": pd.Series({"l2": 0.7, "dropout": 0.2, "power": 0.1}),
        "KNN": pd.Series({"n_neighbors": 1.0}),
    }
    one, two = plots.plot_importance(shares)
    assert [bar.get_width() for bar in one.patches] == pytest.approx([0.7, 0.2, 0.1])
    assert [label.get_text() for label in one.get_yticklabels()] == ["l2", "dropout", "power"]
    assert one.get_ylim() == two.get_ylim() == (2.5, -0.5), "bars of one width, largest on top"


def test_one_trial_has_one_tick_and_no_trial_between_the_whole_numbers() -> None:
    (rate,) = plots.plot_slices(trials().head(1), "ndcg@10", ["l2"], log={"l2"})
    assert list(rate.get_xticks()) == [10]
    (search,) = plots.plot_searches({"EDLAE": trials().head(1)}, "ndcg@10")
    assert not any(search.get_xticks() % 1)


def test_slices_show_numbers_on_their_scale_and_words_as_words() -> None:
    number, word = plots.plot_slices(trials(), "ndcg@10", ["l2", "widths"], log={"l2"})
    assert (number.get_xscale(), word.get_xscale()) == ("log", "linear")
    assert drawn(number, "trial").tolist() == [[10, 0.2], [1000, 0.4], [300, 0.3]]
    assert drawn(number, "best").tolist() == [[1000, 0.4]]
    assert drawn(number, "as given").tolist() == [[10, 0.2]]
    assert drawn(number, "given up early")[:, 0].tolist() == [100]
    kinds = [label.get_text() for label in word.get_xticklabels()]
    assert kinds == ["()", "(600, 200)", "(600,)"]
    places = drawn(word, "trial")[:, 0].astype(int)
    assert [kinds[place] for place in places] == ["(600,)", "(600, 200)", "()"]


def test_where_the_first_trial_failed_no_other_one_is_called_given() -> None:
    table = trials()
    table.loc[0, ["state", "ndcg@10"]] = "failed", np.nan
    (number,) = plots.plot_slices(table.assign(best=0.4), "ndcg@10", ["l2"])
    assert np.isnan(drawn(number, "as given")[:, 1]).all()


def test_gains_are_held_against_nothing_and_against_the_promise() -> None:
    table = pd.DataFrame(
        {
            "as given": [0.2, 0.3],
            "tuned": [0.3, 0.29],
            "gain": [0.1, -0.01],
            "low": [0.05, -0.03],
            "high": [0.15, 0.01],
            "promised": [0.12, 0.02],
            "certain": [True, False],
        },
        index=["SVD", "EASE"],
    )
    ax = plots.plot_gains(table, xlabel="gain")
    points = [line for line in ax.lines if line.get_marker() == "o"]
    assert [line.get_xdata().tolist() for line in points] == [[0.1], [-0.01], [0.12, 0.02]]
    certain, uncertain, _ = (line.get_color() for line in points)
    assert certain != uncertain
    assert "0.200 → 0.300" in [text.get_text() for text in ax.texts]
    doubted = plots.plot_gains(table.assign(certain=False), xlabel="gain")
    first = next(line for line in doubted.lines if line.get_marker() == "o")
    assert first.get_color() == uncertain
