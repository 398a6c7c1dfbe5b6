"""An engine for many streams at once, that costs next to nothing. `python -m bench.stream_engine`.

The last question says what to send: `[WORDS words, PER_SECOND a second]`. Every word is an event with its number and the
time at which it was written, so that whoever reads it can tell what is missing and how long it was under way.
"""

import asyncio
import heapq
import json
import re
import sys
import time
from typing import cast

import uvloop

from bench.mock_engine import END, ROLE, event
from bench.processes import say

STEP_SECONDS = 0.001
"""What is due within it goes out together, each event as a write of its own."""
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
MODELS = json.dumps({"object": "list", "data": [{"id": "mock", "object": "model"}]}).encode()
MODELS_ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(MODELS) + MODELS
)
MARK = re.compile(rb"#(\d{7})@(\d{16})")
"""A word: its number, and the microseconds of the monotonic clock, which is one for all processes of a machine."""
WANTED = re.compile(rb"\[(\d+) words, (\d+) a second\]")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def question(words: int, per_second: int) -> str:
    """A question that asks for so many words."""
    return f"Who wrote the letter, and when? [{words} words, {per_second} a second]"


def chunk(data: bytes) -> bytes:
    """Bytes as a chunk of HTTP's chunked encoding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


OPENING = HEAD + chunk(ROLE)
ENDING = chunk(END + b"data: [DONE]\n\n") + b"0\r\n\r\n"
BEFORE_MARK, AFTER_MARK = chunk(event({"content": "#0000000@0000000000000000"})).split(b"#0000000@0000000000000000")


class Wheel:
    """Writes the words of all streams when they are due: one timer for all of them."""

    def __init__(self) -> None:
        self._due: list[tuple[float, int, Stream]] = []
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, stream: "Stream", due: float) -> None:
        """Have a stream write at this time of the loop's clock, in seconds."""
        self._number += 1
        heapq.heappush(self._due, (due, self._number, stream))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(due, self._turn)

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._due and self._due[0][0] <= now + STEP_SECONDS:
            due, number, stream = self._due[0]
            if stream.write_word():
                heapq.heapreplace(self._due, (due + stream.period_seconds, number, stream))
            else:
                heapq.heappop(self._due)
        self._timer = loop.call_at(max(now + STEP_SECONDS, self._due[0][0]), self._turn) if self._due else None


class Stream(asyncio.Protocol):
    """A connection: one request after the other."""

    def __init__(self, wheel: Wheel) -> None:
        self._wheel = wheel
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self._words = self._written = 0
        self.period_seconds = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, ended, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not ended or len(body) < (int(length[1]) if length else 0):
            return
        self._received = b""
        assert self._transport is not None
        if head.startswith(b"GET"):
            self._transport.write(MODELS_ANSWER)
        else:
            self._begin(body)

    def write_word(self) -> bool:
        """Write the next word; False where there is none after it."""
        if self._transport is None:
            return False
        mark = b"#%07d@%016d" % (self._written, time.monotonic_ns() // 1000)
        self._transport.write(BEFORE_MARK + mark + AFTER_MARK)
        self._written += 1
        if self._written < self._words:
            return True
        self._transport.write(ENDING)
        return False

    def _begin(self, body: bytes) -> None:
        assert self._transport is not None
        words, per_second = map(int, WANTED.findall(body)[-1])
        self._words, self._written, self.period_seconds = words, 0, 1 / per_second
        self._transport.write(OPENING)
        self._wheel.add(self, asyncio.get_running_loop().time() + self.period_seconds)


async def _serve() -> None:
    wheel = Wheel()
    server = await asyncio.get_running_loop().create_server(lambda: Stream(wheel), "127.0.0.1", 0, backlog=1024)
    say(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as running:
        running.run(_serve())
