"""A fit can be watched in TensorBoard."""

import sys

import pytest

from recsys_lib.errors import ConfigError
from recsys_lib.training.trainer import TensorBoardLog


def record(epoch: int, loss: float = 0.5) -> dict[str, float]:
    return {"epoch": epoch, "reconstruction": loss, "ndcg@100": 0.25, "seconds": 0.5}


def test_tensorboard_reads_every_number_back_also_of_a_resumed_fit(tmp_path) -> None:
    pytest.importorskip("tensorboard", reason="the extra [tensorboard] is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    for epochs in ([1, 2], [3]):
        log = TensorBoardLog(tmp_path)
        for epoch in epochs:
            log(record(epoch, loss=1.0 / epoch))
    read = EventAccumulator(str(tmp_path)).Reload()
    assert sorted(read.Tags()["tensors"]) == ["ndcg@100", "reconstruction", "seconds"]
    events = read.Tensors("reconstruction")
    assert [event.step for event in events] == [1, 2, 3]
    values = [float(tensor_util.make_ndarray(event.tensor_proto)) for event in events]
    assert values == pytest.approx([1.0, 1 / 2, 1 / 3])


def test_an_epoch_is_on_disk_before_the_next_begins(tmp_path) -> None:
    pytest.importorskip("tensorboard", reason="the extra [tensorboard] is not installed")
    log, sizes = TensorBoardLog(tmp_path), []
    for epoch in (1, 2):
        log(record(epoch))
        sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
    assert 0 < sizes[0] < sizes[1]


def test_without_tensorboard_the_error_says_what_to_install(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary", None)
    with pytest.raises(ConfigError, match=r"pip install 'recsys-lib\[tensorboard\]'"):
        TensorBoardLog(tmp_path)
