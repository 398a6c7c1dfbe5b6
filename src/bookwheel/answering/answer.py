"""Answers a chat request.

The story: take the conversation apart, check the documents and wait for those still being read, plan the reading under
the engine's window, lay the context out, stream from the engine, and say at the end what was read and what the answer
rests on. A request without documents goes to the engine as it came.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec

from bookwheel.answering.citations import cite
from bookwheel.answering.conversation import Conversation, read_conversation, text_of, with_last_documents
from bookwheel.answering.documents import DocumentDesk, DocumentTokens, count_documents, count_tokens_aside
from bookwheel.answering.layout import FRAME_TOKENS, INSTRUCTION, Shown, lay_out
from bookwheel.document import BlockMap
from bookwheel.engines.engine import Chunk, Completion, Engine, EngineRequest, Message, ShownDocument
from bookwheel.engines.roster import Roster
from bookwheel.errors import InvalidRequest
from bookwheel.storage.files import FileRecord
from bookwheel.tokens import MESSAGE_OVERHEAD_TOKENS, count_tokens
from bookwheel.wire.chat import BookwheelReport, ChatBody, Citation, ContextReport, FileReading

OWN_FIELDS = frozenset({"model", "messages", "stream", "bookwheel"})
"""Fields of a request that do not go to the engine as they came."""


@dataclass(frozen=True, slots=True)
class PreparedAnswer:
    """A request that is ready for its engine. `context` is None where there are no documents."""

    model: str
    engine: Engine
    request: EngineRequest
    context: ContextReport | None
    block_maps: list[BlockMap | None]
    wants_citations: bool


class Answering:
    """Answers questions over documents with the engines of a roster."""

    def __init__(self, roster: Roster, desk: DocumentDesk) -> None:
        self._roster = roster
        self._desk = desk

    async def prepare(self, account_id: str, chat: ChatBody, body: dict[str, Any]) -> PreparedAnswer:
        """Do everything that comes before the engine's work. `body` is the request as it came, `chat` what we read of it."""
        engine = self._roster.serving(chat.model)
        conversation = with_last_documents(read_conversation(body["messages"]))
        options = {name: value for name, value in body.items() if name not in OWN_FIELDS}
        if not conversation.documents():
            request = EngineRequest(_with_known_roles(body["messages"]), options, conversation.question)
            return PreparedAnswer(chat.model, engine, request, None, [], wants_citations=False)
        return await self._prepare_documents(account_id, chat, engine, conversation, options)

    async def complete(self, prepared: PreparedAnswer) -> Completion:
        """The whole answer."""
        completion = await prepared.engine.complete(prepared.request)
        completion["model"] = prepared.model
        if prepared.context is None:
            return completion
        message = (completion["choices"][0].get("message") if completion["choices"] else None) or {}
        report = await self._report(prepared, message.get("content") or "")
        if report.citations is not msgspec.UNSET:
            message["annotations"] = [_annotation(citation) for citation in report.citations]
        return completion | {"bookwheel": report}

    async def stream(self, prepared: PreparedAnswer) -> AsyncGenerator[list[Chunk], None]:
        """The answer's chunks as they come; the last one carries the `bookwheel` object."""
        collected: list[str] = []
        last: Chunk | None = None
        async with aclosing(prepared.engine.stream(prepared.request)) as stream:
            async for chunks in stream:
                for chunk in chunks:
                    chunk["model"] = prepared.model
                    collected.append(_added_text(chunk))
                passed, last = _hold_last(chunks, last)
                if passed:
                    yield passed
        if last is None:
            return
        ending = [last]
        if prepared.request.wants_usage and not last.get("usage"):
            ending.append(_usage_chunk(last, prepared.request, "".join(collected)))
        if prepared.context is not None:
            ending[-1]["bookwheel"] = await self._report(prepared, "".join(collected))
        yield ending

    async def _prepare_documents(
        self, account_id: str, chat: ChatBody, engine: Engine, conversation: Conversation, options: dict[str, Any]
    ) -> PreparedAnswer:
        clock = _Clock()
        files = await self._desk.check(account_id, conversation)
        clock.lap("waiting")
        tokens = await count_documents(conversation, files)
        await self._check_fit(chat, engine, conversation, files, tokens)
        shown = await self._desk.bring(conversation, files, tokens)
        documents = tuple(shown[source] for source in conversation.documents())
        request = EngineRequest(lay_out(conversation, shown), options, conversation.question, documents)
        wants_citations = bool(chat.bookwheel and chat.bookwheel.citations)
        block_maps = await self._block_maps(documents, files) if wants_citations else []
        clock.lap("assembling")
        context = _context_report(engine, tokens, shown, clock.milliseconds)
        return PreparedAnswer(chat.model, engine, request, context, block_maps, wants_citations)

    async def _check_fit(
        self,
        chat: ChatBody,
        engine: Engine,
        conversation: Conversation,
        files: dict[str, FileRecord],
        tokens: DocumentTokens,
    ) -> None:
        """Raise InvalidRequest when the documents pass the limit, or do not fit the engine's window whole."""
        limit = self._desk.limits.tokens_per_request
        if tokens.total > limit:
            raise InvalidRequest(f"Total message token length exceed model limit ({limit} tokens).", param="messages")
        frames = sum(count_tokens(file.filename) for file in files.values())
        frames += FRAME_TOKENS * (len(files) + len(tokens.inline)) + count_tokens(INSTRUCTION)
        said = await _count_turns(conversation)
        reserve = min(
            chat.max_completion_tokens or chat.max_tokens or engine.max_output_tokens, engine.max_output_tokens
        )
        needed = tokens.total + frames + said + reserve
        if needed > engine.window_tokens:
            raise InvalidRequest(
                f"Total message token length exceed model limit ({engine.window_tokens} tokens): the documents have "
                f"{tokens.total} tokens, the messages {said + frames}, and {reserve} are kept for the answer; the engine "
                f"{engine.name} reads {engine.window_tokens} at once. Name fewer or smaller documents, or a larger engine.",
                param="messages",
            )

    async def _block_maps(
        self, documents: tuple[ShownDocument, ...], files: dict[str, FileRecord]
    ) -> list[BlockMap | None]:
        return [await self._desk.files.block_map(files[d.file_id]) if d.file_id else None for d in documents]

    async def _report(self, prepared: PreparedAnswer, answer: str) -> BookwheelReport:
        assert prepared.context is not None  # noqa: S101 - callers ask only where there are documents
        if not prepared.wants_citations:
            return BookwheelReport(context=prepared.context)
        request = prepared.request
        citations = await asyncio.to_thread(cite, answer, request.question, request.documents, prepared.block_maps)
        return BookwheelReport(context=prepared.context, citations=citations)


