"""What Bookwheel adds to an engine's work: CPU time a request and a streamed event, beside a proxy that looks into nothing.

Both stand before the same mock engine and take turns, round by round. The aim: 1 ms a request, 60 µs an event.
"""

import argparse
import asyncio
import json
import shlex
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bench.measure import MemoryWatch, cpu_seconds, median_of_ratios, with_spread
from bench.mock_engine import EVENTS_BESIDE_WORDS
from bench.processes import Participant, RunningServer, running_server
from bench.report import BENCHMARKS_HEAD, BENCHMARKS_PAGE, Progress, Section, Table, publish

KEY = "sk-bench-0123456789"
QUESTION = "Who wrote the letter, and when?"
DOCUMENT = "The letter was written by the keeper of the lighthouse on the third of May. " * 20
FILE_READ_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    rounds: int
    requests: int
    connections: int
    streams: int
    events: int
    per_second: float


@dataclass(frozen=True, slots=True)
class Target:
    """A server under load; `with_document` is the messages that put its document before it."""

    name: str
    url: str
    pid: int
    with_document: list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Measured:
    """Rounds of one scenario by the target's name."""

    label: str
    values: dict[str, list[float]]
    aim: str


Measure = Callable[[Target], Awaitable[float]]


def main(arguments: list[str]) -> int:
    """Measure, print, and write the section unless the run was a quick one."""
    options = _options(arguments)
    plan = Plan(
        options.rounds,
        options.requests,
        options.connections,
        options.streams,
        options.events,
        options.events_per_second,
    )
    if options.quick:
        plan = Plan(rounds=1, requests=100, connections=4, streams=5, events=50, per_second=50)
    section = asyncio.run(_run(plan, shlex.join(["python", "-m", "bench", "overhead", *arguments])))
    publish(section, BENCHMARKS_PAGE, BENCHMARKS_HEAD, write=not options.quick)
    return 0


async def _run(plan: Plan, command: str) -> Section:
    progress = Progress("overhead")
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="bookwheel-bench-")))
        engine_url = running.enter_context(Participant("bench.mock_engine")).read()["url"]
        server = running.enter_context(running_server(folder, _settings(engine_url)))
        proxy = running.enter_context(Participant("bench.proxy", engine_url))
        connector = aiohttp.TCPConnector(limit=0)
        headers = {"authorization": f"Bearer {KEY}"}
        async with aiohttp.ClientSession(connector=connector, headers=headers, raise_for_status=True) as session:
            targets = await _targets(session, server, proxy)
            watches = {t.name: running.enter_context(MemoryWatch(t.pid)) for t in targets}
            measured, reads = await _measure_all(session, targets, plan, progress)
    progress.done()
    return _section(plan, command, measured, {name: watch.peak_mb for name, watch in watches.items()}, reads)


def _settings(engine_url: str) -> dict[str, Any]:
    """As in production: keys asked for, every request logged."""
    return {
        "engines": {"mock": {"kind": "upstream", "base_url": f"{engine_url}/v1", "model": "mock"}},
        "accounts": {"bench": {"keys": [KEY]}},
        "log": {"level": "info"},
    }


async def _targets(session: aiohttp.ClientSession, server: RunningServer, proxy: Participant) -> list[Target]:
    ask = {"role": "user", "content": QUESTION}
    file_id = await upload_text(session, server.url, "letter.txt", DOCUMENT)
    by_id = [{"role": "system", "content": f"fileid://{file_id}"}, ask]
    as_text = [{"role": "system", "content": DOCUMENT}, ask]
    return [
        Target("Bookwheel", server.url, server.pid, by_id),
        Target("bare proxy", proxy.read()["url"], proxy.pid, as_text),
    ]


async def upload_text(session: aiohttp.ClientSession, url: str, filename: str, text: str) -> str:
    """Upload a text, wait until it is read, and give its id."""
    form = aiohttp.FormData()
    form.add_field("purpose", "file-extract")
    form.add_field("file", text.encode(), filename=filename)
    async with session.post(f"{url}/v1/files", data=form) as response:
        file = await response.json()
    deadline = time.monotonic() + FILE_READ_SECONDS
    while file["status"] == "uploaded" and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
        async with session.get(f"{url}/v1/files/{file['id']}") as response:
            file = await response.json()
    if file["status"] != "processed":
        raise RuntimeError(f"{filename} could not be read: {file}")
    return str(file["id"])


async def _measure_all(
    session: aiohttp.ClientSession, targets: Sequence[Target], plan: Plan, progress: Progress
) -> tuple[list[Measured], dict[str, float]]:
    """Every scenario, and for each target how many events came in one read: more than one was coalesced."""
    small = [{"role": "user", "content": QUESTION}]
    load = _Load(session, plan)
    measured = [
        Measured(label, await _take_turns(targets, measure, plan.rounds, label, progress), aim)
        for label, aim, measure in (
            ("chat without documents, ms a request", "1", lambda target: load.requests(target, small)),
            (
                "chat about one small file, ms a request",
                "1",
                lambda target: load.requests(target, target.with_document),
            ),
            ("streamed answer, µs an event", "60", load.streams),
        )
    ]
    return measured, {target.name: load.events_per_read(target) for target in targets}


