"""Two hundred streams of 50 words a second through a server on one core: does it keep up, and what does it cost?

Bookwheel, LiteLLM's proxy and a bare proxy take turns before the same engine, each with a document in every request. The
engine and the client share another core; asked without a server between, they show that they are not what limits.
"""

import argparse
import json
import os
import shlex
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.measure import MemoryWatch, median_of_ratios, percentile, with_spread
from bench.processes import Participant
from bench.report import BENCHMARKS_HEAD, BENCHMARKS_PAGE, Progress, Section, Table, publish
from bench.stream_client import PROBE_SECONDS, Load, Seen
from bench.streamers import Streamer, bare_proxy, bookwheel, engine_alone, litellm, on_cores

Open = Callable[[Path, Participant, str], AbstractContextManager[Streamer]]
ALONE, PROXY, OURS, LITELLM = "the engine itself", "bare proxy", "Bookwheel", "LiteLLM"
OPENS: dict[str, Open] = {ALONE: engine_alone, PROXY: bare_proxy, OURS: bookwheel, LITELLM: litellm}
COLUMNS = [
    "through", "events a second", "CPU µs an event", "to the proxy's", "event late ms, p50", "p99", "its core busy",
    "the other core busy", "peak MB",
]  # fmt: skip
FIRST_COLUMNS = [
    "first event, ms after the engine itself",
    "alone, p50",
    "alone, p95",
    "beside the streams, p50",
    "p95",
]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    names: Sequence[str]
    rounds: int
    streams: int
    per_second: int
    seconds: float

    @property
    def events_per_second(self) -> int:
        return self.streams * self.per_second


@dataclass(frozen=True, slots=True)
class Cores:
    """Where what is measured runs, and where all else does."""

    server: Sequence[int]
    load: Sequence[int]


@dataclass(slots=True)
class Rounds:
    """What was seen of one streamer, round by round."""

    seen: list[Seen] = field(default_factory=list)
    peak_mb: float = 0.0

    def of(self, figure: Callable[[Seen], float]) -> list[float]:
        return [figure(seen) for seen in self.seen]


def main(arguments: list[str]) -> int:
    """Measure, print, and write the section unless the run was a quick one."""
    options = _options(arguments)
    names = [name for name in OPENS if name != LITELLM or not options.without_litellm]
    plan = Plan(names, options.rounds, options.streams, options.per_second, options.seconds)
    if options.quick:
        plan = Plan(names, rounds=1, streams=20, per_second=50, seconds=2)
    found = _run(plan, _choose_cores())
    section = make_section(plan, shlex.join(["python", "-m", "bench", "streams", *arguments]), found)
    publish(section, BENCHMARKS_PAGE, BENCHMARKS_HEAD, write=not options.quick and not options.without_litellm)
    return 0


def make_section(plan: Plan, command: str, found: dict[str, Rounds]) -> Section:
    """What the rounds say, in two tables."""
    least, most = (edge(seen.events / seen.seconds for seen in found[ALONE].seen) for edge in (min, max))
    return Section(
        name="streams",
        title=f"{plan.streams} streams of {plan.per_second} events a second on one core",
        command=command,
        tables=[
            Table(COLUMNS, [_row(name, rounds, found) for name, rounds in found.items()]),
            Table(FIRST_COLUMNS, [_first_row(name, rounds, found[ALONE]) for name, rounds in found.items()]),
        ],
        notes=[
            (
                f"The median of {plan.rounds} rounds, the least and the most in brackets; a round is {plan.seconds:g} s in "
                f"which all streams run: {plan.events_per_second:,} events a second are asked for, {least:,.0f} to "
                f"{most:,.0f} come from the engine where nothing stands between. CPU is the user and system time of the "
                "server's own process, which has one core; engine and client share another. An event's delay is from its "
                "writing by the engine to its reading by the client."
            ),
            (
                "Each request has the same document: Bookwheel is given its id, and reads it for each; the others get its text "
                "in the request. First events are those of further requests, one after the other, before the streams begin and "
                "beside them, each waited for no longer than "
                f"{PROBE_SECONDS:g} s; a server is started anew for each round."
            ),
            *(f"{name}: {seen.trouble}" for name, rounds in found.items() for seen in rounds.seen if seen.trouble),
        ],
    )


