"""An OpenAI-compatible engine in a thread of the test, which records what it is sent and behaves as it is told."""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web
from openai import OpenAI

from support.server import Server

T = TypeVar("T")
Behaviour = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


class RecordingEngine:
    """`requests` holds the bodies it was sent, `headers` theirs; `behave` answers the next ones.

    `cancelled` is set when a client went away in the middle of an answer.
    """

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.cancelled = threading.Event()
        self.started = threading.Event()
        self.behave: Behaviour = answer_words(["Hello", " world"])
        self.url = ""
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def start(self) -> "RecordingEngine":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def reset(self) -> None:
        """Forget what was, and answer as at the start: for an engine that several tests share."""
        self.requests.clear()
        self.headers.clear()
        self.cancelled.clear()
        self.started.clear()
        self.behave = answer_words(["Hello", " world"])

    def settings(self, **more: Any) -> dict[str, Any]:
        """The `[engines.NAME]` table by which a server uses it."""
        return {"kind": "upstream", "base_url": self.url, "model": "mock"} | more

    def close(self) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=1024**3)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._models)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self.url = f"http://127.0.0.1:{port}/v1"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "mock", "object": "model"}]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        self.started.set()
        try:
            return await self.behave(request, body)
        except (asyncio.CancelledError, ConnectionResetError):
            self.cancelled.set()
            raise


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    """One chunk as vLLM sends it."""
    head = {"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "mock"}
    return head | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]} | more


USAGE = {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}


def answer_words(words: list[str], pause_seconds: float = 0.0) -> Behaviour:
    """Answer with these words, a chunk each, streamed or not as the request asks."""

    async def behave(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if not body.get("stream"):
            message = {"role": "assistant", "content": "".join(words)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            head = {"id": "chatcmpl-mock", "object": "chat.completion", "created": 1_700_000_000, "model": "mock"}
            return web.json_response(head | {"choices": [choice], "usage": USAGE})
        chunks = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": word}) for word in words)]
        chunks.append(chunk({}, "stop"))
        if (body.get("stream_options") or {}).get("include_usage"):
            chunks.append(chunk({}) | {"choices": [], "usage": USAGE})
        return await send_events(request, [json.dumps(c) for c in chunks] + ["[DONE]"], pause_seconds)

    return behave


async def send_events(request: web.Request, events: list[str], pause_seconds: float = 0.0) -> web.StreamResponse:
    """Send server-sent events with these data."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for event in events:
        await response.write(f"data: {event}\n\n".encode())
        if pause_seconds:
            await asyncio.sleep(pause_seconds)
    await response.write_eof()
    return response


def answer_object(answer: Any, status: int = 200, headers: dict[str, str] | None = None) -> Behaviour:
    """Answer with this JSON, or with these bytes as they are."""

    async def behave(_request: web.Request, _body: dict[str, Any]) -> web.StreamResponse:
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return web.Response(body=data, status=status, headers={"content-type": "application/json"} | (headers or {}))

    return behave


def stream_pieces(pieces: list[bytes], *, abort: bool = False) -> Behaviour:
    """Stream these bytes, a network write each; end, or tear the connection down."""

    async def behave(request: web.Request, _body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(0.001)  # so that they go out apart
        if abort and request.transport is not None:
            request.transport.abort()
        return response

    return behave


def hold_until(release: threading.Event, behave: Behaviour, opening: list[bytes] | None = None) -> Behaviour:
    """Say nothing (or stream the opening and then nothing) until the event is set; then behave as told."""

    async def held(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        if opening:
            await response.prepare(request)
            for piece in opening:
                await response.write(piece)
        while not release.is_set():
            await asyncio.sleep(0.01)
        return response if opening else await behave(request, body)

    return held


def event(data: Any) -> bytes:
    """A server-sent event with this data."""
    return b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + b"\n\n"


def content_of(message: dict[str, Any]) -> str:
    """A recorded message's text."""
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


@dataclass
class Desk:
    """A running server whose `qwen-long` is a recording engine, and a stock client of it.

    Other public names: `narrow` (the same engine with a window of 6,000 tokens), `thrifty` (the same with a budget of 1,500
    tokens), `fake`, `quotes` (extractive), `small` (fake, with a window of 1,000 tokens).
    """

    server: Server
    engine: RecordingEngine
    client: OpenAI = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.new_client()

    def new_client(self, prefix: str = "/compatible-mode/v1", api_key: str = "any", **options: Any) -> OpenAI:
        """A stock client; it retries only where the test says so."""
        options = {"max_retries": 0} | options
        return OpenAI(base_url=f"{self.server.url}{prefix}", api_key=api_key, **options)

    def upload(self, filename: str, text: str) -> str:
        """Upload a document; its file id."""
        return self.client.files.create(file=(filename, text.encode()), purpose="file-extract").id  # type: ignore[arg-type]


@contextmanager
def open_desk(folder: Path, settings: dict[str, Any] | None = None) -> Iterator[Desk]:
    """A desk without rate limits, with further settings."""
    engine = RecordingEngine().start()
    engines = {
        "recording": engine.settings(window_tokens=10_000_000),
        "narrow": engine.settings(window_tokens=6_000, max_output_tokens=500),
        "thrifty": engine.settings(window_tokens=100_000, budget_tokens=1_500),
        "fake": {"kind": "fake", "window_tokens": 10_000_000},
        "quotes": {"kind": "extractive"},
        "small": {"kind": "fake", "window_tokens": 1000, "max_output_tokens": 100},
    }
    models = {"default": "recording"} | {name: name for name in ("narrow", "thrifty", "fake", "quotes", "small")}
    limits = {"file_calls_per_second": 0, "file_deletes_per_second": 0}
    server = Server(folder, {"engines": engines, "models": models, "limits": limits} | (settings or {}))
    try:
        yield Desk(server.start(), engine)
    finally:
        server.stop()
        engine.close()


def wait_until(found: Callable[[], T], seconds: float = 30.0) -> T:
    """Look again and again until there is something; what there is."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, f"nothing within {seconds:g} s"
        time.sleep(0.02)
    return value
