"""Fifty thousand lines and a server that is killed twenty times on the way: each line has one result, and it is its own.

The moments are drawn: after so many lines, and a part of a second more, so that they are spread over the run however fast the
machine is. The server gets SIGKILL, and is started again on the same data.
"""

import os
import random
import signal
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.batches_desk import (
    BATCH_SECONDS,
    ENDED,
    BatchDesk,
    Line,
    Outcome,
    Wanted,
    ask_engine,
    count_done,
    mock_engine,
    number_of,
    server_settings,
    tell_counts,
    write_lines,
)
from bench.processes import Participant, running_server
from bench.report import Section, Table

LINES, QUICK_LINES = 50_000, 4_000
KILLS, QUICK_KILLS = 20, 5
POLL_SECONDS = 0.02
LONGEST_DELAY_SECONDS = 0.1
LATEST_SHARE = 0.97
"""Of the lines after which the last kill may come: what is killed afterwards was done already."""
SHOWN_WRONG = 5


@dataclass(frozen=True, slots=True)
class Kill:
    """When to kill: so long after so many lines were seen to be done."""

    lines: float
    delay_seconds: float


@dataclass(slots=True)
class Tally:
    """The results that came, by line, and those that say what another line asked for."""

    lines: int
    times: "array[int]" = field(init=False)
    failed: int = 0
    foreign: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.times = array("I", bytes(4 * (self.lines + 1)))

    def add(self, line: Line) -> None:
        self.failed += line.status != 200
        if not 1 <= number_of(line.custom_id) <= self.lines or line.text not in (None, line.custom_id):
            self.foreign.append(line.custom_id)
            return
        self.times[number_of(line.custom_id)] += 1

    @property
    def results(self) -> int:
        return sum(self.times)

    @property
    def lost(self) -> list[int]:
        """The numbers of lines without a result."""
        return [number for number in range(1, self.lines + 1) if not self.times[number]]

    @property
    def twice(self) -> list[int]:
        """The numbers of lines with more than one."""
        return [number for number in range(1, self.lines + 1) if self.times[number] > 1]

    def wrong(self) -> list[str]:
        """What must not be, in words."""
        found: list[tuple[str, Sequence[object]]] = [
            ("lost", self.lost),
            ("there twice", self.twice),
            ("another line's", self.foreign),
        ]
        return [f"{len(those):,} results are {what}: {those[:SHOWN_WRONG]}" for what, those in found if those]


@dataclass(slots=True)
class Found:
    """How it went."""

    tally: Tally
    seed: int
    seconds: float = 0.0
    down_seconds: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    """What the batch was when the server was killed."""
    asked: dict[str, int] = field(default_factory=dict)
    """What the engine tells: see `mock_engine.asked`."""
    counted: int = 0
    """What the batch itself says is done."""

    def wrong(self) -> list[str]:
        """What must not be, in words."""
        results = self.tally.results + len(self.tally.foreign)
        miscounted = f"the batch counts {self.counted:,} results, and there are {results:,}"
        return self.tally.wrong() + ([miscounted] if self.counted != results else [])


def measure(wanted: Wanted) -> Outcome:
    """The whole run, and what came of it."""
    lines, kills = (QUICK_LINES, QUICK_KILLS) if wanted.quick else (LINES, KILLS)
    found = Found(Tally(lines), wanted.seed)
    with ExitStack() as running:
        path = write_lines(wanted.folder / "lines.jsonl", make_bodies(lines))
        engine_url = running.enter_context(Participant("bench.mock_engine")).read()["url"]
        settings = server_settings({"mock": mock_engine(engine_url)})
        _run(wanted, settings, path, draw_kills(lines, kills, wanted.seed), found)
        found.asked = ask_engine(engine_url)
    return Outcome(make_section(wanted.command, found), found.wrong())


def make_bodies(lines: int) -> Iterator[dict[str, Any]]:
    """Each has the engine say the line's own custom id."""
    for number in range(1, lines + 1):
        question = {"role": "user", "content": f"What is the number of this line? It is {number}."}
        yield {"model": "qwen-long", "messages": [question], "mock": {"say": f"line-{number}"}}


