"""Evidence recall: does the text that the engine is shown hold the evidence? No model has a part in it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.report import Progress, Table
from bench.retrieval_desk import Desk
from evals.evaldata import BUDGETS, WHOLE_SLICES, EvalFolder, EvalQuestion

MACRO, ALL = "MACRO", "ALL"
Scores = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""By slice (and `MACRO`, `ALL`), by budget, as `score.score_file` gives them."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What was shown for one question at one budget: a line of `selections.jsonl`."""

    id: str
    budget: int
    context: str
    ms: float
    besides_characters: int = 0
    reading: str = ""


def select_all(
    desk: Desk,
    questions: Sequence[EvalQuestion],
    ids: Mapping[str, str],
    reading: str,
    budgets: Sequence[int],
    progress: Progress,
) -> list[Selection]:
    """Ask every question at every budget. `ids` are the files' by name; `reading` is that of all but whole-document
    questions, which get `overview`, unless it is `auto` or `full`."""
    selections: list[Selection] = []
    for number, question in enumerate(questions, 1):
        progress.say(f"{question.slice_name}: question {number} of {len(questions)}")
        file_ids = [ids[file] for file in question.files]
        selections += [_select(desk, question, file_ids, reading, budget) for budget in budgets]
    return selections


def _select(desk: Desk, question: EvalQuestion, file_ids: Sequence[str], reading: str, budget: int) -> Selection:
    if reading == "relevant" and question.slice_name in WHOLE_SLICES:
        reading = "overview"
    options = {"reading": reading} if reading == "full" else {"reading": reading, "budget_tokens": budget}
    asked = desk.ask(question.text, file_ids, options)
    used = str(asked.report.get("context", {}).get("reading", ""))
    shown = asked.shown
    return Selection(question.question_id, budget, shown.documents, asked.milliseconds, len(shown.besides), used)


def score_selections(
    data: EvalFolder, questions: Sequence[EvalQuestion], selections: Iterable[Mapping[str, Any]]
) -> Scores:
    """The definition's own scores of these questions; one without a selection counts 0."""
    budgets = sorted({*BUDGETS})
    table, _ = data.score.score_file([dict(question.fields) for question in questions], selections, budgets)
    scores: Scores = table
    return scores


def write_selections(path: Path, selections: Iterable[Selection]) -> None:
    """As `score.py` reads them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(asdict(selection), ensure_ascii=False) for selection in selections)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def recall_table(scores: Scores) -> Table:
    """Recall by slice, and the mean milliseconds to the engine at the largest budget."""
    rows = [
        [name, str(_count(scores, name)), *_recalls(scores, name), _milliseconds(scores, name)]
        for name in _names(scores)
    ]
    return Table(["slice", "questions", *(f"{budget // 1000}k" for budget in BUDGETS), "ms"], rows)


def beside_table(by_tool: Mapping[str, Scores]) -> Table:
    """Several tools' recall by slice, a column for each budget and tool."""
    first = next(iter(by_tool.values()))
    columns = [f"{budget // 1000}k {tool}" for budget in BUDGETS for tool in by_tool]
    rows = [
        [name, *(_recall(scores, name, budget) for budget in BUDGETS for scores in by_tool.values())]
        for name in _names(first)
    ]
    return Table(["slice", *columns], rows)


def _names(scores: Scores) -> list[str]:
    slices = sorted(name for name in scores if name not in (ALL, MACRO) and _count(scores, name))
    return [*slices, *(name for name in (ALL, MACRO) if name in scores)]


def _count(scores: Scores, name: str) -> int:
    return int(next(iter(scores[name].values()))["n"])


def _recalls(scores: Scores, name: str) -> list[str]:
    return [_recall(scores, name, budget) for budget in BUDGETS]


def _recall(scores: Scores, name: str, budget: int) -> str:
    evidence = scores.get(name, {}).get(budget, {}).get("evidence")
    return "" if evidence is None else f"{100 * evidence:.1f}"


def _milliseconds(scores: Scores, name: str) -> str:
    taken = scores[name].get(BUDGETS[-1], {}).get("ms")
    return "" if taken is None else f"{taken:.0f}"
