"""Takes in the files that come within a request: parts with `file_data`, a file's bytes as base64.

Each becomes a file of the account, which its listings do not show; the part then names that file's id, and everything
after is as with an uploaded file. The same bytes under the same name are found again, and not read again, until an hour
after the last request that gave them. Nothing is fetched, and nothing is read as a document here.
"""

import asyncio
import time
from binascii import a2b_base64
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from bookwheel.answering.conversation import Message, file_in, place_in
from bookwheel.answering.documents import Reader
from bookwheel.errors import InvalidRequest
from bookwheel.extraction.recognise import HEAD_BYTES, IMAGES, advice, is_readable, recognise
from bookwheel.files.files import ATTACHED_SECONDS, Files, NewFile, plain_filename
from bookwheel.logs import log
from bookwheel.settings import MB, LimitSettings
from bookwheel.storage.files import ATTACHED, FileRecord

SLICE_CHARACTERS = 512 * 1024
"""Decoded at once, in some 2 ms, which others wait for. A multiple of 4."""
LONGEST_HEAD_CHARACTERS = 1_024
"""Of a data URL, up to its comma."""
NAMELESS = "document"

_STANDARD = bytes.maketrans(b"-_", b"+/")
_SPACES = b"\r\n\t "
_TEXT_SUFFIXES = {
    "text/markdown": ".md",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "text/html": ".html",
    "application/json": ".json",
    "application/jsonl": ".jsonl",
}
"""By media type, for kinds of text: their content does not tell them apart."""


@dataclass(frozen=True, slots=True)
class _Given:
    """Base64 as a part has it, and the name with it. `place` is where it stands in the request."""

    data: str
    filename: str | None
    place: str

    @property
    def key(self) -> tuple[str, str | None]:
        return self.data, self.filename


@dataclass(frozen=True, slots=True)
class _Part:
    """A part with data: number `number` of a message's `content`. `file` is the object in it that has the data."""

    content: list[Message]
    number: int
    file: dict[str, Any]
    given: _Given


@dataclass(frozen=True, slots=True)
class _Examined:
    """What was found when all of it was decoded. `suffix` is what a name for it would end in."""

    given: _Given
    sha256: str
    suffix: str


@dataclass(frozen=True, slots=True)
class _Attachment:
    """A file to be taken in."""

    data: str
    sha256: str
    filename: str


