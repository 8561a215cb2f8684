"""Services as processes, as a person starts them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from recsys_lib import EASE, Bundle, make_world

WAIT_S = 120


class Service:
    """``recsys serve`` on a free port; its log as it comes."""

    def __init__(self, bundle: Path, *options: str, keys: str = "", **how: object) -> None:
        command = [sys.executable, "-m", "recsys_lib", "serve", "--bundle", str(bundle)]
        environment = {**os.environ, "RECSYS_API_KEY": keys}
        self.process = subprocess.Popen(
            [*command, "--port", "0", *options],
            env=environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            **how,
        )
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()
        self.url = self.wait_for("Uvicorn running on ").split()[3]
        workers = int(options[options.index("--workers") + 1]) if "--workers" in options else 1
        self.wait_for("Application startup complete.", times=workers)
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def _read(self) -> None:
        self.lines.extend(iter(self.process.stderr.readline, ""))

    def wait_for(self, text: str, times: int = 1) -> str:
        """Return the latest message of the log with a text, once there are so many."""
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end and self.process.poll() is None:
            found = [line for line in self.lines if text in line]
            if len(found) >= times:
                return str(json.loads(found[-1])["message"])
            time.sleep(0.02)
        raise AssertionError(f"{text!r} is not in the log: {''.join(self.lines[-5:])}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@pytest.fixture(scope="session")
def world_bundle() -> Bundle:
    """A model of likes in a small world, with catalog and profiles."""
    dataset = make_world(n_users=120, n_items=40).dataset()
    model = EASE(l2=20.0).fit(dataset.likes(7).user_items)
    return Bundle(model=model, dataset=dataset, like=7, inputs="likes")


@pytest.fixture(scope="session")
def bundle_folder(world_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    # As a run leaves it, so that the command line finds it too.
    root = tmp_path_factory.mktemp("project")
    (root / "notebooks").mkdir()
    (root / "notebooks" / "01_first_step.ipynb").write_text("{}", encoding="utf-8")
    folder = root / "runs" / "default" / "artifacts" / "bundle"
    world_bundle.save(folder)
    return folder


@pytest.fixture(scope="session")
def service(bundle_folder: Path) -> Iterator[Service]:
    service = Service(bundle_folder)
    yield service
    service.stop()
