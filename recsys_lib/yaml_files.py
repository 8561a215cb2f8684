"""Read YAML as people write it: a key twice is an error, and 1e-3 is a number."""

import re
from pathlib import Path
from typing import Any

import yaml

from recsys_lib.errors import ConfigError


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


def read_mapping(path: Path | str, what: str) -> dict[str, Any]:
    """Return the mapping that a YAML file holds; an empty file holds an empty one.

    Parameters
    ----------
    path : Path or str
        The file.
    what : str
        What it is, for messages.

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
        content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The {what} {path} must be readable as UTF-8; {error}. Check the path."
        ) from error
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"The {what} {path} must be YAML; {said}. Repair it.") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(
            f"The {what} {path} must hold lines `NAME: value`; it holds "
            f"{type(content).__name__}. Write one name a line."
        )
    return content


def parse_mapping(text: str, what: str) -> dict[str, Any]:
    """Return a mapping that is typed as YAML or JSON; `ConfigError` says what else it is.

    Examples
    --------
    >>> parse_mapping("{track: [NET, SEC], duration: {max: 90}}", "--where")
    {'track': ['NET', 'SEC'], 'duration': {'max': 90}}
    """
    try:
        found = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        found = f"{type(error).__name__} in {text}"
    if not isinstance(found, dict):
        raise ConfigError(
            f"{what} must be a mapping, such as '{{track: [NET, SEC]}}'; got {found!r:.80}. "
            "Put it between braces and quotes."
        )
    return found
