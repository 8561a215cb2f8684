"""Parts of networks over sparse rows: their base, layers, noise and losses.

Importing this module starts Keras; models import it where they build a network.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from recsys_lib.checks import Floats
from recsys_lib.seeding import seed_from
from recsys_lib.training import backend
from recsys_lib.training._keras import keras, ops
from recsys_lib.training.passes import Phase
from recsys_lib.training.rows import Batch
from recsys_lib.training.scoring import linear

Tensor = Any


class Network:
    """Base of the networks: layers, losses and one score, as pure tensors.

    Parameters
    ----------
    settings : Recommender
        The model that the network belongs to, whose hyper-parameters it reads.
    n_items : int
        Columns of the rows.

    Attributes
    ----------
    layers : list of keras.layers.Layer
        Those whose weights make the model, in a fixed order.
    """

    #: The names of what `loss` returns.
    terms: tuple[str, ...] = ("reconstruction",)
    layers: list[Any]

    def __init__(self, settings: Any, n_items: int) -> None:
        self.settings, self.n_items = settings, n_items
        self.seeds = keras.random.SeedGenerator(seed_from(settings.seed, "noise"))

    @property
    def state(self) -> list[Any]:
        """Everything that the losses read or write."""
        return [self.layers, self.seeds]

    def phases(self) -> list[Phase]:
        """Return the phases of one epoch: one that trains everything."""
        return [self.phase(self.loss, self.terms, self.layers)]

    def phase(self, loss: Any, terms: tuple[str, ...], layers: list[Any], **options: Any) -> Phase:
        """Return a phase that moves `layers`, with an optimizer of its own."""
        variables, optimizer = weights_of(layers), self.optimizer()
        return Phase(loss=loss, terms=terms, variables=variables, optimizer=optimizer, **options)

    def optimizer(self) -> Any:
        """Return a fresh optimizer."""
        return keras.optimizers.Adam(self.settings.learning_rate)

    def loss(self, batch: Batch, update: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Return the objective and its named terms."""
        raise NotImplementedError

    def score(self, batch: Batch) -> Tensor:
        """Return scores of shape (n_rows, n_items), without noise."""
        raise NotImplementedError

    def keep(self, batch: Batch) -> Tensor:
        """Draw which slots the encoder sees: 1 with probability ``1 - dropout``, else 0."""
        rate = self.settings.dropout
        if rate == 0:
            return ops.ones_like(batch.used)
        drawn = keras.random.uniform(ops.shape(batch.used), seed=self.seeds)
        return ops.cast(drawn >= rate, "float32")

    def noisy(self, batch: Batch, kept: Tensor) -> Tensor:
        """Return the unit rows after dropout."""
        return unit_rows(batch) * kept / (1.0 - self.settings.dropout)

    def penalty(self, layers: Sequence[Any], batch: Batch) -> Tensor:
        """Return `l2` times the squared norm of the kernels; biases and normalization are free.

        Of a table it is that of the rows at hand.
        """
        l2 = self.settings.l2
        if l2 == 0:
            return ops.zeros(())
        kernels = [batch.own(layer.kernel) for layer in layers if hasattr(layer, "kernel")]
        return l2 * sum(ops.sum(ops.square(kernel)) for kernel in kernels)


