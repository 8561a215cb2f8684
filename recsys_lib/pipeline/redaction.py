"""What is written down of a run must be fit to be handed round: no password in it."""

import os
import re
from typing import Any

from recsys_lib.sources.sql import PASSWORD

__all__ = ["without_secrets"]

_SECRET = r"password|passwd|pwd|token|secret|api_?key|credential"
_NAME = re.compile(rf"(?:^|_)(?:{_SECRET})s?$", re.I)
# A password of a URL may hold an @; the last one before the next / ends it.
_IN_URL = re.compile(r"(?<=://)([^\s/:@]*):[^\s/]*@")
_OPTION = re.compile(rf"((?:{_SECRET})\s*=\s*)[^\s&;,'\"]+", re.I)


def without_secrets(value: Any, name: str = "") -> Any:
    """Return `value` with every password in it replaced by ``***``.

    Parameters
    ----------
    value : object
        Text, or lists and mappings of it; anything else is returned as it is.
    name : str
        What it is called: a value called PASSWORD, TOKEN, SECRET or the like is one.

    Examples
    --------
    >>> without_secrets("postgresql://ann:pa55@host/db?sslmode=require&password=pa55")
    'postgresql://ann:***@host/db?sslmode=require&password=***'
    >>> without_secrets({"API_TOKEN": "abc", "EPOCHS": 3})
    {'API_TOKEN': '***', 'EPOCHS': 3}
    """
    if _NAME.search(name) and value:
        return "***"
    if isinstance(value, str):
        return _cleaned(value)
    if isinstance(value, dict):
        return {key: without_secrets(one, str(key)) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(one) for one in value]
    return value


def _cleaned(text: str) -> str:
    known = os.environ.get(PASSWORD)
    text = text.replace(known, "***") if known else text
    return _OPTION.sub(r"\1***", _IN_URL.sub(r"\1:***@", text))
