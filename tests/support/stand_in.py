"""What the stand-ins of engines (`support.dialects`) have in common: one answer, and a server in a thread of the test.

A word is a token.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from aiohttp import web

from bookwheel.engines.engine import Chunk, EngineRequest
from bookwheel.engines.upstream import UpstreamEngine
from support.engine import RecordingEngine

Fields = dict[str, Any]

PREFIX = "The tide"
CONTINUATION = [" rises", " 6.7 m."]
ANSWER = [PREFIX, *CONTINUATION]
ANEW = ["Which", " tide?"]
"""What is said after an assistant's message that is not to be continued."""
THOUGHTS = ["A tide:", " Dover."]
CALL = {"name": "look_up", "arguments": '{"place": "Dover"}'}
FORMED = ['{"metres"', ": 6.7}"]
BAD_TOP_K = -7

MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "How high is the tide?"},
]
PARTIAL: list[dict[str, Any]] = [*MESSAGES, {"role": "assistant", "content": PREFIX, "partial": True}]
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


class Refused(Exception):
    """An error answer."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


@dataclass(frozen=True)
class Said:
    """An answer before it has a shape."""

    words: list[str]
    prompt_tokens: int
    thoughts: list[str] = field(default_factory=list)
    calls: bool = False
    continued: str | None = None

    @property
    def finish_reason(self) -> str:
        return "tool_calls" if self.calls else "stop"

    @property
    def usage(self) -> Fields:
        completion = len(self.words) + len(self.thoughts) + self.calls
        total = self.prompt_tokens + completion
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": completion, "total_tokens": total}


class StandIn(RecordingEngine):
    """`raw` holds the very bytes of the chats it was sent. `framing` is how it writes its events."""

    dialect: ClassVar[str]
    can_continue = True
    can_think = True
    thinks_unasked = False

    def __init__(self, window_tokens: int = 64, framing: str = "plain") -> None:
        super().__init__()
        self.window_tokens = window_tokens
        self.framing = framing
        self.raw: list[bytes] = []
        self.asked: list[str] = []
        """The paths of what else it was asked."""

    def settings(self, **more: Any) -> Fields:
        return super().settings(dialect=self.dialect) | more

    # What an engine overrides

    def is_continued(self, body: Fields) -> bool:
        raise NotImplementedError

    def thinks(self, body: Fields) -> bool:
        raise NotImplementedError

    def error(self, status: int, message: str) -> Fields:
        return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}

    def too_long(self, tokens: int) -> Refused:
        raise NotImplementedError

    def message(self, said: Said) -> Fields:
        return {"role": "assistant", "content": "".join(said.words) or None} | self.calls(said)

    def whole(self, said: Said) -> Fields:
        choice = {"index": 0, "message": self.message(said), "logprobs": None, "finish_reason": said.finish_reason}
        return self.head("chat.completion") | {"choices": [choice], "usage": said.usage}

    def deltas(self, said: Said) -> Iterator[Fields]:
        yield {"role": "assistant", "content": ""}
        yield from ({"reasoning_content": thought} for thought in said.thoughts)
        yield from ({"content": word} for word in said.words)
        if said.calls:
            yield self.calls(said, streamed=True)

    def chunk(self, delta: Fields, finish_reason: str | None = None) -> Fields:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self.head("chat.completion.chunk") | {"choices": [choice]}

    def chunks(self, said: Said, *, with_usage: bool) -> Iterator[Fields]:
        yield from (self.chunk(delta) for delta in self.deltas(said))
        yield self.chunk({}, said.finish_reason)
        if with_usage:
            yield self.chunk({}) | {"choices": [], "usage": said.usage}

    def routes(self) -> list[web.RouteDef]:
        return []

    def model_object(self) -> Fields:
        return {"id": "mock", "object": "model", "created": 1_700_000_000, "owned_by": self.dialect}

    # What they have in common

    def head(self, kind: str) -> Fields:
        return {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": "mock"}

    def calls(self, said: Said, *, streamed: bool = False) -> Fields:
        if not said.calls:
            return {}
        call = {"id": "call_1", "type": "function", "function": CALL}
        return {"tool_calls": [{"index": 0} | call if streamed else call]}

    def understand(self, body: Fields) -> Said:
        """Raises Refused."""
        if body.get("top_k") == BAD_TOP_K:
            raise Refused(400, self.error(400, f"top_k must be positive, got {BAD_TOP_K}."))
        tokens = count_words(body["messages"])
        if tokens > self.window_tokens:
            raise self.too_long(tokens)
        last = body["messages"][-1]
        thoughts = THOUGHTS if self.thinks(body) else []
        if last["role"] == "assistant":
            if self.is_continued(body):
                return Said(CONTINUATION, tokens, thoughts, continued=last["content"])
            return Said(ANEW, tokens, thoughts)
        if body.get("tools"):
            return Said([], tokens, thoughts, calls=True)
        return Said(FORMED if body.get("response_format") else ANSWER, tokens, thoughts)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=1024**3, middlewares=[self._answer_refusals])
        app.router.add_routes([web.post("/v1/chat/completions", self._chat), web.get("/v1/models", self._models)])
        app.router.add_routes(self.routes())
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1"  # type: ignore[union-attr]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    @web.middleware
    async def _answer_refusals(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path != "/v1/chat/completions":
            self.asked.append(request.path)
        try:
            answer: web.StreamResponse = await handler(request)
        except Refused as refused:
            return web.json_response(refused.body, status=refused.status)
        except web.HTTPNotFound:
            return web.json_response(self.error(404, "Not Found"), status=404)
        return answer

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [self.model_object()]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        self.raw.append(await request.read())
        body = json.loads(self.raw[-1])
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        said = self.understand(body)
        if not body.get("stream"):
            return web.json_response(self.whole(said))
        with_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        return await self.send(request, [json.dumps(chunk) for chunk in self.chunks(said, with_usage=with_usage)])

    async def send(self, request: web.Request, events: list[str]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        async for piece in self._frame([*events, "[DONE]"]):
            await response.write(piece)
        await response.write_eof()
        return response

    async def _frame(self, events: list[str]) -> AsyncIterator[bytes]:
        """As most write them; or as some proxies do: comments between events, CRLF, and pieces that end anywhere."""
        if self.framing == "plain":
            for event in events:
                yield f"data: {event}\n\n".encode()
            return
        data = "".join(f": PROCESSING\r\n\r\nevent: message\r\ndata:{event}\r\n\r\n" for event in events).encode()
        for at in range(0, len(data), 97):
            yield data[at : at + 97]
            await asyncio.sleep(0)


def count_words(messages: list[Fields]) -> int:
    texts = [message.get("content") or "" for message in messages]
    parts = [part for text in texts for part in (text if isinstance(text, list) else [{"text": text}])]
    return sum(len(part.get("text", "").split()) for part in parts)


def switched_by_template(body: Fields) -> bool:
    """A model that thinks unless its template is told not to."""
    switch = (body.get("chat_template_kwargs") or {}).get("enable_thinking", False)
    if not isinstance(switch, bool):
        raise Refused(400, {"error": {"message": "enable_thinking must be a boolean"}})
    return switch


@asynccontextmanager
async def engine_at(stand_in: StandIn, **more: Any) -> AsyncIterator[UpstreamEngine]:
    options: dict[str, Any] = {
        "window_tokens": 64,
        "max_output_tokens": 16,
        "connect_seconds": 5,
        "silence_seconds": 20,
    }
    options |= {"dialect": stand_in.dialect} | more
    engine = UpstreamEngine("mill", stand_in.url, "mock", **options)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


@asynccontextmanager
async def started(stand_in: StandIn, **more: Any) -> AsyncIterator[UpstreamEngine]:
    stand_in.start()
    try:
        async with engine_at(stand_in, **more) as engine:
            yield engine
    finally:
        await asyncio.to_thread(stand_in.close)


async def said_by(
    engine: UpstreamEngine, stream: bool, messages: list[dict[str, Any]] = MESSAGES, **options: Any
) -> dict[str, Any]:
    """The answer's message, put together from its chunks where it is streamed; `finish_reason` and `usage` with it."""
    if not stream:
        answer = await engine.complete(EngineRequest(messages, options, ""))
        choice: dict[str, Any] = answer["choices"][0]
        return {**choice["message"], "finish_reason": choice["finish_reason"], "usage": answer["usage"]}
    request = EngineRequest(messages, options | {"stream_options": {"include_usage": True}}, "")
    return put_together([chunk async for chunks in engine.stream(request) for chunk in chunks])


def put_together(chunks: list[Chunk]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            for name, value in (choice.get("delta") or {}).items():
                said[name] = (
                    said.get(name) + value if isinstance(said.get(name), str) and value else value or said.get(name)
                )
            said["finish_reason"] = choice["finish_reason"] or said.get("finish_reason")
        said["usage"] = chunk.get("usage") or said.get("usage")
    return said | {"role": "assistant"}
