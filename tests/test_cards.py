"""How objects show themselves: short in text, a small table in a notebook, nothing unescaped."""

import html
import re

import numpy as np
import pandas as pd
import pytest

from recsys_lib import Autoencoder, Bundle, Dataset, compare, evaluate, make_world, split_ratings
from recsys_lib.models import EASE, MODELS, GlobalMean, Popularity, model_class

EVIL = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def shown() -> dict[str, object]:
    """One of each that shows itself, with users, items and models of a strange name."""
    frame = pd.DataFrame(
        [(f"{EVIL}{u}", f"{EVIL}{i}", 1 + (u * i) % 5) for u in range(30) for i in range(12)],
        columns=["user_id", "item_id", "value"],
    )
    catalog = pd.DataFrame({EVIL: "x"}, index=frame["item_id"].unique())
    data = Dataset.from_frame(frame, items=catalog)
    split = split_ratings(data, seed=1)
    model = EASE(l2=5.0).fit(split.train)
    reports = [
        evaluate(one.fit(split.train), split.test, ["ndcg@5"], name=f"{name}{EVIL}", min_value=4)
        for name, one in (("EASE", model), ("floor", Popularity()))
    ]
    return {
        "World": make_world(n_users=20, n_items=12),
        "Dataset": data,
        "Split": split,
        "Fold": split.test,
        "Report": reports[0],
        "Comparison": compare(reports),
        "TopK": model.recommend(split.test.fold_in, 3),
        "Bundle": Bundle(model=model, dataset=data),
        "model": model,
        "Autoencoder": Autoencoder(),
    }


HELD = {
    "World": "ratings",
    "Dataset": "catalog columns",
    "Split": "validation",
    "Fold": "interactions to find",
    "Report": "standard error",
    "Comparison": "high",
    "TopK": "rank 3",
    "Bundle": "EASE(l2=5.0)",
    "model": "on 12 items",
    "Autoencoder": "learning_rate",
}


@pytest.mark.parametrize("name", HELD)
def test_objects_show_what_they_hold_and_escape_what_users_wrote(shown, name: str) -> None:
    page = shown[name]._repr_html_()
    assert HELD[name] in page
    assert "<script" not in page
    if name in ("Dataset", "Report", "Comparison"):
        assert "&lt;script&gt;" in page
    assert re.findall(r"<(table|/table)", page) == ["table", "/table"]


@pytest.mark.parametrize("name", [name for name in HELD if name != "TopK"])
def test_in_text_each_is_one_short_line(shown, name: str) -> None:
    text = repr(shown[name])
    assert "\n" not in text
    assert len(text) < 250


def test_a_comparison_begins_with_its_verdict(shown) -> None:
    comparison = shown["Comparison"]
    before, _ = comparison._repr_html_().split("<table")
    assert before == f"<strong>{html.escape(comparison.verdict)}</strong>"


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_model_prints_as_the_call_that_makes_it(name: str) -> None:
    kind = model_class(name)
    settings = {"members": (GlobalMean(),)} if name == "Blend" else {}
    assert "=" not in repr(kind(**settings)).replace("members=", "")
    if "l2" in kind(**settings).config():
        assert repr(kind(l2=7.5)) == f"{name}(l2=7.5)"


def test_lists_of_positions_become_lists_of_ids(shown) -> None:
    data, top = shown["Dataset"], shown["TopK"]
    table = top.table(data.item_ids, user_ids=pd.Index([f"u{n}" for n in range(len(top.items))]))
    first = table.iloc[0]
    assert (first["row"], first["rank"]) == ("u0", 1)
    assert first["item_id"] == data.item_ids[top.items[0, 0]]
    assert first["score"] == np.float32(top.scores[0, 0])
    assert len(table) == (top.items >= 0).sum()
