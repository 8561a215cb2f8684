"""What the figures draw: values, order, words; never pixels."""

import warnings

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.text import Text
from scipy import sparse, stats

from recsys_lib import plots
from recsys_lib.plots import style
from recsys_lib.plots.data import rating_shares


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def words(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def comparison_table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "value": [0.1, 0.3, 0.5],
            "low": [np.nan, 0.28, 0.49],
            "high": [np.nan, 0.32, 0.51],
            "role": ["floor", "model", "ceiling"],
            "gap": [-1e-9, 0.5, np.nan],
        },
        index=["popularity", "knn", "oracle"],
    )


def test_bars_are_the_shares_of_each_rating_and_rings_those_of_the_rounded_normal() -> None:
    ratings = np.repeat([1, 2, 3, 4], [1, 4, 4, 1])
    ax = plots.plot_ratings(ratings, mean=2.5, sd=0.8, bounds=(0.5, 4.5))
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0.1, 0.4, 0.4, 0.1])
    rings = np.asarray(ax.lines[1].get_ydata(), dtype=float)
    z = stats.truncnorm(-2.5, 2.5, loc=2.5, scale=0.8)
    assert rings == pytest.approx(np.diff(z.cdf([0.5, 1.5, 2.5, 3.5, 4.5])))
    assert rings.sum() == pytest.approx(1)


def test_a_rating_that_nobody_gave_keeps_its_place_with_an_empty_bar() -> None:
    table = rating_shares([0.5, 1.0, 2.0], mean=1, sd=1)
    assert table.index.tolist() == [0.5, 1.0, 1.5, 2.0]
    assert table["count"].tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize(
    "ratings",
    [
        [1, 4, 6],
        [4, 3.5, 10 / 3, 5, 1],
        [-9.93, 0.5, 7.28],
        [0.1, 0.2, 0.7],
        np.append(np.arange(1, 400), 5000),
        [1, 1 + 1e-6, 9],
        [3],
    ],
)
def test_ratings_that_are_no_even_ladder_are_counted_in_bins(ratings):
    table = rating_shares(np.float32(ratings), mean=3, sd=1)
    assert table["count"].sum() == len(ratings)
    assert len(table) <= 100
    assert table["expected"].sum() == pytest.approx(1)
    plots.plot_ratings(np.float32(ratings), mean=3, sd=1)


def test_ratings_in_tenths_keep_their_ladder_in_single_precision():
    table = rating_shares(np.float32([0.1, 0.2, 0.7]), mean=3, sd=1)
    assert table.index.tolist() == pytest.approx(np.arange(1, 8) / 10, abs=1e-5)


def test_the_dots_of_a_rounded_normal_lie_on_the_diagonal() -> None:
    draws = np.round(np.random.default_rng(0).normal(50, 8, 200_000))
    dots = plots.plot_quantiles(draws, mean=50, sd=8).lines[2]
    x, y = np.asarray(dots.get_xdata(), float), np.asarray(dots.get_ydata(), float)
    inside = (y > 35) & (y < 65)
    # A shift by half a rating, the nearest mistake (edges for middles), would be 0.5 everywhere.
    assert np.abs(x - y)[inside].max() < 0.05


def test_a_head_that_would_hide_behind_the_axis_is_drawn_on_logarithmic_ones() -> None:
    counts = (1e5 / np.arange(1, 20_001)).astype(int)
    ax = plots.plot_long_tail(counts)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_xlabel() == "items by popularity (log)"
    assert ax.get_ylim()[1] > 1e5
    assert plots.plot_long_tail(counts[:50]).get_xscale() == "linear"


def test_the_head_is_the_fewest_items_that_reach_its_share() -> None:
    ax = plots.plot_long_tail([10, 25, 20, 25, 20])
    tail, head = ax.patches  # two outlines, however many items there are
    assert tail.get_data().values.tolist() == [25, 25, 20, 20, 10]
    assert head.get_data().values.tolist() == [25, 25]
    assert head.get_data().edges.tolist() == [0.5, 1.5, 2.5]
    assert words(ax) == ["2 of 5 items hold 50% of the interactions"]
    assert head.get_facecolor() != tail.get_facecolor()


