"""Made-up login names: short, pronounceable, unique for up to two million users."""

import math

import numpy as np
from numpy.typing import NDArray

from recsys_lib.seeding import rng_from

__all__ = ["CAPACITY", "DEMO_USER", "login_names"]

DEMO_USER = "nle"
"""The login of the demonstration's user: position 0 of every world."""

# A name is an initial, a consonant, a vowel (three letters, always) and one of a list of distinct
# endings: so each pair (head, ending) is another string. The letters avoid words one would not
# like to be called, and no ending is empty, so that the demo user is the only one of three letters.
_INITIALS = tuple("bcdefgjklmnprstvyz")
_CONSONANTS = tuple("bdgklmnrvz")
_VOWELS = tuple("aeiou")
_SYLLABLES = tuple(c + v for c in "bdgklmnrsvz" for v in _VOWELS)
_CODAS = tuple("klmnrs")
_HEADS = [
    i + c + v
    for i in _INITIALS
    for c in _CONSONANTS
    for v in _VOWELS
    if i != c and c + v != "ni" and i + c + v not in ("kla", "sla")
]
_COMMON = [
    *_CODAS,
    *_SYLLABLES[::2],
    *(a + b for a in _SYLLABLES[::3] for b in ("n", "r", "s")),
]
_RARE = sorted({a + b for a in _SYLLABLES for b in (*_CODAS, *_SYLLABLES)} - set(_COMMON))
CAPACITY = 1 + len(_HEADS) * (len(_COMMON) + len(_RARE))
"""How many users can have a name."""


def login_names(n_users: int, seed: int = 0) -> NDArray[np.object_]:
    """Return one login name per user; the first is the demo user, ``nle``.

    Parameters
    ----------
    n_users : int
        At most `CAPACITY`.
    seed : int
        Names of the same seed agree as far as both lists reach.

    Returns
    -------
    ndarray of shape (n_users,), object
        Distinct lower-case strings of 3 to 7 letters. Like their people they are made up.

    Raises
    ------
    ValueError
        If there are more users than names.

    Examples
    --------
    >>> login_names(3)[0], len(set(login_names(5000)))
    ('nle', 5000)
    """
    if n_users > CAPACITY:
        raise ValueError(
            f"`n_users` must be at most {CAPACITY:,}, the number of login names; got {n_users:,}."
        )
    rng = rng_from(seed, "users", "names")
    heads, common, rare = (np.array(part, dtype=object) for part in (_HEADS, _COMMON, _RARE))
    names = np.empty(n_users, dtype=object)
    names[:1] = DEMO_USER
    start = 1
    for endings in (common, rare):  # short names first, long ones where those run out
        codes = _scattered(len(heads) * len(endings), n_users - start, rng)
        picked = heads[codes % len(heads)] + endings[codes // len(heads)]
        names[start : start + len(codes)] = picked
        start += len(codes)
    return names


def _scattered(size: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the first `count` terms of a walk over `size` codes that repeats none."""
    step = int(size * 0.618) + int(rng.integers(0, size // 10))
    while math.gcd(step, size) != 1:
        step += 1
    offset = int(rng.integers(size))
    return (offset + step * np.arange(max(0, min(count, size)), dtype=np.int64)) % size
