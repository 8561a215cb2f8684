"""Items by what they say of themselves, against loops over words."""

import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from recsys_lib.coldstart import ItemContent, NewItems, WithNewItems, stack_content
from recsys_lib.evaluation import OnlyItems, evaluate, hide_items
from recsys_lib.models import EASE
from recsys_lib.sources import load_dataset

ITEMS = pd.DataFrame(
    {
        "title": ["Sea of love", "Love, the sea", "A red sun", "Red moon, red sea"],
        "tags": ["a|b", "b", "a|c", None],
        "track": ["NET", "NET", "SEC", "CMP"],
        "year": [1, 2, 3, 4],
    }
)


def by_loops() -> np.ndarray:
    """Cosines between items, term by term."""
    columns = [
        [{"sea", "of", "love"}, {"love", "the", "sea"}, {"red", "sun"}, {"red", "moon", "sea"}],
        [{"a", "b"}, {"b"}, {"a", "c"}, set()],
        [{"NET"}, {"NET"}, {"SEC"}, {"CMP"}],
    ]
    vectors: list[dict[tuple[int, str], float]] = [{} for _ in range(4)]
    for number, column in enumerate(columns):
        for item, terms in enumerate(column):
            block = {}
            for term in terms:
                spread = sum(term in other for other in column)
                if 1 < spread <= 2:  # of four items; "sea" stands in three
                    block[number, term] = math.log1p(4 / spread)
            length = math.sqrt(sum(weight**2 for weight in block.values()))
            vectors[item] |= {term: weight / length for term, weight in block.items()}
    lengths = [math.sqrt(sum(w**2 for w in vector.values())) or 1.0 for vector in vectors]
    return np.array(
        [
            [
                sum(a.get(t, 0) * w for t, w in b.items()) / (m * n)
                for b, n in zip(vectors, lengths, strict=True)
            ]
            for a, m in zip(vectors, lengths, strict=True)
        ]
    )


def test_likeness_is_the_cosine_of_rare_shared_terms() -> None:
    content = ItemContent.of(ITEMS)
    found = content.score(sparse.csr_array(np.eye(4, dtype=np.float32)))
    np.testing.assert_allclose(found, by_loops(), atol=1e-6)
    np.testing.assert_allclose(content.likeness(1), by_loops()[1], atol=1e-6)
    assert "track=net" in set(content.terms)


def test_a_user_is_the_sum_of_what_was_used_and_nobody_is_zero() -> None:
    content = ItemContent.of(ITEMS)
    rows = sparse.csr_array(np.array([[2, 0, 1, 0], [0, 0, 0, 0]], dtype=np.float32))
    found = content.score(rows)
    taste = 2 * content.features[[0]] + content.features[[2]]
    cosine = (content.features @ taste.T).toarray().ravel() / np.sqrt((taste**2).sum())
    np.testing.assert_allclose(found[0], cosine, atol=1e-6)
    assert not found[1].any()


def test_tags_of_a_profile_find_items_whatever_the_column() -> None:
    content = ItemContent.of(ITEMS)
    found = content.score_terms(["net", "A"])
    assert found is not None
    assert found.argmax() == 0
    assert content.score_terms(["nothing", "sea", ""]) is None  # a word of a title is no tag
    assert content.known_terms(["sea", "A", "q", "net"]) == ["A", "net"]


def test_items_that_share_nothing_say_nothing() -> None:
    content = ItemContent.of(pd.DataFrame({"track": ["a", "b", "c"]}))
    assert content.spoken.tolist() == [False] * 3
    with pytest.raises(ValueError, match="must have a column of text"):
        ItemContent.of(pd.DataFrame({"year": [1, 2]}))


def test_the_collective_gram_matrix_adds_content() -> None:
    content = ItemContent.of(ITEMS)
    x = sparse.csr_array(np.random.default_rng(0).integers(0, 2, (6, 4)).astype(np.float32))
    stacked = stack_content(x, content, weight=2.0)
    gram = (stacked.T @ stacked).toarray()
    features = content.features.toarray()
    wanted = x.toarray().T @ x.toarray() + 4 * features @ features.T
    np.testing.assert_allclose(gram, wanted, atol=1e-5)


def test_a_new_item_is_found_by_its_likeness_alone() -> None:
    tracks = pd.DataFrame({"track": ["A", "A", "B", "B", "A", "B"]})
    used = np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]] * 10, dtype=np.float32)
    x = sparse.csr_array(used)
    model = EASE(l2=1.0).fit(stack_content(x, ItemContent.of(tracks), weight=2.0))
    scores = model.score(sparse.csr_array(used[:1, :]))[0]
    assert scores[4] > scores[5]
    alone = EASE(l2=1.0).fit(x).score(sparse.csr_array(used[:1, :]))[0]
    assert alone[4] == pytest.approx(alone[5])


