"""The committed outputs of the notebooks: nothing in them that changes from one run to the next."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat

from recsys_lib.artifacts import write_atomic
from recsys_lib.errors import ConfigError
from recsys_lib.pipeline.project import Project
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
_PROGRESS = re.compile(r"\r|\d+%\|.*\| *\d+/\d+")
_STYLER = re.compile(r"\bT_[0-9a-f]{5,}")
_LARGEST = 1_000_000
#: Tag of a cell that shows seconds or bytes: what it prints is never the same twice.
_MEASURED = "timing"


def rewrite(project: Project, result: RunResult) -> list[Path]:
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

    Raises
    ------
    ConfigError
        If a notebook would be larger than 1 MB; then none is written.
    """
    texts = {}
    for outcome in result.outcomes:
        path = project.notebooks / f"{outcome.name}.ipynb"
        node = clean(nbformat.read(outcome.copy, as_version=4), path.name[:2])
        _keep_times(node, nbformat.read(path, as_version=4))
        texts[path] = nbformat.writes(node) + "\n"
        size = len(texts[path].encode())
        if size > _LARGEST:
            raise ConfigError(
                f"{path} must be at most 1 MB; it would be {size / 1e6:.1f} MB. "
                "Draw smaller figures or fewer points."
            )
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
        neighboring pieces of one stream joined, progress bars left out.
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
            cell.outputs = [_stable(one, count) for one in _joined(cell.outputs)]
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


def _joined(outputs: Iterable[Any]) -> list[Any]:
    """How a stream is cut into messages is a matter of timing, so its pieces are joined."""
    joined: list[Any] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if output.output_type == "stream" and last and last.get("name") == output.name:
            last.text += output.text
        elif WIDGET not in output.get("data", {}):
            joined.append(output)
    return [one for one in joined if not _is_progress(one)]


def _is_progress(output: Any) -> bool:
    return output.get("name") == "stderr" and bool(_PROGRESS.search(output.text))


def _stable(output: Any, count: int) -> Any:
    if "execution_count" in output:
        output.execution_count = count
    for kind in ("text/html", "text/plain"):
        if kind in output.get("data", {}):
            output.data[kind] = _numbered(output.data[kind])
    return output


def _numbered(text: str) -> str:
    """Pandas gives each styled table a random id; here they are counted."""
    names: dict[str, str] = {}
    return _STYLER.sub(lambda found: names.setdefault(found[0], f"T_{len(names):05x}"), text)