async def _take_turns(
    targets: Sequence[Target], measure: Measure, rounds: int, label: str, progress: Progress
) -> dict[str, list[float]]:
    """Rounds of both targets, interleaved, who goes first changing; the first round warms up and does not count."""
    values: dict[str, list[float]] = {target.name: [] for target in targets}
    for number in range(rounds + 1):
        for target in targets if number % 2 else reversed(targets):
            progress.say(f"{label}: {f'round {number} of {rounds}' if number else 'warming up'}, {target.name}")
            value = await measure(target)
            if number:
                values[target.name].append(value)
    return values


class _Load:
    """Puts load on a target and tells what it cost the target."""

    def __init__(self, session: aiohttp.ClientSession, plan: Plan) -> None:
        self._session = session
        self._plan = plan
        self._events: dict[str, int] = {}
        self._reads: dict[str, int] = {}

    async def requests(self, target: Target, messages: list[dict[str, str]]) -> float:
        """Milliseconds of CPU a request."""
        body = json.dumps({"model": "qwen-long", "messages": messages}).encode()
        each = max(1, self._plan.requests // self._plan.connections)
        before = cpu_seconds(target.pid)
        await asyncio.gather(*(self._ask_often(target, body, each) for _ in range(self._plan.connections)))
        return 1000 * (cpu_seconds(target.pid) - before) / (each * self._plan.connections)

    async def streams(self, target: Target) -> float:
        """Microseconds of CPU a streamed event, the requests' own cost included. Streams start apart, not in step."""
        plan = self._plan
        before = cpu_seconds(target.pid)
        offsets = [number / plan.streams / plan.per_second for number in range(plan.streams)]
        events = sum(await asyncio.gather(*(self._read_stream(target, offset) for offset in offsets)))
        cost = 1e6 * (cpu_seconds(target.pid) - before) / events
        if events != plan.streams * (plan.events + EVENTS_BESIDE_WORDS):
            raise RuntimeError(f"{target.name} sent {events} events, {plan.streams} times {plan.events} were asked for")
        return cost

    def events_per_read(self, target: Target) -> float:
        return self._events[target.name] / self._reads[target.name]

    async def _ask_often(self, target: Target, body: bytes, times: int) -> None:
        for _ in range(times):
            async with self._post(target, body) as response:
                await response.read()

    async def _read_stream(self, target: Target, wait_seconds: float) -> int:
        mock = {"events": self._plan.events, "per_second": self._plan.per_second, "wait_seconds": wait_seconds}
        messages = [{"role": "user", "content": QUESTION}]
        body = json.dumps({"model": "qwen-long", "messages": messages, "stream": True, "mock": mock}).encode()
        events = reads = 0
        async with self._post(target, body) as response:
            async for data in response.content.iter_any():
                reads += 1
                events += data.count(b"\n\n")
        self._events[target.name] = self._events.get(target.name, 0) + events
        self._reads[target.name] = self._reads.get(target.name, 0) + reads
        return events

    def _post(self, target: Target, body: bytes) -> Any:
        headers = {"content-type": "application/json"}
        return self._session.post(f"{target.url}/v1/chat/completions", data=body, headers=headers)


def _section(
    plan: Plan, command: str, measured: Sequence[Measured], peaks_mb: dict[str, float], reads: dict[str, float]
) -> Section:
    ours, theirs = peaks_mb
    rows = [
        [
            m.label,
            with_spread(m.values[ours]),
            with_spread(m.values[theirs]),
            f"{median_of_ratios(m.values[ours], m.values[theirs]):.2f}",
            m.aim,
        ]
        for m in measured
    ]
    memory = [f"{peaks_mb[ours]:.0f}", f"{peaks_mb[theirs]:.0f}", f"{peaks_mb[ours] / peaks_mb[theirs]:.2f}", ""]
    rows.append(["peak memory, MB", *memory])
    return Section(
        name="overhead",
        title="Overhead: CPU time beside a bare proxy",
        command=command,
        tables=[Table(["CPU time", ours, theirs, "ratio", "aim"], rows)],
        notes=[
            (
                f"User and system time of the server's own process; the median of {plan.rounds} rounds, the least and the most "
                f"in brackets. A round is {plan.requests} requests over {plan.connections} connections, or {plan.streams} "
                f"streams of {plan.events} words at {plan.per_second:g} a second each."
            ),
            (
                "Bookwheel asks for keys and logs every request to a file; the proxy passes bytes on. The client saw "
                f"{reads[ours]:.2f} events a read from Bookwheel and {reads[theirs]:.2f} from the proxy: near 1, none were "
                "coalesced, and an event's cost is a whole event's."
            ),
        ],
    )


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench overhead", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only see that it works; nothing is written")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each scenario (default %(default)s)")
    parser.add_argument("--requests", type=int, default=2000, help="requests a round (default %(default)s)")
    parser.add_argument("--connections", type=int, default=8, help="requests at a time (default %(default)s)")
    parser.add_argument("--streams", type=int, default=20, help="streams at a time (default %(default)s)")
    parser.add_argument("--events", type=int, default=800, help="words in a stream (default %(default)s)")
    parser.add_argument(
        "--events-per-second", type=float, default=100, help="words a second in a stream (default %(default)s)"
    )
    return parser.parse_args(arguments)
