"""Copies of what a sweep leaves, written by papermill's own writers: s3, gs, abs and others."""

from pathlib import Path

from papermill.iorw import papermill_io

from recsys_lib.errors import ConfigError

__all__ = ["Output"]


class Output:
    """A place for executed notebooks and manifests, beside ``runs/``.

    Parameters
    ----------
    place : str
        A folder, or an address that papermill can write to, such as ``s3://bucket/prefix``.
    sweep : str
        Name of the sweep; it becomes the next folder.
    """

    def __init__(self, place: str, sweep: str) -> None:
        self._place = f"{place.rstrip('/')}/{sweep}"
        self._remote = "://" in place

    def open(self, content: str) -> None:
        """Write the first ``sweep.json``: what cannot be written to is told before anything runs.

        Raises
        ------
        ConfigError
            If papermill cannot write there.
        """
        try:
            self._write(content, "sweep.json")
        except Exception as error:
            said = " ".join(str(error).split()) or type(error).__name__
            raise ConfigError(
                f"--output must be a place that papermill can write to; {self._place}: {said}. "
                "Check the address and the credentials."
            ) from error

    def close(self, content: str) -> None:
        """Write the last ``sweep.json``."""
        self._write(content, "sweep.json")

    def copy(self, folder: Path) -> None:
        """Copy the executed notebooks and the manifest of one setting.

        Parameters
        ----------
        folder : Path
            ``runs/<sweep>/<setting>``.
        """
        for path in (*sorted(folder.glob("*.ipynb")), folder / "manifest.json"):
            if path.exists() and not path.name.startswith("."):
                self._write(path.read_text(encoding="utf-8"), f"{folder.name}/{path.name}")

    def _write(self, text: str, name: str) -> None:
        path = f"{self._place}/{name}"
        if not self._remote:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        papermill_io.write(text, path)
