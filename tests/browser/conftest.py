"""JupyterLab as people open it, on a copy of the project, in a headless Chromium."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TOKEN = "of-the-test"
START_S = 300
COMMAND_S = 1200
# Two races of Jupyter itself on a busy machine. Its debugger asks each kernel for its state and
# says so when the kernel is shut down before it has answered: notebooks are closed faster here than
# by people. And its server fails to list a kernel that is just starting; the page asks again.
NOISE = re.compile(
    r"Canceled future for debug_request message before replies were done"
    r"|/api/kernels\?\d+ - Failed to load resource: the server responded with a status of 500"
)
# What a copy does not need; the library is imported from where the tests run.
LEFT_OUT = shutil.ignore_patterns(".*", "runs", "recsys_lib", "tests", "*.egg-info", "datasets")

# What their numbers are is the business of nbval.
LITTLE = {
    "EPOCHS": "12",
    "PASSES": "8",
    "WARM_UP": "3",
    "RANK_EPOCHS": "8",
    "CROWDS": "(300, 900)",
    "HISTORIES": "(10,)",
    "SIGNALS": "(0.9,)",
    "SELECTIONS": "(0.0, 3.0)",
    "TRIES": "1",
    "TRIALS": "4",
    "REPEATS": "2",
    "N_ITEMS": "8_000",
    "DENSE_TO": "1_000",
}

# The commands are those behind the menus; their promises are waited for.
OPEN = """
const panel = await app.commands.execute("docmanager:open", {path, factory: "Notebook"});
await panel.context.ready;
await panel.revealed;
app.shell.activateById(panel.id);
await panel.sessionContext.ready;
await panel.sessionContext.session.kernel.info;
"""
# Not waited for within the page: the driver gives up on a script after two minutes.
COMMAND = """
window.outcome = "";
app.commands.execute(name).then(
  () => { window.outcome = "done"; }, (error) => { window.outcome = String(error); });
"""
CLOSE = """
const panel = app.shell.currentWidget;
await panel.sessionContext.shutdown();
panel.dispose();
"""
# Cells out of sight are not drawn, so each is brought into sight before its troubles are noted.
TROUBLES = """
const notebook = app.shell.currentWidget.content;
const troubles = [];
for (let i = 0; i < notebook.widgets.length; i++) {
  await notebook.scrollToItem(i);
  await new Promise((done) => setTimeout(done, 50));
  const node = notebook.widgets[i].node;
  const kinds = ["error", "stderr"].map((one) => `[data-mime-type$="jupyter.${one}"]`);
  for (const one of node.querySelectorAll(kinds.join(", "))) {
    troubles.push(`cell ${i + 1}: ${one.innerText}`);
  }
  if (/Error displaying widget|model not found|Error rendering/.test(node.innerText)) {
    troubles.push(`cell ${i + 1}: ${node.innerText}`);
  }
}
return troubles;
"""


class Page:
    """JupyterLab in the browser."""

    def __init__(self, driver: Any, url: str, project: Path) -> None:
        self.driver, self.url, self.project = driver, url, project

    def load(self) -> None:
        """Load the page that `make lab` opens."""
        self.driver.get(f"{self.url}/lab/tree/runs/start.ipynb?token={TOKEN}&reset")
        ready = "return !!(window.jupyterapp && window.jupyterapp.shell.currentWidget)"
        end = time.monotonic() + START_S
        while not self.driver.execute_script(ready):
            assert time.monotonic() < end, "the start page has not opened"
            time.sleep(0.2)
        self.run("await app.shell.currentWidget.sessionContext.ready;")

    def run(self, script: str, **values: Any) -> Any:
        """Run the body of an async function in the page, and return what it returns."""
        answer = self.driver.execute_async_script(
            f"""
            const done = arguments[arguments.length - 1];
            (async (app, {", ".join(values)}) => {{ {script} }})(window.jupyterapp, ...arguments)
              .then((value) => done({{value}}), (error) => done({{error: String(error)}}));
            """,
            *values.values(),
        )
        assert "error" not in answer, answer["error"]
        return answer.get("value")

    def open(self, path: str) -> None:
        """Open a notebook and wait for its kernel."""
        self.run(OPEN, path=path)

    def command(self, name: str) -> None:
        """Execute a command of the menus on the notebook in front, and wait for its end."""
        self.run(COMMAND, name=name)
        end = time.monotonic() + COMMAND_S
        while (outcome := self.run("return window.outcome;")) == "":
            assert time.monotonic() < end, f"{name} takes longer than {COMMAND_S} s"
            time.sleep(0.2)
        assert outcome == "done"

    def close(self) -> None:
        """Close the notebook in front with its kernel."""
        self.run(CLOSE)

    def text(self) -> str:
        """Return what is drawn of the notebook in front."""
        return str(self.run("return app.shell.currentWidget.content.node.innerText;"))

    def troubles(self) -> list[str]:
        """Return errors and noise that a reader of the notebook in front would see."""
        return list(self.run(TROUBLES))

    def console_errors(self) -> list[str]:
        """Return what the console has listed as errors since this was last asked."""
        entries = self.driver.get_log("browser")
        errors = [one["message"] for one in entries if one["level"] == "SEVERE"]
        return [one for one in errors if not NOISE.search(one)]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, so that a test leaves nothing behind; its notebooks do less work."""
    copy = shutil.copytree(ROOT, tmp_path_factory.mktemp("project") / "copy", ignore=LEFT_OUT)
    changed = set()
    for path in (copy / "notebooks").glob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        for setting, value in LITTLE.items():
            told = rf'(?m)^(    "{setting} = )[^#]+(  #)'
            text, times = re.subn(told, rf"\g<1>{value}\2", text)
            changed |= {setting} if times else set()
        path.write_text(text, encoding="utf-8")
    assert changed == set(LITTLE), "a setting is of no notebook any more"
    return Path(copy)