class GaussianNetwork(Network):
    """Base of the networks whose code is a normal distribution for each row."""

    encoder: Any
    decoder: Any

    def posterior(self, batch: Batch, values: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the code of each row; 0 and 0 for an empty one."""
        both = self.encoder(batch, unit_rows(batch) if values is None else values)
        mean, log_variance = ops.split(both * has_entries(batch), 2, axis=1)
        return mean, log_variance

    def score(self, batch: Batch) -> Tensor:
        """Return logits of shape (n_rows, n_items) at the mean code."""
        return self.decoder(self.posterior(batch)[0])

    def encode(self, batch: Batch) -> Tensor:
        """Return mean and log variance side by side, (n_rows, 2 latent_dim), without noise."""
        return ops.concatenate(self.posterior(batch), axis=1)


def unit_rows(batch: Batch) -> Tensor:
    """Return the slot values of ``x / ||x||_2``, of shape (n_slots,); an empty row stays 0."""
    squares = batch.row_sum(ops.square(batch.values))
    scale = ops.where(squares > 0, ops.rsqrt(squares), 0.0)
    return batch.values * batch.spread(scale)


def has_entries(batch: Batch) -> Tensor:
    """Return 1 for each row with an entry other than 0, else 0; shape (n_rows, 1)."""
    return ops.cast(batch.row_sum(ops.square(batch.values)) > 0, "float32")[:, None]


def popular_scores(item_bias: Floats, likelihood: str) -> Floats:
    """Return the scores of a popularity model, given the logarithms of the items' shares."""
    if likelihood == "multinomial":
        return item_bias
    share = np.exp(item_bias.astype(np.float64))
    if likelihood == "logistic":
        share = np.log(share / (1.0 - share))
    return share.astype(np.float32)


def sample(
    mean: Tensor, log_variance: Tensor, seeds: keras.random.SeedGenerator
) -> tuple[Tensor, Tensor]:
    """Draw ``z = mean + exp(log_variance / 2) * noise`` with unit noise; return (z, noise)."""
    noise = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=seeds)
    return mean + ops.exp(0.5 * log_variance) * noise, noise


def dense(n_inputs: int, units: int, *place: str, seed: int, **options: Any) -> Any:
    """Return a built linear layer, named for its place; the seed and the place make its kernel."""
    kernel = keras.initializers.GlorotUniform(seed_from(seed, *place))
    settings: dict[str, Any] = {"kernel_initializer": kernel, **options}
    layer = keras.layers.Dense(units, name="_".join(place), **settings)
    layer.build((None, n_inputs))
    return layer


def apply_first(layer: Any, batch: Batch, values: Tensor | None = None) -> Tensor:
    """Return ``layer(rows)`` without making the rows dense where gathering is cheaper.

    Parameters
    ----------
    layer : keras.layers.Dense
        Built for `n_items` inputs.
    batch : Batch
    values : tensor of shape (n_slots,), optional
        What the slots hold; the stored values by default.

    Returns
    -------
    tensor of shape (n_rows, units)
    """
    dtype = layer.compute_dtype
    product = batch.project(batch.weights(layer.kernel), values, dtype=dtype)
    return layer.activation(product + ops.cast(layer.bias, dtype))


def dense_stack(widths: Sequence[int], *, seed: int, part: str) -> list[Any]:
    """Return linear layers from each of `widths` to the next."""
    return [
        dense(widths[depth], widths[depth + 1], part, str(depth), seed=seed)
        for depth in range(len(widths) - 1)
    ]


class Encoder:
    """Rows to `units` numbers: tanh layers of `hidden_dims`, then a linear head."""

    def __init__(self, n_items: int, hidden_dims: Sequence[int], units: int, *, seed: int) -> None:
        self.layers = dense_stack([n_items, *hidden_dims, units], seed=seed, part="encoder")

    def __call__(self, batch: Batch, values: Tensor) -> Tensor:
        """Return a tensor of shape (n_rows, units)."""
        hidden = apply_first(self.layers[0], batch, values)
        for layer in self.layers[1:]:
            hidden = layer(ops.tanh(hidden))
        return ops.cast(hidden, "float32")


class Decoder:
    """A code to one logit for each item: tanh layers of `hidden_dims`, then a linear head.

    The bias of the head starts at `item_bias`, so that the code 0 starts as popularity. With
    `by_item` the weights of an item lie side by side (`ItemHead`).
    """

    def __init__(
        self, settings: Any, hidden_dims: Sequence[int], item_bias: Floats, *, by_item: bool
    ) -> None:
        widths = [settings.latent_dim, *hidden_dims, len(item_bias)]
        self.layers = dense_stack(widths, seed=settings.seed, part="decoder")
        self.layers[-1].bias.assign(item_bias)
        self.by_item = by_item
        if by_item:
            self.layers[-1] = ItemHead(self.layers[-1])

    def vectors(self) -> Tensor:
        """Return the weights of each item, of shape (n_items, width of the last layer's input)."""
        head = self.layers[-1]
        return head.kernel if self.by_item else ops.transpose(head.kernel)

    def hidden(self, code: Tensor) -> Tensor:
        """Return what the last layer is given, in the precision that it computes in."""
        for layer in self.layers[:-1]:
            code = ops.tanh(layer(code))
        return backend.shared(ops.cast(code, self.layers[-1].compute_dtype))

    def __call__(self, code: Tensor, batch: Batch | None = None) -> Tensor:
        """Return logits of shape (n_rows, n_items); for a narrowed batch, those of its items."""
        head, hidden = self.layers[-1], self.hidden(code)
        if batch is None or batch.touched is None:
            return ops.cast(head(hidden), "float32")
        kernel = ops.cast(batch.weights(head.kernel), hidden.dtype)
        product = ops.matmul(hidden, ops.transpose(kernel))
        return ops.cast(product, "float32") + batch.weights(head.bias)


