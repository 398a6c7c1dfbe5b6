"""`python -m evals`: ask a running server real questions about real files, and see what it shows the engine.

Quick by default: ten questions a slice. With `--full` all of them, other tools beside it, ten million tokens in
one request, the method without each of its parts (some ten minutes of one core), and the embedded models where their
weights are.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.asking import ANSWER_TOKENS
from bench.converting import PEERS_FOLDER
from bench.measure import MemoryWatch
from bench.models import Contestant, embedded
from bench.questions import USUAL_FOLDER
from bench.report import ROOT, Progress, Section, Table, publish
from bench.retrieval_desk import QUOTES, Desk, open_desk
from evals import ablation, ten_million
from evals.answers import Answered, abstaining_table, answer_all, answers_table, choose_answered
from evals.citations import CheckedCitation, check_all, citations_table
from evals.citations import choose as choose_cited
from evals.evaldata import BUDGETS, EvalFolder, EvalQuestion, read_folder
from evals.peers import score_peers
from evals.recall import beside_table, recall_table, score_selections, select_all, write_selections

QUALITY_PAGE = ROOT / "docs" / "reference" / "quality.md"
QUALITY_HEAD = """\
# Quality of answers

What the engine is shown, and what is answered from it, for real questions about real files with known answers and
evidence: evidence found by slice and budget, the same beside other tools, in ten million tokens, and without each part of
the method; how many answers are right, by quotes and by embedded models; abstaining; and citations looked up.

