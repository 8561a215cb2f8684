"""What the rungs of the ladder say of people: an order of the items, probabilities, reasons."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.bundle.request import People
from recsys_lib.checks import CSR, Doubles, Floats, Integers, Ints, Mask
from recsys_lib.coldstart.content import ItemContent, NewItems, says_something
from recsys_lib.coldstart.handover import mix_scores
from recsys_lib.coldstart.ladder import Ladder, RungAnswer
from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError
from recsys_lib.evaluation.calibration import Calibrator
from recsys_lib.models.base import Recommender, leave_one_out_gains
from recsys_lib.models.baselines import LANES
from recsys_lib.ranking import entries_of, entry_rows, slices

#: The rungs of the ladder, from the most personal answer to the least.
RUNGS = ("history", "profile neighbors", "item content", "segment popularity", "popularity")

_REASONS = 2
_QUARTER = 0.25
# Without a history, similarity and popularity get equal weight.
_EVEN = 0.5
# Items of a history that are left out in turn, where no formula says what each of them adds.
_LEFT_OUT = 255
# Rows are scored in one call with what they are without each entry: up to so many numbers.
_AT_ONCE = 2**18


@dataclass(frozen=True, eq=False)
class Answers:
    """What is said of some people, one a row.

    Attributes
    ----------
    rungs : ndarray of shape (n_rows,), object
        Which rung answers.
    order : ndarray of shape (n_rows, n_items), float32
        Higher is better.
    score : ndarray of shape (n_rows, n_items), float32
        The same, or where probabilities order the lists what breaks ties.
    because : sequence of str or None
        What a group shares with the person; None where a history gives the reasons.
    gains : list of ndarray of shape (n, n_items), or None
        What each item of a history adds to the model's scores, if that is known already.
    """

    rungs: NDArray[np.object_]
    order: Floats
    score: Floats
    because: Sequence[str | None]
    _chances: "_Chances"
    _is_new: Mask
    gains: Sequence[Floats] | None = None

    def probability(self, rows: Integers, items: Integers) -> Doubles:
        """Return the probability of a like of each pair; NaN where nobody can know."""
        return np.where(self._is_new[items], np.nan, self._chances.at(rows, items))

    def rung(self, rows: Integers, items: Integers) -> NDArray[np.object_]:
        """Return the rung that answers for each pair; new items have one of their own."""
        return np.where(self._is_new[items], RUNGS[2], self.rungs[rows])


@dataclass(frozen=True, eq=False)
class _Chances:
    """Probabilities of likes: of the model and of the rung below, by weight.

    `rates` has shape (n_rows, n_items), or (n_items,) if they are the same for all.
    """

    scores: Floats
    rates: NDArray[np.floating[Any]]
    weights: Doubles
    lengths: Ints
    calibrator: Calibrator | None
    unknown: Mask

    def at(self, rows: Any, items: Any) -> Doubles:
        """Return those of pairs; `rows` and `items` are broadcast."""
        weights = self.weights[rows]
        said = np.full(np.broadcast_shapes(np.shape(rows), np.shape(items)), np.nan)
        if self.calibrator is not None:
            said = self.calibrator.probability(self.scores[rows, items], self.lengths[rows])
        rates = self.rates[items] if self.rates.ndim == 1 else self.rates[rows, items]
        chances = np.where(weights > 0, weights * said, 0.0) + (1 - weights) * rates
        return np.where(self.unknown[rows], np.nan, chances)


@dataclass(kw_only=True)
class _Widened(Recommender):
    """A model of fewer items than there are now; it says nothing of the others: 0."""

    model: Recommender

    def _score(self, x: CSR) -> Floats:
        scores, known = np.zeros(x.shape, dtype=np.float32), self.model.n_items_
        scores[:, :known] = self.model.score(x[:, :known])
        return scores


@dataclass(kw_only=True, eq=False)
class Answerer:
    """Answers from the first rung that has something to say; the parameters are a bundle's.

    Attributes
    ----------
    likes : csr_array of shape (n_users, n_items)
        What the model sees of the users of `dataset`.
    like : float or None
        What the lower rungs take for a like.
    """

    model: Recommender
    dataset: Dataset
    likes: CSR
    calibrator: Calibrator | None
    like: float | None
    min_history: int
    handover: float
    new_items: bool
    ladder: Ladder

    def __post_init__(self) -> None:
        self.fitted_on = self.model.n_items_
        # Such a model answers an empty row by popularity, which is on another scale: what it says
        # of a single item is held against 0, but where that is popularity, too.
        ranks = self.model.predicts == "rank"
        self._knows_popularity = ranks and hasattr(self.model, "item_shares_")
        if self.fitted_on < self.dataset.n_items:
            self.model = _Widened(model=self.model)
            self.model.n_items_ = self.dataset.n_items

    @property
    def _has_formula(self) -> bool:
        """Whether the model knows reasons without scores of shorter histories."""
        return type(self.model).gains is not Recommender.gains or self.model._is_linear

    def answer(self, people: People, *, reasons: bool = False) -> Answers:
        """Answer for each person; with `reasons`, what they need is made ready where it can be."""
        n_rows = people.used.shape[0]
        known = ~(self.is_new | self.unlisted)[people.seen.indices]
        counts = np.bincount(entry_rows(people.seen)[known], minlength=n_rows)
        weights = counts / np.maximum(counts + self.handover, 1e-9)
        weights[counts < self.min_history] = 0.0
        below = [
            self._below(people, row, weight, because=reasons)
            for row, weight in enumerate(weights.tolist())
        ]
        scores, gains = np.zeros(people.used.shape, dtype=np.float32), None
        if reasons and self._at_once(people, weights):
            scores, gains = self._scores_and_gains(people.seen)
        elif len(rows := np.flatnonzero(weights)):
            scores[rows] = self.score(people.seen[rows])
        alike: dict[int, Floats] = {}
        for row in np.flatnonzero(weights == 0).tolist():
            if (said := self._alike(people, row, below[row].rung)) is not None:
                terms = self._shared_terms(people, row)
                alike[row], below[row] = said, RungAnswer(RUNGS[2], below[row].rates, terms)
        rates: NDArray[np.floating[Any]] = self._fitted.rates_.overall_
        if any(answer.rates is not rates for answer in below):
            rates = np.stack([answer.rates for answer in below])
        if self._new is not None:  # new items are placed among the others
            rates = np.array(np.broadcast_to(rates, scores.shape))
            for row in range(n_rows):
                seen, interests = people.seen[[row]], people.interests(row)
                scores[row] = self._new.place(scores[[row]], seen, interests)[0]
                if row not in alike:
                    rates[row] = self._new.place(rates[[row]], seen, interests)[0]
        for row, said in alike.items():
            scores[row] = said
        unknown = np.isin(np.arange(n_rows), list(alike))
        chances = _Chances(scores, rates, weights, counts, self.calibrator, unknown)
        order, score = self._order(chances, people.used)
        rungs = [_rung(weight, answer) for weight, answer in zip(weights, below, strict=True)]
        because = [None if weights[row] else one.because for row, one in enumerate(below)]
        rung = np.array(rungs, dtype=object)
        return Answers(rung, order, score, because, chances, self.is_new, gains)

    def _at_once(self, people: People, weights: Doubles) -> bool:
        """Say whether rows and what they are without each entry are best scored together."""
        if self._has_formula or not weights.any():
            return False
        lengths = np.diff(people.seen.indptr)
        numbers = (lengths.sum() + len(lengths)) * self.dataset.n_items
        return bool(numbers <= _AT_ONCE and lengths.max() <= _LEFT_OUT)

    def _scores_and_gains(self, rows: CSR) -> tuple[Floats, list[Floats]]:
        """Return the scores of rows, and for each of them what its entries add."""
        lengths = np.diff(rows.indptr)
        scores = self.score(with_left_out(rows))
        ends = np.cumsum(lengths + 1)
        if self._knows_popularity:
            alone = ends[lengths == 1] - 1
            scores[alone] *= scores[alone] == scores[alone - 1]
        starts = ends - lengths - 1
        return scores[starts], [
            scores[first] - scores[first + 1 : end] for first, end in zip(starts, ends, strict=True)
        ]

    def score(self, rows: CSR) -> Floats:
        """Return the model's scores of rows, to the bit the same in every block of them."""
        kind = type(self.model)
        # Networks bring padding of their own, but those that score block by block.
        if hasattr(self.model, "network_") and kind._score is not Recommender._score:
            return self.model.score(rows)
        scores = np.empty(rows.shape, dtype=np.float32)
        for part in slices(len(scores), LANES):
            scores[part] = self.model.score(rows[part])
        return scores

    def _order(self, chances: _Chances, used: CSR) -> tuple[Floats, Floats]:
        """Return what orders the items of each row, and what broke its ties."""
        weights = np.where(chances.unknown, _EVEN, chances.weights)
        order, rates, mixed = chances.scores.copy(), chances.rates, np.flatnonzero(weights < 1)
        if len(mixed):
            rates = rates if rates.ndim == 1 else rates[mixed]
            order[mixed] = mix_scores(order[mixed], rates, weights[mixed], used[mixed])
        rows = mixed[chances.weights[mixed] > 0]
        if self.calibrator is None or not len(rows):
            return order, order
        # Probabilities must fall down the list; scores break ties.
        score = order.copy()
        chance = chances.at(rows[:, None], np.arange(order.shape[1])[None, :])
        ranked = np.lexsort((score[rows], chance), axis=-1)
        order[rows] = np.argsort(ranked, axis=-1)
        return order, score

    @cached_property
    def _fitted(self) -> Ladder:
        ladder = replace(self.ladder, like=self.like)
        return ladder.fit(self.likes, self.dataset.users)

    def _below(self, people: People, row: int, weight: float, *, because: bool) -> RungAnswer:
        """Answer without the history; where that says all, or without profiles, by popularity."""
        profile = {} if self.dataset.users is None or weight == 1 else people.profiles[row]
        because = because and weight == 0
        return self._fitted.answer(profile, leave_out=people.positions[row], because=because)

    def _alike(self, people: People, row: int, below: str) -> Floats | None:
        """Similarity of items to a person with only new items or interests; None for others."""
        seen = people.seen[[row]]
        if self._new is not None and self._new.is_new[seen.indices].any():
            return np.asarray(self._new.content.score(seen)[0])
        if below == RUNGS[1] or self.content is None:
            return None
        interests = people.interests(row)
        alike = self.content.score_terms(interests)
        if alike is None and self.dataset.users is None and interests:
            raise DataError(
                "`profile` must name a tag or category of some item, since there are no other "
                f"profiles to compare it with; got {' and '.join(map(repr, interests))}. "
                "Leave it out, or build the bundle from a dataset with `users`."
            )
        return alike

    def _shared_terms(self, people: People, row: int) -> str:
        if self.content is None or people.seen.indptr[row] < people.seen.indptr[row + 1]:
            return ""
        return " · ".join(self.content.known_terms(people.interests(row)))

    @cached_property
    def _new(self) -> NewItems | None:
        """Items nobody has used that have content; None if they are not to be listed."""
        if not self.new_items:
            return None
        used = self.dataset.user_items
        if self.fitted_on < self.dataset.n_items:  # those are new to the model, used or not
            used = sparse.csr_array(used[:, : self.fitted_on])
            used.resize(self.dataset.user_items.shape)
        return NewItems.of(self.dataset.items, used)

    @cached_property
    def is_new(self) -> Mask:
        """Which items are listed for their content alone."""
        nothing = np.zeros(self.dataset.n_items, dtype=bool)
        return nothing if self._new is None else self._new.is_new

    @cached_property
    def unlisted(self) -> Mask:
        """Items that came after the fit and have no content: nothing can be said of them."""
        return ~self.is_new & (np.arange(self.dataset.n_items) >= self.fitted_on)

    @cached_property
    def content(self) -> ItemContent | None:
        """The content of all items, new or not."""
        items = self.dataset.items
        if self._new is not None:
            return self._new.content
        return ItemContent.of(items) if items is not None and says_something(items) else None

    def because(
        self,
        answers: Answers,
        people: People,
        lists: Sequence[NDArray[np.int32]],
        titles: NDArray[np.object_],
    ) -> list[str]:
        """Return the reason for each item of each list."""
        reasons: list[str] = []
        for row, (shared, items) in enumerate(zip(answers.because, lists, strict=True)):
            if shared is not None:
                reasons += [shared] * len(items)
                continue
            history = people.seen.indices[people.seen.indptr[row] : people.seen.indptr[row + 1]]
            known = titles[history]
            if answers.gains is None:
                raised = self.gains_of(people.seen[row : row + 1], items)
            else:
                raised = answers.gains[row][:, items]
            if self._new is not None:
                for place in np.flatnonzero(self.is_new[items]):
                    raised[:, place] = self._new.content.likeness(items[place])[history]
            best = np.argsort(-raised, axis=0, kind="stable")[:_REASONS]
            helped = np.take_along_axis(raised, best, axis=0) > 0
            reasons += [
                " · ".join(known[one[yes]]) for one, yes in zip(best.T, helped.T, strict=True)
            ]
        return reasons

    def gains_of(self, row: CSR, items: Integers) -> Floats:
        """Return what each item of one history adds to the scores of some items.

        Without a formula each costs the score of a history, which took seconds for hundreds: of a
        long one the part that is most like the items is asked about, and the rest is 0.
        """
        if row.nnz == 1 and self._knows_popularity:
            return self._scores_and_gains(row)[1][0][:, items]
        if self._has_formula and (known := self.model.gains(row, items)) is not None:
            return known
        alike = None
        if row.nnz > _LEFT_OUT and len(items) and not self._has_formula:
            alike = self.model.item_similarity(items.tolist())
        if alike is None:
            return leave_one_out_gains(self.model, row, items)
        # By the best place in the order of any of them, so that each has those nearest to it.
        places = np.argsort(np.argsort(-alike[:, row.indices], axis=1, kind="stable"), axis=1)
        among = np.argsort(places.min(axis=0), kind="stable")[:_LEFT_OUT]
        gains = np.zeros((row.nnz, len(items)), dtype=np.float32)
        gains[among] = leave_one_out_gains(self.model, row, items, among=among)
        return gains


