"""Whatever the table: a dataset or a `DataError`, nothing else."""

import contextlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError
from recsys_lib.sources import load_dataset, validate_interactions

SETTINGS = settings(
    max_examples=120,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
CELL = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(0, 5),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(["1", "4.5", "007", "nan", "", " ", "2020-01-01", "1e400", "a,b", '"', "\0"]),
    st.binary(max_size=3),
    st.lists(st.integers(), max_size=2),
    st.dates().map(pd.Timestamp),
    st.complex_numbers(),
)
NAMES = ["user_id", "item_id", "rating", "timestamp", "user", "item", "", "x", "event", "9"]


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """A table of any columns, in any order, of anything."""
    names = draw(st.lists(st.sampled_from(NAMES), max_size=6))
    if draw(st.booleans()):
        names = list(draw(st.permutations(["user_id", "item_id", "rating", "timestamp"])))
    n_rows = draw(st.integers(0, 5))
    columns = []
    for _ in names:
        cells = draw(st.sampled_from([CELL, st.integers(0, 3), st.sampled_from("abc")]))
        columns.append(draw(st.lists(cells, min_size=n_rows, max_size=n_rows)))
    frame = pd.DataFrame(dict(enumerate(columns)), index=range(n_rows))
    return frame.set_axis(names, axis=1) if names else frame


def settle(source: Any, **options: Any) -> Dataset | None:
    """Load it; None for a `DataError`; any other exception fails the test."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            dataset = load_dataset(source, **options)
    except DataError:
        return None
    assert dataset.n_interactions > 0
    assert np.isfinite(dataset.user_items.data).all()
    assert dataset.user_ids.is_unique
    assert dataset.item_ids.is_unique
    return dataset


@SETTINGS
@given(
    frame=frames(),
    mode=st.sampled_from(["strict", "lenient"]),
    duplicates=st.sampled_from(["error", "last", "mean", "sum"]),
    scale=st.sampled_from([None, (1, 5)]),
)
def test_any_frame_gives_a_dataset_or_a_data_error(
    frame: pd.DataFrame, mode: str, duplicates: str, scale: Any
) -> None:
    before = frame.copy(deep=True)
    settle(frame, mode=mode, duplicates=duplicates, rating_scale=scale)
    pd.testing.assert_frame_equal(frame, before)
    settle(frame, users=frame, items=frame, mode=mode, value=None, timestamp=None)
    with contextlib.suppress(DataError):
        assert isinstance(validate_interactions(frame), pd.DataFrame)


@SETTINGS
@given(
    frame=frames(),
    sign=st.sampled_from([",", "\t", ";", "|"]),
    encoding=st.sampled_from(["utf-8", "utf-16", "latin-1", "utf-8-sig"]),
    cut=st.one_of(st.none(), st.integers(0, 80)),
)
def test_any_text_gives_a_dataset_or_a_data_error(
    frame: pd.DataFrame, sign: str, encoding: str, cut: int | None, tmp_path: Path
) -> None:
    path = tmp_path / "table.csv"
    text = frame.to_csv(sep=sign, index=False)
    path.write_bytes(text.encode(encoding, errors="replace")[:cut])
    settle(path)
    settle(path, mode="lenient", items=path, users=path)


@SETTINGS
@given(content=st.binary(max_size=60), suffix=st.sampled_from(["csv", "jsonl", "parquet", "gz"]))
def test_any_bytes_give_a_dataset_or_a_data_error(
    content: bytes, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"table.{suffix}"
    path.write_bytes(content)
    settle(path)


@pytest.mark.parametrize("role", ["user", "item", "rating", "time"])
def test_half_a_character_is_refused_in_every_column(role: str, tmp_path: Path) -> None:
    row = {"user": "ann", "item": "x", "rating": "3", "time": "2024-01-01"}
    path = tmp_path / "table.jsonl"
    lines = [row, {**row, "item": "y", role: "\ud800"}]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    with pytest.raises(DataError, match=f"column '{role}', line 2, holds half of one"):
        load_dataset(path)
    cells = {name: pd.Series([line[name] for line in lines], dtype=object) for name in row}
    with pytest.raises(DataError, match=f"column '{role}', index 1, holds half of one"):
        load_dataset(pd.DataFrame(cells))


@SETTINGS
@given(
    pairs=st.lists(
        st.tuples(st.text(min_size=1, max_size=3), st.integers(0, 9), st.integers(1, 5)),
        min_size=1,
        max_size=12,
        unique_by=lambda row: (row[0], row[1]),
    ).filter(lambda rows: all(name.strip() and name.isprintable() for name, _, _ in rows)),
    kind=st.sampled_from(["csv", "jsonl", "parquet"]),
    shuffled=st.permutations(["user_id", "item_id", "rating"]),
)
def test_a_good_table_survives_every_format_whole(
    pairs: list[tuple[str, int, int]], kind: str, shuffled: list[str], tmp_path: Path
) -> None:
    frame = pd.DataFrame(pairs, columns=["user_id", "item_id", "rating"])
    path = tmp_path / f"table.{kind}"
    written = frame[shuffled]
    if kind == "csv":
        written.to_csv(path, index=False)
    elif kind == "jsonl":
        written.to_json(path, orient="records", lines=True)
    else:
        written.to_parquet(path)
    dataset = settle(path)
    assert dataset is not None
    back = {(u, int(i), v) for u, i, v in dataset.to_frame().itertuples(index=False)}
    assert back == set(pairs)


def test_an_empty_frame_is_refused() -> None:
    with pytest.raises(DataError, match="must have a column for the user"):
        load_dataset(pd.DataFrame())
