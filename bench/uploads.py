"""Large uploads beside other people's requests: nobody waits for them, memory stays flat, one byte too many is refused.

150 MB of text come from one client while another asks `GET /models` every 5 ms: before, during the upload itself, and
while the file is read. The aim: 99 of 100 answers within 20 ms. A bare server that has nothing else to do is asked in the
same way at the same time: what it makes its client wait is the machine's doing.
"""

import argparse
import contextlib
import shlex
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from openai import OpenAI

from bench.measure import MB, MemoryWatch, percentile, rss_mb
from bench.processes import Participant, RunningServer, running_server
from bench.report import BENCHMARKS_HEAD, BENCHMARKS_PAGE, Progress, Section, Table, publish

UPLOADING_KEY, ASKING_KEY = "sk-bench-uploading", "sk-bench-asking"
READ_SECONDS = 600.0
POLL_SECONDS = 0.25
PHASES = ("idle", "during the upload", "while it is read")
COLUMNS = ["GET /models", "requests", "p50 ms", "p99 ms", "max ms", "p99 / idle", "bare server's p99", "aim p99"]
Sample = tuple[float, float]
"""When a request was sent, by the monotonic clock, and how many milliseconds its answer took."""


@dataclass(slots=True)
class Findings:
    """What the rounds found: milliseconds by phase, of Bookwheel and of the bare server; memory in MB by moment; and what
    became of the upload too large."""

    milliseconds: dict[str, list[float]] = field(default_factory=lambda: {phase: [] for phase in PHASES})
    bare_milliseconds: dict[str, list[float]] = field(default_factory=lambda: {phase: [] for phase in PHASES})
    memory_mb: list[list[float]] = field(default_factory=list)
    upload_seconds: list[float] = field(default_factory=list)
    read_seconds: list[float] = field(default_factory=list)
    refusal: str = ""

    def add(self, samples: Sequence[Sample], bare_samples: Sequence[Sample], moments: Sequence[float]) -> None:
        """One round: the samples, and when the phases began and the last of them ended."""
        for phase, (since, until) in zip(PHASES, pairwise(moments), strict=True):
            self.milliseconds[phase] += [took for at, took in samples if since <= at < until]
            self.bare_milliseconds[phase] += [took for at, took in bare_samples if since <= at < until]
        _, began, ended, read_at = moments
        self.upload_seconds.append(ended - began)
        self.read_seconds.append(read_at - ended)


def main(arguments: list[str]) -> int:
    """Measure, print, and write the section unless the run was a quick one. Status 1: the refusal was not as it must be."""
    options = _options(arguments)
    size_mb, rounds, idle_seconds = (4, 1, 0.5) if options.quick else (options.mb, options.rounds, options.idle_seconds)
    progress, findings = Progress("uploads"), Findings()
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="bookwheel-bench-")))
        server = running.enter_context(running_server(folder, _settings(size_mb)))
        for number in range(1, rounds + 1):
            progress.say(f"{size_mb} MB, round {number} of {rounds}")
            _run_round(server, size_mb * MB, idle_seconds, findings)
        progress.say(f"{size_mb} MB and a byte")
        kept = _upload_one_byte_more(server, size_mb * MB, findings)
    progress.done()
    publish(_section(size_mb, rounds, findings, arguments), BENCHMARKS_PAGE, BENCHMARKS_HEAD, write=not options.quick)
    return 1 if kept else 0


def _settings(size_mb: int) -> dict[str, Any]:
    """The upload answers as soon as it is stored, so that reading is a phase of its own."""
    return {
        "engines": {"fake": {"kind": "fake"}},
        "accounts": {"uploading": {"keys": [UPLOADING_KEY]}, "asking": {"keys": [ASKING_KEY]}},
        "limits": {"document_mb": size_mb},
        "ingest": {"upload_wait_seconds": 0.0},
    }


def _run_round(server: RunningServer, size_bytes: int, idle_seconds: float, findings: Findings) -> None:
    with ExitStack() as running:
        uploader = running.enter_context(_uploader(server, size_bytes))
        bare_server = running.enter_context(Participant("bench.mock_engine"))
        urls = (server.url, bare_server.read()["url"])
        samplers = [running.enter_context(Participant("bench.sampler", url, ASKING_KEY)) for url in urls]
        for sampler in samplers:
            sampler.read()
        memory = [rss_mb(server.pid)]
        idle_since = time.monotonic()
        time.sleep(idle_seconds)
        with MemoryWatch(server.pid) as watch:
            sent = _upload(uploader)
        memory.append(watch.peak_mb)
        if sent["status"] != 200:
            raise RuntimeError(f"the upload was refused: {sent}")
        with MemoryWatch(server.pid) as watch:
            read_at = _wait_until_read(server, sent["answer"]["id"])
        samples, bare_samples = (_end_sampling(sampler) for sampler in samplers)
    findings.memory_mb.append([*memory, watch.peak_mb, rss_mb(server.pid)])
    findings.add(samples, bare_samples, (idle_since, sent["began"], sent["ended"], read_at))


