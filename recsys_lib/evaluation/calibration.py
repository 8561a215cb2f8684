"""From scores to probabilities: fitted on validation, checked on the test."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse, special

from recsys_lib.artifacts import check_replaceable, read_json, write_json
from recsys_lib.checks import CSR, Doubles, Ints, Mask, check_choice, check_integer, check_kind
from recsys_lib.dataset import Fold
from recsys_lib.errors import ArtifactError
from recsys_lib.evaluation.evaluate import score_batches
from recsys_lib.ranking import TopK, entry_rows, mask_seen
from recsys_lib.seeding import rng_from

Method = Literal["isotonic", "platt"]

# Cells that are looked at where all items that were not used count.
_MOST_CELLS = 2_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibrator:
    """A monotone map from a score, and the length of the history, to the probability of a like.

    Attributes
    ----------
    method : {"isotonic", "platt"}
    arrays : dict of str to ndarray, float64
        "isotonic": ``scores`` ascending and ``probabilities`` at them, linear between and constant
        beyond. "platt": ``slope`` and ``intercept`` of the logit, shape (1,) each. With ``tilt``,
        shape (1,), what is mapped is the score and `tilt` times log(1 + length of the history).

    Examples
    --------
    >>> scores = np.array([0.0, 1.0, 2.0, 3.0] * 25)
    >>> liked = np.arange(100) % 4 > 1
    >>> calibrator = Calibrator.fit(scores, liked)
    >>> calibrator.probability([0.0, 1.5, 9.0]).round(3)
    array([0.019, 0.5  , 0.981])
    """

    method: Method
    arrays: dict[str, Doubles]

    @classmethod
    def fit(
        cls,
        scores: ArrayLike,
        liked: ArrayLike,
        *,
        method: Method = "isotonic",
        lengths: ArrayLike | None = None,
    ) -> Self:
        """Fit the map to scores whose outcome is known.

        Parameters
        ----------
        scores : array of shape (n,), float
            Finite.
        liked : array of shape (n,), bool
            The outcomes; both must occur.
        method : {"isotonic", "platt"}
            "isotonic" follows any increasing curve and wants some thousands of cells; "platt" is a
            logistic curve of two parameters and does with some hundreds.
        lengths : array of shape (n,), int, optional
            Entries of the history that each score is of. They count where that makes the outcomes
            likelier.

        Returns
        -------
        Calibrator

        Raises
        ------
        ValueError
            If a score is not finite, lengths differ, or all outcomes are alike.

        Notes
        -----
        A thousand likes without exception don't prove certainty: Platt's targets are
        1 / (n_not + 2) and (n_liked + 1) / (n_liked + 2) instead of 0 and 1. "isotonic" never
        leaves them; "platt" is fitted to them, and its curve passes them at extreme scores.
        O(n log n).

        References
        ----------
        .. [1] J. Platt, "Probabilistic Outputs for Support Vector Machines", 1999, section 2.2.
        .. [2] B. Zadrozny, C. Elkan, "Transforming Classifier Scores into Accurate Multiclass
           Probability Estimates", KDD 2002, section 3 (isotonic).
        """
        check_choice("method", method, ("isotonic", "platt"))
        from sklearn.metrics import log_loss

        x, y = _outcomes(scores, liked)
        low, high = 1 / ((~y).sum() + 2), (y.sum() + 1) / (y.sum() + 2)
        curve = _isotonic if method == "isotonic" else _platt
        found = cls(method=method, arrays=curve(x, y, low, high))
        if lengths is None:
            return found
        activity = np.log1p(lengths)
        tilt = _tilt(x, y, activity)
        tilted = cls(
            method=method, arrays=curve(x + tilt * activity, y, low, high) | {"tilt": tilt}
        )
        # Scores of linear models are sums over the history and need none.
        losses = [log_loss(y, one.probability(x, lengths)) for one in (found, tilted)]
        return found if losses[0] <= losses[1] else tilted

    def probability(self, scores: ArrayLike, lengths: ArrayLike | None = None) -> Doubles:
        """Return the probability of a like at each score; NaN at -inf, which marks "not listed".

        Parameters
        ----------
        scores : array of any shape, float
        lengths : array that broadcasts with `scores`, int
            Entries of the history that each score is of; only where the calibrator was fitted with
            them.

        Returns
        -------
        ndarray of that shape, float64
            In [0, 1], not decreasing in the score; "platt" rounds to an end only far out.

        Raises
        ------
        ValueError
            If the calibrator was fitted with lengths and gets none.
        """
        x = np.asarray(scores, dtype=np.float64)
        if "tilt" in self.arrays:
            if lengths is None:
                raise ValueError(
                    "`lengths` must be given, as they were in `fit`; got none. Pass the number of "
                    "entries of each history."
                )
            x = x + self.arrays["tilt"] * np.log1p(lengths)
        listed = np.where(np.isneginf(x), np.nan, x)
        if self.method == "isotonic":
            return np.interp(listed, self.arrays["scores"], self.arrays["probabilities"])
        return np.asarray(special.expit(self.arrays["slope"] * listed + self.arrays["intercept"]))

    def save(self, path: Path | str) -> None:
        """Write the calibrator as JSON, atomically; only another calibrator is replaced."""
        check_replaceable(path, ours=lambda file: read_json(file)["kind"] == "calibrator")
        arrays = {name: array.tolist() for name, array in self.arrays.items()}
        write_json(path, {"kind": "calibrator", "method": self.method, "arrays": arrays})

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Load a saved calibrator; `ArtifactError` if it is damaged or something else."""
        record = read_json(path)
        if not isinstance(record, dict) or record.get("kind") != "calibrator":
            raise ArtifactError(
                f"{path} must hold a calibrator; it holds something else. Check the path."
            )
        arrays = {name: np.array(values, float) for name, values in record["arrays"].items()}
        return cls(method=record["method"], arrays=arrays)


