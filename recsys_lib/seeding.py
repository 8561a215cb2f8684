"""Named, independent random streams from one public seed: seeds outside, Generators inside."""

import hashlib

import numpy as np


def _sequence(seed: int, names: tuple[str, ...]) -> np.random.SeedSequence:
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise ValueError(f"`seed` must be an integer >= 0; got {seed!r}. Try 0.")
    # Hashing the names, rather than counting calls, keeps a stream the same when others are added.
    digest = hashlib.sha256("\x1f".join(names).encode()).digest()
    words = np.frombuffer(digest[:16], dtype="<u4")
    return np.random.SeedSequence([int(seed), *(int(word) for word in words)])


def rng_from(seed: int, *names: str) -> np.random.Generator:
    """Return the generator of the stream called `names` under `seed`.

    Parameters
    ----------
    seed : int
        The public seed, >= 0.
    *names : str
        What the stream is for, from coarse to fine. Streams with different names are independent.

    Returns
    -------
    numpy.random.Generator
        A fresh generator at the start of the stream.

    Raises
    ------
    ValueError
        If `seed` is not an integer >= 0.

    Examples
    --------
    >>> a, b = rng_from(0, "ratings"), rng_from(0, "ratings")
    >>> bool(a.normal() == b.normal())
    True
    >>> bool(rng_from(0, "ratings").normal() == rng_from(0, "events").normal())
    False
    """
    return np.random.default_rng(_sequence(seed, names))


def seed_from(seed: int, *names: str) -> int:
    """Return a 31-bit integer seed for a library that takes integers only (Keras, scikit-learn).

    Parameters
    ----------
    seed : int
        The public seed, >= 0.
    *names : str
        What the stream is for.

    Returns
    -------
    int
        In [0, 2**31).

    Examples
    --------
    >>> seed_from(0, "weights") == seed_from(0, "weights") != seed_from(1, "weights")
    True
    """
    return int(_sequence(seed, names).generate_state(1)[0] >> 1)
