"""Sparse rows on the device, and the batches that a compiled step takes from them.

The matrix is sent once, as the three arrays of its CSR. A step receives the positions of its users
and finds their entries by itself, as flat slots ``(row, item, value)`` of a fixed number, so an
epoch needs no Python between its steps and no dense user x item matrix anywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lib.checks import CSR, Floats
from recsys_lib.training import backend
from recsys_lib.training._keras import ops

Tensor = Any


@dataclass(frozen=True)
class Touched:
    """The part of the catalog that a step reads and moves: the items of its rows, and drawn ones.

    Attributes
    ----------
    items : tensor of shape (n_touched,), int32
        Their positions in the catalog, ascending; JAX, which needs a fixed number, pads with the
        number of items.
    weights : tensor of shape (n_touched,), float32
        How often each counts, so that a sum over all items is right on average: once if a row of
        the batch holds it, else the inverse of its chance to be drawn; 0 for padding.
    tables : mapping of int to tensor
        The rows of each table that the step moves, by the id of its variable.
    """

    items: Tensor
    weights: Tensor
    tables: Mapping[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Rows of a CSR inside a compiled step.

    Attributes
    ----------
    rows : tensor of shape (n_slots,), int32
        Row of each slot within the batch, ascending. Unused slots hold `n_rows`.
    items : tensor of shape (n_slots,), int32
        Item position of each slot.
    values : tensor of shape (n_slots,), float32
        Value of each slot; 0 where it is unused.
    used : tensor of shape (n_slots,), float32
        1 where the slot holds a stored entry, also one that stores 0.
    present : tensor of shape (n_rows,), float32
        1 for a user, 0 for padding of the last batch.
    users : tensor of shape (n_rows,), int32
        Positions of the users in the matrix; padding holds the number of its rows.
    n_rows, n_items : int
        Static shape of the batch.
    gather : bool
        Whether `project` gathers kernel rows or makes the batch dense.
    targets : Batch or None
        The same users' rows of a second matrix, where a pass has one.
    touched : Touched or None
        In a step that looks at a part of the catalog, this part; `items` are positions in it.
    """

    rows: Tensor
    items: Tensor
    values: Tensor
    used: Tensor
    present: Tensor
    users: Tensor
    n_rows: int
    n_items: int
    gather: bool = False
    targets: "Batch | None" = None
    touched: Touched | None = None

    def narrow(self, draws: Tensor) -> "Batch":
        """Return the batch over the items of its rows and a sample of the others.

        Parameters
        ----------
        draws : tensor of shape (n_drawn,), float32
            Uniform on [0, 1): each chooses in its own of as many equal strata of the others. One
            across the border of two strata may be chosen twice, and counts twice.

        Notes
        -----
        O(n_items) numbers. Items of the rows count once and those drawn by the inverse of their
        chance, so that a sum over all items is right on average [1]_; its logarithm is too low by
        half the relative variance of the sum. Differs from [1]_: exact for all items of the batch.

        References
        ----------
        .. [1] Y. Bengio, J.-S. Senécal, "Quick Training of Probabilistic Neural Nets by Importance
           Sampling", AISTATS 2003, section 3.
        """
        n_drawn = int(draws.shape[0])
        mine = ops.scatter(self.items[:, None], self.used, (self.n_items,)) > 0
        rank = ops.cumsum(1 - ops.cast(mine, "int32")) - 1
        stride = ops.cast(rank[-1] + 1, "float32") / n_drawn
        points = (ops.arange(n_drawn, dtype="float32") + draws) * stride
        chosen = ops.minimum(ops.cast(points, "int32"), ops.maximum(rank[-1], 0))
        times = ops.scatter(chosen[:, None], ops.ones_like(draws), (self.n_items,))
        # Where there are no more than are to be drawn, each counts once.
        others = ops.where(stride > 1.0, stride * ops.take(times, ops.maximum(rank, 0)), 1.0)
        counted = ops.where(mine, 1.0, others)
        wanted = counted > 0
        place = ops.maximum(ops.cumsum(ops.cast(wanted, "int32")) - 1, 0)
        at_most = ops.concatenate([self.used, draws]).shape[0]
        items = backend.positions(wanted, at_most=at_most)
        touched = Touched(items, ops.take(ops.pad(counted, [(0, 1)]), items))
        inner = ops.take(place, self.items)
        return replace(self, items=inner, n_items=ops.shape(items)[0], touched=touched)

    @property
    def part(self) -> Touched:
        """The part of the catalog that a narrowed batch looks at."""
        assert self.touched is not None
        return self.touched

    def with_tables(self, tables: Mapping[int, Tensor]) -> "Batch":
        """Return the batch with the rows that a step moves, as `Touched.tables`."""
        if self.touched is None:
            return self
        return replace(self, touched=replace(self.touched, tables=tables))

    def weights(self, variable: Any) -> Tensor:
        """Return a variable with one row an item; of a narrowed batch, the rows of its items."""
        if self.touched is None:
            return variable
        rows = self.touched.tables.get(id(variable))
        # A table that the step does not move is only read.
        return backend.take_rows(variable, self.touched.items) if rows is None else rows

    def own(self, variable: Any) -> Tensor:
        """Return the rows of a table that the step moves; any other variable as it is."""
        moved = {} if self.touched is None else self.touched.tables
        return moved.get(id(variable), variable)

    def times_weights(self, per_item: Tensor) -> Tensor:
        """Return `per_item` of shape (n_items, width), each row as often as its item counts."""
        return per_item if self.touched is None else per_item * self.touched.weights[:, None]

    def at_slots(self, per_row: Tensor, per_item: Tensor) -> Tensor:
        """Return the product of each slot's row of `per_row` and its item's row of `per_item`."""
        return ops.sum(self.spread(per_row) * ops.take(per_item, self.items, axis=0), axis=1)

    def over_items(self, values: Tensor) -> Tensor:
        """Sum `values` of shape (n_rows, n_items) over the whole catalog, or estimate the sum."""
        if self.touched is None:
            return ops.sum(values, axis=1)
        return ops.matmul(values, self.touched.weights[:, None])[:, 0]

    def counted(self, logits: Tensor) -> Tensor:
        """Return logits whose sum of exp(logit) is that of the whole catalog, or an estimate."""
        if self.touched is None:
            return logits
        return logits + ops.log(ops.maximum(self.touched.weights, 1e-30))

    def dense(self, values: Tensor | None = None) -> Tensor:
        """Return slot `values` (the stored ones by default) as a dense (n_rows, n_items) tensor."""
        filled = self.values if values is None else values
        return backend.dense(self.rows, self.items, filled, self.n_rows, self.n_items)

    def row_sum(self, values: Tensor) -> Tensor:
        """Sum slot `values` within each row; shape (n_rows,)."""
        return backend.row_sum(values, self.rows, self.n_rows)

    def spread(self, per_row: Tensor) -> Tensor:
        """Return `per_row` of shape (n_rows, ...) at each slot; unused slots get the last row's."""
        return ops.take(per_row, ops.minimum(self.rows, self.n_rows - 1), axis=0)

    def at(self, per_item: Floats) -> Tensor:
        """Return `per_item` of shape (n_items,) at each slot."""
        return ops.take(ops.convert_to_tensor(per_item), self.items, axis=0)

    def among(
        self, place: NDArray[np.int32], n_items: int, values: Tensor
    ) -> tuple["Batch", Tensor]:
        """Return the rows over fewer items, and slot `values` with 0 where an item is left out.

        Parameters
        ----------
        place : ndarray of shape (n_items,), int32
            Where each item stands among the fewer; `n_items` for one that is left out.
        n_items : int
            How many are left.
        values : tensor of shape (n_slots,)
        """
        items = ops.take(place, self.items, axis=0)
        known = ops.cast(items < n_items, "float32")
        inner = replace(self, items=ops.minimum(items, n_items - 1), n_items=n_items)
        return inner, values * known

    def pick(self, scores: Tensor) -> Tensor:
        """Return dense `scores` of shape (n_rows, n_items) at each slot; mask it with `used`."""
        return backend.entries(scores, ops.minimum(self.rows, self.n_rows - 1), self.items)

    def project(
        self, kernel: Tensor, values: Tensor | None = None, *, dtype: str = "float32"
    ) -> Tensor:
        """Return (rows of `values`) @ `kernel`, of shape (n_rows, width).

        Parameters
        ----------
        kernel : tensor of shape (n_items, width)
        values : tensor of shape (n_slots,), optional
            What the slots hold; the stored values by default.
        dtype : str
            What a dense product is computed in, and a gathered one where the backend is faster so.

        Returns
        -------
        tensor of shape (n_rows, width), `dtype`

        Notes
        -----
        Dense: 2 n_rows n_items width flops. Gathered: 2 n_slots width, bound by memory.
        """
        within = "float32" if self.gather and backend.GATHERS_IN_FLOAT32 else dtype
        kernel = ops.cast(kernel, within)
        filled = ops.cast(self.values if values is None else values, within)
        if not self.gather:
            return backend.shared(ops.matmul(self.dense(filled), kernel))
        product = backend.sparse_matmul(self.rows, self.items, filled, kernel, self.n_rows)
        return backend.shared(ops.cast(product, dtype))


