"""True performance over all pairs, next to the measured performance on held-out ratings.

Held-out ratings are ratings of items that somebody chose. Only where the truth is known can the
same model be judged on the pairs that nobody chose, which is where a list of recommendations lives.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.checks import check_fraction, check_integer
from recsys_lib.dataset import Fold
from recsys_lib.evaluation.evaluate import evaluate
from recsys_lib.ranking import top_k
from recsys_lib.synthesis import Truth
from recsys_lib.synthesis.prediction import hidden_chance

__all__ = ["measured_and_true"]


def measured_and_true(
    models: Mapping[str, Any],
    fold: Fold,
    truth: Truth,
    *,
    k: int = 10,
    min_value: float = 7.0,
    share: float = 0.8,
    seed: int = 0,
) -> pd.DataFrame:
    r"""Evaluate models on held-out ratings and on the truth of all pairs.

    Parameters
    ----------
    models : mapping of str to model
        Fitted; of ratings or of likes (`OnLikes`).
    fold : Fold
        Ratings of users of the world.
    truth : Truth
        Of that world.
    k : int
        Length of a list.
    min_value : float
        Lowest rating that counts as a like.
    share : float
        Share of each history that `fold` shows, in (0, 1).
    seed : int
        Of the order among equal scores.

    Returns
    -------
    DataFrame
        Indexed by ``model``. ``measured_list``: ndcg\@k of held-out likes; ``true_list``: the share
        of the listed items that their user would truly like, in expectation. ``measured_rmse``: on
        the held-out ratings; ``weighted_rmse``: on the same ones, each weighted by the inverse of
        its true chance of being among them [1]_; ``true_rmse``: on all items not shown, each with
        the noise that its rating would have; ``counts``: how many ratings without weights would be
        as telling as the weighted ones (Kish). NaN for models whose scores are no ratings.

    Notes
    -----
    The true error of a prediction :math:`\hat r` is :math:`(\hat r - E[r])^2 + Var[r]`: what is
    expected over the ratings that could be given, without drawing any. Lists and predictions are
    those of the same scores. Dense: n_users x n_items numbers, some ten times.

    The weights are known here; on real data they would have to be estimated, or made by showing
    some items at random.

    References
    ----------
    .. [1] T. Schnabel, A. Swaminathan, A. Singh, N. Chandak, T. Joachims, "Recommendations as
       Treatments: Debiasing Learning and Evaluation", ICML 2016, eq. 11 (self-normalized).

    Examples
    --------
    >>> from recsys_lib import make_world, strong_generalization
    >>> from recsys_lib.models import Bias
    >>> world = make_world(n_users=200, n_items=30)
    >>> split = strong_generalization(world.dataset())
    >>> table = measured_and_true({"biases": Bias().fit(split.train)}, split.test, world.truth)
    >>> bool(table.loc["biases", "true_rmse"] > table.loc["biases", "measured_rmse"])
    True
    """
    check_integer("k", k, minimum=1)
    check_fraction("share", share)
    ndcg, rows = f"ndcg@{k}", {}
    for name, model in models.items():
        rates = getattr(model, "predicts", "rating") == "rating"
        metrics = [ndcg, "rmse"] if rates else [ndcg]
        report = evaluate(model, fold, metrics, name=name, min_value=min_value, seed=seed)
        scores = model.score(fold.fold_in)
        listed = top_k(scores, k, exclude=fold.fold_in, seed=seed).items
        chance = truth.like_probability(fold.users, min_value)
        chance = np.take_along_axis(chance, np.maximum(listed, 0), axis=1)
        rows[name] = {"measured_list": report[ndcg], "true_list": chance[listed >= 0].mean()}
        if rates:
            rows[name] |= {"measured_rmse": report["rmse"], **_errors(scores, fold, truth, share)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")


def _errors(
    scores: NDArray[np.float32], fold: Fold, truth: Truth, share: float
) -> dict[str, float]:
    """Return the weighted held-out error, and the expected error on all pairs not shown."""
    predicted = np.clip(scores.astype(np.float64), *truth.settings.rating_scale)
    pairs, taken = fold.targets.tocoo(), np.minimum(truth.inclusion(fold.users), 1 - 1e-12)
    chance = hidden_chance(-np.log1p(-taken), share)[pairs.row, pairs.col]
    squares = (predicted[pairs.row, pairs.col] - pairs.data) ** 2
    signal, hidden = truth.signal(fold.users), fold.fold_in.toarray() == 0
    expected = (predicted - truth.probit.expected(signal)) ** 2 + truth.probit.variance(signal)
    return {
        "weighted_rmse": float(np.sqrt(np.average(squares, weights=1 / chance))),
        "true_rmse": float(np.sqrt(expected[hidden].mean())),
        "counts": float((1 / chance).sum() ** 2 / (1 / chance**2).sum()),
    }
