"""Shapes of embeddings. Shapes only.

`EmbeddingBody` names the fields that Bookwheel itself reads; the body goes to the engine with every other field as it came.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType


class EmbeddingBody(msgspec.Struct, frozen=True, kw_only=True):
    """A request for vectors."""

    model: Annotated[str, Meta(examples=["text-embedding-v4"])]
    input: Annotated[
        str | list[str | int | list[int]],
        Meta(
            description="A text, up to 2,048 texts, or the engine's token ids in their place.",
            examples=[["The tide at Dover rises 6.7 metres in spring."]],
        ),
    ]
    encoding_format: Annotated[
        Literal["float", "base64"] | None, Meta(description="`base64`: little-endian float32; what stock SDKs ask for.")
    ] = None
    dimensions: Annotated[int, Meta(ge=1, description="Where the engine has vectors of several lengths.")] | None = None
    user: str | None = None
    input_type: Annotated[
        str | None,
        Meta(
            description="What the texts are: `query` or `document`, where that makes a difference to the engine.",
            examples=["query", "document"],
        ),
    ] = None
    text_type: Annotated[str | None, Meta(description="The same, in DashScope's words.")] = None


class Embedding(msgspec.Struct, frozen=True, kw_only=True):
    """One text's vector."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine read, in its own tokens."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(msgspec.Struct, frozen=True, kw_only=True):
    """The vectors, in the order of the texts. What else the engine sent comes with them."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage | UnsetType = UNSET
