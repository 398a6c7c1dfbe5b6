"""The least that can stand between a client and an engine: reads a request, sends it on, passes the answer's bytes back.

`python -m bench.proxy ENGINE_URL`. It looks into nothing, so what it costs is the floor for a server of the same parts.
"""

import contextlib
import sys
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from bench.processes import serve_as_participant

SESSION = web.AppKey("session", aiohttp.ClientSession)
ENGINE_URL = web.AppKey("engine_url", str)


async def forward(request: web.Request) -> web.StreamResponse:
    session, url = request.app[SESSION], request.app[ENGINE_URL]
    headers = {"content-type": "application/json"}
    async with session.post(f"{url}{request.path}", data=await request.read(), headers=headers) as answer:
        if answer.content_type != "text/event-stream":
            return web.Response(body=await answer.read(), status=answer.status, content_type=answer.content_type)
        response = web.StreamResponse(status=answer.status, headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionResetError):  # the client has gone
            async for data in answer.content.iter_any():
                await response.write(data)
            await response.write_eof()
        return response


async def _keep_session(app: web.Application) -> AsyncIterator[None]:
    app[SESSION] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    yield
    await app[SESSION].close()


def main() -> None:
    app = web.Application(client_max_size=1024**3)
    app[ENGINE_URL] = sys.argv[1]
    app.cleanup_ctx.append(_keep_session)
    app.router.add_post("/v1/chat/completions", forward)
    serve_as_participant(app)


if __name__ == "__main__":
    main()
