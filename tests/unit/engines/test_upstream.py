"""What one who asks again must know of a failure, and what is sent again by itself."""

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from bookwheel.engines.engine import Chunk, EngineRequest
from bookwheel.engines.upstream import UpstreamEngine, send_again
from bookwheel.errors import EngineRefused, EngineUnreachable
from support.engine import Behaviour, RecordingEngine, answer_object, chunk, event, stream_pieces

REQUEST = EngineRequest([{"role": "user", "content": "Hi"}], {}, "Hi")
OPENING = chunk({"role": "assistant", "content": ""})
DONE = event(b"[DONE]")
WHOLE = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]}
BEGUN: list[tuple[str, bool, Behaviour, bool]] = [
    ("hangs up before its head", False, stream_pieces([], abort=True), True),  # the stream's head is there at once
    ("fails", False, answer_object({"error": "Fire."}, 500), False),
    ("answers what is none", False, answer_object(b"nonsense"), True),
    ("has no choices", False, answer_object({"id": "x"}), True),
    ("fails", True, answer_object({"error": "Fire."}, 500), False),
    ("does not stream", True, answer_object(WHOLE), False),
    ("hangs up before a chunk", True, stream_pieces([b": wait\n\n"], abort=True), False),
    ("hangs up within the first chunk", True, stream_pieces([event(OPENING)[:20]], abort=True), False),
    ("hangs up after a chunk", True, stream_pieces([event(OPENING)], abort=True), True),
    ("closes after a chunk", True, stream_pieces([event(OPENING)]), True),
    ("turns to garbage", True, stream_pieces([event(OPENING), b"data: {\n\n"]), True),
    ("turns to garbage at once", True, stream_pieces([event(OPENING) + b"data: {\n\n"]), True),
    ("is garbage", True, stream_pieces([b"data: {\n\n"]), False),
]


@pytest.fixture(scope="module")
def misbehaving() -> Iterator[RecordingEngine]:
    engine = RecordingEngine().start()
    yield engine
    engine.close()


@asynccontextmanager
async def asked(engine: RecordingEngine | str, **more: Any) -> AsyncIterator[UpstreamEngine]:
    url = engine if isinstance(engine, str) else engine.url
    options: dict[str, Any] = {"connect_seconds": 5.0, "silence_seconds": 20.0} | more
    upstream = UpstreamEngine("up", url, "mock", window_tokens=99, max_output_tokens=9, **options)
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.close()


async def failure_of(upstream: UpstreamEngine, *, stream: bool) -> EngineUnreachable:
    with pytest.raises(EngineUnreachable) as caught:
        await (all_of(upstream.stream(REQUEST)) if stream else upstream.complete(REQUEST))
    return caught.value


async def all_of(stream: AsyncIterator[list[Chunk]]) -> list[Chunk]:
    return [chunk async for chunks in stream for chunk in chunks]


@pytest.mark.parametrize(
    ("stream", "behave", "had_begun"),
    [case[1:] for case in BEGUN],
    ids=[f"{case[0]}, {'streamed' if case[1] else 'whole'}" for case in BEGUN],
)
async def test_a_failure_says_whether_part_of_the_answer_had_come(
    misbehaving: RecordingEngine, stream: bool, behave: Behaviour, had_begun: bool
) -> None:
    misbehaving.behave = behave
    async with asked(misbehaving) as upstream:
        failure = await failure_of(upstream, stream=stream)
    assert (failure.had_begun, failure.may_pass) == (had_begun, True)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_that_is_not_there_had_not_begun_and_may_come(stream: bool) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free_port = probe.getsockname()[1]
    async with asked(f"http://127.0.0.1:{free_port}/v1") as upstream:
        failure = await failure_of(upstream, stream=stream)
    assert (failure.had_begun, failure.may_pass) == (False, True)


async def test_a_refused_key_does_not_pass(misbehaving: RecordingEngine) -> None:
    misbehaving.behave = answer_object({"error": {"message": "Bad key."}}, 401)
    async with asked(misbehaving) as upstream:
        failure = await failure_of(upstream, stream=True)
    assert (failure.had_begun, failure.may_pass) == (False, False)


@pytest.mark.parametrize(
    ("code", "status"), [(400, 400), (429, 429), (500, 502), ("400", 502), (None, 502), (True, 502)]
)
async def test_an_error_that_a_stream_begins_with_has_the_status_that_it_names(
    misbehaving: RecordingEngine, code: Any, status: int
) -> None:
    misbehaving.behave = stream_pieces([event({"error": {"message": "Too long.", "code": code}}), DONE])
    async with asked(misbehaving) as upstream:
        with pytest.raises(EngineRefused) as caught:
            await all_of(upstream.stream(REQUEST))
    assert (caught.value.http_status, caught.value.message) == (status, "Too long.")


@pytest.mark.parametrize(
    ("error", "times"),
    [
        (aiohttp.ClientOSError(None, "Can not write request body"), 2),
        (aiohttp.ClientOSError(104, "Connection reset by peer"), 1),
        (aiohttp.ServerDisconnectedError(), 1),
    ],
    ids=["nothing was sent", "reset", "closed"],
)
async def test_only_what_was_not_sent_is_sent_again(error: aiohttp.ClientError, times: int) -> None:
    sent = []

    async def send(request: Any) -> Any:
        sent.append(request)
        if len(sent) == 1:
            raise error
        return "answered"

    request: Any = "request"
    if times == 1:
        with pytest.raises(type(error)):
            await send_again(request, send)
    else:
        assert str(await send_again(request, send)) == "answered"
    assert sent == ["request"] * times