class Attachments:
    """See the module. To be called from one event loop."""

    def __init__(self, files: Files, reader: Reader, limits: LimitSettings) -> None:
        self._files = files
        self._reader = reader
        self._limits = limits
        self._under_way: dict[tuple[str, str, str], asyncio.Task[str]] = {}

    async def take(self, account_id: str, messages: list[Message]) -> None:
        """Take the files in, and put their ids in their place: in the messages themselves, so that no base64 is held.

        Raises InvalidRequest whose `param` names the part, and QuotaReached; then the messages are as they were.
        """
        parts = list(_parts_with_data(messages))
        if not parts:
            return
        distinct: dict[tuple[str, str | None], _Given] = {}
        for part in parts:
            distinct.setdefault(part.given.key, part.given)
        if len(distinct) > self._limits.files_per_request:
            raise InvalidRequest("Too many files provided.", param="messages")
        attachments = await asyncio.to_thread(_examine_all, list(distinct.values()), self._limits)
        taken = {
            key: {"file_id": await self._take_in(account_id, attachment), "filename": attachment.filename}
            for key, attachment in zip(distinct, attachments, strict=True)
        }
        for part in parts:
            part.content[part.number] = {"type": "file", "file": taken[part.given.key]}
            part.file.pop("file_data", None)  # others may hold the part as it was

    async def _take_in(self, account_id: str, attachment: _Attachment) -> str:
        """Its file id. Requests that give the same at once share the work, and one that goes away does not end it:
        bytes without a row would stay, and a row that nobody was woken for would not be read."""
        key = (account_id, attachment.sha256, attachment.filename)
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._find_or_keep(account_id, attachment))
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)

    def _forget(self, key: tuple[str, str, str], task: asyncio.Task[str]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # who waited was told; where nobody did, nobody is to be

    async def _find_or_keep(self, account_id: str, attachment: _Attachment) -> str:
        started = time.perf_counter()
        known = await self._files.find_attached(account_id, attachment.sha256, attachment.filename)
        file = known or await self._keep(account_id, attachment)
        seconds = round(time.perf_counter() - started, 3)
        size, is_known = file.size_bytes, known is not None
        log.info("file attached", file_id=file.file_id, size_bytes=size, is_known=is_known, seconds=seconds)
        return file.file_id

    async def _keep(self, account_id: str, attachment: _Attachment) -> FileRecord:
        """Keep it as a new file, decoded piece by piece once more: it is never whole in memory but as it came."""
        incoming = self._files.receive()
        try:
            pieces = _decode(attachment.data)
            while piece := await asyncio.to_thread(next, pieces, b""):
                await incoming.write(piece)
            new = NewFile(attachment.filename, ATTACHED, ATTACHED_SECONDS)
            file = await self._files.create(account_id, incoming, new)
        finally:
            incoming.discard()
        self._reader.wake(file.file_id)
        return file


def _parts_with_data(messages: list[Message]) -> Iterator[_Part]:
    """In the order of the request. Raises InvalidRequest."""
    for message_number, message in enumerate(messages):
        content = message.get("content")
        if not isinstance(content, list):
            continue
        for number, part in enumerate(content):
            file = file_in(part)
            if file is not None and file.get("file_data"):
                place = place_in(part, f"messages[{message_number}].content[{number}]")
                yield _Part(content, number, file, _given(file, place))


def _given(file: dict[str, Any], place: str) -> _Given:
    if file.get("file_id") or file.get("file_url"):
        raise InvalidRequest("A file part has either file_id or file_data, not several of them.", param=place)
    data, filename = file["file_data"], file.get("filename")
    if not isinstance(data, str):
        raise InvalidRequest(f"Invalid '{place}.file_data': Expected base64 text.", param=f"{place}.file_data")
    if filename is not None and not isinstance(filename, str):
        raise InvalidRequest(f"Invalid '{place}.filename': Expected text.", param=f"{place}.filename")
    return _Given(data, filename, place)


def _examine_all(given: list[_Given], limits: LimitSettings) -> list[_Attachment]:
    return _named([_examine(one, limits) for one in given])


def _examine(given: _Given, limits: LimitSettings) -> _Examined:
    """Decode all of it, for its hash, its type and its size. In a thread: 64 MB take some half a second."""
    place = f"{given.place}.file_data"
    digest, head, size_bytes = sha256(), b"", 0
    try:
        for piece in _decode(given.data):
            digest.update(piece)
            head += piece[: max(0, HEAD_BYTES - len(head))]
            size_bytes += len(piece)
            _check_size(size_bytes, limits.document_mb, place)
    except ValueError:
        what = "Expected a file's bytes as base64, alone or after data:MEDIA-TYPE;base64,"
        raise InvalidRequest(f"Invalid '{place}': {what}", param=place) from None
    suffix = _TEXT_SUFFIXES.get(_media_type(given.data), "")
    file_type = recognise(head, given.filename or f"{NAMELESS}{suffix}")
    if not size_bytes:
        raise InvalidRequest(f"Invalid '{place}': The file is empty.", param=place)
    if not is_readable(file_type):
        what = f"Recognised: {file_type}. {advice(file_type)}".rstrip()
        raise InvalidRequest(f"Input file format is not supported. {what}", param=place)
    if file_type in IMAGES:
        _check_size(size_bytes, limits.image_mb, place)
    return _Examined(given, digest.hexdigest(), suffix or _suffix_of(file_type))


def _check_size(size_bytes: int, limit_mb: int, place: str) -> None:
    if size_bytes > limit_mb * MB:
        raise InvalidRequest("Payload Too Large.", param=place)


def _suffix_of(file_type: str) -> str:
    """`.pdf` of PDF, `.png` of PNG image; empty for what the first bytes do not tell."""
    name, _, kind = file_type.partition(" ")
    return f".{name.lower()}" if kind in ("", "image") else ""


def _named(examined: list[_Examined]) -> list[_Attachment]:
    """Give those without a name one: `document.pdf`, then `document-2.pdf`, so that the engine can tell them apart."""
    nameless: dict[str, str] = {}
    attachments: list[_Attachment] = []
    for one in examined:
        name = plain_filename(one.given.filename or "", "")
        if not name:
            number = f"-{len(nameless) + 1}" if nameless else ""
            name = nameless.setdefault(one.sha256, f"{NAMELESS}{number}{one.suffix}")
        attachments.append(_Attachment(one.given.data, one.sha256, name))
    return attachments


def _media_type(data: str) -> str:
    """The media type of a data URL, without its parameters; empty where there is none."""
    return data[5 : _head_end(data)].partition(",")[0].partition(";")[0].strip().lower()


def _head_end(data: str) -> int:
    """Where the base64 begins. Raises ValueError for a data URL of another kind."""
    if data[:5].lower() != "data:":
        return 0
    comma = data.find(",", 0, LONGEST_HEAD_CHARACTERS)
    if comma < 0 or not data[:comma].lower().endswith(";base64"):
        raise ValueError("not a data URL of base64")
    return comma + 1


def _decode(data: str) -> Iterator[bytes]:
    """The bytes, piece by piece, none empty. Both alphabets, line ends, and no padding are let pass. Raises ValueError."""
    rest, is_over = b"", False
    for start in range(_head_end(data), len(data), SLICE_CHARACTERS):
        text = rest + data[start : start + SLICE_CHARACTERS].encode("ascii").translate(_STANDARD, _SPACES)
        if is_over and text:
            raise ValueError("more after the padding")
        whole = len(text) - len(text) % 4
        rest = text[whole:]
        if whole:
            yield a2b_base64(text[:whole], strict_mode=True)
            is_over = text.endswith(b"=", 0, whole)
    if is_over and rest:
        raise ValueError("more after the padding")
    if rest:
        yield a2b_base64(rest + b"=" * (4 - len(rest)), strict_mode=True)