class Rows:
    """A CSR matrix on the device.

    Parameters
    ----------
    matrix : csr_array of shape (n_rows, n_items), float32
        At most 2**31 - 1 stored entries.
    gather : bool
        Whether the first layer gathers kernel rows; `gathers` says where that pays.

    Attributes
    ----------
    arrays : dict of str to tensor
        ``starts`` of shape (n_rows + 2,), ``items`` and ``values`` of shape (nnz or more,); without
        ``values`` where each is 1.
    lengths : ndarray of shape (n_rows + 1,), int64
        Stored entries of each row, on the host; the last belongs to the padding user and is 0.

    Examples
    --------
    >>> from scipy import sparse
    >>> rows = Rows(sparse.csr_array([[0.0, 2.0], [3.0, 4.0]]))
    >>> [int(n) for n in rows.lengths]
    [1, 2, 0]
    """

    def __init__(self, matrix: CSR, *, gather: bool = False) -> None:
        if matrix.nnz >= 2**31:
            raise ValueError(
                f"`matrix` must have fewer than 2**31 stored entries; got {matrix.nnz}. "
                "Train on fewer users."
            )
        self.n_rows, self.n_items = (int(size) for size in matrix.shape)
        self.lengths = np.append(np.diff(matrix.indptr), 0).astype(np.int64)
        self.gather = gather
        host = host_arrays(matrix, n_rows=self.n_rows, n_slots=max(matrix.nnz, 1))
        if (matrix.data == 1).all():  # as of likes: each step saves the look at them
            del host["values"]
        self.arrays = {name: ops.convert_to_tensor(array) for name, array in host.items()}

    def slots_for(self, orders: NDArray[np.int32]) -> int:
        """Return how many slots the fullest batch of `orders` (n_steps, batch_size) needs."""
        return int(self.lengths[orders].sum(axis=1).max(initial=1))

    def usual_slots(self, batch_size: int) -> int:
        """Return a number of slots that random batches hardly ever exceed."""
        lengths = self.lengths[:-1]
        fullest = np.sort(lengths)[::-1][:batch_size]
        usual = lengths.mean() * batch_size + 6 * lengths.std() * np.sqrt(batch_size)
        return int(min(max(usual, fullest[0]), fullest.sum()))