def test_activity_counts_everyone_and_says_who_is_silent() -> None:
    ax = plots.plot_activity([0, 0, 1, 5, 5, 40])
    assert sum(bar.get_height() * bar.get_width() for bar in ax.patches) == pytest.approx(4)
    assert "2 have none" in ax.get_title(loc="left")
    assert ax.lines[0].get_xdata()[0] == 5


def test_the_matrix_shows_a_mark_for_each_stored_pair_in_popular_and_active_order() -> None:
    user_items = sparse.csr_array(np.array([[0, 0, 1], [1, 0, 1], [0, 0, 0]], dtype="float32"))
    user_items.data[0] = 0  # a rating
    ax = plots.plot_user_items(user_items)
    marks = {(x, y) for y, x in np.argwhere(ax.images[0].get_array()).tolist()}
    # Column order: item 2 (twice), item 0 (once), item 1 (never); row order: user 1, 0, 2.
    assert marks == {(0, 0), (1, 0), (0, 1)}


def test_the_matrix_of_a_survey_that_everybody_filled_in_is_not_white() -> None:
    figure = plots.plot_user_items(sparse.csr_array(np.ones((40, 6), dtype="float32"))).figure
    figure.canvas.draw()
    axes = figure.axes[0].get_window_extent()
    inside = np.asarray(figure.canvas.buffer_rgba())[..., :3]
    blue = (inside[..., 2] > inside[..., 0] + 50).sum()
    assert blue / (axes.width * axes.height) > 0.8


def test_the_heat_map_writes_its_numbers_and_leaves_missing_cells_blank() -> None:
    table = pd.DataFrame([[1.0, np.nan], [2.5, 3.0]], index=["a", "b"], columns=["x", "y"])
    assert words(plots.plot_heatmap(table, title="t", label="l")) == ["1.0", "2.5", "3.0"]
    small = pd.DataFrame([[0.04, -0.004]])
    assert words(plots.plot_heatmap(small, title="t", label="l", center=0)) == ["+0.04", "+0.00"]


LONG = "A name that goes on and on, and on, until nobody reads it any more, " * 2
NAMES = [f"{LONG}{place}" for place in range(6)]
SIX = pd.DataFrame(np.arange(24.0).reshape(4, 6), columns=NAMES)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.plot_funnel(pd.Series(range(6, 0, -1), NAMES), title="t", noun="rows"),
        lambda: plots.plot_history(SIX, levels={LONG: 3.0}),
        lambda: plots.plot_curves(SIX, title="t", xlabel="x", ylabel="y")[0],
        lambda: plots.plot_curves({"a": SIX, "b": SIX}, title="t", xlabel="x", ylabel="y")[0],
    ],
    ids=["rows", "legend above", "legend beside", "legend below"],
)
def test_long_names_leave_room_for_what_they_name(draw) -> None:
    ax = draw()
    with warnings.catch_warnings(action="error"):
        ax.figure.draw_without_rendering()
    page = ax.figure.bbox
    assert ax.bbox.width > 0.25 * page.width
    legends = [*ax.figure.legends, *filter(None, [ax.get_legend()])]
    boxes = [one.get_window_extent() for one in legends]
    assert all(box.x0 >= 0 and box.x1 <= page.width + 1 for box in boxes)
    titles = [one for one in ax.findobj(Text) if one.get_text().startswith("Does it")]
    assert not any(box.overlaps(one.get_window_extent()) for box in boxes for one in titles)


def test_dollar_signs_of_names_are_no_formulas_wherever_a_figure_is_shown() -> None:
    ax = plots.plot_funnel(pd.Series({"From $5 to $9": 3}), title="$a$ or $b$", noun="rows")
    ax.figure.draw_without_rendering()
    named = [one for one in ax.findobj(Text) if "$" in one.get_text()]
    assert {one.get_text() for one in named} == {"From $5 to $9", "$a$ or $b$"}
    assert not any(one.get_parse_math() for one in named)


