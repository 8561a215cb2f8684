"""Old names: still accepted, with a warning that gives the new one."""

import functools
import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from operator import attrgetter
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T", bound=type)


def renamed(**names: str) -> Callable[[T], T]:
    """Let a dataclass accept arguments and attributes under their old names, too.

    Parameters
    ----------
    **names : str
        The new name of each old one.

    Returns
    -------
    callable
        A class decorator, to be placed above ``@dataclass``.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @renamed(neighbours="n_neighbors")
    ... @dataclass(kw_only=True)
    ... class Model:
    ...     n_neighbors: int = 5
    >>> with warnings.catch_warnings(action="ignore"):
    ...     Model(neighbours=3)
    Model(n_neighbors=3)
    """

    def decorate(kind: T) -> T:
        construct = kind.__init__  # type: ignore[misc]

        @functools.wraps(construct)
        def __init__(self: Any, *args: Any, **options: Any) -> None:
            for old in [name for name in options if name in names]:
                _warn(f"The argument {old!r} of {kind.__name__}", names[old])
                options[names[old]] = options.pop(old)
            construct(self, *args, **options)

        kind.__init__ = __init__  # type: ignore[misc]
        kind._renamed = names  # type: ignore[attr-defined] # read with what was saved before
        for old, new in names.items():
            setattr(kind, old, _old_attribute(f"{kind.__name__}.{old}", new))
        return kind

    return decorate


def _old_attribute(shown: str, new: str) -> property:
    def read(self: Any) -> Any:
        _warn(shown, new)
        return getattr(self, new)

    def write(self: Any, value: Any) -> None:
        _warn(shown, new)
        setattr(self, new, value)

    return property(read, write)


def old_names(
    module: str, names: Mapping[str, str], others: Callable[[str], Any] | None = None
) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a module that some names have left.

    Parameters
    ----------
    module : str
        Its ``__name__``.
    names : mapping of str to str
        Old name to new place: ``{"like_threshold": "recsys_lib.dataset:Dataset.like_threshold"}``.
    others : callable, optional
        The ``__getattr__`` that finds other names.
    """

    def __getattr__(name: str) -> Any:
        if name not in names and others is not None:
            return others(name)
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, path = names[name].partition(":")
        _warn(f"{module}.{name}", f"{home}.{path}")
        return attrgetter(path)(import_module(home))

    return __getattr__


def old_module(module: str, names: Mapping[str, str]) -> None:
    """Let ``from module import name`` work where no file of that name exists any more."""
    gone = ModuleType(module, "Moved.")
    gone.__getattr__ = old_names(module, names)  # type: ignore[method-assign]
    sys.modules.setdefault(module, gone)


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is now called {new}. Use the new name.", FutureWarning, stacklevel=3)
