"""An engine that sends without end, or next to nothing for ever, is given up: in its time, and with bounded memory."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bookwheel.engines import upstream
from bookwheel.engines.engine import Chunk, EngineRequest
from bookwheel.engines.upstream import UpstreamEngine
from bookwheel.errors import EngineRefused, EngineTimedOut, EngineUnreachable

Write = Callable[[bytes], Awaitable[None]]
Script = Callable[[Write], Awaitable[None]]

ASKED = EngineRequest([{"role": "user", "content": "Hi"}], {}, "Hi")
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"
WORD: Chunk = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}
WORD_EVENT = b"data: " + json.dumps(WORD).encode() + b"\n\n"


@asynccontextmanager
async def engine_that(script: Script, silence_seconds: float = 30.0) -> AsyncIterator[UpstreamEngine]:
    """An engine at a server that answers each request by the script, and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        await reader.readuntil(b"\r\n\r\n")
        try:
            await script(write)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    engine = UpstreamEngine(
        "odd", url, "m", window_tokens=1_000, max_output_tokens=100, connect_seconds=5, silence_seconds=silence_seconds
    )
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()
        server.close()


async def read(engine: UpstreamEngine, came: list[Any]) -> None:
    async for chunks in engine.stream(ASKED):
        came += chunks


async def test_bytes_of_a_line_that_never_ends_are_no_sign_of_life() -> None:
    async def trickle(write: Write) -> None:
        await write(STREAM_HEAD + WORD_EVENT)
        while True:
            await write(b"x")
            await asyncio.sleep(0.02)

    came: list[Any] = []
    async with engine_that(trickle, silence_seconds=0.3) as engine:
        with pytest.raises(EngineTimedOut):
            await asyncio.wait_for(read(engine, came), 20)
    assert came == [WORD]


async def test_comments_are_signs_of_life() -> None:
    async def ping(write: Write) -> None:
        await write(STREAM_HEAD)
        for _ in range(16):
            await write(b": ping\n\n")
            await asyncio.sleep(0.1)
        await write(WORD_EVENT + b"data: [DONE]\n\n")

    came: list[Any] = []
    async with engine_that(ping, silence_seconds=1.0) as engine:
        await read(engine, came)
    assert came == [WORD]


async def endless(write: Write) -> None:
    await write(JSON_HEAD)
    while True:
        await write(b" " * 65_536)


async def test_an_answer_that_does_not_end_is_given_up_when_it_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "LARGEST_ANSWER_BYTES", 1_000_000)
    monkeypatch.setattr(upstream, "LARGEST_EMBEDDINGS_BYTES", 2_000_000)
    async with engine_that(endless) as engine:
        with pytest.raises(EngineUnreachable, match="an answer that does not end"):
            await engine.complete(ASKED)
        with pytest.raises(EngineUnreachable, match="an answer that does not end"):
            await engine.embed({"input": "Hi"})
        health = await engine.health()
    assert not health.ready
    assert "does not end" in health.detail


async def test_a_refusal_that_comes_in_pieces_is_read_to_its_end() -> None:
    error = json.dumps({"error": {"message": "Too long a prompt.", "code": "context_length_exceeded"}}).encode()
    sent = asyncio.Event()

    async def refuse(write: Write) -> None:
        await write(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n\r\n" + error[:20])
        await asyncio.sleep(0.05)  # so that the rest goes out apart
        await write(error[20:])
        sent.set()

    async with engine_that(refuse) as engine:
        with pytest.raises(EngineRefused, match=r"Too long a prompt\.") as caught:
            await engine.complete(ASKED)
    assert sent.is_set()
    assert caught.value.as_error_object()["code"] == "context_length_exceeded"


async def test_documents_do_not_follow_a_redirect_to_another_place() -> None:
    asked_elsewhere: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked_elsewhere.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    other = await asyncio.start_server(elsewhere, "127.0.0.1", 0)
    place = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}/v1/chat/completions"

    async def redirect(write: Write) -> None:
        await write(f"HTTP/1.1 307 Temporary Redirect\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n".encode())

    async with engine_that(redirect) as engine:
        with pytest.raises(EngineUnreachable, match=r"leads elsewhere: set engines\.odd\.base_url") as raised:
            await engine.complete(ASKED)
    assert not raised.value.may_pass
    assert asked_elsewhere == []
    other.close()