def test_the_matrix_may_be_of_any_sparse_form() -> None:
    rows = sparse.csr_array([[1.0, 0.0], [1.0, 1.0]])
    wanted = plots.plot_user_items(rows).images[0].get_array()
    assert (plots.plot_user_items(rows.tocoo()).images[0].get_array() == wanted).all()


def test_a_long_name_leaves_room_for_the_cells() -> None:
    names = ["a house with a very long name " * 3, "b", "c"]
    table = pd.DataFrame(np.eye(3, 2), index=names, columns=[3, 4])
    ax = plots.plot_heatmap(table, title="t", label="l")
    assert ax.get_yticklabels()[0].get_text() == "a house with a very long name…"
    plots.plot_heatmap(
        table.set_axis(["$", "$$", "$$$"]), title="Prices are no formulas", label="l"
    )
    assert [label.get_text() for label in ax.get_xticklabels()] == ["3", "4"]


def test_a_font_of_the_readers_own_is_taken() -> None:
    with mpl.rc_context({"font.family": ["DejaVu Serif", "DejaVu Sans"]}):
        ax = plots.plot_long_tail([3, 1])
    assert ax.title.get_fontfamily() == ["DejaVu Serif", "DejaVu Sans"]


def test_names_of_groups_stand_apart_at_the_items_that_meet() -> None:
    names = ["kids & family"] * 50 + ["poetry"] + ["poetry of the nineteenth century"] * 9
    ax = plots.plot_cooccurrence(np.ones((60, 60)), pd.Series(names, name="genre"))
    said = [label.get_text() for label in ax.get_yticklabels()]
    assert said == ["kids & family", "", "poetry of the nineteent…"]


def test_cooccurrence_is_ordered_by_group_on_a_symmetric_logarithmic_scale() -> None:
    lift = np.array([[np.nan, 2.0, 0.5], [2.0, np.nan, 1.0], [0.5, 1.0, np.nan]])
    ax = plots.plot_cooccurrence(lift, pd.Series(["b", "a", "b"]))
    drawn = np.ma.filled(ax.images[0].get_array(), np.nan)
    assert drawn[0].tolist()[1:] == [1.0, 0.0]  # item 1 with items 0 and 2: twice, as chance
    assert drawn[1, 2] == -1.0
    assert ax.images[0].get_clim() == (-2, 2)


def test_two_views_put_the_same_item_on_the_same_row() -> None:
    ratings = pd.DataFrame({"item_id": ["x", "y", "z"], "value": [7, 9, 3]})
    events = pd.DataFrame(
        {
            "item_id": ["y", "x", "y", "unrated"],
            "event": ["view", "view", "complete", "view"],
            "timestamp": pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"]),
        }
    )
    said, did = plots.plot_two_views(ratings, events, user="nle", scale=(1, 10))
    assert [label.get_text() for label in said.get_yticklabels()] == ["z", "x", "y"]
    view, start, complete = did.lines
    assert list(view.get_ydata()) == [2, 1]
    assert list(start.get_ydata()) == []
    assert list(complete.get_ydata()) == [2]


def test_ratings_and_people_have_whole_ticks_and_nobody_has_half_an_item() -> None:
    few = pd.DataFrame({"item_id": list("abcdefgh"), "value": 5})
    events = pd.DataFrame(
        {"item_id": ["a"], "event": "view", "timestamp": [pd.Timestamp(2020, 1, 1)]}
    )
    said, _ = plots.plot_two_views(few, events, user="nle", scale=(1, 10))
    active = plots.plot_activity([1] * 13 + [2] * 14 + [3] * 20 + [4] * 13)
    active.figure.canvas.draw()
    for ticks in (said.get_xticks(), active.get_yticks()):
        assert np.array_equal(ticks, np.round(ticks))
    assert {label.get_text() for label in active.get_xticklabels()} & {"0.5", "1"} == {"1"}


