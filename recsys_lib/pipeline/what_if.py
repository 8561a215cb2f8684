"""What if this person had used something else: a table, and in JupyterLab a table that moves."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from recsys_lib.bundle import Bundle
from recsys_lib.front_end import has_front_end
from recsys_lib.naming import find_id, find_ids

__all__ = ["history_of", "list_by_list", "list_change", "what_if"]


def history_of(bundle: Bundle, user: Any) -> pd.DataFrame:
    """Return what a user of the bundle has used, best rated first.

    Parameters
    ----------
    bundle : Bundle
    user : id

    Returns
    -------
    DataFrame
        ``item_id, title, value``.

    Raises
    ------
    DataError
        If the user is unknown.
    """
    dataset = bundle.dataset
    row = dataset.user_items[[find_id(dataset.user_ids, user, "user")]]
    frame = pd.DataFrame({"item_id": dataset.item_ids.take(row.indices), "value": row.data})
    frame.insert(1, "title", _titles(bundle, frame["item_id"]))
    return frame.sort_values("value", ascending=False, kind="stable", ignore_index=True)


def list_change(
    bundle: Bundle,
    user: Any,
    *,
    add: Mapping[Any, float] | None = None,
    drop: Iterable[Any] = (),
    k: int = 10,
) -> pd.DataFrame:
    """Return the list of a user whose history is edited, beside where its items stood before.

    Parameters
    ----------
    bundle : Bundle
    user : id
    add : mapping of item id to rating, optional
        What this person is supposed to have used as well; an item that is there gets this rating.
    drop : iterable of item ids
        What this person is supposed never to have used.
    k : int
        Length of the list.

    Returns
    -------
    DataFrame
        ``rank, was, item_id, title, probability, before``: `was` is the rank before the edit, 0
        for an item that could not be listed because it had been used; `before` the probability
        then (NaN likewise).

    Raises
    ------
    DataError
        If a user or item is unknown, or a rating is outside the scale.
    """
    known = history_of(bundle, user).set_index("item_id")["value"]
    gone = set(_known(bundle, drop))
    history = {item: float(value) for item, value in known.items() if item not in gone}
    history |= {_known(bundle, [item])[0]: value for item, value in (add or {}).items()}
    after = bundle.recommend(user, history=history, k=k)
    # The whole catalog: what is on the list now may have stood far down before.
    before = bundle.recommend(user, k=bundle.dataset.n_items).set_index("item_id")
    was = before["rank"].reindex(after["item_id"]).fillna(0).astype(int).to_numpy()
    table = after[["rank", "item_id", "title", "probability"]].copy()
    table.insert(1, "was", was)
    table["before"] = before["probability"].reindex(after["item_id"]).to_numpy()
    return table


def list_by_list(
    bundle: Bundle, clicks: Sequence[Any], *, profile: Mapping[str, Any] | None = None, k: int = 10
) -> pd.DataFrame:
    """Return the lists of a newcomer, before the first item used and after each.

    Parameters
    ----------
    bundle : Bundle
    clicks : sequence of item ids
        What is used, one after the other.
    profile : mapping of column name to value, optional
    k : int
        Length of a list.

    Returns
    -------
    DataFrame
        The rows of `Bundle.recommend` with ``step``, 0 to the number of clicks, ``clicked``, the
        title of the latest, and ``stayed``: whether the item was on the list before.

    Raises
    ------
    DataError
        If an item or something of the profile is unknown.
    """
    clicks = _known(bundle, clicks)
    lists: list[pd.DataFrame] = []
    for step in range(len(clicks) + 1):
        history = list(clicks[:step]) or None
        now = bundle.recommend(history=history, profile=profile, k=k)
        before = lists[-1]["item_id"] if lists else []
        titles = _titles(bundle, list(clicks[step - 1 : step]))
        now.insert(0, "step", step)
        now.insert(1, "clicked", titles[0] if step else "")
        lists.append(now.assign(stayed=now["item_id"].isin(before)))
    return pd.concat(lists, ignore_index=True)


def what_if(
    bundle: Bundle,
    user: Any,
    *,
    add: Mapping[Any, float] | None = None,
    drop: Iterable[Any] = (),
    k: int = 10,
) -> Any:
    """Show `list_change`, with controls to edit the history where there is somebody to use them.

    Parameters
    ----------
    bundle, user, add, drop, k
        As of `list_change`; the edit is where the controls begin.

    Returns
    -------
    DataFrame indexed by rank and rounded, or ipywidgets.VBox in JupyterLab
    """
    if not has_front_end():
        return _shown(list_change(bundle, user, add=add, drop=drop, k=k))
    return _controls(bundle, user, dict(add or {}), list(drop), k)


def _controls(bundle: Bundle, user: Any, add: dict[Any, float], drop: list[Any], k: int) -> Any:
    """Controls of an edit with the list below, which follows them."""
    import ipywidgets as widgets
    from IPython.display import display

    history = history_of(bundle, user)
    dataset = bundle.dataset
    low, high = dataset.rating_scale or (1.0, 1.0)
    names = list(zip(history["title"].astype(str), history["item_id"], strict=True))
    unused = dataset.item_ids[~dataset.item_ids.isin(history["item_id"])]
    first, value = next(iter(add.items()), (None, high))
    dropped = widgets.SelectMultiple(options=names, value=tuple(drop), rows=8, description="drop")
    added = widgets.Dropdown(
        options=[("nothing", None), *_titled(dataset.items, unused)], value=first, description="add"
    )
    rated = widgets.FloatSlider(value=value, min=low, max=high, step=_step(dataset.user_items.data))
    output = widgets.Output()

    def redraw(_: Any = None) -> None:
        new = {} if added.value is None else {added.value: rated.value}
        table = list_change(bundle, user, add=new, drop=dropped.value, k=k)
        output.clear_output(wait=True)
        with output:
            display(_shown(table))

    for control in (dropped, added, rated):
        control.observe(redraw, names="value")
    redraw()
    return widgets.VBox([widgets.HBox([dropped, widgets.VBox([added, rated])]), output])


def _shown(table: pd.DataFrame) -> pd.DataFrame:
    return table.set_index("rank").round(3)


def _known(bundle: Bundle, ids: Iterable[Any]) -> list[Any]:
    """Return item ids as the dataset has them; `DataError` names an unknown one."""
    known = bundle.dataset.item_ids
    return known.take(find_ids(known, ids, "item")).tolist()


def _titles(bundle: Bundle, ids: Iterable[Any]) -> list[Any]:
    """Return titles of items, their ids where there is none."""
    items = bundle.dataset.items
    titles = None if items is None else items.get("title")
    return list(ids) if titles is None else titles.loc[list(ids)].tolist()


def _titled(items: pd.DataFrame | None, ids: pd.Index) -> list[tuple[str, Any]]:
    titles = ids.astype(str) if items is None or "title" not in items else items["title"][ids]
    return sorted((str(title), item) for title, item in zip(titles, ids, strict=True))


def _step(ratings: Any) -> float:
    levels = np.unique(ratings)
    return float(np.diff(levels).min()) if len(levels) > 1 else 1.0
