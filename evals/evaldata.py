"""The folder of questions as `score.py` defines it, and that definition itself, which stands in the folder.

`bench.questions` reads the same folder for questions with short answers; here are all of them, those without an answer too.
"""

import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

BUDGETS = (1000, 4000, 16000)
"""Tokens of documents shown."""
WHOLE_SLICES = frozenset({"en_whole", "zh_whole"})
"""Questions about a whole document."""
Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EvalQuestion:
    """A question and its files, by name below `docs/`. `fields` is its line, as `score.py` reads it."""

    question_id: str
    slice_name: str
    text: str
    files: tuple[str, ...]
    haystack: str
    answerable: bool
    fields: Fields

    @property
    def rank(self) -> str:
        """Sorts questions in an order that has nothing to do with them."""
        return hashlib.sha256(self.question_id.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class EvalFolder:
    """The folder, read."""

    folder: Path
    docs: Path
    questions: Sequence[EvalQuestion]
    score: ModuleType

    def path(self, file: str) -> Path:
        return self.docs / file

    def choose(self, slices: Sequence[str], limit: int) -> list[EvalQuestion]:
        """So many questions of each slice, all slices where none is named, those of one request after another's."""
        names = slices or sorted({question.slice_name for question in self.questions})
        ranked = sorted(self.questions, key=lambda question: question.rank)
        chosen = [q for name in names for q in [q for q in ranked if q.slice_name == name][:limit]]
        return sorted(chosen, key=lambda question: question.haystack)


def read_folder(folder: Path, made: Path | None = None) -> EvalFolder:
    """The folder; or with `made` the questions and documents that a script of the folder made there."""
    score = _load_score(folder / "score.py")
    at = made or folder
    haystacks = json.loads((at / "haystacks.json").read_text("utf-8"))
    questions = [_question(fields, haystacks) for fields in score.read_jsonl(at / "questions.jsonl")]
    return EvalFolder(folder, at / "docs", questions, score)


def _question(fields: Fields, haystacks: Mapping[str, list[str]]) -> EvalQuestion:
    return EvalQuestion(
        question_id=fields["id"],
        slice_name=fields["slice"],
        text=fields["question"],
        files=tuple(haystacks[fields["haystack"]]),
        haystack=fields["haystack"],
        answerable=fields.get("answerable", True),
        fields=fields,
    )


def _load_score(path: Path) -> ModuleType:
    """`score.py` of the folder. Raises FileNotFoundError."""
    spec = importlib.util.spec_from_file_location("evaldata_score", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
