"""A request of ten million tokens in 100 files: is the evidence found, how soon, and at what cost in memory and ingest."""

import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.measure import MemoryWatch, WorkersWatch, percentile
from bench.report import Progress, Section, Table
from bench.retrieval_corpus import MADE_TOKENS, make_request
from bench.retrieval_desk import Desk, forget_pages, open_desk, own_mb, tree_cpu_seconds
from evals.evaldata import BUDGETS, EvalFolder, EvalQuestion, read_folder
from evals.recall import MACRO, Selection, recall_table, score_selections, select_all

TOKENS = MADE_TOKENS
WINDOW_TOKENS = 32_768
COLD_BUDGET = 4_000
COLD_STARTS = 3


@dataclass(frozen=True, slots=True)
class Ingested:
    """What it took to take all files in. `cpu_seconds` are the server's and its workers'."""

    seconds: float
    cpu_seconds: float
    server_mb: float
    worker_mb: float


@dataclass(frozen=True, slots=True)
class Answering:
    """Warm questions: what was shown, the server's peak memory, and what of it was its own at the end."""

    selections: Sequence[Selection]
    document_tokens: int
    peak_mb: float
    own_mb: float


def measure(folder: Path, made: Path, scratch: Path, tokens: int, progress: Progress) -> Section:
    """Make the request under `made` unless it is there, and measure it on a server with its data under `scratch`."""
    progress.say(f"making a request of {tokens:,} tokens")
    make_request(folder, made, tokens)
    data = read_folder(folder, made)
    with open_desk(scratch, WINDOW_TOKENS) as desk:
        ids, ingested = _ingest(desk, data, progress)
        answering = _answer(desk, data.questions, ids, progress)
    at_hand = [_cold(scratch, question, ids, progress) for question in data.questions[:COLD_STARTS]]
    forgotten = []
    for question in data.questions[:COLD_STARTS]:
        forget_pages(scratch / "data")
        forgotten.append(_cold(scratch, question, ids, progress))
    return _section(data, ingested, answering, {"page cache kept": at_hand, "page cache dropped": forgotten})


def _ingest(desk: Desk, data: EvalFolder, progress: Progress) -> tuple[dict[str, str], Ingested]:
    files = data.questions[0].files
    cpu, began = tree_cpu_seconds(desk.server.pid), time.monotonic()
    with WorkersWatch(desk.server.pid) as watch:
        ids = desk.upload([data.path(file) for file in files], progress)
    seconds, used = time.monotonic() - began, tree_cpu_seconds(desk.server.pid) - cpu
    by_name = {file: ids[data.path(file)] for file in files}
    return by_name, Ingested(seconds, used, watch.peak_mb, watch.worker_peak_mb)


def _answer(desk: Desk, questions: Sequence[EvalQuestion], ids: Mapping[str, str], progress: Progress) -> Answering:
    with MemoryWatch(desk.server.pid) as watch:
        first = desk.ask(questions[0].text, list(ids.values()), _cold_options())
        selections = select_all(desk, questions, ids, "relevant", BUDGETS, progress)
    tokens = int(first.report["context"]["document_tokens"])
    return Answering(selections, tokens, watch.peak_mb, own_mb(desk.server.pid))


def _cold(scratch: Path, question: EvalQuestion, ids: Mapping[str, str], progress: Progress) -> float:
    """Milliseconds to the engine of the first question to a server that has just started."""
    progress.say("a first question after a start")
    with open_desk(scratch, WINDOW_TOKENS) as desk:
        return desk.ask(question.text, list(ids.values()), _cold_options()).milliseconds


def _cold_options() -> dict[str, object]:
    return {"reading": "relevant", "budget_tokens": COLD_BUDGET}


def _section(
    data: EvalFolder, ingested: Ingested, answering: Answering, cold: Mapping[str, Sequence[float]]
) -> Section:
    lines = ({"id": s.id, "budget": s.budget, "context": s.context, "ms": s.ms} for s in answering.selections)
    scores = {name: row for name, row in score_selections(data, data.questions, lines).items() if name != MACRO}
    tokens, files = answering.document_tokens, len(data.questions[0].files)
    return Section(
        name="ten-million",
        title="Ten million tokens in one request",
        command="python -m evals --ten-million --evaldata DIR",
        tables=[recall_table(scores), _times(answering.selections, cold), _costs(ingested, answering)],
        notes=[
            (
                f"{tokens:,} tokens by Qwen's count in {files} files. Times are from the client's call to the engine's first "
                f"byte. A cold question is the first one after a start of the server ({COLD_STARTS} starts), which maps and "
                "imports what it needs; with the page cache dropped the files' pages were given up by posix_fadvise before. "
                "CPU seconds are the server's and its workers'."
            )
        ],
    )


def _times(selections: Iterable[Selection], cold: Mapping[str, Sequence[float]]) -> Table:
    taken = list(selections)
    by_budget = {budget: [s.ms for s in taken if s.budget == budget] for budget in BUDGETS}
    rows = [_times_row(f"warm, {budget // 1000}k shown", milliseconds) for budget, milliseconds in by_budget.items()]
    rows += [_times_row(f"cold, {name}", milliseconds) for name, milliseconds in cold.items()]
    return Table(["question to engine, ms", "questions", "p50", "p95", "most"], rows)


def _times_row(name: str, values: Sequence[float]) -> list[str]:
    figures = (statistics.median(values), percentile(values, 95), max(values))
    return [name, str(len(values)), *(f"{figure:.0f}" for figure in figures)]


def _costs(ingested: Ingested, answering: Answering) -> Table:
    rate = answering.document_tokens / ingested.cpu_seconds
    rows = [
        ["ingest, seconds", f"{ingested.seconds:.0f}"],
        ["ingest, CPU seconds", f"{ingested.cpu_seconds:.0f}"],
        ["ingest, tokens a CPU second", f"{rate:,.0f}"],
        ["server during ingest, peak MB", f"{ingested.server_mb:.0f}"],
        ["largest worker, peak MB", f"{ingested.worker_mb:.0f}"],
        ["server while answering, peak MB with mapped files", f"{answering.peak_mb:.0f}"],
        ["server afterwards, MB of its own", f"{answering.own_mb:.0f}"],
    ]
    return Table(["cost", "figure"], rows)
