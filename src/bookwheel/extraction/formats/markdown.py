"""Markdown: its text as it stands, parted into headings, code, tables, lists and paragraphs.

Only as much of the grammar is known as tells blocks apart: ATX and setext headings, fences, pipe tables, lists, YAML
front matter. Nothing is rendered and nothing is taken away but the encoding, the byte order mark and the line ends.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bookwheel.document import Block, BlockKind, part_text

BLOCK_CHARACTERS = 8_000

_MARKS = frozenset("#`~=-*+|:0123456789_")
"""What a line that is not simply prose begins with."""
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]|$)")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_FENCE = re.compile(r"\s*(`{3,}(?=[^`]*$)|~{3,})")
_RULE = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$")
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)])[ \t]+\S")
_TABLE_RULE = re.compile(r"\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?$")
_FRONT_MATTER = re.compile(r"[\w-]+:")


def read(path: Path, encoding: str) -> Iterator[Block]:
    """The blocks of a Markdown file. Anchors are `line N`, from 1."""
    with path.open(encoding=encoding, errors="replace") as file:
        yield from _Parting(iter(partial(file.readline, BLOCK_CHARACTERS), "")).blocks()


class _Parting:
    """Parts lines into blocks: one block is held at a time, and the next line says whether it goes on."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._line_number = 1
        self._start(BlockKind.PARAGRAPH)

    def _start(self, kind: BlockKind, level: int = 0, fence: str = "") -> None:
        """Begin an empty block. `fence` is what will end a code block."""
        self._kind, self._level, self._fence = kind, level, fence
        self._text = ""
        self._first_line = self._line_number
        self._after_blank = self._complete = False

    def blocks(self) -> Iterator[Block]:
        inside_line = False
        for line in self._lines:
            if not inside_line:
                yield from self._place(line.rstrip("\n"))
            self._text += line
            if len(self._text) > BLOCK_CHARACTERS:
                yield from self._cut_off()
            inside_line = not line.endswith("\n")
            self._line_number += not inside_line
        yield from self._finish()

    def _place(self, line: str) -> Iterator[Block]:
        """Finish the block that is held and begin another, unless the line belongs to it."""
        if self._fence:
            self._complete = self._closes_fence(line)
            self._fence = "" if self._complete else self._fence
        elif not line or line.isspace():
            self._after_blank = True
        elif line.lstrip()[0] in _MARKS:
            yield from self._place_marked(line)
        else:
            yield from self._place_prose(line)

    def _place_marked(self, line: str) -> Iterator[Block]:
        one_line = self._kind is BlockKind.PARAGRAPH and not self._after_blank and self._text.count("\n") == 1
        if fence := _FENCE.match(line):
            yield from self._begin(BlockKind.CODE, fence=fence[1])
        elif heading := _ATX.match(line):
            yield from self._begin(BlockKind.HEADING, level=len(heading[1]))
            self._complete = True
        elif one_line and not self._complete and (underline := _SETEXT.match(line)):
            self._kind, self._level, self._complete = BlockKind.HEADING, 1 if underline[1][0] == "=" else 2, True
        elif self._is_under_table_head(line):
            yield from self._begin_table()
        elif _RULE.match(line):
            yield from self._begin(BlockKind.PARAGRAPH)
            self._complete = True
        elif _ITEM.match(line):
            if self._kind is not BlockKind.LIST:
                yield from self._begin(BlockKind.LIST)
            self._after_blank = False
        else:
            yield from self._place_prose(line)

    def _place_prose(self, line: str) -> Iterator[Block]:
        if self._line_number == 2 and self._text.rstrip() == "---" and _FRONT_MATTER.match(line):
            self._kind, self._fence = BlockKind.CODE, "---"
            return
        goes_on = not self._after_blank and not self._complete
        if self._kind is BlockKind.TABLE:
            goes_on = goes_on and "|" in line
        elif self._kind is BlockKind.LIST:
            goes_on = goes_on or line.startswith(("  ", "\t"))
        if not goes_on:
            yield from self._begin(BlockKind.PARAGRAPH)
        self._after_blank = False

    def _closes_fence(self, line: str) -> bool:
        closing = line.strip()
        return len(closing) >= len(self._fence) and not closing.strip(self._fence[0])

    def _is_under_table_head(self, line: str) -> bool:
        if self._kind is not BlockKind.PARAGRAPH or self._after_blank or "|" not in line:
            return False
        return "|" in self._text[self._head_start() :] and _TABLE_RULE.match(line.strip()) is not None

    def _head_start(self) -> int:
        return self._text.rfind("\n", 0, -1) + 1

    def _begin_table(self) -> Iterator[Block]:
        """The line before, so far the last of a paragraph, is the table's head."""
        start = self._head_start()
        head = self._text[start:]
        self._text = self._text[:start]
        yield from self._finish()
        self._start(BlockKind.TABLE)
        self._text, self._first_line = head, self._line_number - 1

    def _begin(self, kind: BlockKind, level: int = 0, fence: str = "") -> Iterator[Block]:
        if self._text.isspace():  # blank lines at the top belong to the first block
            self._kind, self._level, self._fence = kind, level, fence
            self._after_blank = False
            return
        yield from self._finish()
        self._start(kind, level, fence)

    def _finish(self) -> Iterator[Block]:
        if self._text:
            yield Block(self._kind, self._text, f"line {self._first_line}", self._level)

    def _cut_off(self) -> Iterator[Block]:
        """Yield what fills a block, and hold the rest."""
        end = part_text(self._text, BLOCK_CHARACTERS)
        head, rest = self._text[:end], self._text[end:]
        yield Block(self._kind, head, f"line {self._first_line}", self._level)
        self._text, self._first_line = rest, self._first_line + head.count("\n")