The questions are not part of this repository: `evals/README.md` says what a folder of them holds, and how each figure is
measured. Every section is written by the command it names.
"""
KEPT = ROOT / ".cache" / "evals"
SELECTIONS = KEPT / "selections.jsonl"
INDEXES = KEPT / "indexes"
PARTS = ("recall", "peers", "answers", "citations", "ablation", "ten-million", "models")
QUICK_PARTS = ("recall", "answers", "citations")
QUICK_LIMIT, FULL_LIMIT = 10, 10_000
ANSWERS_LIMIT = 60
MODELS_LIMIT = 8
ABLATION_LIMIT = 24
"""Questions a slice: every one of them is asked some forty times."""
MODELS_BUDGET = 1000
"""Tokens shown to an embedded model: two cores read some 50 a second."""


@dataclass(frozen=True, slots=True)
class Run:
    """What was asked for."""

    data: EvalFolder
    options: argparse.Namespace
    progress: Progress

    @property
    def limit(self) -> int:
        return int(self.options.limit or (FULL_LIMIT if self.options.full else QUICK_LIMIT))

    @property
    def writes(self) -> bool:
        """Whether the figures are a reference: those of a shorter run are not."""
        chosen = (self.options.limit, self.options.slices, self.options.tokens != ten_million.TOKENS)
        return bool(self.options.full) and not any(chosen)

    def has(self, *parts: str) -> bool:
        return bool(set(parts) & set(self.options.parts))


def main(arguments: list[str]) -> int:
    """Ask, print, and write the sections unless it was a short run."""
    options = _options(arguments)
    run = Run(read_folder(_folder(options.evaldata)), options, Progress("evals"))
    if run.has(*QUICK_PARTS):
        with tempfile.TemporaryDirectory(prefix="bookwheel-evals-") as scratch:
            _run_desk(run, options.data or Path(scratch))
    if run.has("peers"):
        _publish(run, _peers(run))
    if run.has("ablation"):
        _publish(run, ablation.measure(run.data, _answerable(run, ABLATION_LIMIT), INDEXES, run.progress))
    if run.has("models"):
        _publish(run, _models(run))
    if run.has("ten-million"):
        with tempfile.TemporaryDirectory(prefix="bookwheel-evals-") as scratch:
            made = KEPT / f"request-{options.tokens}"
            _publish(run, ten_million.measure(run.data.folder, made, Path(scratch), options.tokens, run.progress))
    return 0


def _run_desk(run: Run, scratch: Path) -> None:
    """All that one server is asked, its files uploaded once."""
    questions = _answerable(run) if run.has("recall") else []
    answered = choose_answered(run.data, min(run.limit, ANSWERS_LIMIT)) if run.has("answers") else []
    cited = choose_cited(run.data) if run.has("citations") else []
    scratch.mkdir(parents=True, exist_ok=True)
    with open_desk(scratch.absolute(), run.options.window) as desk:
        with MemoryWatch(desk.server.pid) as watch:
            ids = _upload(desk, run, [*questions, *answered, *cited], scratch)
            sections = _ask_desk(desk, run, ids, questions, answered, cited)
        run.progress.done()
        for section in sections:
            _publish(run, section)
        print(f"The server's memory, with mapped files: {watch.peak_mb:.0f} MB at most.")


def _ask_desk(
    desk: Desk,
    run: Run,
    ids: Mapping[str, str],
    questions: Sequence[EvalQuestion],
    answered: Sequence[EvalQuestion],
    cited: Sequence[EvalQuestion],
) -> list[Section]:
    sections = [_recall(desk, run, questions, ids)] if questions else []
    if answered:
        sections.append(_answers(answer_all(desk, QUOTES, answered, ids, {}, run.progress)))
    if cited:
        sections.append(_citations(check_all(desk, cited, ids, run.progress), len(cited)))
    return sections


def _upload(desk: Desk, run: Run, questions: Iterable[EvalQuestion], folder: Path) -> dict[str, str]:
    """The ids of all files of these questions, by their name below `docs/`; `folder` keeps them for the next time."""
    kept_path = folder / "ids.json"
    ids: dict[str, str] = json.loads(kept_path.read_text("utf-8")) if kept_path.is_file() else {}
    missing = sorted({file for question in questions for file in question.files} - ids.keys())
    uploaded = desk.upload([run.data.path(file) for file in missing], run.progress)
    ids |= {file: uploaded[run.data.path(file)] for file in missing}
    kept_path.write_text(json.dumps(ids), "utf-8")
    return ids


def _recall(desk: Desk, run: Run, questions: Sequence[EvalQuestion], ids: Mapping[str, str]) -> Section:
    selections = select_all(desk, questions, ids, run.options.reading, BUDGETS, run.progress)
    write_selections(SELECTIONS, selections)
    besides = max(selection.besides_characters for selection in selections)
    return _recall_section(run, recall_table(score_selections(run.data, questions, map(asdict, selections))), besides)


def _peers(run: Run) -> Section:
    """Other tools, beside what was chosen here last: in this run, or in an earlier one over the same questions."""
    questions = _answerable(run)
    scores = score_peers(run.data, questions, run.options.peers, run.progress)
    ours = run.data.score.read_jsonl(SELECTIONS) if SELECTIONS.is_file() else []
    if {question.question_id for question in questions} <= {selection["id"] for selection in ours}:
        scores = {"ours": score_selections(run.data, questions, ours), **scores}
    return _section("peers", "Evidence found, beside other tools", [beside_table(scores)], _PEERS_NOTE)


def _answerable(run: Run, most: int = FULL_LIMIT) -> list[EvalQuestion]:
    chosen = run.data.choose(run.options.slices, min(run.limit, most))
    return [question for question in chosen if question.answerable]


def _recall_section(run: Run, table: Table, besides: int) -> Section:
    reading = run.options.reading
    note = (
        f"The share of questions, in percent, whose evidence stands in the text that the engine is shown, by slice and tokens "
        f"of documents shown; `MACRO` is the mean over slices. Reading `{reading}`"
        + (", and `overview` for whole documents. " if reading == "relevant" else ". ")
        + "`ms` is the mean time from the client's call to the engine's first byte, at the largest budget. Role, instruction "
        f"and names of files of which nothing is shown had {besides} characters at most, which are not counted."
    )
    return _section("recall", "Evidence found by budget", [table], note)


_PEERS_NOTE = (
    "Percent of questions whose evidence stands in the text shown, by tokens shown. bm25s: units of 150 tokens, pairs of "
    "characters, stemmed words, scripts folded, file names as terms. Qwen-Agent: its retrieval tool without a model, files "
    "cut into its passages of 500 tokens. All read the same text of PDFs, ours."
)


def _answers(answered: Sequence[Answered]) -> Section:
    tables = [answers_table({"extractive": answered}), abstaining_table(answered)]
    note = (
        "Whole files through the API, reading `auto`; the extractive engine answers with its two best sentences. An answer is "
        "right when it holds a gold answer of few words, letters and digits compared (NFKC, lower case). It abstains when it "
        "says that the documents do not say. Precision is the share of abstained questions that have no answer there, recall "
        "the share of those that it abstained from."
    )
    return _section("extractive", "Answers by quotes, and abstaining", tables, note)


def _citations(checked: Sequence[CheckedCitation], asked: int) -> Section:
    note = (
        f"{asked} questions with `citations`, answered by quotes. Each quote was looked up in the file's text at its offsets, "
        "and its anchor compared with the page mark before that place or with the number of its line."
    )
    return _section("citations", "Citations looked up", [citations_table(checked)], note)


def _models(run: Run) -> Section:
    """The embedded models one after the other, each with a server of its own."""
    contestants = embedded(run.options.weights)
    if not contestants:
        print("No weights are here: get them with `bookwheel models pull NAME`.")
    questions = [q for q in choose_answered(run.data, MODELS_LIMIT) if q.answerable]
    by_engine = {contestant.name: _answer_with(run, contestant, questions) for contestant in contestants}
    by_engine["extractive"] = _answer_with(run, Contestant("extractive", {"kind": "extractive"}), questions)
    note = (
        f"{len(questions)} questions over whole files, {MODELS_BUDGET:,} tokens of them shown, temperature 0. An answer is "
        "right when it holds a gold answer."
    )
    return _section("models", "Answers of embedded models", [answers_table(by_engine)], note)


def _answer_with(run: Run, contestant: Contestant, questions: Sequence[EvalQuestion]) -> list[Answered]:
    with ExitStack() as running:
        scratch = running.enter_context(tempfile.TemporaryDirectory(prefix="bookwheel-evals-"))
        desk = running.enter_context(open_desk(Path(scratch), run.options.window, {"asked": contestant.settings}))
        desk.wait_until_ready("asked")
        ids = _upload(desk, run, questions, Path(scratch))
        options = {"budget_tokens": MODELS_BUDGET}
        return answer_all(desk, "asked", questions, ids, options, run.progress, ANSWER_TOKENS)


def _section(name: str, title: str, tables: Sequence[Table], note: str) -> Section:
    return Section(name, title, "python -m evals --full --evaldata DIR", tables, [note])


def _publish(run: Run, section: Section) -> None:
    run.progress.done()
    publish(section, QUALITY_PAGE, QUALITY_HEAD, write=run.writes)


def _folder(given: Path | None) -> Path:
    folder = given or USUAL_FOLDER
    if not (folder / "score.py").is_file():
        sys.exit(
            f"There are no questions at {given or '../shared/evaldata'}. They are not part of this repository: name a folder "
            "that has questions.jsonl, haystacks.json, score.py and docs/ with --evaldata DIR. evals/README.md says more."
        )
    return folder


_PARTS_HELP = (
    f"quick: {', '.join(QUICK_PARTS)}; full: all. `ablation` takes some ten minutes of one core, and some "
    "more the first time, to index the files"
)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evals", description=__doc__)
    parser.add_argument("--evaldata", type=Path, help="folder of questions (default: ../shared/evaldata)")
    parser.add_argument("--full", action="store_true", help="all questions, and all parts")
    parser.add_argument("--parts", nargs="+", choices=PARTS, help=_PARTS_HELP)
    parser.add_argument("--ten-million", action="store_true", help="that part alone")
    parser.add_argument("--limit", type=int, help=f"questions a slice (quick: {QUICK_LIMIT}; full: all)")
    parser.add_argument(
        "--slices", nargs="+", default=[], help="slices of `recall`, `peers` and `ablation` (default: all)"
    )
    readings = ("relevant", "auto", "thorough", "overview", "full")
    parser.add_argument("--reading", choices=readings, default=readings[0], help="default: %(default)s")
    parser.add_argument("--window", type=int, default=ten_million.WINDOW_TOKENS, help="the engine's (%(default)s)")
    parser.add_argument("--tokens", type=int, default=ten_million.TOKENS, help="of the large request (%(default)s)")
    parser.add_argument("--data", type=Path, help="keep the server's data and log here: the next run uploads less")
    parser.add_argument("--peers", type=Path, default=PEERS_FOLDER, help="the peers' environment (%(default)s)")
    parser.add_argument(
        "--weights", action="append", default=[], metavar="NAME=FILE", help="a GGUF file for the part `models`"
    )
    options = parser.parse_args(arguments)
    if options.ten_million:
        options.parts = ["ten-million"]
    options.parts = options.parts or (PARTS if options.full else QUICK_PARTS)
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
