"""A thousand questions about a hundred documents, in a batch and one by one: the answers have to be the same, every one."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.batches_client import ask_all
from bench.batches_corpus import BUDGET_TOKENS, Question, make_bodies, make_documents, make_questions, upload_documents
from bench.batches_desk import BatchDesk, Outcome, Wanted, number_of, server_settings, write_lines
from bench.measure import cpu_seconds
from bench.processes import RunningServer, running_server
from bench.report import Section, Table
from bookwheel.settings import BATCH_LINES

DOCUMENTS, QUICK_DOCUMENTS = 100, 8
QUESTIONS, QUICK_QUESTIONS = 1_000, 60
SHOWN_WRONG = 3

Answer = Mapping[str, Any]


@dataclass(slots=True)
class Asked:
    """One way to ask all questions, and what came: answers in the order of the questions, None where there is none."""

    name: str
    answers: Sequence[Answer | None]
    seconds: float
    cpu_seconds: float


@dataclass(slots=True)
class Found:
    """The batch, and the other ways."""

    documents: int
    questions: Sequence[Question]
    batch: Asked
    others: list[Asked] = field(default_factory=list)

    def wrong(self) -> list[str]:
        """Answers that are not the same, in words."""
        return [
            f"{len(different):,} of {len(self.questions):,} answers are others than {other.name}: "
            f"{[self.questions[number].text for number in different[:SHOWN_WRONG]]}"
            for other in self.others
            if (different := find_different(self.batch.answers, other.answers))
        ]


def measure(wanted: Wanted) -> Outcome:
    """Upload, ask in all ways, compare."""
    count, asked = (QUICK_DOCUMENTS, QUICK_QUESTIONS) if wanted.quick else (DOCUMENTS, QUESTIONS)
    documents = make_documents(count)
    questions = make_questions(documents, asked)
    with ExitStack() as running:
        server = running.enter_context(running_server(wanted.folder, extractive_settings()))
        wanted.progress.say(f"uploading {count} documents")
        file_ids = asyncio.run(upload_documents(server.url, documents))
        bodies = list(make_bodies(questions, file_ids))
        found = _ask_in_all_ways(wanted, server, bodies, count, questions)
    return Outcome(make_section(wanted.command, found), found.wrong())


def extractive_settings() -> dict[str, Any]:
    """The extractive engine, with a budget that no document fits."""
    return server_settings({"quotes": {"kind": "extractive", "budget_tokens": BUDGET_TOKENS}})


def find_different(some: Sequence[Answer | None], others: Sequence[Answer | None]) -> list[int]:
    """The numbers of questions whose answers differ: in what they say or in what of which documents was read for them."""
    return [
        number
        for number, (one, other) in enumerate(zip(some, others, strict=True))
        if one is None or other is None or what_counts(one) != what_counts(other)
    ]


def what_counts(answer: Answer) -> tuple[Any, ...]:
    """What has to be the same."""
    context = answer["bookwheel"]["context"]
    return (answer["choices"][0]["message"]["content"], context["selected_tokens"], context["files"])


def make_section(command: str, found: Found) -> Section:
    """A row for each way to ask."""
    batch = found.batch
    answered = [answer for answer in batch.answers if answer is not None]
    readings = {answer["bookwheel"]["context"]["reading"] for answer in answered}
    texts = {answer["choices"][0]["message"]["content"] for answer in answered}
    several = sum(len(question.documents) > 1 for question in found.questions)
    return Section(
        name="batches-answers",
        title="Batches: the same answers as one by one",
        command=command,
        tables=[
            Table(
                ["asked", "seconds", "to the batch's", "server's CPU s", "to the batch's", "answers like the batch's"],
                [_row(asked, found) for asked in (batch, *found.others)],
            )
        ],
        notes=[
            (
                f"{len(found.questions):,} questions about {found.documents} documents with a budget of {BUDGET_TOKENS:,} "
                f"tokens (readings: {', '.join(sorted(readings))}); {several} of them name several documents; "
                f"{len(texts):,} answers are different from each other. Answers are like each other when they say the same, "
                "and the same tokens of the same files were shown to the engine, at the same places. The engine is the "
                f"extractive one; lines of a batch are answered {BATCH_LINES} at once."
            )
        ],
    )


def _row(asked: Asked, found: Found) -> list[str]:
    batch, total = found.batch, len(found.questions)
    same = total - len(find_different(batch.answers, asked.answers))
    return [
        asked.name,
        f"{asked.seconds:.1f}",
        f"{asked.seconds / batch.seconds:.2f}",
        f"{asked.cpu_seconds:.1f}",
        f"{asked.cpu_seconds / batch.cpu_seconds:.2f}",
        "" if asked is batch else f"{same:,} of {total:,}",
    ]


def _ask_in_all_ways(
    wanted: Wanted,
    server: RunningServer,
    bodies: Sequence[dict[str, Any]],
    documents: int,
    questions: Sequence[Question],
) -> Found:
    """A question about each document comes before, so that none of the ways reads them for the first time."""
    asyncio.run(ask_all(server.url, bodies[:documents], BATCH_LINES))
    one_by_one = _ask(wanted, server, bodies, 1)
    batch = _run_batch(wanted, server, write_lines(wanted.folder / "lines.jsonl", bodies), len(bodies))
    return Found(documents, questions, batch, [one_by_one, _ask(wanted, server, bodies, BATCH_LINES + 1)])


def _ask(wanted: Wanted, server: RunningServer, bodies: Sequence[dict[str, Any]], at_once: int) -> Asked:
    name = "one by one over HTTP" if at_once == 1 else f"{at_once} at once over HTTP"
    wanted.progress.say(name)
    began, cpu = time.perf_counter(), cpu_seconds(server.pid)
    answers = asyncio.run(ask_all(server.url, bodies, at_once))
    seconds, cpu = time.perf_counter() - began, cpu_seconds(server.pid) - cpu
    return Asked(name, [json.loads(answer) for answer in answers], seconds, cpu)


def _run_batch(wanted: Wanted, server: RunningServer, path: Path, lines: int) -> Asked:
    desk = BatchDesk(server.url)
    answers: list[Answer | None] = [None] * lines
    began, cpu = time.perf_counter(), cpu_seconds(server.pid)
    batch = desk.wait_until_done(desk.create(desk.upload(path)), wanted.progress.say)
    seconds, cpu = time.perf_counter() - began, cpu_seconds(server.pid) - cpu
    for line in desk.results(batch):
        answers[number_of(line.custom_id) - 1] = line.body if line.status == 200 else None
    return Asked("in a batch", answers, seconds, cpu)
