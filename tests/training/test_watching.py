"""Who watches a fit sees a bar or a log; who does not is left alone."""

import io
import sys

import pytest

from recsys_lib.training.watching import ProgressBar, TensorBoardLog


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def no_front_end(monkeypatch) -> None:
    for name in ("JPY_SESSION_NAME", "VSCODE_PID"):
        monkeypatch.delenv(name, raising=False)


def record(epoch: int, loss: float = 0.5) -> dict[str, float]:
    return {"epoch": epoch, "reconstruction": loss, "ndcg@100": 0.25, "seconds": 0.5}


def drawn(stream: io.StringIO) -> str:
    return stream.getvalue().rsplit("\r", 1)[-1]


def test_a_terminal_sees_loss_metric_speed_and_time_left(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with ProgressBar(epochs=4, users=1000) as bar:
        bar(record(1))
        bar._bar.refresh()
        said = drawn(sys.stderr)
    assert "1/4" in said
    assert "reconstruction 0.5, ndcg@100 0.25, 2,000 users/s" in said
    assert "<" in said  # elapsed < left


def test_a_batch_log_stays_quiet(capsys) -> None:
    with ProgressBar(epochs=4) as bar:
        bar(record(1))
    assert capsys.readouterr() == ("", "")


def test_a_front_end_is_watched_without_a_terminal(monkeypatch, capsys) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "notebook")
    with ProgressBar(epochs=1) as bar:
        bar(record(1))
    assert "1/1" in capsys.readouterr().err


def test_a_fit_that_was_taken_up_does_not_count_what_it_had_made_as_fast() -> None:
    with ProgressBar(epochs=100, show=True) as bar:
        bar(record(91))
        assert (bar._bar.n, bar._bar.initial) == (91, 90)


def test_a_fit_that_stops_early_leaves_a_closed_bar(capsys) -> None:
    with ProgressBar(epochs=9, show=True) as bar:
        bar(record(3))
    assert "3/9" in capsys.readouterr().err
    assert bar._bar.disable  # what tqdm calls closed


def test_tensorboard_reads_every_number_back_also_of_a_fit_taken_up(tmp_path) -> None:
    pytest.importorskip("tensorboard", reason="the extra [tensorboard] is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    for epochs in ([1, 2], [3]):
        with TensorBoardLog(tmp_path) as log:
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
    with TensorBoardLog(tmp_path) as log:
        sizes = []
        for epoch in (1, 2):
            log(record(epoch))
            sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
    assert 0 < sizes[0] < sizes[1]


def test_without_tensorboard_the_error_says_what_to_install(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary", None)
    with (
        pytest.raises(ImportError, match=r"pip install 'recsys-lib\[tensorboard\]'"),
        TensorBoardLog(tmp_path),
    ):
        pass
