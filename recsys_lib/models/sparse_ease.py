r"""Zero-diagonal regressions with few weights for each item: what EASE is for catalogs too large.

EASE regresses every item on all others, at the price of a dense matrix of items x items. Here each
item is regressed on `n_neighbors` others [1]_ [2]_, found and solved in groups of items that share
most of what predicts them. For the items :math:`C` of a group,

1. *candidates*: the items :math:`U` that are used together with them most, by the cosine
   :math:`G_{ij} / \sqrt{G_{ii} G_{jj}}` of the Gram matrix :math:`G`;
2. *selection*: a regression of each item of :math:`C` on all of :math:`U`, roughly; of its weights,
   those that move scores most, :math:`|B_{ij}| \sqrt{G_{ii}}`, are kept;
3. *refit*: the exact regression of each item on those, and nothing else.

Steps 2 and 3 are conjugate gradients on all of :math:`C` at once, with the weights that are not
kept held at zero: products of two dense matrices, never one system for each item.

What few neighbors cannot say, taste at large, is left to the leading directions of all items: the
scores are :math:`x (B + P)`, with the projection :math:`P` of `PureSVD` beside the sparse weights.

References
----------
.. [1] H. Steck, "Markov Random Fields for Collaborative Filtering", NeurIPS 2019, section 3.2.
   Differs: a regression for each item instead of the inverse of a sparse covariance.
.. [2] X. Ning, G. Karypis, "SLIM: Sparse Linear Methods for Top-N Recommender Systems", ICDM 2011,
   section 4.3 (fsSLIM: regressions on chosen neighbors). Ours are: the choice by the weights of a
   larger regression that a group of items shares, and a refit of the group at once.
"""

from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from recsys_lib._system import cores
from recsys_lib.checks import CSR, Floats, Ints, Mask, check_integer, check_memory
from recsys_lib.dataset import Fold
from recsys_lib.errors import warn
from recsys_lib.models.base import RULES, Cost, Rules
from recsys_lib.models.baselines import blocks_of_factors, blocks_of_weights, item_shares
from recsys_lib.models.ease import Dropped, gram, mirror
from recsys_lib.models.factors import PureSVD, cost_of_directions, leading_directions, project
from recsys_lib.progress import track
from recsys_lib.ranking import Block, entry_rows
from recsys_lib.seeding import rng_from

Positions = NDArray[np.intp]

# One group has an item for so many candidates: the more, the more of them are its own.
_CANDIDATES_PER_ITEM = 64
# Bytes up to which the whole Gram matrix is formed once, instead of a part for each group.
_SHARED_GRAM = 1_000_000_000
# Directions along which items are sorted into groups.
_DIRECTIONS = 16
# Iterations that show which weights are large.
_ROUGH = 8
# Tasks that are handed to workers: one that is lost costs little.
_TASKS = 32


class Solved(NamedTuple):
    """The weights of some items: for each its predictors, ascending, one item after the other."""

    items: Positions
    counts: Ints
    predictors: NDArray[np.int32]
    weights: Floats


