"""JupyterLab on the project, the page of notebook 13, and what git keeps of a notebook.

A start page for JupyterLab; cells that Voila serves to those who don't read notebooks; saving that
leaves git clean, since nothing in a notebook changes by itself; the committed outputs, made anew.
"""

import os
import sys
from collections.abc import Iterable
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat

from recsys_lib.artifacts import write_atomic
from recsys_lib.checks import needing
from recsys_lib.pipeline.chain import Step, load_steps
from recsys_lib.pipeline.project import LAB_RUN, Project
from recsys_lib.pipeline.store import Record, outdated, records_of

if TYPE_CHECKING:
    from recsys_lib.pipeline.runner import RunResult

#: What JupyterLab writes when it saves, so that opening a notebook leaves no difference. The
#: version is a fixed one: it must not follow the Python of whoever saves.
METADATA: dict[str, dict[str, Any]] = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
        "version": "3.11.7",
    },
}
_ADDED = {"injected-parameters", "papermill-error-cell-tag"}
#: MIME type of a widget in a cell's output.
WIDGET = "application/vnd.jupyter.widget-view+json"
#: Tag of a cell that shows seconds or bytes: what it prints is never the same twice.
_MEASURED = "timing"

_START = "runs/start.ipynb"
_WELCOME = """# Start here

Run the notebooks in order, because each reads what earlier ones wrote. Open one and choose
*Run › Run All Cells*. Its results go to the folder `runs/{run}`.

[README](../README.md) · [Your own data](../docs/loading.md) · [How a notebook is
written](../docs/writing_notebooks.md)
"""
_CODE = """from recsys_lib.pipeline.lab import overview

overview()  # run this cell again to refresh"""

_PAGE = "13_browse_recommendations"
# Tags of the cells that make the page: everything else explains, measures or checks.
_SHOWN = {"page", "parameters"}
_IDLE_S = 1800


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
    with needing("lab", "JupyterLab"):
        from jupyterlab.labapp import LabApp
    write_start_page(project)
    options = [
        f"--ServerApp.root_dir={project.root}",
        f"--LabApp.default_url=/lab/tree/{_START}",
        f"--ServerApp.jpserver_extensions={{'{__name__}': True}}",
    ]
    if sys.platform == "linux" and os.geteuid() == 0:  # in containers people are root
        options.append("--allow-root")
    _serve(LabApp, "ServerApp", options, port, browser)


def _serve(app: Any, name: str, options: list[str], port: int | None, browser: bool) -> None:
    """Run an application of Jupyter until it is stopped; `name` is that of its ports' settings."""
    if port is not None:
        options += [f"--port={port}", f"--{name}.port_retries=0"]
    if not browser:
        options.append("--no-browser")
    if sys.platform == "linux":
        # Sockets in a private folder: no ports to collide on or to eavesdrop on. Jupyter's folder
        # on macOS can be too long a path for them, and Windows has none.
        options.append("--KernelManager.transport=ipc")
    app.launch_instance(options)


def write_page(project: Project, run: str) -> Path:
    """Write the notebook of a run's page, and return its path.

    It is among the runs, which git ignores, and holds the cells of notebook 13 with the tags
    ``page`` and ``parameters``.
    """
    book = nbformat.read(project.notebooks / f"{_PAGE}.ipynb", as_version=4)
    cells = [one for one in book.cells if _SHOWN & set(one.metadata.get("tags", ()))]
    for cell in cells:
        if "parameters" in cell.metadata["tags"]:
            cell.source += f"\nRUN = {run!r}"
    path = project.root / "runs" / f"page.{run.replace('/', '.')}.ipynb"
    return _write(path, cells, title="Recommendations")


def _write(path: Path, cells: list[Any], **metadata: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=METADATA | metadata), path)
    return path


def launch_page(
    project: Project, run: str, *, port: int | None = None, browser: bool = True
) -> None:
    """Serve the page of a run on this machine until it is stopped.

    Parameters
    ----------
    project : Project
    run : str
        The run whose bundle answers.
    port : int, optional
        8866 or the next free one by default.
    browser : bool
        Whether to open a browser.

    Raises
    ------
    ConfigError
        If Voila is not installed.

    Notes
    -----
    A kernel is ready before anybody comes, and each visitor gets one, with the bundle in its
    memory, until the page is closed or has had no connection for half an hour.
    """
    with needing("app", "Voila"):
        from voila.app import Voila

    class Server(Voila):  # type: ignore[misc]
        """Voila with our page, since its own loads style sheets from another host."""

        def setup_template_dirs(self) -> None:
            super().setup_template_dirs()
            self.template_paths.insert(0, str(Path(__file__).with_name("page")))

    options = [
        str(write_page(project, run)),
        "--Voila.ip=127.0.0.1",
        "--preheat_kernel=True",
        # A page elsewhere that has pointed its own name here is turned away.
        "--Voila.tornado_settings={'allow_remote_access': False}",
        "--VoilaExecutor.cell_error_instruction=The terminal of recsys app says why; see there.",
        f"--MappingKernelManager.cull_idle_timeout={_IDLE_S}",
    ]
    _serve(Server, "Voila", options, port, browser)


