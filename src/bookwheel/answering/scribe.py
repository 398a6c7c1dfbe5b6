"""Has an engine write notes: a few calls at once, each asked again if it fails for now, none that was answered before.

What comes from here is cleaned (see `note_prompts`). Errors of the engine come through as they are.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar
from unicodedata import normalize

from bookwheel.answering import note_prompts
from bookwheel.answering.digests import Digest, Digests, digest_name
from bookwheel.answering.note_prompts import clean_notes, without_thoughts
from bookwheel.answering.parts import ReadableDocument
from bookwheel.engines.engine import Chunk, Engine, EngineRequest, Message, ShownDocument
from bookwheel.errors import ApiError, EngineRefused, EngineTimedOut, EngineUnreachable

ENGINE_ERRORS = (EngineRefused, EngineTimedOut, EngineUnreachable)
ANSWER_SHARE = 0.25
"""Of a window that is kept free for the notes, where the engine's `max_output_tokens` is more."""
CHARACTERS_PER_TOKEN = 8
"""An answer with more than that is from an engine that minds no limit, and is cut."""
LONGEST_WAIT_SECONDS = 30.0
_TRANSIENT_STATUSES = frozenset({408, 425, 429})
_SWITCHES = ("enable_thinking", "thinking")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """What an engine is asked: the messages, and the same for an engine that reads no prompts."""

    messages: list[Message]
    shown: tuple[ShownDocument, ...]


class Scribe:
    """An engine that writes notes for an account's question. `retry_seconds` is the wait before it is asked again."""

    def __init__(
        self,
        engine: Engine,
        question: str,
        options: dict[str, Any],
        *,
        account_id: str,
        is_background: bool = False,
        concurrency: int,
        retry_seconds: float,
    ) -> None:
        self.question = question
        self._account_id = account_id
        self._is_background = is_background
        self.answer_tokens = answer_tokens(engine)
        self.calls = 0
        self._engine = engine
        self._options = options
        self._retry_seconds = retry_seconds
        self._free = asyncio.Semaphore(max(1, concurrency))
        self._thinks = False

    async def write(self, ask: Callable[[], Awaitable[Asked]], limit_tokens: int) -> Digest | None:
        """What it writes, in about `limit_tokens` at most; None where it writes nothing at all.

        `ask` is called when its turn comes, so that no more text is held than is being read.
        """
        async with self._free:
            asked = await ask()
            said = await self._say(asked, limit_tokens)
            if said.is_cut and not said.text and not self._thinks:
                self._thinks = True  # its thoughts took all it was allowed: from now on it gets what there is
                said = await self._say(asked, limit_tokens)
        if not said.text:
            return None
        return Digest(clean_notes(_whole_lines(said.text) if said.is_cut else said.text), said.is_cut)

    def silent(self) -> EngineUnreachable:
        """The error for an engine that answers and writes nothing."""
        return EngineUnreachable(f"The engine {self._engine.name} wrote no notes.")

    async def _say(self, asked: Asked, limit_tokens: int) -> Digest:
        limit = self.answer_tokens if self._thinks else min(limit_tokens, self.answer_tokens)
        options = note_options(self._options, limit)
        request = EngineRequest(
            asked.messages,
            options,
            self.question,
            asked.shown,
            account_id=self._account_id,
            is_background=self._is_background,
        )
        try:
            return await self._stream(request, limit)
        except ENGINE_ERRORS as error:
            if not _may_pass(error):
                raise
            wait_seconds = _wait_seconds(error, self._retry_seconds)
        await asyncio.sleep(wait_seconds)
        return await self._stream(request, limit)

    async def _stream(self, request: EngineRequest, limit_tokens: int) -> Digest:
        """As a stream: some engines think only then, and one that minds no limit can be stopped."""
        self.calls += 1
        pieces: list[str] = []
        length, finish_reason = 0, None
        async with aclosing(self._engine.stream(request)) as stream:
            async for chunks in stream:
                for chunk in chunks:
                    text, finish_reason = _added(chunk, finish_reason)
                    pieces.append(text)
                    length += len(text)
                if length > CHARACTERS_PER_TOKEN * limit_tokens:
                    finish_reason = "length"
                    break
        return Digest(without_thoughts("".join(pieces)), is_cut=finish_reason == "length")


class KeptNotes:
    """What a model wrote for a question before. `model` tells it from others."""

    def __init__(self, digests: Digests, model: str, question: str) -> None:
        self.reused = 0
        self._digests = digests
        self._asked = (note_prompts.VERSION, model, _normalised(question))

    async def get(
        self,
        about: Sequence[ReadableDocument],
        what: Sequence[str | int],
        make: Callable[[], Awaitable[Digest | None]],
    ) -> Digest | None:
        """What was kept for these documents and for `what` of them, else what `make` makes, which is kept."""
        owners = tuple(dict.fromkeys(document.file_id for document in about))
        name = digest_name(*self._asked, [document.key for document in about], what)
        found = await self._digests.find(owners, name)
        if found is not None:
            self.reused += 1
            return found
        made = await make()
        if made is not None:
            await self._digests.keep(owners, name, made)
        return made


def answer_tokens(engine: Engine) -> int:
    """What an engine's notes may take at most in one call."""
    return max(1, min(engine.max_output_tokens, int(ANSWER_SHARE * engine.window_tokens)))


def note_options(options: dict[str, Any], limit_tokens: int) -> dict[str, Any]:
    """The options of a call for notes, from the client's.

    Those for the final answer (tools, formats, sampling) stay behind. The client's name for the limit is kept, and its
    switches of thinking, which tell that the engine knows them, are turned off: notes need no thinking.
    """
    limit = "max_completion_tokens" if "max_completion_tokens" in options else "max_tokens"
    ours: dict[str, Any] = {"temperature": 0, limit: limit_tokens}
    if "enable_thinking" in options:
        ours["enable_thinking"] = False
    template = options.get("chat_template_kwargs")
    if isinstance(template, dict):
        ours["chat_template_kwargs"] = template | {name: False for name in _SWITCHES if name in template}
    return ours


async def gather(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all, in order. The first error ends the others and is raised; so does being cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except ExceptionGroup as errors:
        raise _first(errors) from None
    return [task.result() for task in tasks]


def _first(error: Exception) -> Exception:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _normalised(question: str) -> str:
    """Without case, width and white space that differ from one asking to the next."""
    return " ".join(normalize("NFKC", question).casefold().split())


def _added(chunk: Chunk, finish_reason: str | None) -> tuple[str, str | None]:
    """What a chunk adds to the first choice, and why that ended, if it did."""
    for choice in chunk.get("choices") or ():
        if choice.get("index", 0) == 0:
            return (choice.get("delta") or {}).get("content") or "", choice.get("finish_reason") or finish_reason
    return "", finish_reason


def _whole_lines(text: str) -> str:
    """Without the line in which a text was cut: half a figure is a wrong one. A single line stays."""
    return text.rpartition("\n")[0] or text


def _may_pass(error: ApiError) -> bool:
    """Whether an error may be over when the engine is asked again."""
    if not isinstance(error, EngineRefused):
        return True
    return error.http_status in _TRANSIENT_STATUSES or error.http_status >= 500


def _wait_seconds(error: ApiError, otherwise: float) -> float:
    said = error.headers.get("retry-after", "")
    return min(float(said), LONGEST_WAIT_SECONDS) if said.isascii() and said.isdecimal() else otherwise
