"""Whether somebody sits in front of a kernel."""

import os


def has_front_end() -> bool:
    """Return whether somebody sits in front of this kernel: in JupyterLab, an editor, or Voila.

    Papermill, nbval and ``nbconvert --execute`` start kernels that nobody can click in; a widget
    there would be a picture of a button, with a random id in the saved notebook.
    """
    return any(name.startswith(("JPY_SESSION_NAME", "VSCODE_PID", "VOILA_")) for name in os.environ)


def in_voila() -> bool:
    """Return whether this kernel serves a page of Voila: to look at, not to work in."""
    return any(name.startswith("VOILA_") for name in os.environ)
