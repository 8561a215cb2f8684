"""A weighted ensemble of models, with weights chosen on validation users."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recsys_lib.checks import CSR, Doubles, Floats, Ints, check_user_items
from recsys_lib.dataset import Fold
from recsys_lib.models.base import Recommender, load, model_class
from recsys_lib.models.baselines import answer_empty_rows, item_shares, users_per_item
from recsys_lib.models.ease import EDLAE
from recsys_lib.models.factors import ALS, PureSVD
from recsys_lib.models.kernel_ae import KernelAE
from recsys_lib.models.sparse_ease import SparseEASE
from recsys_lib.ranking import mask_seen, ndcg_of_lists, top_k

# The side of a matrix from which a library has regressions on few items instead of all.
_WIDE = 8_000

_NO_VOTE = "dropped, as validation users gave it no vote"

# Numbers held while weights are chosen: all members' scores of the users asked; 400 MB.
_ROOM = 100_000_000


def standardize(scores: Floats) -> Floats:
    """Shift and scale each row to mean 0 and standard deviation 1, in place.

    Models score on scales of their own: counts, probabilities, logits. What a vote can add up is
    how far an item stands out among all items *for this user*.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_items), float32
        Overwritten. A row of equal scores becomes 0.
    """
    scores -= scores.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    spread = np.sqrt(np.mean(np.square(scores, dtype=np.float32), axis=1, keepdims=True))
    scores /= np.where(spread > 1e-12, spread, 1)
    return scores


def linear_library(user_items: CSR) -> tuple[Recommender, ...]:
    """Return unfitted, complementary models without epochs, with settings scaled to the data.

    Zero-diagonal regressions see single items, kernels see rows as a whole, factors and projections
    see a few directions; each at several strengths, because which is right depends on the data and
    is left to the validation users. Penalties are in units of the mean number of users per item,
    those of kernels for rows of length 1. Where both users and items are more than 8,000, the
    regressions are `SparseEASE`.

    Parameters
    ----------
    user_items : csr_array of shape (n_users, n_items)

    Returns
    -------
    tuple of Recommender
    """
    per_item, sides = users_per_item(user_items), user_items.shape[0] / user_items.shape[1]
    width = min(user_items.shape)
    # The directions are a member of their own.
    kind = EDLAE if width <= _WIDE else partial(SparseEASE, latent_dim=0)
    regression = partial(kind, dropout=0.5, popularity_discount=0.1)
    return (
        regression(l2=per_item, activity_power=0.0),
        regression(l2=2.0 * per_item, activity_power=0.0),
        regression(l2=2.0 * per_item, activity_power=0.5),
        KernelAE(sharpness=2.0, l2=2.0 * sides),
        KernelAE(sharpness=4.0, l2=4.0 * sides),
        KernelAE(sharpness=3.0, l2=8.0 * sides),
        ALS(latent_dim=min(128, width), alpha=5.0, l2=0.25 * per_item),
        ALS(latent_dim=min(256, width), alpha=20.0, l2=0.1 * per_item),
        PureSVD(),
    )


def _affordable(x: CSR, minutes: float) -> tuple[list[Recommender], list[str]]:
    """Return the members of the library that these minutes allow, and why the others are not."""
    kept: set[int] = set()
    left_out, spent = [], 0.0
    members = linear_library(x)
    costs = [member.cost(x) for member in members]
    for place in sorted(range(len(members)), key=lambda place: costs[place].minutes):
        reason = costs[place].excess(max(minutes - spent, 0))
        if reason and kept:
            left_out.append(f"{members[place]}: not fitted, {reason}")
            continue
        kept.add(place)
        spent += costs[place].minutes
    return [member for place, member in enumerate(members) if place in kept], left_out


@dataclass(kw_only=True)
class Blend(Recommender):
    r"""Weighted sum of several models' standardized scores.

    .. math:: s(x) = \sum_m w_m \frac{s_m(x) - \text{mean}\, s_m(x)}{\text{sd}\, s_m(x)}

    The weights come from greedy selection with replacement [1]_: starting from nothing, the member
    whose vote raises the mean ndcg of the validation users most gets one vote more, `rounds` times;
    the best sum on the way is kept. Votes are few and whole, which is what keeps the choice from
    following the accidents of the validation users; members that get none are dropped.

    Parameters
    ----------
    members : sequence of Recommender, or of ``{"model": name, "config": {...}}``
        What to blend; each is fitted anew by `fit`. Empty stands for `linear_library`, of which
        only what `minutes` allow is fitted.
    rounds : int
        Number of votes given, >= 1.
    k : int
        Length of the lists that are judged, >= 1.
    minutes : float
        What the fits of the library may take together, by the estimate that each member gives
        beforehand (`Recommender.cost`), positive: the cheapest come first, and one is always taken.
        Members that are given are all fitted.

    Attributes
    ----------
    notes_ : ndarray of str
        What became of each member: its share of the votes, or why it is not used.
    weights_ : ndarray of shape (n_members,), float64
        Share of the votes of each fitted member; without validation users equal.
    members_ : tuple of Recommender
        The fitted members with a positive weight, in order.
    item_shares_ : ndarray of shape (n_items,), float32
        The answer to an empty row: popularity, or what models that were fitted before say of it.

    Notes
    -----
    Fitting and scoring cost the sum of what the members cost. At most 100 million scores are held
    while weights are chosen; of more validation users, the first that fit in there are asked.

    Validation users choose the weights *and* stop members that train in epochs. They are not test
    users: report a blend on others.

    References
    ----------
    .. [1] R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes, "Ensemble Selection from Libraries of
       Models", ICML 2004, section 2.

    Examples
    --------
    >>> from recsys_lib.models import EASE, Popularity
    >>> likes = sparse.csr_array([[1, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 0]])
    >>> blend = Blend(members=(EASE(l2=1.0), Popularity())).fit(likes)
    >>> blend.weights_, blend.recommend(likes[[3]], k=1).items
    (array([0.5, 0.5]), array([[1]], dtype=int32))
    """

    members: Sequence[Recommender | Mapping[str, Any]] = ()
    rounds: int = 30
    k: int = 100
    minutes: float = 1.0

    notes_: NDArray[np.str_] = field(init=False, repr=False, compare=False)
    weights_: Doubles = field(init=False, repr=False, compare=False)
    members_: tuple[Recommender, ...] = field(init=False, repr=False, compare=False)
    item_shares_: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Build members that are given by name, as a saved blend gives them."""
        self.members = tuple(
            member if isinstance(member, Recommender) else _from_config(member)
            for member in self.members
        )

    @classmethod
    def of(
        cls, fitted: Sequence[Recommender], validation: Fold, *, rounds: int = 30, k: int = 100
    ) -> Self:
        """Blend already fitted models, all fitted on the same training users.

        Parameters
        ----------
        fitted : sequence of Recommender
            Not fitted again, and not modified.
        validation : Fold
            Users who choose the weights.
        rounds, k : int
            As in the class.
        """
        blend = cls(members=tuple(fitted), rounds=rounds, k=k)
        blend._check()
        blend.n_items_ = fitted[0].n_items_
        blend._weigh(list(fitted), validation)
        # The few validation users know little of popularity; the models do, and answer by it.
        nobody = sparse.csr_array((1, blend.n_items_))
        blend.item_shares_ = blend._votes(lambda member: member.score(nobody))[0]
        return blend

    def config(self) -> dict[str, Any]:
        """Return the hyper-parameters by name, members as their name and hyper-parameters."""
        members = [
            {"model": type(member).__name__, "config": member.config()}
            for member in self.members
            if isinstance(member, Recommender)
        ]
        return super().config() | {"members": members}

    def _facts(self) -> dict[str, Any]:
        notes = enumerate(getattr(self, "notes_", ()), start=1)
        return super()._facts() | {str(number): note for number, note in notes}

    def _fit(self, x: CSR, validation: Fold | None) -> None:
        self.item_shares_ = item_shares(x)
        fresh = [_from_config(member) for member in self.config()["members"]]
        members, left_out = (fresh, []) if fresh else _affordable(x, self.minutes)
        for member in members:
            member.fit(x, validation=validation)
        self._weigh(members, validation)
        self.notes_ = np.array([*self.notes_, *left_out])

    def _weigh(self, members: list[Recommender], validation: Fold | None) -> None:
        self.weights_ = np.full(len(members), 1 / len(members))
        if validation is not None:
            fold_in, targets = map(check_user_items, (validation.fold_in, validation.targets))
            asked = np.flatnonzero(np.diff(targets.indptr))
            if not len(asked):
                raise ValueError(
                    "`validation` must hold targets, which choose the weights; it holds none. "
                    "Leave it out for equal weights."
                )
            asked = asked[: max(1, _ROOM // (len(members) * targets.shape[1]))]
            scores = [standardize(member.score(fold_in[asked])) for member in members]
            self.weights_ = greedy_weights(
                scores, fold_in[asked], targets[asked], rounds=self.rounds, k=self.k
            )
        voted = list(zip(members, self.weights_, strict=True))
        self.members_ = tuple(member for member, weight in voted if weight > 0)
        self.notes_ = np.array(
            [f"{m}: {f'{w:.0%} of the votes' if w else _NO_VOTE}" for m, w in voted]
        )

    @property
    def _shares(self) -> Doubles:
        """The share of the votes of each member that is used."""
        return self.weights_[self.weights_ > 0]

    def _votes(self, score: Callable[[Recommender], Floats]) -> Floats:
        """Add up what members say, each on one scale and by its share of the votes."""
        votes: Any = 0.0
        for share, member in zip(self._shares, self.members_, strict=True):
            votes += np.float32(share) * standardize(score(member))
        return np.asarray(votes)

    def _relate(self, items: Ints) -> Floats | None:
        found = [member.item_similarity(items.tolist()) for member in self.members_]
        pairs = zip(self._shares, found, strict=True)
        parts = [(w, said) for w, said in pairs if said is not None]
        total = sum(w for w, _ in parts)
        return np.sum([w / total * said for w, said in parts], axis=0) if parts else None

    def _score(self, x: CSR) -> Floats:
        votes = self._votes(lambda member: member.score(x))
        return answer_empty_rows(votes, x, self.item_shares_)

    def _save_extra(self, folder: Path) -> None:
        for number, member in enumerate(self.members_):
            member.save(folder / f"member_{number}")

    def _load_extra(self, folder: Path) -> None:
        count = int((self.weights_ > 0).sum())
        self.members_ = tuple(load(folder / f"member_{number}") for number in range(count))


def _from_config(member: Mapping[str, Any]) -> Recommender:
    """An unfitted model from its name and hyper-parameters."""
    return model_class(member["model"])._from_config(member["config"])


def greedy_weights(
    scores: Sequence[Floats], seen: CSR, targets: CSR, *, rounds: int, k: int
) -> Doubles:
    """Choose weights for a sum of scores by greedy selection with replacement.

    Parameters
    ----------
    scores : sequence of ndarray of shape (n_rows, n_items), float32
        One for each model, on comparable scales.
    seen, targets : csr_array of shape (n_rows, n_items)
        What may not be listed, and what should be.
    rounds : int
        Number of votes given.
    k : int
        Length of the lists that are judged.

    Returns
    -------
    ndarray of shape (n_models,), float64
        Non-negative, sum 1: the shares of votes at the best mean ndcg on the way.

    Notes
    -----
    O(rounds * n_models * n_rows * n_items).

    Examples
    --------
    >>> good, bad = np.array([[0, 2, 1]], "float32"), np.array([[0, 1, 2]], "float32")
    >>> seen, wanted = sparse.csr_array([[1, 0, 0]]), sparse.csr_array([[0, 1, 0]])
    >>> greedy_weights([bad, good], seen, wanted, rounds=3, k=1)
    array([0., 1.])
    """
    votes, total = np.zeros(len(scores)), mask_seen(np.zeros_like(scores[0]), seen)
    best_value, best_votes = -1.0, votes
    for _ in range(rounds):
        values = [_mean_ndcg(total + one, targets, k) for one in scores]
        chosen = int(np.argmax(values))
        total += scores[chosen]
        votes = votes + (np.arange(len(scores)) == chosen)
        # A longer sum has to be better, not equal: fewer members are fitted and scored.
        if values[chosen] > best_value + 1e-9:
            best_value, best_votes = values[chosen], votes
    return best_votes / best_votes.sum()


def _mean_ndcg(scores: Floats, targets: CSR, k: int) -> float:
    return float(np.nanmean(ndcg_of_lists(top_k(scores, k).items, targets)))
