"""Write the best settings as a parameter file for `recsys run -f`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from recsys_lib.artifacts import check_replaceable, write_atomic
from recsys_lib.errors import ConfigError
from recsys_lib.tuning.candidates import settings_of

if TYPE_CHECKING:
    from recsys_lib.tuning.results import SearchResult

__all__ = ["NOTEBOOK_PARAMETERS", "as_call", "notebook_parameters", "write_best"]

#: Model -> hyper-parameter -> parameter of the notebook that trains it.
NOTEBOOK_PARAMETERS: dict[str, dict[str, str]] = {
    # 03_train_autoencoder
    "Autoencoder": {
        "hidden_dims": "HIDDEN_DIMS",
        "input_dropout": "INPUT_DROPOUT",
        "dropout": "DROPOUT",
        "l2": "L2",
        "learning_rate": "LEARNING_RATE",
        "batch_size": "BATCH_SIZE",
        "epochs": "EPOCHS",
    }
}


def notebook_parameters(model: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings under the parameter names of the notebook that trains the model.

    Raises
    ------
    ConfigError
        If no notebook trains the model, or a setting has no parameter there.

    Examples
    --------
    >>> notebook_parameters("Autoencoder", {"hidden_dims": (64,), "learning_rate": 0.001})
    {'HIDDEN_DIMS': [64], 'LEARNING_RATE': 0.001}
    """
    names = NOTEBOOK_PARAMETERS.get(model)
    if names is None:
        raise ConfigError(
            f"A parameter file must be for a model that a notebook trains, "
            f"{', '.join(NOTEBOOK_PARAMETERS)}; got {model}. Give its settings in Python, as "
            f"{model}(...)."
        )
    homeless = sorted(settings.keys() - names.keys())
    if homeless:
        raise ConfigError(
            f"A parameter file of {model} must hold {', '.join(names)}; {homeless[0]!r} is no "
            "parameter of its notebook. Search without it: Space.of(...).only(...)."
        )
    plain = {key: list(one) if isinstance(one, tuple) else one for key, one in settings.items()}
    return {names[key]: plain[key] for key in names if key in plain}


def write_best(result: "SearchResult", path: Path | str) -> dict[str, Any]:
    """Write the best settings as a parameter file, atomically: ``recsys run -f best.yaml``.

    What was not searched but is a parameter, such as the epochs, is written as it was in the
    search: the notebook then trains the very model that was found.

    Parameters
    ----------
    result : SearchResult
    path : Path or str

    Returns
    -------
    dict
        The parameters written.

    Raises
    ------
    ConfigError
        As `notebook_parameters`.
    ArtifactError
        If `path` holds something else than an earlier result.
    """
    model = result.space.model
    notebook_parameters(model, result.settings)
    own = settings_of(result.model)
    wanted = {key: own[key] for key in NOTEBOOK_PARAMETERS[model]}
    parameters = notebook_parameters(model, wanted)
    said = (
        f"# {model}: {result.metric} {result.value:.6g} on validation, {result.first_value:.6g} as "
        f"given; best of {len(result.trials)} trials of study {result.study}.\n"
    )
    check_replaceable(path, ours=is_best)
    with write_atomic(path) as part:
        part.write_text(said + yaml.safe_dump(parameters, sort_keys=False), encoding="utf-8")
    return parameters


def is_best(file: Path) -> bool:
    """Whether `write_best` wrote this file."""
    return " trials of study " in file.read_text(encoding="utf-8").partition("\n")[0]


def as_call(model: str, settings: Mapping[str, Any], *, digits: int | None = None) -> str:
    """Return the Python call that creates a model with these settings.

    Parameters
    ----------
    model : str
        Name of its class.
    settings : mapping
        By name.
    digits : int, optional
        Significant digits of the numbers, for reading; all by default.

    Examples
    --------
    >>> as_call("EASE", {"l2": 120.512})
    'EASE(l2=120.512)'
    >>> as_call("EASE", {"l2": 120.512}, digits=3)
    'EASE(l2=121.0)'
    """
    if digits is not None:
        settings = {
            name: float(f"{value:.{digits}g}") if isinstance(value, float) else value
            for name, value in settings.items()
        }
    return f"{model}({', '.join(f'{name}={value!r}' for name, value in settings.items())})"
