"""Answers a chat request.

The story: take the conversation apart, check the documents and wait for those still being read, plan the reading under
the engine's window, lay the context out, stream from the engine, and say at the end what was read and what the answer
rests on. A request without documents goes to the engine as it came.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from bookwheel.answering.citations import cite
from bookwheel.answering.conversation import Conversation, read_conversation, text_of, with_last_documents
from bookwheel.answering.digests import Digests
from bookwheel.answering.documents import DocumentDesk, DocumentTokens, count_documents, count_tokens_aside
from bookwheel.answering.gather import Asked, Gathered, Gathering
from bookwheel.answering.layout import FRAME_TOKENS, INSTRUCTION, lay_out
from bookwheel.answering.plan import Plan, Room, asks_about_whole, plan_reading
from bookwheel.answering.thorough import Say, can_read_thoroughly
from bookwheel.engines.engine import Chunk, Completion, Engine, EngineRequest, Message, ShownDocument
from bookwheel.engines.roster import Roster
from bookwheel.errors import InvalidRequest
from bookwheel.settings import ReadingSettings
from bookwheel.tokens import MESSAGE_OVERHEAD_TOKENS, count_tokens
from bookwheel.wire.chat import BookwheelOptions, BookwheelReport, ChatBody, Citation, ContextReport, FileReading

OWN_FIELDS = frozenset({"model", "messages", "stream", "bookwheel"})
"""Fields of a request that do not go to the engine as they came."""
MOST_ANCHORS = 100


def say_nothing(_done: int, _total: int, _stage: str) -> None:
    """For those who do not want to know."""


@dataclass(frozen=True, slots=True)
class PreparedAnswer:
    """A request that is ready for its engine. `context` is None where there are no documents."""

    model: str
    engine: Engine
    request: EngineRequest
    context: ContextReport | None
    gathered: Gathered
    wanted: BookwheelOptions


class Answering:
    """Answers questions over documents with the engines of a roster."""

    def __init__(self, roster: Roster, desk: DocumentDesk, settings: ReadingSettings, digests: Digests) -> None:
        self._roster = roster
        self._desk = desk
        self._gathering = Gathering(desk, settings, digests)

    async def prepare(
        self, account_id: str, chat: ChatBody, body: dict[str, Any], say: Say = say_nothing
    ) -> PreparedAnswer:
        """Do everything that comes before the answer. `body` is the request as it came, `chat` what we read of it.

        `say` is told how far the engine is where it reads the documents first (`thorough`).
        """
        engine = self._roster.serving(chat.model)
        conversation = with_last_documents(read_conversation(body["messages"]))
        options = {name: value for name, value in body.items() if name not in OWN_FIELDS}
        if not conversation.documents():
            request = EngineRequest(_with_known_roles(body["messages"]), options, conversation.question)
            return PreparedAnswer(chat.model, engine, request, None, Gathered({}, ()), BookwheelOptions())
        return await self._prepare_documents(account_id, chat, engine, conversation, options, say)

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
        self,
        account_id: str,
        chat: ChatBody,
        engine: Engine,
        conversation: Conversation,
        options: dict[str, Any],
        say: Say,
    ) -> PreparedAnswer:
        clock = _Clock()
        files = await self._desk.check(account_id, conversation)
        clock.lap("waiting")
        asked = Asked(account_id, conversation, files, await count_documents(conversation, files))
        wanted = chat.bookwheel or BookwheelOptions()
        plan = await self._plan(chat, engine, asked)
        if plan.reading == "thorough":
            gathered = await self._gathering.read_thoroughly(asked, plan, engine, options, say)
        else:
            gathered = await self._gathering.gather(asked, plan, with_anchors=wanted.citations)
        clock.lap("searching")
        about_whole = plan.reading == "overview" or asks_about_whole(conversation.question)
        messages = lay_out(conversation, gathered.shown, plan.listed_tokens)
        request = EngineRequest(
            messages, options, conversation.question, gathered.documents, gathered.support, about_whole
        )
        clock.lap("assembling")
        context = _context_report(engine, asked.tokens, plan, gathered, clock.milliseconds)
        return PreparedAnswer(chat.model, engine, request, context, gathered, wanted)

    async def _plan(self, chat: ChatBody, engine: Engine, asked: Asked) -> Plan:
        """How the documents are read. Raises InvalidRequest when they pass the limit of a request."""
        limits = self._desk.limits
        tokens = asked.tokens
        if tokens.total > limits.most_tokens:
            limit = limits.tokens_per_request
            raise InvalidRequest(f"Total message token length exceed model limit ({limit} tokens).", param="messages")
        frames = sum(FRAME_TOKENS + count_tokens(file.filename) for file in asked.files.values())
        wanted = chat.bookwheel or BookwheelOptions()
        room = Room(
            window_tokens=engine.window_tokens,
            said_tokens=await _count_turns(asked.conversation) + count_tokens(INSTRUCTION),
            reserve_tokens=_reserve(chat, engine),
            set_tokens=wanted.budget_tokens or self._roster.budgets.get(engine.name),
        )
        whole = tokens.total + frames + FRAME_TOKENS * len(tokens.inline)
        plan = plan_reading(wanted.reading, asked.conversation.question, whole, room)
        if plan.reading == "thorough" and not can_read_thoroughly(engine):
            return replace(plan, reading="relevant", reason=f"the engine {engine.name} quotes and takes no notes")
        return plan

    async def _report(self, prepared: PreparedAnswer, answer: str) -> BookwheelReport:
        assert prepared.context is not None  # noqa: S101 - callers ask only where there are documents
        request, wanted = prepared.request, prepared.wanted
        report = BookwheelReport(
            context=prepared.context, messages=request.messages if wanted.show_context else msgspec.UNSET
        )
        if not wanted.citations:
            return report
        gathered = prepared.gathered
        documents = request.documents
        if gathered.notes is not None:  # the engine's own notes are no text of the documents: quotes come from these
            documents = await self._gathering.find_support(gathered.sources, answer)
        citations = await asyncio.to_thread(cite, answer, request.question, documents, gathered.anchors)
        return msgspec.structs.replace(report, citations=citations)


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


def _reserve(chat: ChatBody, engine: Engine) -> int:
    """What is kept of the window for the answer."""
    wanted = chat.max_completion_tokens or chat.max_tokens or engine.max_output_tokens
    return min(wanted, engine.max_output_tokens)


def _context_report(
    engine: Engine, tokens: DocumentTokens, plan: Plan, gathered: Gathered, milliseconds: dict[str, float]
) -> ContextReport:
    readings = [_file_reading(document, number, gathered) for number, document in enumerate(gathered.documents)]
    selected = sum(reading.selected_tokens for reading in readings)
    coverage = gathered.notes.coverage if gathered.notes else selected / max(1, tokens.total)
    return ContextReport(
        reading=plan.reading,
        reason=plan.reason,
        window_tokens=engine.window_tokens,
        budget_tokens=plan.budget_tokens,
        document_tokens=tokens.total,
        selected_tokens=selected,
        coverage=round(min(1.0, coverage), 4),
        files=readings,
        milliseconds=milliseconds,
        support=msgspec.UNSET if gathered.support is None else gathered.support,
        thorough=gathered.thorough or msgspec.UNSET,
    )


def _file_reading(document: ShownDocument, number: int, gathered: Gathered) -> FileReading:
    excerpts = () if document.is_whole else document.excerpts[:MOST_ANCHORS]
    return FileReading(
        file_id=document.file_id,
        filename=document.title,
        tokens=document.tokens,
        selected_tokens=min(document.selected_tokens, document.tokens),
        anchors=list(dict.fromkeys(gathered.anchors[number](excerpt.start) for excerpt in excerpts)),
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
