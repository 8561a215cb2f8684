"""The taste space, and the profiles of people with the tastes that go with them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.checks import Doubles, Ints

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


def tracks_in(latent_dim: int) -> Doubles:
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


def item_track(factors: Doubles) -> Ints:
    """Return the track nearest to each lab; its factors stay exactly Gaussian."""
    return np.asarray(np.argmax(factors @ tracks_in(factors.shape[1]).T, axis=1))


def item_level(factors: Doubles) -> Ints:
    """Return the position in `LEVELS` of each lab: the last dimension of taste, cut twice."""
    return np.asarray(np.searchsorted(_LEVEL_CUTS, factors[:, -1]))


def on_sphere(vectors: Doubles) -> Doubles:
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


def affinity(tastes: NDArray[Any], factors: NDArray[Any]) -> Doubles:
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


EXPERIENCE = ("beginner", "practitioner", "expert")
_EXPERIENCE_SHARE = (0.35, 0.45, 0.20)
_EXPERIENCE_SHIFT = (-0.9, 0.1, 1.2)  # along the dimension of levels, in units of a taste's sd

# Share of each role, and how it weighs the tracks in the order of TRACKS.
_ROLES: dict[str, tuple[float, tuple[float, ...]]] = {
    #                          CMP SDC ISM NET HBD SEC CNA EUC
    "cloud administrator": (0.24, (6, 4, 2, 1, 4, 1, 1, 1)),
    "network engineer": (0.18, (1, 2, 1, 9, 1, 4, 1, 1)),
    "developer": (0.18, (2, 1, 1, 1, 1, 1, 9, 1)),
    "solution architect": (0.16, (2, 4, 3, 2, 5, 2, 2, 1)),
    "security analyst": (0.12, (1, 1, 1, 4, 1, 9, 1, 1)),
    "workplace manager": (0.12, (1, 1, 3, 1, 1, 2, 1, 9)),
}
_ONE_INTEREST = 0.4  # share of people with one interest rather than two
_SECOND_WEIGHT = 0.6  # what a second interest counts beside the first


@dataclass(frozen=True)
class Profiles:
    """All possible profiles: every combination of role, two interests and experience.

    Attributes
    ----------
    table : DataFrame
        ``role, interests, experience`` of each profile; interests are tracks joined by ", ".
    share : ndarray of shape (n_profiles,)
        How frequent each profile is; sums to 1.
    means : ndarray of shape (n_profiles, latent_dim)
        Where its people's tastes center before they are put on the sphere; the spread around
        that is 1 in every direction.
    """

    table: pd.DataFrame
    share: Doubles
    means: Doubles

    def draw(self, uniforms: Doubles) -> Ints:
        """Return the profile of each uniform number in [0, 1)."""
        edges = np.cumsum(self.share)
        return np.asarray(np.searchsorted(edges[:-1], uniforms, side="right"))


def all_profiles(latent_dim: int, strength: float) -> Profiles:
    """List every profile with its share and its place in taste space.

    Parameters
    ----------
    latent_dim : int
        Dimensions of taste.
    strength : float
        Length of the mean taste in the plane of tracks, in standard deviations of a taste.

    Returns
    -------
    Profiles

    Examples
    --------
    >>> profiles = all_profiles(8, 2.0)
    >>> profiles.table.iloc[0].to_list()
    ['cloud administrator', 'CMP', 'beginner']
    >>> round(float(profiles.share.sum()), 6)
    1.0
    """
    tracks = tracks_in(latent_dim)
    rows, shares, means = [], [], []
    for role, (role_share, weights) in _ROLES.items():
        wish = np.array(weights) / sum(weights)
        for first in range(len(TRACKS)):
            for second in range(len(TRACKS)):
                share, place = _interests(first, second, wish, tracks)
                for step, experience in enumerate(EXPERIENCE):
                    names = dict.fromkeys((TRACKS[first], TRACKS[second]))
                    rows.append((role, ", ".join(names), experience))
                    shares.append(role_share * share * _EXPERIENCE_SHARE[step])
                    shift = np.eye(latent_dim)[-1] * _EXPERIENCE_SHIFT[step] * min(1.0, strength)
                    means.append(strength * place + shift)
    table = pd.DataFrame(rows, columns=["role", "interests", "experience"])
    return Profiles(table=table, share=np.array(shares), means=np.array(means))


def _interests(first: int, second: int, wish: Doubles, tracks: Doubles) -> tuple[float, Doubles]:
    """Return the share and direction of two interests in a role; the same twice is one interest."""
    if first == second:
        share, place = wish[first] * _ONE_INTEREST, tracks[first]
    else:
        share = wish[first] * (1 - _ONE_INTEREST) * wish[second] / (1 - wish[first])
        place = tracks[first] + _SECOND_WEIGHT * tracks[second]
    # What the role likes as a whole moves everybody in it a little, whatever they named.
    place = place + 0.5 * wish @ tracks
    return float(share), place / np.linalg.norm(place)
