"""Gets the documents of a request: checks that they may be read, waits for those still being read, and brings their text."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from bookwheel.answering.conversation import Conversation, FileReference, InlineDocument
from bookwheel.answering.layout import Shown
from bookwheel.engines.engine import ShownDocument
from bookwheel.errors import FileStillParsing, InvalidRequest
from bookwheel.files.files import DOCUMENT_PURPOSES, Files
from bookwheel.settings import LimitSettings
from bookwheel.storage.files import ERROR, PROCESSED, FileRecord
from bookwheel.tokens import count_tokens

WaitUntilRead = Callable[[Collection[str], float], Awaitable[bool]]
"""(file ids, timeout in seconds) → whether none of them is being read any more."""

COUNT_IN_THREAD_CHARACTERS = 20_000
LONGEST_SHOWN_ID = 80


@dataclass(frozen=True, slots=True)
class DocumentDesk:
    """Where a request's documents come from. `wait_seconds` is how long a question waits for files being read."""

    files: Files
    wait_until_read: WaitUntilRead
    wait_seconds: float
    limits: LimitSettings

    async def check(self, account_id: str, conversation: Conversation) -> dict[str, FileRecord]:
        """The files that a conversation names, all read. Raises InvalidRequest, in the wire contract's words."""
        file_ids = conversation.file_ids()
        if len(file_ids) > self.limits.files_per_request:
            raise InvalidRequest("Too many files provided.", param="messages")
        if not file_ids:
            return {}
        found = await self._find(account_id, file_ids)
        unread = [file_id for file_id, file in found.items() if file.status not in (PROCESSED, ERROR)]
        if unread:
            if not await self.wait_until_read(unread, self.wait_seconds):
                raise FileStillParsing
            found |= await self._find_again(account_id, unread)
        for file in found.values():
            _check_outcome(file)
        return found

    async def bring(self, conversation: Conversation, files: dict[str, FileRecord], tokens: "DocumentTokens") -> Shown:
        """The text of every document. Raises InvalidRequest when one was deleted since it was checked."""
        shown = dict[FileReference | InlineDocument, ShownDocument]()
        for source in conversation.documents():
            if isinstance(source, InlineDocument):
                shown[source] = ShownDocument(_inline_title(source), source.text, tokens.inline[source.number])
                continue
            file = files[source.file_id]
            try:
                text = await self.files.text(file)
            except FileNotFoundError:
                raise _cannot_be_found(file.file_id) from None
            shown[source] = ShownDocument(file.filename, text, file.tokens or 0, file.file_id)
        return shown

    async def _find(self, account_id: str, file_ids: list[str]) -> dict[str, FileRecord]:
        found = await self.files.find(account_id, file_ids)
        for file_id in file_ids:
            if file_id not in found or found[file_id].purpose not in DOCUMENT_PURPOSES:
                raise InvalidRequest(f"Invalid file [id:{file_id[:LONGEST_SHOWN_ID]}].", param="messages")
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


def _check_outcome(file: FileRecord) -> None:
    if file.status == ERROR:
        raise InvalidRequest(file.status_details or f"File [id:{file.file_id}] parsing error.", param="messages")
    if file.status != PROCESSED:
        raise FileStillParsing


def _cannot_be_found(file_id: str) -> InvalidRequest:
    return InvalidRequest(f"File [id:{file_id}] cannot be found.", param="messages")


def _inline_title(document: InlineDocument) -> str:
    kind = "JSON" if document.text.lstrip()[:1] in ("{", "[") else "text"
    return f"{kind} {document.number}"
