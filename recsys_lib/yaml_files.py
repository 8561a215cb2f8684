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


def read_yaml(path: Path | str) -> Any:
    """Return what a YAML file holds.

    Raises
    ------
    OSError, UnicodeDecodeError, yaml.YAMLError
        If the file is missing, is no text, or is not YAML.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "space.yaml"
    >>> _ = file.write_text("l2: {low: 1e-3, high: 10}")
    >>> read_yaml(file)
    {'l2': {'low': 0.001, 'high': 10}}
    """
    return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_Loader)


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
