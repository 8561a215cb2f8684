"""What happens before and after each cell of a notebook that somebody sits in front of."""

import contextlib
from pathlib import Path
from typing import Any

from recsys_lib.front_end import has_front_end
from recsys_lib.progress import track
from recsys_lib.training.checkpoints import cell_is_over, keep_in

__all__ = ["accompany"]

_hooks: "_Hooks | None" = None


def accompany(checkpoints: Path) -> None:
    """Show from now on that a cell is running, and let interrupted training go on.

    Parameters
    ----------
    checkpoints : Path
        Folder for training to go on from; deleted when the cell that trains is done.
    """
    from IPython import get_ipython

    global _hooks
    shell: Any = get_ipython()
    if shell is None or not has_front_end():
        return
    keep_in(checkpoints)
    if _hooks is None:
        _hooks = _Hooks()
        shell.events.register("pre_run_cell", _hooks.begin)
        shell.events.register("post_run_cell", _hooks.end)
        shell.set_custom_exc((KeyboardInterrupt,), _show_interrupt)


def _show_interrupt(
    shell: Any, kind: type[BaseException], error: BaseException, *_: Any, **__: Any
) -> None:
    """Show one line: where a cell was when it was stopped helps nobody; %tb has the frames."""
    shell.showtraceback((kind, error, error.__traceback__), exception_only=True)


class _Hooks:
    """What IPython calls around a cell."""

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()

    def begin(self, _: Any) -> None:
        self._open.close()  # of a cell whose end nobody told
        self._open.enter_context(track(""))

    def end(self, result: Any) -> None:
        self._open.close()
        cell_is_over(success=result.success)
