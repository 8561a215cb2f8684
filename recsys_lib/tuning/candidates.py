"""Models as candidates: read their settings, and copy them with other settings."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from recsys_lib.models import model_class
from recsys_lib.models.base import Recommender

__all__ = ["as_model", "recommender_of", "settings_of", "with_settings", "wrapping_of"]


def as_model(model: Any) -> Any:
    """Return `model` itself, or an instance with default settings of a class or class name.

    Raises
    ------
    ConfigError
        If there is no model of that name.
    TypeError
        If it is no model.

    Examples
    --------
    >>> as_model("EASE")
    EASE()
    """
    if isinstance(model, str):
        model = model_class(model)
    if isinstance(model, type):
        model = model()
    if not isinstance(recommender_of(model), Recommender):
        raise TypeError(
            f"`model` must be a model, its class or its name; got {type(model).__name__}. "
            "Try 'EASE'."
        )
    return model


def recommender_of(model: Any) -> Any:
    """Return the model inside a wrapper such as `OnLikes`, or the model itself."""
    return model if isinstance(model, Recommender) else getattr(model, "model", model)


def settings_of(model: Any) -> dict[str, Any]:
    """Return the hyper-parameters of a model, unwrapping it if needed."""
    return dict(recommender_of(model).config())


def wrapping_of(model: Any) -> dict[str, Any]:
    """Return the wrapper's name and settings; empty without a wrapper."""
    if isinstance(model, Recommender):
        return {}
    fields = {one.name: getattr(model, one.name) for one in dataclasses.fields(model) if one.init}
    return {"name": type(model).__name__, **{k: v for k, v in fields.items() if k != "model"}}


def with_settings(model: Any, settings: Mapping[str, Any]) -> Any:
    """Return an unfitted copy of a model with other settings, in the same wrapper.

    Examples
    --------
    >>> with_settings(as_model("EASE"), {"l2": 20.0})
    EASE(l2=20.0)
    """
    if isinstance(model, Recommender):
        return dataclasses.replace(model, **settings)
    return dataclasses.replace(model, model=with_settings(model.model, settings))
