"""JupyterLab on the project: a start page, and saving that leaves git clean."""

import os
import sys
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat

from recsys_lib.errors import ConfigError
from recsys_lib.pipeline.chain import Step, flow_of, load_steps
from recsys_lib.pipeline.project import LAB_RUN, Project
from recsys_lib.pipeline.record import Record, outdated, records_of
from recsys_lib.pipeline.rewriting import METADATA, WIDGET

_PAGE = "runs/start.ipynb"
_WELCOME = """# Start here

Run the notebooks in order, because each reads what earlier ones wrote. Open one and choose
*Run › Run All Cells*. Its results go to the folder `runs/{run}`.

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
        Whether to open a browser.

    Raises
    ------
    ConfigError
        If JupyterLab is not installed.
    """
    try:
        from jupyterlab.labapp import LabApp
    except ModuleNotFoundError as error:
        raise ConfigError(
            "JupyterLab must be installed; it is not. Run pip install 'recsys-lib[lab]'."
        ) from error
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
        # Sockets in a private folder: no ports to collide on or to eavesdrop on. Jupyter's folder
        # on macOS can be too long a path for them, and Windows has none.
        options.append("--KernelManager.transport=ipc")
        if os.geteuid() == 0:  # in containers people are root
            options.append("--allow-root")
    LabApp.launch_instance(options)


def write_start_page(project: Project, run: str = LAB_RUN) -> Path:
    """Write the notebook that JupyterLab opens with, and return its path.

    It is among the runs, which git ignores: running it changes nothing.
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
    """Return the notebooks of the chain with their questions, and which are done or stale.

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
    records = records_of(project, run)
    for step in load_steps(project):
        head = step.sources[0].splitlines() if step.sources else []
        title = head[0].lstrip("# ") if head else step.name
        question = " ".join(line[1:].strip() for line in head if line.startswith(">"))
        question = question.replace("|", "\\|")
        link = f"[{title}](../notebooks/{step.path.name})"
        state = _state(project, run, step, records)
        lines.append(f"| {link} | {question} | {state} |")
    return Markdown("\n".join(lines))


def _state(project: Project, run: str, step: Step, records: list[Record]) -> str:
    """Return how far a notebook is."""
    record = next((one for one in records if one.notebook == step.name), None)
    if record is None:
        return "not run yet"
    if changed := outdated(records, record).get(step.name):
        return f"**stale**: `{changed}` changed; run it again"
    if not flow_of(step).writes <= record.writes.keys():
        return "not finished"
    moment = datetime.fromtimestamp(project.record(run, step.name).stat().st_mtime)
    return f"done, {moment:%d %b %H:%M}"


def _load_jupyter_server_extension(server: Any) -> None:
    """Called when Jupyter's server starts: saving a notebook leaves git clean."""
    server.contents_manager.register_pre_save_hook(_before_save)


def _before_save(model: dict[str, Any], **_: Any) -> None:
    """Keep the committed metadata, and drop controls, which are dead once saved."""
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
