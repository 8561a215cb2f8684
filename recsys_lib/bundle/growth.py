"""A dataset that has grown: positions stay, what is new comes after."""

import dataclasses

import pandas as pd

from recsys_lib.dataset import Dataset
from recsys_lib.errors import DataError
from recsys_lib.tables import (
    check_frame,
    check_ids,
    check_interactions,
    check_scale,
    indexed_by_id,
    positions_of,
)


def appended(
    dataset: Dataset,
    interactions: pd.DataFrame | None,
    items: pd.DataFrame | None,
    users: pd.DataFrame | None,
) -> Dataset:
    """Return a dataset with more interactions, items and users; see `Bundle.update`."""
    rated, timed = dataset.rating_scale is not None, dataset.timestamps is not None
    old = dataset.to_frame()
    new = old[:0] if interactions is None else interactions
    check_frame("interactions", new)
    wanted = ["user_id", "item_id", *["value"] * rated, *["timestamp"] * timed]
    absent = [column for column in wanted if column not in new]
    if absent:
        raise DataError(
            f"`interactions` must have the columns {', '.join(wanted)}, as the dataset has; "
            f"{absent[0]!r} is missing. Rename or add it."
        )
    new = new[[*wanted, *["value"] * ("value" in new and not rated)]]
    if "value" not in new:
        new = new.assign(value=1.0)
    if len(new):  # by itself, so that rows are counted in it
        check_scale(
            check_interactions(new, "user_id", "item_id", "value", "timestamp" if timed else None),
            "value",
            dataset.rating_scale,
        )
    if timed:
        new = new.assign(timestamp=pd.to_datetime(new["timestamp"], utc=True))
    catalog = _extended(dataset.items, dataset.item_ids, items, new["item_id"], "item_id")
    profiles = _extended(dataset.users, dataset.user_ids, users, new["user_id"], "user_id")
    grown = Dataset.from_frame(
        pd.concat([old, new], ignore_index=True),
        timestamp="timestamp" if timed else None,
        items=catalog,
        users=profiles,
        rating_scale=dataset.rating_scale,
        duplicates="last",
    )
    return dataclasses.replace(
        grown,
        items=catalog if dataset.items is not None or items is not None else None,
        users=profiles if dataset.users is not None or users is not None else None,
        rating_scale=dataset.rating_scale,
    )


def _extended(
    known: pd.DataFrame | None,
    ids: pd.Index,
    told: pd.DataFrame | None,
    named: pd.Series,
    column: str,
) -> pd.DataFrame:
    """Return the table of the known, the told and, unless a catalog must list them, the named."""
    name = "items" if column == "item_id" else "users"
    table = pd.DataFrame(index=ids) if known is None else known
    if told is not None:
        told = indexed_by_id(told, column, name)
        assert told is not None
        there = told.index.intersection(ids)
        if len(there):
            raise DataError(
                f"`{name}` must list new ids only; {there[0]!r} is in the dataset. Leave it out."
            )
        table = pd.concat([table, told if known is None else told.reindex(columns=known.columns)])
    if known is None or column == "user_id":
        more = pd.Index(check_ids(named).unique()).difference(table.index, sort=False)
        table = pd.concat([table, pd.DataFrame(index=more)]) if len(more) else table
    positions_of(table.index, named, column)  # an item that no catalog lists is named
    return table
