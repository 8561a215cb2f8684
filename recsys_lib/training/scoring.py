"""Dense scores of sparse rows, in blocks of fixed shape, independent of the batch size."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.training import backend
from recsys_lib.training.rows import SPARSE_DENSITY, Batch, bucket, expand, host_arrays
from recsys_lib.training.weights import variables_of

__all__ = ["Scorer"]

Tensor = Any

# A product of fewer rows takes other kernels, whose rounding differs in the last bit; from 64 rows
# on, TensorFlow and JAX gave equal bits for a row in every block measured.
SMALL_BLOCK, BLOCK = 64, 512


class Scorer:
    """Score rows of a CSR with a compiled function.

    Parameters
    ----------
    score : callable
        ``score(batch) -> tensor (n_rows, n_out)``, in `keras.ops`, without noise.
    n_items : int
        Columns of the rows.
    n_out : int, optional
        Columns of the result; `n_items` by default. A code is scored as its dimensions.
    state : sequence
        What `score` reads: models, layers, variables.
    gather : bool, optional
        As in `training.Rows`; by default decided by the density of each block.

    Notes
    -----
    Rows are padded to blocks of 64 or 512, so one row costs as much as 64.
    """

    def __init__(
        self,
        score: Callable[[Batch], Tensor],
        *,
        n_items: int,
        n_out: int | None = None,
        state: Sequence[Any] = (),
        gather: bool | None = None,
    ) -> None:
        self._score, self._state, self._gather = score, variables_of(state), gather
        self._n_items = n_items
        self._n_out = n_items if n_out is None else n_out
        self._compiled: dict[tuple[int, bool], Callable[..., NDArray[Any]]] = {}

    def __call__(self, user_items: sparse.csr_array) -> NDArray[np.float32]:
        """Score every row.

        Parameters
        ----------
        user_items : csr_array of shape (n_rows, n_items), float32

        Returns
        -------
        ndarray of shape (n_rows, n_out), float32
        """
        n_rows = user_items.shape[0]
        scores = np.empty((n_rows, self._n_out), dtype=np.float32)
        size = SMALL_BLOCK if n_rows <= SMALL_BLOCK else BLOCK
        for start in range(0, n_rows, size):
            block = user_items[start : start + size]
            scores[start : start + size] = self._score_block(block, size)[: block.shape[0]]
        return scores

    def _score_block(self, block: sparse.csr_array, size: int) -> NDArray[Any]:
        n_slots = bucket(block.nnz)
        sparsely = self._gather
        if sparsely is None:
            sparsely = block.nnz < SPARSE_DENSITY * block.shape[0] * self._n_items
        arrays = host_arrays(block, n_rows=size, n_slots=n_slots)
        users = np.arange(size, dtype=np.int32)[None]
        function = self._function(size, sparsely)
        return function(arrays, users, np.arange(n_slots, dtype=np.int32))

    def _function(self, size: int, sparsely: bool) -> Callable[..., NDArray[Any]]:
        key = (size, sparsely)
        if key not in self._compiled:

            def run(arrays: Any, users: Tensor, slots: Tensor) -> Tensor:
                batch = expand(arrays, users[0], slots, n_items=self._n_items, gather=sparsely)
                return self._score(batch)

            self._compiled[key] = backend.compile_function(run, state=self._state)
        return self._compiled[key]
