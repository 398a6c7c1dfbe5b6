"""Gets the documents of a request: checks that they may be read, waits for those still being read, and brings their text
or their index."""

import asyncio
import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from cachetools import LRUCache

from bookwheel.answering.conversation import Conversation, DocumentSource, FileReference, InlineDocument
from bookwheel.document import BlockKind, BlockSpan
from bookwheel.engines.engine import ShownDocument, whole_document
from bookwheel.errors import BadDocument, FileStillParsing, InvalidRequest
from bookwheel.files.files import READ_PURPOSES, Files
from bookwheel.indexing.artefact import IndexDamaged
from bookwheel.indexing.index import build_index
from bookwheel.indexing.shelf import IndexedDocument, size_of
from bookwheel.settings import LimitSettings
from bookwheel.storage.files import ERROR, PROCESSED, FileRecord
from bookwheel.tokens import count_tokens


class Reader(Protocol):
    """Reads files behind the requests. Time-outs are in seconds; what waits says whether it was done in time."""

    def wake(self, file_id: str) -> None:
        """Have a new file read."""

    async def wait(self, file_ids: Collection[str], timeout_seconds: float) -> bool:
        """Wait until none of the files is being read."""

    async def wait_for_index(self, file_ids: Collection[str], timeout_seconds: float) -> bool:
        """Have files indexed anew, and wait for it."""

    async def index_text(self, text: str, title: str) -> IndexedDocument:
        """Index a text in a worker. Raises BadDocument."""


COUNT_IN_THREAD_CHARACTERS = 20_000
INDEX_HERE_CHARACTERS = 20_000
"""Up to so much inline text is indexed in a thread, in some 20 ms; a worker would take longer to be told."""
INLINE_INDEX_BYTES = 64 * 1024 * 1024
LONGEST_SHOWN_ID = 80
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class DocumentDesk:
    """Where a request's documents come from. `wait_seconds` is how long a question waits for files being read."""

    files: Files
    reader: Reader
    wait_seconds: float
    limits: LimitSettings
    _inline: LRUCache[bytes, IndexedDocument] = field(
        default_factory=lambda: LRUCache(INLINE_INDEX_BYTES, getsizeof=size_of)
    )

    async def check(self, account_id: str, conversation: Conversation) -> dict[str, FileRecord]:
        """The files that a conversation names, all read. Raises InvalidRequest, in the wire contract's words."""
        named = conversation.files()
        if len(named) > self.limits.files_per_request:
            raise InvalidRequest("Too many files provided.", param="messages")
        if not named:
            return {}
        found = await self._find(account_id, named)
        unread = [file_id for file_id, file in found.items() if file.status not in (PROCESSED, ERROR)]
        if unread:
            if not await self.reader.wait(unread, self.wait_seconds):
                raise FileStillParsing
            found |= await self._find_again(account_id, unread)
        for reference in named:
            _check_outcome(found[reference.file_id], reference.place)
        return found

    async def bring(
        self, conversation: Conversation, files: dict[str, FileRecord], tokens: "DocumentTokens"
    ) -> dict[DocumentSource, ShownDocument]:
        """The text of every document. Raises InvalidRequest when one was deleted since it was checked."""
        shown = dict[DocumentSource, ShownDocument]()
        for source in conversation.documents():
            if isinstance(source, InlineDocument):
                shown[source] = whole_document(inline_title(source), source.text, tokens.inline[source.number])
                continue
            file = files[source.file_id]
            try:
                text = await self.files.text(file)
            except FileNotFoundError:
                raise _cannot_be_found(file.file_id) from None
            shown[source] = whole_document(file.filename, text, file.tokens or 0, file.file_id)
        return shown

    async def open_indexed(self, conversation: Conversation, files: dict[str, FileRecord]) -> list[IndexedDocument]:
        """The index and text of every document, in the conversation's order.

        Raises InvalidRequest when a file was deleted since it was checked, or cannot be indexed.
        """
        opened = await self.open_files(files)
        return [
            await self._index_inline(source) if isinstance(source, InlineDocument) else opened[source.file_id]
            for source in conversation.documents()
        ]

    async def open_files(self, files: dict[str, FileRecord]) -> dict[str, IndexedDocument]:
        """The index and text of files, by id. Those whose index is not there are indexed first. Raises as `open_indexed`."""
        opened = await asyncio.to_thread(self._open_all, files.values())
        missing = [file for file in files.values() if file.file_id not in opened]
        if missing:
            if not await self.reader.wait_for_index([file.file_id for file in missing], self.wait_seconds):
                raise FileStillParsing
            opened |= await asyncio.to_thread(self._open_all, missing)
        for file_id in files.keys() - opened.keys():
            raise self._why_not_opened(file_id)
        return opened

    def _open_all(self, files: Iterable[FileRecord]) -> dict[str, IndexedDocument]:
        """Those of the files whose index is there and of this version."""
        opened = {}
        for file in files:
            try:
                opened[file.file_id] = self.files.indexed(file)
            except FileNotFoundError:
                pass
            except IndexDamaged:
                self.files.index_path(file.file_id).unlink(missing_ok=True)
        return opened

    def _why_not_opened(self, file_id: str) -> InvalidRequest:
        if not self.files.is_kept(file_id):
            return _cannot_be_found(file_id)
        return InvalidRequest(
            f"File [id:{file_id}] parsing error. Its index could not be built: upload it again.", param="messages"
        )

    async def _index_inline(self, source: InlineDocument) -> IndexedDocument:
        key = hashlib.sha256(source.text.encode(errors="replace")).digest()
        document = self._inline.get(key)
        if document is None:
            title = inline_title(source)
            if len(source.text) <= INDEX_HERE_CHARACTERS:
                document = await asyncio.to_thread(_index_text, source.text, title)
            else:
                try:
                    document = await self.reader.index_text(source.text, title)
                except BadDocument as problem:
                    raise InvalidRequest(
                        f"The document {title} cannot be read: {problem.reason}", param="messages"
                    ) from None
            if size_of(document) <= self._inline.maxsize:
                self._inline[key] = document
        return document

    async def _find(self, account_id: str, named: list[FileReference]) -> dict[str, FileRecord]:
        found = await self.files.find(account_id, [reference.file_id for reference in named])
        for reference in named:
            file = found.get(reference.file_id)
            if file is None or file.purpose not in READ_PURPOSES:
                shown = reference.file_id[:LONGEST_SHOWN_ID]
                raise InvalidRequest(f"Invalid file [id:{shown}].", param=reference.place)
        return found

    async def _find_again(self, account_id: str, file_ids: list[str]) -> dict[str, FileRecord]:
        """Files that were there a moment ago."""
        found = await self.files.find(account_id, file_ids)
        for file_id in file_ids:
            if file_id not in found:
                raise _cannot_be_found(file_id)
        return found


