"""Look up ids as people type them, suggest near ones, and shorten what other libraries say."""

import contextlib
import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.errors import DataError

_COMPARED = 20_000
_MANY = 50  # ids from which on a look-up of all at once is faster
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,18}")  # 007 is not 7


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest known words, or an empty string.

    Examples
    --------
    >>> did_you_mean("EPOCH", ["EPOCHS", "SEED"])
    " Did you mean 'EPOCHS'?"
    """
    near = _nearest(word, list(known), cutoff=0.6)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def folded(text: str) -> str:
    r"""Return a text as it is searched, however it is capitalized and its accents are written.

    Examples
    --------
    >>> folded("Caf\u00e9") == folded("CAFE\u0301")
    True
    """
    return unicodedata.normalize("NFC", text).casefold()


def _nearest(word: str, known: Sequence[str], cutoff: float) -> list[str]:
    """Return up to three of the known words, however they are capitalized; of twins the first."""
    folded = {name.casefold(): name for name in reversed(known)}
    close = difflib.get_close_matches(word.casefold(), folded, n=3, cutoff=cutoff)
    return [folded[name] for name in close]


def first_line(error: BaseException) -> str:
    r"""Return the first line of an error's message without a final period, or else its type.

    Examples
    --------
    >>> first_line(OSError("no room\nat line 3")), first_line(KeyError())
    ('no room', 'KeyError')
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0].rstrip(".")


def find_id(ids: pd.Index, wanted: Any, what: str) -> int:
    """Return the position of an id.

    Parameters
    ----------
    ids : Index
        All ids, unique.
    wanted : object
        The id. A number also finds its digits as text and the other way round, since ids are text
        in one file and numbers in the next; so do letters with accents, of one character or two.
    what : str
        What the id stands for, such as ``"user"``, for the message.

    Returns
    -------
    int

    Raises
    ------
    DataError
        If it is unknown; the message lists near ones.

    Examples
    --------
    >>> find_id(pd.Index(["7", "42"]), 42, "user")
    1
    >>> find_id(pd.Index(["nle", "kro"]), "nel", "user")
    Traceback (most recent call last):
    recsys_lib.errors.DataError: The user must be one of the 2 known; got 'nel'. Near: 'nle'.
    """
    for candidate in _readings(wanted):
        try:
            if candidate in ids:
                return int(ids.get_loc(candidate))
        except TypeError:  # not hashable: no id
            hint = "Give one at a time."
            break
    else:
        names = ids.astype(str)
        if len(names) > _COMPARED:  # among very many only those that begin alike
            names = names[names.str.startswith(str(wanted)[:2])][:_COMPARED]
        near = _nearest(str(wanted), names.tolist(), cutoff=0.5)
        hint = f"Near: {', '.join(repr(one) for one in near)}." if near else "Check its spelling."
    raise DataError(f"The {what} must be one of the {len(ids):,} known; got {wanted!r:.80}. {hint}")


def listed(wanted: Any) -> list[Any]:
    """Return ids as a list; a single one needs none, and None is none.

    Examples
    --------
    >>> listed(242), listed(pd.Index(["x", "y"])), listed(None)
    ([242], ['x', 'y'], [])
    """
    if isinstance(wanted, pd.DataFrame):  # which would be walked through by its columns
        raise TypeError(
            "Ids must be a list; got a DataFrame. Give its index or one of its columns."
        )
    if pd.api.types.is_scalar(wanted):
        return [] if wanted is None else [wanted]
    # An index of text is slow to walk through.
    return wanted.tolist() if isinstance(wanted, pd.Index | pd.Series) else list(wanted)


def find_ids(ids: pd.Index, wanted: Iterable[Any], what: str) -> NDArray[np.int64]:
    """Return the position of each id, as `find_id`; `listed` says what may be given."""
    wanted = listed(wanted)
    if len(wanted) > _MANY:
        with contextlib.suppress(TypeError, ValueError):
            found = ids.get_indexer(pd.Index(wanted, tupleize_cols=False))
            if (found >= 0).all():
                return np.asarray(found, dtype=np.int64)
    return np.array([find_id(ids, one, what) for one in wanted], dtype=np.int64)


def _readings(wanted: Any) -> list[Any]:
    if isinstance(wanted, str):
        whole = [int(wanted)] if _WHOLE.fullmatch(wanted) else []
        return [wanted, *whole, *(unicodedata.normalize(form, wanted) for form in ("NFC", "NFD"))]
    number = isinstance(wanted, int | np.integer) and not isinstance(wanted, bool)
    return [wanted, str(wanted)] if number else [wanted]