def write_start_page(project: Project, run: str = LAB_RUN) -> Path:
    """Write the notebook that JupyterLab opens with, and return its path.

    It is among the runs, which git ignores: running it changes nothing.
    """
    welcome = nbformat.v4.new_markdown_cell(_WELCOME.format(run=run), id="welcome")
    data = {"text/markdown": overview(run, project).data}
    output = nbformat.v4.new_output("display_data", data=data)
    state = nbformat.v4.new_code_cell(_CODE, id="state", outputs=[output])
    return _write(project.root / _START, [welcome, state])


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
        lines.append(f"| {link} | {question} | {_state(project, run, step, records)} |")
    return Markdown("\n".join(lines))


def _state(project: Project, run: str, step: Step, records: list[Record]) -> str:
    """Return how far a notebook is."""
    record = next((one for one in records if one.notebook == step.name), None)
    if record is None:
        return "not run yet"
    if changed := outdated(records, record).get(step.name):
        return f"**stale**: `{changed}` changed; run it again"
    if not step.writes <= record.writes.keys():
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
    metadata = model["content"]["metadata"]
    if metadata.get("kernelspec", {}).get("name") == METADATA["kernelspec"]["name"]:
        metadata.update(deepcopy(METADATA))
    metadata.pop("widgets", None)
    for cell in model["content"]["cells"]:
        if "outputs" in cell:
            cell["outputs"] = [one for one in cell["outputs"] if WIDGET not in one.get("data", {})]


def rewrite(project: Project, result: "RunResult") -> list[Path]:
    """Put the executed copies of a run, cleaned, in the place of the committed notebooks.

    Parameters
    ----------
    project : Project
        Where the notebooks stand.
    result : RunResult
        A run without failure, under the committed parameters.

    Returns
    -------
    list of Path
        The notebooks whose file changed.
    """
    texts = {}
    for outcome in result.outcomes:
        path = project.notebooks / f"{outcome.name}.ipynb"
        node = clean(nbformat.read(outcome.copy, as_version=4), path.name[:2])
        _keep_times(node, nbformat.read(path, as_version=4))
        texts[path] = nbformat.writes(node) + "\n"
    changed = [path for path, text in texts.items() if path.read_text(encoding="utf-8") != text]
    for path in changed:
        with write_atomic(path) as part:
            part.write_text(texts[path], encoding="utf-8")
    return changed


def clean(node: Any, number: str) -> Any:
    """Return an executed notebook with the metadata of no particular run.

    Parameters
    ----------
    node : NotebookNode
        As papermill left it; it is modified.
    number : str
        The notebook's two digits, which its cells' ids begin with.

    Returns
    -------
    NotebookNode
        Cell ids by position, executions counted from 1, no times, no paths, no widgets' state;
        neighboring pieces of one stream joined.
    """
    node.cells = [cell for cell in node.cells if not _ADDED & set(cell.metadata.get("tags", ()))]
    node.metadata = nbformat.from_dict(METADATA)
    node.nbformat, node.nbformat_minor = 4, 5
    count = 0
    for position, cell in enumerate(node.cells, 1):
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        cell.id = f"{number}-{position:02d}"
        if cell.cell_type == "code":
            count += bool(cell.source.strip())
            cell.execution_count = count if cell.source.strip() else None
            cell.outputs = _joined(cell.outputs, count)
    return node


def _keep_times(node: Any, committed: Any) -> None:
    """Where nothing but times has changed, leave the times that are committed."""
    if _without_times(node) != _without_times(committed):
        return
    for cell, before in zip(node.cells, committed.cells, strict=True):
        if _is_timing(cell) and before.outputs:
            cell.outputs = before.outputs


def _without_times(node: Any) -> list[Any]:
    return [(cell.source, None if _is_timing(cell) else cell.get("outputs")) for cell in node.cells]


def _is_timing(cell: Any) -> bool:
    return _MEASURED in cell.metadata.get("tags", ())


def _joined(outputs: Iterable[Any], count: int) -> list[Any]:
    """How a stream is cut into messages is a matter of timing, so its pieces are joined."""
    joined: list[Any] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if "execution_count" in output:
            output.execution_count = count
        if output.output_type == "stream" and last and last.get("name") == output.name:
            last.text += output.text
        elif WIDGET not in output.get("data", {}):
            joined.append(output)
    return joined