@dataclass(frozen=True, slots=True)
class DocumentTokens:
    """How large the documents are: the files' tokens in all, and each inline document's by its number."""

    in_files: int
    inline: dict[int, int]

    @property
    def total(self) -> int:
        return self.in_files + sum(self.inline.values())


async def count_documents(conversation: Conversation, files: dict[str, FileRecord]) -> DocumentTokens:
    """Size the documents; files were counted when they were read."""
    texts = {source.number: source.text for source in conversation.documents() if isinstance(source, InlineDocument)}
    inline = {number: await count_tokens_aside(text) for number, text in texts.items()}
    return DocumentTokens(sum(file.tokens or 0 for file in files.values()), inline)


async def count_tokens_aside(text: str) -> int:
    """Count a text's tokens, a long one's in a thread."""
    if len(text) < COUNT_IN_THREAD_CHARACTERS:
        return count_tokens(text)
    return await asyncio.to_thread(count_tokens, text)


def _check_outcome(file: FileRecord, place: str) -> None:
    if file.status == ERROR:
        raise InvalidRequest(file.status_details or f"File [id:{file.file_id}] parsing error.", param=place)
    if file.status != PROCESSED:
        raise FileStillParsing


def _cannot_be_found(file_id: str) -> InvalidRequest:
    return InvalidRequest(f"File [id:{file_id}] cannot be found.", param="messages")


def _index_text(text: str, title: str) -> IndexedDocument:
    """The index of a short text. Its anchors are lines: what a line feed ends, and no form feed or the like."""
    blocks = [
        BlockSpan(line.start(), line.end(), BlockKind.PARAGRAPH, 0, f"line {number}")
        for number, line in enumerate(_LINE.finditer(text), 1)
    ]
    return IndexedDocument(build_index(text, blocks, title), memoryview(text.encode(errors="replace")))


def inline_title(document: InlineDocument) -> str:
    kind = "JSON" if document.text.lstrip()[:1] in ("{", "[") else "text"
    return f"{kind} {document.number}"
