"""Headings in documents whose format has none: lines of plain text that are set as headings.

They are Markdown's `#`, chapters and articles in English and Chinese, numbered titles, and lines in capitals.
What is taken for a heading is still text and found as such; it also stands above what follows, as its heading path.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from bookwheel import spelled_numbers

LONGEST_CHARACTERS = 120

_SPELLED = "|".join(spelled_numbers.SMALL)
_NUMERAL = rf"(?:\d{{1,3}}(?:\.\d{{1,3}}){{0,3}}[A-Z]?|[IVXLC]{{1,7}}|[A-Z]|{_SPELLED})"
_NAMES = "chapter|part|book|volume|article|section|appendix|annex|exhibit|schedule|item"
_HEADING = re.compile(
    rf"""^[ \t\u3000]*(?:
      (?P<marks>\#{{1,6}})[ \t]+\S.*
    | (?P<chinese>第[一二三四五六七八九十百千零〇两\d]{{1,7}}[编編部卷篇回章节節])(?:[ \t\u3000：:].*)?
    | (?P<named>(?:{_NAMES})[ \t]+{_NUMERAL}\b)(?![ \t]*[,;)]).*
    | (?P<numbered>\d{{1,2}}(?:\.\d{{1,2}}){{0,3}})\.?[ \t]+[A-Z\u4e00-\u9fff][^.。！？!?;；\n]{{2,70}}
    | (?P<capitals>(?:[A-Z0-9&/,'’()\-–]+[ \t]+){{0,9}}[A-Z][A-Z&/,'’()\-–]{{3,}})
    )[ \t\u3000]*$""",
    re.VERBOSE | re.MULTILINE | re.IGNORECASE,
)


class HeadingLine(NamedTuple):
    """A heading at `text[start:end]`, level from 1."""

    start: int
    end: int
    level: int


def find_headings(text: str) -> Iterator[HeadingLine]:
    """The lines of a piece of plain text that are headings, in order."""
    for found in _HEADING.finditer(text):
        line = found.group().strip()
        if len(line) <= LONGEST_CHARACTERS and _is_heading(found, line):
            yield HeadingLine(found.start(), found.end(), _level(found))


def _is_heading(found: re.Match[str], line: str) -> bool:
    if found.lastgroup == "capitals":
        return line.isupper() and sum(map(str.isalpha, line)) > len(line) // 2
    if found.lastgroup not in ("named", "numbered"):
        return True
    called = line[len(found[found.lastgroup]) :].lstrip(" \t\u3000.:-–—")
    if called[:1].islower():  # "Section 5 of the Act provides", "1.5 million people": lines of prose
        return False
    return (
        line[-1] not in ",:，：" if found.lastgroup == "numbered" else line[0].isupper() and line[-1] not in ".,;，。；"
    )


def _level(found: re.Match[str]) -> int:
    kind = found.lastgroup or ""
    if kind == "marks":
        return len(found["marks"])
    if kind == "chinese":
        return 1 if found["chinese"][-1] in "编編部卷篇" else 3 if found["chinese"][-1] in "节節" else 2
    if kind == "named":
        return 1 if found["named"].lower().startswith(("part", "book", "volume")) else 2
    return 3 + found["numbered"].count(".") if kind == "numbered" else 3
