"""The settings of a world, their units, and the presets."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from recsys_lib.checks import check_fraction, check_integer, check_nonnegative, check_positive
from recsys_lib.errors import ConfigError
from recsys_lib.naming import did_you_mean


@dataclass(frozen=True, kw_only=True)
class WorldSettings:
    """The settings of a world.

    Attributes
    ----------
    n_users : int
        People. A world with more people holds the same first ones.
    n_items : int
        Labs in the catalog.
    rho2 : float
        Share of the variance of a latent rating that the truth explains, in [0, 1); the rest is
        noise that nobody can predict. 0 makes ratings, and tastes in what is taken, pure noise.
    bias_share : float
        Share of ``rho2`` that the two biases carry (how generous a user, how good a lab); tastes
        carry the rest. In [0, 1].
    latent_dim : int
        Dimensions of the taste space, >= 3.
    profile_strength : float
        How far a profile moves tastes, in standard deviations of a taste; 0 makes profiles empty.
    ratings_per_user : float
        Mean number of labs taken (and rated), before rounding and clipping.
    activity_spread : float
        Standard deviation of the logarithm of that number over users.
    min_ratings : int
        Fewest labs that a user takes. The most is half of the catalog.
    popularity_exponent : float
        Weights of labs are ``rank ** -popularity_exponent`` (Zipf); 0 makes all alike.
    selection : float
        Log-odds of taking a lab per unit of true signal: 0 = what is taken depends on popularity
        alone, > 0 = people take what they tend to like (missing at random given the truth).
    selection_on_rating : float
        The same per unit of the latent rating itself, noise included: > 0 makes what is missing
        depend on the value that is missing (missing not at random).
    browse_ratio : float
        Labs that are looked at and not taken, per lab taken.
    revisit_rate : float
        Mean number of later views of a lab that was taken.
    n_events : int or None
        Exact size of the clickstream, reached by sharing the revisits out; None lets it fall.
        A world with a fixed size is not nested in its revisits.
    rating_mean, rating_sd : float
        Of the normal curve under the ratings, in rating units, before truncation.
    rating_scale : tuple of int
        Lowest and highest rating.
    year : int
        Of the clickstream.
    seed : int
        Of every random stream.

    Raises
    ------
    TypeError, ValueError
        If a setting has the wrong type or is out of its range.

    Examples
    --------
    >>> WorldSettings(n_users=100).rho2
    0.6
    """

    n_users: int = 5235
    n_items: int = 252
    rho2: float = 0.6
    bias_share: float = 0.25
    latent_dim: int = 8
    profile_strength: float = 2.0
    ratings_per_user: float = 20.0
    activity_spread: float = 0.7
    min_ratings: int = 5
    popularity_exponent: float = 0.8
    selection: float = 1.5
    selection_on_rating: float = 0.0
    browse_ratio: float = 0.5
    revisit_rate: float = 0.3
    n_events: int | None = None
    rating_mean: float = 6.0
    rating_sd: float = 2.0
    rating_scale: tuple[int, int] = (1, 10)
    year: int = 2020
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("n_users", 1), ("n_items", 4), ("latent_dim", 3), ("min_ratings", 1)):
            check_integer(name, getattr(self, name), minimum=least)
        check_fraction("rho2", self.rho2, closed=True)
        for name in ("ratings_per_user", "rating_sd"):
            check_positive(name, getattr(self, name))
        for field in dataclasses.fields(self):
            if isinstance(field.default, float) and field.name != "rating_mean":
                check_nonnegative(field.name, getattr(self, field.name))
        if self.n_events is not None:
            check_integer("n_events", self.n_events, minimum=1)
        check_integer("year", self.year, minimum=1970)
        self._check_scale()
        if self.bias_share > 1:
            raise ValueError(f"`bias_share` must be a share, 0 to 1; got {self.bias_share!r}.")
        if self.min_ratings > self.max_ratings:
            raise ValueError(
                f"`min_ratings` must be at most half of the catalog, {self.max_ratings}; got "
                f"{self.min_ratings}. Ask for fewer, or for more items."
            )

    def _check_scale(self) -> None:
        low, high = self.rating_scale
        check_integer("rating_scale", low)
        check_integer("rating_scale", high, minimum=low + 1)
        if not low < self.rating_mean < high:
            value = repr(self.rating_mean)
            raise ValueError(
                f"`rating_mean` must lie inside the scale {low} to {high}; got {value}."
            )

    @property
    def max_ratings(self) -> int:
        """The most labs one user takes: half the catalog, which leaves some to recommend."""
        return self.n_items // 2

    @property
    def taste_variance(self) -> float:
        """Variance of the latent rating explained by tastes."""
        return self.rho2 * (1.0 - self.bias_share)

    @property
    def bias_variance(self) -> float:
        """Variance of the latent rating explained by the two biases together."""
        return self.rho2 * self.bias_share

    @property
    def noise_sd(self) -> float:
        """Standard deviation of the part of a latent rating that nobody can predict."""
        return float((1.0 - self.rho2) ** 0.5)


#: The settings in which a world of each name departs from `WorldSettings`: "default", "null" with
#: nothing to learn, and "mission", as small and as sparsely used as the project's first dataset.
PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # Nothing to learn: ratings are noise, and what is taken depends on popularity alone.
    "null": {"rho2": 0.0, "selection": 0.0},
    # The density of the project's first dataset: half of the people touched one or two labs.
    "mission": {
        "ratings_per_user": 1.25,
        "activity_spread": 1.05,
        "min_ratings": 1,
        "browse_ratio": 0.75,
        "popularity_exponent": 1.1,
        "n_events": 29_843,
    },
}


def settings_from(preset: str = "default", *, seed: int = 0, **changes: Any) -> WorldSettings:
    """Return the settings of a preset with some of them changed.

    Parameters
    ----------
    preset : {"default", "null", "mission"}
    seed : int
        Of every random stream.
    **changes
        Attributes of `WorldSettings`.

    Returns
    -------
    WorldSettings

    Raises
    ------
    ConfigError
        If the preset or a setting is unknown.

    Examples
    --------
    >>> settings_from("null").rho2
    0.0
    >>> settings_from(ro2=0.3)
    Traceback (most recent call last):
    recsys_lib.errors.ConfigError: Unknown setting 'ro2'. Did you mean 'rho2'? ...
    """
    if preset not in PRESETS:
        known = ", ".join(map(repr, PRESETS))
        raise ConfigError(f"`preset` must be one of {known}; got {preset!r}.")
    names = [field.name for field in dataclasses.fields(WorldSettings)]
    for name in changes:
        if name not in names:
            hint = did_you_mean(name, names)
            raise ConfigError(f"Unknown setting {name!r}.{hint} Known: {', '.join(names)}.")
    return WorldSettings(**{**PRESETS[preset], **changes, "seed": seed})
