"""Shapes of the Batches API, and of the lines of a batch's files. Shapes only."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from bookwheel.wire.files import ExpiresAfter

BatchStatus = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]
BatchEndpoint = Literal["/v1/chat/completions", "/v1/embeddings", "/v1/chat/ds-test"]


class BatchCreate(msgspec.Struct, frozen=True, kw_only=True):
    """A request to run a file of lines."""

    input_file_id: Annotated[str, Meta(description="An uploaded file of the purpose `batch`.")]
    endpoint: Annotated[BatchEndpoint, Meta(description="The `url` of every line.")]
    completion_window: Annotated[
        str, Meta(description="How long it may take: `24h` to `336h`, or `1d` to `14d`.", examples=["24h"])
    ]
    metadata: Annotated[
        dict[str, str] | None,
        Meta(
            description="At most 16 pairs: keys of up to 64 characters, values of up to 512. `ds_name` (100) and "
            "`ds_description` (200) name and describe the batch; `ds_batch_finish_callback` is a URL that is told of its end."
        ),
    ] = None
    output_expires_after: Annotated[
        ExpiresAfter | None, Meta(description="When the output and error files are deleted by themselves.")
    ] = None


class BatchError(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with an input file."""

    code: Annotated[str, Meta(examples=["duplicate_custom_id"])]
    message: str
    line: Annotated[int | None, Meta(description="The line of the file, from 1.")] = None
    param: Annotated[str | None, Meta(examples=["body.model"])] = None


class BatchErrors(msgspec.Struct, frozen=True, kw_only=True):
    """All that was found, up to a hundred."""

    object: Literal["list"] = "list"
    data: list[BatchError]


class RequestCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many lines there are, and how they ended. A line is counted when its result is on disk."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class BatchProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How a batch that is in progress goes on."""

    lines_per_second: Annotated[float, Meta(description="Of late.")]
    seconds_left: Annotated[float | None, Meta(description="At that rate; null: not known yet.")] = None
    waiting: Annotated[
        str | None, Meta(description="What keeps lines from being answered: an engine that is down, files being read.")
    ] = None


class BatchObject(msgspec.Struct, frozen=True, kw_only=True):
    """A batch. Times are Unix seconds, null until they come."""

    id: Annotated[str, Meta(examples=["batch_6f1f2c1e-58b4-4b5c-9d0c-0d8f8a0a9a11"])]
    object: Literal["batch"] = "batch"
    endpoint: BatchEndpoint
    model: Annotated[str | None, Meta(description="The model of its lines; null until they are validated.")] = None
    errors: BatchErrors | None = None
    input_file_id: str
    completion_window: str
    status: BatchStatus
    output_file_id: Annotated[
        str | None, Meta(description="Lines that were answered; null until the end, or where there are none.")
    ] = None
    error_file_id: Annotated[
        str | None, Meta(description="Lines that failed; null until the end, or where there are none.")
    ] = None
    created_at: int
    in_progress_at: int | None = None
    expires_at: int
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: RequestCounts
    metadata: dict[str, str] | None = None
    bookwheel: BatchProgress | UnsetType = UNSET


class BatchList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of batches, newest first."""

    object: Literal["list"] = "list"
    data: list[BatchObject]
    has_more: bool
    first_id: str | None
    last_id: str | None


class BatchListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query of a listing. Lists are separated by commas."""

    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    ds_name: str | None = None
    input_file_ids: str | None = None
    status: str | None = None
    create_after: str | None = None
    create_before: str | None = None


class LineResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What the same request would have been answered."""

    status_code: int
    request_id: str
    body: Any


class LineError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a line has no answer."""

    code: str
    message: str


class LineResult(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an output or error file."""

    id: str
    custom_id: str
    response: LineResponse | None
    error: LineError | None
