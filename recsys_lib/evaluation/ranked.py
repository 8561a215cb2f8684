"""One pass over a fold: score a batch, rank the whole catalog, keep lists, drop scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lib.dataset import Fold
from recsys_lib.evaluation.catalog import Metric
from recsys_lib.evaluation.rating import predictions_at
from recsys_lib.evaluation.scoring import score_batches
from recsys_lib.progress import track
from recsys_lib.ranking import top_k

__all__ = ["Ranked", "rank_fold"]


@dataclass(frozen=True)
class Ranked:
    """The ranked lists of a fold, and what metrics need of its scores.

    Attributes
    ----------
    items : ndarray of shape (n_rows, k_max), int32
        Ranked lists; -1 where a list is short.
    tied : dict of int to ndarray of shape (n_rows,), bool
        By list length: whether the list is cut through a group of equal scores.
    predicted : ndarray of shape (n_target_cells,), float64
        Scores at the target cells; empty unless a rating error was asked for.
    """

    items: NDArray[np.int32]
    tied: Mapping[int, NDArray[np.bool_]]
    predicted: NDArray[np.float64]

    def tie_share(self, counts: NDArray[np.bool_]) -> dict[str, float]:
        """Share of tied lists among the users who count, by list length (a string, as in JSON)."""
        return {str(k): float(tied[counts].mean()) for k, tied in self.tied.items() if counts.any()}


def rank_fold(
    model: Any, fold: Fold, asked: Sequence[Metric], *, batch_size: int, seed: int, name: str = ""
) -> Ranked:
    """Rank the catalog for every row of `fold`, as far as the metrics `asked` need it.

    Parameters
    ----------
    model : object
        See `score_batches`.
    fold : Fold
    asked : sequence of Metric
    batch_size : int
        Users that are scored at once.
    seed : int
        Of the order among equal scores.
    name : str
        For the line of progress.

    Returns
    -------
    Ranked

    Examples
    --------
    >>> from scipy import sparse
    >>> from recsys_lib.evaluation.catalog import parse_metrics
    >>> class Same:
    ...     def score(self, user_items):
    ...         return np.tile([3.0, 2.0, 1.0], (user_items.shape[0], 1))
    >>> seen, wanted = sparse.csr_array([[1.0, 0, 0]]), sparse.csr_array([[0, 0, 1.0]])
    >>> fold = Fold(fold_in=seen, targets=wanted, users=np.array([0]))
    >>> rank_fold(Same(), fold, parse_metrics(["mrr@2"]), batch_size=1, seed=0).items
    array([[1, 2]], dtype=int32)
    """
    lengths = sorted({metric.k for metric in asked if metric.k is not None})
    k_max = lengths[-1] if lengths else 0
    rated = any(metric.kind == "rating" for metric in asked)
    items = np.full((fold.n_rows, k_max), -1, dtype=np.int32)
    tied = {k: np.zeros(fold.n_rows, dtype=bool) for k in lengths}
    predicted = []
    with track(f"evaluate {name}", fold.n_rows, "users") as task:
        for rows, scores in score_batches(model, fold, batch_size):
            if rated:
                predicted.append(predictions_at(scores, fold.targets[rows]))
            if lengths:
                # One place more than is reported shows whether the last place was won or drawn.
                top = top_k(scores, k_max + 1, exclude=fold.fold_in[rows], seed=seed)
                items[rows] = top.items[:, :k_max]
                for k in lengths:
                    next_one = top.scores[:, k]
                    tied[k][rows] = (top.scores[:, k - 1] == next_one) & ~np.isneginf(next_one)
            task.step(done=rows.stop)
    return Ranked(items, tied, np.concatenate(predicted) if predicted else np.empty(0))