def draw_kills(lines: int, kills: int, seed: int) -> list[Kill]:
    """The first as soon as there is a batch, the others anywhere; the same for the same seed."""
    dice = random.Random(seed)
    moments = [0, *sorted(dice.uniform(0, LATEST_SHARE * lines) for _ in range(kills - 1))]
    return [Kill(moment, dice.uniform(0, LONGEST_DELAY_SECONDS)) for moment in moments]


def make_section(command: str, found: Found) -> Section:
    """One row that says it all."""
    tally, asked = found.tally, found.asked
    kills = found.statuses.total()
    statuses = ", ".join(f"{status} {count}" for status, count in found.statuses.most_common())
    downs = f"{min(found.down_seconds):.1f} to {max(found.down_seconds):.1f} s" if found.down_seconds else "none"
    return Section(
        name="batches-kills",
        title=f"A batch whose server is killed {kills} times",
        command=command,
        tables=[
            Table(
                ["lines", "results", "lost", "twice", "of another line", "failed", "asked more than once", "seconds"],
                [
                    [
                        f"{tally.lines:,}",
                        f"{tally.results:,}",
                        f"{len(tally.lost):,}",
                        f"{len(tally.twice):,}",
                        f"{len(tally.foreign):,}",
                        f"{tally.failed:,}",
                        f"{asked['again']:,} ({asked['again'] / tally.lines:.2%})",
                        f"{found.seconds:.0f}",
                    ]
                ],
            )
        ],
        notes=[
            (
                f"`kill -9` of the server at {kills} moments drawn with the seed {found.seed}, and a start on the same data "
                f"each time. When it was killed the batch was: {statuses}. From a kill until the server listened again it "
                f"took {downs}; the seconds are those of it all. Results are counted by `custom_id` over the output and the "
                f"error file; the engine answers each line with the line's own id. It was asked {asked['requests']:,} times: "
                "an answer that was not on disk yet when the server died is asked for again."
            )
        ],
    )


def _run(wanted: Wanted, settings: dict[str, Any], path: Path, kills: Sequence[Kill], found: Found) -> None:
    """Start the server as often as it is killed, and once more."""
    wanted.progress.say(f"the seed is {found.seed}")
    began = time.monotonic()
    batch_id, killed = "", 0.0
    for kill in [*kills, None]:
        with running_server(wanted.folder, settings) as server:
            if killed:
                found.down_seconds.append(time.monotonic() - killed)
            desk = BatchDesk(server.url)
            batch_id = batch_id or desk.create(desk.upload(path))
            if kill is None:
                _see_through(wanted, desk, batch_id, found, began)
                return
            _wait_for(wanted, desk, batch_id, kill, found)
            os.kill(server.pid, signal.SIGKILL)
            killed = time.monotonic()


def _wait_for(wanted: Wanted, desk: BatchDesk, batch_id: str, kill: Kill, found: Found) -> None:
    """Wait for the moment of a kill; what the batch is then is kept."""
    deadline = time.monotonic() + BATCH_SECONDS
    while count_done(batch := desk.look(batch_id)) < kill.lines and batch.status not in ENDED:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{kill.lines:,.0f} lines were not done within {BATCH_SECONDS:g} s: {batch}")
        time.sleep(POLL_SECONDS)
    time.sleep(kill.delay_seconds)
    batch = desk.look(batch_id)
    found.statuses[batch.status] += 1
    wanted.progress.say(f"kill {found.statuses.total()}: {tell_counts(batch)}")


def _see_through(wanted: Wanted, desk: BatchDesk, batch_id: str, found: Found, began: float) -> None:
    """Wait for the end, and count the results."""
    batch = desk.wait_until_done(batch_id, wanted.progress.say)
    found.seconds, found.counted = time.monotonic() - began, count_done(batch)
    wanted.progress.say("counting the results")
    for line in desk.results(batch):
        found.tally.add(line)
