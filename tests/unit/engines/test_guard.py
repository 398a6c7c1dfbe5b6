"""What the guard before an engine asks again, what it passes on at once, and when it takes the engine for down."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from bookwheel.engines import guard as guard_module
from bookwheel.engines.engine import Chunk, Completion, Embeddings, EngineHealth, EngineRequest
from bookwheel.engines.fake import FakeEngine
from bookwheel.engines.guard import GuardedEngine, may_another_answer
from bookwheel.errors import ApiError, EngineBusy, EngineRefused, EngineTimedOut, EngineUnreachable, InvalidRequest
from bookwheel.settings import EngineSettings

REQUEST = EngineRequest([{"role": "user", "content": "Who?"}], {}, "Who?", account_id="ely")
GONE = EngineUnreachable("The engine mill is not there.")


class ScriptedEngine(FakeEngine):
    """Fails with the errors of its script, in turn, then answers. An error with `had_begun` comes after a first chunk."""

    def __init__(self, *script: ApiError) -> None:
        super().__init__("mill", window_tokens=1_000, max_output_tokens=100)
        self.script = list(script)
        self.asked = 0
        self.is_well = True
        self.closed = 0
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def complete(self, request: EngineRequest) -> Completion:
        self._fail_as_told()
        await self.may_end.wait()
        return await super().complete(request)

    async def stream(self, request: EngineRequest) -> AsyncGenerator[list[Chunk], None]:
        try:
            begins = bool(self.script) and getattr(self.script[0], "had_begun", False)
            if begins:
                yield [{"choices": []}]
            self._fail_as_told()
            async for chunks in super().stream(request):
                yield chunks
        finally:
            self.closed += 1

    async def embed(self, body: dict[str, Any]) -> Embeddings:
        self._fail_as_told()
        await self.may_end.wait()
        return {"data": []}

    async def health(self) -> EngineHealth:
        return EngineHealth(self.is_well, "well" if self.is_well else "It is not there.")

    def _fail_as_told(self) -> None:
        self.asked += 1
        if self.script:
            raise self.script.pop(0)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_PAUSE_SECONDS", "LONGEST_PAUSE_SECONDS", "FIRST_PROBE_SECONDS", "LONGEST_PROBE_SECONDS"):
        monkeypatch.setattr(guard_module, name, 0.001)


@asynccontextmanager
async def guarded(*script: ApiError, **settings: Any) -> AsyncIterator[tuple[ScriptedEngine, GuardedEngine]]:
    engine = ScriptedEngine(*script)
    guard = GuardedEngine(engine, EngineSettings(kind="fake", **settings))
    try:
        yield engine, guard
        assert guard.turns.running == 0
    finally:
        await guard.close()


async def text_of(guard: GuardedEngine, *, stream: bool) -> str:
    if not stream:
        return (await guard.complete(REQUEST))["choices"][0]["message"]["content"]
    chunks = [chunk async for together in guard.stream(REQUEST) for chunk in together]
    return "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("failures", [0, 1, 2])
async def test_what_fails_before_it_says_anything_is_asked_again(stream: bool, failures: int) -> None:
    async with guarded(*[GONE] * failures) as (engine, guard):
        assert "Who?" in await text_of(guard, stream=stream)
        assert engine.asked == failures + 1
        assert guard.is_up


@pytest.mark.parametrize("stream", [True, False])
async def test_retries_come_to_an_end_and_then_the_engine_is_down(stream: bool) -> None:
    async with guarded(*[GONE] * 9, retries=3) as (engine, guard):
        engine.is_well = False
        with pytest.raises(EngineUnreachable):
            await text_of(guard, stream=stream)
        assert engine.asked == 4
        assert not guard.is_up
        with pytest.raises(EngineUnreachable):  # an engine that is down is asked all the same, once
            await text_of(guard, stream=stream)
        assert engine.asked == 5


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_had_begun_is_not_asked_for_again(stream: bool) -> None:
    async with guarded(EngineUnreachable("It broke off.", had_begun=True)) as (engine, guard):
        with pytest.raises(EngineUnreachable):
            await text_of(guard, stream=stream)
        assert engine.asked == 1


@pytest.mark.parametrize(
    "error",
    [
        EngineUnreachable("It refuses the key.", may_pass=False),
        EngineTimedOut("It was silent."),
        EngineRefused(400, {"message": "No."}),
        EngineRefused(429, {"message": "Busy."}, retry_after="3600"),
        InvalidRequest("No."),
    ],
)
async def test_what_asking_again_does_not_help_is_passed_on_at_once(error: ApiError) -> None:
    async with guarded(error) as (engine, guard):
        with pytest.raises(type(error)) as raised:
            await text_of(guard, stream=True)
        assert raised.value is error
        assert engine.asked == 1


@pytest.mark.parametrize("retry_after", [None, "0", "0.001", "soon", "-5", "nan"])
async def test_an_engine_that_is_busy_is_asked_again_after_its_own_pause(retry_after: str | None) -> None:
    async with guarded(EngineRefused(429, {"message": "Busy."}, retry_after)) as (engine, guard):
        assert await text_of(guard, stream=True)
        assert engine.asked == 2


async def test_embeddings_are_asked_again_too() -> None:
    async with guarded(GONE) as (engine, guard):
        assert await guard.embed({}) == {"data": []}
        assert engine.asked == 2


async def test_an_engine_that_was_down_is_up_when_it_is_well_again() -> None:
    async with guarded(GONE, retries=0) as (engine, guard):
        engine.is_well = False
        with pytest.raises(EngineUnreachable):
            await text_of(guard, stream=False)
        await asyncio.sleep(0.01)
        assert not guard.is_up
        engine.is_well = True
        async with asyncio.timeout(10):
            while not guard.is_up:
                await asyncio.sleep(0.001)


async def test_an_answer_proves_that_an_engine_is_up() -> None:
    async with guarded(GONE, retries=0) as (engine, guard):
        engine.is_well = False
        with pytest.raises(EngineUnreachable):
            await text_of(guard, stream=False)
        await text_of(guard, stream=True)
        assert guard.is_up


async def test_a_refusal_says_nothing_of_the_engines_health() -> None:
    async with guarded(EngineRefused(400, {"message": "No."}), EngineRefused(429, {}), retries=0) as (_, guard):
        for _attempt in range(2):
            with pytest.raises(EngineRefused):
                await text_of(guard, stream=False)
            assert guard.is_up


async def test_going_away_in_mid_stream_closes_the_engines_stream_and_gives_the_turn_back() -> None:
    async with guarded(concurrency=1) as (engine, guard):
        async with aclosing(guard.stream(REQUEST)) as stream:
            await anext(stream)
            assert guard.turns.running == 1
        assert engine.closed == 1
        assert guard.turns.running == 0


async def test_a_turn_is_kept_while_the_engine_is_asked_again() -> None:
    async with guarded(GONE, concurrency=1, queue=0) as (_, guard):
        first = asyncio.create_task(text_of(guard, stream=True))
        await asyncio.sleep(0)
        with pytest.raises(EngineBusy):
            await text_of(guard, stream=True)
        await first


LINE = replace(REQUEST, is_background=True)


async def last_piece(guard: GuardedEngine, request: EngineRequest) -> Any:
    return [chunks async for chunks in guard.stream(request)][-1]


ASKING: dict[str, Callable[[GuardedEngine, bool], Awaitable[Any]]] = {
    "complete": lambda guard, is_line: guard.complete(LINE if is_line else REQUEST),
    "stream": lambda guard, is_line: last_piece(guard, LINE if is_line else REQUEST),
    "embed": lambda guard, is_line: guard.embed({}, "ely", is_background=is_line),
}


@pytest.mark.parametrize("ask", ASKING.values(), ids=ASKING)
async def test_a_batch_line_begins_when_no_question_is_under_way(
    ask: Callable[[GuardedEngine, bool], Awaitable[Any]],
) -> None:
    async with guarded() as (engine, guard):
        engine.may_end.clear()
        question = asyncio.create_task(guard.complete(REQUEST))
        line = asyncio.create_task(ask(guard, True))
        await settle()
        assert (guard.turns.running, guard.turns.waiting_background) == (1, 1)
        another = asyncio.create_task(ask(guard, False))
        await settle()
        assert guard.turns.waiting == 1
        engine.may_end.set()
        assert all(await asyncio.gather(question, another, line))


async def test_of_an_engine_elsewhere_a_batch_leaves_a_place_to_questions_and_does_not_mind_them() -> None:
    upstream = EngineSettings(kind="upstream", base_url="http://127.0.0.1:9/v1", model="m", concurrency=4)
    engine = ScriptedEngine()
    engine.may_end.clear()
    guard = GuardedEngine(engine, upstream)
    asked = [asyncio.create_task(guard.complete(request)) for request in (REQUEST, LINE)]
    await settle()
    assert guard.turns.running == 2
    engine.may_end.set()
    await asyncio.gather(*asked)
    engine.may_end.clear()
    asked = [asyncio.create_task(guard.complete(request)) for request in (LINE, LINE, LINE, LINE, REQUEST)]
    await settle()
    assert (guard.turns.running_background, guard.turns.waiting_background) == (3, 1)
    assert (guard.turns.running, guard.turns.waiting) == (4, 1)
    engine.may_end.set()
    assert len(await asyncio.gather(*asked)) == 5
    assert not guard.turns.running
    await guard.close()


async def test_embeddings_of_accounts_take_turns() -> None:
    async with guarded(concurrency=1) as (engine, guard):
        engine.may_end.clear()
        order: list[str] = []
        tasks = [asyncio.create_task(embed_for(guard, account, order)) for account in ("ann", "ann", "ann", "ben")]
        await settle()
        engine.may_end.set()
        await asyncio.gather(*tasks)
        assert order == ["ann", "ben", "ann", "ann"]


async def embed_for(guard: GuardedEngine, account_id: str, order: list[str]) -> None:
    await guard.embed({}, account_id)
    order.append(account_id)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_any_number_of_batch_lines_may_wait_and_accounts_take_turns_at_them() -> None:
    async with guarded(batch_concurrency=1, queue=0) as (_, guard):
        order: list[str] = []

        async def run_line(account_id: str) -> None:
            async with guard.batch_turns.turn(account_id):
                order.append(account_id)
                await asyncio.sleep(0)

        await asyncio.gather(*[run_line(account) for account in ["ann"] * 200 + ["ben"] * 2])
        assert order[:5] == ["ann", "ben", "ann", "ben", "ann"]
        assert len(order) == 202


async def test_an_engine_is_idle_when_neither_questions_nor_batch_lines_are_there() -> None:
    async with guarded() as (_, guard):
        assert guard.is_idle
        for turns in (guard.turns, guard.batch_turns):
            async with turns.turn("ely"):
                assert not guard.is_idle
        assert guard.is_idle


async def test_why_an_engine_cannot_answer_is_what_its_health_says() -> None:
    async with guarded() as (engine, guard):
        assert await guard.why_unable() is None
        engine.is_well = False
        assert await guard.why_unable() == "It is not there."


BATCH_LINES = [
    ({"kind": "llama_cpp"}, 1),
    ({"kind": "llama_cpp", "slots": 1}, 1),
    ({"kind": "llama_cpp", "slots": 5}, 4),
    ({"kind": "extractive"}, 1),
    ({"kind": "e5"}, 1),
    ({"kind": "fake"}, 1),
    ({"kind": "upstream"}, 16),
    ({"kind": "upstream", "concurrency": 1}, 1),
    ({"kind": "upstream", "concurrency": 8}, 6),
    ({"kind": "upstream", "concurrency": 8, "batch_concurrency": 9}, 9),
    ({"kind": "llama_cpp", "batch_concurrency": 3}, 3),
]


@pytest.mark.parametrize(("fields", "lines"), BATCH_LINES)
def test_a_batch_leaves_a_place_for_a_question_where_nothing_else_is_set(fields: dict[str, Any], lines: int) -> None:
    upstream = {"base_url": "http://127.0.0.1:9/v1", "model": "m"} if fields["kind"] == "upstream" else {}
    assert EngineSettings(**fields, **upstream).most_batch_lines == lines


@pytest.mark.parametrize(
    ("error", "may"),
    [
        (GONE, True),
        (EngineTimedOut("It was silent."), True),
        (EngineBusy("It is busy.", 1), True),
        (EngineRefused(429, {}), True),
        (EngineRefused(400, {}), False),
        (EngineRefused(404, {}), False),
        (InvalidRequest("No."), False),
    ],
)
def test_another_engine_may_answer_where_the_failure_is_this_ones(error: ApiError, may: bool) -> None:
    assert may_another_answer(error) is may