def gathers(density: float, width: int) -> bool:
    """Say whether gathering kernel rows is faster than a product with dense rows.

    Parameters
    ----------
    density : float
        Share of stored entries.
    width : int
        Columns of the kernel.

    Notes
    -----
    ``tests/benchmarks/bench_density.py`` measures both. On two CPU cores gathering won on
    TensorFlow, whose sparse product runs on all cores, up to 10 % for kernels of 32, 128 and 600
    columns; on JAX up to 2 %, 2 % and 1 %, and lost from 5 %, 5 % and 2 % on. A GPU was not at
    hand; there the limit is the lower one of before.
    """
    limit, power = backend.GATHER
    return density * width**power < limit


def host_arrays(matrix: CSR, *, n_rows: int, n_slots: int) -> dict[str, NDArray[Any]]:
    """Return the arrays of a CSR, padded with empty rows to `n_rows` and to `n_slots` entries.

    One more row, the padding user, is always empty; at least one slot must exist, so that gathers
    have something to point at.
    """
    spare = (0, n_slots - matrix.nnz)
    ends = (0, n_rows + 2 - len(matrix.indptr))
    return {
        "starts": np.pad(matrix.indptr, ends, constant_values=matrix.nnz).astype(np.int32),
        "items": np.pad(matrix.indices, spare).astype(np.int32),
        "values": np.pad(matrix.data, spare).astype(np.float32),
    }


def bucket(n_slots: int) -> int:
    """Round up to one of eight steps per power of two, so that few shapes are compiled.

    Examples
    --------
    >>> [bucket(n) for n in (0, 17, 1000, 1025)]
    [16, 18, 1024, 1152]
    """
    if n_slots <= 16:
        return 16
    step = 1 << ((n_slots - 1).bit_length() - 4)
    return -(-n_slots // step) * step


def expand(
    arrays: dict[str, Tensor], users: Tensor, slots: Tensor, *, n_items: int, gather: bool
) -> Batch:
    """Find the stored entries of `users`, inside a compiled function.

    Parameters
    ----------
    arrays : dict of str to tensor
        As `Rows.arrays`.
    users : tensor of shape (batch_size,), int32
        Positions; the number of rows stands for padding.
    slots : tensor of shape (n_slots,), int32
        ``0, 1, 2, ...``; its length is the capacity of the batch.
    n_items : int
        Columns of the matrix.
    gather : bool
        As `Batch.gather`.

    Returns
    -------
    Batch
    """
    n_rows = int(users.shape[0])
    start = ops.take(arrays["starts"], users, axis=0)
    length = ops.take(arrays["starts"], users + 1, axis=0) - start
    end = ops.cumsum(length)
    row = backend.rows_of(end, slots)
    used = ops.cast(row < n_rows, "float32")
    shift = ops.take(start - end + length, ops.minimum(row, n_rows - 1), axis=0)
    at = ops.minimum(slots + shift, ops.shape(arrays["items"])[0] - 1)
    return Batch(
        rows=row,
        items=ops.take(arrays["items"], at, axis=0),
        values=ops.take(arrays["values"], at, axis=0) * used if "values" in arrays else used,
        used=used,
        present=ops.cast(users < ops.shape(arrays["starts"])[0] - 2, "float32"),
        users=users,
        n_rows=n_rows,
        n_items=n_items,
        gather=gather,
    )
