"""A file of 500 MB and 50,000 lines: how long it takes, what memory the server takes, and who waits for it.

While it is uploaded, validated and run, another client asks `GET /models` every 5 ms, as in `bench.uploads`; a bare server
is asked in the same way at the same time.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.batches_desk import OTHER_KEY, BatchDesk, Outcome, Wanted, mock_engine, server_settings, write_lines
from bench.measure import MB, MemoryWatch, percentile, rss_mb
from bench.processes import Participant, RunningServer, running_server
from bench.report import Section, Table
from bench.text import text_pieces

LINES, QUICK_LINES = 50_000, 2_000
LINE_BYTES = 10_000
"""Of a question: with what stands around it 50,000 have some 510,000,000 bytes, a little under the limit of 500 MB."""
POOL_BYTES = 4 * MB
IDLE_SECONDS, QUICK_IDLE_SECONDS = 5.0, 0.5
PHASES = ("idle", "during the upload", "while it is validated", "while its lines run")
COLUMNS = ["GET /models", "requests", "p50 ms", "p99 ms", "max ms", "p99 / idle", "bare server's p99", "its max ms"]

Sample = tuple[float, float]
"""When a request was sent, by the monotonic clock, and how many milliseconds its answer took."""


@dataclass(slots=True)
class Found:
    """The moments between the phases by the monotonic clock, the server's peak memory in each, and the samples."""

    lines: int
    size_bytes: int
    moments: list[float] = field(default_factory=list)
    peaks_mb: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    bare_samples: list[Sample] = field(default_factory=list)


def measure(wanted: Wanted) -> Outcome:
    """One file, from its upload to its results."""
    lines = QUICK_LINES if wanted.quick else LINES
    with ExitStack() as running:
        wanted.progress.say(f"writing {lines:,} lines")
        path = write_lines(wanted.folder / "lines.jsonl", make_bodies(lines))
        engine_url = running.enter_context(Participant("bench.mock_engine")).read()["url"]
        bare_url = running.enter_context(Participant("bench.mock_engine")).read()["url"]
        settings = server_settings({"mock": mock_engine(engine_url)})
        server = running.enter_context(running_server(wanted.folder, settings))
        samplers = [
            running.enter_context(Participant("bench.sampler", url, OTHER_KEY)) for url in (server.url, bare_url)
        ]
        for sampler in samplers:
            sampler.read()
        found = _run(wanted, server, path, Found(lines, path.stat().st_size))
        found.samples, found.bare_samples = map(_end_sampling, samplers)
    return Outcome(make_section(wanted.command, found))


def make_bodies(lines: int) -> Iterator[dict[str, Any]]:
    """Questions of 10 KB, no two the same."""
    pool = b"".join(text_pieces(POOL_BYTES))
    for number in range(1, lines + 1):
        start = 7_919 * number % (POOL_BYTES - LINE_BYTES)
        text = pool[start : start + LINE_BYTES].decode("utf-8", "ignore")
        content = f"Question {number}: what does this text say?\n{text}"
        yield {"model": "qwen-long", "messages": [{"role": "user", "content": content}]}


def make_section(command: str, found: Found) -> Section:
    """Seconds and memory by phase, and the waits of the other client."""
    return Section(
        name="batches-large",
        title=f"A batch of {found.size_bytes / MB:,.0f} MB",
        command=command,
        tables=[
            Table(["phase", "seconds", "MB a second", "lines a second", "server's peak, MB", "over idle"], _phase_rows(found)),
            Table(COLUMNS, [_wait_row(number, found) for number in range(len(PHASES))]),
        ],
        notes=[
            (
                f"{found.lines:,} lines of about {found.size_bytes / found.lines / 1000:.1f} kB each, the engine answers at "
                "once. Memory is the resident memory of the server's process, the pages of files that it has mapped "
                "included; “over idle” is the peak's distance from the peak before the upload. A request to `GET /models` is "
                "sent every 5 ms whether or not the last was answered. The bare server has nothing else to do: what "
                "its client waits is what the machine itself makes it wait at that time."
            )
        ],
    )  # fmt: skip


def _run(wanted: Wanted, server: RunningServer, path: Path, found: Found) -> Found:
    desk = BatchDesk(server.url)
    found.moments.append(time.monotonic())
    with _phase(server, found):
        time.sleep(QUICK_IDLE_SECONDS if wanted.quick else IDLE_SECONDS)
    with _phase(server, found):
        wanted.progress.say(f"uploading {found.size_bytes / MB:,.0f} MB")
        file_id = desk.upload(path)
    with _phase(server, found):
        batch_id = desk.create(file_id)
        desk.wait_until_validated(batch_id)
    with _phase(server, found):
        batch = desk.wait_until_done(batch_id, wanted.progress.say)
    if batch.request_counts is None or batch.request_counts.completed != found.lines:
        raise RuntimeError(f"not every line was answered: {batch.request_counts}")
    wanted.progress.say(f"{rss_mb(server.pid):.0f} MB are held afterwards")
    return found


@contextmanager
def _phase(server: RunningServer, found: Found) -> Iterator[None]:
    """What stands inside is a phase: its end and the server's peak memory in it are kept."""
    with MemoryWatch(server.pid) as watch:
        yield
    found.moments.append(time.monotonic())
    found.peaks_mb.append(watch.peak_mb)


def _end_sampling(sampler: Participant) -> list[Sample]:
    sampler.tell()
    samples: list[Sample] = sampler.read()["samples"]
    return samples


def _phase_rows(found: Found) -> list[list[str]]:
    size_mb, idle_mb = found.size_bytes / MB, found.peaks_mb[0]
    rows = []
    for phase, (since, until), peak_mb in zip(PHASES, pairwise(found.moments), found.peaks_mb, strict=True):
        seconds = until - since
        is_idle, is_run = phase == PHASES[0], phase == PHASES[-1]
        figures = [f"{seconds:.1f}", "" if is_idle else f"{size_mb / seconds:.0f}"]
        rows.append(
            [
                phase,
                *figures,
                f"{found.lines / seconds:,.0f}" if is_run else "",
                f"{peak_mb:.0f}",
                f"{peak_mb - idle_mb:+.0f}",
            ]
        )
    return rows


def _wait_row(number: int, found: Found) -> list[str]:
    phases = list(pairwise(found.moments))
    waits, bare = (_between(samples, *phases[number]) for samples in (found.samples, found.bare_samples))
    if not waits or not bare:
        return [PHASES[number], str(len(waits)), *[""] * (len(COLUMNS) - 2)]
    p99, idle = percentile(waits, 99), percentile(_between(found.samples, *phases[0]), 99)
    figures = (percentile(waits, 50), p99, max(waits), p99 / idle, percentile(bare, 99), max(bare))
    return [PHASES[number], f"{len(waits):,}", *(f"{value:.1f}" for value in figures)]


def _between(samples: Sequence[Sample], since: float, until: float) -> list[float]:
    return [took for at, took in samples if since <= at < until]
