"""Assertions that held-out data cannot reach a model. Each raises `LeakError` and says what leaked.

They are cheap enough to run in every notebook, and raise with ``python -O`` too.
"""

from itertools import combinations

import numpy as np
import pandas as pd

from recsys_lib.checks import CSR, Ints, check_kind
from recsys_lib.dataset import Dataset, Fold, Split
from recsys_lib.errors import LeakError
from recsys_lib.evaluation.metrics import parse_metric
from recsys_lib.ranking import entry_rows
from recsys_lib.splitting import timestamps_of


def assert_no_shared_users(split: Split) -> None:
    """Raise unless train, validation and test are of different users (strong generalization).

    Parameters
    ----------
    split : Split

    Raises
    ------
    LeakError
        If a user is in two parts.

    Examples
    --------
    >>> from scipy import sparse
    >>> row = sparse.csr_array([[1, 0]])
    >>> fold = Fold(fold_in=row, targets=sparse.csr_array([[0, 1]]), users=np.array([4]))
    >>> split = Split(train=row, validation=fold, test=fold, train_users=np.array([3]))
    >>> assert_no_shared_users(split)
    Traceback (most recent call last):
    recsys_lib.errors.LeakError: `validation` and `test` must have no user in common; 1 is in both,
    first dataset row 4. Split with strong_generalization.
    """
    check_kind("split", split, Split)
    parts = {"train": split.train_users, "validation": split.validation.users}
    parts["test"] = split.test.users
    for one, other in combinations(parts, 2):
        shared = np.intersect1d(parts[one], parts[other])
        if len(shared):
            raise LeakError(
                f"`{one}` and `{other}` must have no user in common; {len(shared)} "
                f"{'is' if len(shared) == 1 else 'are'} in both, first dataset row "
                f"{shared[0]}. Split with strong_generalization."
            )


def assert_no_shared_pairs(split: Split) -> None:
    """Raise if a held-out pair is shown to the model, in training or in a fold-in.

    Parameters
    ----------
    split : Split
        Of any kind: users are matched by their dataset row.

    Raises
    ------
    LeakError
        If a target is in the fold-in of its own fold or in the training rows, or if validation
        and test share a target.

    Examples
    --------
    >>> from scipy import sparse
    >>> row = sparse.csr_array([[1, 1]])
    >>> fold = Fold(fold_in=row, targets=sparse.csr_array([[0, 1]]), users=np.array([4]))
    >>> split = Split(train=row, validation=fold, test=fold, train_users=np.array([3]))
    >>> assert_no_shared_pairs(split)
    Traceback (most recent call last):
    recsys_lib.errors.LeakError: `validation.targets` and `validation.fold_in` must have no pair in
    common; 1 is in both, first dataset row 4, item position 1. ...
    """
    check_kind("split", split, Split)
    n_items = int(split.train.shape[1])
    parts = {"train": (split.train, split.train_users)}
    for name, fold in (("validation", split.validation), ("test", split.test)):
        parts[f"{name}.targets"] = fold.targets, fold.users
        parts[f"{name}.fold_in"] = fold.fold_in, fold.users
    keys = {name: _pairs(*part) for name, part in parts.items()}
    # The test may show what validation hid, since that lies in the past by then.
    for one, other in (
        ("validation.targets", "validation.fold_in"),
        ("test.targets", "test.fold_in"),
        ("validation.targets", "train"),
        ("test.targets", "train"),
        ("test.targets", "validation.targets"),
        ("test.targets", "validation.fold_in"),
    ):
        shared = np.intersect1d(keys[one], keys[other], assume_unique=True)
        if len(shared):
            raise LeakError(
                f"`{one}` and `{other}` must have no pair in common; {len(shared)} "
                f"{'is' if len(shared) == 1 else 'are'} in both, first dataset row "
                f"{shared[0] // n_items}, item position {shared[0] % n_items}. "
                "A model that sees its targets is measured on copying them."
            )


def _pairs(matrix: CSR, users: Ints) -> Ints:
    rows = np.repeat(np.asarray(users, dtype=np.int64), np.diff(matrix.indptr))
    return rows * int(matrix.shape[1]) + matrix.indices


