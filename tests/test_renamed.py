"""Names of before still work and say what they are called now."""

import dataclasses
from importlib import import_module

import pandas as pd
import pytest
from scipy import sparse

from recsys_lib import Bundle, Dataset, evaluation, exploration
from recsys_lib.coldstart import Handover, Ladder
from recsys_lib.models import Popularity

FRAME = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [1, 2, 1], "value": [5, 4, 3]})


@pytest.fixture
def dataset() -> Dataset:
    return Dataset.from_frame(FRAME)


def test_arguments_and_attributes_of_a_bundle_keep_their_old_names(dataset: Dataset) -> None:
    model = Popularity().fit(dataset.user_items)
    with pytest.warns(FutureWarning, match="'blend' of Bundle is now called handover"):
        bundle = Bundle(model=model, dataset=dataset, blend=2.0)
    assert bundle.handover == 2.0
    with pytest.warns(FutureWarning, match=r"Bundle\.blend is now called handover"):
        bundle.blend = 0.0
    assert bundle.handover == 0.0
    with pytest.warns(FutureWarning):
        assert bundle.blend == 0.0
    with pytest.warns(FutureWarning):
        changed = dataclasses.replace(bundle, blend=9.0)
    assert (changed.handover, bundle.handover) == (9.0, 0.0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'blnd'"):
        Bundle(model=model, dataset=dataset, blnd=2.0)


@pytest.mark.parametrize(
    ("module", "name", "home"),
    [
        ("models.blended", "Blended", "recsys_lib.coldstart.handover"),
        ("models.blended", "rungs_of", "recsys_lib.coldstart.handover"),
        ("models.mult", "annealing_steps", "recsys_lib.models.variational"),
        ("models.mult_vae", "annealing_steps", "recsys_lib.models.variational"),
        ("synthesis.files", "write_files", "recsys_lib.synthesis.world"),
        ("models.ladder", "Ladder", "recsys_lib.coldstart.ladder"),
        ("models.new_items", "NewItems", "recsys_lib.coldstart.content"),
        ("models.new_items", "WithNewItems", "recsys_lib.coldstart.content"),
        ("models.content", "ItemContent", "recsys_lib.coldstart.content"),
        ("models.content", "stack_content", "recsys_lib.coldstart.content"),
        ("models.on_likes", "likes_fold", "recsys_lib.dataset"),
        ("exploration", "like_threshold", "recsys_lib.dataset"),
        ("evaluation", "measure_blends", "recsys_lib.evaluation.newcomers"),
    ],
)
def test_what_notebooks_imported_is_still_found(module: str, name: str, home: str) -> None:
    found = import_module(f"recsys_lib.{module}")
    with pytest.warns(FutureWarning, match=f"recsys_lib.{module}.{name} is now called"):
        value = getattr(found, name)
    assert value.__module__ == home
    with pytest.raises(AttributeError, match="nothing"):
        _ = found.nothing


def test_a_name_of_before_does_what_it_did(dataset: Dataset) -> None:
    with pytest.warns(FutureWarning):
        from recsys_lib.models.blended import Blended
    rows = dataset.user_items
    ladder = Ladder().fit(rows)
    with pytest.warns(FutureWarning):
        old = Blended(model=Popularity().fit(rows), ladder=ladder, blend=3.0)
    assert isinstance(old, Handover)
    assert old.handover == 3.0
    with pytest.warns(FutureWarning):
        assert exploration.like_threshold(dataset) == dataset.like_threshold()
    with pytest.warns(FutureWarning):
        assert evaluation.measure_blends is evaluation.measure_handover
    assert sparse.issparse(rows)