def with_left_out(rows: CSR) -> CSR:
    """Return each row followed by its copies, each without one of its entries.

    Examples
    --------
    >>> with_left_out(sparse.csr_array([[0, 5, 3], [1, 0, 0]])).toarray()
    array([[0, 5, 3],
           [0, 0, 3],
           [0, 5, 0],
           [1, 0, 0],
           [0, 0, 0]])
    """
    lengths = np.diff(rows.indptr)
    copied = np.repeat(np.arange(len(lengths)), lengths + 1)
    first = np.cumsum(lengths + 1) - (lengths + 1)
    left_out = np.arange(len(copied)) - first[copied] - 1  # -1 in the row itself
    entries, sizes = entries_of(rows, copied), lengths[copied]
    kept = entries != np.repeat(np.where(left_out < 0, -1, rows.indptr[copied] + left_out), sizes)
    indptr = np.concatenate([[0], np.cumsum(sizes - (left_out >= 0))])
    parts = (rows.data[entries[kept]], rows.indices[entries[kept]], indptr)
    return sparse.csr_array(parts, shape=(len(copied), rows.shape[1]))


def _rung(weight: float, below: RungAnswer) -> str:
    if weight == 0:
        return below.rung
    return f"{RUNGS[0]} + {below.rung}" if 1 - weight >= _QUARTER else RUNGS[0]
