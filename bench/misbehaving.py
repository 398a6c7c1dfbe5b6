"""Ten thousand requests to engines that die, stall, lie and never end: each client gets a proper end, and nothing stays.

Every kind of engine is asked streamed and not, with a document and without, in a mixed order. What the server holds is
counted before, after a tenth, and after all of it. A wrong end, or anything that is left, fails the run.
"""

import argparse
import asyncio
import random
import shlex
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from bench.misbehaving_client import Ask, Asker, Ended, ask_all
from bench.misbehaving_engine import BEHAVIOURS, Behaviour, answers_well, never_accepts
from bench.overhead import DOCUMENT, upload_text
from bench.processes import Participant
from bench.report import BENCHMARKS_HEAD, BENCHMARKS_PAGE, Progress, Section, Table, publish
from bench.watching import Moment, WatchedServer, open_watched_server

KEYS = [f"sk-bench-misbehaving-{number}" for number in range(4)]
"""One for each account."""
CONNECT_SECONDS, SILENCE_SECONDS, RETRIES, CONCURRENCY = 0.5, 1.0, 1, 16
ALLOWED_SECONDS = 8.0
"""For a request: two tries of at most 1.1 seconds and a pause between them, and the rest for a machine that is busy."""
MOST_MEMORY_GROWTH_MB, MOST_OBJECTS_GROWTH, MOST_FDS_GROWTH = 16, 2_000, 4
"""From a tenth of the requests to all of them."""
SHOWN_WRONG = 20
DEAF_ENGINES = 1
"""Engines whose health is asked for without end, since they never answer that."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many requests, and how many at a time."""

    requests: int
    at_once: int


@dataclass(slots=True)
class Found:
    """How the requests ended, and what the server held at each moment."""

    ended: list[tuple[Ask, Ended]] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)

    def wrong(self) -> list[str]:
        """The requests that did not end as they are to, in words."""
        return [
            f"{ask.behaviour.label} ({ask.how}): {ended.outcome} after {ended.seconds:.1f} s, expected {ask.expected}"
            for ask, ended in self.ended
            if not ask.accepts(ended.outcome) or ended.seconds > ALLOWED_SECONDS
        ]


def main(arguments: list[str]) -> int:
    """Run it all. Exit status 1 where anything is wrong; nothing is written then."""
    options = _options(arguments)
    plan = Plan(600 if options.quick else options.requests, options.at_once)
    found = asyncio.run(_run(plan))
    wrong = found.wrong() + find_leaks(found.moments)
    section = make_section(plan, shlex.join(["python", "-m", "bench", "misbehaving", *arguments]), found)
    publish(section, BENCHMARKS_PAGE, BENCHMARKS_HEAD, write=not options.quick and not wrong)
    for line in wrong[:SHOWN_WRONG]:
        print(f"WRONG: {line}", file=sys.stderr)
    if len(wrong) > SHOWN_WRONG:
        print(f"... and {len(wrong) - SHOWN_WRONG} more", file=sys.stderr)
    return 1 if wrong else 0


def mix(requests: int, dice: random.Random) -> list[Ask]:
    """So many requests, every behaviour by its share, streamed and not, with a document and without, in any order."""
    ways = [
        (Ask(behaviour, streamed, with_document), behaviour.share)
        for behaviour in BEHAVIOURS
        for streamed in (True, False)
        for with_document in (True, False)
    ]
    total = sum(share for _, share in ways)
    asks = [ask for ask, share in ways for _ in range(max(1, round(requests * share / total)))]
    dice.shuffle(asks)
    return asks


def find_leaks(moments: Sequence[Moment]) -> list[str]:
    """What the server holds at the last moment and did not at the first or, where work leaves its mark, at the second."""
    first, second, last = moments
    found = [
        f"{name}: {after} after {last.requests:,} requests, {before} before"
        for name, before, after in (
            ("tasks", first.tasks, last.tasks),
            ("asynchronous generators", first.generators, last.generators),
            ("sockets", first.sockets + last.health_checks, last.sockets),
            ("turns taken", 0, last.turns),
            ("threads", second.threads, last.threads),
        )
        if after > before
    ]
    if last.health_checks > len(BEHAVIOURS):
        found.append(f"{last.health_checks} health checks of {len(BEHAVIOURS)} engines")
    found += [
        f"{name} grew by {grown:,.0f} from {second.requests:,} to {last.requests:,} requests, at most {most:,} are allowed"
        for name, grown, most in (
            ("memory in use, MB,", last.used_mb - second.used_mb, MOST_MEMORY_GROWTH_MB),
            ("objects", last.objects - second.objects, MOST_OBJECTS_GROWTH),
            ("open files", last.fds - second.fds, MOST_FDS_GROWTH),
        )
        if grown > most
    ]
    if found:
        found.append(f"tasks and sockets at the end: {last.names}")
    return found


