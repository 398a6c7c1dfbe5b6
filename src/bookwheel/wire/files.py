"""Shapes of the Files API. Shapes only."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

FilePurpose = Literal["file-extract", "batch", "user_data", "assistants", "vision"]
FileStatus = Literal["uploaded", "processed", "error"]


class FileObject(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a user uploaded."""

    id: Annotated[str, Meta(examples=["file-fe-k3TbV0e1aYxq9R7mWn2ZcD4s"])]
    object: Literal["file"] = "file"
    bytes: Annotated[int, Meta(description="Size of the uploaded file.")]
    created_at: Annotated[int, Meta(description="Unix seconds.")]
    filename: str
    purpose: FilePurpose | Literal["batch_output"]
    status: FileStatus
    status_details: Annotated[str | None, Meta(description="Why the status is `error`, in words.")] = None
    expires_at: Annotated[int | UnsetType, Meta(description="Unix seconds; absent: kept until deleted.")] = UNSET


class FileList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of files."""

    object: Literal["list"] = "list"
    data: list[FileObject]
    has_more: bool
    first_id: str | None
    last_id: str | None


class FileDeleted(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a deletion."""

    id: str
    object: Literal["file"] = "file"
    deleted: bool = True


class FileListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query of a listing."""

    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=2000)] = 2000
    order: Literal["asc", "desc"] = "desc"
    purpose: FilePurpose | Literal["batch_output"] | None = None


class ExpiresAfter(msgspec.Struct, frozen=True, kw_only=True):
    """When a file is to be deleted by itself."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Meta(ge=3_600, le=2_592_000)]


class UploadFields(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of an upload beside the file itself."""

    purpose: FilePurpose
    expires_after: ExpiresAfter | None = None
