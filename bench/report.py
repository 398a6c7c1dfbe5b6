"""Tables for people: on the terminal, and as a section of a Markdown page that the next run replaces."""

import os
import platform
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS_PAGE = ROOT / "docs" / "reference" / "benchmarks.md"
BENCHMARKS_HEAD = """\
# Benchmarks

Every section is written by the command it names. Machines are noisy: trust ratios and CPU times before clock times.
"""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows of text; the first column is names."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def as_text(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(_width(line[column]) for line in lines) for column in range(len(self.columns))]
        return "\n".join("  ".join(map(_pad, line, widths)).rstrip() for line in lines)

    def as_markdown(self) -> str:
        rule = ["---", *["---:"] * (len(self.columns) - 1)]
        return "\n".join(f"| {' | '.join(line)} |" for line in (self.columns, rule, *self.rows))


@dataclass(frozen=True, slots=True)
class Section:
    """What one run found. `command` repeats it; `notes` are sentences that tell how to read the tables."""

    name: str
    title: str
    command: str
    tables: Sequence[Table]
    notes: Sequence[str] = ()

    def as_text(self) -> str:
        return "\n\n".join([self.title, *(table.as_text() for table in self.tables), "\n".join(self.notes)]).rstrip()

    def as_markdown(self) -> str:
        said = f"Repeat it with `{self.command}`. Measured on {_machine()}, {datetime.now(UTC):%Y-%m-%d}."
        return "\n\n".join([f"## {self.title}", *(t.as_markdown() for t in self.tables), *self.notes, said])


def without_folders(arguments: Sequence[str]) -> list[str]:
    """Arguments as others can repeat them: a folder of this machine is `FOLDER`."""
    return ["FOLDER" if Path(argument).is_absolute() else argument for argument in arguments]


def publish(section: Section, page: Path, head: str, *, write: bool) -> None:
    """Print a section, and with `write` put it into its page between `<!-- NAME -->` and `<!-- /NAME -->`."""
    print(f"\n{section.as_text()}\n")
    if not write:
        print(f"Not written to {page.relative_to(ROOT)}: a trial run's figures are no reference.")
        return
    page.parent.mkdir(parents=True, exist_ok=True)
    text = page.read_text("utf-8") if page.exists() else head
    page.write_text(with_section(text, section.name, section.as_markdown()), "utf-8")
    print(f"Written to {page.relative_to(ROOT)}.")


def with_section(page: str, name: str, content: str) -> str:
    """A page with the content between its markers replaced; a page without the markers gets them at its end."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    section = f"{begin}\n{content}\n{end}"
    before, found_begin, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if found_begin and found_end:
        return f"{before}{section}{after}"
    return f"{page.rstrip()}\n\n{section}\n"


class Progress:
    """One line that says what is being done: rewritten in place on a terminal, else a new line each time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._in_place = sys.stderr.isatty()

    def say(self, what: str) -> None:
        line = f"{self._name}: {what}"
        print(
            f"\r\033[K{line}" if self._in_place else line,
            end="" if self._in_place else "\n",
            file=sys.stderr,
            flush=True,
        )

    def done(self) -> None:
        if self._in_place:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
