"""Which column is what: recognized by its name, or asked for."""

import re
import unicodedata
from collections.abc import Sequence

from recsys_lib.cleaning import check_roles
from recsys_lib.errors import DataError
from recsys_lib.naming import did_you_mean
from recsys_lib.sources.options import AUTO, ReadOptions
from recsys_lib.tables import Table

# Names without case, spaces and underscores; the nearer to the front, the plainer.
_NAMES: dict[str, tuple[str, ...]] = {
    role: tuple(names.split())
    for role, names in {
        "user": """userid user username uid customerid customer visitorid memberid accountid
            reviewerid login personid clientid playerid steamid""",
        "user alone": """member person client reader viewer visitor shopper buyer subscriber
            listener player student studentid learner learnerid employee employeeid email
            emailaddress""",
        "item": """itemid item iid movieid productid labid lab courseid bookid articleid trackid
            artistid songid asin sku isbn gameid animeid businessid recipeid stockcode""",
        "value": """value rating ratings score stars weight overall bookrating userrating
            reviewrating""",
        "count": "plays playcount count counts clicks views listens visits purchases quantity qty",
        "timestamp": """timestamp time ts datetime date eventtime createdat unixtime
            unixreviewtime invoicedate transactiondate transactiondt tdat orderdate purchasedate
            reviewdate ratingdate""",
        "event": "event eventtype action behavior behaviour",
        "dwell": "dwell dwellseconds duration dwelltime",
        "title": """title movietitle itemtitle booktitle name itemname labtitle titel titre titulo
            titolo タイトル""",
    }.items()
}
# What an item is called; an id only where no column of the names above stands beside it: else it
# is a title. What a user and a time may be called, likewise.
_THINGS = (
    *("product", "movie", "film", "course", "book", "article", "track", "song"),
    *("game", "anime", "recipe"),
)
_NAMED = (*_THINGS, "artist", "business", "lab")
_WHERE_ALONE = {
    "user": _NAMES["user alone"],
    "timestamp": ("when",),
    "item": _THINGS,
    "title": (
        *(f"{thing}{what}" for thing in _NAMED for what in ("title", "name", "")),
        "description",
    ),
}
# Two candidates for one role are ambiguous, unless one of them has one of these names.
_OUTRIGHT = {"userid", "itemid", "value", "rating", "timestamp", "event", "title", "dwell"}

_SHOWN = 20  # names of columns in an error


def find_column(
    role: str, columns: Sequence[str], given: str | None, table: str, *, required: bool
) -> str | None:
    """Return the column that plays a role, by the name given or by recognition.

    Parameters
    ----------
    role : {"user", "item", "value", "count", "timestamp", "event", "dwell", "title"}
    columns : sequence of str
        The columns of the table.
    given : str or None
        A name; ``"auto"`` to recognize it; None to use no such column.
    table : str
        What the table is called in errors.
    required : bool
        Whether finding none is an error.

    Returns
    -------
    str or None

    Raises
    ------
    DataError
        Where the named column is absent, or recognition finds none or several.

    Examples
    --------
    >>> find_column("user", ["User ID", "film", "rating"], "auto", "a.csv", required=True)
    'User ID'
    """
    if given is None and not required:
        return None
    if given is not None and given != AUTO:
        return _named(role, columns, str(given), table)
    candidates = matches(role, columns)
    outright = [column for column in candidates if plain_name(column) in _OUTRIGHT]
    for found in (outright, candidates):
        if len(found) == 1:
            return found[0]
    if not candidates and not required:
        return None
    said = f"several could be it: {candidates}" if candidates else "none is recognized"
    raise DataError(
        f"{table} must have a column for the {role}; {said} among {_shown(columns)}. "
        f'Name it with {role}="...".{_hint(columns)}'
    )


def matches(role: str, columns: Sequence[str]) -> list[str]:
    """Return the columns whose names are known for a role.

    Examples
    --------
    >>> matches("item", ["course", "rating"]), matches("item", ["course", "course_id"])
    (['course'], ['course_id'])
    """
    known = [column for column in columns if plain_name(column) in _NAMES[role]]
    weak = _WHERE_ALONE.get(role, ())
    return known or [column for column in columns if plain_name(column) in weak]


def _named(role: str, columns: Sequence[str], given: str, table: str) -> str:
    if given in columns:
        return given
    hint = did_you_mean(given, columns) or _hint(columns)
    raise DataError(
        f"{table} must have the column {given!r} that `{role}` names; it has {_shown(columns)}. "
        f'Name one of these with {role}="...".{hint}'
    )


def find_roles(table: Table, options: ReadOptions) -> dict[str, str]:
    """Return the columns that play a role, as ``user_id``, ``item_id`` and so on.

    Raises
    ------
    DataError
        As `find_column`, and where one column is taken for two roles.
    """
    rule = options.reduce
    needed = {"user", "item"} | (rule.needs if rule else set())
    given = {role: getattr(options, role) for role in ("user", "item", "value", "timestamp")}
    given |= {role: getattr(rule, role) for role in ("event", "dwell") if role in needed}
    found: dict[str, str] = {}
    for role, name in given.items():
        column = find_column(role, table.columns, name, table.name, required=role in needed)
        if column is not None:
            found[role] = column
    check_roles(found, table.name)
    return {f"{role}_id" if role in ("user", "item") else role: one for role, one in found.items()}


def looks_like_header(cells: Sequence[str]) -> bool:
    """Say whether cells name a user and an item, and so are no row of a table."""
    return bool(matches("user", cells) and matches("item", cells))


def plain_name(name: str) -> str:
    """Return a name without case, accents, spaces and signs: ``userid`` for ``User ID``."""
    return re.sub(r"[\s_\-.\u0300-\u036f]+", "", unicodedata.normalize("NFKD", str(name))).lower()


def _shown(columns: Sequence[str]) -> str:
    more = len(columns) - _SHOWN
    return f"{list(columns[:_SHOWN])} and {more} more" if more > 0 else str(list(columns))


def _hint(columns: Sequence[str]) -> str:
    """Return what else may be wrong, where the names look like data, items or a title."""
    if len(columns) == 1:
        return " A table has two columns or more: remove lines above it, or give `delimiter`."
    if len(columns) > _SHOWN:
        return (
            " If there is a column for each item, make a row of each entry with pandas: "
            f'frame.melt({columns[0]!r}, var_name="item", value_name="value").dropna().'
        )
    if any(re.fullmatch(r"[-+]?\d+(\.\d+)?", str(column)) for column in columns):
        return (
            " The first line looks like data: write a header above it, or for interactions without "
            "one give `columns`."
        )
    return ""