def test_no_axis_is_told_as_what_is_left_over_a_number_in_its_corner() -> None:
    curves = {"loss": pd.DataFrame({"a": [11.4965, 11.5035]}, index=pd.Index([1, 2], name="epoch"))}
    (ax,) = plots.plot_curves(curves, title="t")
    ax.figure.canvas.draw()
    assert ax.yaxis.get_offset_text().get_text() == ""


def test_a_logarithmic_panel_of_which_nothing_is_known_has_its_ticks_all_the_same() -> None:
    table = pd.DataFrame({"x": [50, 200], "model": "EASE", "share": np.nan, "low": np.nan})
    panels = {"more people": table.assign(high=np.nan)}
    (ax,) = plots.plot_approach(panels, xlabel=["people"], logarithmic=["more people"])
    ax.figure.canvas.draw()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["50", "200"]


def test_the_funnel_gives_each_step_its_share_of_the_step_before() -> None:
    steps = pd.Series({"viewed": 1000, "started": 500, "completed": 100})
    ax = plots.plot_funnel(steps, title="t", noun="pairs")
    assert words(ax) == [
        "1,000",
        "500, 50% of the step before",
        "100, 20% of the step before",
    ]
    ax = plots.plot_funnel(pd.Series({"viewed": 0, "started": 0}), title="t", noun="pairs")
    assert words(ax) == ["0", "0"]


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: plots.plot_ratings([1, np.nan], mean=1, sd=1), "`ratings` .* got 1 of 2 that"),
        (lambda: plots.plot_quantiles([], mean=1, sd=1), "`ratings` .* got none"),
        (lambda: plots.plot_long_tail([]), "`counts` .* got none"),
        (lambda: plots.plot_activity([0, 0]), "`counts` .* got none"),
        (lambda: plots.plot_spectrum([]), "`shares` .* got none"),
    ],
)
def test_what_has_no_numbers_to_draw_is_said(draw, said) -> None:
    with pytest.raises(ValueError, match=said):
        draw()


def test_selection_puts_the_truth_across_and_the_observed_mean_up() -> None:
    ax = plots.plot_selection([7, 8], [6, 7], [10, 20])
    assert ax.collections[0].get_offsets().tolist() == [[6, 7], [7, 8]]
    ax = plots.plot_selection([7, np.nan], [6, 7], [10, 0])  # the second has no ratings
    assert "100% of 1 items" in plots.describe(ax.figure)


def test_no_tick_stands_between_epochs_where_there_is_one() -> None:
    history = pd.DataFrame({"Train error": [3.2]}, index=pd.Index([1], name="epoch"))
    assert not any(plots.plot_history(history, best=1).get_xticks() % 1)


def test_the_history_draws_each_column_its_levels_and_the_kept_epoch() -> None:
    history = pd.DataFrame({"train": [3, 2], "validation": [4, 3]}, index=[1, 2])
    ax = plots.plot_history(history, levels={"mean": 5.0}, best=2)
    assert [list(line.get_ydata()) for line in ax.lines[:2]] == [[3, 2], [4, 3]]
    assert words(ax) == ["mean"]
    assert [text.get_text() for text in ax.get_legend().get_texts()][-1] == "kept: epoch 2"


