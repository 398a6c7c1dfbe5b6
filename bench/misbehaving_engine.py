"""An engine that does what engines must not do. `python -m bench.misbehaving_engine`.

The first part of a request's path says what: `/stalls_midway/v1/chat/completions`. It says its `url`, and a `deaf_url` at
which no connection is ever accepted. Asked for its models it answers as it should: it looks healthy.
"""

import asyncio
import contextlib
import json
import re
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import uvloop

from bench.mock_engine import ANSWER, END, ROLE, WORD
from bench.processes import say

OPENING = ROLE + WORD
HALF_EVENT = WORD[: len(WORD) // 2]
DONE = b"data: [DONE]\n\n"
MODELS = json.dumps({"object": "list", "data": [{"id": "mock", "object": "model"}]}).encode()
ERROR = {"error": {"message": "Too many requests.", "type": "requests", "param": None, "code": "rate_limit_exceeded"}}
FIRE = {"error": {"message": "The GPU is on fire.", "type": "server_error", "param": None, "code": "fire"}}
GARBAGE = bytes(range(128, 256)) * 8
FILLING = b"x" * 65_536
BYTE_SECONDS, QUICK_BYTE_SECONDS = 1.0, 0.1
SLOW_WORDS, SLOW_WORD_SECONDS = 20, 0.05
DEAF_CONNECT_SECONDS = 0.2
UNREACHABLE, TIMED_OUT = "engine_unreachable", "engine_timed_out"
BROKEN = f"200, then {UNREACHABLE}"
ENDLESS = f"502 {UNREACHABLE} or 504 {TIMED_OUT}"
"""Whichever comes first: the most bytes of an answer, or the end of the time for it."""
_STREAMED = re.compile(rb'"stream": ?true')
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(slots=True)
class Exchange:
    """One request, and the means to answer it."""

    path: str
    streamed: bool
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def is_over(self) -> bool:
        """Whether the other side has gone."""
        return self.writer.is_closing() or self.reader.at_eof()

    def write(self, data: bytes) -> None:
        """Send bytes, or raise ConnectionResetError where the other side has gone."""
        if self.is_over:
            raise ConnectionResetError
        self.writer.write(data)

    def head(self, content_type: str, *more: str, status: str = "200 OK") -> None:
        lines = [f"HTTP/1.1 {status}", f"content-type: {content_type}", *more, "", ""]
        self.write("\r\n".join(lines).encode())

    def whole(self, body: bytes, content_type: str = "application/json", status: str = "200 OK", *more: str) -> None:
        self.head(content_type, f"content-length: {len(body)}", *more, status=status)
        self.write(body)

    def open(self) -> None:
        """The head of an answer without a length: of a stream, or of a whole answer that will not be one."""
        self.head("text/event-stream" if self.streamed else "application/json", "transfer-encoding: chunked")

    def send(self, data: bytes) -> None:
        self.write(b"%x\r\n%b\r\n" % (len(data), data))

    def begin(self) -> None:
        """The first words, or half of a whole answer."""
        self.open()
        self.send(OPENING if self.streamed else ANSWER[: len(ANSWER) // 2])

    def end(self) -> None:
        self.write(b"0\r\n\r\n")

    def reset(self) -> None:
        """Tear the connection down, so that the other side is told so."""
        held: socket.socket = self.writer.get_extra_info("socket")
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.close()


async def answers_well(exchange: Exchange) -> None:
    if not exchange.streamed:
        exchange.whole(ANSWER)
        return
    exchange.open()
    exchange.send(OPENING)
    exchange.send(END + DONE)
    exchange.end()


async def answers_slowly(exchange: Exchange) -> None:
    exchange.open()
    for _ in range(SLOW_WORDS):
        exchange.send(WORD if exchange.streamed else b" ")
        await exchange.writer.drain()
        await asyncio.sleep(SLOW_WORD_SECONDS)
    exchange.send(END + DONE if exchange.streamed else ANSWER)
    exchange.end()


async def resets_at_once(exchange: Exchange) -> None:
    exchange.reset()


async def closes_at_once(exchange: Exchange) -> None:
    exchange.writer.close()


async def resets_midway(exchange: Exchange) -> None:
    exchange.begin()
    await exchange.writer.drain()
    await asyncio.sleep(0.01)  # so that what was sent is not lost with the connection
    exchange.reset()


async def breaks_off_midway(exchange: Exchange) -> None:
    exchange.begin()
    exchange.writer.close()


async def ends_early(exchange: Exchange) -> None:
    exchange.begin()
    exchange.end()


async def ends_in_half_an_event(exchange: Exchange) -> None:
    exchange.begin()
    exchange.send(HALF_EVENT)
    exchange.end()


async def never_answers(exchange: Exchange) -> None:
    await _until_closed(exchange)


async def stalls_midway(exchange: Exchange) -> None:
    exchange.begin()
    await _until_closed(exchange)


async def trickles(exchange: Exchange) -> None:
    exchange.begin()
    await _trickle(BYTE_SECONDS, exchange.send)


async def trickles_quickly(exchange: Exchange) -> None:
    exchange.begin()
    await _trickle(QUICK_BYTE_SECONDS, exchange.send)


async def trickles_its_head(exchange: Exchange) -> None:
    exchange.write(b"HTTP/1.1 200 OK\r\nx-more: ")
    await _trickle(QUICK_BYTE_SECONDS, exchange.write)


async def sends_garbage(exchange: Exchange) -> None:
    exchange.begin()
    exchange.send(b"data: " + GARBAGE + b"\n\n")
    exchange.end()


async def sends_no_http(exchange: Exchange) -> None:
    exchange.write(GARBAGE)
    exchange.writer.close()


async def sends_other_shapes(exchange: Exchange) -> None:
    if exchange.streamed:
        exchange.open()
        exchange.send(b'data: {"choices": [17, {"delta": "no"}]}\n\n' + DONE)
        exchange.end()
    else:
        exchange.whole(b'[{"choices": 17}]')


async def sends_html(exchange: Exchange) -> None:
    exchange.whole(b"<!doctype html><title>Welcome</title><p>It works!", "text/html")


async def sends_broken_gzip(exchange: Exchange) -> None:
    content_type = "text/event-stream" if exchange.streamed else "application/json"
    exchange.whole(GARBAGE, content_type, "200 OK", "content-encoding: gzip")


async def redirects_to_itself(exchange: Exchange) -> None:
    exchange.whole(b"", "text/plain", "307 Temporary Redirect", f"location: {exchange.path}")


async def sends_endlessly(exchange: Exchange) -> None:
    exchange.begin()
    if exchange.streamed:
        exchange.send(b"data: ")
    await _send_endlessly(exchange, exchange.send)


async def sends_an_endless_head(exchange: Exchange) -> None:
    exchange.write(b"HTTP/1.1 200 OK\r\nx: ")
    await _send_endlessly(exchange, exchange.write)


async def refuses_as_busy(exchange: Exchange) -> None:
    exchange.whole(json.dumps(ERROR).encode(), "application/json", "429 Too Many Requests", "retry-after: 30")


async def fails(exchange: Exchange) -> None:
    exchange.whole(b"Internal Server Error", "text/plain", "500 Internal Server Error")


async def fails_midway(exchange: Exchange) -> None:
    if not exchange.streamed:
        exchange.whole(json.dumps(FIRE).encode())
        return
    exchange.begin()
    exchange.send(event_of(FIRE))
    exchange.end()


async def never_accepts(_exchange: Exchange) -> None:
    """Nobody gets here: see `make_deaf`."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the engine does, and how that is to end for a client that streams and for one that does not.

    `share` is how often it is asked for, beside the others. With `client_leaves` the client goes away in the middle.
    """

    behave: Callable[[Exchange], Awaitable[None]]
    label: str
    streamed: str
    whole: str
    share: float = 1.0
    client_leaves: bool = False

    @property
    def name(self) -> str:
        return self.behave.__name__


LEFT = "left"
BEHAVIOURS: Sequence[Behaviour] = (
    Behaviour(answers_well, "answers as it should", "200, done", "200", share=2),
    Behaviour(answers_slowly, "answers slowly, and the client leaves", LEFT, LEFT, client_leaves=True),
    Behaviour(resets_at_once, "resets the connection at once", f"502 {UNREACHABLE}", f"502 {UNREACHABLE}"),
    Behaviour(closes_at_once, "closes the connection at once", f"502 {UNREACHABLE}", f"502 {UNREACHABLE}"),
    Behaviour(resets_midway, "dies midway (reset)", BROKEN, f"502 {UNREACHABLE}"),
    Behaviour(breaks_off_midway, "dies midway (closed)", BROKEN, f"502 {UNREACHABLE}"),
    Behaviour(ends_early, "ends its answer early", BROKEN, f"502 {UNREACHABLE}"),
    Behaviour(ends_in_half_an_event, "ends in half an event", BROKEN, f"502 {UNREACHABLE}"),
    Behaviour(never_answers, "never answers", f"504 {TIMED_OUT}", f"504 {TIMED_OUT}"),
    Behaviour(stalls_midway, "stalls midway", f"200, then {TIMED_OUT}", f"504 {TIMED_OUT}"),
    Behaviour(trickles, "trickles a byte a second", f"200, then {TIMED_OUT}", f"504 {TIMED_OUT}"),
    Behaviour(trickles_quickly, "trickles bytes before its time-out", f"200, then {TIMED_OUT}", f"504 {TIMED_OUT}"),
    Behaviour(trickles_its_head, "trickles the head of its answer", f"504 {TIMED_OUT}", f"504 {TIMED_OUT}"),
    Behaviour(sends_garbage, "sends garbage as an event", BROKEN, f"502 {UNREACHABLE}"),
    Behaviour(sends_no_http, "sends what is not HTTP", f"502 {UNREACHABLE}", f"502 {UNREACHABLE}"),
    Behaviour(sends_other_shapes, "sends JSON of other shapes", f"502 {UNREACHABLE}", f"502 {UNREACHABLE}"),
    Behaviour(sends_html, "answers 200 with HTML", f"502 {UNREACHABLE}", f"502 {UNREACHABLE}"),
    Behaviour(sends_broken_gzip, "sends broken gzip", f"502 {UNREACHABLE}", f"502 {UNREACHABLE}"),
    Behaviour(redirects_to_itself, "redirects to itself", f"502 {UNREACHABLE}", f"502 {UNREACHABLE}"),
    Behaviour(sends_endlessly, "sends an event or answer without end", BROKEN, ENDLESS, share=0.1),
    Behaviour(sends_an_endless_head, "sends a head without end", f"502 {UNREACHABLE}", f"502 {UNREACHABLE}"),
    Behaviour(refuses_as_busy, "answers 429", "429 rate_limit_exceeded", "429 rate_limit_exceeded"),
    Behaviour(fails, "answers 500", f"502 {UNREACHABLE}", f"502 {UNREACHABLE}"),
    Behaviour(fails_midway, "sends an error midway", "200, then fire", f"502 {UNREACHABLE}"),
    Behaviour(never_accepts, "never accepts a connection", f"502 {UNREACHABLE}", f"502 {UNREACHABLE}"),
)


def event_of(data: object) -> bytes:
    """A server-sent event with this data."""
    return b"data: " + json.dumps(data).encode() + b"\n\n"


async def _until_closed(exchange: Exchange) -> None:
    """Say nothing until the other side has gone."""
    await exchange.reader.read()


async def _trickle(pause_seconds: float, send: Callable[[bytes], None]) -> None:
    while True:
        await asyncio.sleep(pause_seconds)
        send(b"x")


async def _send_endlessly(exchange: Exchange, send: Callable[[bytes], None]) -> None:
    while True:
        send(FILLING)
        await exchange.writer.drain()


async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request after the other, as their paths say, until one side has had enough."""
    behaviours = {behaviour.name: behaviour.behave for behaviour in BEHAVIOURS}
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while not writer.is_closing():
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length[1])) if length else b""
            path = head.split(b" ", 2)[1].decode()
            exchange = Exchange(path, bool(_STREAMED.search(body)), reader, writer)
            if path.endswith("/models"):
                exchange.whole(MODELS)
            else:
                await behaviours[path.split("/")[1]](exchange)
            await writer.drain()
    writer.close()


def make_deaf() -> list[socket.socket]:
    """A socket that listens and whose queue is full, so that the system lets every further connection wait; it is the first
    of the list, what fills its queue comes after it."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1)
    made = [listening]
    while True:
        filling = socket.socket()
        filling.settimeout(DEAF_CONNECT_SECONDS)
        try:
            filling.connect(listening.getsockname())
        except TimeoutError:
            filling.close()
            return made
        made.append(filling)


async def _serve() -> None:
    deaf = make_deaf()
    server = await asyncio.start_server(serve_connection, "127.0.0.1", 0, backlog=1024)
    ports = (server.sockets[0].getsockname()[1], deaf[0].getsockname()[1])
    say(url=f"http://127.0.0.1:{ports[0]}", deaf_url=f"http://127.0.0.1:{ports[1]}")
    await asyncio.to_thread(sys.stdin.read)
    server.close()
    for one in deaf:
        one.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as running:
        running.run(_serve())