class ItemHead(keras.layers.Layer):  # type: ignore[misc,unused-ignore]
    """A linear layer to one number an item, whose kernel has one row an item.

    Parameters
    ----------
    dense : keras.layers.Dense
        Built; whose weights it starts from.
    """

    def __init__(self, dense: Any) -> None:
        super().__init__(name=dense.name)
        kernel = ops.transpose(dense.kernel)
        self.kernel = self.add_weight(shape=kernel.shape, name="kernel", initializer="zeros")
        self.bias = self.add_weight(shape=dense.bias.shape, name="bias", initializer="zeros")
        self.kernel.assign(kernel)
        # A sum, because TensorFlow would let both variables share memory, in which rows are moved.
        self.bias.assign(dense.bias + 0.0)
        self.built = True

    def __call__(self, code: Tensor) -> Tensor:
        """Return scores of shape (n_rows, n_items)."""
        return linear(code, ops.transpose(self.kernel), self.bias)


def weights_of(layers: Sequence[Any]) -> list[Any]:
    """Return the trainable weights of `layers`, in order."""
    return [weight for layer in layers for weight in layer.trainable_weights]


class DenselyConnected:
    """Swish layers with layer normalization, each fed by the sum of all before it; a linear head.

    ``h1 = LN(swish(W1 x)), h2 = LN(swish(W2 h1 + h1)), h3 = LN(swish(W3 h2 + h1 + h2)), ...``: the
    layer before comes in through its kernel and directly, as in the code of RecVAE.
    """

    def __init__(self, widths: Sequence[int], *, seed: int, part: str) -> None:
        *self.hidden, self.head = dense_stack(widths, seed=seed, part=part)
        norms = enumerate(widths[1:-1])
        self.norms = [_layer_norm(width, f"{part}_norm_{layer}") for layer, width in norms]
        self.layers = [*self.hidden, *self.norms, self.head]

    def after(self, product: Tensor) -> Tensor:
        """Return what the head says, float32, given what the first kernel makes of the input."""
        last = self.norms[0](ops.silu(product))
        total = last
        for layer, norm in zip(self.hidden[1:], self.norms[1:], strict=True):
            last = norm(ops.silu(layer(last) + total))
            total = total + last
        return ops.cast(self.head(last), "float32")


def _layer_norm(width: int, name: str) -> Any:
    # The authors' code of RecVAE widens the usual 1e-3 to 0.1.
    layer = keras.layers.LayerNormalization(epsilon=0.1, name=name)
    layer.build((None, width))
    return layer


def uniform(shape: tuple[Any, ...], *, seed: int, update: Tensor) -> Tensor:
    """Return float32 numbers, uniform on [0, 1), of the given shape.

    Parameters
    ----------
    shape : tuple of int or scalar tensor
        Fewer than 2**31 numbers.
    seed : int
        In [0, 2**31); streams with different seeds are independent.
    update : tensor, float32
        The number of the update, as a loss receives it; below 2**24.

    Returns
    -------
    tensor of shape `shape`, float32
        Multiples of 2**-24.

    Notes
    -----
    Two rounds of a 32-bit mixer [1]_ over the place, each with a key of its own from seed and
    update. Good enough for masks; not for cryptography.

    References
    ----------
    .. [1] C. Wellons, "Prospecting for Hash Functions", 2018, `lowbias32`.
       https://nullprogram.com/blog/2018/07/31/

    Examples
    --------
    >>> draw = uniform((2, 3), seed=1, update=0.0)
    >>> tuple(draw.shape), bool(ops.all(draw >= 0)), bool(ops.all(draw < 1))
    ((2, 3), True, True)
    """
    count = 1
    for size in shape:
        count = count * size
    key = _mix(ops.cast(update, "uint32") + _mix(_word(seed)))
    place = ops.cast(ops.arange(count, dtype="int32"), "uint32")
    words = _mix(_mix(place + key) ^ _mix(key + _word(0x9E3779B9)))
    high = ops.cast(ops.right_shift(words, _word(8)), "float32")
    return ops.reshape(high * 2.0**-24, shape)


