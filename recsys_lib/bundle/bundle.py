"""Everything needed to recommend for a person: model, ids, titles, calibrator and cold start.

Everyone gets an answer, and each row of it names the rung of the ladder that gave it.
"""

import dataclasses
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise, product
from pathlib import Path
from typing import Any, Literal, Self, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib import models
from recsys_lib.artifacts import atomic_folder, read_manifest, versions, write_manifest
from recsys_lib.bundle.answers import RUNGS, Answerer
from recsys_lib.bundle.request import History, People, Question, RequestReader
from recsys_lib.bundle.rules import Rules
from recsys_lib.checks import (
    CSR,
    Floats,
    Ints,
    check_choice,
    check_integer,
    check_is_fitted,
    check_kind,
    check_number,
    check_user_items,
    needing,
)
from recsys_lib.coldstart.content import unit_rows
from recsys_lib.coldstart.handover import moments
from recsys_lib.coldstart.ladder import Ladder
from recsys_lib.dataset import Dataset, Fold, appended
from recsys_lib.errors import ArtifactError
from recsys_lib.evaluation.calibration import Calibrator
from recsys_lib.evaluation.variety import variety_table
from recsys_lib.formatting import Shown
from recsys_lib.models.base import Recommender, each_batch
from recsys_lib.naming import find_id
from recsys_lib.ranking import entry_rows, mask_seen, top_k
from recsys_lib.renamed import renamed

__all__ = ["RUNGS", "Bundle"]

_FORMAT = 2
# Numbers of one block of people by items, and people in it at most; bounds the memory.
_BLOCK_NUMBERS, _BLOCK_ROWS = 8_000_000, 512


@dataclass(frozen=True, eq=False)
class _Lists:
    """The lists of a block of people, one item listed a row.

    Attributes
    ----------
    positions : sequence of int or None
        The people, by their place in the dataset.
    rows, items : ndarray of int
        Whose list it is, and the position of the item.
    columns : dict of column name to values
    left : list of int
        The number of items left for each of the people.
    """

    positions: Sequence[int | None]
    rows: NDArray[np.intp]
    items: Ints
    columns: dict[str, Any]
    left: list[int]


