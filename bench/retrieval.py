"""Retrieval: how fast indexes are built, and how long a question takes from the client to the engine, cold and warm.

Requests of 0.1, 1 and 10 million tokens in 1, 10 and 100 files go through the running server to an engine that answers at
once. In the same run bm25s and Qwen-Agent's retrieval choose text for the same questions over the same files, in processes
of their own and without any server around them.
"""

import argparse
import shlex
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.converting import PEERS_FOLDER
from bench.measure import MemoryWatch, cpu_seconds, percentile
from bench.questions import USUAL_FOLDER
from bench.report import BENCHMARKS_HEAD, BENCHMARKS_PAGE, ROOT, Progress, Section, Table, publish, without_folders
from bench.retrieval_corpus import MADE_TOKENS, Corpus, make_corpus, make_request, read_questions
from bench.retrieval_desk import open_desk, own_mb
from bench.retrieval_peers import TITLES, PeerQuestion, PeerRequests, PeerRun, run_peer
from bookwheel.extraction.extract import extract_document
from bookwheel.indexing.build import write_index

BUDGET_TOKENS = 4_000
WINDOW_TOKENS = 32_768
SIZES = (100_000, 1_000_000, 10_000_000)
FILES = (1, 10, 100)
WARM_QUESTIONS = 30
PEER_QUESTIONS = 3
MOST_PEER_TOKENS = 1_000_000
"""Of a request that peers get in every number of files; larger ones only in as many as there can be."""
OURS = "Bookwheel"


@dataclass(frozen=True, slots=True)
class Latency:
    """Questions over one request. Milliseconds are to the engine's first byte; `tokens` are Qwen's count. `cpu_ms` is the
    server's for a warm question, `own_mb` what of its memory is not mapped files."""

    corpus: Corpus
    tokens: int
    cold_ms: float
    warm_ms: Sequence[float]
    cpu_ms: float
    peak_mb: float
    own_mb: float


@dataclass(frozen=True, slots=True)
class Build:
    """CPU seconds to turn a request's files into documents, and those into indexes."""

    tokens: int
    extract_seconds: float
    index_seconds: float


def main(arguments: list[str]) -> int:
    """Measure, print, and write the section unless the run was quick or without the other tools."""
    options = _options(arguments)
    progress = Progress("retrieval")
    folder = options.evaldata or USUAL_FOLDER
    made = ROOT / ".cache" / "evals" / f"request-{MADE_TOKENS}"
    progress.say("making a request of ten million tokens")
    make_request(folder, made)
    sizes, files = ((SIZES[0],), FILES) if options.quick else (options.tokens, options.files)
    with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as name:
        corpora = [make_corpus(made, Path(name) / "docs", size, count) for size in sizes for count in files]
        questions = read_questions(made)
        build = measure_build(corpora[-1], Path(name), progress)
        latencies = measure_server(corpora, questions, Path(name), progress)
        peers = {} if options.no_peers else _measure_peers(corpora, questions, options.peers, progress)
    progress.done()
    command = shlex.join(["python", "-m", "bench", "retrieval", *without_folders(arguments)])
    section = _section(command, build, latencies, peers)
    publish(section, BENCHMARKS_PAGE, BENCHMARKS_HEAD, write=not options.quick and not options.no_peers)
    return 0


def build_artefact(folder: Path, title: str) -> None:
    """Write the index of the document in `folder`: the one place here that knows how."""
    write_index(folder, "index", title, _say_nothing)


def measure_build(corpus: Corpus, folder: Path, progress: Progress) -> Build:
    """Extract and index the files one by one in this process, as a worker does."""
    extracting = indexing = 0.0
    tokens = 0
    for number, path in enumerate(corpus.files, 1):
        progress.say(f"building, file {number} of {len(corpus.files)}")
        with tempfile.TemporaryDirectory(dir=folder) as name:
            began = time.process_time()
            tokens += extract_document(path, path.name, Path(name), _say_nothing).tokens
            extracted = time.process_time()
            build_artefact(Path(name), path.name)
            extracting, indexing = extracting + extracted - began, indexing + time.process_time() - extracted
    return Build(tokens, extracting, indexing)


def measure_server(
    corpora: Sequence[Corpus], questions: Sequence[str], folder: Path, progress: Progress
) -> list[Latency]:
    """All requests' files uploaded first; then each request to a server that has just started."""
    with open_desk(folder, WINDOW_TOKENS) as desk:
        ids = desk.upload([path for corpus in corpora for path in corpus.files], progress)
    latencies = []
    for corpus in corpora:
        progress.say(f"questions, {corpus.title}")
        latencies.append(_ask(corpus, questions, [ids[path] for path in corpus.files], folder))
    return latencies


def _ask(corpus: Corpus, questions: Sequence[str], file_ids: Sequence[str], folder: Path) -> Latency:
    options = {"reading": "relevant", "budget_tokens": BUDGET_TOKENS}
    with open_desk(folder, WINDOW_TOKENS) as desk, MemoryWatch(desk.server.pid) as watch:
        cold = desk.ask(questions[0], file_ids, options)
        cpu = cpu_seconds(desk.server.pid)
        warm = [desk.ask(question, file_ids, options).milliseconds for question in questions[1 : 1 + WARM_QUESTIONS]]
        cpu_ms = 1000 * (cpu_seconds(desk.server.pid) - cpu) / len(warm)
        tokens = int(cold.report["context"]["document_tokens"])
        own = own_mb(desk.server.pid)
    return Latency(corpus, tokens, cold.milliseconds, warm, cpu_ms, watch.peak_mb, own)


