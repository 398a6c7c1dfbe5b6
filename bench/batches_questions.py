"""What an interactive question waits for, alone and while a batch takes all that the engine has.

Beside it the same load without priority: another client of the same account asks the batch's lines as plain requests, as many
at once as a batch has under way.
"""

import asyncio
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from bench.batches_answers import DOCUMENTS, QUESTIONS, QUICK_DOCUMENTS, QUICK_QUESTIONS, extractive_settings
from bench.batches_client import Waits, ask_all, ask_with_clock, crowd_under_way
from bench.batches_corpus import make_bodies, make_documents, make_questions, upload_documents
from bench.batches_desk import (
    BatchDesk,
    Outcome,
    Wanted,
    batch_under_way,
    count_done,
    mock_engine,
    server_settings,
    write_lines,
)
from bench.embedded_cache import LOAD_SECONDS
from bench.measure import percentile
from bench.processes import Participant, RunningServer, ask_health, running_server
from bench.report import Section, Table
from bookwheel.batches.run import UNDER_WAY
from bookwheel.settings import BATCH_LINES

ASKED, QUICK_ASKED, ASKED_OF_EMBEDDED = 60, 6, 15
LONGEST_PAUSE_SECONDS = 0.2
"""Between an answer and the next question, drawn: or else questions would come in step with the lines."""
PLACES = 4
"""What the mock engine answers at once."""
SPARED = PLACES * 3 // 4
"""Of them a batch takes unless told otherwise."""
LEAST_SECONDS, MOST_SECONDS = 0.4, 0.6
"""What an answer of a line takes there, drawn: half a second on the average."""
ANSWER = {"events": 20, "per_second": 80, "wait_seconds": 0.25}
"""An answer to a question: its first word after a quarter of a second, its last after half a second."""
LINES, EXTRACTIVE_LINES, EMBEDDED_LINES = 2_000, 20_000, 400
"""More than are answered while questions are asked."""
EMBEDDED_TOKENS = 64
WARM_UPS = 2
ALONE = "alone"
COLUMNS = ["first token, ms, p50", "p95", "end, ms, p50", "p95", "others answered a second"]

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scene:
    """An engine, what is asked of it interactively, and by others. `batches`: the model that a batch's lines name and the
    questions beside them, by what the batch takes there. `crowd` others ask the last of these models."""

    title: str
    server: RunningServer
    lines_path: Path
    questions: Sequence[Body]
    lines: Sequence[Body]
    batches: Mapping[str, str]
    crowd: int


@dataclass(slots=True)
class Seen:
    """What questions waited, and how many of the others were answered a second meanwhile."""

    waits: Waits
    others_per_second: float | None = None


@dataclass(slots=True)
class Found:
    """What was seen in each scene."""

    scenes: dict[str, dict[str, Seen]] = field(default_factory=dict)


def measure(wanted: Wanted) -> Outcome:
    """One engine after the other."""
    found = Found()
    for open_scene in (_mock_scene, _extractive_scene, *([_embedded_scene] if wanted.weights else [])):
        with open_scene(wanted) as scene:
            found.scenes[scene.title] = _measure_scene(wanted, scene)
    return Outcome(make_section(wanted.command, found))


def make_section(command: str, found: Found) -> Section:
    """A table for each engine."""
    return Section(
        name="batches-questions",
        title="Questions while a batch runs",
        command=command,
        tables=[
            Table([title, *COLUMNS], [_row(label, one, seen[ALONE]) for label, one in seen.items()])
            for title, seen in found.scenes.items()
        ],
        notes=[
            (
                f"One client asks {_counts(found)} questions in each line, one after the other with pauses of up to "
                f"{LONGEST_PAUSE_SECONDS:g} s, streamed, while a batch has lines waiting all the time. “Plain requests” are "
                "the same lines from another client of the same account, as many at once as a batch has under way: what there "
                "is without batches. The mock engine takes about half a second for each answer, to its first token half of "
                f"that, and gives {PLACES} at once; `concurrency = {PLACES}`, of which a batch takes {SPARED} unless "
                "`batch_concurrency` says otherwise. In brackets the ratio to the same questions alone."
            )
        ],
    )


def _counts(found: Found) -> str:
    return " or ".join(dict.fromkeys(str(len(seen[ALONE].waits.end)) for seen in found.scenes.values()))


def _row(label: str, seen: Seen, alone: Seen) -> list[str]:
    others = "" if seen.others_per_second is None else f"{seen.others_per_second:.1f}"
    pairs = ((seen.waits.first, alone.waits.first), (seen.waits.end, alone.waits.end))
    return [label, *(_figure(own, base, percent) for own, base in pairs for percent in (50, 95)), others]


def _figure(own: Sequence[float], alone: Sequence[float], percent: float) -> str:
    """`541 (2.08x)`: milliseconds, and their ratio to those of the questions alone."""
    value = percentile(own, percent)
    ratio = "" if own is alone else f" ({value / percentile(alone, percent):.2f}x)"
    return f"{1000 * value:,.0f}{ratio}"


