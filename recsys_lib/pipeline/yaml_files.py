"""YAML as people write it: a key twice is an error, and 1e-3 is a number."""

import re
from pathlib import Path
from typing import Any

import yaml

from recsys_lib.errors import ConfigError

__all__ = ["read_mapping"]


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Safe YAML that loses nothing and reads numbers as Python does."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.value in seen:
            line = key_node.start_mark.line + 1
            problem = f"the key {key_node.value!r} stands there twice, again in line {line}"
            raise yaml.constructor.ConstructorError(problem=problem)
        seen.add(key_node.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
# YAML 1.1 asks for a dot and a signed exponent; without them it takes 1e-3 for text.
_NUMBER = re.compile(r"[-+]?(\d[\d_]*)(\.\d*)?[eE][-+]?\d+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+0123456789"))


def read_mapping(path: Path, what: str) -> dict[str, Any]:
    """Return the mapping that a YAML file holds; an empty file holds an empty one.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What it is, for messages: ``"parameter file"``.

    Raises
    ------
    ConfigError
        If the file is missing, is not YAML, has a key twice, or is not a mapping with text keys.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "best.yaml"
    >>> _ = file.write_text("LEARNING_RATE: 1e-3")
    >>> read_mapping(file, "parameter file")
    {'LEARNING_RATE': 0.001}
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The {what} {path} must be readable; {error}. Check the path."
        ) from error
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"The {what} {path} must be YAML; {said}. Repair it.") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(
            f"The {what} {path} must hold lines `NAME: value`; it holds "
            f"{type(content).__name__}. Write one parameter a line."
        )
    return content
