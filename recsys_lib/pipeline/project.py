"""Where things stand: the notebooks, the runs with their artifacts, the figures."""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from recsys_lib.errors import ConfigError

DEFAULT_RUN = "default"
LAB_RUN = "lab"
# Runs named like this are the ones that the pinned numbers are measured by.
MEASURING = "pins-"

_NOTEBOOK = re.compile(r"\d\d_[a-z0-9_]+\.ipynb")
_PLAIN = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_RUN_NAME = re.compile(rf"{_PLAIN}(?:/{_PLAIN})?")
# Where one looks for a table of one's own, in this order, before looking everywhere.
_INPUTS = (".", "notebooks", "data/raw")
# Databases whose URL names a file.
_FILE_DATABASES = ("sqlite", "duckdb")
# What a run keeps in its own folder, where the runs of a sweep stand beside it.
_TAKEN = {"artifacts", "figures", "state", "manifest.json"}


def _notebooks_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.ipynb") if _NOTEBOOK.fullmatch(path.name))


@dataclass(frozen=True)
class Project:
    """The folder that holds ``notebooks/``, ``runs/`` and ``figures/``.

    Parameters
    ----------
    root : Path
        An existing folder with a ``notebooks`` folder in it.
    """

    root: Path

    @classmethod
    def find(cls, start: Path | str | None = None) -> "Project":
        """Return the project around `start`: the nearest folder upwards that holds notebooks.

        Parameters
        ----------
        start : Path or str, optional
            Where to begin; the working directory by default.

        Raises
        ------
        ConfigError
            If no folder from `start` upwards has notebooks in ``notebooks/``.
        """
        begin = Path(start or ".").resolve()
        for folder in (begin, *begin.parents):
            if _notebooks_in(folder / "notebooks"):
                return cls(folder)
        raise ConfigError(
            f"The working directory must be inside the project; no folder from {begin} upwards "
            "holds `notebooks/NN_verb_object.ipynb`. Change to the project's folder."
        )

    @property
    def notebooks(self) -> Path:
        """The folder of the notebooks."""
        return self.root / "notebooks"

    @property
    def expected(self) -> Path:
        """The file of pinned numbers."""
        return self.notebooks / "expected.json"

    def chain(self) -> list[Path]:
        """Return the notebooks ``NN_name.ipynb`` in the order in which they run.

        Raises
        ------
        ConfigError
            If two share a number.
        """
        found = _notebooks_in(self.notebooks)
        numbers = [path.name[:2] for path in found]
        twice = sorted({number for number in numbers if numbers.count(number) > 1})
        if twice:
            raise ConfigError(
                f"Each notebook must have its own number; {twice[0]} is there twice. Rename one."
            )
        return found

    def find_input(self, path: Path | str) -> Path:
        """Return the file or folder that a parameter names.

        A relative path is looked for in the working directory, the project's root, ``notebooks/``
        and ``data/raw/``, and then anywhere in the project but in ``runs/`` and hidden folders.

        Parameters
        ----------
        path : Path or str

        Raises
        ------
        ConfigError
            If nothing is there, or it is found in several of the other folders.
        """
        wanted = Path(path).expanduser()
        first = dict.fromkeys([Path.cwd(), *(self.root / place for place in _INPUTS)])
        for folder in first:
            if (folder / wanted).exists():
                return (folder / wanted).resolve()
        found = [] if wanted.is_absolute() else sorted(self._anywhere(wanted))
        if len(found) == 1:
            return found[0].resolve()
        if found:
            names = ", ".join(one.relative_to(self.root).as_posix() for one in found)
            raise ConfigError(
                f"{str(path)!r} must be one file; the project has {len(found)}: {names}. Give the "
                "path of one of them."
            )
        looked = [str(wanted)]
        if not wanted.is_absolute():
            looked = [*(one.resolve().as_posix() for one in first), f"all folders of {self.root}"]
        raise ConfigError(
            f"{str(path)!r} must be the path of a file; nothing is at {', '.join(looked)}."
        )

    def find_source(self, source: str) -> str:
        """Return the path of a file as `find_input` does, also of one in a URL of a database.

        A URL of a server stays as it is.
        """
        scheme, mark, path = source.partition(":///")
        if mark and scheme in _FILE_DATABASES:
            return f"{scheme}:///{self.find_input(path).as_posix()}"
        return source if "://" in source else self.find_input(source).as_posix()

    def _anywhere(self, wanted: Path) -> Iterator[Path]:
        for folder, below, _ in os.walk(self.root):
            here = Path(folder)
            below[:] = [
                name
                for name in below
                if not name.startswith((".", "__")) and here / name != self.root / "runs"
            ]
            if (here / wanted).exists():
                yield here / wanted

    def run_folder(self, run: str) -> Path:
        """Return ``runs/<run>``.

        Parameters
        ----------
        run : str
            A plain folder name, or two of them as ``"sweep/setting"``.

        Raises
        ------
        ConfigError
            If it is anything else, or its second part is a folder that runs keep for themselves.
        """
        if not _RUN_NAME.fullmatch(run) or run.partition("/")[2] in _TAKEN:
            raise ConfigError(
                "The name of a run must be letters, digits, '.', '_' and '-', and begin with a "
                "letter or digit; one '/' may stand between a sweep and its setting, which must "
                f"not be called {', '.join(sorted(_TAKEN))}; got {run!r}. Try "
                f"{re.sub('[^A-Za-z0-9._-]+', '-', run).strip('-._') or 'own'!r}."
            )
        return self.root / "runs" / run

    def run_names(self) -> list[str]:
        """Return the names of all runs with a manifest: at the top, and one level down in sweeps.

        Runs inside the folders that a run keeps for itself are none.
        """
        root = self.root / "runs"
        files = sorted([*root.glob("*/manifest.json"), *root.glob("*/*/manifest.json")])
        names = [file.parent.relative_to(root).as_posix() for file in files if file.is_file()]
        plain = [name for name in names if _RUN_NAME.fullmatch(name)]
        return [name for name in plain if name.partition("/")[2] not in _TAKEN]

    def free_name(self, name: str) -> str:
        """Return a name that no run has yet: `name`, else ``name-2`` and so on."""
        names = (f"{name}-{n}" if n > 1 else name for n in count(1))
        return next(free for free in names if not self.run_folder(free).exists())

    def artifacts(self, run: str) -> Path:
        """Return the folder of a run's artifacts."""
        return self.run_folder(run) / "artifacts"

    def figures(self, run: str) -> Path:
        """Return the folder of a run's figures; those of the default run are at the top."""
        return self.root / "figures" if run == DEFAULT_RUN else self.run_folder(run) / "figures"

    def record(self, run: str, notebook: str) -> Path:
        """Return the file that records what `notebook` read and wrote in a run."""
        return self.run_folder(run) / "state" / f"{notebook}.json"

    @contextlib.contextmanager
    def locked(self, run: str, remedy: str = "choose another name with --name") -> Iterator[None]:
        """Lock the folder of a run, or of a sweep.

        The operating system releases the lock when the process ends, however it ends, so no stale
        lock is left behind.

        Parameters
        ----------
        run : str
            Its folder is created if it is missing.
        remedy : str
            What else than to wait whoever asks can do while another process holds it.

        Raises
        ------
        BusyError
            If another process holds it; the message names it.
        ArtifactError
            If the folder cannot be written.
        """
        from recsys_lib.artifacts import alone_in  # loads pandas

        with alone_in(
            self.run_folder(run),
            writable="The folder of the run must be writable",
            alone=f"Only one run named {run!r} may be active",
            remedy=remedy,
        ):
            yield
