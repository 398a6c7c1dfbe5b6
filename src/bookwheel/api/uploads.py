"""Takes a multipart upload in: bytes go to disk as they arrive, sizes are checked as they arrive, nothing is held.

The file's type is told from its first bytes; what cannot be read is refused before it is stored.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header
from starlette.requests import Request

from bookwheel.errors import InvalidRequest
from bookwheel.extraction.recognise import IMAGES, recognise
from bookwheel.files.files import BATCH_PURPOSE, plain_filename
from bookwheel.settings import MB, LimitSettings
from bookwheel.storage.blobs import Blobs, IncomingBlob

WRITE_BYTES = MB
HEAD_BYTES = 64 * 1024
LONGEST_FIELD_BYTES = 16 * 1024
MOST_SEGMENTS = 32
DISCARD_BYTES = 64 * MB
"""How much of a refused upload is still taken off the wire, so that a client that sends before it reads sees the answer."""


@dataclass(slots=True)
class Upload:
    """A multipart body that arrived whole. The one who gets it keeps or discards `blob`."""

    fields: dict[str, str] = field(default_factory=dict)
    blob: IncomingBlob | None = None
    filename: str = ""
    head: bytes = b""


@asynccontextmanager
async def receive_upload(request: Request, blobs: Blobs, limits: LimitSettings) -> AsyncIterator[Upload]:
    """The upload in a request's body; its blob is discarded at the end unless it was kept.

    Raises InvalidRequest: not multipart, broken off, too large.
    """
    receiver = _Receiver(blobs, limits)
    try:
        await receiver.receive(request)
        yield receiver.upload
    finally:
        if receiver.upload.blob is not None:
            receiver.upload.blob.discard()


class _Receiver:
    """Follows the parser's events from segment to segment."""

    def __init__(self, blobs: Blobs, limits: LimitSettings) -> None:
        self.upload = Upload()
        self._blobs = blobs
        self._limits = limits
        self._segment: MultipartSegment | None = None
        self._field = bytearray()
        self._unwritten = bytearray()
        self._is_image = False

    async def receive(self, request: Request) -> None:
        stream = request.stream()
        try:
            with _parser(request) as parser:
                async for data in stream:
                    for event in parser.parse(data) if data else ():
                        await self._take(event)
        except MultipartError as error:
            raise InvalidRequest(f"The multipart body is broken: {error}.") from None
        except InvalidRequest:
            await _discard_rest(stream)
            raise

    async def _take(self, event: MultipartSegment | bytearray | bytes | None) -> None:
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif event is not None:
            await self._add(event)
        else:
            await self._end()

    def _begin(self, segment: MultipartSegment) -> None:
        self._segment = segment
        if segment.name == "file":
            if self.upload.blob is not None:
                raise InvalidRequest("Only one 'file' can be uploaded in a request.", param="file")
            self.upload.filename = plain_filename(segment.filename or "", "upload")
            self.upload.blob = self._blobs.new_incoming()

    async def _add(self, data: bytearray | bytes) -> None:
        if self._is_file():
            self._unwritten += data
            self._check_size()
            if len(self._unwritten) >= WRITE_BYTES:
                await self._write()
            return
        self._field += data
        if len(self._field) > LONGEST_FIELD_BYTES:
            raise InvalidRequest(f"The field '{self._name()[:80]}' is too long.", param=self._name()[:80])

    async def _end(self) -> None:
        if self._is_file():
            await self._write()
        else:
            self.upload.fields[self._name()] = self._field.decode("utf-8", "replace")
            self._field.clear()
            self._check_size()  # the purpose may come after the file

    async def _write(self) -> None:
        assert self.upload.blob is not None  # noqa: S101 - made when its segment began
        if len(self.upload.head) < HEAD_BYTES:
            self.upload.head += bytes(self._unwritten[: HEAD_BYTES - len(self.upload.head)])
            self._is_image = recognise(self.upload.head, self.upload.filename) in IMAGES
        await self.upload.blob.write(bytes(self._unwritten))
        self._unwritten.clear()

    def _check_size(self) -> None:
        blob = self.upload.blob
        if blob is not None and blob.size_bytes + len(self._unwritten) > self._limit_bytes():
            raise InvalidRequest("Payload Too Large.", param="file")

    def _limit_bytes(self) -> int:
        """By the purpose; while that is not known, the largest there is."""
        purpose = self.upload.fields.get("purpose")
        if purpose is None:
            return max(self._limits.document_mb, self._limits.batch_mb) * MB
        if purpose == BATCH_PURPOSE:
            return self._limits.batch_mb * MB
        return (self._limits.image_mb if self._is_image else self._limits.document_mb) * MB

    def _is_file(self) -> bool:
        return self._name() == "file"

    def _name(self) -> str:
        return self._segment.name if self._segment else ""


def _parser(request: Request) -> PushMultipartParser:
    content_type, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get("boundary", "")
    if content_type != "multipart/form-data" or not boundary:
        raise InvalidRequest("An upload is multipart/form-data with the parts 'file' and 'purpose'.")
    return PushMultipartParser(boundary, max_segment_count=MOST_SEGMENTS)


async def _discard_rest(stream: AsyncIterator[bytes]) -> None:
    discarded = 0
    async for data in stream:
        discarded += len(data)
        if discarded > DISCARD_BYTES:
            return
