"""The items that a step scores: all of them, all of them in chunks, or a weighted sample.

Importing this module starts Keras; networks import it.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lib.models.networks.parts import (
    Network,
    mean_over_users,
    reconstruction,
    scale_of_hidden,
    uniform,
)
from recsys_lib.seeding import seed_from
from recsys_lib.training import backend
from recsys_lib.training._keras import ops
from recsys_lib.training.rows import Batch
from recsys_lib.training.trainer import Phase

Tensor = Any

# Above so many logits in a batch (256 MB), the cross entropy is computed in chunks of a quarter.
DENSE_CELLS = 2**26
CHUNK_CELLS = 2**24

# Whole steps of a stratum, in which chances are counted.
_STEPS = 2**30
# Added to a logit that must not count; not -inf, whose gradient is NaN.
_NEVER = -1e9


class OutputSample:
    """Draws so many items for every update, each with a known chance.

    The chance is the mean of an item's share of all events and of an even share, times `n`, and at
    most 1: the head of the catalog is there in every update, the tail in its turn.

    Parameters
    ----------
    item_bias : ndarray of shape (n_items,), float32
        Logarithms of the items' shares of users.
    n : int
        Items in one draw, from 1 to below `n_items`.
    seed : int
        A draw depends on it and on the number of the update, on nothing else.

    Notes
    -----
    Stratified: the chances, in order of popularity, are laid side by side on a line of length `n`,
    and one point is drawn in each unit of it. An item with the chance 1 fills a unit.
    """

    def __init__(self, item_bias: NDArray[np.float32], n: int, *, seed: int) -> None:
        share = np.exp(item_bias.astype(np.float64))
        share = (share / share.sum() + 1.0 / len(share)) / 2.0
        order = np.argsort(-share, kind="stable")
        self.n, self._seed, self._width = n, seed_from(seed, "outputs"), _STEPS // n
        ends = np.rint(np.cumsum(_chances(share[order], n)) * self._width)
        chances = np.diff(ends, prepend=0.0) / self._width
        self._order, self._ends = order.astype(np.int32), ends.astype(np.int32)
        self._log_chances = np.log(np.maximum(chances, 0.5 / self._width)).astype(np.float32)

    def __call__(self, update: Tensor) -> tuple[Tensor, Tensor]:
        """Return the items drawn, and the logarithms of their weights, of shape (n,) each.

        A sum over all items is, on average, the weighted sum over the items drawn.
        """
        drawn = uniform((self.n,), seed=self._seed, update=update)
        inside = ops.minimum(ops.cast(drawn * self._width, "int32"), self._width - 1)
        points = ops.arange(self.n, dtype="int32") * self._width + inside
        place = ops.cast(ops.searchsorted(self._ends, points, side="right"), "int32")
        # An item across the border of two units may come twice: then once, with twice the weight.
        twice = ops.cast(place[1:] == place[:-1], "float32")
        log_weights = np.log(2.0) * ops.pad(twice, [(0, 1)]) + _NEVER * ops.pad(twice, [(1, 0)])
        log_weights = log_weights - ops.take(self._log_chances, place)
        return ops.take(self._order, place), log_weights


def _chances(shares: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Return chances in proportion to falling shares, each at most 1, with the sum `n`."""
    rest = np.cumsum(shares[::-1])[::-1]
    left = n - np.arange(len(shares))
    # The first so many have the chance 1; the others share what is left.
    full = int(np.argmax(left * shares <= rest))
    chances = shares * (left[full] / rest[full])
    chances[:full] = 1.0
    return chances


