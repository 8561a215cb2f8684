"""Seal the test while settings are chosen, and tell different searches apart."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from recsys_lib import __version__
from recsys_lib.checks import check_kind
from recsys_lib.dataset import Fold, Split
from recsys_lib.errors import ConfigError, LeakError
from recsys_lib.evaluation.evaluate import fold_fingerprint
from recsys_lib.tuning.spaces import Space, settings_of, wrapping_of


class _SealedFold(Fold):
    def __getattribute__(self, name: str) -> Any:
        raise LeakError(
            f"The test must not be looked at while settings are chosen; its {name!r} was asked "
            "for. Choose by the validation part, and evaluate the chosen model once."
        )


def sealed(split: Split) -> Split:
    """Return the split with a test part that raises `LeakError` on any access.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> rows = sparse.csr_array(np.eye(2))
    >>> fold = Fold(fold_in=rows, targets=rows, users=np.arange(2))
    >>> split = Split(train=rows, validation=fold, test=fold, train_users=np.arange(2))
    >>> sealed(split).test.targets
    Traceback (most recent call last):
    recsys_lib.errors.LeakError: The test must not be looked at while settings are chosen; its
    'targets' was asked for. Choose by the validation part, and evaluate the chosen model once.
    """
    check_kind("split", split, Split)
    return dataclasses.replace(split, test=object.__new__(_SealedFold))


def describe(model: Any, space: Space, split: Split, metric: str, **how: Any) -> dict[str, Any]:
    """Return, as plain data, everything two searches must have in common to share a study.

    Parameters
    ----------
    model, space, split, metric
        As in `search`.
    **how
        What else decides the outcome: rules of the metric, seed, pruning.
    """
    train = Fold(fold_in=split.train, targets=split.train, users=split.train_users)
    facts = {
        "model": space.model,
        "settings": settings_of(model),
        "around the model": wrapping_of(model),
        # Where a range comes from does not change a search.
        "space": {
            name: dataclasses.replace(one, source="").plain() for name, one in space.ranges.items()
        },
        "metric": metric,
        "training data": fold_fingerprint(train),
        "validation data": fold_fingerprint(split.validation),
        **how,
        "version of recsys_lib": __version__,
    }
    plain: dict[str, Any] = json.loads(json.dumps(facts, default=_plain))
    return plain


def check_same(stored: Mapping[str, Any], now: Mapping[str, Any], study: str, place: str) -> None:
    """Raise `ConfigError` that names what differs between a stored study and a search.

    Examples
    --------
    >>> check_same({"metric": "rmse"}, {"metric": "ndcg@10"}, "EASE", "studies.sqlite")
    Traceback (most recent call last):
    recsys_lib.errors.ConfigError: The study 'EASE' in studies.sqlite must belong to this search;
    it differs in metric ('rmse' there, 'ndcg@10' here). Choose another study name, or repeat the
    settings of the first search.
    """
    different = list(_differences(stored, now))
    if different:
        raise ConfigError(
            f"The study {study!r} in {place} must belong to this search; it differs in "
            f"{', '.join(different)}. Choose another study name, or repeat the settings "
            "of the first search."
        )


def _differences(stored: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Any:
    for name in [*now, *(key for key in stored if key not in now)]:
        there, here = stored.get(name), now.get(name)
        if there == here:
            continue
        if str(here).startswith("sha256:"):
            yield f"{prefix}{name}"
        elif isinstance(there, dict) and isinstance(here, dict) and "low" not in here:
            yield from _differences(there, here, f"{prefix}{name}: ")
        else:
            yield f"{prefix}{name} ({there!r} there, {here!r} here)"


def _plain(value: Any) -> Any:
    """Convert NumPy values and models to plain data for JSON."""
    return value.tolist() if hasattr(value, "tolist") else repr(value)