def keep_mask(shape: tuple[Any, ...], rate: float, *, seed: int, update: Tensor) -> Tensor:
    """Return 1 / (1 - rate) with chance 1 - rate, else 0: the factor of inverted dropout."""
    kept = ops.cast(uniform(shape, seed=seed, update=update) >= rate, "float32")
    return kept / (1.0 - rate)


def _word(value: int) -> Tensor:
    return ops.convert_to_tensor(value, dtype="uint32")


def _mix(words: Tensor) -> Tensor:
    """Spread every bit of a 32-bit word over all bits."""
    words = (words ^ ops.right_shift(words, _word(16))) * _word(0x7FEB352D)
    words = (words ^ ops.right_shift(words, _word(15))) * _word(0x846CA68B)
    return words ^ ops.right_shift(words, _word(16))


def multinomial_nll(batch: Batch, logits: Tensor) -> Tensor:
    """Return the multinomial negative log-likelihood of each row, of shape (n_rows,).

    Parameters
    ----------
    batch : Batch
        Its values are the counts, usually 1.
    logits : tensor of shape (n_rows, n_items)

    Returns
    -------
    tensor of shape (n_rows,), float32
        ``n_u * logsumexp(logits) - sum of count * logit``; 0 for an empty row.

    Notes
    -----
    No dense target and no dense log-softmax: one softmax, a gather, and the same softmax again as
    the gradient, in half the time of what would be derived from the logarithm of the sum.

    References
    ----------
    .. [1] D. Liang et al., "Variational Autoencoders for Collaborative Filtering", WWW 2018, eq. 2.
    """
    n_used = batch.row_sum(batch.values)

    @ops.custom_gradient  # type: ignore[untyped-decorator,unused-ignore]
    def run(logits: Tensor) -> tuple[Tensor, Any]:
        share = ops.softmax(logits, axis=1)
        # Of the likeliest item, since log(share) = logit - log of the sum.
        log_total = ops.max(logits, axis=1) - ops.log(ops.max(share, axis=1))
        picked = batch.row_sum(batch.pick(logits) * batch.values)

        def gradient(upstream: Tensor) -> Tensor:
            expected = share * (n_used * upstream)[:, None]
            return expected - batch.dense(batch.values * batch.spread(upstream))

        return n_used * log_total - picked, gradient

    return run(batch.counted(ops.cast(logits, "float32")))


def logistic_nll(batch: Batch, logits: Tensor) -> Tensor:
    """Return the Bernoulli negative log-likelihood over all items, of shape (n_rows,).

    Parameters
    ----------
    batch : Batch
        Its values are the answers, 1 for yes; items without an entry are a no.
    logits : tensor of shape (n_rows, n_items)

    Returns
    -------
    tensor of shape (n_rows,), float32
        ``sum log(1 + exp(logit)) - sum of value * logit``, the first over all items.

    References
    ----------
    .. [1] D. Liang et al., "Variational Autoencoders for Collaborative Filtering", WWW 2018, eq. 4.
    """
    logits = ops.cast(logits, "float32")
    picked = batch.row_sum(batch.pick(logits) * batch.values)
    return batch.over_items(ops.softplus(logits)) - picked


def gaussian_nll(batch: Batch, scores: Tensor) -> Tensor:
    """Return half the squared error of each row over all items, of shape (n_rows,).

    Parameters
    ----------
    batch : Batch
        Items without an entry count as 0.
    scores : tensor of shape (n_rows, n_items)

    Returns
    -------
    tensor of shape (n_rows,), float32
        ``1/2 sum (value - score)**2``: the negative log-likelihood of normal noise of scale 1, but
        for a constant. No dense target is built.

    References
    ----------
    .. [1] D. Liang et al., "Variational Autoencoders for Collaborative Filtering", WWW 2018, eq. 3,
       with all confidences 1.
    """
    scores = ops.cast(scores, "float32")
    crossed = batch.row_sum((batch.values - 2.0 * batch.pick(scores)) * batch.values)
    return 0.5 * (batch.over_items(ops.square(scores)) + crossed)


