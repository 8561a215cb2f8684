"""What a request may say and what an answer looks like, for validation and for the manual."""

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Discriminator, Field, StrictBool, StrictStr, Tag

#: People in one body, items in one list, entries of one history or of any other list.
MANY = 1_000

Text = Annotated[StrictStr, Field(max_length=1_000)]
Whole = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Id = Text | Whole
Ids = Annotated[list[Id], Field(max_length=MANY)]
Ratings = Annotated[dict[Text, Whole | Number], Field(max_length=MANY)]
Value = Text | StrictBool | Whole | Number | None
Values = Annotated[list[Value], Field(max_length=MANY)]
Few = Annotated[dict[Text, Value | Values], Field(max_length=100)]
Bounds = dict[Literal["min", "max", "not"], Value | Values]

Count = Annotated[int, Field(ge=1, le=MANY, description="Length of the list.")]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_VARIETY = Field(0.0, description="How far an item is held back for being like others, 0 to 1.")
_USER, _ITEM = ({"one": {"value": one}} for one in ("nle", "HOL-1901-01-SEC-HOL"))
UserId = Annotated[str, Path(description="Id of a user.", openapi_examples=_USER)]
ItemId = Annotated[str, Path(description="Id of an item.", openapi_examples=_ITEM)]


class Asked(BaseModel):
    """Base of what is asked: a mistyped name is refused, not passed over."""

    model_config = ConfigDict(extra="forbid")


class Question(Asked):
    """One person, known or not, and what may be listed. Everything may be left out."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user": "nle", "k": 3},
                {"history": ["HOL-1901-01-SEC-HOL"], "k": 3},
                {"profile": {"role": "developer"}, "where": {"duration_minutes": {"max": 90}}},
            ]
        }
    )

    user: Id | None = Field(None, description="A known user.")
    history: Ids | Ratings | None = Field(
        None, description="What they used, instead of their own history: ids, or ratings by id."
    )
    profile: Few | None = Field(None, description="What is known about a newcomer, by column.")
    k: Count = 10
    exclude: Ids | None = Field(None, description="Items not to list; nor are items already used.")
    only: Ids | None = Field(None, description="List nothing else.")
    where: Annotated[dict[Text, Value | Values | Bounds], Field(max_length=100)] | None = Field(
        None,
        description="By column of the catalog: a value, a list of which one must hold, or "
        '`{"min": ..., "max": ..., "not": ...}`.',
        examples=[{"track": ["NET", "SEC"], "duration_minutes": {"max": 90}}],
    )
    available: Ids | Text | None = Field(None, description="Ids, or a column of true and false.")
    limit_per: Annotated[dict[Text, Count], Field(max_length=100)] | None = Field(
        None, description="At most so many items with the same value of a column."
    )
    promote: Ids | None = Field(None, description="Listed first, in this order, if rules let them.")
    never: Ids | None = Field(None, description="Items never to show.")
    diversity: Share | None = _VARIETY


def _form(body: Any) -> str:
    return "many" if isinstance(body, list) else "one"


Many = Annotated[list[Question], Field(min_length=1, max_length=MANY)]
#: One question, or up to 1,000 of them.
Questions = Annotated[
    Annotated[Question, Tag("one")] | Annotated[Many, Tag("many")], Discriminator(_form)
]


class Length(Asked):
    """What the address of an item may say."""

    k: Count = 10


class OneList(Length):
    """What the address of a user may say."""

    diversity: Share = _VARIETY
    exclude: list[str] = Field([], max_length=100, description="Items not to list.")


class Search(Asked):
    """What the address of the catalog may say."""

    search: str = Field("", max_length=200, description="A part of the id or the title.")
    limit: Count = 20


class Recommendation(BaseModel):
    """An item on a list."""

    rank: int = Field(examples=[1])
    item_id: str | int = Field(examples=["HOL-2033-01-HBD-HOL"])
    title: str = Field(description="Or the id.", examples=["A First Look at Workload Mobility"])
    probability: float | None = Field(
        description="That they like it; null where unknown.", examples=[0.9]
    )
    rung: str = Field(description="Of the ladder: who answered.", examples=["history"])
    because: str = Field(
        description="What of the history, or of the profile, speaks for it.",
        examples=["Self-Service Portals Fundamentals"],
    )


class Answer(BaseModel):
    """A list; shorter than `k` where fewer items are left."""

    recommendations: list[Recommendation]
    bundle: str = Field(description="Fingerprint of what answered.", examples=["sha256:9f86d0..."])


class Item(BaseModel):
    """An item of the catalog."""

    item_id: str | int
    title: str


class Similar(Item):
    """An item like another."""

    rank: int
    similarity: float
    by: str = Field(description="What it rests on: model, content or users.", examples=["model"])


class SimilarItems(BaseModel):
    """Items like another one, the most similar first."""

    items: list[Similar]
    bundle: str


class Items(BaseModel):
    """Items found, in the order of the catalog."""

    items: list[Item]
    bundle: str


class Model(BaseModel):
    """What answers, and what it was made from."""

    model: str
    bundle: str = Field(description="Fingerprint of the bundle, over all its files.")
    written: str = Field(description="When the bundle was written, in UTC.")
    n_users: int
    n_items: int
    settings: dict[str, Any] = Field(description="Hyper-parameters of the model.")
    metrics: dict[str, Any] = Field(description="Of the last epoch, where there were epochs.")
    manifest: dict[str, Any]


class State(BaseModel):
    """Whether the service can answer."""

    status: str = Field(examples=["ready"])


class Problem(BaseModel):
    """An error by RFC 9457, as `application/problem+json`."""

    type: str = Field("about:blank", description="Always about:blank: the status says the kind.")
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(
        description="What must hold, what was found, and what to do.",
        examples=["The user must be one of the 5,235 known; got 'nel'. Near: 'nle'."],
    )
    instance: str = Field(description="Id of the request, as in the log.")
