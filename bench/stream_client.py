"""Reads many streams of `stream_engine` at once, through whatever stands before it. `python -m bench.stream_client`.

It is told what to do in a line of JSON, the fields of `Load`, and says the fields of `Seen`. To cost little it looks for the
words' marks in what arrives and at nothing else.
"""

import asyncio
import gc
import json
import sys
import time
from array import array
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import cast
from urllib.parse import urlsplit

import uvloop

from bench.measure import cpu_seconds, percentile
from bench.processes import say
from bench.stream_engine import MARK, question

WARM_UPS, IDLE_PROBES = 5, 40
RAMP_SECONDS = 2.0
"""Over which the streams begin, one after the other, with growing pauses, so that they do not go in step."""
SETTLE_SECONDS = 0.5
PROBE_PAUSE_SECONDS = 0.2
PROBE_SECONDS = 20.0
"""A probe that has not been answered by then is given up, and counts as this long."""
ENDLESS_WORDS = 1_000_000
OK = b"HTTP/1.1 200"


@dataclass(frozen=True, slots=True)
class Load:
    """What to ask for. `messages` come before the question; `pid` is the server's, `engine_pid` the engine's."""

    url: str
    headers: Mapping[str, str]
    model: str
    messages: list[dict[str, str]]
    streams: int
    per_second: int
    seconds: float
    pid: int
    engine_pid: int


@dataclass(slots=True)
class Seen:
    """What was seen in the seconds of the measurement, CPU times in seconds. `idle_ms` and `loaded_ms` are times from a
    request to its first event, of requests beside the streams; delays are from an event's writing to its reading."""

    seconds: float = 0.0
    events: int = 0
    begun: int = 0
    lost: int = 0
    failed: str = ""
    delay_p50_ms: float = 0.0
    delay_p99_ms: float = 0.0
    cpu: float = 0.0
    load_cpu: float = 0.0
    idle_ms: list[float] = field(default_factory=list)
    loaded_ms: list[float] = field(default_factory=list)

    @property
    def trouble(self) -> str:
        """What went wrong, in words; nothing where all went well."""
        lost = f"{self.lost} events were lost or came twice." if self.lost else ""
        failed = f"A request failed: {' '.join(self.failed.split())[:200]}" if self.failed else ""
        return f"{lost} {failed}".strip()


class Tally:
    """What all streams brought since the last `reset`."""

    def __init__(self) -> None:
        self.delays_us: array[int] = array("q")
        self.lost = self.begun = 0
        self.failed = ""

    def reset(self) -> None:
        self.delays_us = array("q")


class Reader(asyncio.Protocol):
    """One stream: sends its request, and tells the tally of its words.

    `first` gets the seconds to the first event, `ended` whether the stream came to its end.
    """

    def __init__(self, tally: Tally, request: bytes) -> None:
        self._tally = tally
        self._request = request
        self._rest = b""
        self._is_open = False
        self._next = 0
        self._asked = 0.0
        loop = asyncio.get_running_loop()
        self.first: asyncio.Future[float] = loop.create_future()
        self.ended: asyncio.Future[bool] = loop.create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._asked = time.monotonic()
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        buffer = self._rest + data
        end = buffer.rfind(b"\n\n")
        if not self.first.done():
            self._look_for_first(buffer)
        if end < 0:
            self._rest = buffer
            return
        self._rest = buffer[end:]
        self._count(buffer[:end])

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if not self.first.done():
            self._fail("closed the connection before it answered")
        self._end(False)

    def abort(self) -> None:
        """Leave, whatever is still to come."""
        self.first.cancel()
        self.ended.cancel()
        if self.transport is not None:
            self.transport.abort()

    def _look_for_first(self, buffer: bytes) -> None:
        if not self._is_open:
            if len(buffer) < len(OK):
                return
            self._is_open = buffer.startswith(OK)
        if not self._is_open:
            self._fail(buffer[:300].decode("utf-8", "replace"))
        elif b"data: {" in buffer:
            self._tally.begun += 1
            self.first.set_result(time.monotonic() - self._asked)

    def _count(self, events: bytes) -> None:
        now_us = time.monotonic_ns() // 1000
        tally = self._tally
        for number, written_us in MARK.findall(events):
            if int(number) != self._next:
                tally.lost += 1
            self._next = int(number) + 1
            tally.delays_us.append(now_us - int(written_us))
        if events.endswith(b"[DONE]"):
            self._end(True)

    def _end(self, whole: bool) -> None:
        if not self.ended.done():
            self.ended.set_result(whole)

    def _fail(self, why: str) -> None:
        self._tally.failed = self._tally.failed or why
        if not self.first.done():
            self.first.set_result(PROBE_SECONDS)


