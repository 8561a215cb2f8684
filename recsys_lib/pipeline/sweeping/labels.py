"""Short names for the settings of a sweep: readable, the same every time, each its own."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import PureWindowsPath
from typing import Any

__all__ = ["digest", "label", "setting_names"]

_LONGEST = 60  # letters of a name; file systems take 255, tables and terminals do not
_VALUE = 24


def digest(value: Any, length: int = 8) -> str:
    """Return some hexadecimal digits that stand for a value with a JSON form."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def label(value: Any) -> str:
    """Return a value as part of a folder's name; what had to be left out becomes four digits.

    Examples
    --------
    >>> [label(one) for one in (0.001, (128, 64), True, "films")]
    ['0.001', '128x64', 'true', 'films']
    >>> label("/data/ratings 2026.csv")
    'ratings-2026-a9e5'
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        plain = "x".join(map(label, value)) or "none"
    elif isinstance(value, str):
        plain = PureWindowsPath(value).stem if re.search(r"[/\\]", value) else value
    else:
        plain = str(value)
    short = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:_VALUE]
    if short != (value if isinstance(value, str) else plain):
        short = f"{short}-{digest(value, 4)}".lstrip("-")
    return short or "empty"


def setting_names(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a name for each setting from what varies in it.

    Parameters
    ----------
    settings : sequence of mapping
        What varies, name of the parameter -> value; the key ``""`` holds the label of a source.

    Returns
    -------
    list of str
        All different. A name depends on its own setting only, so a grid that grows keeps them.

    Examples
    --------
    >>> setting_names([{"": "films", "EPOCHS": 10}, {"": "films", "EPOCHS": 20}])
    ['films_epochs-10', 'films_epochs-20']
    """
    names = [_name(one) for one in settings]
    folders = [name.lower() for name in names]  # to Windows and macOS, case makes no difference
    return [
        f"{name}-{digest(dict(one))}" if folders.count(name.lower()) > 1 else name
        for name, one in zip(names, settings, strict=True)
    ]


def _name(setting: Mapping[str, Any]) -> str:
    parts = [
        f"{key.lower()}-{label(value)}" if key else label(value) for key, value in setting.items()
    ]
    name = "_".join(parts) or "single"
    if len(name) > _LONGEST:
        name = f"{name[: _LONGEST - 9].rstrip('-_.')}-{digest(dict(setting))}"
    return name