@renamed(blend="handover")
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
    since_fit : mapping, optional
        What `update` has appended.

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
    since_fit: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        check_kind("model", self.model, Recommender)
        check_is_fitted(self.model, "n_items_")
        check_kind("dataset", self.dataset, Dataset)
        check_kind("ladder", self.ladder, Ladder)
        check_choice("inputs", self.inputs, ("values", "likes"))
        check_integer("min_history", self.min_history, minimum=1)
        check_number("handover", self.handover, least=0)
        if self.like is not None:
            check_number("like", self.like)
        came_later = 0 if self.since_fit is None else self.since_fit["items"]
        if not 0 <= self.dataset.n_items - self.model.n_items_ <= came_later:
            raise ValueError(
                "`model` must be fitted on the items of `dataset`; it knows "
                f"{self.model.n_items_} items and the dataset has {self.dataset.n_items}. "
                "Take both from the same run."
            )
        self._check_inputs()

    def _check_inputs(self) -> None:
        """Raise where nothing is a like, or the model would see other numbers than in its fit."""
        saw_likes, values = self.model.saw_likes_, self.dataset.user_items.data
        if self.like is not None and len(values) and values.max() < self.like:
            raise ValueError(
                f"`like` must be a value that the dataset reaches; got {self.like}, and the "
                f"highest is {values.max():g}. Leave it out where each interaction is a like."
            )
        if saw_likes and self.inputs == "values" and (values != 1).any():
            raise ValueError(
                "`inputs` must be 'likes' for a model fitted on likes, each a 1; the dataset has "
                f"values from {values.min():g} to {values.max():g}. Give inputs='likes', and with "
                "`like` the lowest value that counts as one."
            )
        if saw_likes is False and self.inputs == "likes":
            raise ValueError(
                "`inputs` must be 'values' for a model fitted on values; got 'likes'. Give "
                "inputs='values', or fit the model on dataset.likes(...)."
            )

    def recommend(
        self,
        user: Any = None,
        *,
        history: History | None = None,
        profile: Mapping[str, Any] | None = None,
        k: int = 10,
        **rules: Unpack[Rules],
    ) -> pd.DataFrame:
        """Recommend for a known user, a history, a profile, or nobody in particular.

        Parameters
        ----------
        user : id, optional
            A user of the dataset.
        history : sequence of item ids, or mapping or Series of ratings by item id, optional
            What this person has used, instead of the user's own history: edit it to ask "what
            if". Items without a rating count as liked. A Series named ``item_id`` is a column of
            ids. Here and below a single id needs no list.
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
            In [0, 1]: how much an item is held back for being like those listed before it, in tags
            and categories (without a catalog: to the model). 0.1 to 0.2 cost little.

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
        person = {"user": user, "history": history, "profile": profile}
        found = self.recommend_many([person], k=k, because=True, **rules)
        alone = found.drop(columns=["user_id", "score"]).reset_index(drop=True)
        alone.attrs["left"] = found.attrs["left"][0]
        return alone

    def recommend_many(
        self, people: Iterable[Any], *, k: int = 10, because: bool = False, **rules: Unpack[Rules]
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
            ``user_id`` (as in the dataset; None for a stranger), ``rank, item_id, title,
            probability, rung, score``, which orders the list or breaks its ties, and, if asked for,
            ``because``. The index, ``request``, numbers the people from 0; ``attrs["left"]`` is the
            number of items left for each.

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
        >>> bundle.recommend_many(["ann", {"history": ["y"]}])[["user_id", "item_id", "rung"]]
              user_id item_id                  rung
        request
        0         ann       y  history + popularity
        1        None       x  history + popularity
        """
        blocks = self._blocks(self._requests.questions(people, k, rules))
        frames = [pd.DataFrame()] * len(blocks)

        def answer(place: int) -> None:
            frame = self._frame(self._answered(blocks[place], because=because))
            frames[place] = frame.set_axis(frame.index + place * self._block_rows)

        # The first block alone: it fits the ladder, once for all threads.
        answer(0)
        each_batch(self.model, lambda one: answer(one.stop), (len(blocks) - 1, 1), 1)
        found = pd.concat(frames).rename_axis("request")
        found.attrs["left"] = [left for frame in frames for left in frame.attrs["left"]]
        return found

    def recommend_records(
        self, people: Iterable[Any], *, k: int = 10, **rules: Unpack[Rules]
    ) -> list[list[dict[str, Any]]]:
        """Recommend for some people in plain Python, as JSON has it; a service asks so.

        Parameters
        ----------
        people, k, **rules
            As of `recommend_many`.

        Returns
        -------
        list of list of dict
            For each of the people what `recommend` lists: ``rank, item_id, title, probability,
            rung, because``.

        Raises
        ------
        DataError
            As of `recommend_many`.

        Notes
        -----
        Without a table, one person is answered in three quarters of the time.

        Examples
        --------
        >>> from recsys_lib.models import Popularity
        >>> frame = pd.DataFrame({"user_id": ["ann", "ann", "bob"], "item_id": ["x", "y", "x"]})
        >>> dataset = Dataset.from_frame(frame, value=None)
        >>> bundle = Bundle(model=Popularity().fit(dataset.user_items), dataset=dataset)
        >>> [[one["item_id"] for one in lists] for lists in bundle.recommend_records(["bob"])]
        [['y']]
        """
        lists: list[list[dict[str, Any]]] = []
        for questions in self._blocks(self._requests.questions(people, k, rules)):
            found = self._answered(questions, because=True)
            ids, titles = self._ids[found.items], self._titles[found.items]
            named: dict[str, Any] = {"rank": 0, "item_id": ids, "title": titles} | found.columns
            del named["score"]
            columns = [one if isinstance(one, list) else one.tolist() for one in named.values()]
            lines = [dict(zip(named, line, strict=True)) for line in zip(*columns, strict=True)]
            cuts = np.searchsorted(found.rows, np.arange(len(questions) + 1))
            lists += [lines[first:last] for first, last in pairwise(cuts)]
        return lists

    def score(self, user_items: CSR) -> Floats:
        """Score every item for each row, as the lists order them: ``evaluate(bundle, fold)``.

        Parameters
        ----------
        user_items : csr_array of shape (n_rows, n_items), float32
            What strangers without a profile have used; a block of rows.

        Returns
        -------
        ndarray of shape (n_rows, n_items), float32
            Higher is better. Scores order the items of a row and compare no rows.
        """
        used = check_user_items(user_items, n_items=self.dataset.n_items)
        n_rows, seen = used.shape[0], self._requests.seen(used)
        return self._answerer.answer(People(used, seen, [{}] * n_rows, [None] * n_rows)).order

    def variety(
        self,
        fold: Fold,
        *,
        k: int = 10,
        settings: Sequence[float] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
        seed: int = 0,
    ) -> pd.DataFrame:
        """Measure what `diversity` brings and costs, on people who are strangers to the model.

        Parameters
        ----------
        fold : Fold
            What is known of each, and what is to be found.
        k : int
            Length of a list.
        settings : sequence of float
            Values of `diversity`; the first is what the others are held against.
        seed : int
            Of the bootstrap.

        Returns
        -------
        DataFrame
            See `evaluation.variety_table`; distances are by what `diversity` goes by.
        """
        check_kind("fold", fold, Fold)
        check_integer("k", k, minimum=1)
        plans = {d: self._requests.plan({"diversity": d}) for d in settings}
        lists = {d: np.full((fold.n_rows, k), -1, dtype=np.int32) for d in settings}
        for rows in self._blocks(range(fold.n_rows)):
            order = mask_seen(self.score(fold.fold_in[rows]), fold.fold_in[rows])
            order[:, self._answerer.unlisted] = -np.inf
            for (d, plan), (row, one) in product(plans.items(), zip(rows, order, strict=True)):
                items = plan.pick(one, k, self._likeness)
                lists[d][row, : len(items)] = items
        content = self._answerer.content
        features = self._columns if content is None else content.labels
        return variety_table(lists, fold.targets, features, seed=seed)

    def similar(self, item: Any, *, k: int = 10, **rules: Unpack[Rules]) -> pd.DataFrame:
        """List the items most like one.

        Parameters
        ----------
        item : id
        k : int
            Length of the list, >= 1.
        **rules
            As of `recommend`.

        Returns
        -------
        DataFrame
            ``rank, item_id, title, similarity`` (from -1 to 1) and ``by``, what it rests on:
            ``"model"``, the model's vectors or weights of items; ``"content"`` where nobody has
            used the item; ``"users"``, the cosine of who used the items, where there is neither.

        Raises
        ------
        DataError
            If the item or something in the rules is unknown.

        Notes
        -----
        New items have no place in a model: they are listed where content answers.
        """
        check_integer("k", k, minimum=1)
        plan = self._requests.plan(rules)
        position = find_id(self.dataset.item_ids, item, "item")
        by, alike = self._related(position)
        order = np.where(plan.allowed, alike, -np.inf)
        order[position] = -np.inf
        items = plan.pick(order, k, self._likeness)
        return pd.DataFrame(
            {
                "rank": np.arange(1, len(items) + 1),
                "item_id": self.dataset.item_ids.take(items),
                "title": self._titles.take(items),
                "similarity": alike[items],
                "by": by,
            }
        )

    def _related(self, item: int) -> tuple[str, Floats]:
        """Return what tells which items are like one, and how like they are; -inf for new ones."""
        used = np.diff(self._columns.indptr) > 0
        used[self.model.n_items_ :] = False
        found = self.model.item_similarity([item]) if used[item] else None
        if found is not None:
            alike = np.full(len(used), -np.inf, dtype=np.float32)
            alike[: self.model.n_items_] = found[0]
            return "model", np.where(used, alike, -np.inf)
        content = self._answerer.content
        if content is not None and content.spoken[item]:
            return "content", content.likeness(item)
        return "users", (self._columns @ self._columns[[item]].T).toarray().ravel()

    def audience(self, item: Any, *, k: int = 10) -> pd.DataFrame:
        """List the users most likely to like an item, also one that nobody has used yet.

        Parameters
        ----------
        item : id
        k : int
            Length of the list, >= 1.

        Returns
        -------
        DataFrame
            ``rank, user_id, probability``, the ``rung`` that answered, and ``score``: by how many
            standard deviations the item stands out among those that the user has not used. The list
            is in the order of the probability, or where it is unknown of the score. Those who have
            used the item are left out.

        Raises
        ------
        DataError
            If the item is unknown.

        Notes
        -----
        Costs as much as the lists of all users; a block of them is in memory at a time.
        """
        check_integer("k", k, minimum=1)
        position = find_id(self.dataset.item_ids, item, "item")
        parts = []
        for users in self._blocks(self.dataset.user_ids):
            people = self._requests.people(self._requests.questions(users))
            answers = self._answerer.answer(people)
            rows = np.arange(len(users))
            center, spread = moments(answers.score, people.used)
            apart = answers.score[:, position] - center
            part = {
                "user_id": users,
                "probability": answers.probability(rows, np.full(len(users), position)),
                "rung": answers.rung(rows, np.full(len(users), position)),
                "score": np.divide(apart, spread, out=np.zeros(len(users)), where=spread > 0),
            }
            users_of_it = entry_rows(people.used)[people.used.indices == position]
            parts.append(pd.DataFrame(part)[~np.isin(rows, users_of_it)])
        found = pd.concat(parts)
        by = ["score"] if found["probability"].isna().any() else ["probability", "score"]
        found = found.sort_values(by, ascending=False, kind="stable", ignore_index=True)[:k]
        found.insert(0, "rank", np.arange(1, len(found) + 1))
        return found

    def _blocks(self, people: Sequence[Any]) -> list[Any]:
        """Cut people into blocks whose scores fit the memory meant for them."""
        size = self._block_rows
        return [people[at : at + size] for at in range(0, max(len(people), 1), size)]

    @property
    def _block_rows(self) -> int:
        return max(1, min(_BLOCK_ROWS, _BLOCK_NUMBERS // self.dataset.n_items))

    def _answered(self, questions: Sequence[Question], *, because: bool) -> "_Lists":
        """Return the lists of one block of people."""
        people = self._requests.people(questions)
        answers = self._answerer.answer(people, reasons=because)
        order = mask_seen(answers.order.copy(), people.used)
        order[:, self._answerer.unlisted] = -np.inf
        for plan in dict.fromkeys(one.plan for one in questions):
            asked = np.array([one.plan is plan for one in questions])
            order[np.ix_(asked, ~plan.allowed)] = -np.inf
        lists = self._lists(order, questions)
        rows, items = np.repeat(np.arange(len(lists)), [len(one) for one in lists]), _joined(lists)
        columns: dict[str, Any] = {
            "rank": _joined([np.arange(1, len(one) + 1) for one in lists]),
            "probability": answers.probability(rows, items),
            "rung": answers.rung(rows, items),
            "score": answers.score[rows, items],
        }
        if because:
            columns["because"] = self._answerer.because(answers, people, lists, self._titles)
        left = np.count_nonzero(order > -np.inf, axis=1).tolist()
        return _Lists(people.positions, rows, items, columns, left)

    def _frame(self, found: "_Lists") -> pd.DataFrame:
        """Return lists as a table; the people are numbered from 0."""
        columns = {
            "user_id": self._users(found),
            "rank": found.columns["rank"],
            "item_id": self.dataset.item_ids.take(found.items),
            "title": pd.array(self._titles.take(found.items), dtype="str"),
            **found.columns,
            "rung": pd.array(found.columns["rung"], dtype="str"),
        }
        frame = pd.DataFrame(columns, index=found.rows)
        frame.attrs["left"] = found.left
        return frame

    def _users(self, found: "_Lists") -> pd.Index:
        ids = self.dataset.user_ids
        known = [None if at is None else ids[at] for at in found.positions]
        return pd.Index(known, dtype=object if None in known else ids.dtype).take(found.rows)

    def _lists(self, order: Floats, questions: Sequence[Question]) -> list[NDArray[np.int32]]:
        """Return the items of each list, best first."""
        plain = [one.k for one in questions if one.plan.is_plain]
        best = top_k(order, min(max(plain, default=1), order.shape[1])).items
        return [
            best[row, : one.k][best[row, : one.k] >= 0]
            if one.plan.is_plain
            else one.plan.pick(order[row], one.k, self._likeness)
            for row, one in enumerate(questions)
        ]

    def _likeness(self, items: NDArray[np.int32]) -> Floats:
        """Return how alike items are: by tags, else by the model, else by who used them."""
        content = self._answerer.content
        if content is None:
            found = self._answerer.model.item_similarity(items.tolist())
            if found is not None:
                return found[:, items]
        vectors = self._columns[items] if content is None else content.labels[items]
        return np.asarray((vectors @ vectors.T).toarray())

    @cached_property
    def _columns(self) -> CSR:
        return unit_rows(self._requests.seen(self.dataset.user_items).T.tocsr())

    def update(
        self,
        interactions: pd.DataFrame | None = None,
        *,
        items: pd.DataFrame | None = None,
        users: pd.DataFrame | None = None,
    ) -> Self:
        """Return a bundle that has taken up what is new, without a fit.

        Parameters
        ----------
        interactions : DataFrame, optional
            ``user_id, item_id``, ``value`` where the dataset has ratings and ``timestamp`` where it
            has times. A pair that is there already gets the new value. New users need no more.
        items, users : DataFrame, optional
            Catalog and profiles of new ones, by id as the index or the column ``item_id`` or
            ``user_id``. Columns that are missing are unknown.

        Returns
        -------
        Bundle
            Answers for the new users at once, lists new items by their content, and says in
            `since_fit`, and so in the manifest, what was appended. A regression (`EASE`, `EDLAE`)
            is updated exactly, if it was fitted on all of this bundle's dataset; all
            other models fold the new rows in as they are.

        Raises
        ------
        DataError
            If a column is missing, an id is null or of another kind, a value is off the scale, or
            an item is in no catalog where there is one.

        Notes
        -----
        The dataset is built anew, O(n_interactions); for the model see `Recommender.updated`.

        Examples
        --------
        >>> from recsys_lib.models import EASE
        >>> frame = pd.DataFrame({"user_id": ["ann", "ann", "bob"], "item_id": ["x", "y", "x"]})
        >>> dataset = Dataset.from_frame(frame, value=None)
        >>> bundle = Bundle(model=EASE(l2=1.0).fit(dataset.user_items), dataset=dataset)
        >>> later = bundle.update(pd.DataFrame({"user_id": ["cyd"], "item_id": ["y"]}))
        >>> later.recommend("cyd")["item_id"].tolist(), later.since_fit["users"]
        (['x'], 1)
        """
        before, after = self.dataset, appended(self.dataset, interactions, items, users)
        model = None
        if self.model.n_items_ == before.n_items:
            rows = [self._requests.seen(x.user_items) for x in (before, after)]
            model = self.model.updated(*rows)
        new = {
            "interactions": after.n_interactions - before.n_interactions,
            "users": after.n_users - before.n_users,
            "items": after.n_items - before.n_items,
        }
        earlier = self.since_fit or dict.fromkeys(new, 0)
        since_fit: dict[str, Any] = {name: earlier[name] + number for name, number in new.items()}
        since_fit["model"] = "as fitted" if model is None else "updated"
        return dataclasses.replace(
            self, model=model or self.model, dataset=after, since_fit=since_fit
        )

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

    def to_mlflow(self, folder: Path | str) -> None:
        """Write the bundle as an MLflow model, for ``mlflow models serve`` and `spark_udf`.

        Parameters
        ----------
        folder : Path or str
            The folder to write. An artifact already there is replaced; anything else is refused.

        Raises
        ------
        ConfigError
            If MLflow is not installed.

        Notes
        -----
        A row of the input is a person: ``user``, ``history`` (a list of item ids) and ``profile``
        (a JSON object), all optional; the parameters are ``k`` and ``diversity``. The output has a
        row for each, with the list in ``recommendations`` and the fingerprint of the bundle in
        ``bundle``. Nothing is pickled: the model is a file of this library and the bundle. What it
        was made with is pinned in ``requirements.txt``.
        """
        with needing("mlflow", "MLflow"):
            from mlflow.models import ModelSignature
            from mlflow.pyfunc import save_model
            from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
            from mlflow.types.schema import Array, Object, Property
        text = DataType.string
        types = {"user": text, "history": Array(text), "profile": text}
        columns = [ColSpec(kind, name, required=False) for name, kind in types.items()]
        item_id = DataType.long if self.dataset.item_ids.dtype.kind == "i" else text
        line = {"rank": DataType.long, "item_id": item_id, "probability": DataType.double}
        line |= dict.fromkeys(("title", "rung", "because"), text)
        lists = Array(Object([Property(name, kind, False) for name, kind in line.items()]))
        output = Schema([ColSpec(lists, "recommendations"), ColSpec(text, "bundle")])
        params = [ParamSpec("k", DataType.long, 10), ParamSpec("diversity", DataType.double, 0.0)]
        example = pd.DataFrame({"user": [str(self.dataset.user_ids[0])]})
        pinned = {name: one for name, one in versions().items() if name != "python"}
        with tempfile.TemporaryDirectory() as place, atomic_folder(folder) as part:
            self.save(Path(place) / "bundle")
            save_model(
                part,
                python_model=str(Path(__file__).with_name("pyfunc.py")),
                artifacts={"bundle": str(Path(place) / "bundle")},
                signature=ModelSignature(Schema(columns), output, ParamSchema(params)),
                input_example=example,
                pip_requirements=[f"{name}=={one}" for name, one in pinned.items()],
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
        if "blend" in settings:  # format 1
            names = ("n_neighbors", "min_similarity", "prior", "segment")
            settings["ladder"] = {name: settings.pop(name) for name in names}
            settings["handover"] = settings.pop("blend")
        settings["ladder"] = Ladder(**settings["ladder"])
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
    def _ids(self) -> NDArray[np.object_]:
        """Ids of the items as Python has them."""
        return self.dataset.item_ids.to_numpy(dtype=object)

    @cached_property
    def _titles(self) -> NDArray[np.object_]:
        """Titles of the items; ids where there is none."""
        ids = pd.Series(self.dataset.item_ids.astype(str))
        items = self.dataset.items
        if items is not None and "title" in items:
            titles = items["title"].reset_index(drop=True)
            ids = titles.where(titles.notna(), ids).astype(str)
        return ids.to_numpy(dtype=object)

    @cached_property
    def _answerer(self) -> Answerer:
        return Answerer(
            model=self.model,
            dataset=self.dataset,
            likes=self._requests.seen(self.dataset.user_items),
            calibrator=self.calibrator,
            # A model of ratings predicts whether a person would like an item once used; a model of
            # likes, whether they will use and like it. The lower rungs answer the model's question.
            like=self.like if self.inputs == "values" else None,
            min_history=self.min_history,
            handover=self.handover,
            new_items=self.new_items,
            ladder=self.ladder,
        )

    @cached_property
    def _requests(self) -> RequestReader:
        return RequestReader(dataset=self.dataset, inputs=self.inputs, like=self.like)


def _joined(parts: Sequence[NDArray[Any]]) -> Ints:
    """Return the parts in a row; of none, nothing."""
    return np.concatenate([np.empty(0, dtype=np.int64), *parts]).astype(np.int64)
