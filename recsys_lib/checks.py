"""Argument checks, with one message for each kind of wrong argument."""

import contextlib
import math
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib._system import available_memory
from recsys_lib.errors import ConfigError, NotFittedError

# The arrays that functions are given and return, by short names.
CSR = sparse.csr_array
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Integers = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]


def check_user_items(
    user_items: Any, *, n_items: int | None = None, name: str = "user_items"
) -> sparse.csr_array:
    """Return `user_items` as a canonical float32 CSR array; the argument is never modified.

    Stored entries are observations, so explicit zeros stay.

    Parameters
    ----------
    user_items : sparse array or matrix of shape (n_rows, n_items)
        Any SciPy sparse format, real-valued.
    n_items : int, optional
        The number of columns that is required.
    name : str
        Name of the argument, for the message.

    Returns
    -------
    scipy.sparse.csr_array of shape (n_rows, n_items), float32
        Sorted indices, no duplicates. Shares memory with the argument if nothing had to change.

    Raises
    ------
    TypeError
        If it is not a SciPy sparse array or matrix.
    ValueError
        If it is not two-dimensional, has duplicate or non-finite entries, or other columns.

    Examples
    --------
    >>> check_user_items(sparse.coo_array([[0, 1], [2, 0]])).dtype
    dtype('float32')
    """
    if not sparse.issparse(user_items):
        raise TypeError(
            f"`{name}` must be a SciPy sparse array of shape (n_rows, n_items); got "
            f"{type(user_items).__name__}. Use dataset.user_items, split.train or csr_array(...)."
        )
    if user_items.ndim != 2:
        raise ValueError(
            f"`{name}` must have two dimensions; got {user_items.ndim}. A single row is x[[0]]."
        )
    if user_items.dtype.kind not in "buif":
        raise ValueError(f"`{name}` must hold real numbers; got dtype {user_items.dtype}.")
    if n_items is not None and user_items.shape[1] != n_items:
        raise ValueError(
            f"`{name}` must have the {n_items} item columns the model was fitted on; got "
            f"{user_items.shape[1]}. Map raw ids with the Dataset that the model was trained on."
        )
    csr = _canonical(user_items, name)
    broken = np.flatnonzero(~np.isfinite(csr.data))
    if len(broken):
        row = int(np.searchsorted(csr.indptr, broken[0], "right")) - 1
        raise ValueError(
            f"`{name}` must hold finite values; row {row} holds NaN or infinity. "
            "Drop or repair those entries first."
        )
    return csr


def _canonical(user_items: Any, name: str) -> sparse.csr_array:
    """Float32 CSR with sorted, unique indices, copied only where that is needed."""
    n_entries = user_items.nnz if user_items.format == "coo" else None  # which adds up duplicates
    csr = sparse.csr_array(user_items)
    # has_sorted_indices is cached on the object, so a fresh wrapper recomputes it from the arrays.
    arrays = (csr.data, csr.indices, csr.indptr)
    csr = sparse.csr_array(arrays, shape=csr.shape, dtype=np.float32)
    if not csr.has_sorted_indices:
        csr = csr.copy()
        csr.sort_indices()
    if n_entries not in (None, csr.nnz) or not csr.has_canonical_format:
        raise ValueError(
            f"`{name}` must hold each user-item pair once; got duplicate entries. "
            "Build it with Dataset.from_frame(..., duplicates=...)."
        )
    return csr


# How to get what is asked for, by its class.
_REMEDIES = {
    "Dataset": "`load_dataset` makes one of a file, a table or a query.",
    "Split": "`strong_generalization(dataset)` makes one, and so does `split_ratings`.",
    "Fold": "A split has two, its `validation` and its `test`.",
    "Report": "`evaluate(model, split.test)` makes one.",
    "Recommender": "Fit one of `recsys_lib.models`; to give the `model` of an OnLikes, say "
    "inputs='likes' and `like`, its `min_value`.",
    "Ladder": "Give its settings, such as Ladder(segment=['role']); the bundle fits it.",
    "Mapping": "Give names to them, such as {'my model': model}.",
}


