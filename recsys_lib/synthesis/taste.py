"""The taste space: directions of tracks, levels and profiles, and user-lab affinity."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LEVELS",
    "TRACKS",
    "TRACK_NAMES",
    "affinity",
    "item_level",
    "item_track",
    "on_sphere",
    "tracks_in",
]

TRACK_NAMES = {
    "CMP": "cloud management",
    "SDC": "software-defined data center",
    "ISM": "integrated systems",
    "NET": "networking",
    "HBD": "hybrid cloud",
    "SEC": "security",
    "CNA": "cloud-native applications",
    "EUC": "end-user computing",
}
"""What the codes of the tracks stand for."""

TRACKS = tuple(TRACK_NAMES)

LEVELS = ("introductory", "intermediate", "advanced")

_LEVEL_CUTS = (-0.4, 0.6)


def tracks_in(latent_dim: int) -> NDArray[np.float64]:
    """Return the direction of each track, a unit vector in all dimensions of taste but the last.

    The tracks are the corners of a regular simplex (in fewer dimensions: its shadow), so that no
    two are nearer than any other two and all are about equally frequent.

    Parameters
    ----------
    latent_dim : int
        At least 3.

    Returns
    -------
    ndarray of shape (n_tracks, latent_dim)
        The last column, which is the dimension of levels, is 0.

    Examples
    --------
    >>> corners = tracks_in(8)
    >>> (corners @ corners.T)[0, :3].round(3)
    array([ 1.   , -0.143, -0.143])
    """
    n_tracks, width = len(TRACKS), min(len(TRACKS) - 1, latent_dim - 1)
    # The Fourier basis without its constant: its rows are the corners of a simplex, and any
    # first few of its columns still keep the corners apart.
    turns = 2 * np.pi * np.outer(np.arange(n_tracks), np.arange(1, n_tracks // 2 + 1)) / n_tracks
    waves = np.stack([np.cos(turns), np.sin(turns)], axis=2).reshape(n_tracks, -1)[:, :width]
    waves /= np.linalg.norm(waves, axis=0)
    directions = np.zeros((n_tracks, latent_dim))
    directions[:, :width] = waves / np.linalg.norm(waves, axis=1, keepdims=True)
    return directions


def item_track(factors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the track nearest to each lab; its factors stay exactly Gaussian."""
    return np.asarray(np.argmax(factors @ tracks_in(factors.shape[1]).T, axis=1))


def item_level(factors: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the position in `LEVELS` of each lab: the last dimension of taste, cut twice."""
    return np.asarray(np.searchsorted(_LEVEL_CUTS, factors[:, -1]))


def on_sphere(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    r"""Return the vectors with length :math:`\sqrt K`.

    With Gaussian lab factors the affinity of such a user is then exactly N(0, 1), whatever the
    direction; with Gaussian users it would have an excess kurtosis of 6/K.

    Examples
    --------
    >>> on_sphere(np.array([[3.0, 4.0]])).round(3)
    array([[0.849, 1.131]])
    """
    length = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    return np.asarray(vectors * (np.sqrt(vectors.shape[1]) / length))


def affinity(tastes: NDArray[Any], factors: NDArray[Any]) -> NDArray[np.float64]:
    r"""Return :math:`\langle p_u, q_i\rangle / \sqrt K` for every pair.

    Notes
    -----
    Summed term by term rather than by a matrix product: so the same seed gives the same bits on
    every machine and for every number of users, and nobody's history flips where two labs are
    nearly equal. For K = 8 that costs 7 ms per million pairs.

    Examples
    --------
    >>> affinity(np.array([[1.0, 1.0]]), np.array([[1.0, 0.0], [1.0, 1.0]])).round(3)
    array([[0.707, 1.414]])
    """
    tastes, factors = (np.asarray(array, dtype=np.float64) for array in (tastes, factors))
    scaled = factors.T / np.sqrt(factors.shape[1])
    total = np.zeros((len(tastes), len(factors)))
    for axis, column in enumerate(scaled):
        total += tastes[:, axis, None] * column
    return total
