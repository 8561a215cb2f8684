"""Everything needed to recommend for a person: model, ids, titles, calibrator and cold start.

Everyone gets an answer, and each row of it names the rung of the ladder that gave it.
"""

import dataclasses
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib import models
from recsys_lib.artifacts import atomic_folder, read_manifest, write_manifest
from recsys_lib.bundle.request import History, Person, RequestReader
from recsys_lib.bundle.rules import Plan, RuleReader, Rules, Where
from recsys_lib.cards import Shown
from recsys_lib.checks import check_choice, check_integer, check_is_fitted, check_number
from recsys_lib.coldstart.content import ItemContent, unit_rows
from recsys_lib.coldstart.handover import mix_scores
from recsys_lib.coldstart.ladder import Ladder, RungAnswer
from recsys_lib.coldstart.new_items import NewItems, says_something
from recsys_lib.coldstart.reasons import leave_one_out_gains
from recsys_lib.dataset import Dataset
from recsys_lib.errors import ArtifactError, DataError
from recsys_lib.evaluation.calibration import Calibrator
from recsys_lib.models.base import Recommender
from recsys_lib.ranking import top_k
from recsys_lib.renamed import renamed

#: The rungs of the ladder, from the most personal answer to the least.
RUNGS = ("history", "profile neighbors", "item content", "segment popularity", "popularity")

_FORMAT = 2
_PERSON = ("user", "history", "profile")
_REASONS = 2
_QUARTER = 0.25
# Without a history, similarity and popularity get equal weight.
_EVEN = 0.5


@dataclass(frozen=True)
class _Answer:
    """Rung, order, probability and reason for each item.

    Reasons from the history differ by item and are computed only for the items listed.
    """

    rung: NDArray[np.object_]
    order: NDArray[np.floating[Any]]
    probability: NDArray[np.float64]
    because: str | None = None


