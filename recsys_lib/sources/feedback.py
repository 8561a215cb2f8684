"""Turn ratings into likes, for models of what people like rather than how much."""

from typing import Literal

import pandas as pd

from recsys_lib.errors import DataError


def to_likes(
    interactions: pd.DataFrame, min_value: float | Literal["user mean"] = 4.0
) -> pd.DataFrame:
    """Keep the interactions that are likes, each with the value 1.

    For events rather than ratings see `Reduction`, which turns weights, dwell time and half-life
    into a confidence.

    Parameters
    ----------
    interactions : DataFrame
        With ``user_id`` and ``value``, as `read_interactions` returns it. Not modified.
    min_value : float or "user mean"
        Lowest rating that is a like; or each user's own mean, since people who never give more than
        three stars like something too. A user whose ratings are all equal then likes everything.

    Returns
    -------
    DataFrame
        In the same order, with a RangeIndex.

    Raises
    ------
    DataError
        If there is no value, or nothing is a like.

    Examples
    --------
    Three stars are the most that *b* ever gives:

    >>> frame = pd.DataFrame(
    ...     {"user_id": [*"aabb"], "item_id": [*"xyxy"], "value": [5, 4, 3, 1]}
    ... )
    >>> to_likes(frame, 4)[["user_id", "item_id"]].to_numpy().tolist()
    [['a', 'x'], ['a', 'y']]
    >>> to_likes(frame, "user mean")[["user_id", "item_id"]].to_numpy().tolist()
    [['a', 'x'], ['b', 'x']]
    """
    if "value" not in interactions:
        raise DataError(
            f"`interactions` must have a column 'value'; it has {list(interactions.columns)}. "
            "Interactions without ratings are likes already."
        )
    value = interactions["value"]
    limit = min_value
    if min_value == "user mean":
        limit = value.groupby(interactions["user_id"]).transform("mean")
    likes = interactions[value >= limit].assign(value=1.0).reset_index(drop=True)
    if likes.empty:
        raise DataError(
            f"At least one rating must be {min_value!r} or more; the highest is {value.max():g}. "
            "Lower `min_value`."
        )
    return likes
