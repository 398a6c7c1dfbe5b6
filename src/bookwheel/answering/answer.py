"""Answers a chat request.

The story: take the conversation apart, check the documents and wait for those still being read, plan the reading under
the engine's window, lay the context out, stream from the engine, and say at the end what was read and what the answer
rests on. A request without documents goes to the engine as it came. Where an engine fails before it says anything, all of
that is done again for the next one that may answer in its place.
"""

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from bookwheel.answering.attachments import Attachments
from bookwheel.answering.citations import cite
from bookwheel.answering.conversation import Conversation, read_conversation, text_of, with_last_documents
from bookwheel.answering.digests import Digests
from bookwheel.answering.documents import DocumentDesk, count_documents, count_tokens_aside
from bookwheel.answering.fit import FITTINGS, fitted
from bookwheel.answering.gather import Asked, Gathered, Gathering
from bookwheel.answering.layout import FRAME_TOKENS, INSTRUCTION, lay_out
from bookwheel.answering.plan import Plan, Room, asks_about_whole, plan_reading
from bookwheel.answering.report import annotation, context_report
from bookwheel.answering.thorough import Say, can_read_thoroughly
from bookwheel.engines.engine import Chunk, Completion, Engine, EngineRequest, Message
from bookwheel.engines.guard import GuardedEngine, may_another_answer
from bookwheel.engines.roster import Roster
from bookwheel.errors import ApiError, InvalidRequest
from bookwheel.logs import log
from bookwheel.settings import ReadingSettings
from bookwheel.tokens import MESSAGE_OVERHEAD_TOKENS, count_tokens
from bookwheel.wire.chat import BookwheelOptions, BookwheelReport, ChatBody, Citation, ContextReport

OWN_FIELDS = frozenset({"model", "messages", "stream", "bookwheel"})
"""Fields of a request that do not go to the engine as they came."""
PICTURE_TOKENS = 1_500
"""What is kept of the window for a picture or a sound, since only engines know: one of 1,000 by 1,000 pixels takes 1,300 tokens
with Qwen's models, 770 with OpenAI's."""