def test_the_ridge_on_scores_is_that_on_the_columns_of_ease() -> None:
    rng = np.random.default_rng(1)
    content = ItemContent.of(pd.DataFrame({"tags": rng.choice(["a|b", "b|c", "c", "d|a"], 30)}))
    known = np.arange(30) < 24
    x = sparse.csr_array((rng.random((50, 30)) < 0.3) * known, dtype=np.float32)
    model = EASE(l2=2.0).fit(x)
    columns = model.score(sparse.csr_array(np.eye(30, dtype=np.float32)))
    features = content.features.toarray().astype(np.float64)
    # Row i of what is regressed: what item i says of each item in use, less its mean.
    centered = columns[:, known] - columns[:, known].mean(axis=1, keepdims=True)
    gram = features[known].T @ features[known] + 0.7 * np.eye(features.shape[1])
    weights = np.linalg.solve(gram, features[known].T @ centered.T)
    mapped = (features @ weights).T + columns[:, known].mean(axis=1, keepdims=True)
    new = NewItems(content=content, known=known, is_new=~known, l2=0.7)
    found = new.predicted(model.score(x), np.zeros((50, 30)))
    np.testing.assert_allclose(found, x @ mapped, atol=2e-3)


def test_the_ridge_leans_toward_likeness_where_the_scores_go_with_it() -> None:
    rng = np.random.default_rng(2)
    content = ItemContent.of(pd.DataFrame({"tags": rng.choice(["a|b", "b|c", "c", "d|a"], 40)}))
    known = np.arange(40) < 30
    likeness = content.score(sparse.csr_array(np.eye(40, dtype=np.float32)[:1]))
    new = NewItems(content=content, known=known, is_new=~known, l2=1e9, trust=1.0)
    for sign, slope in ((3.0, 3.0), (-3.0, 0.0)):
        found = new.predicted(sign * likeness + 5.0, likeness)
        # With such a penalty all is shrunk: to the line of least squares, never below zero.
        wanted = (sign * likeness + 5.0 - slope * likeness)[:, known].mean() + slope * likeness
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    nothing = new.predicted(likeness, np.zeros_like(likeness))
    np.testing.assert_allclose(nothing, likeness[:, known].mean(), atol=1e-5)


def test_new_items_take_their_place_and_the_others_keep_theirs() -> None:
    tracks = pd.DataFrame({"track": [*"AABBAB", "C"]})
    used = np.array([[1, 1, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0, 0]] * 10, dtype=np.float32)
    x = sparse.csr_array(used)
    new = NewItems.of(tracks, x)
    assert new is not None
    # The seventh is of no track that another has: it says nothing, and is left where it was.
    assert new.is_new.tolist() == [False] * 4 + [True, True, False]
    scores = EASE(l2=1.0).fit(x).score(x[:2])
    placed = new.place(scores, x[:2])
    np.testing.assert_array_equal(placed[:, ~new.is_new], scores[:, ~new.is_new])
    assert placed[0, 4] > placed[0, 5]
    assert placed[1, 4] < placed[1, 5]
    nobody = new.place(np.zeros((1, 7)), sparse.csr_array((1, 7)), interests=["b"])
    assert nobody.tolist() == [[0.0] * 7]
    rates = np.array([[0.1, 0.2, 0.3, 0.4, 0, 0, 0.2]])
    told = new.place(rates, sparse.csr_array((1, 7)), interests=["a"])
    alone = new.place(rates, sparse.csr_array((1, 7)))
    assert alone[0, 5] > alone[0, 4]
    assert told[0, 4] - told[0, 5] > alone[0, 4] - alone[0, 5]


def test_nothing_is_new_where_all_is_used_or_nothing_is_said() -> None:
    tracks = pd.DataFrame({"track": ["A", "A", "B"]})
    all_used = sparse.csr_array(np.ones((2, 3), dtype=np.float32))
    assert NewItems.of(tracks, all_used) is None
    two = sparse.csr_array(np.array([[1, 1, 0]], dtype=np.float32))
    assert NewItems.of(None, two) is None
    assert NewItems.of(pd.DataFrame({"year": [1, 2, 3]}), two) is None
    assert NewItems.of(tracks, two) is None  # the third shares its track with nobody
    assert NewItems.of(tracks, sparse.csr_array((2, 3), dtype=np.float32)) is None


@pytest.mark.skipif("RECSYS_DATASETS" not in os.environ, reason="RECSYS_DATASETS is not set")
def test_tags_and_what_the_model_says_find_new_articles_on_citeulike() -> None:
    folder = Path(os.environ["RECSYS_DATASETS"]) / "citeulike-a"
    articles = [line.split()[1:] for line in (folder / "item-tag.dat").read_text().splitlines()]
    data = load_dataset(folder / "users.dat")
    tags = pd.DataFrame({"tags": [articles[int(item)] for item in data.item_ids]})
    users = np.random.default_rng(0).choice(data.n_users, 300, replace=False)
    train, fold, hidden = hide_items(data.user_items, users)
    new = NewItems.of(tags, train)
    assert new is not None
    model = EASE(l2=25.0).fit(train)
    scorers = {"likeness": new.content, "both": WithNewItems(model=model, new=new)}
    found = {
        name: evaluate(OnlyItems(scorer=one, items=hidden), fold, metrics=("ndcg@100",))["ndcg@100"]
        for name, one in scorers.items()
    }
    # Measured 0.37 and 0.40, standard error 0.014, the difference far less; at random 0.01.
    assert found["both"] > found["likeness"] > 0.3, found
