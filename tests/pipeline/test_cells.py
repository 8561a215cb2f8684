"""A notebook somebody sits in front of, in a real kernel: signs of life, interrupt, going on."""

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel

FIRST = """\
RUN = "lab"  # where results go
import hashlib
from recsys_lib import Autoencoder, make_world, notebook, split_ratings
split = split_ratings(make_world(n_users=600, n_items=60).dataset())
session = notebook.start("01_train", globals())"""
# Wide, so that an epoch takes a fifth of a second: the line of progress moves once a second.
FIT = """\
model = Autoencoder(hidden_dims=(1024, 512), batch_size=8, epochs=30)
model.fit(split.train, validation=split.validation)
print(hashlib.sha256(model.score(split.test.fold_in).tobytes()).hexdigest(), len(model.history_))"""


@dataclass
class Cell:
    """What a cell has put out."""

    text: str = ""
    lines: list[str] = field(default_factory=list)
    shown: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    seconds_to_stop: float = 0.0


class Kernel:
    """A kernel as JupyterLab starts it, or as papermill does."""

    def __init__(self, project: Path, *, front_end: bool) -> None:
        env = {k: v for k, v in os.environ.items() if k not in ("JPY_SESSION_NAME", "VSCODE_PID")}
        if front_end:
            env["JPY_SESSION_NAME"] = "01_train.ipynb"
        self.manager, self.client = start_new_kernel(cwd=project / "notebooks", env=env)

    def run(self, code: str, *, stop_at: str | None = None) -> Cell:
        """Run a cell; interrupt it once its line of progress matches `stop_at`."""
        cell, stopped = Cell(), None
        asked = self.client.execute(code)
        while True:
            message = self.client.get_iopub_msg(timeout=120)
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                cell.text += content["text"]
            elif kind == "error":
                cell.error = content
            elif kind in ("display_data", "update_display_data"):
                line = content["data"].get("text/plain", "")
                cell.lines.append(line)
                cell.shown[content["transient"].get("display_id", line)] = content["data"]
                if stop_at and stopped is None and re.search(stop_at, line):
                    self.manager.interrupt_kernel()
                    stopped = time.monotonic()
            elif kind == "status" and content["execution_state"] == "idle":
                cell.seconds_to_stop = time.monotonic() - (stopped or 0.0)
                return cell


@pytest.fixture
def project(tmp_path) -> Path:
    cells = [nbformat.v4.new_code_cell('RUN = "lab"  # where', metadata={"tags": ["parameters"]})]
    (tmp_path / "notebooks").mkdir()
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "notebooks/01_train.ipynb")
    return tmp_path


@pytest.fixture
def kernel(project, request) -> Iterator[Kernel]:
    kernel = Kernel(project, front_end=request.param)
    yield kernel
    kernel.manager.shutdown_kernel(now=True)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [True], indirect=True, ids=["front end"])
def test_an_interrupted_cell_stops_at_once_and_goes_on_when_it_is_run_again(kernel, project):
    assert kernel.run(FIRST).error is None
    stopped = kernel.run(FIT, stop_at=r"Autoencoder: (?:[3-9]|1\d) of 30 epochs, .* s left")
    crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert stopped.seconds_to_stop < 2 * crowd  # a second where nothing else is at work
    assert stopped.error["ename"] == "KeyboardInterrupt"
    assert len("".join(stopped.error["traceback"]).splitlines()) < 5
    reached = int(re.findall(r"after epoch (\d+) of 30", stopped.error["evalue"])[0])
    assert 3 <= reached < 30
    assert kernel.run("1 + 1").error is None  # another cell leaves alone what is kept
    resumed = kernel.run(FIT)
    assert f"Going on after epoch {reached} " in "".join(resumed.lines)
    assert not list(project.glob("runs/lab/checkpoints/*/*"))
    afresh = kernel.run(FIT)
    assert not any("Going on" in line for line in afresh.lines)
    assert resumed.text == afresh.text
    assert resumed.text.endswith(" 30\n")
    assert list(afresh.shown.values()) == [{}]  # nothing of the line is left to be saved


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [True], indirect=True, ids=["front end"])
def test_a_mistyped_parameter_is_one_sentence_without_frames(kernel) -> None:
    wrong = FIRST.replace('RUN = "lab"', "RUN = 3")
    refused = [(wrong, "Parameter RUN must be of"), ("make_world(n_users=0)", "`n_users` must")]
    for code, said in refused:
        told = kernel.run(code).error
        assert told["evalue"].startswith(said)
        assert len("".join(told["traceback"]).splitlines()) < 5
    for others in ("import numpy as np\nnp.ones(3) @ np.ones(4)", "exec('int([])', {})"):
        told = "".join(kernel.run(others).error["traceback"])
        assert "most recent call last" in told, "what others raise keeps its frames"
        assert "TB Handler failed" not in told


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [True, False], indirect=True, ids=["front end", "batch"])
def test_any_long_cell_shows_that_it_is_running_but_in_batch(kernel, request) -> None:
    kernel.run(FIRST)
    cell = kernel.run("import time; time.sleep(1.8)")
    watched = "front end" in request.node.name
    assert cell.lines == (["running · 1 s", "running · 2 s", ""] if watched else [])
    assert cell.text == ""