def test_the_item_map_tells_groups_apart_by_color_and_by_shape() -> None:
    places = np.array([[0.0, 0.0], [2.0, 2.0], [9.0, 1.0]])
    ax = plots.plot_item_map(places, pd.Series(["net", "net", "cmp"], index=[5, 6, 7]))
    cmp, net = ax.collections
    assert cmp.get_offsets().tolist() == [[9.0, 1.0]]
    assert net.get_offsets().tolist() == [[0.0, 0.0], [2.0, 2.0]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["cmp", "net"]
    assert not np.array_equal(cmp.get_facecolor(), net.get_facecolor())
    assert len(cmp.get_paths()[0].vertices) != len(net.get_paths()[0].vertices)


def test_what_is_left_over_takes_no_color_from_the_groups() -> None:
    places = np.zeros((3, 2))
    ax = plots.plot_item_map(places, pd.Series(["net", "other", "cmp"]))
    order = [text.get_text() for text in ax.get_legend().get_texts()]
    colors = [mpl.colors.to_hex(one.get_facecolor()[0]) for one in ax.collections]
    assert order == ["other", "cmp", "net"]
    assert colors[1:] == list(style.COLORS.values())[:2]
    assert colors[0] not in style.COLORS.values()


def test_the_spectrum_stands_beside_the_true_number_of_dimensions() -> None:
    ax = plots.plot_spectrum([0.5, 0.4, 0.1], true=2)
    assert [bar.get_height() for bar in ax.patches] == [0.5, 0.4, 0.1]
    assert ax.lines[0].get_xdata()[0] == 2.5
    assert not plots.plot_spectrum([0.5, 0.5]).lines


def test_the_comparison_marks_floor_and_ceiling_through_the_figure() -> None:
    ax = plots.plot_comparison(comparison_table(), title="t", xlabel="ndcg@10")
    dashed = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"]
    assert dashed == [0.1, 0.5]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["popularity", "knn", "oracle"]
    assert words(ax) == ["0%", "50%", "", "gap closed"]
    segments = ax.collections[0].get_segments()
    assert [tuple(one[:, 0]) for one in segments if len(one)] == [(0.28, 0.32), (0.49, 0.51)]
    nothing_to_learn = comparison_table().assign(gap=np.nan)
    assert words(plots.plot_comparison(nothing_to_learn, title="t", xlabel="ndcg@10")) == []


def test_reliability_puts_the_share_of_likes_over_the_probability() -> None:
    bins = pd.DataFrame({"predicted": [0.2, 0.8], "observed": [0.25, 0.7], "n": [5, 10]})
    ax = plots.plot_reliability(bins)
    assert ax.collections[0].get_offsets().tolist() == [[0.2, 0.25], [0.8, 0.7]]
    legend = {text.get_text() for text in ax.get_legend().get_texts()}
    assert "true probability" not in legend  # real data has none, so none may be drawn


_BINS = pd.DataFrame(
    {
        "predicted": [0.02, 0.1],
        "observed": [0.05, 0.3],
        "n": 9,
        "observed_low": 0.01,
        "observed_high": 0.9,
    }
)
_RUNGS = {"n_history": [0, 1], "model": "ladder", "value": [0.5, 0.1], "se": 0.4}


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.plot_reliability(_BINS),
        lambda: plots.plot_reliability(_BINS.assign(true=0.2)),
        lambda: plots.plot_wins(pd.DataFrame({"alone": [0.1, 0.9], "shared": 0.1}, list("ab"))),
        lambda: plots.plot_ratings(np.arange(1, 6), mean=3, sd=2),
        lambda: plots.plot_newcomers(pd.DataFrame(_RUNGS), ladder="ladder"),
    ],
    ids=["likes", "a world", "wins", "ratings", "newcomers"],
)
def test_a_legend_lies_on_no_mark_and_inside_the_figure(draw) -> None:
    ax = draw()
    ax.figure.draw_without_rendering()
    box = ax.get_legend().get_window_extent()
    assert not box.padded(-2).overlaps(ax.bbox)
    assert box.x1 < ax.figure.bbox.x1


@pytest.mark.parametrize("counts", [[9, 8, 8, 7, 7, 6], [90, 9, 8, 7, 7, 6]])
def test_the_words_of_the_tail_stand_on_no_bar(counts) -> None:
    ax = plots.plot_long_tail(counts)
    ax.figure.draw_without_rendering()
    words = Text.get_window_extent(ax.texts[0])  # without its arrow
    box = words.transformed(ax.transData.inverted())
    assert box.y0 > counts[max(round(box.x0) - 1, 0)]


