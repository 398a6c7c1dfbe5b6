"""Whether citations hold: each quote is looked up through the API in the file and at the place that the citation names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.report import Progress, Table
from bench.retrieval_desk import QUOTES, Desk
from evals.evaldata import EvalFolder, EvalQuestion

CITED_SLICES = ("zh_multi100", "zh_single", "en_single", "en_hotpot", "en_pdf")
PAIRS_A_SLICE = 10
_PAGE_MARK = re.compile(r"^\[page (\d+)\]$", re.MULTILINE)
_PLACE = re.compile(r"(page|line) (\d+)")


@dataclass(frozen=True, slots=True)
class CheckedCitation:
    """A citation and what was found: the quote stands at its offsets; its anchor names the page or line of that place."""

    slice_name: str
    quoted: bool
    placed: bool
    anchor: str
    where: str


def choose(data: EvalFolder) -> list[EvalQuestion]:
    """Fifty questions of both languages, over text and PDF files."""
    return [question for name in CITED_SLICES for question in data.choose([name], PAIRS_A_SLICE)]


def check_all(
    desk: Desk, questions: Sequence[EvalQuestion], ids: Mapping[str, str], progress: Progress
) -> list[CheckedCitation]:
    """Ask with citations and look each one up."""
    texts: dict[str, str] = {}
    checked: list[CheckedCitation] = []
    for number, question in enumerate(questions, 1):
        progress.say(f"citations: question {number} of {len(questions)}")
        checked += _check_answer(desk, question, [ids[file] for file in question.files], texts)
    return checked


def _check_answer(
    desk: Desk, question: EvalQuestion, file_ids: Sequence[str], texts: dict[str, str]
) -> list[CheckedCitation]:
    asked = desk.ask(question.text, file_ids, {"citations": True}, QUOTES)
    found = []
    for citation in asked.report.get("citations", ()):
        file_id = citation["file_id"]
        if file_id in file_ids and file_id not in texts:
            texts[file_id] = desk.client.files.content(file_id).read().decode("utf-8")
        found.append(check(citation, texts.get(file_id, ""), question.slice_name))
    return found


def check(citation: Mapping[str, Any], text: str, slice_name: str) -> CheckedCitation:
    """Compare one citation with the text of the file that it names; no text is that of a file that was not asked about."""
    start, end = citation["start"], citation["end"]
    quoted = bool(citation["quote"].strip()) and text[start:end] == citation["quote"]
    named = _PLACE.search(citation["anchor"])
    where = f"page {page_of(text, start)}" if named and named[1] == "page" else f"line {line_of(text, start)}"
    placed = named is not None and named[0] == where
    return CheckedCitation(slice_name, quoted, placed, citation["anchor"], where)


def page_of(text: str, offset: int) -> int:
    """The number on the last page mark before a place; 1 where there is none."""
    marks = _PAGE_MARK.findall(text, 0, offset)
    return int(marks[-1]) if marks else 1


def line_of(text: str, offset: int) -> int:
    """The number of the line that holds a place, from 1."""
    return 1 + text.count("\n", 0, offset)


def citations_table(checked: Sequence[CheckedCitation]) -> Table:
    """By slice, how many citations there were and how many hold."""
    rows = [_row(name, [one for one in checked if one.slice_name == name]) for name in CITED_SLICES]
    return Table(["slice", "citations", "quote stands there", "anchor names the place"], [*rows, _row("all", checked)])


def _row(name: str, checked: Sequence[CheckedCitation]) -> list[str]:
    if not checked:
        return [name, "0", "", ""]
    shares = [sum(one.quoted for one in checked) / len(checked), sum(one.placed for one in checked) / len(checked)]
    return [name, str(len(checked)), *(f"{100 * share:.0f} %" for share in shares)]
