"""Requests of any size for measuring retrieval, out of the ten million tokens that a script of the questions' folder makes."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MADE_FILES = 100
MADE_TOKENS = 10_000_000


@dataclass(frozen=True, slots=True)
class Corpus:
    """The files of one request, about so many tokens."""

    tokens: int
    files: Sequence[Path]

    @property
    def title(self) -> str:
        return f"{self.tokens:,} tokens, {len(self.files)} file{'s' * (len(self.files) > 1)}"


def make_request(folder: Path, made: Path, tokens: int = MADE_TOKENS) -> None:
    """Run `build_10m.py` of the questions' folder, unless `made` holds its outcome: it gives the same bytes each time."""
    if (made / "questions.jsonl").is_file():
        return
    made.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(folder / "build_10m.py"), str(made), "--tokens", str(tokens)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def read_questions(made: Path) -> list[str]:
    """What is asked of a request, in its order."""
    lines = (made / "questions.jsonl").read_text("utf-8").splitlines()
    return [str(json.loads(line)["question"]) for line in lines]


def make_corpus(made: Path, target: Path, tokens: int, files: int) -> Corpus:
    """A request of `tokens` in `files` files, a divisor of 100: the beginning of each made file, neighbours joined."""
    share = tokens / MADE_TOKENS
    sources = sorted((made / "docs").iterdir())
    together = len(sources) // files
    target.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(files):
        texts = (path.read_text("utf-8") for path in sources[number * together : (number + 1) * together])
        path = target / f"{tokens}-{files}-{number:03d}.txt"
        path.write_text("\n".join(text[: round(share * len(text))] for text in texts), "utf-8")
        paths.append(path)
    return Corpus(tokens, paths)
