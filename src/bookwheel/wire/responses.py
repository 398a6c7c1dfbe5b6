"""Shapes of OpenAI's Responses API: the request, the response, and the events of a streamed one. Shapes only.

After OpenAI's API reference and the types of its Python SDK 3.54. `ResponsesBody` names the fields that Bookwheel reads;
what else a body has goes to the engine as it came. Bookwheel's own objects are chat's.

An event's `type` is its name on the stream. `sequence_number` counts from 0; `output_index` says which item of the response
an event belongs to, `content_index` which of the item's parts.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Status = Literal["in_progress", "completed", "incomplete"]
ErrorCode = Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]
IncompleteReason = Literal["max_output_tokens", "content_filter"]


class ResponsesBody(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a response. Fields that are not named here are passed to the engine."""

    model: Annotated[str, Meta(examples=["qwen-long"])]
    input: Annotated[
        str | list[dict[str, Any]],
        Meta(
            description="The question, or items: messages with parts `input_text`, `input_image`, `input_file` and "
            "`output_text`; `function_call`, `function_call_output`, `reasoning`."
        ),
    ]
    instructions: Annotated[str | None, Meta(description="The role.")] = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    include: list[str] | None = None
    reasoning: Annotated[dict[str, Any] | None, Meta(description="`effort` goes to the engine.")] = None
    text: Annotated[
        dict[str, Any] | None, Meta(description="`format`: `text`, `json_object` or `json_schema`; `verbosity`.")
    ] = None
    tools: Annotated[list[dict[str, Any]] | None, Meta(description="Tools of the type `function`.")] = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    store: Annotated[bool | None, Meta(description="Nothing is stored, whatever it says.")] = None
    bookwheel: Annotated[
        dict[str, Any] | None,
        Meta(
            description="Options as in /chat/completions, but that `citations` is true unless it is set.",
            extra_json_schema={"$ref": "#/components/schemas/BookwheelOptions"},
        ),
    ] = None


class FileCitation(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="file_citation"):
    """A quote that stands in a document at this place and supports a sentence of the answer."""

    file_id: Annotated[str, Meta(description="Empty for a document that was given in the request.")]
    filename: str
    index: Annotated[int, Meta(description="Where in the text the citation belongs, in characters.")]
    quote: str
    anchor: Annotated[str, Meta(examples=["line 12"])]
    start: Annotated[int, Meta(description="Where the quote begins in the document's text, in characters.")]
    end: Annotated[int, Meta(description="Where it ends (excluded).")]
    answer_start: Annotated[int, Meta(description="Where the sentence it supports begins in the text, in characters.")]
    answer_end: int


class OutputText(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="output_text"):
    """What the answer says."""

    text: str
    annotations: list[FileCitation]
    logprobs: list[dict[str, Any]]


class OutputRefusal(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="refusal"):
    """Why the model does not answer."""

    refusal: str


class ReasoningText(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="reasoning_text"):
    """What the model thought."""

    text: str


MessagePart = OutputText | OutputRefusal
ContentPart = OutputText | OutputRefusal | ReasoningText


class OutputMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="message"):
    """The answer."""

    id: str
    status: Status
    role: Literal["assistant"] = "assistant"
    content: list[MessagePart]


class ReasoningItem(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="reasoning"):
    """What the model thought before it answered."""

    id: str
    status: Status
    summary: list[dict[str, Any]] = []
    content: list[ReasoningText]


