"""JupyterLab on the project: a start page, and notebooks that git finds as they were."""

import os
import sys
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat

from recsys_lib.pipeline.chain import Step, load_steps
from recsys_lib.pipeline.flow import flow_of
from recsys_lib.pipeline.project import LAB_RUN, Project
from recsys_lib.pipeline.record import ABSENT, Record
from recsys_lib.pipeline.rewriting import METADATA, WIDGET

__all__ = ["launch", "overview", "write_start_page"]

_PAGE = "runs/start.ipynb"
_STALE = "stale"
_WELCOME = """# Start here

The notebooks are run in order, for each reads what earlier ones have written. Open one and choose
*Run › Run All Cells*. What it writes goes to the folder `runs/{run}`.

[README](../README.md) · [Your own data](../docs/loading.md) · [How a notebook is
written](../docs/writing_notebooks.md)
"""
_CODE = """from recsys_lib.pipeline.lab import overview

overview()  # run this cell again to refresh"""


def launch(project: Project, *, port: int | None = None, browser: bool = True) -> None:
    """Open JupyterLab on the start page of a project, and serve until it is stopped.

    Parameters
    ----------
    project : Project
    port : int, optional
        8888 or the next free one by default.
    browser : bool
        Whether a browser is opened.
    """
    from jupyterlab.labapp import LabApp

    write_start_page(project)
    options = [
        f"--ServerApp.root_dir={project.root}",
        f"--LabApp.default_url=/lab/tree/{_PAGE}",
        f"--ServerApp.jpserver_extensions={{'{__name__}': True}}",
    ]
    if port is not None:
        options += [f"--port={port}", "--ServerApp.port_retries=0"]
    if not browser:
        options.append("--no-browser")
    if sys.platform == "linux":
        # Sockets in a folder of one's own: no port to collide on or to listen in at. Jupyter's
        # folder on macOS can be too long a path for them, and Windows has none.
        options.append("--KernelManager.transport=ipc")
        if os.geteuid() == 0:  # in containers people are root
            options.append("--allow-root")
    LabApp.launch_instance(options)


def write_start_page(project: Project, run: str = LAB_RUN) -> Path:
    """Write the notebook that JupyterLab opens with, and return its path.

    It stands among the runs, where git does not look: running it changes nothing.
    """
    welcome = nbformat.v4.new_markdown_cell(_WELCOME.format(run=run), id="welcome")
    data = {"text/markdown": overview(run, project).data}
    output = nbformat.v4.new_output("display_data", data=data)
    state = nbformat.v4.new_code_cell(_CODE, id="state", outputs=[output])
    path = project.root / _PAGE
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[welcome, state], metadata=METADATA), path)
    return path


def overview(run: str = LAB_RUN, project: Project | None = None) -> Any:
    """Return the notebooks of the chain with their questions, and what is done and what is stale.

    Parameters
    ----------
    run : str
    project : Project, optional
        Found from the working directory by default.

    Returns
    -------
    IPython.display.Markdown
    """
    from IPython.display import Markdown

    project = project or Project.find()
    lines = [f"Run `{run}`, at {datetime.now():%H:%M}:", "", "| notebook | question | state |"]
    lines.append("|---|---|---|")
    written: dict[str, str] = {}
    for step in load_steps(project):
        link = f"[{_title(step)}](../notebooks/{step.path.name})"
        lines.append(f"| {link} | {_question(step)} | {_state(project, run, step, written)} |")
    return Markdown("\n".join(lines))


def _title(step: Step) -> str:
    return step.sources[0].splitlines()[0].lstrip("# ") if step.sources[0] else step.name


def _question(step: Step) -> str:
    lines = [line[1:].strip() for line in step.sources[0].splitlines() if line.startswith(">")]
    return " ".join(lines).replace("|", "\\|")


def _state(project: Project, run: str, step: Step, written: dict[str, str]) -> str:
    """Say how far a notebook is; `written` gets its artifacts, stale ones as such."""
    path = project.record(run, step.name)
    record = Record.find(path)
    if record is None:
        return "not run yet"
    changed = sorted(
        name
        for name, seen in record.reads.items()
        if seen != ABSENT and written.get(name) != seen and name not in record.writes
    )
    for name, entry in record.writes.items():
        written[name] = _STALE if changed else entry["fingerprint"]
    if changed:
        return f"**stale**: {', '.join(f'`{name}`' for name in changed)} changed; run it again"
    if not flow_of(step).writes <= record.writes.keys():
        return "not finished"
    return f"done, {datetime.fromtimestamp(path.stat().st_mtime):%d %b %H:%M}"


def _load_jupyter_server_extension(server: Any) -> None:
    """Called by Jupyter's server as it starts: saving a notebook leaves git clean."""
    server.contents_manager.register_pre_save_hook(_before_save)


def _before_save(model: dict[str, Any], **_: Any) -> None:
    """Keep the committed metadata, and leave out controls, which are dead once saved."""
    if model["type"] != "notebook":
        return
    content = model["content"]
    metadata = content["metadata"]
    if metadata.get("kernelspec", {}).get("name") == METADATA["kernelspec"]["name"]:
        metadata.update(deepcopy(METADATA))
    metadata.pop("widgets", None)
    for cell in content["cells"]:
        if "outputs" in cell:
            cell["outputs"] = [one for one in cell["outputs"] if WIDGET not in one.get("data", {})]