_THOUGHTS = re.compile(r"\A.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
"""What engines that do not tell thoughts from answers say first."""


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
    prepare_spare: "Callable[[], Awaitable[PreparedAnswer]] | None" = None
    """Prepares the same for the next engine that may answer in this one's place; None where there is none."""


@dataclass(frozen=True, slots=True)
class _Question:
    """A request, taken apart, whichever engine answers it."""

    account_id: str
    chat: ChatBody
    messages: list[Message]
    conversation: Conversation
    options: dict[str, Any]
    say: Say
    is_background: bool

    @property
    def wanted(self) -> BookwheelOptions:
        return self.chat.bookwheel or BookwheelOptions()


class Answering:
    """Answers questions over documents with the engines of a roster."""

    def __init__(self, roster: Roster, desk: DocumentDesk, settings: ReadingSettings, digests: Digests) -> None:
        self._roster = roster
        self._desk = desk
        self._attachments = Attachments(desk.files, desk.reader, desk.limits)
        self._gathering = Gathering(desk, settings, digests)

    async def prepare(
        self,
        account_id: str,
        chat: ChatBody,
        body: dict[str, Any],
        say: Say = say_nothing,
        *,
        is_background: bool = False,
    ) -> PreparedAnswer:
        """Do everything that comes before the answer. `body` is the request as it came, `chat` what we read of it.

        `say` is told how far the engine is where it reads the documents first (`thorough`). With
        `is_background` nobody waits for the answer right now: the questions of those who wait go first.
        """
        engines = self._roster.serving(chat.model)
        messages = body["messages"]
        await self._attachments.take(account_id, messages)
        conversation = with_last_documents(read_conversation(messages))
        options = {name: value for name, value in body.items() if name not in OWN_FIELDS}
        question = _Question(account_id, chat, messages, conversation, options, say, is_background)
        return await self._prepare_for(engines, question)

    async def complete(self, prepared: PreparedAnswer) -> Completion:
        """The whole answer."""
        try:
            completion = await prepared.engine.complete(prepared.request)
        except ApiError as error:
            return await self.complete(await _turn_to_spare(prepared, error))
        completion["model"] = prepared.model
        if not completion.get("usage"):
            completion["usage"] = await _count_usage(prepared, _said_in(completion))
        if prepared.context is None:
            return completion
        messages = [choice.get("message") or {} for choice in completion["choices"]]
        report = await self._report(prepared, [message.get("content") or "" for message in messages])
        if report.citations is not msgspec.UNSET:
            for number, message in enumerate(messages):
                own = [annotation(citation) for citation in report.citations if (citation.choice or 0) == number]
                message["annotations"] = [*(message.get("annotations") or ()), *own]
        return completion | {"bookwheel": report}

    async def stream(self, prepared: PreparedAnswer) -> AsyncGenerator[list[Chunk], None]:
        """The answer's chunks as they come; the last one carries the `bookwheel` object."""
        has_begun = False
        try:
            async with aclosing(self._stream_from(prepared)) as stream:
                async for chunks in stream:
                    has_begun = True
                    yield chunks
        except ApiError as error:
            if has_begun:
                raise
            prepared = await _turn_to_spare(prepared, error)
        else:
            return
        async with aclosing(self.stream(prepared)) as stream:
            async for chunks in stream:
                yield chunks

    async def _stream_from(self, prepared: PreparedAnswer) -> AsyncGenerator[list[Chunk], None]:
        said: defaultdict[int, list[str]] = defaultdict(list)
        last: Chunk | None = None
        seen: Chunk | None = None
        async with aclosing(prepared.engine.stream(prepared.request)) as stream:
            async for chunks in stream:
                for chunk in chunks:
                    chunk["model"] = prepared.model
                    _note_said(said, chunk)
                    seen = chunk
                passed, last = _hold_last(chunks, last)
                if passed:
                    yield passed
        if seen is not None:
            answers = ["".join(said[number]) for number in range(max(said, default=0) + 1)]
            yield await self._end(prepared, answers, last, seen)

    async def _end(self, prepared: PreparedAnswer, answers: list[str], last: Chunk | None, seen: Chunk) -> list[Chunk]:
        """The chunk that was held, and what we have to say; the engine may have ended without saying that it has."""
        ending = [last] if last is not None else []
        if prepared.request.wants_usage and not (last or {}).get("usage"):
            usage = await _count_usage(prepared, "\n".join(answers))
            ending.append(_without_choices(seen) | {"usage": usage})
        if prepared.context is not None:
            ending = ending or [_without_choices(seen)]
            ending[-1]["bookwheel"] = await self._report(prepared, answers)
        return ending

    async def _prepare_for(self, engines: Sequence[GuardedEngine], question: _Question) -> PreparedAnswer:
        """For the first of the engines; the others are spare."""
        engine, *spare = engines
        try:
            prepared = await self._prepare_one(engine, question)
        except ApiError as error:  # of an engine that was to read the documents first
            if not spare or not may_another_answer(error):
                raise
            return await self._prepare_for(spare, question)
        return replace(prepared, prepare_spare=lambda: self._prepare_for(spare, question)) if spare else prepared

    async def _prepare_one(self, engine: GuardedEngine, question: _Question) -> PreparedAnswer:
        if question.conversation.documents():
            return await self._prepare_documents(engine, question)
        request = EngineRequest(
            _with_known_roles(question.messages),
            question.options,
            question.conversation.question,
            account_id=question.account_id,
            is_background=question.is_background,
        )
        return PreparedAnswer(question.chat.model, engine, request, None, Gathered({}, ()), BookwheelOptions())

    async def _prepare_documents(self, engine: GuardedEngine, question: _Question) -> PreparedAnswer:
        clock = _Clock()
        conversation = question.conversation
        files = await self._desk.check(question.account_id, conversation)
        clock.lap("waiting")
        tokens = await count_documents(conversation, files)
        asked = Asked(question.account_id, conversation, files, tokens, question.is_background)
        room = await _room(engine, question)
        plan, tighter = self._plan(engine, question, asked, room), None
        for _ in range(FITTINGS):
            plan = tighter or plan
            gathered = await self._gather(engine, question, asked, plan)
            clock.lap("searching")
            request = _request(question, gathered, plan)
            clock.lap("assembling")
            tighter = await fitted(engine, request, plan, room)
            clock.lap("counting")
            if tighter is None:
                break
        context = context_report(engine, asked.tokens, plan, gathered, clock.milliseconds)
        return PreparedAnswer(question.chat.model, engine, request, context, gathered, question.wanted)

    async def _gather(self, engine: Engine, question: _Question, asked: Asked, plan: Plan) -> Gathered:
        if plan.reading == "thorough":
            return await self._gathering.read_thoroughly(asked, plan, engine, question.options, question.say)
        return await self._gathering.gather(asked, plan, with_anchors=question.wanted.citations)

    def _plan(self, engine: Engine, question: _Question, asked: Asked, room: Room) -> Plan:
        """How the documents are read. Raises InvalidRequest when they pass the limit of a request."""
        limits = self._desk.limits
        tokens = asked.tokens
        if tokens.total > limits.most_tokens:
            limit = limits.tokens_per_request
            raise InvalidRequest(f"Total message token length exceed model limit ({limit} tokens).", param="messages")
        frames = sum(FRAME_TOKENS + count_tokens(file.filename) for file in asked.files.values())
        whole = tokens.total + frames + FRAME_TOKENS * len(tokens.inline)
        plan = plan_reading(question.wanted.reading, asked.conversation.question, whole, room)
        if plan.reading == "thorough" and not can_read_thoroughly(engine):
            return replace(plan, reading="relevant", reason=f"the engine {engine.name} quotes and takes no notes")
        return plan

    async def _report(self, prepared: PreparedAnswer, answers: Sequence[str]) -> BookwheelReport:
        """What was read, and what each of the `n` answers rests on."""
        assert prepared.context is not None  # noqa: S101 - callers ask only where there are documents
        request, wanted = prepared.request, prepared.wanted
        report = BookwheelReport(
            context=prepared.context, messages=request.messages if wanted.show_context else msgspec.UNSET
        )
        if not wanted.citations:
            return report
        cited = [await self._cite(prepared, answer) for answer in answers]
        if len(answers) > 1:
            cited = [[msgspec.structs.replace(c, choice=number) for c in found] for number, found in enumerate(cited)]
        return msgspec.structs.replace(report, citations=[citation for found in cited for citation in found])

    async def _cite(self, prepared: PreparedAnswer, answer: str) -> list[Citation]:
        request, gathered = prepared.request, prepared.gathered
        answer = _THOUGHTS.sub(lambda found: " " * len(found[0]), answer)
        documents = request.documents
        if gathered.notes is not None:  # the engine's own notes are no text of the documents: quotes come from these
            documents = await self._gathering.find_support(
                gathered.sources, answer, is_background=request.is_background
            )
        return await asyncio.to_thread(cite, answer, request.question, documents, gathered.anchors)


class _Clock:
    """Milliseconds by the name of what took them."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.milliseconds[name] = round(self.milliseconds.get(name, 0.0) + 1000 * (now - self._last), 2)
        self._last = now


def _with_known_roles(messages: list[Message]) -> list[Message]:
    """The same, `developer` being `system`: most engines' templates do not know it."""
    return [message | {"role": "system"} if message.get("role") == "developer" else message for message in messages]


async def _turn_to_spare(prepared: PreparedAnswer, error: ApiError) -> PreparedAnswer:
    """The same request prepared for the next engine. Raises the error where there is none, or none could do better."""
    if prepared.prepare_spare is None or not may_another_answer(error):
        raise error
    spare = await prepared.prepare_spare()
    log.warning("another engine answers", engine=spare.engine.name, instead_of=prepared.engine.name, why=error.message)
    return spare


def _request(question: _Question, gathered: Gathered, plan: Plan) -> EngineRequest:
    conversation = question.conversation
    return EngineRequest(
        lay_out(conversation, gathered.shown, plan.listed_tokens),
        question.options,
        conversation.question,
        gathered.documents,
        gathered.support,
        is_about_whole=plan.reading == "overview" or asks_about_whole(conversation.question),
        account_id=question.account_id,
        is_background=question.is_background,
    )


async def _room(engine: GuardedEngine, question: _Question) -> Room:
    budget_tokens = question.wanted.budget_tokens
    return Room(
        window_tokens=engine.window_tokens,
        said_tokens=await _count_said(question) + count_tokens(INSTRUCTION),
        reserve_tokens=_reserve(question.chat, engine),
        set_tokens=budget_tokens or engine.budget_tokens,
        whole_tokens=0 if budget_tokens else engine.whole_tokens,
    )


async def _count_said(question: _Question) -> int:
    """The tokens of all that the engine is sent beside the documents: the turns, and the tools with their calls."""
    conversation = question.conversation
    texts = [conversation.role or "", *(text_of(turn.message) for turn in conversation.turns)]
    calls = [turn.message["tool_calls"] for turn in conversation.turns if turn.message.get("tool_calls")]
    tools = [question.options["tools"]] if question.options.get("tools") else []
    texts += [msgspec.json.encode(value).decode() for value in calls + tools]
    pictures = sum(_count_other_parts(turn.message) for turn in conversation.turns)
    said_tokens = await count_tokens_aside("\n".join(texts)) + MESSAGE_OVERHEAD_TOKENS * (len(texts) + 1)
    return said_tokens + PICTURE_TOKENS * pictures


def _count_other_parts(message: Message) -> int:
    """How many parts of a message are no text: pictures, sounds."""
    content = message.get("content")
    return sum(part.get("type") != "text" for part in content) if isinstance(content, list) else 0


def _reserve(chat: ChatBody, engine: Engine) -> int:
    """What is kept of the window for the answer: what the request allows, but never more than half of the window."""
    wanted = chat.max_completion_tokens or chat.max_tokens
    return min(wanted, engine.window_tokens // 2) if wanted else engine.max_output_tokens


def _hold_last(chunks: list[Chunk], held: Chunk | None) -> tuple[list[Chunk], Chunk | None]:
    """The chunks that may go out, and the one that may be the stream's last and is held, to put the report on it."""
    if held is None and not any(map(_is_end, chunks)):  # nearly always
        return chunks, None
    passed: list[Chunk] = []
    for chunk in chunks:
        if held is None and not _is_end(chunk):
            passed.append(chunk)
            continue
        if held is not None:
            passed.append(held)
        held = chunk
    return passed, held


def _note_said(said: defaultdict[int, list[str]], chunk: Chunk) -> None:
    """Add what a chunk says to the texts of its choices."""
    for choice in chunk.get("choices") or ():
        content = (choice.get("delta") or {}).get("content")
        if content:
            said[choice.get("index") or 0].append(content)


def _is_end(chunk: Chunk) -> bool:
    """Whether a chunk finishes a choice or is there for the usage: one such is the stream's last."""
    choices = chunk.get("choices")
    return any(choice.get("finish_reason") for choice in choices) if choices else bool(chunk.get("usage"))


def _without_choices(chunk: Chunk) -> Chunk:
    """A chunk of the same stream that says nothing yet."""
    return {name: value for name, value in chunk.items() if name != "choices"} | {"choices": []}


async def _count_usage(prepared: PreparedAnswer, answer: str) -> dict[str, int]:
    """What the engine read and wrote: counted by it if it can, else by us."""
    engine, request = prepared.engine, prepared.request
    prompt = await engine.count_prompt(request)
    if prompt is None:
        prompt = sum(count_tokens(text_of(message)) + MESSAGE_OVERHEAD_TOKENS for message in request.messages)
    tokens = await engine.tokenize(answer)
    completion = count_tokens(answer) if tokens is None else len(tokens)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _said_in(completion: Completion) -> str:
    """All that an answer says, of all its choices."""
    messages = [choice.get("message") or {} for choice in completion["choices"]]
    return "\n".join(message.get("content") or "" for message in messages)
