"""Stands before every engine: requests wait their turn, and are sent again while nothing of an answer has come.

Requests in the background, a batch's, wait until nobody is kept waiting by them (see `turns`).
An engine that cannot be reached is taken for down until it answers a health check, which is asked with growing pauses.
Whoever has another engine to turn to looks at `is_up` first; a request for an engine that is down goes to it all the same.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeVar

from bookwheel.engines.engine import Chunk, Completion, Embeddings, Engine, EngineHealth, EngineRequest
from bookwheel.engines.turns import Turns
from bookwheel.errors import ApiError, EngineRefused, EngineTimedOut, EngineUnreachable
from bookwheel.logs import log
from bookwheel.settings import EngineSettings

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 4.0
FIRST_PROBE_SECONDS = 1.0
LONGEST_PROBE_SECONDS = 30.0
LONGEST_RETRY_AFTER_SECONDS = 20.0
"""An engine that asks for a longer pause is not waited for: its word goes to the client."""
PASSING_STATUSES = frozenset({408, 425, 429})

T = TypeVar("T")


class GuardedEngine:
    """An engine like the one inside; see the module. `budget_tokens` and `whole_tokens` are as its settings have them."""

    def __init__(self, engine: Engine, settings: EngineSettings) -> None:
        self.name = engine.name
        self.kind = engine.kind
        self.model = engine.model
        self.has_own_count = engine.has_own_count
        self.budget_tokens = settings.budget
        self.whole_tokens = settings.whole
        self.is_up = True
        self.turns = Turns(
            engine.name,
            settings.most_at_once,
            settings.queue,
            settings.queue_seconds,
            most_background=settings.most_batch_lines,
            yields=settings.shares_cores,
        )
        self.batch_turns = Turns(engine.name, settings.most_batch_lines)
        """One is held around each batch line, from its preparation on; what it asks of the engine takes `turns`."""
        self._engine = engine
        self._retries = settings.retries
        self._probe_seconds = FIRST_PROBE_SECONDS
        self._probe: asyncio.Task[None] | None = None

    @property
    def window_tokens(self) -> int:
        return self._engine.window_tokens

    @property
    def max_output_tokens(self) -> int:
        return self._engine.max_output_tokens

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing to do, and nothing waits for it."""
        return not any(turns.running or turns.waiting for turns in (self.turns, self.batch_turns))

    async def start(self) -> None:
        await self._engine.start()

    async def close(self) -> None:
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
        await self._engine.close()

    async def health(self) -> EngineHealth:
        return await self._engine.health()

    async def why_unable(self) -> str | None:
        """What a health check says is wrong; None where the engine can answer, so that a failure was the request's own."""
        health = await self.health()
        return None if health.ready else health.detail

    async def complete(self, request: EngineRequest) -> Completion:
        async with self.turns.turn(request.account_id, is_background=request.is_background):
            return await self._ask(lambda: self._engine.complete(request))

    async def stream(self, request: EngineRequest) -> AsyncGenerator[list[Chunk], None]:
        async with self.turns.turn(request.account_id, is_background=request.is_background):
            tries = 0
            while True:
                has_begun = False
                try:
                    async with aclosing(self._engine.stream(request)) as stream:
                        async for chunks in stream:
                            has_begun = True
                            yield chunks
                except ApiError as error:
                    if has_begun:
                        raise
                    await self._pause_or_raise(error, tries)
                    tries += 1
                else:
                    self._note_success()
                    return

    async def count_prompt(self, request: EngineRequest) -> int | None:
        return await self._engine.count_prompt(request)

    async def tokenize(self, text: str) -> list[int] | None:
        return await self._engine.tokenize(text)

    async def embed(self, body: dict[str, Any], account_id: str = "", *, is_background: bool = False) -> Embeddings:
        async with self.turns.turn(account_id, is_background=is_background):
            return await self._ask(lambda: self._engine.embed(body))

    async def forget(self, file_id: str) -> None:
        await self._engine.forget(file_id)

    async def _ask(self, ask: Callable[[], Awaitable[T]]) -> T:
        tries = 0
        while True:
            try:
                answer = await ask()
            except ApiError as error:
                await self._pause_or_raise(error, tries)
                tries += 1
            else:
                self._note_success()
                return answer

    async def _pause_or_raise(self, error: ApiError, tries: int) -> None:
        """Wait before the next try; raise the error where there is none."""
        pause_seconds = _pause_seconds(error, tries) if tries < self._retries and self.is_up else None
        if pause_seconds is None:
            if _means_down(error):
                self._note_failure(error)
            raise error
        log.info("engine asked again", engine=self.name, why=error.message, pause_seconds=pause_seconds)
        await asyncio.sleep(pause_seconds)

    def _note_success(self) -> None:
        self.is_up = True
        self._probe_seconds = FIRST_PROBE_SECONDS

    def _note_failure(self, error: ApiError) -> None:
        if self.is_up:
            self.is_up = False
            log.warning("engine down", engine=self.name, why=error.message)
            self._probe = asyncio.create_task(self._wait_until_up())

    async def _wait_until_up(self) -> None:
        """Pauses begin where the last ones ended, until an answer has come: an engine may be healthy and yet answer nothing."""
        while not self.is_up:
            await asyncio.sleep(self._probe_seconds)
            self._probe_seconds = min(2 * self._probe_seconds, LONGEST_PROBE_SECONDS)
            self.is_up = (await self._engine.health()).ready
        log.info("engine up", engine=self.name)


def may_another_answer(error: ApiError) -> bool:
    """Whether an engine's failure is its own, so that another engine may answer the same request."""
    return _means_down(error) or error.http_status in PASSING_STATUSES


def _means_down(error: ApiError) -> bool:
    return isinstance(error, (EngineUnreachable, EngineTimedOut))


def _pause_seconds(error: ApiError, tries: int) -> float | None:
    """How long to wait before the request is sent again; None where that would be of no use, or the answer had begun."""
    growing: float = min(FIRST_PAUSE_SECONDS * 2**tries, LONGEST_PAUSE_SECONDS)
    if isinstance(error, EngineUnreachable):
        return growing if error.may_pass and not error.had_begun else None
    if isinstance(error, EngineRefused) and error.http_status in PASSING_STATUSES:
        asked_seconds = _retry_after_seconds(error.headers.get("retry-after"))
        if asked_seconds is None:
            return growing
        return asked_seconds if asked_seconds <= LONGEST_RETRY_AFTER_SECONDS else None
    return None


def _retry_after_seconds(header: str | None) -> float | None:
    """The header's seconds; None where it has none (a date, which we do not read, or nothing)."""
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return seconds if seconds >= 0 else None