@dataclass(frozen=True, kw_only=True)
class Regressions:
    """What a worker needs to regress groups of items.

    Attributes
    ----------
    rows : csr_array of shape (n_users, n_items), float32
        Interactions times the root of the user's weight.
    searched : csr_array of shape (n_users, n_items), float32
        The same with long histories thinned, in which candidates are searched.
    ridge : ndarray of shape (n_items,), float32
    n_neighbors, n_candidates : int
    shared : ndarray of shape (n_items, n_items), float32, or None
        The Gram matrix, where it is small enough to be formed once.
    """

    rows: CSR
    searched: CSR
    ridge: Floats
    n_neighbors: int
    n_candidates: int
    shared: Floats | None = None

    def solve(self, groups: list[Positions]) -> list[Solved]:
        """Return the weights of the items of each group."""
        return [self._solve(group) for group in groups]

    @cached_property
    def _columns(self) -> CSR:
        return self.rows.T.tocsr()

    @cached_property
    def _searched_columns(self) -> CSR:
        return self.searched.T.tocsr()

    @cached_property
    def _lengths(self) -> Floats:
        squares = np.bincount(self.rows.indices, self.rows.data**2, self.rows.shape[1])
        return np.sqrt(squares).astype(np.float32)

    def _solve(self, group: Positions) -> Solved:
        union = self._candidates(group)
        own = np.searchsorted(union, group)
        matrix = self._gram(union)
        targets = matrix[:, own]
        kept = np.ones(targets.shape, dtype=bool)
        kept[own, np.arange(len(own))] = False
        matrix[np.diag_indices_from(matrix)] += self.ridge[union]
        weights = np.zeros_like(targets)
        if self.n_neighbors < len(union) - 1:
            weights = regress(matrix, targets, kept, weights, iterations=_ROUGH)
            moved = np.abs(weights) * self._lengths[union, None]
            weak = np.argpartition(-moved, self.n_neighbors - 1, axis=0)[self.n_neighbors :]
            np.put_along_axis(kept, weak, False, axis=0)
            weights *= kept
        weights = regress(matrix, targets, kept, weights)
        item, place = np.nonzero(weights.T)
        counts = np.bincount(item, minlength=len(group))
        return Solved(group, counts, union[place].astype(np.int32), weights[place, item])

    def _gram(self, union: Positions) -> Floats:
        if self.shared is not None:
            return self.shared[np.ix_(union, union)]
        part = self._columns[union]
        return np.asarray((part @ part.T.tocsr()).toarray())

    def _candidates(self, group: Positions) -> Positions:
        """Return a group with the items that are near many of its items, or very near to one."""
        n_items = self.rows.shape[1]
        if n_items <= self.n_candidates:
            return np.arange(n_items)
        near = self._searched_columns[group] @ self.searched
        row = entry_rows(near)
        shares = np.square(near.data / np.maximum(self._lengths[near.indices], 1e-12))
        shares /= np.maximum(np.bincount(row, shares, len(group)), 1e-30)[row]
        strength = np.bincount(near.indices, shares, n_items)
        strength[group] = np.inf
        room = min(self.n_candidates, int(np.count_nonzero(strength)))
        return np.sort(np.argpartition(-strength, room - 1)[:room])


def regress(
    matrix: Floats, targets: Floats, kept: Mask, start: Floats, *, iterations: int = 60
) -> Floats:
    r"""Solve :math:`A_{SS} w_S = t_S` for each column, with its own :math:`S`; the rest is zero.

    Parameters
    ----------
    matrix : ndarray of shape (n, n), float32
        Symmetric and positive definite.
    targets : ndarray of shape (n, n_columns), float32
    kept : ndarray of shape (n, n_columns), bool
        The set :math:`S` of each column.
    start : ndarray of shape (n, n_columns), float32
        Zero outside of it.
    iterations : int
        The most that are made; fewer where the residual has fallen by a million.

    Returns
    -------
    ndarray of shape (n, n_columns), float32

    Notes
    -----
    Conjugate gradients, preconditioned by the diagonal; ``n ** 2 * n_columns`` multiplications for
    each iteration.
    """
    scale = (1 / matrix.diagonal())[:, None]
    weights = start.copy()
    residual = (targets - matrix @ weights if start.any() else targets.copy()) * kept
    goal = 1e-12 * np.maximum(_products(targets, targets * scale), 1e-30)
    ahead = residual * scale
    direction, length = ahead.copy(), _products(residual, ahead)
    for _ in range(iterations):
        if (length <= goal).all():
            break
        image = matrix @ direction
        image *= kept
        step = length / np.maximum(_products(direction, image), 1e-30)
        weights += step * direction
        residual -= step * image
        ahead = residual * scale
        before, length = length, _products(residual, ahead)
        direction *= length / np.maximum(before, 1e-30)
        direction += ahead
    return weights


