"""Throw-away projects: small notebooks in a temporary folder, run for real."""

import ctypes
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.launcher import launch_kernel

from recsys_lib.pipeline import Project
from recsys_lib.pipeline.chain import load_steps, resolve, select
from recsys_lib.pipeline.runner import RunResult, run_chain

PARAMETERS = 'RUN = "lab"  # name of the run\nSEED = 0  # seed of every random stream'
START = "from recsys_lib import notebook\nsession = notebook.start({name!r}, globals())"

WriteNotebook = Callable[..., Path]

# Kernels are forked from a process that has loaded what every notebook loads: that takes most of
# the time of these tests. The process between the server and the kernel ends at once, so that the
# kernel becomes a child of the process that asked for it, as if that had started it.
KERNELS = """
import json, os, sys, time
import ipykernel.kernelapp, recsys_lib.pipeline.notebook
for line in sys.stdin:
    asked = json.loads(line)
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        print("begun", flush=True)
        continue
    os.setsid()
    if kernel := os.fork():
        print(kernel, flush=True)
        os._exit(0)
    while os.getppid() != asked["parent"]:
        time.sleep(0.001)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv = asked["words"]
    ipykernel.kernelapp.launch_new_instance()
    sys.exit()
"""
_PARENT = "--IPKernelApp.parent_handle"  # the kernel ends with this process
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


class Forked(subprocess.Popen):
    """A child process that is there already."""

    def __init__(self, pid: int) -> None:
        self.pid, self.returncode, self.args = pid, None, "kernel"
        self.stdin = self.stdout = self.stderr = None
        self._child_created, self._waitpid_lock = True, threading.Lock()


class KernelServer:
    """Starts kernels in the place of `jupyter_client.launcher.launch_kernel`."""

    def __init__(self) -> None:
        self._lock, self._owner = threading.Lock(), os.getpid()
        self._server: subprocess.Popen[str] | None = None

    def launch(
        self, words: list[str], *, env: dict[str, str], cwd: Path | str, **more: Any
    ) -> subprocess.Popen:
        """Return a kernel that has begun; in a fork of the process with the server, a fresh one."""
        if os.getpid() != self._owner:
            return launch_kernel(words, env=env, cwd=str(cwd), **more)
        parent = os.getpid()
        asked = {
            "words": [*words[words.index("ipykernel_launcher") :], f"{_PARENT}={parent}"],
            "environment": env,
            "folder": str(cwd),
            "parent": parent,
        }
        with self._lock:
            prctl = ctypes.CDLL(None).prctl
            prctl(_PR_SET_CHILD_SUBREAPER, 1)
            try:
                server = self._started()
                print(json.dumps(asked), file=server.stdin, flush=True)
                pid = int(server.stdout.readline())
                assert server.stdout.readline() == "begun\n"
            finally:
                prctl(_PR_SET_CHILD_SUBREAPER, 0)
        return Forked(pid)

    def _started(self) -> "subprocess.Popen[str]":
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, "-c", KERNELS],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        return self._server

    @property
    def pid(self) -> int | None:
        """The process that kernels are forked from, once there is one."""
        return self._server and self._server.pid

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.communicate()


@pytest.fixture(scope="session")
def kernel_server() -> Iterator[KernelServer]:
    server = KernelServer()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def forked_kernels(kernel_server: KernelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the kernels of this process forked; those of others start as always."""
    if sys.platform == "linux":
        place = "jupyter_client.provisioning.local_provisioner.launch_kernel"
        monkeypatch.setattr(place, kernel_server.launch)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "notebooks").mkdir()
    return Project(tmp_path)


@pytest.fixture
def write(project: Project) -> WriteNotebook:
    """Write a notebook of the given cells below the parameters and the start of the session."""

    def write_notebook(name: str, *cells: str, parameters: str = PARAMETERS) -> Path:
        first = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}, id="p")
        sources = [START.format(name=name), *cells]
        code = [nbformat.v4.new_code_cell(text, id=f"c{i}") for i, text in enumerate(sources)]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        node = nbformat.v4.new_notebook(cells=[first, *code], metadata={"kernelspec": kernel})
        path = project.notebooks / f"{name}.ipynb"
        nbformat.write(node, path)
        return path

    return write_notebook


class Quiet:
    """Progress that nobody hears."""

    def begin(self, name: str, cells: int) -> None: ...

    def cell(self, name: str, done: int) -> None: ...

    def end(self, outcome: object) -> None: ...


@pytest.fixture
def run(project: Project, monkeypatch: pytest.MonkeyPatch) -> Callable[..., RunResult]:
    """Run the project's chain, `parameters` by keyword."""
    # Who edits the library while the tests run shall not move them.
    monkeypatch.setattr("recsys_lib.pipeline.store.Library.fingerprint", lambda *_: "the library")

    def run_it(
        name: str = "default",
        *,
        only: str | None = None,
        force: bool = False,
        timeout: float = 60,
        workers: int = 1,
        **parameters: object,
    ) -> RunResult:
        steps = select(load_steps(project), only=only)
        values = resolve(steps, values=parameters)
        how = {"name": name, "force": force, "timeout": timeout, "workers": workers}
        return run_chain(project, steps, values, Quiet(), **how)

    return run_it
