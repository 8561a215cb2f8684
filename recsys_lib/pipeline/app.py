"""The page for those who don't read notebooks: some cells of notebook 13, served by Voila."""

import sys
from pathlib import Path
from typing import Any

import nbformat

from recsys_lib.errors import ConfigError
from recsys_lib.pipeline.lab import METADATA
from recsys_lib.pipeline.project import Project

_NOTEBOOK = "13_browse_recommendations"
# Tags of the cells that make the page: everything else explains, measures or checks.
_SHOWN = {"page", "parameters"}
_IDLE_S = 1800


def write_page(project: Project, run: str) -> Path:
    """Write the notebook of a run's page, and return its path.

    It is among the runs, which git ignores, and holds the cells of notebook 13 with the tags
    ``page`` and ``parameters``.
    """
    book = nbformat.read(project.notebooks / f"{_NOTEBOOK}.ipynb", as_version=4)
    cells = [one for one in book.cells if _SHOWN & set(one.metadata.get("tags", ()))]
    for cell in cells:
        if "parameters" in cell.metadata["tags"]:
            cell.source += f"\nRUN = {run!r}"
    page = nbformat.v4.new_notebook(cells=cells, metadata=METADATA | {"title": "Recommendations"})
    path = project.root / "runs" / f"page.{run.replace('/', '.')}.ipynb"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(page, path)
    return path


def launch(project: Project, run: str, *, port: int | None = None, browser: bool = True) -> None:
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
    memory, until the page is closed or was idle for half an hour.
    """
    try:
        from voila.app import Voila
    except ModuleNotFoundError as error:
        raise ConfigError(
            "Voila must be installed; it is not. Run pip install 'recsys-lib[app]'."
        ) from error

    class Server(Voila):  # type: ignore[misc]
        """Voila with our page, since its own loads style sheets from another host."""

        def setup_template_dirs(self) -> None:
            super().setup_template_dirs()
            self.template_paths.insert(0, str(Path(__file__).with_name("page")))

    options: list[Any] = [
        str(write_page(project, run)),
        "--Voila.ip=127.0.0.1",
        "--preheat_kernel=True",
        f"--MappingKernelManager.cull_idle_timeout={_IDLE_S}",
    ]
    if port is not None:
        options += [f"--port={port}", "--Voila.port_retries=0"]
    if not browser:
        options.append("--no-browser")
    if sys.platform == "linux":
        options.append("--KernelManager.transport=ipc")
    Server.launch_instance(options)
