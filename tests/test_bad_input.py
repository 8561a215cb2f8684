"""Damage and lack of room: one clear error each, and nothing half-written is left behind."""

import contextlib
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys_lib import models
from recsys_lib.bundle import Bundle
from recsys_lib.dataset import Dataset, Split
from recsys_lib.errors import ArtifactError
from recsys_lib.models import ItemKNN
from recsys_lib.splitting import split_ratings

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {"user_id": RNG.integers(0, 60, 900), "item_id": RNG.integers(0, 40, 900)}
).drop_duplicates()
DATASET = Dataset.from_frame(FRAME.assign(value=RNG.integers(1, 6, len(FRAME))))
SPLIT = split_ratings(DATASET)
MODEL = ItemKNN().fit(SPLIT.train)
BUNDLE = Bundle(model=MODEL, dataset=DATASET, like=4.0)

KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], object]]] = {
    "dataset": (DATASET.save, Dataset.load),
    "split": (SPLIT.save, Split.load),
    "model": (MODEL.save, models.load),
    "bundle": (BUNDLE.save, Bundle.load),
}


@contextlib.contextmanager
def small_disk() -> Iterator[None]:
    """Let no file grow past 2 kB, as a full disk would; the error number differs, the path not.

    The limit holds for the whole process: as a fixture it would also stop pytest's own report where
    that goes to a file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_one_error_and_leaves_nothing(kind: str, tmp_path: Path) -> None:
    save, _ = KINDS[kind]
    refused = pytest.raises(ArtifactError, match="must be writable; .*nothing half-written")
    with refused, small_disk():
        save(tmp_path / "artifact")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_leaves_the_older_artifact_whole(kind: str, tmp_path: Path) -> None:
    save, load = KINDS[kind]
    save(tmp_path / "artifact")
    with pytest.raises(ArtifactError, match="must be writable"), small_disk():
        save(tmp_path / "artifact")
    load(tmp_path / "artifact")
    assert [path.name for path in tmp_path.iterdir()] == ["artifact"]


@pytest.mark.parametrize("kind", KINDS)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(which=st.integers(0, 20), place=st.floats(0, 1), damage=st.sampled_from(["cut", "flip"]))
def test_any_damage_to_any_file_is_an_artifact_error(
    kind: str, which: int, place: float, damage: str, tmp_path: Path
) -> None:
    save, load = KINDS[kind]
    folder = tmp_path / "artifact"
    shutil.rmtree(folder, ignore_errors=True)  # of the example before, whose damage nobody owns
    save(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    file = files[which % len(files)]
    content = bytearray(file.read_bytes())
    spot = min(int(place * len(content)), len(content) - 1)
    if damage == "cut":
        content = content[: min(spot, len(content) - 2)]  # a line's end more or less is no damage
    else:
        content[spot] ^= 0x55
    file.write_bytes(bytes(content))
    with pytest.raises(ArtifactError):
        load(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_an_artifact_of_another_kind_is_refused(kind: str, tmp_path: Path) -> None:
    save, _ = KINDS[kind]
    save(tmp_path / "artifact")
    for other, (_, load) in KINDS.items():
        if other != kind:
            with pytest.raises(ArtifactError, match=f"must hold a {other}"):
                load(tmp_path / "artifact")