def check_kind(name: str, value: Any, kind: type) -> None:
    """Raise unless `value` is of a class; the message says how to get there.

    Examples
    --------
    >>> from recsys_lib.dataset import Fold
    >>> check_kind("fold", [1, 2], Fold)
    Traceback (most recent call last):
    TypeError: `fold` must be a Fold; got list. A split has two, its `validation` and its `test`.
    """
    given, wanted = type(value).__name__, kind.__name__
    # By name too: a module that was loaded anew in a notebook has other classes of the same names.
    if not (isinstance(value, kind) or wanted in [one.__name__ for one in type(value).__mro__]):
        raise TypeError(f"`{name}` must be a {wanted}; got {given}. {_REMEDIES[wanted]}")


def check_ratings(user_items: sparse.csr_array, name: str = "user_items") -> None:
    """Raise `ValueError` unless at least one rating is stored."""
    if user_items.nnz == 0:
        raise ValueError(
            f"`{name}` must store at least one rating; it stores none. Check the filter before it."
        )


def check_rating_scale(scale: Any) -> tuple[float, float]:
    """Return the lowest and the highest rating as numbers; they are equal where all ratings are.

    Examples
    --------
    >>> check_rating_scale((1, None))
    Traceback (most recent call last):
    ValueError: `rating_scale` must be (lowest, highest), two numbers such as (1, 5); got (1, None).
    """
    try:
        low, high = map(float, scale)
    except (TypeError, ValueError):
        low = high = math.nan
    if not low <= high:
        raise ValueError(
            f"`rating_scale` must be (lowest, highest), two numbers such as (1, 5); got {scale!r}."
        )
    return low, high


def check_is_fitted(model: object, attribute: str) -> None:
    """Raise `NotFittedError` unless the model has the learned `attribute`.

    Examples
    --------
    >>> check_is_fitted(object(), "weights_")
    Traceback (most recent call last):
    recsys_lib.errors.NotFittedError: object must be fitted before it scores; ...
    """
    if not hasattr(model, attribute):
        raise NotFittedError(
            f"{type(model).__name__} must be fitted before it scores; it has no `{attribute}`. "
            "Call fit(user_items) or models.load(folder) first."
        )


