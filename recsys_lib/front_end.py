"""Whether there is somebody to see what moves, and to click on what can be clicked."""

import os
import sys

__all__ = ["has_front_end", "is_watched"]


def has_front_end() -> bool:
    """Return whether somebody sits in front of this kernel: in JupyterLab, an editor, or Voila.

    Papermill, nbval and ``nbconvert --execute`` start kernels that nobody can click in; a widget
    there would be a picture of a button, with a random id in the saved notebook.
    """
    return any(name.startswith(("JPY_SESSION_NAME", "VSCODE_PID", "VOILA_")) for name in os.environ)


def is_watched() -> bool:
    """Return whether somebody sees stderr as it is written: a terminal, or a front end.

    A batch log is not watched: what a bar writes over and over would fill it.
    """
    return sys.stderr.isatty() or has_front_end()