class FunctionCall(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call"):
    """A call that the client is to make. `arguments` is JSON, unless the model got it wrong."""

    id: str
    status: Status
    call_id: str
    name: str
    arguments: str


OutputItem = OutputMessage | ReasoningItem | FunctionCall


class InputTokensDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What of the input the engine did not have to read again."""

    cached_tokens: int
    cache_write_tokens: int = 0


class OutputTokensDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What of the output was thought."""

    reasoning_tokens: int


class ResponsesUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine read and wrote, in its own tokens."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class FailureReason(msgspec.Struct, frozen=True, kw_only=True):
    """Why a response failed."""

    code: ErrorCode
    message: str


class IncompleteDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Why a response ends early."""

    reason: IncompleteReason


class ResponseObject(msgspec.Struct, frozen=True, kw_only=True):
    """A response. What the request said comes back with it."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    background: Literal[False] = False
    error: FailureReason | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None
    max_output_tokens: int | None
    model: str
    output: list[OutputItem]
    parallel_tool_calls: bool
    previous_response_id: None = None
    prompt_cache_key: str | None
    reasoning: dict[str, Any]
    safety_identifier: str | None
    store: Literal[False] = False
    temperature: float | None
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_logprobs: int
    top_p: float | None
    truncation: Literal["disabled"] = "disabled"
    usage: ResponsesUsage | None = None
    user: str | None
    metadata: dict[str, str]
    bookwheel: Annotated[Any | UnsetType, Meta(extra_json_schema={"$ref": "#/components/schemas/BookwheelReport"})] = (
        UNSET
    )


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    sequence_number: int


class ResponseCreated(_Event, frozen=True, kw_only=True, tag="response.created"):
    """The first event."""

    response: ResponseObject


class ResponseInProgress(_Event, frozen=True, kw_only=True, tag="response.in_progress"):
    """The second."""

    response: ResponseObject


class ResponseCompleted(_Event, frozen=True, kw_only=True, tag="response.completed"):
    """The last, with the whole response."""

    response: ResponseObject


class ResponseIncomplete(_Event, frozen=True, kw_only=True, tag="response.incomplete"):
    """The last where the answer was cut off, with all that there is."""

    response: ResponseObject


class ResponseFailed(_Event, frozen=True, kw_only=True, tag="response.failed"):
    """What could not be ended, with all that there is. An `error` event follows."""

    response: ResponseObject


class ItemAdded(_Event, frozen=True, kw_only=True, tag="response.output_item.added"):
    """An item begins."""

    output_index: int
    item: OutputItem


class ItemDone(_Event, frozen=True, kw_only=True, tag="response.output_item.done"):
    """An item is whole."""

    output_index: int
    item: OutputItem


class _OfItem(_Event, frozen=True, kw_only=True):
    item_id: str
    output_index: int


class _OfPart(_OfItem, frozen=True, kw_only=True):
    content_index: int


class PartAdded(_OfPart, frozen=True, kw_only=True, tag="response.content_part.added"):
    """A part of an item begins."""

    part: ContentPart


class PartDone(_OfPart, frozen=True, kw_only=True, tag="response.content_part.done"):
    """A part is whole."""

    part: ContentPart


class TextDelta(_OfPart, frozen=True, kw_only=True, tag="response.output_text.delta"):
    """More of the answer."""

    delta: str
    logprobs: list[dict[str, Any]]


class TextDone(_OfPart, frozen=True, kw_only=True, tag="response.output_text.done"):
    """All of the answer."""

    text: str
    logprobs: list[dict[str, Any]]


class AnnotationAdded(_OfPart, frozen=True, kw_only=True, tag="response.output_text.annotation.added"):
    """A citation. They come when the text is whole."""

    annotation_index: int
    annotation: FileCitation


class RefusalDelta(_OfPart, frozen=True, kw_only=True, tag="response.refusal.delta"):
    """More of a refusal."""

    delta: str


class RefusalDone(_OfPart, frozen=True, kw_only=True, tag="response.refusal.done"):
    """All of it."""

    refusal: str


class ReasoningDelta(_OfPart, frozen=True, kw_only=True, tag="response.reasoning_text.delta"):
    """More of what the model thinks."""

    delta: str


class ReasoningDone(_OfPart, frozen=True, kw_only=True, tag="response.reasoning_text.done"):
    """All of it."""

    text: str


class ArgumentsDelta(_OfItem, frozen=True, kw_only=True, tag="response.function_call_arguments.delta"):
    """More of a function call's arguments."""

    delta: str


class ArgumentsDone(_OfItem, frozen=True, kw_only=True, tag="response.function_call_arguments.done"):
    """All of them."""

    name: str
    arguments: str


class ErrorEvent(_Event, frozen=True, kw_only=True, tag="error"):
    """Ends a stream that failed. Stock SDKs raise `error`; other clients read `code`, `message` and `param` as documented."""

    code: str | None
    message: str
    param: str | None
    error: dict[str, Any]
    request_id: str


PartDelta = TextDelta | RefusalDelta | ReasoningDelta
ResponseEvent = (
    ResponseCreated
    | ResponseInProgress
    | ResponseCompleted
    | ResponseIncomplete
    | ResponseFailed
    | ItemAdded
    | ItemDone
    | PartAdded
    | PartDone
    | TextDelta
    | TextDone
    | AnnotationAdded
    | RefusalDelta
    | RefusalDone
    | ReasoningDelta
    | ReasoningDone
    | ArgumentsDelta
    | ArgumentsDone
    | ErrorEvent
)
