"""An engine that costs next to nothing: fixed answers, streamed at a steady rate. `python -m bench.mock_engine`.

A request's own field `mock` says how: `events` words at `per_second`, the first after `wait_seconds`. Of a whole answer it says
what to `say`, after `wait_seconds`; how often each was asked to be said is told by `GET /asked`. With `--at-once N` more
requests than that wait for each other.
"""

import argparse
import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
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
BEFORE, AFTER = ANSWER.split(b'"A wheel of books."')
ASKED: web.AppKey[Counter[str]] = web.AppKey("asked", Counter)

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def answer(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    if not body.get("stream"):
        told = body.get("mock")
        whole = await _say(request.app[ASKED], **told) if told else ANSWER
        return web.Response(body=whole, content_type="application/json")
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    await _stream(response, **body["mock"])
    await response.write_eof()
    return response


async def models(_request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "mock", "object": "model"}]})


async def asked(request: web.Request) -> web.Response:
    """How many answers were asked for by what they say, how many of those were different, and how many came again."""
    times = request.app[ASKED]
    again = sum(count > 1 for count in times.values())
    return web.json_response({"requests": times.total(), "different": len(times), "again": again})


def so_many_at_once(answer: Answer, count: int) -> Answer:
    """The same, where no more than `count` are answered at once."""
    places = asyncio.Semaphore(count)

    async def answer_in_turn(request: web.Request) -> web.StreamResponse:
        async with places:
            return await answer(request)

    return answer_in_turn


async def _say(times: Counter[str], say: str = "", wait_seconds: float = 0.0) -> bytes:
    if wait_seconds:
        await asyncio.sleep(wait_seconds)
    if not say:
        return ANSWER
    times[say] += 1
    return b"%b%b%b" % (BEFORE, json.dumps(say).encode(), AFTER)


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


def make_app(at_once: int = 0) -> web.Application:
    """The engine. `at_once` 0: no limit."""
    app = web.Application(client_max_size=1024**3)
    app[ASKED] = Counter()
    app.router.add_post("/v1/chat/completions", so_many_at_once(answer, at_once) if at_once else answer)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/asked", asked)
    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--at-once", type=int, default=0)
    serve_as_participant(make_app(parser.parse_args().at_once))


if __name__ == "__main__":
    main()