@contextmanager
def _mock_scene(wanted: Wanted) -> Iterator[Scene]:
    """An engine elsewhere that is busy with as many as it takes; under two names, the second of which lets a batch take
    every place."""
    folder, dice = _folder(wanted, "mock"), random.Random(wanted.seed)
    with Participant("bench.mock_engine", "--at-once", str(PLACES)) as engine:
        url = engine.read()["url"]
        engines = {
            "spared": mock_engine(url, concurrency=PLACES),
            "filled": mock_engine(url, concurrency=PLACES, batch_concurrency=PLACES),
        }
        with running_server(folder, server_settings(engines)) as server:
            questions = _short_questions(QUICK_ASKED if wanted.quick else ASKED, mock=ANSWER)
            waits = [{"wait_seconds": dice.uniform(LEAST_SECONDS, MOST_SECONDS)} for _ in range(LINES)]
            lines = [body | {"mock": wait} for body, wait in zip(_short_questions(LINES), waits, strict=True)]
            batches = {f"a batch, {SPARED} of {PLACES} places": "spared", f"a batch, all {PLACES} places": "filled"}
            crowd = UNDER_WAY * PLACES + 1
            title = f"mock engine, {PLACES} at once"
            yield Scene(title, server, folder / "lines.jsonl", questions, lines, batches, crowd)


@contextmanager
def _extractive_scene(wanted: Wanted) -> Iterator[Scene]:
    """The extractive engine over many documents, as in the part `answers`."""
    folder = _folder(wanted, "extractive")
    documents = make_documents(QUICK_DOCUMENTS if wanted.quick else DOCUMENTS)
    questions = make_questions(documents, QUICK_QUESTIONS if wanted.quick else QUESTIONS)
    with running_server(folder, extractive_settings()) as server:
        wanted.progress.say(f"uploading {len(documents)} documents")
        file_ids = asyncio.run(upload_documents(server.url, documents))
        lines = list(make_bodies(questions, file_ids, EXTRACTIVE_LINES))
        asyncio.run(ask_all(server.url, lines[: len(documents)], BATCH_LINES))
        asked = lines[: QUICK_ASKED if wanted.quick else ASKED]
        batches, crowd = {"a batch": "quotes"}, UNDER_WAY * BATCH_LINES + 1
        yield Scene("extractive engine", server, folder / "lines.jsonl", asked, lines, batches, crowd)


@contextmanager
def _embedded_scene(wanted: Wanted) -> Iterator[Scene]:
    """The embedded engine, short questions."""
    folder = _folder(wanted, "embedded")
    with running_server(
        folder, server_settings({"embedded": {"kind": "llama_cpp", "model": str(wanted.weights)}})
    ) as server:
        wanted.progress.say("loading weights")
        _wait_until_ready(server, "embedded")
        asked = 2 if wanted.quick else ASKED_OF_EMBEDDED
        bodies = _short_questions(asked + EMBEDDED_LINES, max_tokens=EMBEDDED_TOKENS, temperature=0)
        asyncio.run(ask_all(server.url, bodies[-WARM_UPS:], WARM_UPS))
        batches, crowd = {"a batch": "embedded"}, UNDER_WAY + 1
        title = f"embedded engine, {wanted.weights.stem if wanted.weights else ''}"
        yield Scene(title, server, folder / "lines.jsonl", bodies[:asked], bodies[asked:], batches, crowd)


def _folder(wanted: Wanted, name: str) -> Path:
    folder = wanted.folder / name
    folder.mkdir()
    return folder


def _wait_until_ready(server: RunningServer, engine: str) -> None:
    deadline = time.monotonic() + LOAD_SECONDS
    while not ask_health(server.url)["engines"][engine]["ready"]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the engine did not load within {LOAD_SECONDS:g} seconds")
        time.sleep(0.2)


def _short_questions(count: int, **fields: Any) -> list[Body]:
    return [
        {
            "model": "qwen-long",
            "messages": [{"role": "user", "content": f"Tell me about the number {number}."}],
            **fields,
        }
        for number in range(1, count + 1)
    ]


def _measure_scene(wanted: Wanted, scene: Scene) -> dict[str, Seen]:
    models = list(scene.batches.values())
    wanted.progress.say(f"{scene.title}: alone")
    seen = {ALONE: Seen(asyncio.run(_ask(wanted, scene, models[0])))}
    for label, model in scene.batches.items():
        wanted.progress.say(f"{scene.title}: beside {label}")
        seen[f"beside {label}"] = _ask_beside_batch(wanted, scene, model)
    wanted.progress.say(f"{scene.title}: beside {scene.crowd} plain requests at once")
    seen[f"beside {scene.crowd} plain requests at once"] = asyncio.run(_ask_beside_crowd(wanted, scene, models[-1]))
    return seen


async def _ask(wanted: Wanted, scene: Scene, model: str) -> Waits:
    dice = random.Random(wanted.seed)
    pauses = [dice.uniform(0, LONGEST_PAUSE_SECONDS) for _ in scene.questions]
    return await ask_with_clock(scene.server.url, [body | {"model": model} for body in scene.questions], pauses)


def _ask_beside_batch(wanted: Wanted, scene: Scene, model: str) -> Seen:
    desk = BatchDesk(scene.server.url)
    write_lines(scene.lines_path, (body | {"model": model} for body in scene.lines))
    with batch_under_way(desk, scene.lines_path) as batch_id:
        began, before = time.monotonic(), count_done(desk.look(batch_id))
        waits = asyncio.run(_ask(wanted, scene, model))
        done = count_done(desk.look(batch_id)) - before
        seconds = time.monotonic() - began
    return Seen(waits, done / seconds)


async def _ask_beside_crowd(wanted: Wanted, scene: Scene, model: str) -> Seen:
    bodies = [body | {"model": model} for body in islice(scene.lines, LINES)]
    async with crowd_under_way(scene.server.url, bodies, scene.crowd) as crowd:
        began, before = time.monotonic(), crowd.answered
        waits = await _ask(wanted, scene, model)
        return Seen(waits, (crowd.answered - before) / (time.monotonic() - began))
