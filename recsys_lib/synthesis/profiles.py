"""User profiles: role, interests and experience, and the tastes that go with them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recsys_lib.synthesis.taste import TRACKS, tracks_in

__all__ = ["EXPERIENCE", "ROLES", "Profiles", "all_profiles"]

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
ROLES = tuple(_ROLES)
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
    share: NDArray[np.float64]
    means: NDArray[np.float64]

    def draw(self, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
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


def _interests(
    first: int, second: int, wish: NDArray[np.float64], tracks: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Return the share and direction of two interests in a role; the same twice is one interest."""
    if first == second:
        share, place = wish[first] * _ONE_INTEREST, tracks[first]
    else:
        share = wish[first] * (1 - _ONE_INTEREST) * wish[second] / (1 - wish[first])
        place = tracks[first] + _SECOND_WEIGHT * tracks[second]
    # What the role likes as a whole moves everybody in it a little, whatever they named.
    place = place + 0.5 * wish @ tracks
    return float(share), place / np.linalg.norm(place)
