"""From the parameters of a notebook to the data they name."""

import re

from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError
from recsys_lib.pipeline.notebook import Session
from recsys_lib.sources import load_dataset

__all__ = ["import_dataset"]

_DEFAULTS = {
    **dict.fromkeys(("ITEMS", "USERS"), ""),
    **dict.fromkeys(("USER_COLUMN", "ITEM_COLUMN", "VALUE_COLUMN", "TIMESTAMP_COLUMN"), "auto"),
    "DUPLICATES": "error",
}


def import_dataset(session: Session, *, ratings: bool = True) -> Dataset:
    """Import the files that the parameters of a notebook name, and record them as its inputs.

    Parameters
    ----------
    session : Session
        Of a notebook with the parameters ``SOURCE``, ``ITEMS``, ``USERS`` (paths; an empty one is
        left out), ``USER_COLUMN``, ``ITEM_COLUMN``, ``VALUE_COLUMN``, ``TIMESTAMP_COLUMN`` (names;
        ``"auto"`` recognizes them) and ``DUPLICATES``. What is not declared has those values.
    ratings : bool
        Whether the notebook needs ratings; without them every interaction counts 1.

    Returns
    -------
    Dataset
        With a rating scale where it has ratings.

    Raises
    ------
    ConfigError
        If a file is missing.
    DataError
        If a file is not what it should be, or holds no ratings.
    """
    given = _DEFAULTS | session.record.parameters
    items, users = (
        session.input(given[name]) if given[name] else None for name in ("ITEMS", "USERS")
    )
    try:
        dataset = load_dataset(
            session.input(given["SOURCE"]),
            items=items,
            users=users,
            user=given["USER_COLUMN"],
            item=given["ITEM_COLUMN"],
            value=given["VALUE_COLUMN"],
            timestamp=given["TIMESTAMP_COLUMN"],
            duplicates=given["DUPLICATES"],
        )
    except DataError as error:
        raise DataError(_in_parameters(str(error))) from error
    if ratings and dataset.rating_scale is None:
        raise DataError(
            f"{given['SOURCE']} must have a column of ratings, which these notebooks predict; "
            f"VALUE_COLUMN is {given['VALUE_COLUMN']!r} and no such column was found. Name it, or "
            "use the library itself for interactions without values."
        )
    return dataset


def _in_parameters(message: str) -> str:
    """Name a remedy by the notebook's parameter; the library names its own argument."""
    return re.sub(
        r'(user|item|value|timestamp)="\.\.\."',
        lambda found: f"the parameter {found[1].upper()}_COLUMN",
        message,
    )
