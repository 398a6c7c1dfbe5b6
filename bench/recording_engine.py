"""An engine that keeps what it is shown and answers at once, always the same. `python -m bench.recording_engine`.

`GET /shown` gives the requests since the last such call, each with the time at which its head had arrived, in seconds of
the monotonic clock: that clock is one for all processes of a machine, so a client can take its own time from it.
"""

import time
from typing import Any

from aiohttp import web

from bench.mock_engine import ANSWER, END, ROLE, WORD, models
from bench.processes import serve_as_participant


class Recorder:
    """The engine's handlers, and what they kept."""

    def __init__(self) -> None:
        self._kept: list[dict[str, Any]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Keep the messages, and answer in a word."""
        received = time.monotonic()
        body = await request.json()
        self._kept.append({"received": received, "messages": body["messages"]})
        if not body.get("stream"):
            return web.Response(body=ANSWER, content_type="application/json")
        return web.Response(body=ROLE + WORD + END + b"data: [DONE]\n\n", content_type="text/event-stream")

    async def shown(self, _request: web.Request) -> web.Response:
        """What was kept, and forget it."""
        kept, self._kept = self._kept, []
        return web.json_response(kept)


def make_app() -> web.Application:
    """The engine, with nothing kept yet."""
    recorder = Recorder()
    app = web.Application(client_max_size=1024**3)
    app.router.add_post("/v1/chat/completions", recorder.answer)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/shown", recorder.shown)
    return app


if __name__ == "__main__":
    serve_as_participant(make_app())