def _outcomes(scores: ArrayLike, liked: ArrayLike) -> tuple[Doubles, Mask]:
    x, y = np.asarray(scores, dtype=np.float64), np.asarray(liked, dtype=bool)
    if y.all() or not y.any():
        what = "no outcome" if not len(y) else f"{len(y)} outcomes, all {bool(y[0])}"
        raise ValueError(
            f"`liked` must hold both outcomes; got {what}. Check the threshold that makes a like."
        )
    return x, y


def _isotonic(x: Doubles, y: Mask, low: float, high: float) -> dict[str, Doubles]:
    # Here, because `import` would take twice as long.
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=low, y_max=high).fit(x, y.astype(np.float64))
    return {"scores": fitted.X_thresholds_, "probabilities": fitted.y_thresholds_}


def _platt(x: Doubles, y: Mask, low: float, high: float) -> dict[str, Doubles]:
    from sklearn.linear_model import LogisticRegression

    center, scale = x.mean(), x.std() or 1.0
    z, target = (x - center) / scale, np.where(y, high, low)
    # A target between 0 and 1 is a share of each outcome.
    twice, outcomes = np.tile(z, 2)[:, None], np.repeat([1, 0], len(z))
    shares = np.concatenate([target, 1 - target])
    fitted = LogisticRegression(C=np.inf, tol=1e-8).fit(twice, outcomes, sample_weight=shares)
    slope, intercept = fitted.coef_[0] / scale, fitted.intercept_
    if slope[0] < 0:  # a higher score must not promise less: level is the best that does not
        slope, intercept = np.zeros(1), special.logit(target.mean(keepdims=True))
    return {"slope": slope, "intercept": intercept - slope * center}


def _tilt(x: Doubles, y: Mask, activity: Doubles) -> Doubles:
    """Return how much of the activity a score lacks to mean the same for everybody."""
    from sklearn.linear_model import LogisticRegression

    scale = x.std() or 1.0
    features = np.stack([(x - x.mean()) / scale, activity], axis=1)
    of_score, of_activity = LogisticRegression(C=np.inf, tol=1e-8).fit(features, y).coef_[0]
    return np.array([of_activity / of_score * scale if of_score > 0 else 0.0])


def score_cells(
    model: Any, fold: Fold, *, min_value: float | None = None, calibrator: Calibrator | None = None
) -> tuple[Doubles, Mask]:
    """Return the scores of the cells with a known outcome in the fold, and the outcomes.

    Parameters
    ----------
    model : object
        Anything that `evaluate` takes.
    fold : Fold
        The validation fold to fit on, or the test fold to check on.
    min_value : float, optional
        A like is a held-out rating of at least this value, among the held-out ratings. Where it is
        not given, a like is a target among *all* items the user had not used: the probability is
        then of "is used and was held out", a small number; users are left out at random so that
        about two million cells remain.
    calibrator : Calibrator, optional
        Return its probabilities in the place of the scores.

    Returns
    -------
    scores : ndarray of shape (n,), float64
    liked : ndarray of shape (n,), bool

    Examples
    --------
    >>> from scipy import sparse
    >>> class Same:
    ...     def score(self, user_items):
    ...         return np.tile([1.0, 2.0, 3.0], (user_items.shape[0], 1))
    >>> seen, rated = sparse.csr_array([[9.0, 0, 0]]), sparse.csr_array([[0, 0, 8.0]])
    >>> fold = Fold(fold_in=seen, targets=rated, users=np.array([0]))
    >>> score_cells(Same(), fold, min_value=7.0)
    (array([3.]), array([ True]))
    >>> score_cells(Same(), fold)
    (array([2., 3.]), array([False,  True]))
    """
    scores, liked, lengths = _cells(model, fold, min_value)
    return scores if calibrator is None else calibrator.probability(scores, lengths), liked


