"""An engine that costs next to nothing: fixed answers, streamed at a steady rate. `python -m bench.mock_engine`.

A request's own field `mock` says how: `events` words at `per_second`, the first after `wait_seconds`.
"""

import asyncio
import json
from typing import Any

from aiohttp import web

from bench.processes import serve_as_participant

HEAD = {"id": "chatcmpl-mock", "created": 1_700_000_000, "model": "mock"}
USAGE = {"prompt_tokens": 20, "completion_tokens": 8, "total_tokens": 28}
EVENTS_BESIDE_WORDS = 3
"""The role, the end and `[DONE]`."""


def event(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    """One event as vLLM sends it."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return f"data: {json.dumps(HEAD | {'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n".encode()


ROLE, WORD, END = event({"role": "assistant", "content": ""}), event({"content": " wheel"}), event({}, "stop")
COMPLETION = HEAD | {
    "object": "chat.completion",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "A wheel of books."}, "finish_reason": "stop"},
    ],
    "usage": USAGE,
}
ANSWER = json.dumps(COMPLETION).encode()


async def answer(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    if not body.get("stream"):
        return web.Response(body=ANSWER, content_type="application/json")
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    await _stream(response, **body["mock"])
    await response.write_eof()
    return response


async def models(_request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "mock", "object": "model"}]})


async def _stream(response: web.StreamResponse, events: int, per_second: float, wait_seconds: float) -> None:
    """Each event is a write of its own; one that is late moves the later ones, so that no two go out together."""
    loop = asyncio.get_running_loop()
    await response.write(ROLE)
    due = loop.time() + wait_seconds
    for _ in range(events):
        await asyncio.sleep(max(0.0, due - loop.time()))
        await response.write(WORD)
        due = max(due, loop.time() - 0.5 / per_second) + 1 / per_second
    await response.write(END + b"data: [DONE]\n\n")


def main() -> None:
    app = web.Application(client_max_size=1024**3)
    app.router.add_post("/v1/chat/completions", answer)
    app.router.add_get("/v1/models", models)
    serve_as_participant(app)


if __name__ == "__main__":
    main()
