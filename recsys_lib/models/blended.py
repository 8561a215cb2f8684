"""The cold-start ladder as scorers, whole and rung by rung, for evaluation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import check_choice, check_nonnegative, check_user_items
from recsys_lib.models.base import Recommender
from recsys_lib.models.ladder import Ladder, blend, each_profile_once

__all__ = ["Blended", "Rung", "rungs_of"]

_RUNGS = ("profile neighbors", "segment popularity", "popularity")


@dataclass(kw_only=True)
class Blended:
    """Score users by their history, backed by their profile while the history is short.

    Parameters
    ----------
    model : Recommender
        Fitted.
    ladder : Ladder
        Fitted on training users only, where it is to be measured.
    users : DataFrame, optional
        Profiles of all users of the dataset, in the order of its positions.
    blend : float
        How many interactions the ladder counts for; see `ladder.blend`. 0 leaves it to the model
        as soon as there is an interaction.

    Examples
    --------
    >>> from recsys_lib.models import Popularity
    >>> likes = sparse.csr_array([[1, 0, 0], [1, 0, 0], [0, 1, 1]], dtype="float32")
    >>> users = pd.DataFrame({"role": ["ops", "ops", "dev", "dev"]})
    >>> ladder = Ladder(n_neighbors=1).fit(likes, users[:3])
    >>> scorer = Blended(model=Popularity().fit(likes), ladder=ladder, users=users)
    >>> scorer.score_users(np.array([3]), sparse.csr_array((1, 3))).shape
    (1, 3)
    """

    model: Recommender
    ladder: Ladder
    users: pd.DataFrame | None = field(default=None, repr=False)
    blend: float = 4.0

    def score_users(
        self, users: NDArray[np.integer], fold_in: sparse.csr_array
    ) -> NDArray[np.float32]:
        """Score every item for users whose profiles are known.

        Parameters
        ----------
        users : ndarray of shape (n_rows,), int
            Positions in `users`.
        fold_in : csr_array of shape (n_rows, n_items)
            What is known of each.

        Returns
        -------
        ndarray of shape (n_rows, n_items), float32
        """
        check_nonnegative("blend", self.blend)
        x = check_user_items(fold_in, n_items=self.model.n_items_)
        scores = self.model.score(x)
        rates = each_profile_once(lambda one: self.ladder.answer(one).rates, self.users, users)
        for row, below in enumerate(rates):
            used = x.indices[x.indptr[row] : x.indptr[row + 1]]
            n = len(used)
            weight = n / (n + self.blend) if n else 0.0
            if weight == 1.0:
                continue
            unused = np.ones(x.shape[1], dtype=bool)
            unused[used] = False
            scores[row] = blend(scores[row], below, weight, unused)
        return scores


@dataclass(kw_only=True)
class Rung:
    """One rung below the model alone, whatever the history.

    Parameters
    ----------
    name : {"profile neighbors", "segment popularity", "popularity"}
        Where a profile finds no neighbors or segment, the next rung answers.
    ladder : Ladder
        Fitted.
    users : DataFrame, optional
        Profiles of all users of the dataset, in the order of its positions.

    Examples
    --------
    >>> likes = sparse.csr_array([[1, 0, 0], [1, 0, 0], [0, 1, 1]], dtype="float32")
    >>> users = pd.DataFrame({"role": ["ops", "ops", "dev", "dev"]})
    >>> ladder = Ladder(prior=1.0).fit(likes, users[:3])
    >>> rung = Rung(name="segment popularity", ladder=ladder, users=users)
    >>> int(rung.score_users(np.array([3]), sparse.csr_array((1, 3))).argmin())
    0
    """

    name: Literal["profile neighbors", "segment popularity", "popularity"]
    ladder: Ladder
    users: pd.DataFrame | None = field(default=None, repr=False)

    def score_users(
        self, users: NDArray[np.integer], fold_in: sparse.csr_array
    ) -> NDArray[np.float32]:
        """Return the rates of the rung, of shape (n_rows, n_items), float32."""
        check_choice("name", self.name, _RUNGS)
        return np.array(each_profile_once(self._rates, self.users, users), dtype=np.float32)

    def _rates(self, profile: Mapping[str, Any]) -> NDArray[np.float64]:
        segments = self.ladder.segments_
        rungs: dict[str, Callable[[], NDArray[np.float64]]] = {
            "profile neighbors": lambda: self.ladder.answer(profile).rates,
            "segment popularity": lambda: (
                self.ladder.rates_.overall_ if segments is None else segments.score(profile)
            ),
            "popularity": lambda: self.ladder.rates_.overall_,
        }
        return rungs[self.name]()


def rungs_of(ladder: Ladder, users: pd.DataFrame | None = None) -> dict[str, Rung]:
    """Return the rungs of a ladder, from the most general up; one without profiles.

    Parameters
    ----------
    ladder : Ladder
        Fitted.
    users : DataFrame, optional
        As of `Rung`.

    Returns
    -------
    dict of str to Rung
    """
    there = {
        "popularity": ladder.rates_,
        "segment popularity": ladder.segments_,
        "profile neighbors": ladder.neighbours_,
    }
    names: list[Any] = [name for name, rung in there.items() if rung is not None]
    return {name: Rung(name=name, ladder=ladder, users=users) for name in names}