@renamed(
    blend="handover",
    n_neighbors="ladder.n_neighbors",
    min_similarity="ladder.min_similarity",
    prior="ladder.prior",
    segment="ladder.segment",
)
@dataclass(kw_only=True)
class Bundle(Shown):
    """A fitted model with everything needed to recommend for a person.

    Parameters
    ----------
    model : Recommender
        Fitted on the items of `dataset`, in their order.
    dataset : Dataset
        Ids and histories, and if known the catalog (column ``title``) and profiles. Its users are
        the neighbors of newcomers.
    calibrator : Calibrator, optional
        Turns the model's scores into probabilities; without one, probabilities are NaN wherever
        the model answers.
    like : float, optional
        Lowest rating that counts as a like. Without it, every interaction is a like.
    inputs : {"values", "likes"}
        What the model sees: the ratings themselves, or a 1 for each like and nothing else.
    min_history : int
        Fewest interactions for the model to answer; with fewer, the next rung does.
    handover : float
        Interactions after which the model and the next rung weigh the same (see `mix_scores`), so
        that a first click moves the list but does not overturn it. 0 leaves the answer to the
        model, which is right where hardly any two people use the same items;
        `evaluation.measure_handover` finds out. With a calibrator, the average of the
        probabilities orders the list; without one, that of the standardized scores. The rung is
        called ``"history + ..."`` as long as the next one has a quarter of the weight or more.
    new_items : bool
        Whether to list items that nobody in the dataset has used, if they resemble the person's
        own items and the recommended ones (``"item content"``: words, tags and categories of the
        catalog; see `NewItems`). Their probability is unknown.
    ladder : Ladder
        Settings of the rungs below the history, such as ``Ladder(segment=["role"])``; it is fitted
        on `dataset`, and its `like` follows from that of the bundle.

    Examples
    --------
    >>> from recsys_lib.models import Popularity
    >>> frame = pd.DataFrame({"user_id": ["ann", "ann", "bob"], "item_id": ["x", "y", "x"]})
    >>> dataset = Dataset.from_frame(frame, value=None)
    >>> bundle = Bundle(model=Popularity().fit(dataset.user_items), dataset=dataset)
    >>> bundle.recommend("bob")[["rank", "item_id", "rung", "because"]]
       rank item_id                  rung because
    0     1       y  history + popularity
    """

    model: Recommender
    dataset: Dataset
    calibrator: Calibrator | None = None
    like: float | None = None
    inputs: Literal["values", "likes"] = "values"
    min_history: int = 1
    handover: float = 4.0
    new_items: bool = True
    ladder: Ladder = field(default_factory=Ladder)

    def __post_init__(self) -> None:
        check_is_fitted(self.model, "n_items_")
        if not isinstance(self.calibrator, Calibrator | None):
            raise TypeError(f"`calibrator` must be a Calibrator; got {self.calibrator!r}.")
        check_choice("inputs", self.inputs, ("values", "likes"))
        check_integer("min_history", self.min_history, minimum=1)
        check_number("handover", self.handover, least=0)
        if self.like is not None:
            check_number("like", self.like)
        if self.model.n_items_ != self.dataset.n_items:
            raise ValueError(
                "`model` must be fitted on the items of `dataset`; it knows "
                f"{self.model.n_items_} items and the dataset has {self.dataset.n_items}. "
                "Take both from the same run."
            )

    def recommend(
        self,
        user: Any = None,
        *,
        history: History | None = None,
        profile: Mapping[str, Any] | None = None,
        k: int = 10,
        exclude: Iterable[Any] = (),
        only: Iterable[Any] | None = None,
        where: Where | None = None,
        available: Iterable[Any] | str | None = None,
        limit_per: Mapping[str, int] | None = None,
        promote: Iterable[Any] = (),
        never: Iterable[Any] = (),
        diversity: float = 0.0,
    ) -> pd.DataFrame:
        """Recommend for a known user, a history, a profile, or nobody in particular.

        Parameters
        ----------
        user : id, optional
            A user of the dataset.
        history : sequence of item ids, or mapping or Series of ratings by item id, optional
            What this person has used, instead of the user's own history: edit it to ask "what
            if". Items without a rating count as liked.
        profile : mapping of column name to value, optional
            What is known about a newcomer, instead of the user's own profile. May be incomplete.
        k : int
            Length of the list, >= 1.
        exclude, never : iterable of item ids
            Not listed, nor are items already used.
        only : iterable of item ids, optional
            Nothing else is listed.
        where : mapping of column name to condition, optional
            What items must be, by column of the catalog: a value, a list of which one must hold, or
            a mapping with ``min``, ``max`` and ``not``:
            ``{"track": ["NET", "SEC"], "duration": {"max": 90}}``. Of tags one must be the value.
        available : iterable of item ids, or str, optional
            What can be had: ids, or the name of a column of true and false.
        limit_per : mapping of column name to int, optional
            At most so many items with the same value, or the same tag: ``{"track": 3}``.
        promote : iterable of item ids
            Listed first, in this order, if unused and let by all the rules above.
        diversity : float
            In [0, 1]: how much an item is held back for being like those listed before it.

        Returns
        -------
        DataFrame
            ``rank`` from 1, ``item_id``, ``title`` (or the id), ``probability`` that the person
            likes the item (NaN if unknown), ``rung`` that answered, and ``because``: the titles in
            the history without which the score would drop most, or what the neighbors share. Fewer
            than `k` rows if fewer items are left; ``attrs["left"]`` says how many were.

        Raises
        ------
        DataError
            If an id, a column, a value or a category is unknown; near names are proposed.

        Notes
        -----
        The model scores one row, plus one for each item of the history to find the reasons.
        """
        rules = Rules(
            exclude=exclude,
            never=never,
            only=only,
            where=where,
            available=available,
            limit_per=limit_per,
            promote=promote,
            diversity=diversity,
        )
        check_integer("k", k, minimum=1)
        person = self._requests.person(user, history, profile)
        answer = self._answer(person)
        items, left = self._listed(answer, person, self._rules.plan(rules), k)
        frame = self._table(answer, items).assign(because=self._because(answer, person, items))
        frame.attrs["left"] = left
        return frame

    def recommend_many(
        self,
        people: Iterable[Any],
        *,
        k: int = 10,
        because: bool = False,
        **rules: Any,
    ) -> pd.DataFrame:
        """Recommend for many people; everybody gets the list that `recommend` gives one by one.

        Parameters
        ----------
        people : iterable of user ids, or of mappings
            A mapping is a request: ``user``, ``history``, ``profile``, ``k`` and rules of its own,
            all optional.
        k : int
            Length of a list, >= 1.
        because : bool
            Whether to give reasons, which cost the scoring of one more row for each item of a
            history.
        **rules
            For everybody whose request has none of that name; those of `recommend`.

        Returns
        -------
        DataFrame
            ``user`` (None for a stranger), ``rank, item_id, title, probability, rung, score``: what
            orders the list, and ``because`` if asked for. The index, ``request``, numbers the
            people from 0; ``attrs["left"]`` is the number of items left for each.

        Raises
        ------
        DataError
            As of `recommend`; nobody is answered where one question is wrong.

        Examples
        --------
        >>> from recsys_lib.models import Popularity
        >>> frame = pd.DataFrame({"user_id": ["ann", "bob", "cyd"], "item_id": ["x", "x", "y"]})
        >>> dataset = Dataset.from_frame(frame, value=None)
        >>> bundle = Bundle(model=Popularity().fit(dataset.user_items), dataset=dataset)
        >>> bundle.recommend_many(["ann", {"history": ["y"]}])[["user", "item_id", "rung"]]
                 user item_id                  rung
        request
        0         ann       y  history + popularity
        1        None       x  history + popularity
        """
        shared = self._rules.plan(Rules.of(rules))
        tables, lefts = [], []
        for number, request in enumerate(people):
            asked = dict(request) if isinstance(request, Mapping) else {"user": request}
            user, history, profile = (asked.pop(name, None) for name in _PERSON)
            length = asked.pop("k", k)
            check_integer("k", length, minimum=1)
            plan = self._rules.plan(Rules.of({**rules, **asked})) if asked else shared
            person = self._requests.person(user, history, profile)
            answer = self._answer(person)
            items, left = self._listed(answer, person, plan, length)
            table = self._table(answer, items).assign(score=answer.order[items])
            if because:
                table["because"] = self._because(answer, person, items)
            table.insert(0, "user", pd.Series([user] * len(table), dtype=object))
            tables.append(table.set_axis(np.full(len(table), number)))
            lefts.append(left)
        found = pd.concat(tables).rename_axis("request")
        found.attrs["left"] = lefts
        return found

    def _listed(
        self, answer: _Answer, person: Person, plan: Plan, k: int
    ) -> tuple[NDArray[np.int32], int]:
        """Return the items of a list, and how many could have been listed."""
        allowed = plan.allowed.copy()
        allowed[person.used.indices] = False
        order = np.where(allowed, answer.order, -np.inf).astype(np.float32)
        left = int(np.count_nonzero(allowed))
        if not plan.is_plain:
            return plan.pick(order, k, self._likeness), left
        items = top_k(order[None, :], k).items[0]
        return items[items >= 0], left

    def _table(self, answer: _Answer, items: NDArray[np.int32]) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "rank": np.arange(1, len(items) + 1),
                "item_id": self.dataset.item_ids.take(items),
                "title": self._titles.take(items),
                "probability": answer.probability[items],
                "rung": answer.rung[items],
            }
        )

    def _likeness(self, items: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return how alike items are, by content, or by who used them where there is none."""
        if self._content is not None:
            vectors = self._content.features[items]
        else:
            vectors = self._columns[items]
        return np.asarray((vectors @ vectors.T).toarray())

    @cached_property
    def _columns(self) -> sparse.csr_array:
        return unit_rows(self._requests.seen(self.dataset.user_items).T.tocsr())

    def save(self, folder: Path | str, **facts: Any) -> None:
        """Write everything to one folder with a manifest, atomically; nothing is pickled.

        Parameters
        ----------
        folder : Path or str
            The folder to write. An artifact already there is replaced; anything else is refused.
        **facts
            More for the manifest to record, such as the run.
        """
        with atomic_folder(folder) as part:
            self.model.save(part / "model")
            self.dataset.save(part / "dataset")
            if self.calibrator is not None:
                self.calibrator.save(part / "calibrator.json")
            write_manifest(
                part,
                kind="bundle",
                format=_FORMAT,
                model=type(self.model).__name__,
                config=self._config(),
                has_calibrator=self.calibrator is not None,
                **facts,
            )

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what `save` wrote.

        Parameters
        ----------
        folder : Path or str

        Returns
        -------
        Bundle
            Gives the same lists as the one saved.

        Raises
        ------
        ArtifactError
            If the folder is missing, damaged, of another kind or from a later version.
        """
        folder = Path(folder)
        record = read_manifest(folder, kind="bundle")
        if record.get("format") not in (1, _FORMAT):
            raise ArtifactError(
                f"{folder} must be a bundle of format 1 or {_FORMAT}; it has "
                f"{record.get('format')!r}. Read it with the version of recsys_lib that wrote it, "
                "or write it again."
            )
        calibrator = None
        if record["has_calibrator"]:
            calibrator = Calibrator.load(folder / "calibrator.json")
        settings = record["config"]
        if "ladder" in settings:
            settings["ladder"] = Ladder(**settings["ladder"])
        with warnings.catch_warnings(action="ignore", category=FutureWarning):  # names of format 1
            return cls(
                model=models.load(folder / "model"),
                dataset=Dataset.load(folder / "dataset"),
                calibrator=calibrator,
                **settings,
            )

    def _config(self) -> dict[str, Any]:
        parts = ("model", "dataset", "calibrator")
        names = [one.name for one in dataclasses.fields(self) if one.name not in parts]
        return {name: getattr(self, name) for name in names} | {"ladder": self.ladder.config()}

    @cached_property
    def _titles(self) -> pd.Index:
        ids = self.dataset.item_ids.astype(str)
        items = self.dataset.items
        if items is None or "title" not in items:
            return ids
        titles = items["title"].reset_index(drop=True)
        return pd.Index(titles.where(titles.notna(), pd.Series(ids)).astype(str))

    @cached_property
    def _ladder(self) -> Ladder:
        # A model of ratings predicts whether a person would like an item once used; a model of
        # likes, whether they will use and like it. The lower rungs answer the model's question.
        like = self.like if self.inputs == "values" else None
        seen = self._requests.seen(self.dataset.user_items)
        return dataclasses.replace(self.ladder, like=like).fit(seen, self.dataset.users)

    @cached_property
    def _rules(self) -> RuleReader:
        return RuleReader(dataset=self.dataset)

    @cached_property
    def _requests(self) -> RequestReader:
        return RequestReader(dataset=self.dataset, inputs=self.inputs, like=self.like)

    def _answer(self, person: Person) -> _Answer:
        """Answer from the first rung that has something to say."""
        n = int((~self._is_new[person.seen.indices]).sum())
        weight = n / (n + self.handover) if n >= self.min_history else 0.0
        if weight == 1.0:
            scores = self._placed(self.model.score(person.seen)[0], person)
            return self._said(RUNGS[0], scores, self._calibrated(scores))
        below = self._below(person)
        unused = np.ones(self.dataset.n_items, dtype=bool)
        unused[person.used.indices] = False
        if weight == 0.0:
            alike = self._alike(person, below.rung)
            if alike is not None:
                order = mix_scores(alike, below.rates, _EVEN, unused)
                unknown = np.full(len(order), np.nan)
                return self._said(RUNGS[2], order, unknown, self._shared_terms(person))
            rates = self._placed(below.rates, person)
            return self._said(below.rung, rates, below.rates, below.because)
        scores = self._placed(self.model.score(person.seen)[0], person)
        rates = self._placed(below.rates, person)
        rung = f"{RUNGS[0]} + {below.rung}" if 1 - weight >= _QUARTER else RUNGS[0]
        order = mix_scores(scores, rates, weight, unused)
        probability = weight * self._calibrated(scores) + (1 - weight) * rates
        if self.calibrator is not None:
            # Probabilities must fall down the list; scores break ties.
            ranked = np.lexsort((order, probability))
            order = np.empty(len(ranked), dtype=np.float32)
            order[ranked] = np.arange(len(ranked))
        return self._said(rung, order, probability)

    def _below(self, person: Person) -> RungAnswer:
        """Answer without the history; without profiles to compare with, by popularity."""
        profile = {} if self.dataset.users is None else person.profile
        return self._ladder.answer(profile, leave_out=person.position)

    def _alike(self, person: Person, below: str) -> NDArray[np.float32] | None:
        """Similarity of items to a person with only new items or interests; None for others."""
        if self._new is not None and self._new.is_new[person.seen.indices].any():
            return np.asarray(self._new.content.score(person.seen)[0])
        if below == RUNGS[1] or self._content is None:
            return None
        alike = self._content.score_terms(person.interests)
        if alike is None and self.dataset.users is None and person.interests:
            raise DataError(
                "`profile` must name a tag or category of some item, since there are no other "
                f"profiles to compare it with; got {' and '.join(map(repr, person.interests))}. "
                "Leave it out, or build the bundle from a dataset with `users`."
            )
        return alike

    def _shared_terms(self, person: Person) -> str:
        shared = [] if self._content is None else self._content.known_terms(person.interests)
        return "" if person.seen.nnz else " · ".join(shared)

    def _said(
        self,
        rung: str,
        order: NDArray[np.floating[Any]],
        probability: NDArray[np.float64],
        because: str | None = None,
    ) -> _Answer:
        """Build an answer; new items have a rung of their own and no probability."""
        rungs = np.full(len(order), rung, dtype=object)
        rungs[self._is_new] = RUNGS[2]
        probability = np.where(self._is_new, np.nan, probability)
        return _Answer(rungs, order, probability, because)

    @cached_property
    def _new(self) -> NewItems | None:
        """Items nobody has used that have content; None if they are not to be listed."""
        if not self.new_items:
            return None
        return NewItems.of(self.dataset.items, self.dataset.user_items)

    @cached_property
    def _is_new(self) -> NDArray[np.bool_]:
        nothing = np.zeros(self.dataset.n_items, dtype=bool)
        return nothing if self._new is None else self._new.is_new

    @cached_property
    def _content(self) -> ItemContent | None:
        """The content of all items, new or not."""
        items = self.dataset.items
        if self._new is not None:
            return self._new.content
        return ItemContent.of(items) if items is not None and says_something(items) else None

    def _placed(
        self, scores: NDArray[np.floating[Any]], person: Person
    ) -> NDArray[np.floating[Any]]:
        """Place new items among the scores of the others."""
        if self._new is None:
            return scores
        return self._new.place(scores[None, :], person.seen, person.interests)[0]

    def _calibrated(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        if self.calibrator is None:
            return np.full(len(scores), np.nan)
        return self.calibrator.probability(scores)

    def _because(
        self, answer: _Answer, person: Person, items: NDArray[np.int32]
    ) -> list[str] | str:
        if answer.because is not None:
            return answer.because
        gains = leave_one_out_gains(self.model, person.seen, items)
        reasons = []
        for item, gain in zip(items, gains.T, strict=True):
            if self._new is not None and self._is_new[item]:
                gain = self._new.content.likeness(item)[person.seen.indices]
            best = [i for i in np.argsort(-gain, kind="stable")[:_REASONS] if gain[i] > 0]
            reasons.append(" · ".join(self._titles[person.seen.indices[i]] for i in best))
        return reasons