def _products(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """Inner products of columns, (n_columns,)."""
    return np.einsum("ij,ij->j", left, right)


def group_items(x: CSR, size: int, seed: int) -> list[Positions]:
    """Sort the used items into groups of at most `size` that are used by the same people.

    Parameters
    ----------
    x : csr_array of shape (n_users, n_items), float32
    size : int
    seed : int

    Returns
    -------
    list of ndarray of int
        Each item that has a user in one of them.

    Notes
    -----
    Items are placed along the leading directions of the matrix with columns of length 1, and halved
    along the widest direction of what is left until they fit.
    """
    counts = np.bincount(x.indices, np.square(x.data), x.shape[1])
    used = np.flatnonzero(counts)
    if len(used) <= size:
        return [used] if len(used) else []
    columns = x[:, used]
    data = columns.data * (counts[used] ** -0.5)[columns.indices]
    unit = sparse.csr_array((data, columns.indices, columns.indptr), shape=columns.shape)
    vectors, values = leading_directions(unit, min(_DIRECTIONS, *unit.shape), seed)
    return list(_halves(used, vectors * values, size))


def _halves(items: Positions, places: Floats, size: int) -> Iterator[Positions]:
    if len(items) <= size:
        yield np.sort(items)
        return
    centered = places - places.mean(axis=0)
    widest = np.linalg.eigh(centered.T @ centered)[1][:, -1]
    order = np.argsort(centered @ widest, kind="stable")
    half = size * (-(-len(items) // size) // 2)
    for part in (order[:half], order[half:]):
        yield from _halves(items[part], places[part], size)


def thin(x: CSR, most: int, seed: int) -> CSR:
    """Return `x` with at most so many entries in a row, drawn at random."""
    counts = np.diff(x.indptr)
    if counts.max(initial=0) <= most:
        return x
    kept = np.ones(x.nnz, dtype=bool)
    rng = rng_from(seed, "histories")
    for row in np.flatnonzero(counts > most):
        dropped = rng.choice(counts[row], counts[row] - most, replace=False)
        kept[x.indptr[row] + dropped] = False
    ends = np.append(0, np.cumsum(np.minimum(counts, most)))
    return sparse.csr_array((x.data[kept], x.indices[kept], ends), shape=x.shape)


@dataclass(kw_only=True)
class SparseEASE(Dropped):
    r"""EASE with few weights for each item, and a few directions of all items for the rest.

    Time and memory grow with the data, not with n ** 2. Each item is regressed on `n_neighbors`
    others, exactly, with the penalty of `EDLAE`; these are chosen by a regression on `n_candidates`
    that a group of similar items shares. The scores of `PureSVD` are added to the sum of the
    weights: both guess the same row. The module's docstring has the steps. With ``latent_dim = 0``
    and ``n_neighbors = n_items - 1`` it is `EDLAE`; without dropout and `activity_power`, `EASE`.

    Parameters
    ----------
    l2 : float, optional
        The penalty, in numbers of interactions; positive. By default twice the mean number of users
        of an item, as in `EDLAE`.
    dropout : float
        The probability with which an entry is dropped, 0 <= dropout < 1.
    activity_power, popularity_discount : float
        As in `EDLAE`, >= 0. By default a user counts as the root of the number of interactions:
        better on all datasets that this was measured on, and no history is too long.
    n_neighbors : int
        Weights kept for each item, >= 1: what a fitted model holds is 8 bytes for each.
    n_candidates : int
        Items among which the neighbors of a group are chosen, >= 1. More are better and slower: a
        group has one item for each 64 of them.
    max_history : int
        A longer history takes part in the search for candidates with as many items, drawn at
        random, >= 1. The regressions use all of it.
    latent_dim : int, optional
        Directions of the low-rank part, >= 0; 0 leaves it out. By default as many as in `PureSVD`,
        and at most three times `n_neighbors`, so that they too cost what was asked for.
    seed : int
        Of the groups, the directions and what is drawn.

    Attributes
    ----------
    weights_ : csr_array of shape (n_items, n_items), float32
        The matrix :math:`B`; column ``j`` predicts item ``j``. A discount of popularity is in it.
    item_factors_, item_scales_ : ndarray of shape (n_items, latent_dim) and (n_items,), float32
        The low-rank part, as in `PureSVD`.
    item_shares_ : ndarray of shape (n_items,), float32
        Popularity: the answer to an empty row.

    Notes
    -----
    With n items, m neighbors and c candidates about ``40 n c ** 2`` multiplications in products of
    dense matrices, besides sparse ones that cost the sum of squared lengths of the histories; 8 n m
    bytes for the weights, three times that while they are put in order, and about 30 c ** 2 for
    each core. Up to 15,000 items the Gram matrix is formed once, which takes another 4 n ** 2. The
    directions take 4 n `latent_dim` bytes.

    Steck's models have no low-rank part. It is worth 1 to 3.5 % of ndcg@100 on MovieLens and
    CiteULike-a and 7 % of recall@20 on Gowalla; fitting the sparse weights to what the directions
    leave unexplained is worse than fitting both to the row.

    References
    ----------
    .. [1] H. Steck, "Markov Random Fields for Collaborative Filtering", NeurIPS 2019, section 3.2.
    .. [2] H. Steck, "Autoencoders that don't overfit towards the Identity", NeurIPS 2020, eq. 10.

    Examples
    --------
    >>> likes = sparse.csr_array([[1, 1, 0], [1, 1, 0], [0, 1, 1], [1, 0, 0]])
    >>> SparseEASE(l2=1.0, n_neighbors=1).fit(likes).recommend(likes[[3]], k=1).items
    array([[1]], dtype=int32)
    """

    activity_power: float = 0.5
    n_neighbors: int = 256
    n_candidates: int = 1024
    max_history: int = 1000
    latent_dim: int | None = None
    seed: int = 0

    _rules: ClassVar[Rules] = {**RULES, "latent_dim": check_integer}

    weights_: CSR = field(init=False, repr=False, compare=False)
    item_factors_: Floats = field(init=False, repr=False, compare=False)
    item_scales_: Floats = field(init=False, repr=False, compare=False)

    def _suited(self, x: CSR) -> dict[str, Any]:
        width = min(PureSVD()._suited(x)["latent_dim"], 3 * self.n_neighbors)
        return super()._suited(x) | {"latent_dim": width}

    def cost(self, user_items: CSR) -> Cost:
        """Return what groups and directions take; see `Recommender.cost`."""
        n_items = user_items.shape[1]
        groups = 40.0 * n_items * min(self.n_candidates, n_items) ** 2
        low = cost_of_directions(user_items, self.suited_to(user_items).config()["latent_dim"])
        return Cost(groups + low.multiplications, low.n_bytes + 24 * n_items * self.n_neighbors)

    def fit(
        self, user_items: CSR, *, validation: Fold | None = None, executor: Executor | None = None
    ) -> Self:
        """Fit from scratch, on threads of this process or on any executor.

        Parameters
        ----------
        user_items : csr_array of shape (n_users, n_items), float32
            Stored entries are observations. Not modified.
        validation : Fold, optional
            Not used.
        executor : concurrent.futures.Executor, optional
            Where groups of items are solved: processes of loky, ``Client.get_executor()`` of Dask.
            Each of 32 tasks is sent the interactions. Where workers die, what is finished is kept
            and what is not is solved here. By default threads, one for each core.
        """
        x = self._checked(user_items, validation)
        with track(type(self).__name__):
            self._fit(x, validation, executor)
        self.n_items_ = int(x.shape[1])
        return self

    def _fit(self, x: CSR, validation: Fold | None, executor: Executor | None = None) -> None:
        self.item_shares_ = item_shares(x)
        work, size = self._planned(x)
        groups = group_items(work.rows, size, self.seed)
        if executor is not None:
            found = list(_solved_by(executor, work, groups))
        else:
            with threadpool_limits(1, "blas"), ThreadPoolExecutor(cores()) as threads:
                found = list(_solved_by(threads, _with_gram(work), groups))
        scale = self._item_scale()
        self.weights_ = _assembled(found, scale, x.shape[1])
        self._fit_directions(x, scale)

    def _fit_directions(self, x: CSR, scale: Floats | None) -> None:
        width = self.suited_to(x).config()["latent_dim"]
        if width == 0:
            self.item_factors_ = np.zeros((x.shape[1], 0), dtype=np.float32)
            self.item_scales_ = np.ones(x.shape[1], dtype=np.float32)
            return
        low = PureSVD(latent_dim=width, seed=self.seed)
        low._fit(x, None)
        discount = np.float32(1) if scale is None else scale
        self.item_factors_ = low.item_factors_ * np.reshape(discount, (-1, 1))
        self.item_scales_ = low.item_scales_ / discount

    def _planned(self, x: CSR) -> tuple[Regressions, int]:
        """What there is to solve, and the size of a group."""
        n_items = x.shape[1]
        wide = min(n_items, max(self.n_candidates, self.n_neighbors + 1))
        check_memory(
            24 * n_items * min(self.n_neighbors, wide)
            + 32 * x.nnz
            + 30 * cores() * wide**2
            + cost_of_directions(x, self.suited_to(x).config()["latent_dim"]).n_bytes,
            f"Regressing {n_items} items on {self.n_neighbors} others each",
            "Use fewer `n_neighbors`.",
        )
        rows, ridge = self._weighted(x)
        work = Regressions(
            rows=rows,
            searched=thin(rows, self.max_history, self.seed),
            ridge=ridge.astype(np.float32),
            n_neighbors=self.n_neighbors,
            n_candidates=wide,
        )
        return work, n_items if wide == n_items else -(-wide // _CANDIDATES_PER_ITEM)

    def _relate(self, items: Ints) -> Floats:
        there, back = self.weights_[items], self.weights_[:, items].T.tocsr()
        both = (there * back).sqrt()
        return np.asarray((both * there.sign()).toarray())

    def _blocks(self, x: CSR) -> Block:
        near = blocks_of_weights(x, self.weights_, self.item_shares_)
        if not self.item_factors_.shape[1]:
            return near
        rows = project(x, self.item_factors_, self.item_scales_)
        wide = blocks_of_factors(rows, self.item_factors_, x, np.zeros_like(self.item_shares_))
        return lambda items: near(items) + wide(items)


def _with_gram(work: Regressions) -> Regressions:
    """The same work with the Gram matrix, where that is small."""
    if 4 * work.rows.shape[1] ** 2 > _SHARED_GRAM:
        return work
    shared = gram(work.rows)
    mirror(shared)
    return replace(work, shared=shared)


def _solved_by(executor: Executor, work: Regressions, groups: list[Positions]) -> Iterator[Solved]:
    """Solve all groups, in any order; here those that a broken executor has left."""
    step = max(1, -(-len(groups) // _TASKS))
    tasks = [groups[start : start + step] for start in range(0, len(groups), step)]
    waiting, lost = {}, []
    for task in tasks:
        try:
            waiting[executor.submit(work.solve, task)] = task
        except BrokenExecutor:
            lost.append(task)
    with track("regress", sum(map(len, groups)), "items") as progress:
        for future in as_completed(waiting):
            try:
                found = future.result()
            except BrokenExecutor:
                lost.append(waiting[future])
                continue
            progress.step(done=progress.done + sum(len(one.items) for one in found))
            yield from found
    if lost:
        warn(
            f"Workers must live until their task is done; {len(lost)} of {len(tasks)} tasks were "
            "lost with one that died, and are solved in this process.",
            RuntimeWarning,
        )
    for task in lost:
        yield from work.solve(task)


def _assembled(parts: list[Solved], scale: Floats | None, n_items: int) -> CSR:
    """Put the weights of all items into one matrix, each item's in its column, scaled."""
    if not parts:
        return sparse.csr_array((n_items, n_items), dtype=np.float32)
    items, counts, predictors, weights = map(np.concatenate, zip(*parts, strict=True))
    parts.clear()
    if scale is not None:
        weights *= np.repeat(scale[items], counts)
    # SciPy keeps the wider type of the two, and half of a weight would be its index.
    places = np.int32 if len(weights) < 2**31 else np.int64
    ends = np.append(0, np.cumsum(counts)).astype(places)
    found = sparse.csc_array((weights, predictors, ends), shape=(n_items, len(items))).tocsr()
    shape, names = (n_items, n_items), items.astype(np.int32)
    found = sparse.csr_array((found.data, names[found.indices], found.indptr), shape=shape)
    found.sort_indices()
    return found
