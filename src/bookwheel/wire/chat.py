"""Shapes of chat completions. Shapes only.

`ChatBody` names the fields that Bookwheel itself reads; the body goes to the engine with every other field as it came.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

ReadingChoice = Literal["auto", "full", "relevant", "overview", "thorough"]
ReadingName = Literal["full", "relevant", "overview", "thorough"]
Role = Literal["system", "developer", "user", "assistant", "tool", "function"]


class ChatMessage(msgspec.Struct, frozen=True):
    """One message. `content` is text, or a list of parts, each an object with a `type`."""

    role: Role
    content: Annotated[
        str | list[dict[str, Any]] | None,
        Meta(
            description="Text, or parts: `text`; `image_url` for engines that see; and files, in any message: "
            "`{type: file, file: {file_id}}` or `{type: input_file, file_id}` for one that was uploaded, with `file_data` "
            "(base64, alone or as a data URL) and `filename` in the place of `file_id` for one that comes with the request."
        ),
    ] = None


class StreamOptions(msgspec.Struct, frozen=True):
    """What else a stream is to carry."""

    include_usage: bool | None = None


class BookwheelOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bookwheel's own options, in the body's `bookwheel` object."""

    reading: Annotated[
        ReadingChoice,
        Meta(
            description="How the documents are read. `full`: all of their text. `relevant`: the passages that bear on the "
            "question. `overview`: what represents every part, for questions about the whole. `thorough`: the engine reads "
            "every part and takes notes. `auto`: `full` where it fits, else `overview` or `relevant`."
        ),
    ] = "auto"
    budget_tokens: (
        Annotated[
            int, Meta(ge=64, description="Tokens of documents that the engine may be shown, instead of the set budget.")
        ]
        | None
    ) = None
    show_context: Annotated[
        bool, Meta(description="Send the very messages that the engine was sent along with the answer.")
    ] = False
    citations: Annotated[
        bool, Meta(description="Say which sentences of the documents each sentence of the answer rests on.")
    ] = False


class ChatBody(msgspec.Struct, frozen=True, kw_only=True):
    """A chat request. Fields that are not named here are passed to the engine."""

    model: Annotated[str, Meta(examples=["qwen-long"])]
    messages: Annotated[
        list[ChatMessage],
        Meta(
            min_length=1,
            description="First system message: the role. Further ones: `fileid://ID,fileid://ID` or a document as text.",
        ),
    ]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: str | list[str] | None = None
    response_format: dict[str, Any] | None = None
    bookwheel: BookwheelOptions | None = None


class FileReading(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of one document."""

    file_id: str | None
    filename: str
    tokens: int
    selected_tokens: int
    anchors: Annotated[
        list[str],
        Meta(description="Where the excerpts that were shown begin, at most 100; none where all of it was shown."),
    ] = []


class PartsReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine read part by part (`thorough`)."""

    parts: int
    calls: Annotated[int, Meta(description="Calls of the engine that reading and merging took.")]
    reused: Annotated[int, Meta(description="Notes that were kept from the same question before.")]
    unread: Annotated[int, Meta(description="Parts that the engine failed on; the notes name them.")]


class ContextReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine was shown of the documents, and what that took."""

    reading: ReadingName
    engine: Annotated[str, Meta(description="The name of the engine that answered.")]
    reason: Annotated[str, Meta(description="Why this reading, in a sentence.")]
    window_tokens: int
    budget_tokens: int
    document_tokens: int
    selected_tokens: int
    coverage: Annotated[float, Meta(description="Share of the documents' tokens that the engine was shown, 0 to 1.")]
    files: list[FileReading]
    milliseconds: Annotated[dict[str, float], Meta(description="What took how long before the engine began.")]
    support: Annotated[
        float | UnsetType,
        Meta(
            description="How much of what the question names stands together in the documents, 0 to 1: where it is low, they "
            "may not hold the answer. Only with `relevant`."
        ),
    ] = UNSET
    thorough: PartsReport | UnsetType = UNSET


class Citation(msgspec.Struct, frozen=True, kw_only=True):
    """A quote that stands in a document at this place and supports a sentence of the answer."""

    type: Literal["file_citation"] = "file_citation"
    file_id: str | None
    filename: str
    quote: str
    anchor: Annotated[str, Meta(examples=["line 12"])]
    start: Annotated[int, Meta(description="Where the quote begins in the document's text, in characters.")]
    end: Annotated[int, Meta(description="Where it ends (excluded).")]
    answer_start: Annotated[
        int, Meta(description="Where the sentence it supports begins in the answer, in characters.")
    ]
    answer_end: int
    choice: Annotated[
        int | UnsetType,
        Meta(description="Which of the `n` answers it is of, by its index; only where there are several."),
    ] = UNSET


class BookwheelReport(msgspec.Struct, frozen=True, kw_only=True):
    """Bookwheel's own part of an answer: on the message's top level, or on a stream's last chunk."""

    context: ContextReport
    citations: list[Citation] | UnsetType = UNSET
    messages: Annotated[
        list[dict[str, Any]] | UnsetType, Meta(description="What the engine was sent; with `show_context`.")
    ] = UNSET


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine read and wrote, in its own tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, int] | UnsetType = UNSET


class AnswerMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    annotations: list[dict[str, Any]] | UnsetType = UNSET


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One of `n` answers."""

    index: int
    message: AnswerMessage
    finish_reason: str | None


class ChatCompletion(msgspec.Struct, frozen=True, kw_only=True):
    """An answer in one piece. What else the engine sent comes with it."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | UnsetType = UNSET
    bookwheel: BookwheelReport | UnsetType = UNSET


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """What a chunk adds."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | None | UnsetType = UNSET


class ChunkChoice(msgspec.Struct, frozen=True, kw_only=True):
    """What a chunk adds to one of `n` answers."""

    index: int
    delta: Delta
    finish_reason: str | None = None


class ChatChunk(msgspec.Struct, frozen=True, kw_only=True):
    """One `data:` event of a stream; `data: [DONE]` ends it."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None | UnsetType = UNSET
    bookwheel: BookwheelReport | UnsetType = UNSET