def check_number(name: str, value: Any, *, least: float = -math.inf) -> None:
    """Raise unless `value` is a finite number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(f"`{name}` must be a number; got {value!r}.")
    if not math.isfinite(value):
        raise ValueError(f"`{name}` must be finite; got {value!r}.")
    if value < least:
        raise ValueError(f"`{name}` must be >= {least:g}; got {value!r}.")


def check_numbers(name: str, values: Any) -> NDArray[np.float64]:
    """Return `values` as an array; raise unless there are some and all are finite."""
    numbers = np.asarray(values, dtype=np.float64)
    broken = np.count_nonzero(~np.isfinite(numbers))
    if broken or not numbers.size:
        got = f"{broken:,} of {numbers.size:,} that are not" if broken else "none"
        raise ValueError(f"`{name}` must hold finite numbers; got {got}. Drop or repair those.")
    return numbers


def check_positive(name: str, value: float) -> None:
    """Raise unless `value` is a finite number > 0.

    Examples
    --------
    >>> check_positive("l2", 0)
    Traceback (most recent call last):
    ValueError: `l2` must be > 0; got 0.
    """
    check_number(name, value)
    if value <= 0:
        raise ValueError(f"`{name}` must be > 0; got {value!r}.")


def check_nonnegative(name: str, value: float) -> None:
    """Raise unless `value` is a finite number >= 0."""
    check_number(name, value, least=0)


def check_fraction(name: str, value: float, *, closed: bool = False) -> None:
    """Raise unless 0 < `value` < 1, or 0 <= `value` < 1 where `closed` admits zero."""
    check_number(name, value)
    if not (0 < value < 1 or (closed and value == 0)):
        low = "0 <=" if closed else "0 <"
        raise ValueError(f"`{name}` must be a share, {low} share < 1; got {value!r}.")


def check_integer(name: str, value: int, *, minimum: int = 0) -> None:
    """Raise unless `value` is an integer >= `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"`{name}` must be an integer; got {value!r}.")
    if value < minimum:
        raise ValueError(f"`{name}` must be >= {minimum}; got {value!r}.")


def check_positions(name: str, positions: Any, n: int) -> NDArray[np.int64]:
    """Return positions as an array; raise unless each is a whole number from 0 to `n` - 1.

    Examples
    --------
    >>> check_positions("items", [2, -1], 3)
    Traceback (most recent call last):
    ValueError: `items` must be a list of positions from 0 to 2; got [2, -1]. ...
    """
    found = np.asarray(positions)
    found = found if found.size else np.empty(0, dtype=np.int64)  # [] is of floats
    listed = found.ndim == 1 and found.dtype.kind in "iu"
    if not listed or ((found < 0) | (found >= n)).any():
        raise ValueError(
            f"`{name}` must be a list of positions from 0 to {n - 1}; got {positions!r:.80}. "
            "Turn a mask into them with numpy.flatnonzero, and leave out the -1 of short lists."
        )
    return found.astype(np.int64)


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raise unless `value` is one of `choices`.

    Examples
    --------
    >>> check_choice("loss_on", "some", ("observed", "all"))
    Traceback (most recent call last):
    ValueError: `loss_on` must be one of 'observed', 'all'; got 'some'.
    """
    if value not in choices:
        known = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"`{name}` must be one of {known}; got {value!r}.")


@contextlib.contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Let the imports in a block fail with a `ConfigError` that says what to install.

    Parameters
    ----------
    extra : str
        Of this library, with the packages that are imported.
    what : str
        What needs them, for the message.

    Examples
    --------
    >>> with needing("mlflow", "MLflow"):
    ...     import no_such_package
    Traceback (most recent call last):
    recsys_lib.errors.ConfigError: MLflow must be installed; No module named 'no_such_package'. Run
    pip install 'recsys-lib[mlflow]'.
    """
    try:
        yield
    except ImportError as error:
        raise ConfigError(
            f"{what} must be installed; {error}. Run pip install 'recsys-lib[{extra}]'."
        ) from error


def check_memory(n_bytes: int, purpose: str, remedy: str) -> None:
    """Raise `MemoryError` before anything is allocated, if `n_bytes` are not available.

    Parameters
    ----------
    n_bytes : int
        Estimated peak.
    purpose : str
        What needs the memory, with its size, such as ``"EASE on 20000 items"``.
    remedy : str
        What the caller can do instead.

    Examples
    --------
    >>> check_memory(10**15, "EASE on 10000000 items", "Keep fewer items.")
    Traceback (most recent call last):
    MemoryError: EASE on 10000000 items needs about 1000000.0 GB of memory; ... Keep fewer items.
    """
    free = available_memory()
    if n_bytes > free:
        raise MemoryError(
            f"{purpose} needs about {n_bytes / 1e9:.1f} GB of memory; {free / 1e9:.1f} GB are "
            f"available. {remedy}"
        )


def check_room(n_rows: int, k: int, n_items: int, *, n_bytes: int = 8) -> None:
    """Raise where `k` is no length, or where there is no memory for so many and so long lists.

    Parameters
    ----------
    n_rows, k, n_items : int
    n_bytes : int
        What one place of a list takes.

    Examples
    --------
    >>> check_room(60, 10**12, 25)
    Traceback (most recent call last):
    MemoryError: Ranking 60 lists of 1,000,000,000,000 items needs about 480000.0 GB of memory; ...
    Ask for at most 25, the number of items there are.
    """
    check_integer("k", k, minimum=1)
    remedy = f"Ask for at most {n_items:,}, the number of items there are."
    check_memory(n_bytes * n_rows * int(k), f"Ranking {n_rows:,} lists of {k:,} items", remedy)