def _run(plan: Plan, cores: Cores) -> dict[str, Rounds]:
    progress = Progress("streams")
    found = {name: Rounds() for name in plan.names}
    for number in range(plan.rounds):
        for name in plan.names if number % 2 == 0 else reversed(plan.names):
            progress.say(f"round {number + 1} of {plan.rounds}, {name}")
            _measure(plan, cores, name, found[name])
    progress.done()
    return found


def _measure(plan: Plan, cores: Cores, name: str, rounds: Rounds) -> None:
    """One round. Everything is started anew: what one streamer leaves undone is not left to the next."""
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="bookwheel-bench-")))
        with on_cores(cores.load):
            engine = running.enter_context(Participant("bench.stream_engine"))
            client = running.enter_context(Participant("bench.stream_client"))
        with on_cores(cores.server):
            streamer = running.enter_context(OPENS[name](folder, engine, engine.read()["url"]))
        watch = running.enter_context(MemoryWatch(streamer.pid))
        client.tell(json.dumps(asdict(_load(plan, streamer, engine.pid))))
        seen = Seen(**client.read())
    if seen.trouble and (name != LITELLM or not seen.seconds):
        raise RuntimeError(f"{name}: {seen.trouble}")
    rounds.seen.append(seen)
    rounds.peak_mb = max(rounds.peak_mb, watch.peak_mb)


def _load(plan: Plan, streamer: Streamer, engine_pid: int) -> Load:
    return Load(
        url=streamer.url,
        headers=streamer.headers,
        model=streamer.model,
        messages=streamer.messages,
        streams=plan.streams,
        per_second=plan.per_second,
        seconds=plan.seconds,
        pid=streamer.pid,
        engine_pid=engine_pid,
    )


def _row(name: str, rounds: Rounds, found: dict[str, Rounds]) -> list[str]:
    cost, proxy_cost = rounds.of(_cost_us), found[PROXY].of(_cost_us)
    return [
        name,
        with_spread(rounds.of(lambda seen: seen.events / seen.seconds), 0),
        "" if name == ALONE else with_spread(cost, 1),
        "" if name == ALONE else f"{median_of_ratios(cost, proxy_cost):.2f}",
        with_spread(rounds.of(lambda seen: seen.delay_p50_ms), 1),
        with_spread(rounds.of(lambda seen: seen.delay_p99_ms), 1),
        "" if name == ALONE else f"{100 * statistics.median(rounds.of(lambda seen: seen.cpu / seen.seconds)):.0f} %",
        f"{100 * statistics.median(rounds.of(lambda seen: seen.load_cpu / seen.seconds)):.0f} %",
        "" if name == ALONE else f"{rounds.peak_mb:.0f}",
    ]


def _first_row(name: str, rounds: Rounds, alone: Rounds) -> list[str]:
    return [
        name,
        *(_added_ms(rounds, alone, kind, percent) for kind in ("idle_ms", "loaded_ms") for percent in (50, 95)),
    ]


def _added_ms(rounds: Rounds, alone: Rounds, kind: str, percent: float) -> str:
    """What a streamer adds to the engine's own milliseconds, of the same round; of the engine, these themselves."""
    own = alone.of(lambda seen: percentile(getattr(seen, kind), percent))
    if rounds is alone:
        return f"({with_spread(own, 1)})"
    through = rounds.of(lambda seen: percentile(getattr(seen, kind), percent))
    if statistics.median(through) >= 1000 * PROBE_SECONDS:
        return f"over {1000 * PROBE_SECONDS:,.0f}"
    return with_spread([a - b for a, b in zip(through, own, strict=True)], 1)


def _cost_us(seen: Seen) -> float:
    return 1e6 * seen.cpu / max(1, seen.events)


def _choose_cores() -> Cores:
    if not hasattr(os, "sched_getaffinity"):
        print("Processes cannot be pinned to cores here: they run on any.", file=sys.stderr)
        return Cores([], [])
    first, *others = sorted(os.sched_getaffinity(0))
    return Cores([first], others or [first])


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench streams", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only see that it works; nothing is written")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (default %(default)s)")
    parser.add_argument("--streams", type=int, default=200, help="streams at a time (default %(default)s)")
    parser.add_argument("--per-second", type=int, default=50, help="words a second in a stream (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=8, help="how long a round measures (default %(default)s)")
    parser.add_argument("--without-litellm", action="store_true", help="leave LiteLLM out; nothing is written")
    return parser.parse_args(arguments)