def _end_sampling(sampler: Participant) -> list[Sample]:
    sampler.tell()
    samples: list[Sample] = sampler.read()["samples"]
    return samples


def _uploader(server: RunningServer, size_bytes: int) -> Participant:
    """A client that is ready to upload so much."""
    uploader = Participant("bench.uploader", server.url, UPLOADING_KEY, str(size_bytes))
    uploader.read()
    return uploader


def _upload(uploader: Participant) -> dict[str, Any]:
    uploader.tell()
    return uploader.read()


def _wait_until_read(server: RunningServer, file_id: str) -> float:
    """Wait until a file is read and delete it; when that was, by the monotonic clock."""
    client = OpenAI(base_url=f"{server.url}/v1", api_key=UPLOADING_KEY)
    file = client.files.wait_for_processing(file_id, poll_interval=POLL_SECONDS, max_wait_seconds=READ_SECONDS)
    read_at = time.monotonic()
    client.files.delete(file_id)
    if file.status != "processed":
        raise RuntimeError(f"the upload could not be read: {file.status_details}")
    return read_at


def _upload_one_byte_more(server: RunningServer, size_bytes: int, findings: Findings) -> set[Path]:
    """Upload too much, and say what became of it; the files it left behind, or any if it was taken."""
    before = _stored(server.data_dir)
    with _uploader(server, size_bytes + 1) as uploader:
        sent = _upload(uploader)
    left = _stored(server.data_dir) - before
    message = sent["answer"].get("error", {}).get("message", "it was taken")
    kept = f"{len(left)} files of it" if left else "nothing of it"
    findings.refusal = f"One byte more: {sent['status']}, “{message}” The data folder holds {kept}."
    return left


def _stored(data_dir: Path) -> set[Path]:
    """Every file in the data folder but the database's own."""
    found = set()
    for path in data_dir.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and not path.name.startswith("bookwheel.db"):
                found.add(path.relative_to(data_dir))
    return found


def _section(size_mb: int, rounds: int, findings: Findings, arguments: Sequence[str]) -> Section:
    waits = [_latency_row(phase, findings) for phase in PHASES]
    moments = [f"{number}" for number in range(1, rounds + 1)]
    memory = [[moment, *(f"{mb:.0f}" for mb in row)] for moment, row in zip(moments, findings.memory_mb, strict=True)]
    seconds = f"uploads took {_range(findings.upload_seconds)} s, reading them {_range(findings.read_seconds)} s"
    return Section(
        name="uploads",
        title=f"Uploads of {size_mb} MB beside other requests",
        command=shlex.join(["python", "-m", "bench", "uploads", *arguments]),
        tables=[
            Table(COLUMNS, waits),
            Table(["server's memory in MB, round", "before", "peak, upload", "peak, reading", "after"], memory),
        ],
        notes=[
            (
                f"{rounds} uploads of {size_mb} MB of text one after the other, a request every 5 ms sent whether or not the "
                f"last was answered; {seconds}. The memory is the main process's: documents are read in sandbox processes. "
                "The bare server has nothing else to do: its p99 is what the machine itself makes a client wait at that time."
            ),
            findings.refusal,
        ],
    )


def _latency_row(phase: str, findings: Findings) -> list[str]:
    waits, bare = findings.milliseconds[phase], findings.bare_milliseconds[phase]
    if not waits or not bare:
        return [phase, "0", *[""] * (len(COLUMNS) - 2)]
    p99, idle = percentile(waits, 99), percentile(findings.milliseconds["idle"], 99)
    figures = [f"{value:.1f}" for value in (percentile(waits, 50), p99, max(waits), p99 / idle, percentile(bare, 99))]
    return [phase, str(len(waits)), *figures, "" if phase == "idle" else "20"]


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f}"


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench uploads", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only see that it works, with 4 MB; nothing is written")
    parser.add_argument("--mb", type=int, default=150, help="size of an upload (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="uploads (default %(default)s)")
    parser.add_argument(
        "--idle-seconds", type=float, default=5.0, help="how long the baseline takes (default %(default)s)"
    )
    return parser.parse_args(arguments)