class Client:
    """Opens streams as a load says."""

    def __init__(self, load: Load) -> None:
        address = urlsplit(load.url)
        self._load = load
        self._host, self._port = address.hostname or "", address.port or 80
        self.tally = Tally()

    async def measure(self) -> Seen:
        """Ask alone, then beside the streams while all of them run."""
        load = self._load
        await self._probe_often(WARM_UPS)
        idle_ms = await self._probe_often(IDLE_PROBES)
        if self.tally.failed:
            return Seen(failed=self.tally.failed)
        self.tally.begun = 0
        streams = []
        for number in range(load.streams):
            streams.append(await self._connect(self.tally, ENDLESS_WORDS))
            await asyncio.sleep(RAMP_SECONDS / load.streams * (0.5 + number / load.streams))
        await asyncio.sleep(SETTLE_SECONDS)
        seen = await self._measure_loaded()
        for stream in streams:
            stream.abort()
        seen.idle_ms = idle_ms
        return seen

    async def _measure_loaded(self) -> Seen:
        load, tally, seen = self._load, self.tally, Seen()
        seen.begun = tally.begun
        tally.reset()
        began, cpu, load_cpu = time.monotonic(), cpu_seconds(load.pid), self._load_cpu()
        probing = asyncio.create_task(self._probe_until(began + load.seconds))
        await asyncio.sleep(load.seconds)
        seen.seconds = time.monotonic() - began
        delays = tally.delays_us
        tally.reset()
        seen.cpu, seen.load_cpu = cpu_seconds(load.pid) - cpu, self._load_cpu() - load_cpu
        seen.loaded_ms = await probing
        seen.events, seen.lost, seen.failed = len(delays), tally.lost, tally.failed
        if delays:
            seen.delay_p50_ms, seen.delay_p99_ms = percentile(delays, 50) / 1000, percentile(delays, 99) / 1000
        return seen

    async def _probe_often(self, times: int) -> list[float]:
        return [await self._probe() for _ in range(times)]

    async def _probe_until(self, end: float) -> list[float]:
        milliseconds = []
        while time.monotonic() < end:
            milliseconds.append(await self._probe())
            await asyncio.sleep(PROBE_PAUSE_SECONDS)
        return milliseconds

    async def _probe(self) -> float:
        """Milliseconds to the first event of a stream of one word, counted apart from the others."""
        tally = Tally()
        reader = await self._connect(tally, 1)
        seconds = PROBE_SECONDS
        with suppress(TimeoutError):
            async with asyncio.timeout(PROBE_SECONDS):
                seconds = await reader.first
                await reader.ended
        reader.abort()
        self.tally.failed = self.tally.failed or tally.failed
        return 1000 * seconds

    async def _connect(self, tally: Tally, words: int) -> Reader:
        request = make_request(self._load, words)
        loop = asyncio.get_running_loop()
        _, reader = await loop.create_connection(lambda: Reader(tally, request), self._host, self._port)
        return reader

    def _load_cpu(self) -> float:
        return time.process_time() + cpu_seconds(self._load.engine_pid)


def make_request(load: Load, words: int) -> bytes:
    """The whole HTTP request for a stream of so many words."""
    asked = {"role": "user", "content": question(words, load.per_second)}
    body = json.dumps({"model": load.model, "messages": [*load.messages, asked], "stream": True}).encode()
    host = urlsplit(load.url).netloc
    headers = {"host": host, "content-type": "application/json", "content-length": str(len(body)), **load.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /v1/chat/completions HTTP/1.1\r\n{lines}\r\n".encode() + body


def main() -> None:
    gc.disable()
    load = Load(**json.loads(sys.stdin.readline()))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as running:
        say(**asdict(running.run(Client(load).measure())))


if __name__ == "__main__":
    main()