@contextmanager
def serve(command: str, project: Path, path: str, *words: str, **environment: str) -> Iterator[str]:
    """Run a command of `recsys` that serves, until a path of it answers; the address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (project.parent / f"{command}.log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "recsys_lib", command, "--no-browser", "--port", str(port), *words],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=log,
        stderr=log,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}{path}", server)
        yield url
    finally:
        server.terminate()  # it stops its kernels first
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=60).close()
        except OSError:
            time.sleep(0.3)
        else:
            return
    raise AssertionError(f"{url} must answer within {START_S} s; it has not")


@pytest.fixture(scope="session", name="serve")
def _serve() -> Any:
    return serve


@pytest.fixture(scope="session", name="open_browser")
def _open_browser() -> Any:
    return open_browser


@pytest.fixture(scope="session")
def lab(project: Path, chromium: str) -> Iterator[str]:
    """Serve the copy by `recsys lab` on a free port; the address."""
    home = project.parent / "home"
    (home / "config").mkdir(parents=True)
    # So that a test can ask the page what it knows, as a developer would in the console.
    (home / "config" / "jupyter_lab_config.json").write_text(
        '{"LabApp": {"expose_app_in_browser": true}}'
    )
    environment = {
        "JUPYTER_TOKEN": TOKEN,
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }
    with serve("lab", project, f"/api/status?token={TOKEN}", **environment) as url:
        yield url


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser, where it and its driver are installed."""
    pytest.importorskip("selenium", reason="the extra [dev] is not installed")
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found or not shutil.which("chromedriver"):
        pytest.skip("Chromium and chromedriver are not installed (Debian: chromium-driver)")
    return found


def open_browser(chromium: str, profile: Path) -> Any:
    """Return a headless browser that keeps what its console and its network said."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless=new",
        "--no-sandbox",  # root in a container has none
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # everything must be here
        "--window-size=1280,1000",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(100)
    return driver


@pytest.fixture(scope="session")
def page(
    chromium: str, lab: str, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """The start page in a headless Chromium."""
    driver = open_browser(chromium, tmp_path_factory.mktemp("profile"))
    try:
        page = Page(driver, lab, project)
        page.load()
        yield page
    finally:
        driver.quit()