def test_no_interval_of_reliability_is_cut_at_the_frame() -> None:
    assert plots.plot_reliability(_BINS).get_ylim()[1] > 0.9


def test_panels_with_units_of_their_own_share_no_label() -> None:
    table = pd.DataFrame({"a": [0.0, 1.0]}).rename_axis(columns="model")
    for share_y, label in ((True, "model"), (False, "")):
        axes = plots.plot_curves({"s": table, "MB": table}, title="t", share_y=share_y)
        assert axes[0].get_ylabel() == label


def test_no_legend_stands_on_the_names_of_levels() -> None:
    table = {"": pd.DataFrame({"a": [0.0, 1.0]}, index=pd.Index([1, 2], name="x"))}
    (ax,) = plots.plot_curves(table, title="t", levels={"one": 0.4, "two": 0.5, "three": 0.6})
    ax.figure.draw_without_rendering()
    legends = [one for one in (ax.get_legend(), *ax.figure.legends) if one]
    for text in ax.texts:
        assert not any(
            one.get_window_extent().overlaps(text.get_window_extent()) for one in legends
        )
    assert [text.get_text() for one in legends for text in one.get_texts()] == ["a"]


def test_no_name_of_a_level_reaches_into_the_legend_above() -> None:
    history = pd.DataFrame({"error": np.linspace(0.8, 0.5, 50)}, index=range(1, 51))
    ax = plots.plot_history(history, levels={"mean rating": 1.293, "biases": 1.32}, best=49)
    ax.figure.draw_without_rendering()
    highest = max(text.get_window_extent().y1 for text in ax.texts)
    assert highest <= ax.get_window_extent().y1


def test_names_of_levels_that_are_close_stand_apart_and_in_order() -> None:
    history = pd.DataFrame({"error": [3.0, 1.0]}, index=[1, 2])
    ax = plots.plot_history(history, levels={"biases": 2.0, "mean": 2.001, "oracle": 1.5})
    ax.figure.draw_without_rendering()
    named = {text.get_text(): text.get_window_extent() for text in ax.texts}
    assert not named["biases"].overlaps(named["mean"])
    assert named["mean"].y0 > named["biases"].y0 > named["oracle"].y0


def test_people_with_equal_histories_have_one_tick_and_others_enough() -> None:
    assert list(plots.plot_activity([5, 5, 5]).get_xticks()) == [5]
    ax = plots.plot_activity(range(8, 16))
    assert sum(8 <= tick <= 15 for tick in ax.get_xticks()) >= 3


def test_recommendations_stand_best_first_from_the_top() -> None:
    table = pd.DataFrame({"title": ["a", "b"], "probability": [0.9, 0.4], "true": [0.8, 0.5]})
    ax = plots.plot_recommendations(table, title="Two labs")
    assert [bar.get_width() for bar in ax.patches] == [0.9, 0.4]
    assert ax.yaxis_inverted()
    assert list(ax.lines[0].get_xdata()) == [0.8, 0.5]


@pytest.mark.filterwarnings("error")
def test_recommendations_for_somebody_who_has_used_everything_are_no_warning() -> None:
    table = pd.DataFrame({"title": [], "probability": []})
    assert len(plots.plot_recommendations(table, title="Nothing is left").patches) == 0


def test_a_plot_draws_in_the_axes_it_is_given() -> None:
    _, mine = plt.subplots()
    assert plots.plot_long_tail([3, 1], ax=mine) is mine


def test_plots_bring_their_own_paper_and_leave_the_settings_alone() -> None:
    before = dict(mpl.rcParams)
    with mpl.style.context("dark_background"):
        ax = plots.plot_activity([1, 2, 3])
    assert mpl.colors.to_hex(ax.figure.get_facecolor()) == style.PAPER
    assert dict(mpl.rcParams) == before


def test_what_a_backend_switches_on_while_a_plot_draws_stays_on() -> None:
    # As the inline backend does, which starts with the first figure of a notebook.
    @style.styled
    def first_figure() -> None:
        mpl.interactive(True)

    try:
        first_figure()
        assert mpl.is_interactive()
    finally:
        mpl.interactive(False)


