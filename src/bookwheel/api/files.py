"""The five calls of the Files API."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from bookwheel.accounts.rates import Rates
from bookwheel.api.json_body import JsonResponse
from bookwheel.api.operation import Operation, Parameter
from bookwheel.api.uploads import HEAD_BYTES, Upload, receive_upload
from bookwheel.conversion import convert
from bookwheel.errors import FileStillParsing, InvalidRequest, NotFound
from bookwheel.extraction.recognise import advice, is_readable, recognise
from bookwheel.files.files import BATCH_PURPOSE, DOCUMENT_PURPOSES, Files, NewFile
from bookwheel.ingest.ingest import Ingest, delete_file
from bookwheel.settings import LimitSettings
from bookwheel.storage.blobs import Blobs
from bookwheel.storage.files import ERROR, PROCESSED, UPLOADED, FileRecord
from bookwheel.wire.files import (
    FileDeleted,
    FileList,
    FileListQuery,
    FileObject,
    ParseReport,
    ReadingProgress,
    UploadFields,
)

_ID = Parameter("id", "path", {"type": "string"}, "A file's id.")
_PURPOSES = ["file-extract", "batch", "user_data", "assistants", "vision"]
_UPLOAD_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {
        "file": {"type": "string", "format": "binary"},
        "purpose": {"type": "string", "enum": _PURPOSES},
        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
        "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2_592_000},
    },
}


class FileCalls:
    """See the module."""

    def __init__(
        self,
        files: Files,
        blobs: Blobs,
        ingest: Ingest,
        rates: Rates,
        limits: LimitSettings,
        upload_wait_seconds: float,
    ) -> None:
        self._files = files
        self._blobs = blobs
        self._ingest = ingest
        self._rates = rates
        self._limits = limits
        self._upload_wait_seconds = upload_wait_seconds

    def operations(self) -> list[Operation]:
        original = Parameter("original", "query", {"type": "boolean"}, "The uploaded bytes instead of the text.")
        return [
            Operation(
                "POST", "/files", "createFile", "Upload a file", self.create, FileObject,
                form=_UPLOAD_FORM, errors=(400, 429),
            ),
            Operation(
                "GET", "/files", "listFiles", "List files", self.list_files, FileList,
                parameters=_list_parameters(), errors=(400, 429),
            ),
            Operation(
                "GET", "/files/{id}", "retrieveFile", "Retrieve a file", self.retrieve, FileObject,
                parameters=(_ID,), errors=(404, 429),
            ),
            Operation(
                "DELETE", "/files/{id}", "deleteFile", "Delete a file and all that was made of it", self.delete, FileDeleted,
                parameters=(_ID,), errors=(404, 429),
            ),
            Operation(
                "GET", "/files/{id}/content", "retrieveFileContent", "The extracted text, or a batch's lines", self.content,
                None, raw_answer=True, parameters=(_ID, original), errors=(400, 404, 429),
            ),
        ]  # fmt: skip

    async def create(self, request: Request, account_id: str) -> JsonResponse:
        self._rates.count(account_id, "file upload")
        async with receive_upload(request, self._blobs, self._limits) as upload:
            new = _new_file(upload)
            assert upload.blob is not None  # noqa: S101 - _new_file saw to it
            file = await self._files.create(account_id, upload.blob, new)
        if file.status == UPLOADED:
            self._ingest.wake(file.file_id)
            if await self._ingest.wait([file.file_id], self._upload_wait_seconds):
                file = (await self._files.find(account_id, [file.file_id])).get(file.file_id, file)
        return JsonResponse(self._file_object(file))

    async def list_files(self, request: Request, account_id: str) -> JsonResponse:
        self._rates.count(account_id, "file list")
        query = convert(dict(request.query_params), FileListQuery, strict=False)
        page = await self._files.page(
            account_id, after=query.after, limit=query.limit, descending=query.order == "desc", purpose=query.purpose
        )
        data = [self._file_object(file) for file in page.files]
        first, last = (data[0].id, data[-1].id) if data else (None, None)
        return JsonResponse(FileList(data=data, has_more=page.has_more, first_id=first, last_id=last))

    async def retrieve(self, request: Request, account_id: str) -> JsonResponse:
        self._rates.count(account_id, "file retrieve")
        return JsonResponse(self._file_object(await self._files.get(account_id, request.path_params["id"])))

    async def delete(self, request: Request, account_id: str) -> JsonResponse:
        self._rates.count(account_id, "file delete")
        file_id = request.path_params["id"]
        await self._files.get(account_id, file_id)
        await delete_file(self._files, self._ingest, account_id, file_id)
        return JsonResponse(FileDeleted(id=file_id))

    async def content(self, request: Request, account_id: str) -> Response:
        self._rates.count(account_id, "file content")
        file = await self._files.get(account_id, request.path_params["id"])
        if convert(dict(request.query_params), _ContentQuery, strict=False).original:
            return _send(self._files.original_path(file), "application/octet-stream", file.filename)
        if file.purpose not in DOCUMENT_PURPOSES:
            return _send(self._files.original_path(file), "application/jsonl", file.filename)
        if file.status == ERROR:
            raise InvalidRequest(file.status_details or f"File [id:{file.file_id}] parsing error.", param="id")
        if file.status != PROCESSED:
            raise FileStillParsing
        return _send(self._files.text_path(file), "text/plain; charset=utf-8", f"{file.filename}.txt")

    def _file_object(self, file: FileRecord) -> FileObject:
        progress = self._ingest.progress(file.file_id) if file.status == UPLOADED else None
        return file_object(file, progress)


class _ContentQuery(msgspec.Struct):
    original: bool = False


def file_object(file: FileRecord, progress: ReadingProgress | None) -> FileObject:
    """A file as the wire has it, and how far its reading is. Purpose and status were checked before they became a row."""
    report = msgspec.json.decode(file.report, type=ParseReport) if file.report else msgspec.UNSET
    return FileObject(
        id=file.file_id,
        bytes=file.size_bytes,
        created_at=file.created_at,
        filename=file.filename,
        purpose=file.purpose,  # type: ignore[arg-type]
        status=file.status,  # type: ignore[arg-type]
        status_details=_in_words(progress) if progress else file.status_details,
        expires_at=msgspec.UNSET if file.expires_at is None else file.expires_at,
        bookwheel=ParseReport(progress=progress) if progress else report,
    )


def _in_words(progress: ReadingProgress) -> str:
    of_all = f" of {progress.total}" if progress.total else ""
    return f"reading {progress.unit} {progress.number}{of_all}"


def _new_file(upload: Upload) -> NewFile:
    """What an upload says of itself. Raises InvalidRequest where it does not say it, or cannot be read."""
    if upload.blob is None:
        raise InvalidRequest("The part 'file' is missing.", param="file")
    fields = convert(_nested(upload.fields), UploadFields, strict=False)
    if fields.purpose == BATCH_PURPOSE:
        if upload.head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"{":
            raise InvalidRequest("Input file format is not supported.", param="Recognised: not JSONL.")
    else:
        whole = len(upload.head) < HEAD_BYTES
        file_type = recognise(upload.head, upload.filename)
        if not is_readable(file_type) and (upload.head or not whole):
            param = f"Recognised: {file_type}. {advice(file_type)}".rstrip()
            raise InvalidRequest("Input file format is not supported.", param=param)
    seconds = fields.expires_after.seconds if fields.expires_after else None
    return NewFile(upload.filename, fields.purpose, seconds)


def _nested(fields: dict[str, str]) -> dict[str, Any]:
    """`expires_after[seconds]` as forms have it, nested."""
    nested: dict[str, Any] = {}
    for name, value in fields.items():
        outer, bracket, inner = name.partition("[")
        if bracket:
            table = nested.setdefault(outer, {})
            if isinstance(table, dict):
                table[inner.rstrip("]")] = value
        else:
            nested[name] = value
    return nested


def _send(path: Path, media_type: str, filename: str) -> FileResponse:
    """A stored file, streamed. Raises NotFound when it was deleted just now."""
    if not path.is_file():
        raise NotFound("No such File object: it was deleted just now.", param="id")
    disposition = f"attachment; filename*=utf-8''{quote(filename)}"
    headers = {"content-disposition": disposition, "x-content-type-options": "nosniff"}
    return FileResponse(path, media_type=media_type, headers=headers)


def _list_parameters() -> tuple[Parameter, ...]:
    return (
        Parameter("after", "query", {"type": "string"}, "The id of the last file of the page before."),
        Parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": 2000, "default": 2000}),
        Parameter("order", "query", {"type": "string", "enum": ["asc", "desc"], "default": "desc"}, "By created_at."),
        Parameter("purpose", "query", {"type": "string", "enum": [*_PURPOSES, "batch_output"]}),
    )