class OutputNetwork(Network):
    """Base of the networks that can score a sample of the items in training.

    Attributes
    ----------
    sample : OutputSample or None
        What draws the outputs of an update, if not all items are.
    """

    def __init__(self, settings: Any, item_bias: NDArray[np.float32]) -> None:
        super().__init__(settings, len(item_bias))
        n, seed = settings.outputs, settings.seed
        some = n != "all" and n < self.n_items
        self.sample = OutputSample(item_bias, n, seed=seed) if some else None

    def phase(self, loss: Any, terms: tuple[str, ...], layers: list[Any], **options: Any) -> Phase:
        """Return a phase that moves `layers`; of the tables among them, rows."""
        phase = super().phase(loss, terms, layers, **options)
        if self.sample is None:
            return phase
        known = {id(table) for table in self.tables()}
        tables = [variable for variable in phase.variables if id(variable) in known]
        return replace(phase, tables=tables, narrow=self.narrow)

    def tables(self) -> list[Any]:
        """Return the variables with one row an item."""
        head = self.layers[-1]
        return [self.layers[0].kernel, head.kernel, head.bias]

    def narrow(self, batch: Batch, update: Tensor) -> Batch:
        """Return the batch over its own items and those drawn for this update."""
        assert self.sample is not None
        return batch.narrow(*self.sample(update))

    def nll(self, batch: Batch, code: Tensor, kept: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of what is to be predicted from a code."""
        settings, decoder = self.settings, self.decoder  # type: ignore[attr-defined]
        likelihood = getattr(settings, "likelihood", "multinomial")
        code = backend.by_user(code)
        if batch.touched is None:
            if likelihood != "multinomial" or batch.n_rows * self.n_items <= DENSE_CELLS:
                return reconstruction(batch, decoder(code), kept, settings.targets, likelihood)
            part = in_chunks
        else:
            part = partial(among_sample, likelihood=likelihood)
        shown = kept * batch.used if settings.targets == "hidden" else None
        head = decoder.layers[-1]
        own, total = part(batch, decoder.hidden(code), head.kernel, head.bias, shown)
        if likelihood != "multinomial":
            return mean_over_users(batch, total)
        asked = batch if shown is None else replace(batch, values=batch.values * (1.0 - shown))
        per_row = asked.row_sum(asked.values) * total - asked.row_sum(asked.values * own)
        if shown is not None:
            per_row = per_row * scale_of_hidden(batch, asked)
        return mean_over_users(batch, per_row)


def in_chunks(
    batch: Batch, hidden: Tensor, kernel: Any, bias: Any, shown: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the logit of each slot, and the log of each row's sum of exp(logit) over all items.

    Parameters
    ----------
    batch : Batch
    hidden : tensor of shape (n_rows, width)
        What the last layer is given.
    kernel, bias : variable
        Of shape (width, n_items) and (n_items,).
    shown : tensor of shape (n_slots,), optional
        1 for entries that are left out of the sum.

    Returns
    -------
    tuple of tensor
        Of shape (n_slots,) and (n_rows,), float32.

    Notes
    -----
    The logits of a chunk are computed, summed and forgotten, and computed once more for the
    gradient: a third more products, and memory that does not grow with the number of items.
    """
    size = max(1, CHUNK_CELLS // batch.n_rows)
    n_chunks = -(-batch.n_items // size)
    spare = n_chunks * size - batch.n_items
    out = ops.zeros_like(batch.used) if shown is None else shown

    def chunk(index: Tensor, hidden: Tensor, kernel: Tensor, bias: Tensor) -> tuple[Any, ...]:
        start = ops.cast(index, "int32") * size
        part = ops.slice(kernel, (0, start), (kernel.shape[0], size))
        place = batch.items - start
        here = ops.cast((place >= 0) & (place < size), "float32") * batch.used
        inner = replace(batch, items=ops.clip(place, 0, size - 1), n_items=size)
        logits = ops.cast(ops.matmul(hidden, part), "float32") + ops.slice(bias, (start,), (size,))
        return logits + _NEVER * inner.dense(out * here), part, inner, here

    @ops.custom_gradient  # type: ignore[untyped-decorator,unused-ignore]
    def run(hidden: Tensor, kernel: Tensor, bias: Tensor) -> tuple[Tensor, Any]:
        kernel = ops.pad(kernel, [(0, 0), (0, spare)])
        bias = ops.pad(bias, [(0, spare)], constant_values=_NEVER)

        def forward(carry: tuple[Tensor, ...], index: Tensor) -> tuple[tuple[Tensor, ...], Any]:
            top, total, own = carry
            logits, _, inner, here = chunk(index, hidden, kernel, bias)
            higher = ops.maximum(top, ops.max(logits, axis=1))
            fresh = ops.sum(ops.exp(logits - higher[:, None]), axis=1)
            total = total * ops.exp(top - higher) + fresh
            return (higher, total, own + here * inner.pick(logits)), []

        nothing = ops.zeros((batch.n_rows,), dtype="float32")
        begin = (nothing + _NEVER, nothing, ops.zeros_like(batch.used))
        (top, total, own), _ = backend.scan(forward, begin, n_chunks)
        log_total = top + ops.log(total)

        def gradient(*upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            of_row, of_slot = upstream[-1][: batch.n_rows], upstream[-1][batch.n_rows :]

            def backward(so_far: Tensor, index: Tensor) -> tuple[Tensor, list[Tensor]]:
                logits, part, inner, here = chunk(index, hidden, kernel, bias)
                error = ops.exp(logits - log_total[:, None]) * of_row[:, None]
                error = error + inner.dense(of_slot * here)
                cast = ops.cast(error, hidden.dtype)
                so_far = so_far + ops.matmul(cast, ops.transpose(part))
                return so_far, [ops.matmul(ops.transpose(hidden), cast), ops.sum(error, axis=0)]

            of_hidden, found = backend.scan(backward, ops.zeros_like(hidden), n_chunks)
            whole = ops.reshape(ops.transpose(found[0], (1, 0, 2)), (kernel.shape[0], -1))
            n = batch.n_items
            return of_hidden, whole[:, :n], ops.reshape(found[1], (-1,))[:n]

        return ops.concatenate([log_total, own]), gradient

    both = run(hidden, ops.cast(kernel, hidden.dtype), ops.convert_to_tensor(bias))
    return both[batch.n_rows :], both[: batch.n_rows]


def among_sample(
    batch: Batch,
    hidden: Tensor,
    kernel: Any,
    bias: Any,
    shown: Tensor | None,
    *,
    likelihood: str = "multinomial",
) -> tuple[Tensor, Tensor]:
    """Return the logit of each slot, and an estimate of a sum over all items, as `in_chunks`.

    Parameters
    ----------
    batch : Batch
        Narrowed.
    hidden, shown
        As of `in_chunks`.
    kernel, bias : variable
        Of shape (n_items, width) and (n_items,).
    likelihood : {"multinomial", "logistic", "gaussian"}
        The sum is ``log sum exp(logit)``, or the whole negative log-likelihood of the row.

    Notes
    -----
    A row's own items count as they are; the items drawn that are not among them count with the
    inverse of their chance, so the sum is right on average [1]_. Its logarithm is not quite: it
    is too low by half the relative variance of the sum.

    References
    ----------
    .. [1] Y. Bengio, J.-S. Senécal, "Quick Training of Probabilistic Neural Nets by Importance
       Sampling", AISTATS 2003, section 3.
    """
    kernel, bias = batch.weights(kernel), batch.weights(bias)
    own = at_slots(batch, hidden, kernel) + ops.take(bias, batch.items)
    others = of_drawn(batch, hidden, kernel) + ops.take(bias, batch.part.outputs)
    log_weights = among_others(batch)
    counted = batch.used if shown is None else batch.used - shown
    if likelihood == "multinomial":
        return own, _log_total(batch, own, counted, others + log_weights)
    measure = ops.softplus if likelihood == "logistic" else _half_square
    answers = batch.values if likelihood == "logistic" else 0.0
    misses = measure(own) if likelihood == "logistic" else measure(own - batch.values)
    mine = batch.row_sum(batch.used * (misses - answers * own))
    return own, mine + ops.sum(ops.exp(log_weights) * measure(others), axis=1)


def at_slots(batch: Batch, hidden: Tensor, rows: Tensor) -> Tensor:
    """Return the product of each slot's row of `hidden` and its item's row of `rows`."""
    rows = ops.take(ops.cast(rows, hidden.dtype), batch.items, axis=0)
    mine = ops.take(hidden, ops.minimum(batch.rows, batch.n_rows - 1), axis=0)
    return ops.cast(ops.sum(mine * rows, axis=1), "float32")


def of_drawn(batch: Batch, hidden: Tensor, rows: Tensor) -> Tensor:
    """Return the products with those of `rows` that were drawn, of shape (n_rows, n_outputs)."""
    rows = ops.take(rows, batch.part.outputs, axis=0)
    return ops.cast(ops.matmul(hidden, ops.transpose(ops.cast(rows, hidden.dtype))), "float32")


def among_others(batch: Batch) -> Tensor:
    """Return the log weights of the items drawn for each row: as good as 0 for its own."""
    touched, n = batch.part, batch.part.outputs.shape[0]
    alive = ops.cast(touched.log_weights > 0.5 * _NEVER, "int32")
    column = ops.scatter(
        touched.outputs[:, None], alive * ops.arange(1, n + 1, dtype="int32"), (batch.n_items,)
    )
    column = ops.where(column > 0, column - 1, n)
    inner, mine = batch.among(column, n, batch.used)
    return touched.log_weights + _NEVER * inner.dense(mine)


def _half_square(x: Tensor) -> Tensor:
    return 0.5 * ops.square(x)


def _log_total(batch: Batch, own: Tensor, counted: Tensor, others: Tensor) -> Tensor:
    """Return the log of each row's sum of exp() over its counted slots and over `others`."""
    slots = own + _NEVER * (1.0 - counted)
    top = ops.segment_max(slots, batch.rows, num_segments=batch.n_rows + 1)[: batch.n_rows]
    top = ops.stop_gradient(ops.maximum(top, ops.max(others, axis=1)))
    mine = batch.row_sum(counted * ops.exp(slots - batch.spread(top)))
    return top + ops.log(mine + ops.sum(ops.exp(others - top[:, None]), axis=1))