def _measure_peers(
    corpora: Sequence[Corpus], questions: Sequence[str], peers: Path, progress: Progress
) -> dict[str, list[tuple[Corpus, PeerRun]]]:
    most_files = max(len(corpus.files) for corpus in corpora)
    asked = [c for c in corpora if c.tokens <= MOST_PEER_TOKENS or len(c.files) == most_files]
    runs: dict[str, list[tuple[Corpus, PeerRun]]] = {}
    for tool in TITLES:
        for corpus in asked:
            progress.say(f"{TITLES[tool]}, {corpus.title}")
            run = run_peer(tool, _requests(corpus, questions), keep=False, peers=peers)
            runs.setdefault(tool, []).append((corpus, run))
    return runs


def _requests(corpus: Corpus, questions: Sequence[str]) -> PeerRequests:
    files = {"request": [str(path) for path in corpus.files]}
    asked = [PeerQuestion(str(number), text, "request") for number, text in enumerate(questions[:PEER_QUESTIONS])]
    return PeerRequests([BUDGET_TOKENS], kept=False, haystacks=files, questions=asked)


def _section(
    command: str,
    build: Build,
    latencies: Sequence[Latency],
    peers: Mapping[str, Sequence[tuple[Corpus, PeerRun]]],
) -> Section:
    return Section(
        name="retrieval",
        title="Retrieval: from a question to the text for it",
        command=command,
        tables=[_latency_table(latencies), _beside_table(build, latencies, peers)],
        notes=[
            (
                f"Times are from the client's call to the engine's first byte, {BUDGET_TOKENS:,} tokens shown. Cold is the "
                f"first question after a start of the server, warm are {WARM_QUESTIONS} others. `own MB` is memory without "
                "mapped files."
            ),
            (
                f"One process builds indexes of {build.tokens / build.index_seconds:,.0f} tokens a CPU second, with "
                f"extraction {build.tokens / (build.index_seconds + build.extract_seconds):,.0f}. Peers choose text without "
                f"a server, {PEER_QUESTIONS} questions each. Qwen-Agent prepares by cutting files, and ranks their passages "
                "anew for every question."
            ),
        ],
    )


def _latency_table(latencies: Sequence[Latency]) -> Table:
    columns = ["request", "tokens", "cold ms", "warm p50 ms", "warm p95 ms", "CPU ms", "server peak MB", "own MB"]
    return Table(columns, [_latency_row(latency) for latency in latencies])


def _latency_row(latency: Latency) -> list[str]:
    times = (latency.cold_ms, statistics.median(latency.warm_ms), percentile(latency.warm_ms, 95), latency.cpu_ms)
    memory = (latency.peak_mb, latency.own_mb)
    return [latency.corpus.title, f"{latency.tokens:,}", *(f"{figure:.0f}" for figure in (*times, *memory))]


def _beside_table(
    build: Build, latencies: Sequence[Latency], peers: Mapping[str, Sequence[tuple[Corpus, PeerRun]]]
) -> Table:
    """CPU times and memory of every tool. Ours of building was measured on the last request alone."""
    rate = build.tokens / (build.extract_seconds + build.index_seconds)
    tokens = {latency.corpus.title: latency.tokens for latency in latencies}
    rows = [[one.corpus.title, OURS, f"{rate:,.0f}", f"{one.cpu_ms:.1f}", f"{one.peak_mb:.0f}"] for one in latencies]
    for tool, runs in peers.items():
        rows += [_peer_row(TITLES[tool], corpus, run, tokens[corpus.title]) for corpus, run in runs]
    order = [latency.corpus.title for latency in latencies]
    rows.sort(key=lambda row: order.index(row[0]))
    return Table(["request", "tool", "prepared, tokens / CPU s", "question, CPU ms", "peak MB"], rows)


def _peer_row(title: str, corpus: Corpus, run: PeerRun, tokens: int) -> list[str]:
    rate = tokens / sum(run.prepare_cpu_seconds.values())
    cpu_ms = statistics.median(float(selection["cpu_ms"]) for selection in run.selections)
    return [corpus.title, title, f"{rate:,.0f}", f"{cpu_ms:,.1f}", f"{run.peak_mb:.0f}"]


def _say_nothing(unit: str, number: int, total: int) -> None:
    """Nobody waits for progress."""


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench retrieval", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100,000 tokens only; nothing is written")
    parser.add_argument("--tokens", nargs="+", type=int, default=list(SIZES), help="sizes (default: %(default)s)")
    parser.add_argument(
        "--files", nargs="+", type=int, choices=FILES, default=list(FILES), help="files (default: %(default)s)"
    )
    parser.add_argument("--evaldata", type=Path, help="folder of questions (default: ../shared/evaldata)")
    parser.add_argument("--no-peers", action="store_true", help="leave the other tools out; nothing is written")
    parser.add_argument("--peers", type=Path, default=PEERS_FOLDER, help="the peers' environment (%(default)s)")
    return parser.parse_args(arguments)
