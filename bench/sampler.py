"""A client that asks `GET /models` at a steady rate and keeps how long each answer took. `python -m bench.sampler URL KEY`.

A request is sent every 5 ms whether or not the last was answered, so that a server that stands still is seen by all who
would have waited for it. Told to end by a line on standard input, it says `samples`: [monotonic second, milliseconds].
"""

import asyncio
import gc
import sys
import time

import aiohttp
import uvloop

from bench.processes import say

PERIOD_SECONDS = 0.005
MOST_CONNECTIONS = 256


async def sample(url: str, key: str) -> None:
    samples: list[tuple[float, float]] = []
    waiting: set[asyncio.Task[None]] = set()
    headers = {"authorization": f"Bearer {key}"}
    told = asyncio.ensure_future(asyncio.to_thread(sys.stdin.readline))
    connector = aiohttp.TCPConnector(limit=MOST_CONNECTIONS)
    async with aiohttp.ClientSession(url, headers=headers, connector=connector, raise_for_status=True) as session:
        await _ask(session, [])
        say(ready=True)
        due = time.monotonic()
        while not told.done():
            task = asyncio.create_task(_ask(session, samples))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
            due = max(due + PERIOD_SECONDS, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
        await asyncio.gather(*waiting)
    say(samples=samples)


async def _ask(session: aiohttp.ClientSession, samples: list[tuple[float, float]]) -> None:
    began = time.monotonic()
    async with session.get("/v1/models") as response:
        await response.read()
    samples.append((began, 1000 * (time.monotonic() - began)))


def main() -> None:
    gc.disable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as running:
        running.run(sample(sys.argv[1], sys.argv[2]))


if __name__ == "__main__":
    main()
