"""The embedded models: how fast they answer about a thousand tokens, and how often rightly, beside quotes without a model.

Questions and documents come from a folder outside the repository (see questions.py), half Chinese, half English. Every
answer comes through a running server, streamed, at temperature 0.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import OpenAI

from bench.asking import ANSWER_TOKENS, Outcome, ask, median, share_right, upload
from bench.processes import RunningServer, ask_health, running_server
from bench.questions import Evaldata, Excerpt, Question, make_excerpt, read_evaldata
from bench.report import BENCHMARKS_HEAD, BENCHMARKS_PAGE, Progress, Section, Table, publish
from bookwheel.engines.catalogue import CATALOGUE, is_pulled, weights_path
from bookwheel.settings import load_settings

LANGUAGES = {"Chinese": ("zh_multi100", "zh_single"), "English": ("en_single", "en_hotpot")}
CONTEXT_TOKENS = 1000
LIMIT = 16
NO_RATES = {"file_calls_per_second": 0, "file_deletes_per_second": 0}
LOAD_SECONDS = 300.0
EXTRACTIVE = "extractive"
COLUMNS = ["engine", "first token s", "end s", "read tokens/s", "written tokens/s", *LANGUAGES, "right in all"]

Task = tuple[Question, Excerpt]


@dataclass(frozen=True, slots=True)
class Contestant:
    """An engine by the name it is shown under."""

    name: str
    settings: dict[str, Any]


def main(arguments: list[str]) -> int:
    """Measure, print, and write the section unless the run was a short one."""
    options = _options(arguments)
    limit = 2 if options.quick else options.limit
    data = read_evaldata(options.evaldata)
    tasks = choose_tasks(data, limit)
    contestants = [*embedded(options.weights), Contestant(EXTRACTIVE, {"kind": "extractive"})]
    if len(contestants) == 1:
        print("No weights are here: `bookwheel models pull NAME`, or --weights NAME=FILE. Only quotes are measured.")
    progress = Progress("models")
    results = {contestant.name: answer_all(contestant, tasks, progress) for contestant in contestants}
    progress.done()
    whole_run = limit >= LIMIT and len(contestants) > 1
    publish(_section(limit, results), BENCHMARKS_PAGE, BENCHMARKS_HEAD, write=whole_run)
    return 0


def choose_tasks(data: Evaldata, limit: int) -> list[Task]:
    """So many questions of each language that an excerpt answers."""
    chosen: list[Task] = []
    for slices in LANGUAGES.values():
        excerpts = ((q, make_excerpt(data, q, CONTEXT_TOKENS)) for q in data.choose(slices, len(data.questions)))
        answerable = ((question, excerpt) for question, excerpt in excerpts if excerpt is not None)
        chosen += [task for task, _ in zip(answerable, range(limit), strict=False)]
    return chosen


def embedded(weights: Sequence[str]) -> list[Contestant]:
    """The models given as NAME=FILE, or else those of the catalogue that were pulled."""
    files = dict(_weights_pair(given) for given in weights)
    if not weights:
        models_dir = load_settings().models_dir
        files = {model.name: weights_path(models_dir, model) for model in CATALOGUE if is_pulled(models_dir, model)}
    return [Contestant(name, {"kind": "llama_cpp", "model": str(path)}) for name, path in files.items()]


def answer_all(contestant: Contestant, tasks: Sequence[Task], progress: Progress) -> list[Outcome]:
    """Every question's reply, one after the other, from a server that has only this engine."""
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="bookwheel-bench-")))
        settings = {"engines": {"measured": contestant.settings}, "limits": NO_RATES}
        server = running.enter_context(running_server(folder, settings))
        progress.say(f"{contestant.name}: loading")
        _wait_until_ready(server)
        client = OpenAI(base_url=f"{server.url}/v1", api_key="none", timeout=600, max_retries=0)
        client.chat.completions.create(model="qwen-long", messages=[{"role": "user", "content": "Hello"}], max_tokens=1)
        outcomes: list[Outcome] = []
        for number, task in enumerate(tasks, 1):
            progress.say(f"{contestant.name}: question {number} of {len(tasks)}, right so far: {share_right(outcomes)}")
            outcomes.append(_answer(client, *task))
        return outcomes


def _answer(client: OpenAI, question: Question, excerpt: Excerpt) -> Outcome:
    file_id = upload(client, excerpt.title, excerpt.text.encode())
    reply = ask(client, "qwen-long", [file_id], question.text)
    client.files.delete(file_id)
    return Outcome(question, reply)


def _wait_until_ready(server: RunningServer) -> None:
    deadline = time.monotonic() + LOAD_SECONDS
    while time.monotonic() < deadline:
        if ask_health(server.url)["engines"]["measured"]["ready"]:
            return
        time.sleep(0.2)
    raise RuntimeError(f"the engine did not load within {LOAD_SECONDS:g} seconds")


def _weights_pair(given: str) -> tuple[str, Path]:
    name, equals, path = given.partition("=")
    if not equals or not Path(path).expanduser().is_file():
        sys.exit(f"--weights {given}: give it as NAME=FILE, FILE being a GGUF file")
    return name, Path(path).expanduser().absolute()


def _section(limit: int, results: dict[str, list[Outcome]]) -> Section:
    command = f"python -m bench models --evaldata DIR --limit {limit}"
    return Section(
        name="models",
        title="Embedded models on a context of about 1,000 tokens",
        command=command,
        tables=[Table(COLUMNS, [_row(name, outcomes) for name, outcomes in results.items()])],
        notes=[
            (
                f"{limit} questions a language over real documents, {CONTEXT_TOKENS:,} tokens around the place of the answer, "
                f"temperature 0, at most {ANSWER_TOKENS} tokens; times are medians, speeds are over all questions. An answer "
                "is right when it holds a gold answer, letters and digits compared. `extractive` quotes two sentences "
                "and reads nothing with a model."
            ),
        ],
    )


def _row(name: str, outcomes: list[Outcome]) -> list[str]:
    first, end = median(outcomes, lambda r: r.first_seconds), median(outcomes, lambda r: r.seconds)
    speeds = ["", ""] if name == EXTRACTIVE else _speeds(outcomes)
    by_language = [share_right(o for o in outcomes if o.question.slice_name in slices) for slices in LANGUAGES.values()]
    return [name, f"{first:.2f}", f"{end:.2f}", *speeds, *by_language, share_right(outcomes)]


def _speeds(outcomes: list[Outcome]) -> list[str]:
    replies = [outcome.reply for outcome in outcomes]
    read = sum(r.read_tokens for r in replies) / sum(r.first_seconds for r in replies)
    writing_seconds = sum(r.seconds - r.first_seconds for r in replies)
    written = sum(r.answer_tokens - 1 for r in replies) / writing_seconds if writing_seconds else 0.0
    return [f"{read:.0f}", f"{written:.1f}"]


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench models", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two questions a language; nothing is written")
    parser.add_argument("--limit", type=int, default=LIMIT, help="questions a language (default %(default)s)")
    parser.add_argument("--evaldata", type=Path, help="folder of questions (default: ../shared/evaldata)")
    parser.add_argument(
        "--weights", action="append", default=[], metavar="NAME=FILE",
        help="a GGUF file to measure, repeatable (default: the models that were pulled)",
    )  # fmt: skip
    return parser.parse_args(arguments)