def make_section(plan: Plan, command: str, found: Found) -> Section:
    """How requests ended by behaviour, and what the server held."""
    moments = [
        [
            f"{moment.requests:,}", f"{moment.held_mb:.0f}", f"{moment.used_mb:.0f}", str(moment.sockets), str(moment.fds),
            str(moment.threads), str(moment.tasks), str(moment.health_checks), str(moment.generators),
            f"{moment.objects:,}", str(moment.turns),
        ]
        for moment in found.moments
    ]  # fmt: skip
    return Section(
        name="misbehaving",
        title="Engines that misbehave",
        command=command,
        tables=[
            Table(
                ["the engine", "requests", "streamed answers end with", "whole answers with", "as they must", "longest s"],
                [_row(behaviour, found.ended) for behaviour in BEHAVIOURS],
            ),
            Table(
                [
                    "after requests", "memory MB", "in use", "TCP sockets", "open files", "threads", "tasks", "health checks",
                    "generators", "objects", "turns taken",
                ],
                moments,
            ),
        ],
        notes=[
            (
                f"{len(found.ended):,} requests, {plan.at_once} at a time, a quarter each of streamed and not, with a document "
                f"and without, of {len(KEYS)} accounts. The engines' time-outs are {CONNECT_SECONDS:g} s to connect and "
                f"{SILENCE_SECONDS:g} s of silence; what had not begun is tried once more, with {CONCURRENCY} requests at a "
                "time for each engine. “Then” is an error that comes as the stream's last event."
            ),
            (
                "What the server holds is counted when it has nothing to do, and its connections have ended by themselves: "
                "tasks, asynchronous generators and other objects from within, the rest from outside. Memory in use is without "
                "what the C library keeps free. “Turns taken” is what `GET /health` tells as running and waiting. A health "
                "check is the one task that asks an engine which is down whether it is up again."
            ),
        ],
    )  # fmt: skip


def _row(behaviour: Behaviour, ended: Sequence[tuple[Ask, Ended]]) -> list[str]:
    own = [(ask, end) for ask, end in ended if ask.behaviour is behaviour]
    right = sum(ask.accepts(end.outcome) for ask, end in own)
    longest = max(end.seconds for _, end in own)
    return [
        behaviour.label,
        str(len(own)),
        behaviour.streamed,
        behaviour.whole,
        "all" if right == len(own) else f"{right} of {len(own)}",
        f"{longest:.1f}",
    ]


async def _run(plan: Plan) -> Found:
    progress, found = Progress("misbehaving"), Found()
    asks = mix(plan.requests, random.Random(1))
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="bookwheel-bench-")))
        urls = running.enter_context(Participant("bench.misbehaving_engine")).read()
        server = running.enter_context(open_watched_server(folder, _settings(urls["url"], urls["deaf_url"])))
        file_ids = [await _upload(server.url, key) for key in KEYS]
        tenth = len(asks) // 10
        for begin, end in ((0, 0), (0, tenth), (tenth, len(asks))):
            progress.say(f"requests {begin:,} to {end:,}")
            found.ended += await _ask(server, file_ids, asks[begin:end], plan.at_once)
            progress.say(f"waiting for rest after {end:,} requests")
            found.moments.append(await asyncio.to_thread(server.look, end, DEAF_ENGINES))
    progress.done()
    return found


async def _ask(
    server: WatchedServer, file_ids: Sequence[str], asks: Sequence[Ask], at_once: int
) -> list[tuple[Ask, Ended]]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        askers = [Asker(session, server.url, key, file_id) for key, file_id in zip(KEYS, file_ids, strict=True)]
        return await ask_all(askers, asks, at_once)


async def _upload(url: str, key: str) -> str:
    headers = {"authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers, raise_for_status=True) as session:
        return await upload_text(session, url, "letter.txt", DOCUMENT)


def _settings(url: str, deaf_url: str) -> dict[str, Any]:
    """An engine for every behaviour, and an account for every key."""
    engines = {
        behaviour.name: {
            "kind": "upstream",
            "base_url": f"{deaf_url if behaviour.behave is never_accepts else url}/{behaviour.name}/v1",
            "model": "mock",
            "connect_seconds": CONNECT_SECONDS,
            "silence_seconds": SILENCE_SECONDS,
            "retries": RETRIES,
            "concurrency": CONCURRENCY,
        }
        for behaviour in BEHAVIOURS
    }
    accounts = {f"account-{number}": {"keys": [key]} for number, key in enumerate(KEYS)}
    models = {"default": answers_well.__name__} | {name: name for name in engines}
    return {"engines": engines, "models": models, "accounts": accounts, "log": {"level": "info"}}


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench misbehaving", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="600 requests; nothing is written")
    parser.add_argument("--requests", type=int, default=10_000, help="requests (default %(default)s)")
    parser.add_argument("--at-once", type=int, default=64, help="requests at a time (default %(default)s)")
    return parser.parse_args(arguments)
