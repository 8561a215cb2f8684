"""Watching a fit: a progress bar and a TensorBoard log, each an `on_epoch` of its own.

Both are contexts, since a fit may stop early: leaving the block closes the bar and the log.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from recsys_lib.front_end import is_watched

__all__ = ["ProgressBar", "TensorBoardLog"]

Record = Mapping[str, float]


class ProgressBar:
    """One bar over the epochs of a fit, with its loss, its metric, users per second and time left.

    Parameters
    ----------
    epochs : int
        How many the fit makes at most: ``model.epochs``.
    users : int, optional
        Rows it trains on: ``user_items.shape[0]``. Without it no speed is shown.
    show : bool, optional
        By default only where somebody sees it: in a terminal or in JupyterLab, never in a batch log
        or a notebook run by papermill.

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.models import MultDAE
    >>> likes = sparse.csr_array([[1, 1, 0], [0, 1, 1]], dtype="float32")
    >>> model = MultDAE(latent_dim=2, epochs=3)
    >>> with ProgressBar(epochs=model.epochs, users=likes.shape[0]) as bar:
    ...     _ = model.fit(likes, on_epoch=bar)
    """

    def __init__(self, *, epochs: int, users: int | None = None, show: bool | None = None) -> None:
        self._epochs, self._users = epochs, users
        self._show = is_watched() if show is None else show
        self._bar: Any = None

    def __enter__(self) -> Self:
        if self._show:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=self._epochs, desc="training", unit="epoch")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, record: Record) -> None:
        """Move on to the epoch of `record`."""
        if self._bar is None:
            return
        epoch = int(record["epoch"])
        if (
            self._bar.n < epoch - 1
        ):  # a fit that was taken up: what it had made before costs nothing
            self._bar.initial = self._bar.n = epoch - 1
        self._bar.set_postfix_str(self._said(record), refresh=False)
        self._bar.update(epoch - self._bar.n)

    def _said(self, record: Record) -> str:
        numbers = {name: x for name, x in record.items() if name not in ("epoch", "seconds")}
        said = [f"{name} {value:.4g}" for name, value in numbers.items()]
        if self._users is not None:
            said.append(f"{self._users / max(record['seconds'], 1e-9):,.0f} users/s")
        return ", ".join(said)


class TensorBoardLog:
    """Every number of every epoch as scalars for TensorBoard; a fit taken up goes on in the log.

    Parameters
    ----------
    folder : Path or str
        What ``tensorboard --logdir`` is given, or a folder in it for each fit.

    Raises
    ------
    ImportError
        On entry, if tensorboard is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from scipy import sparse
    >>> from recsys_lib.models import MultDAE
    >>> likes = sparse.csr_array([[1, 1, 0], [0, 1, 1]], dtype="float32")
    >>> with tempfile.TemporaryDirectory() as folder, TensorBoardLog(folder) as log:
    ...     _ = MultDAE(latent_dim=2, epochs=3).fit(likes, on_epoch=log)
    """

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder)
        self._writer: Any = None

    def __enter__(self) -> Self:
        try:
            from tensorboard.summary import Writer
        except ImportError as error:
            raise ImportError(
                "TensorBoardLog must have tensorboard to write with; it is not installed. "
                "Run pip install 'recsys-lib[tensorboard]'."
            ) from error
        self._writer = Writer(str(self._folder))
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def __call__(self, record: Record) -> None:
        """Write the numbers of `record`, on disk when this returns."""
        for name, value in record.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, int(record["epoch"]))
        self._writer.flush()
