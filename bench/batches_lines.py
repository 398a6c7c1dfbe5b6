"""Fifty thousand short lines, and the same questions over HTTP: lines a second, the server's CPU time a line, its memory."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from bench.batches_client import ask_all, open_client
from bench.batches_desk import ROLE, BatchDesk, Outcome, Wanted, mock_engine, server_settings, write_lines
from bench.measure import MemoryWatch, cpu_seconds, rss_mb
from bench.overhead import DOCUMENT, upload_text
from bench.processes import Participant, RunningServer, running_server
from bench.report import Section, Table
from bookwheel.settings import UPSTREAM_BATCH_LINES

LINES, QUICK_LINES = 50_000, 2_000
ASKED, QUICK_ASKED = 5_000, 400
"""Over HTTP: half of them before the batch and half after it."""
WARM_UPS = 100
SHORT, WITH_DOCUMENT = "short questions", "about one small file"
COLUMNS = [
    "", "lines", "lines a second", "to HTTP's", "server's CPU µs a line", "to HTTP's", "validated in s", "memory before, MB",
    "peak, MB",
]  # fmt: skip

Bodies = Callable[[], Iterator[dict[str, Any]]]


@dataclass(slots=True)
class Cost:
    """What so many lines took."""

    lines: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return self.lines / self.seconds

    @property
    def cpu_us(self) -> float:
        return 1e6 * self.cpu_seconds / self.lines


@dataclass(slots=True)
class Found:
    """A batch beside the same questions over HTTP."""

    batch: Cost = field(default_factory=Cost)
    asked: Cost = field(default_factory=Cost)
    validating_seconds: float = 0.0
    before_mb: float = 0.0
    peak_mb: float = 0.0


def measure(wanted: Wanted) -> Outcome:
    """Both kinds of questions, each with a server of its own."""
    lines, asked = (QUICK_LINES, QUICK_ASKED) if wanted.quick else (LINES, ASKED)
    found = {kind: _measure_kind(wanted, kind, lines, asked) for kind in (SHORT, WITH_DOCUMENT)}
    return Outcome(make_section(wanted.command, found))


def make_section(command: str, found: dict[str, Found]) -> Section:
    """Two rows for each kind of question."""
    return Section(
        name="batches-lines",
        title="Batches: lines a second beside requests",
        command=command,
        tables=[Table(COLUMNS, [row for kind, one in found.items() for row in _rows(kind, one)])],
        notes=[
            (
                f"The engine answers at once. A batch's figures are from before its upload to its end, validation included; "
                f"over HTTP one client asks the same questions of the same server, {UPSTREAM_BATCH_LINES} at once as the batch "
                "does, half before the batch and half after it. CPU is the user and system time of the server's own process. "
                "The client of HTTP takes processor time too, which a batch leaves to the engine: where cores are few, "
                "compare the server's. Memory is the resident memory of the server, before the batch and at most during it."
            )
        ],
    )


def _rows(kind: str, found: Found) -> list[list[str]]:
    batch, asked = found.batch, found.asked
    return [
        [
            f"{kind}: a batch",
            f"{batch.lines:,}",
            f"{batch.per_second:,.0f}",
            f"{batch.per_second / asked.per_second:.2f}",
            f"{batch.cpu_us:,.0f}",
            f"{batch.cpu_us / asked.cpu_us:.2f}",
            f"{found.validating_seconds:.2f}",
            f"{found.before_mb:.0f}",
            f"{found.peak_mb:.0f}",
        ],
        [
            f"{kind}: over HTTP", f"{asked.lines:,}", f"{asked.per_second:,.0f}", "1", f"{asked.cpu_us:,.0f}", "1", "", "", "",
        ],
    ]  # fmt: skip


def _measure_kind(wanted: Wanted, kind: str, lines: int, asked: int) -> Found:
    folder = wanted.folder / str(len(list(wanted.folder.iterdir())))
    folder.mkdir()
    with ExitStack() as running:
        engine_url = running.enter_context(Participant("bench.mock_engine")).read()["url"]
        settings = server_settings({"mock": mock_engine(engine_url)})
        server = running.enter_context(running_server(folder, settings))
        bodies = make_bodies(server.url, kind)
        path = write_lines(folder / "lines.jsonl", islice(bodies(), lines))
        return _measure_both(wanted, kind, server, bodies, path, lines, asked)


def make_bodies(url: str, kind: str) -> Bodies:
    """Questions without end, the same at each call; the document that they are about is uploaded."""
    documents = [] if kind == SHORT else [ROLE, {"role": "system", "content": f"fileid://{asyncio.run(_upload(url))}"}]

    def bodies() -> Iterator[dict[str, Any]]:
        number = 0
        while number := number + 1:
            question = {"role": "user", "content": f"Question {number}: who wrote the letter, and when?"}
            yield {"model": "qwen-long", "messages": [*documents, question]}

    return bodies


async def _upload(url: str) -> str:
    async with open_client(url) as session:
        return await upload_text(session, url, "letter.txt", DOCUMENT)


def _measure_both(
    wanted: Wanted, kind: str, server: RunningServer, bodies: Bodies, path: Path, lines: int, asked: int
) -> Found:
    found, questions = Found(), list(islice(bodies(), asked))
    asyncio.run(ask_all(server.url, questions[:WARM_UPS], UPSTREAM_BATCH_LINES))
    wanted.progress.say(f"{kind}: {asked // 2:,} questions over HTTP")
    _ask(server, questions[: asked // 2], found.asked)
    wanted.progress.say(f"{kind}: uploading {lines:,} lines")
    _run_batch(wanted, kind, server, path, lines, found)
    wanted.progress.say(f"{kind}: {asked // 2:,} questions over HTTP again")
    _ask(server, questions[asked // 2 :], found.asked)
    return found


def _ask(server: RunningServer, questions: list[dict[str, Any]], cost: Cost) -> None:
    began, cpu = time.perf_counter(), cpu_seconds(server.pid)
    asyncio.run(ask_all(server.url, questions, UPSTREAM_BATCH_LINES))
    cost.seconds += time.perf_counter() - began
    cost.cpu_seconds += cpu_seconds(server.pid) - cpu
    cost.lines += len(questions)


def _run_batch(wanted: Wanted, kind: str, server: RunningServer, path: Path, lines: int, found: Found) -> None:
    desk = BatchDesk(server.url)
    found.before_mb = rss_mb(server.pid)
    began, cpu = time.perf_counter(), cpu_seconds(server.pid)
    with MemoryWatch(server.pid) as watch:
        file_id = desk.upload(path)
        created = time.perf_counter()
        batch_id = desk.create(file_id)
        desk.wait_until_validated(batch_id)
        found.validating_seconds = time.perf_counter() - created
        batch = desk.wait_until_done(batch_id, lambda what: wanted.progress.say(f"{kind}: {what}"))
    found.batch = Cost(lines, time.perf_counter() - began, cpu_seconds(server.pid) - cpu)
    found.peak_mb = watch.peak_mb
    if batch.request_counts is None or batch.request_counts.completed != lines:
        raise RuntimeError(f"not every line was answered: {batch.request_counts}")
