"""What a model has learned about items, from the vectors it holds of them."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from recsys_lib.checks import check_integer
from recsys_lib.seeding import seed_from


def spectrum(vectors: ArrayLike) -> NDArray[np.float64]:
    """Return the share of the variance along each principal direction, largest first.

    Parameters
    ----------
    vectors : array of shape (n_items, n_dims)

    Returns
    -------
    ndarray of shape (min(n_items, n_dims),), float64
        Sums to 1, or all 0 where the vectors are equal. A cliff after the k-th says that the
        vectors live in k dimensions.

    Examples
    --------
    >>> spectrum([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]]).round(2)
    array([0.5, 0.5, 0. ])
    """
    x = np.asarray(vectors, dtype=np.float64)
    squares = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2
    return np.asarray(squares / (squares.sum() or 1.0))


def neighbor_agreement(vectors: ArrayLike, groups: pd.Series, *, k: int = 5) -> tuple[float, float]:
    """Return how often an item's nearest neighbors are of its own group, and how often by chance.

    Parameters
    ----------
    vectors : array of shape (n_items, n_dims)
        Compared by the cosine, after their mean is taken off.
    groups : Series of length n_items
        Such as the track, which the model was never told.
    k : int
        Neighbors of each item, >= 1; at most all others.

    Returns
    -------
    agreement, chance : float
        In [0, 1].

    Examples
    --------
    >>> vectors = [[1, 0], [1, 0.1], [-1, 0], [-1, 0.1]]
    >>> found, chance = neighbor_agreement(vectors, pd.Series(["a", "a", "b", "b"]), k=1)
    >>> found, round(chance, 2)
    (1.0, 0.33)
    """
    check_integer("k", k, minimum=1)
    x = np.asarray(vectors, dtype=np.float64)
    x = x - x.mean(axis=0)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    likeness = x @ x.T
    np.fill_diagonal(likeness, -np.inf)
    k = min(k, len(x) - 1)
    nearest = np.argsort(-likeness, axis=1, kind="stable")[:, :k]
    names = groups.to_numpy()
    sizes = groups.map(groups.value_counts()).to_numpy()
    agreement = float((names[nearest] == names[:, None]).mean())
    return agreement, float((sizes - 1).mean() / max(1, len(names) - 1))


def flat_map(vectors: ArrayLike, *, seed: int = 0) -> NDArray[np.float64]:
    """Place items in the plane so that near vectors stay near.

    Parameters
    ----------
    vectors : array of shape (n_items, n_dims)
        Fewer than four are laid out by their first two principal components.
    seed : int

    Returns
    -------
    ndarray of shape (n_items, 2), float64
        Neighborhoods mean something; axes, distances between far items and sizes do not.

    Notes
    -----
    t-SNE [1]_ on cosines, from the principal components: O(n_items log n_items), seconds for a
    thousand items.

    References
    ----------
    .. [1] L. van der Maaten, G. Hinton, "Visualizing Data using t-SNE", JMLR 9, 2008.

    Examples
    --------
    >>> flat_map(np.eye(6)).shape
    (6, 2)
    >>> flat_map(np.eye(1)).shape
    (1, 2)
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    x = np.asarray(vectors, dtype=np.float64)
    if len(x) < 4:
        left, sizes, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
        few = (left * sizes)[:, :2]
        return np.pad(few, ((0, 0), (0, 2 - few.shape[1])))
    perplexity = min(20.0, (len(x) - 1) / 3)
    flat = TSNE(
        perplexity=perplexity,
        metric="cosine",
        init="pca",
        max_iter=500,
        random_state=seed_from(seed, "exploration", "map"),
    )
    # Hundreds of tiny parallel steps: threads would wait for one another longer than they work.
    with threadpool_limits(1):
        return np.asarray(flat.fit_transform(x - x.mean(axis=0)), dtype=np.float64)
