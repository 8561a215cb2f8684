"""What a notebook can be told: the literals of its `parameters` cell, with type and unit."""

import ast
import io
import math
import tokenize
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recsys_lib.errors import ConfigError
from recsys_lib.yaml_files import read_yaml

TAG = "parameters"


@dataclass(frozen=True)
class Parameter:
    """One literal of the `parameters` cell.

    Attributes
    ----------
    name : str
        In capitals.
    default : object
        The literal; its type is the type that is asked of every other value.
    comment : str
        The comment on its line: unit and meaning. One that begins with ``path`` marks a file.
    """

    name: str
    default: Any
    comment: str

    @property
    def is_path(self) -> bool:
        """Whether the value names a file or folder."""
        return isinstance(self.default, str) and self.comment.lower().startswith("path")


def declared(notebook: Mapping[str, Any], name: str) -> dict[str, Parameter]:
    """Return the parameters that a notebook declares, in order.

    Parameters
    ----------
    notebook : mapping
        The notebook as parsed JSON (or an ``nbformat`` node).
    name : str
        How to call it in messages.

    Returns
    -------
    dict of str to Parameter
        Empty where no cell is tagged ``parameters``.

    Raises
    ------
    ConfigError
        If the cell holds anything but ``NAME = literal``.

    Examples
    --------
    >>> cell = {"metadata": {"tags": ["parameters"]}, "source": "EPOCHS = 20  # passes"}
    >>> declared({"cells": [cell]}, "03_train")["EPOCHS"]
    Parameter(name='EPOCHS', default=20, comment='passes')
    """
    for cell in notebook["cells"]:
        if TAG in cell["metadata"].get("tags", ()):
            return _parse("".join(cell["source"]), name)
    return {}


def _parse(source: str, name: str) -> dict[str, Parameter]:
    comments = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for statement in ast.parse(source).body:
        try:
            target, default = _literal(statement)
        except ValueError as error:
            raise ConfigError(
                f"The parameters cell of {name} must hold lines NAME = literal; line "
                f"{statement.lineno} is {ast.unparse(statement)!r}. Move it below the cell."
            ) from error
        lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
        comment = " ".join(comments[line] for line in lines if line in comments)
        found[target] = Parameter(target, default, comment)
    return found


def _literal(statement: ast.stmt) -> tuple[str, Any]:
    match statement:
        case ast.Assign(targets=[ast.Name(id=target)], value=value):
            return target, ast.literal_eval(value)
        case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value):
            return target, ast.literal_eval(value)
    raise ValueError("not an assignment of a literal")


def parse_text(parameter: Parameter, text: str) -> Any:
    """Return the value that `text`, as typed on a command line, means for `parameter`.

    Text stays text for a text parameter; for the others it is a Python literal, or YAML.

    Raises
    ------
    ConfigError
        If it is of another type than the notebook's literal.

    Examples
    --------
    >>> parse_text(Parameter("LEARNING_RATE", 0.001, ""), "1e-2")
    0.01
    >>> parse_text(Parameter("HIDDEN_DIMS", (128, 64), ""), "[256, 32]")
    (256, 32)
    """
    if isinstance(parameter.default, str):
        return text
    if parameter.default is None and text.strip().lower() in ("", "none", "null"):
        return None
    return check_value(parameter, meaning(text))


def parse_option(text: str) -> Any:
    r"""Return the value of one entry of a mapping, as typed: text, a list, true, false or none.

    Examples
    --------
    >>> parse_option(";"), parse_option(r"\t"), parse_option("[who, what]"), parse_option("none")
    (';', '\t', ['who', 'what'], None)
    """
    words = {"true": True, "false": False, "none": None, r"\t": "\t"}
    if text.lower() in words:
        return words[text.lower()]
    return yaml.safe_load(text) if text.startswith("[") else text


def meaning(text: str) -> Any:
    """Return the value that a text stands for: a number, a Python literal, else YAML.

    Examples
    --------
    >>> meaning("1e-3"), meaning("[8, 4]"), meaning("true"), meaning("adam")
    (0.001, [8, 4], True, 'adam')
    """
    # YAML 1.1 takes 1e-3 for text and 010 for eight, so Python's own rules come first.
    readings: tuple[Callable[[str], Any], ...] = (int, float, ast.literal_eval, yaml.safe_load)
    for reading in readings:
        try:
            return reading(text)
        except (ValueError, SyntaxError, yaml.YAMLError):
            continue
    return text


def check_value(parameter: Parameter, value: Any) -> Any:
    """Return `value` in the type of the parameter's literal, or raise `ConfigError`.

    A whole number passes for a decimal one and a list for a tuple; nothing else is converted.
    A parameter whose literal is None takes anything.
    """
    default = parameter.default
    if default is None:
        return value
    converted = _converted(default, value)
    if converted is _WRONG:
        raise ConfigError(
            f"Parameter {parameter.name} must be {_kind(default)}, like {default!r}; got {value!r}"
            f" ({type(value).__name__}). {_remedy(default)}"
        )
    return converted


_WRONG = object()


def _converted(default: Any, value: Any) -> Any:
    """Return `value` in the type of `default`, or `_WRONG`."""
    if isinstance(default, bool) or isinstance(value, bool):
        return value if isinstance(default, bool) and isinstance(value, bool) else _WRONG
    if isinstance(default, float) and isinstance(value, int | float):
        return float(value) if math.isfinite(value) else _WRONG
    if isinstance(default, tuple | list) and isinstance(value, tuple | list):
        if default:
            value = [_converted(default[0], one) for one in value]
        return _WRONG if any(one is _WRONG for one in value) else type(default)(value)
    return value if isinstance(value, type(default)) else _WRONG


_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "text",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
}


def _kind(default: Any) -> str:
    kind = _KINDS.get(type(default), type(default).__name__)
    if isinstance(default, list | tuple) and default:
        return f"{kind} of which each is {_kind(default[0])}"
    return kind


def _remedy(default: Any) -> str:
    if isinstance(default, str):
        return "Put it in quotes."
    return "Write it as the notebook's parameters cell does."


def read_file(path: Path, what: str = "parameter file") -> dict[str, Any]:
    """Return the mapping that a YAML file holds; an empty file holds an empty one.

    Parameters
    ----------
    path : Path
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
    >>> read_file(file)
    {'LEARNING_RATE': 0.001}
    """
    try:
        content = read_yaml(path)
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