def hidden_nll(batch: Batch, logits: Tensor, shown: Tensor) -> Tensor:
    """Return the multinomial negative log-likelihood of hidden items among those not shown.

    Parameters
    ----------
    batch : Batch
    logits : tensor of shape (n_rows, n_items)
    shown : tensor of shape (n_slots,)
        1 where the encoder sees the slot, else 0.

    Returns
    -------
    tensor of shape (n_rows,), float32
        ``n_u`` times the mean over the hidden items of ``log sum_{j not shown} exp(logit_j) -
        logit_i``; 0 for a row without hidden items. The factor keeps it on the scale of
        `multinomial_nll`.

    Notes
    -----
    This is the question of a recommender: which of the items that the user does not show yet comes
    next? `multinomial_nll` also pays for the items shown, which no list will hold. The squared
    error of the same task has the closed form of EDLAE [1]_.

    References
    ----------
    .. [1] H. Steck, "Autoencoders that don't overfit towards the Identity", NeurIPS 2020.
    """
    seen = shown * batch.used
    # Far below any logit, so that exp() gives 0; not -inf, whose gradient is NaN.
    logits = ops.cast(logits, "float32") - 1e9 * batch.dense(seen)
    hidden = replace(batch, values=batch.values * (1.0 - seen))
    return scale_of_hidden(batch, hidden) * multinomial_nll(hidden, logits)


def scale_of_hidden(batch: Batch, hidden: Batch) -> Tensor:
    """Return by how much the hidden entries of each row count for the whole row; 0 if none."""
    length, n_hidden = batch.row_sum(batch.values), batch.row_sum(hidden.values)
    return ops.where(n_hidden > 0, length / ops.maximum(n_hidden, 1e-6), 0.0)


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, exp(log_variance)) || N(0, 1)) of each row, summed over dimensions.

    Parameters
    ----------
    mean, log_variance : tensor of shape (n_rows, latent_dim)

    Returns
    -------
    tensor of shape (n_rows,)

    References
    ----------
    .. [1] D. P. Kingma and M. Welling, "Auto-Encoding Variational Bayes", 2014, appendix B.
    """
    return 0.5 * ops.sum(ops.exp(log_variance) + ops.square(mean) - 1.0 - log_variance, axis=1)


def mean_over_users(batch: Batch, per_row: Tensor) -> Tensor:
    """Average `per_row` of shape (n_rows,) over the users of the batch, padding left out."""
    return ops.sum(per_row * batch.present) / ops.maximum(ops.sum(batch.present), 1.0)


def linear_anneal(update: Any, *, n_updates: int, cap: float) -> Any:
    """Return ``min(cap, update / n_updates)``, the KL weight of Mult-VAE.

    Parameters
    ----------
    update : tensor, float32
        Updates made so far, over all epochs.
    n_updates : int
        Updates until the weight would reach 1; 0 starts at the cap.
    cap : float
        Upper limit, in [0, 1].

    Returns
    -------
    tensor, scalar float32

    References
    ----------
    .. [1] D. Liang et al., "Variational Autoencoders for Collaborative Filtering", WWW 2018,
       section 2.2.2.

    Examples
    --------
    >>> [float(linear_anneal(float(t), n_updates=10, cap=0.25)) for t in (0, 2, 9)]
    [0.0, 0.2..., 0.25]
    """
    if n_updates <= 0:
        return ops.convert_to_tensor(float(cap))
    return ops.minimum(ops.convert_to_tensor(update, dtype="float32") / n_updates, cap)


_LIKELIHOODS = {"multinomial": multinomial_nll, "logistic": logistic_nll, "gaussian": gaussian_nll}


def reconstruction(
    batch: Batch, logits: Tensor, kept: Tensor, targets: str, likelihood: str = "multinomial"
) -> Tensor:
    """Return the mean negative log-likelihood of the `targets`, "all" or the "hidden" ones."""
    if targets == "all":
        return mean_over_users(batch, _LIKELIHOODS[likelihood](batch, logits))
    return mean_over_users(batch, hidden_nll(batch, logits, kept))
