"""Uniform noise as a pure function of seed, update and position, equal on every backend.

The generators of the backends draw differently, and XLA compiles TensorFlow's for a CPU into code
that takes longer than the rest of a small network. A hash of a counter needs no state: what a
step draws depends on nothing but the seed and the number of the update, so training goes on from a
checkpoint as if it had not stopped, and TensorFlow, XLA and JAX agree to the bit.
"""

from typing import Any

from recsys_lib.training.quiet import ops

__all__ = ["keep_mask", "uniform"]

Tensor = Any


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