def assert_no_future(split: Split, dataset: Dataset) -> None:
    """Raise if any training or fold-in interaction is later than a target (temporal splits).

    Parameters
    ----------
    split : Split
        Of `dataset`, by one clock for all users.
    dataset : Dataset
        With timestamps.

    Raises
    ------
    LeakError
        If a training interaction is later than the first target of a fold, or a user is shown
        something later than one of their own targets.
    DataError
        If the dataset has no timestamps.

    Notes
    -----
    For `leave_last_out`, where each user has a clock of their own, the first of the two fails by
    design: other users' later interactions are trained on. That is the leak of that protocol.

    Examples
    --------
    >>> from recsys_lib.splitting import split_by_time
    >>> table = pd.DataFrame({"user_id": 1, "item_id": range(20), "t": range(20)})
    >>> dataset = Dataset.from_frame(table, value=None, timestamp="t")
    >>> assert_no_future(split_by_time(dataset), dataset)
    """
    check_kind("split", split, Split)
    newest = _times(dataset, split.train, split.train_users).max(initial=np.iinfo(np.int64).min)
    for name, fold in (("validation", split.validation), ("test", split.test)):
        asked = _times(dataset, fold.targets, fold.users)
        late = int((asked < newest).sum())
        if late:
            raise LeakError(
                f"`train` must lie before every target; {late} of {len(asked)} targets of "
                f"`{name}` are earlier than its last interaction. Split with split_by_time."
            )
        _check_own_clock(dataset, name, fold)


def _check_own_clock(dataset: Dataset, name: str, fold: Fold) -> None:
    shown = _extreme(np.maximum, _times(dataset, fold.fold_in, fold.users), fold.fold_in)
    asked = _extreme(np.minimum, _times(dataset, fold.targets, fold.users), fold.targets)
    wrong = np.flatnonzero(shown > asked)
    if len(wrong):
        raise LeakError(
            f"`{name}.fold_in` must not be later than the user's targets; it is for {len(wrong)} "
            f"of {fold.n_rows} users, first dataset row {fold.users[wrong[0]]}. "
            "Split with split_by_time or leave_last_out."
        )


def _times(dataset: Dataset, part: CSR, users: Ints) -> Ints:
    """Timestamp of each stored entry of `part`, whose rows are `users`."""
    times = timestamps_of(dataset)
    known = _pairs(dataset.user_items, np.arange(dataset.n_users))
    wanted = _pairs(part, users)
    places = np.searchsorted(known, wanted)
    if len(wanted) and not np.array_equal(known[np.minimum(places, len(known) - 1)], wanted):
        raise ValueError("`split` must be a split of `dataset`; it holds pairs that are not in it.")
    return np.asarray(times[places])


def _extreme(function: np.ufunc, times: Ints, part: CSR) -> Ints:
    """Return the extreme time of each row; for an empty row, a neutral one."""
    limits = np.iinfo(np.int64)
    found = np.full(part.shape[0], limits.min if function is np.maximum else limits.max)
    function.at(found, entry_rows(part), times)
    return found


def assert_below_ceiling(table: pd.DataFrame, metric: str) -> None:
    """Raise where a model is better than its fold-in oracle beyond the doubt about that.

    Parameters
    ----------
    table : DataFrame
        As `leaderboard` returns it. Without oracles, as on real data, there is nothing to raise.
    metric : str
        The one it was made for, such as ``"rmse"``.

    Raises
    ------
    LeakError
        If the value of a model lies beyond the interval of the fold-in oracle, or that of the
        fold-in oracle beyond the interval of the omniscient.

    Examples
    --------
    >>> rows = {"model": ["knn", "fold-in oracle"], "role": ["model", "ceiling"]}
    >>> table = pd.DataFrame(rows | {"value": [0.5, 0.3], "low": [0.4, 0.2], "high": [0.6, 0.4]})
    >>> assert_below_ceiling(table.set_index("model"), "ndcg@10")
    Traceback (most recent call last):
    recsys_lib.errors.LeakError: 'knn' must not be better than the fold-in oracle; it has 0.5 ...
    """
    sign = -1 if parse_metric(metric).higher_is_better is False else 1
    ends = table[["low", "high"]].mul(sign).max(axis=1)
    ceilings = list(table.index[table["role"] == "ceiling"])
    models = list(table.index[table["role"] == "model"])
    for below, ceiling in zip([models, *([name] for name in ceilings)], ceilings, strict=False):
        for name in below:
            value = table.loc[name, "value"]
            if sign * value > ends[ceiling]:
                raise LeakError(
                    f"{name!r} must not be better than the {ceiling}; it has {value:.4g} and the "
                    f"interval ends at {sign * ends[ceiling]:.4g}. Look for a leak, or for a "
                    "mistake in the oracle."
                )
