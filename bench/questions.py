"""Questions with known answers over real documents, from a folder that is not part of this repository.

The folder holds `questions.jsonl` (an object a line: id, slice, lang, question, answers, evidence, haystack, answerable),
`haystacks.json` (haystack to file names) and `docs/`. Everything chosen here is the same in every run.
"""

import hashlib
import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path

from bench.report import ROOT
from bookwheel.tokens import count_tokens

USUAL_FOLDER = ROOT.parent / "shared" / "evaldata"
LONGEST_ANSWER = 40
"""Letters and digits. A longer answer is a sentence, which a right answer need not repeat word for word."""
SAMPLE_CHARACTERS = 2000
NEAR_ENOUGH = 0.8
"""An excerpt of less than this share of the wanted tokens is filled with the beginnings of other files."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question, its right answers, and where they stand: each group of `evidence` has one string at least in `files`."""

    question_id: str
    slice_name: str
    language: str
    text: str
    answers: tuple[str, ...]
    evidence: tuple[tuple[str, ...], ...]
    files: tuple[str, ...]

    def is_right(self, answer: str) -> bool:
        """Whether an answer holds a right one, letters and digits compared."""
        plain = normalise(answer)
        return any(normalise(right) in plain for right in self.answers)

    @property
    def rank(self) -> str:
        """Sorts questions in an order that has nothing to do with them."""
        return hashlib.sha256(self.question_id.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A document small enough for an embedded model."""

    title: str
    text: str


@dataclass(slots=True)
class Evaldata:
    """The folder, read."""

    folder: Path
    questions: list[Question]
    _texts: dict[str, str] = field(default_factory=dict)

    def path(self, file: str) -> Path:
        return self.folder / "docs" / file

    def text(self, file: str) -> str:
        if file not in self._texts:
            self._texts[file] = self.path(file).read_text("utf-8")
        return self._texts[file]

    def choose(self, slices: Sequence[str], limit: int) -> list[Question]:
        """The first so many questions of these slices, one of each slice in turn."""
        ranked = sorted(self.questions, key=lambda question: question.rank)
        by_slice = ([question for question in ranked if question.slice_name == name] for name in slices)
        return [question for question in chain.from_iterable(zip_longest(*by_slice)) if question is not None][:limit]


def read_evaldata(folder: Path | None) -> Evaldata:
    """Read the folder, or the usual one. Ends the program where there is none, with what to do."""
    chosen = folder or USUAL_FOLDER
    if not (chosen / "questions.jsonl").is_file():
        where = f"{folder} has no questions.jsonl" if folder else "There are no questions at ../shared/evaldata"
        sys.exit(
            f"{where}. The questions are not part of this repository: name a folder that has questions.jsonl, "
            "haystacks.json and docs/ with --evaldata DIR. bench/questions.py says what they hold."
        )
    haystacks: dict[str, list[str]] = json.loads((chosen / "haystacks.json").read_text("utf-8"))
    lines = (chosen / "questions.jsonl").read_text("utf-8").splitlines()
    found = (_question(json.loads(line), haystacks) for line in lines if line.strip())
    return Evaldata(chosen, [question for question in found if question is not None])


def normalise(text: str) -> str:
    """NFKC, case folded, letters and digits only."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def make_excerpt(data: Evaldata, question: Question, tokens: int) -> Excerpt | None:
    """About so many tokens of the files around the evidence, which stands anywhere in it; None where it is not found, where
    no right answer is in it, or where the question says the answer itself."""
    places = [_find(data, question, group) for group in question.evidence]
    found = [place for place in places if place is not None]
    if not found or len(found) < len(places):
        return None
    share = int(question.rank[:8], 16) / 0xFFFFFFFF
    spans = [_span(data.text(file), start, end, tokens // len(found), share, file) for file, start, end in found]
    text = _fill("\n\n".join(_joined(data, spans)), data, question, [file for file, _, _ in found], tokens)
    if not question.is_right(text) or question.is_right(question.text):
        return None
    return Excerpt(Path(found[0][0]).name, text)


def _question(fields: dict[str, object], haystacks: dict[str, list[str]]) -> Question | None:
    """A question that can be answered in few words out of text files, else None."""
    files = tuple(haystacks.get(str(fields["haystack"]), ()))
    answers = tuple(a for a in _strings(fields.get("answers")) if 0 < len(normalise(a)) <= LONGEST_ANSWER)
    if not fields.get("answerable", True) or not answers or not files or not all(f.endswith(".txt") for f in files):
        return None
    groups = fields.get("evidence")
    return Question(
        question_id=str(fields["id"]),
        slice_name=str(fields["slice"]),
        language="zh" if str(fields["lang"]).startswith("zh") else "en",
        text=str(fields["question"]),
        answers=answers,
        evidence=tuple(_strings(group) for group in groups) if isinstance(groups, list) else (),
        files=files,
    )


def _strings(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _find(data: Evaldata, question: Question, group: Iterable[str]) -> tuple[str, int, int] | None:
    """Where one of the strings stands first: file, start, end."""
    for file in question.files:
        text = data.text(file)
        for piece in group:
            start = text.find(piece)
            if start >= 0:
                return file, start, start + len(piece)
    return None


def _span(text: str, start: int, end: int, tokens: int, share: float, file: str) -> tuple[str, int, int]:
    """So many tokens of a file, `share` of the free room standing before the evidence."""
    sample = text[max(0, start - SAMPLE_CHARACTERS) : end + SAMPLE_CHARACTERS]
    characters = max(end - start, round(tokens * len(sample) / count_tokens(sample)))
    first = max(0, min(start - round(share * (characters - (end - start))), len(text) - characters))
    return file, first, min(len(text), first + characters)


def _joined(data: Evaldata, spans: Iterable[tuple[str, int, int]]) -> list[str]:
    """The spans' texts in order, those that touch made one."""
    merged: list[tuple[str, int, int]] = []
    for file, start, end in sorted(spans):
        if merged and merged[-1][0] == file and start <= merged[-1][2]:
            merged[-1] = (file, merged[-1][1], max(end, merged[-1][2]))
        else:
            merged.append((file, start, end))
    return [data.text(file)[start:end].strip() for file, start, end in merged]


def _fill(text: str, data: Evaldata, question: Question, used: Sequence[str], tokens: int) -> str:
    """A short excerpt with the beginnings of the request's other files after it."""
    for file in question.files:
        missing = tokens - count_tokens(text)
        if missing < (1 - NEAR_ENOUGH) * tokens:
            break
        if file not in used:
            other = data.text(file)
            start = other[: 8 * missing]
            text += "\n\n" + start[: round(missing * len(start) / count_tokens(start))].strip()
    return text
