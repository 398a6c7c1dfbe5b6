"""What a stream writes: events for chunks, comments for those who watch, and nothing after its end."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from bookwheel.api.event_stream import ChatDialect, Comment, Dialect, EventStream
from bookwheel.engines.engine import Chunk
from bookwheel.errors import ApiError, InvalidRequest

KEEP_ALIVE_SECONDS = 3_600.0
Sent = list[Chunk] | Comment


class Client:
    """The other end of a connection."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.leaves = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.messages.append(message)

    async def read(
        self,
        sent: AsyncGenerator[Sent, None],
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
        dialect: Dialect[list[Chunk]] | None = None,
    ) -> str:
        stream = EventStream(sent, dialect or ChatDialect(), keep_alive_seconds, "request-1")
        await stream({}, self.receive, self.send)
        return b"".join(message.get("body", b"") for message in self.messages).decode()


class Numbered:
    """A dialect without a mark at the end."""

    ending = b""

    def events(self, told: list[Chunk]) -> bytes:
        return f"event: {len(told)}\n\n".encode()

    def failure(self, error: ApiError, request_id: str) -> bytes:
        return f"event: error\ndata: {error.http_status} {request_id}\n\n".encode()


async def streaming(*sent: Sent | Exception) -> AsyncGenerator[Sent, None]:
    for one in sent:
        if isinstance(one, Exception):
            raise one
        yield one


async def test_comments_are_lines_of_their_own_among_the_events() -> None:
    sent: tuple[Sent, ...] = (Comment("reading 0 of 2"), Comment("reading 2 of 2"), [{"a": 1}, {"b": "二"}], [{"c": 3}])
    assert await Client().read(streaming(*sent)) == (
        ': reading 0 of 2\n\n: reading 2 of 2\n\ndata: {"a":1}\n\ndata: {"b":"二"}\n\ndata: {"c":3}\n\ndata: [DONE]\n\n'
    )


async def test_a_comment_opens_the_response_with_the_status_of_success() -> None:
    client = Client()
    await client.read(streaming(Comment("reading 0 of 2")))
    start, comment, done, end = client.messages
    assert (start["type"], start["status"]) == ("http.response.start", 200)
    assert (comment["body"], done["body"]) == (b": reading 0 of 2\n\n", b"data: [DONE]\n\n")
    assert (end["body"], end["more_body"]) == (b"", False)


async def test_an_error_before_anything_was_sent_is_raised_for_its_own_status() -> None:
    client = Client()
    with pytest.raises(InvalidRequest):
        await client.read(streaming(InvalidRequest("Too many files provided.")))
    assert client.messages == []


async def test_an_error_after_a_comment_is_an_event_without_an_end() -> None:
    text = await Client().read(streaming(Comment("reading 1 of 2"), InvalidRequest("Gone.")))
    comment, event, rest = text.split("\n\n")
    assert (comment, rest) == (": reading 1 of 2", "")
    told = json.loads(event.removeprefix("data: "))
    assert (told["error"]["message"], told["request_id"]) == ("Gone.", "request-1")


async def test_a_client_that_leaves_between_comments_ends_the_work() -> None:
    client, ended = Client(), asyncio.Event()

    async def endless() -> AsyncGenerator[Sent, None]:
        try:
            yield Comment("reading 0 of 2")
            client.leaves.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(ClientDisconnect):
        await client.read(endless())
    assert ended.is_set()


async def test_another_dialect_says_how_events_look_and_whether_anything_ends_them() -> None:
    sent: tuple[Sent, ...] = ([{"a": 1}, {"b": 2}], Comment("reading 1 of 2"), [{"c": 3}])
    assert await Client().read(streaming(*sent), dialect=Numbered()) == ("event: 2\n\n: reading 1 of 2\n\nevent: 1\n\n")


@pytest.mark.parametrize(("error", "status"), [(InvalidRequest("Gone."), 400), (KeyError("broken"), 500)])
async def test_what_fails_is_told_in_the_stream_s_dialect(error: Exception, status: int) -> None:
    text = await Client().read(streaming([{"a": 1}], error), dialect=Numbered())
    assert text == f"event: 1\n\nevent: error\ndata: {status} request-1\n\n"


async def test_a_broken_program_is_an_event_that_tells_nothing_of_it() -> None:
    text = await Client().read(streaming([{"a": 1}], KeyError("secret")))
    told = json.loads(text.split("\n\n")[1].removeprefix("data: "))
    assert (told["error"]["code"], "secret" in text) == ("internal_error", False)
