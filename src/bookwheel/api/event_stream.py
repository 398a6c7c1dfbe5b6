"""Sends what comes of an answer as server-sent events, and notices when the client goes away.

The response opens when the first event is there, so that whatever fails before that has its true HTTP status; or, when the
wait is long, with a comment that keeps the connection alive. After that an error is an event of the stream, as stock SDKs
expect it. How events look is the dialect's: chat's here, another call's with that call.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing, suppress
from typing import Generic, Protocol, TypeVar

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bookwheel.api.edge import error_body
from bookwheel.api.json_body import encode
from bookwheel.engines.engine import Chunk
from bookwheel.errors import ApiError, ServerStopping
from bookwheel.logs import log

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
T = TypeVar("T")
Sent = TypeVar("Sent")
Told_contra = TypeVar("Told_contra", contravariant=True)

LAST_WORD_SECONDS = 1.0
KEEP_ALIVE = b": keep-alive\n\n"
DONE = b"data: [DONE]\n\n"


class Comment(str):
    """A line for whoever watches the stream; clients skip it. It has no line ends."""

    __slots__ = ()


class Dialect(Protocol[Told_contra]):
    """How the events of a call look. `ending` is what comes after the last, where anything does."""

    ending: bytes

    def events(self, told: Told_contra) -> bytes:
        """What came at once, as events."""

    def failure(self, error: ApiError, request_id: str) -> bytes:
        """The events of a stream that breaks off."""


class ChatDialect:
    """Chunks as data without a name, `[DONE]` at the end, the error envelope for what fails."""

    ending = DONE

    def events(self, told: list[Chunk]) -> bytes:
        return b"".join([b"data: " + encode(chunk) + b"\n\n" for chunk in told])

    def failure(self, error: ApiError, request_id: str) -> bytes:
        return b"data: " + encode(error_body(error, request_id)) + b"\n\n"


class EventStream(Response, Generic[Sent]):
    """An ASGI response; see the module."""

    def __init__(
        self,
        sent: AsyncGenerator[Sent | Comment, None],
        dialect: Dialect[Sent],
        keep_alive_seconds: float,
        request_id: str,
    ) -> None:
        self._sent = sent
        self._dialect = dialect
        self._keep_alive_seconds = keep_alive_seconds
        self._request_id = request_id
        self._open = False
        self._quiet_since = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        try:
            await until_disconnect(receive, self._stream(send))
        except asyncio.CancelledError:  # not the client's doing: the server ends before the answer
            if self._open:
                with suppress(TimeoutError):  # of a client that does not read
                    async with asyncio.timeout(LAST_WORD_SECONDS):
                        await self._write(send, self._dialect.failure(ServerStopping(), self._request_id))
                        await send({"type": "http.response.body", "body": b"", "more_body": False})
            raise

    async def _stream(self, send: Send) -> None:
        self._quiet_since = time.monotonic()
        beat = asyncio.create_task(self._keep_alive(send))
        try:
            async with aclosing(self._sent) as stream:
                async for sent in stream:
                    await self._write(send, _line(sent) if isinstance(sent, Comment) else self._dialect.events(sent))
            if self._dialect.ending:
                await self._write(send, self._dialect.ending)
        except ApiError as error:
            if not self._open:
                raise
            await self._write(send, self._dialect.failure(error, self._request_id))
        except Exception as error:
            if not self._open:
                raise
            log.error("stream failed", request_id=self._request_id, exc_info=error)
            await self._write(send, self._dialect.failure(_internal(), self._request_id))
        finally:
            beat.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, send: Send, data: bytes) -> None:
        if not self._open:
            self._open = True
            await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
        self._quiet_since = time.monotonic()  # finding the loop for its clock takes a call of the system
        await send({"type": "http.response.body", "body": data, "more_body": True})

    async def _keep_alive(self, send: Send) -> None:
        while True:
            left_seconds = self._quiet_since + self._keep_alive_seconds - time.monotonic()
            if left_seconds <= 0:
                await self._write(send, KEEP_ALIVE)
            else:
                await asyncio.sleep(left_seconds)


def _line(comment: Comment) -> bytes:
    return f": {comment}\n\n".encode()


async def until_disconnect(receive: Receive, work: Awaitable[T]) -> T:
    """Do the work unless the client goes away first: then it is cancelled, and ClientDisconnect raised.

    The request's body must have been read.
    """
    doing = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((doing, watching), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ClientDisconnect
        return doing.result()
    finally:
        for task in (doing, watching):
            task.cancel()
        await asyncio.gather(doing, watching, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _internal() -> ApiError:
    return ApiError("Internal error. The log names it by this request_id.")