def contrast(one: str, other: str) -> float:
    def luminance(color: str) -> float:
        rgb = np.array(mpl.colors.to_rgb(color))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_words_are_readable_on_the_paper_and_every_color_is_visible() -> None:
    # WCAG 2: 4.5 for text. Nothing that carries data may fade to the yellow of Okabe and Ito (1.3).
    assert min(contrast(style.PAPER, ink) for ink in (style.INK, style.MUTED)) > 4.5
    assert min(contrast(style.PAPER, color) for color in style.COLORS.values()) > 2


def test_colors_stay_apart_for_the_two_common_kinds_of_color_blindness() -> None:
    # Viénot, Brettel & Mollon (1999), linear approximations for protanopia and deuteranopia.
    kinds = {
        "protan": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
        "deutan": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
    }
    roles = [style.COLORS[name] for name in ("sky", "blue", "vermilion", "orange")]
    rgb = np.array([mpl.colors.to_rgb(color) for color in roles])
    for matrix in kinds.values():
        seen = np.clip((rgb**2.2) @ np.array(matrix).T, 0, 1) ** (1 / 2.2)
        distance = np.linalg.norm(seen[:, None] - seen[None], axis=2)
        assert distance[~np.eye(len(roles), dtype=bool)].min() > 0.15


def test_the_line_of_costs_joins_what_nothing_cheaper_beats() -> None:
    table = pd.DataFrame(
        {"seconds": [0.1, 1.0, 2.0, 10.0], "value": [0.2, 0.3, 0.25, 0.31]},
        index=["knn", "ease", "svd", "vae"],
    )
    ax = plots.plot_cost(table, ylabel="ndcg@10")
    assert list(ax.lines[0].get_xdata()) == [0.1, 1.0, 10.0]
    assert set(words(ax)) == {"knn", "ease", "svd", "vae"}
    heights = sorted(text.xy[1] for text in ax.texts)
    assert np.diff(heights).min() >= (ax.get_ylim()[1] - ax.get_ylim()[0]) / 25


def test_bars_of_wins_put_what_is_shared_behind_what_is_alone() -> None:
    table = pd.DataFrame({"alone": [0.5, 0.2], "shared": [0.1, 0.05]}, index=["a", "b"])
    ax = plots.plot_wins(table)
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches if bar.get_height() == 0.7]
    assert ends == pytest.approx([0.5, 0.2, 0.6, 0.25])


def curves(x: list[float], **values: list[float]) -> pd.DataFrame:
    return pd.DataFrame(values, index=x)


def test_a_curve_has_one_color_in_all_panels_and_one_place_in_the_legend() -> None:
    panels = {
        "people": curves([1, 10], ease=[0.1, 0.3], knn=[0.1, 0.2]),
        "signal": curves([0.1, 0.9], knn=[0.0, 0.5], net=[0.2, 0.7]),
    }
    left, right = plots.plot_curves(panels, title="t", xlabel=["n", "rho2"], log_x=["people"])
    assert left.lines[1].get_color() == right.lines[0].get_color()
    assert left.lines[0].get_color() != right.lines[1].get_color()
    legend = left.figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["ease", "knn", "net"]
    assert (left.get_xscale(), right.get_xscale()) == ("log", "linear")
    assert (left.get_xlabel(), right.get_xlabel()) == ("n", "rho2")


def test_a_curve_skips_missing_points_and_wears_its_interval() -> None:
    table = curves([1, 2, 3], a=[0.1, np.nan, 0.5])
    (ax,) = plots.plot_curves(table, title="t", xlabel="x", bands={"": (table - 0.1, table + 0.1)})
    assert np.asarray(ax.lines[0].get_xdata()).tolist() == [1, 3]
    ends = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (ends.min(), ends.max()) == pytest.approx((0.0, 0.6))