def _cells(model: Any, fold: Fold, min_value: float | None) -> tuple[Doubles, Mask, Ints]:
    """Return scores and outcomes of `score_cells`, and the length of the history of each."""
    check_kind("fold", fold, Fold)
    part = fold
    if min_value is None:
        n_kept = min(fold.n_rows, max(1, _MOST_CELLS // fold.fold_in.shape[1]))
        rng = rng_from(0, "evaluation", "calibration")
        part = fold.take(np.sort(rng.permutation(fold.n_rows)[:n_kept]))
    scores, liked, lengths = [], [], []
    for rows, batch in score_batches(model, part):
        targets, shown = part.targets[rows], part.fold_in[rows]
        row, column = entry_rows(targets), targets.indices
        came = targets.data >= (-np.inf if min_value is None else min_value)
        if min_value is None:
            wanted = np.zeros(batch.shape, dtype=bool)
            wanted[row, column] = True
            row, column = np.nonzero(~np.isneginf(mask_seen(batch.copy(), shown)))
            came = wanted[row, column]
        scores.append(batch[row, column])
        liked.append(came)
        lengths.append(np.diff(shown.indptr)[row])
    found = np.concatenate(scores).astype(np.float64)
    return found, np.concatenate(liked), np.concatenate(lengths)


def fit_calibrator(
    model: Any, validation: Fold, *, min_value: float | None = None, method: Method = "isotonic"
) -> Calibrator:
    """Fit a calibrator to a model's scores on the validation fold, see `score_cells`.

    Where all outcomes are alike no score can tell them apart: every score has the chance of
    Laplace's rule, (likes + 1) / (outcomes + 2).

    Parameters
    ----------
    model : object
        Fitted; whatever `evaluate` takes.
    validation : Fold
        Not the test: a calibrator that has seen the test flatters it.
    min_value : float, optional
        Lowest held-out rating that is a like; None takes every target as one.
    method : {"isotonic", "platt"}
        Any rising curve, or a logistic one of two numbers.

    Returns
    -------
    Calibrator

    Notes
    -----
    Scores of models of likes lie on another scale for each person, and who has used more has more
    that is hidden. So without `min_value` the length of the history counts beside the score: on the
    likes of MovieLens 100K the lists of the third with the shortest histories (`MultDAE`, "platt")
    promised 16 % and kept 8 %, those of the third with the longest 7 % and 31 %; now they promise
    5 % and 24 %.

    Examples
    --------
    >>> from scipy import sparse
    >>> class Same:
    ...     def score(self, user_items):
    ...         return np.tile([1.0, 2.0], (user_items.shape[0], 1))
    >>> rated = sparse.csr_array([[2.0, 8.0], [3.0, 9.0], [7.0, 7.0]])
    >>> fold = Fold(fold_in=sparse.csr_array((3, 2)), targets=rated, users=np.arange(3))
    >>> fit_calibrator(Same(), fold, min_value=7.0).probability([1.0, 2.0]).round(2)
    array([0.33, 0.83])
    """
    scores, liked, lengths = _cells(model, validation, min_value)
    if liked.all() or not liked.any():
        chance = (liked.sum() + 1) / (len(liked) + 2)
        constant = {"slope": np.zeros(1), "intercept": np.array([special.logit(chance)])}
        return Calibrator(method="platt", arrays=constant)
    counted = lengths if min_value is None else None
    return Calibrator.fit(scores, liked, method=method, lengths=counted)


def promises(
    lists: TopK, calibrator: Calibrator, outcomes: ArrayLike | CSR, shown: CSR | None = None
) -> tuple[Doubles, Doubles]:
    """Return what lists promise and what came of it, item by item.

    Parameters
    ----------
    lists : TopK
        Of shape (n_rows, k), as of `Recommender.recommend`.
    calibrator : Calibrator
    outcomes : array or csr_array of shape (n_rows, n_items)
        Whether an item came true, or its true probability.
    shown : csr_array of shape (n_rows, n_items), optional
        The histories; only where the calibrator was fitted with their lengths.

    Returns
    -------
    promised, kept : ndarray of shape (n,), float64
        Of the places of the lists that are filled.

    Examples
    --------
    >>> from recsys_lib.ranking import TopK
    >>> lists = TopK(np.array([[1, -1]], "int32"), np.array([[2.0, -np.inf]], "float32"))
    >>> even = Calibrator(method="platt", arrays={"slope": np.zeros(1), "intercept": np.zeros(1)})
    >>> promises(lists, even, [[False, True]])
    (array([0.5]), array([1.]))
    """
    filled = lists.items >= 0
    table: Any = outcomes if sparse.issparse(outcomes) else np.asarray(outcomes)
    found = table[np.arange(len(filled))[:, None], lists.items]  # never dense as a whole
    kept = np.asarray(found.toarray() if sparse.issparse(found) else found, dtype=np.float64)
    lengths = None if shown is None else np.diff(sparse.csr_array(shown).indptr)[:, None]
    return calibrator.probability(lists.scores, lengths)[filled], kept[filled]


def brier_score(probability: ArrayLike, liked: ArrayLike) -> float:
    """Mean squared difference between probability and outcome; 0 is perfect.

    Parameters
    ----------
    probability : array of shape (n,), float
        In [0, 1].
    liked : array of shape (n,), bool or float
        Outcomes, or true probabilities where a world knows them.

    Returns
    -------
    float
        In [0, 1].

    References
    ----------
    .. [1] G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly
       Weather Review 78(1), 1950.

    Examples
    --------
    >>> brier_score([0.8, 0.4], [True, False])
    0.1
    """
    p, y = _forecasts(probability, liked)
    return float(np.mean((p - y) ** 2))


def reliability_table(
    probability: ArrayLike, liked: ArrayLike, *, n_bins: int = 10, true: ArrayLike | None = None
) -> pd.DataFrame:
    """Compare forecast and observed frequencies, bin by bin.

    Parameters
    ----------
    probability : array of shape (n,), float
        In [0, 1].
    liked : array of shape (n,), bool or float
        Outcomes, or true probabilities where a world knows them.
    n_bins : int
        Number of bins of about equally many forecasts to aim for; equal forecasts share a bin.
    true : array of shape (n,), float, optional
        True probabilities, where a world knows them.

    Returns
    -------
    DataFrame
        Columns ``low, high`` (the bin's range of forecasts), ``n, predicted, observed``,
        ``observed_low, observed_high``, the 95 % Wilson interval of the observed share, and with
        `true` its mean, ``true``. The interval takes cells for independent: where few people have
        many cells each, it is too narrow.

    References
    ----------
    .. [1] A. H. Murphy, R. L. Winkler, "Reliability of subjective probability forecasts", JRSS C
       26(1), 1977. Interval: E. B. Wilson, JASA 22, 1927.

    Examples
    --------
    >>> table = reliability_table([0.1, 0.1, 0.9, 0.9], [0, 1, 1, 1], n_bins=2)
    >>> table[["n", "predicted", "observed"]]
       n  predicted  observed
    0  2        0.1       0.5
    1  2        0.9       1.0
    """
    p, y = _forecasts(probability, liked)
    check_integer("n_bins", n_bins, minimum=1)
    ends = np.quantile(p, np.arange(1, n_bins) / n_bins, method="higher")
    label = np.searchsorted(np.unique(ends), p, side="right")
    cells = pd.DataFrame({"p": p, "y": y})
    if true is not None:
        cells["true"] = _forecasts(true, liked)[0]
    grouped = cells.groupby(label)
    table = grouped["p"].agg(low="min", high="max", n="size", predicted="mean")
    table = table.assign(observed=grouped["y"].mean()).reset_index(drop=True)
    n, share, z = table["n"], table["observed"], 1.959964
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    table = table.assign(observed_low=middle - reach, observed_high=middle + reach)
    return table if true is None else table.assign(true=grouped["true"].mean().to_numpy())


def expected_calibration_error(
    probability: ArrayLike, liked: ArrayLike, *, n_bins: int = 10
) -> float:
    r"""Mean \|predicted - observed\| over bins, weighted by their size; 0 is perfect.

    Parameters
    ----------
    probability, liked, n_bins
        As in `reliability_table`. The value depends on the bins, so state them beside it; with few
        cells per bin it is above 0 also for perfect forecasts.

    Returns
    -------
    float
        In [0, 1].

    References
    ----------
    .. [1] M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining Well Calibrated Probabilities Using
       Bayesian Binning", AAAI 2015, section 4.

    Examples
    --------
    >>> round(expected_calibration_error([0.1, 0.1, 0.9, 0.9], [0, 1, 1, 1], n_bins=2), 3)
    0.25
    """
    table = reliability_table(probability, liked, n_bins=n_bins)
    gap = (table["predicted"] - table["observed"]).abs()
    return float((gap * table["n"]).sum() / table["n"].sum())


def _forecasts(probability: ArrayLike, liked: ArrayLike) -> tuple[Doubles, Doubles]:
    p, y = np.asarray(probability, dtype=np.float64), np.asarray(liked, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all() or not ((y >= 0) & (y <= 1)).all():
        raise ValueError(
            "`probability` and `liked` must lie in [0, 1]; some values don't. "
            "Map scores with Calibrator.probability and leave out unlisted items."
        )
    return p, y
