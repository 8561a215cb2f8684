"""The items that a step scores: all of them, all of them in chunks, or a weighted sample.

Importing this module starts Keras; networks import it.
"""

from dataclasses import replace
from typing import Any

from recsys_lib.checks import Floats
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
from recsys_lib.training.passes import Phase
from recsys_lib.training.rows import Batch

Tensor = Any

# Above so many logits in a batch (256 MB), the cross entropy is computed in chunks of a quarter.
DENSE_CELLS = 2**26
CHUNK_CELLS = 2**24

# Added to a logit that must not count; not -inf, whose gradient is NaN.
_NEVER = -1e9


class OutputNetwork(Network):
    """Base of the networks that can score a sample of the items in training.

    Attributes
    ----------
    n_drawn : int or None
        How many items an update draws beside those of its rows; None where all items count.
    """

    def __init__(self, settings: Any, item_bias: Floats) -> None:
        super().__init__(settings, len(item_bias))
        n = settings.outputs
        self.n_drawn: int | None = n if n != "all" and n < self.n_items else None

    def phase(self, loss: Any, terms: tuple[str, ...], layers: list[Any], **options: Any) -> Phase:
        """Return a phase that moves `layers`; of the tables among them, rows."""
        phase = super().phase(loss, terms, layers, **options)
        if self.n_drawn is None:
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
        assert self.n_drawn is not None
        seed = seed_from(self.settings.seed, "outputs")
        return batch.narrow(uniform((self.n_drawn,), seed=seed, update=update))

    def nll(self, batch: Batch, code: Tensor, kept: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of what is to be predicted from a code."""
        settings, decoder = self.settings, self.decoder  # type: ignore[attr-defined]
        likelihood = getattr(settings, "likelihood", "multinomial")
        few = batch.touched is not None or batch.n_rows * self.n_items <= DENSE_CELLS
        if few or likelihood != "multinomial":
            logits = decoder(code, batch)
            return reconstruction(batch, logits, kept, settings.targets, likelihood)
        shown = kept * batch.used if settings.targets == "hidden" else None
        head = decoder.layers[-1]
        own, total = in_chunks(batch, decoder.hidden(code), head.kernel, head.bias, shown)
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
    n_chunks = -(-batch.n_items // max(1, CHUNK_CELLS // batch.n_rows))
    n_devices = backend.n_devices()
    size = -(-batch.n_items // (n_chunks * n_devices)) * n_devices
    spare = n_chunks * size - batch.n_items
    out = ops.zeros_like(batch.used) if shown is None else shown

    def chunk(index: Tensor, hidden: Tensor, parts: Tensor, biases: Tensor) -> tuple[Any, ...]:
        part, bias = ops.take(parts, index, axis=0), ops.take(biases, index, axis=0)
        here = ops.cast(batch.items % n_chunks == ops.cast(index, "int32"), "float32") * batch.used
        inner = replace(batch, items=batch.items // n_chunks, n_items=size)
        logits = ops.cast(ops.matmul(hidden, part), "float32") + bias
        return logits + _NEVER * inner.dense(out * here), part, inner, here

    @ops.custom_gradient  # type: ignore[untyped-decorator,unused-ignore]
    def run(hidden: Tensor, kernel: Tensor, bias: Tensor) -> tuple[Tensor, Any]:
        # Every n_chunks-th item is in a chunk: each device has its share of the columns of each.
        parts = ops.reshape(ops.pad(kernel, [(0, 0), (0, spare)]), (-1, size, n_chunks))
        parts = backend.shared(ops.transpose(parts, (2, 0, 1)), None, None, "devices")
        bias = ops.pad(bias, [(0, spare)], constant_values=_NEVER)
        biases = ops.transpose(ops.reshape(bias, (size, n_chunks)))

        def forward(carry: tuple[Tensor, ...], index: Tensor) -> tuple[tuple[Tensor, ...], Any]:
            top, total, own = carry
            logits, _, inner, here = chunk(index, hidden, parts, biases)
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
                logits, part, inner, here = chunk(index, hidden, parts, biases)
                error = ops.exp(logits - log_total[:, None]) * of_row[:, None]
                error = error + inner.dense(of_slot * here)
                cast = ops.cast(error, hidden.dtype)
                so_far = so_far + ops.matmul(cast, ops.transpose(part))
                return so_far, [ops.matmul(ops.transpose(hidden), cast), ops.sum(error, axis=0)]

            of_hidden, found = backend.scan(backward, ops.zeros_like(hidden), n_chunks)
            of_kernel = ops.reshape(ops.transpose(found[0], (1, 2, 0)), (kernel.shape[0], -1))
            of_bias = ops.reshape(ops.transpose(found[1]), (-1,))
            return of_hidden, of_kernel[:, : batch.n_items], of_bias[: batch.n_items]

        return ops.concatenate([log_total, own]), gradient

    both = run(hidden, ops.cast(kernel, hidden.dtype), ops.convert_to_tensor(bias))
    return both[batch.n_rows :], both[: batch.n_rows]
