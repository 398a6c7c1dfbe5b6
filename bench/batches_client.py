"""A client that asks over HTTP: many questions at once; one after the other with a clock in the hand; and without end."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from bench.batches_desk import ENDPOINT, HEADERS

CLIENT_SECONDS = 600.0
DATA, DONE = b"data: ", b"[DONE]"


@dataclass(slots=True)
class Waits:
    """Seconds from each question to its answer's first token, and to its end."""

    first: list[float] = field(default_factory=list)
    end: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Crowd:
    """Others who ask without end."""

    answered: int = 0


@asynccontextmanager
async def open_client(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=CLIENT_SECONDS)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        url, headers=HEADERS, connector=connector, timeout=timeout, raise_for_status=True
    ) as session:
        yield session


async def ask_all(url: str, bodies: Sequence[dict[str, Any]], at_once: int) -> list[bytes]:
    """The answers to all of it, so many at a time, in the order of the questions."""
    answers = [b""] * len(bodies)
    waiting = iter(enumerate(bodies))

    async def ask_on(session: aiohttp.ClientSession) -> None:
        for number, body in waiting:
            answers[number] = await _ask(session, body)

    async with open_client(url) as session, asyncio.TaskGroup() as asking:
        for _ in range(at_once):
            asking.create_task(ask_on(session))
    return answers


async def ask_with_clock(url: str, bodies: Sequence[dict[str, Any]], pauses: Sequence[float]) -> Waits:
    """Ask one after the other, streamed, each after a pause of so many seconds."""
    waits = Waits()
    async with open_client(url) as session:
        for body, pause_seconds in zip(bodies, pauses, strict=True):
            await asyncio.sleep(pause_seconds)
            first, end = await _time(session, body | {"stream": True})
            waits.first.append(first)
            waits.end.append(end)
    return waits


@asynccontextmanager
async def crowd_under_way(url: str, bodies: Sequence[dict[str, Any]], at_once: int) -> AsyncIterator[Crowd]:
    """So many who ask one question after the other, each anew when all were asked. One that is refused fails the run."""
    crowd = Crowd()

    async def ask_on(session: aiohttp.ClientSession, first: int) -> None:
        number = first
        while True:
            await _ask(session, bodies[number % len(bodies)])
            crowd.answered += 1
            number += at_once

    async with open_client(url) as session:
        asking = [asyncio.create_task(ask_on(session, number)) for number in range(at_once)]
        try:
            while not crowd.answered and not any(task.done() for task in asking):
                await asyncio.sleep(0.05)
            yield crowd
        finally:
            refused = [task for task in asking if task.done()]
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        for task in refused:
            task.result()


async def _ask(session: aiohttp.ClientSession, body: dict[str, Any]) -> bytes:
    async with session.post(ENDPOINT, json=body) as response:
        return await response.read()


async def _time(session: aiohttp.ClientSession, body: dict[str, Any]) -> tuple[float, float]:
    """Seconds to the first token and to the end of a streamed answer. Raises RuntimeError where it breaks off."""
    began, first, last = time.perf_counter(), 0.0, b""
    async with session.post(ENDPOINT, json=body) as response:
        async for line in response.content:
            if not line.startswith(DATA):
                continue
            last = line.removeprefix(DATA).strip()
            if not first and says_something(last):
                first = time.perf_counter() - began
    if last != DONE or not first:
        raise RuntimeError(f"a streamed answer broke off: {last[:300]!r}")
    return first, time.perf_counter() - began


def says_something(event: bytes) -> bool:
    """Whether an event of a stream brings words."""
    if event == DONE:
        return False
    return any(choice["delta"].get("content") for choice in json.loads(event)["choices"])
