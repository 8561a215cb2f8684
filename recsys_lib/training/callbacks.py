"""A TensorBoard log of a fit, as an `on_epoch` callback."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

Record = Mapping[str, float]


class TensorBoardLog:
    """Writes every number of every epoch for TensorBoard; a resumed fit continues the log.

    A context manager, since a fit may stop early: leaving the block closes the log.

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