def test_what_is_due_is_drawn_as_a_reference_and_takes_no_color_from_the_models() -> None:
    table = curves([0, 1], **{"fold-in oracle": [1.0, 0.5], "vae": [1.0, 0.2]})
    (ax,) = plots.plot_curves(table, title="t", xlabel="x", levels={"floor": 0.1})
    oracle, vae = ax.lines[:2]
    assert (oracle.get_color(), oracle.get_linestyle()) == (style.INK, "--")
    assert vae.get_color() == style.COLORS["blue"]
    assert words(ax) == ["floor"]


def test_terms_are_panels_and_a_term_that_nobody_has_is_none() -> None:
    class Model:
        history_ = pd.DataFrame({"epoch": [1, 2], "reconstruction": [5.0, 4.0], "kl": [0.0, 1.0]})

    axes = plots.plot_terms({"vae": Model()})
    titles = [ax.get_title(loc="left") for ax in axes]
    assert titles == ["reconstruction (nats)", "divergence (nats)"]
    assert np.asarray(axes[1].lines[0].get_ydata()).tolist() == [0.0, 1.0]


def test_the_approach_has_a_band_for_each_curve_and_ends_for_all() -> None:
    points = [
        (x, name, share, share - 0.1, share + 0.1)
        for x in (100, 1000)
        for name, share in (("svd", 0.3), ("ease", x / 2000))
    ]
    table = pd.DataFrame(points, columns=["x", "model", "share", "low", "high"])
    axes = plots.plot_approach({"a": table, "b": table}, xlabel=["n", "m"], logarithmic=["a"])
    svd, ease = axes[0].lines[:2]
    assert (svd.get_label(), ease.get_label()) == ("svd", "ease")
    assert np.asarray(ease.get_ydata()).tolist() == [0.05, 0.5]
    assert len(axes[0].collections) == 2
    assert axes[0].get_xscale() == "log"
    assert words(axes[1]) == ["fold-in oracle", "popularity"]


def test_agreement_is_the_rank_correlation_of_the_points() -> None:
    same = pd.DataFrame({"said": [1, 2, 30], "true": [0.1, 0.2, 0.9]}, index=list("abc"))
    panels = {"clear": same, "blind": same.assign(said=[3, 2, 1])}
    clear, blind = plots.plot_agreement(panels, title="t", xlabel="x", ylabel="y")
    assert clear.get_title(loc="left") == "clear\nrank correlation +1.0"
    assert blind.get_title(loc="left") == "blind\nrank correlation -1.0"
    (alone,) = plots.plot_agreement({"clear": same}, title="t", xlabel="x", ylabel="y")
    assert alone.get_title(loc="left") == "clear\nrank correlation +1.0"
    assert alone.figure.get_suptitle() == "t"
    assert clear.lines[2].get_xydata().tolist() == [[30.0, 0.9]]
    assert clear.lines[2].get_color() == blind.lines[2].get_color()


def test_curves_are_labeled_by_the_names_of_their_table():
    table = pd.DataFrame({"a": [1.0, 2.0]}, index=pd.Index([0, 1], name="likes shown"))
    (ax,) = plots.plot_curves(table.rename_axis(columns="doubt left"), title="t")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("likes shown", "doubt left")


@pytest.mark.parametrize("log_y", [False, True])
def test_a_logarithmic_panel_names_its_points_and_whole_steps_are_never_halved(log_y):
    table = pd.DataFrame({"EASE": [0.5, 0.6, 0.7]}, index=[500, 2000, 6000])
    steps = pd.DataFrame({"EASE": [0.5, 0.6, 0.7]}, index=[1, 2, 3])
    panels = {"people": table, "steps": steps}
    people, whole = plots.plot_curves(
        panels, title="t", xlabel="n", log_x=["people"], log_y=log_y, share_y=False
    )
    assert [tick.get_text() for tick in people.get_xticklabels()] == ["500", "2,000", "6,000"]
    assert all(float(tick).is_integer() for tick in whole.get_xticks())
