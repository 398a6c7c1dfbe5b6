"""`python -m evals`: ask a running server real questions about real files, and count the answers that hold a right one.

The extractive engine reads whole files. With `--full` (or FULL=1), and where its weights are, the embedded default model
answers too, and both read excerpts of about 1,000 tokens: two cores need minutes for a whole file.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from openai import BadRequestError, OpenAI

from bench.asking import Outcome, ask, median, share_right, upload
from bench.models import CONTEXT_TOKENS, LANGUAGES, NO_RATES, Contestant, answer_all, choose_tasks, embedded
from bench.processes import running_server
from bench.questions import Evaldata, Question, read_evaldata
from bench.report import ROOT, Progress, Section, Table, publish
from bookwheel.engines.catalogue import DEFAULT_MODEL

QUALITY_PAGE = ROOT / "docs" / "reference" / "quality.md"
QUALITY_HEAD = """\
# Quality of answers

Every section is written by the command it names. An answer is right when it holds a gold answer of few words, letters and
digits compared (NFKC, lower case).
"""
SLICES = ("zh_single", "en_single")
LIMIT = 60
EXTRACTIVE = Contestant("extractive", {"kind": "extractive"})


def main(arguments: list[str]) -> int:
    """Ask, print, and write the sections unless it was a short run."""
    options = _options(arguments)
    data = read_evaldata(options.evaldata)
    write = options.limit >= LIMIT and tuple(options.slices) == SLICES
    progress = Progress("evals")
    by_slice = {name: _answer_slice(data, name, options.limit, progress) for name in options.slices}
    progress.done()
    publish(_whole_files(options.limit, by_slice), QUALITY_PAGE, QUALITY_HEAD, write=write)
    if options.full:
        _run_full(data, options, progress, write=write)
    return 0


def _answer_slice(data: Evaldata, name: str, limit: int, progress: Progress) -> list[Outcome | None]:
    """A slice's questions, each with its whole files; None where they do not fit the engine's window."""
    questions = data.choose([name], limit)
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="bookwheel-evals-")))
        settings = {"engines": {"extractive": EXTRACTIVE.settings}, "limits": NO_RATES}
        server = running.enter_context(running_server(folder, settings))
        client = OpenAI(base_url=f"{server.url}/v1", api_key="none", timeout=600)
        file_ids: dict[str, str] = {}
        outcomes: list[Outcome | None] = []
        for number, question in enumerate(questions, 1):
            progress.say(f"{name}: question {number} of {len(questions)}")
            outcomes.append(_answer(client, data, question, file_ids))
        return outcomes


def _answer(client: OpenAI, data: Evaldata, question: Question, file_ids: dict[str, str]) -> Outcome | None:
    for file in question.files:
        if file not in file_ids:
            file_ids[file] = upload(client, Path(file).name, data.path(file).read_bytes())
    try:
        return Outcome(question, ask(client, "qwen-long", [file_ids[file] for file in question.files], question.text))
    except BadRequestError as refusal:
        if "exceed model limit" in refusal.message:
            return None
        raise


def _whole_files(limit: int, by_slice: dict[str, list[Outcome | None]]) -> Section:
    everything = [outcome for outcomes in by_slice.values() for outcome in outcomes]
    rows = [_row(name, outcomes) for name, outcomes in by_slice.items()]
    return Section(
        name="extractive",
        title="Whole files, quotes without a model",
        command="python -m evals --evaldata DIR" + ("" if limit == LIMIT else f" --limit {limit}"),
        tables=[Table(["slice", "asked", "did not fit", "right", "seconds"], [*rows, _row("all", everything)])],
        notes=[
            (
                "The extractive engine reads every file of a request whole and answers with its two best sentences. `seconds` "
                "is the median of an answer's. A request that does not fit counts as wrong."
            )
        ],
    )


def _row(name: str, outcomes: Sequence[Outcome | None]) -> list[str]:
    answered = [outcome for outcome in outcomes if outcome is not None]
    right = sum(outcome.is_right for outcome in answered)
    share = f"{100 * right / len(outcomes):.0f} %" if outcomes else ""
    seconds = f"{median(answered, lambda reply: reply.seconds):.2f}" if answered else ""
    return [name, str(len(outcomes)), str(len(outcomes) - len(answered)), share, seconds]


def _run_full(data: Evaldata, options: argparse.Namespace, progress: Progress, *, write: bool) -> None:
    models = [model for model in embedded(options.weights) if options.weights or model.name == DEFAULT_MODEL]
    if not models:
        print(f"The weights of {DEFAULT_MODEL} are not here: get them with `bookwheel models pull {DEFAULT_MODEL}`.")
        return
    tasks = choose_tasks(data, max(1, options.limit // 2))
    results = {engine.name: answer_all(engine, tasks, progress) for engine in (*models, EXTRACTIVE)}
    progress.done()
    publish(_excerpts(len(tasks), results), QUALITY_PAGE, QUALITY_HEAD, write=write)


def _excerpts(asked: int, results: dict[str, list[Outcome]]) -> Section:
    slices = [name for names in LANGUAGES.values() for name in names]
    rows = [
        [name, *(share_right(o for o in outcomes if o.question.slice_name == s) for s in slices), share_right(outcomes)]
        for name, outcomes in results.items()
    ]
    return Section(
        name="excerpts",
        title="Excerpts of about 1,000 tokens, the embedded default model beside quotes",
        command="python -m evals --full --evaldata DIR",
        tables=[Table(["engine", *slices, "all"], rows)],
        notes=[f"{asked} questions, {CONTEXT_TOKENS:,} tokens around the place of the answer, temperature 0."],
    )


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evals", description=__doc__)
    parser.add_argument("--evaldata", type=Path, help="folder of questions (default: ../shared/evaldata)")
    parser.add_argument("--limit", type=int, default=LIMIT, help="questions a slice (default %(default)s)")
    parser.add_argument("--slices", nargs="+", default=list(SLICES), help="slices to ask (default: %(default)s)")
    full = os.environ.get("FULL", "") not in ("", "0")
    parser.add_argument("--full", action="store_true", default=full, help="ask the embedded default model too")
    parser.add_argument(
        "--weights", action="append", default=[], metavar="NAME=FILE", help="with --full: this GGUF file instead"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
