"""Shapes of token counts, which are vLLM's. Shapes only."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType


class TokenizeBody(msgspec.Struct, frozen=True, kw_only=True):
    """A text to tokenize, or a chat whose prompt is to be counted. A chat's other fields are taken as the chat takes them."""

    model: Annotated[str, Meta(examples=["qwen-long"])]
    prompt: Annotated[str | None, Meta(description="A text. Control tokens in it count as the text that they are.")] = (
        None
    )
    content: Annotated[str | None, Meta(description="The same, in llama-server's word.")] = None
    messages: Annotated[
        list[Any] | None,
        Meta(
            description="A chat, its documents named or given as in a chat: what the engine would be sent is counted.",
            extra_json_schema={"items": {"$ref": "#/components/schemas/ChatMessage"}},
        ),
    ] = None
    tools: list[dict[str, Any]] | None = None
    bookwheel: Annotated[Any, Meta(extra_json_schema={"$ref": "#/components/schemas/BookwheelOptions"})] = None


class TokenizeReport(msgspec.Struct, frozen=True, kw_only=True):
    """Bookwheel's own part of a count."""

    exact: Annotated[
        bool, Meta(description="Whether the engine's own vocabulary was used; else Qwen's, and its count may differ.")
    ]
    context: Annotated[Any | UnsetType, Meta(extra_json_schema={"$ref": "#/components/schemas/ContextReport"})] = UNSET


class TokenCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many tokens there are."""

    count: int
    max_model_len: Annotated[int, Meta(description="What the engine accepts at most, prompt and answer together.")]
    tokens: Annotated[list[int], Meta(description="The tokens of a text. Of a chat only their number is known.")]
    token_strs: None = None
    bookwheel: TokenizeReport
