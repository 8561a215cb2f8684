"""Seal the test part of a split while settings are chosen."""

import dataclasses
from typing import Any

from recsys_lib.dataset import Fold, Split
from recsys_lib.errors import LeakError

__all__ = ["sealed"]


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
    return dataclasses.replace(split, test=object.__new__(_SealedFold))
