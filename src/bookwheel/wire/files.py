"""Shapes of the Files API. Shapes only."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

FilePurpose = Literal["file-extract", "batch", "user_data", "assistants", "vision"]
FileStatus = Literal["uploaded", "processed", "error"]


class ReadingProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the reading of a file is."""

    unit: Annotated[str, Meta(examples=["page"], description="What is counted: page, slide, sheet, section, picture.")]
    number: Annotated[int, Meta(description="The one that is being read, from 1.")]
    total: Annotated[int | None, Meta(description="How many there are; null: not known yet.")] = None


class ParseReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was found in a file that was read, or how far its reading is. What does not apply is left out."""

    type: Annotated[str | None, Meta(examples=["PDF"], description="The type that was recognised.")] = None
    encoding: Annotated[str | None, Meta(description="Of a text file.")] = None
    pages: Annotated[int | None, Meta(description="Pages, slides, or frames of an image.")] = None
    sheets: int | None = None
    sections: int | None = None
    ocr_pages: Annotated[int | None, Meta(description="Pages whose text was recognised in their picture.")] = None
    ocr_pictures: Annotated[int | None, Meta(description="Pictures inside it whose text was recognised.")] = None
    blank_pages: int | None = None
    characters: int | None = None
    tokens: int | None = None
    seconds: Annotated[float | None, Meta(description="From the beginning of its reading to the end.")] = None
    warnings: tuple[str, ...] = ()
    progress: ReadingProgress | None = None


class FileObject(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a user uploaded."""

    id: Annotated[str, Meta(examples=["file-fe-k3TbV0e1aYxq9R7mWn2ZcD4s"])]
    object: Literal["file"] = "file"
    bytes: Annotated[int, Meta(description="Size of the uploaded file.")]
    created_at: Annotated[int, Meta(description="Unix seconds.")]
    filename: str
    purpose: FilePurpose | Literal["batch_output"]
    status: FileStatus
    status_details: Annotated[str | None, Meta(description="Why the status is `error`, or how far it is.")] = None
    expires_at: Annotated[int | UnsetType, Meta(description="Unix seconds; absent: kept until deleted.")] = UNSET
    bookwheel: Annotated[ParseReport | UnsetType, Meta(description="What was found in it.")] = UNSET


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