class _Clock:
    """Milliseconds by the name of what took them."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.milliseconds[name] = round(1000 * (now - self._last), 2)
        self._last = now


def _with_known_roles(messages: list[Message]) -> list[Message]:
    """The same, `developer` being `system`: most engines' templates do not know it."""
    return [message | {"role": "system"} if message.get("role") == "developer" else message for message in messages]


async def _count_turns(conversation: Conversation) -> int:
    texts = [conversation.role or "", *(text_of(turn.message) for turn in conversation.turns)]
    return await count_tokens_aside("\n".join(texts)) + MESSAGE_OVERHEAD_TOKENS * (len(texts) + 1)


def _context_report(
    engine: Engine, tokens: DocumentTokens, shown: Shown, milliseconds: dict[str, float]
) -> ContextReport:
    readings = [
        FileReading(file_id=d.file_id, filename=d.title, tokens=d.tokens, selected_tokens=d.tokens)
        for d in shown.values()
    ]
    return ContextReport(
        reading="full",
        window_tokens=engine.window_tokens,
        document_tokens=tokens.total,
        selected_tokens=tokens.total,
        coverage=1.0,
        files=readings,
        milliseconds=milliseconds,
    )


def _hold_last(chunks: list[Chunk], held: Chunk | None) -> tuple[list[Chunk], Chunk | None]:
    """The chunks that may go out, and the one that may be the stream's last and is held, to put the report on it."""
    passed: list[Chunk] = []
    for chunk in chunks:
        if held is None and not _is_end(chunk):
            passed.append(chunk)
            continue
        if held is not None:
            passed.append(held)
        held = chunk
    return passed, held


def _added_text(chunk: Chunk) -> str:
    """What a chunk adds to the first choice's text."""
    for choice in chunk.get("choices") or ():
        if choice.get("index") == 0:
            return (choice.get("delta") or {}).get("content") or ""
    return ""


def _is_end(chunk: Chunk) -> bool:
    """Whether a chunk finishes a choice or carries the usage: one such is the stream's last."""
    return bool(chunk.get("usage")) or any(choice.get("finish_reason") for choice in (chunk.get("choices") or ()))


def _usage_chunk(last: Chunk, request: EngineRequest, answer: str) -> Chunk:
    """The usage for a client that asked for it, by our own count, where the engine did not say."""
    prompt = sum(count_tokens(text_of(message)) + MESSAGE_OVERHEAD_TOKENS for message in request.messages)
    completion = count_tokens(answer)
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {name: value for name, value in last.items() if name != "choices"} | {"choices": [], "usage": usage}


def _annotation(citation: Citation) -> dict[str, Any]:
    """A citation as OpenAI's `annotations` have it, `index` being where in the answer it belongs."""
    fields: dict[str, Any] = msgspec.to_builtins(citation)
    return fields | {"index": citation.answer_end}
