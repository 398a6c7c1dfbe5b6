"""From the lines of one column of a PDF page to its paragraphs.

A PDF does not say where a paragraph ends. What says so: more white space than between other lines, an indented first line,
a line that ends early, another size or weight of letters, the mark of a list item.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median

from bookwheel.extraction.pdf.direction import runs_from_right
from bookwheel.extraction.pdf.lines import LEADERS, Line, is_wide, joined_row, rows_of

BULLET = re.compile(r"([•‣◦▪●○■□◆◇▶►➢➤✓✔✗❖·∙⁃]|[\uf000-\uf0ff]|[-–—*](?=\s))\s*(?=\S)|[•▪●■\uf0b7\uf0a7]\s*$")
NUMBERED = re.compile(
    r"(?:\(?\d{1,3}[.)]|\(?[a-z][.)]|\([ivxIVX]{1,5}\)|[ivx]{1,5}\.|[①-⑳⑴-⒇])\s+\S"
    r"|(?:\d{1,3}|[一二三四五六七八九十]{1,3})、|[（(](?:\d{1,3}|[一二三四五六七八九十]{1,3})[)）]|第[\d.一二三四五六七八九十百]{1,8}[条章节]\s"
)
_SECTION = re.compile(r"(?:\d{1,3}(?:\.\d{1,3})*|[A-Z])\.?\s")
_GOES_ON = re.compile(
    r"(?:[,&，、]|\b(?:and|or|of|for|the|a|an|to|in|on|with|by|from|und|der|die|de|du|des|et|la))$", re.IGNORECASE
)
_ENDS = (".", "!", "?", ":", ";", "。", "！", "？", "：", "；", "”", '"', ")", "）", "…")


LONG = 0.7
"""Of a column's width: lines of running text, whose distance counts before that of pieces of formulas."""


def find_paragraphs(lines: Sequence[Line]) -> list[list[Line]]:
    """The lines of a column, from top to bottom, by paragraphs. Pieces on one baseline become one line."""
    rows = [joined_row(row) for row in rows_of(lines)]
    if not rows:
        return []
    if runs_from_right("".join(row.text for row in rows)):
        rows = [replace(row, x0=-row.x1, x1=-row.x0) for row in rows]
    column = _Column(rows)
    paragraphs = [[rows[0]]]
    for before, line in pairwise(rows):
        if column.ends_between(paragraphs[-1], before, line):
            paragraphs.append([line])
        else:
            paragraphs[-1].append(line)
    return paragraphs


def is_item(text: str) -> bool:
    """Whether a line begins with the mark of a list item."""
    return BULLET.match(text) is not None or NUMBERED.match(text) is not None


class _Column:
    """Knows what is usual among its lines."""

    def __init__(self, rows: list[Line]) -> None:
        self.left = min(row.x0 for row in rows)
        self.right = max(row.x1 for row in rows)
        least = LONG * (self.right - self.left)
        pairs = [(before, line) for before, line in pairwise(rows) if 0.8 < line.size / before.size < 1.25]
        text = [pair for pair in pairs if min(line.x1 - line.x0 for line in pair) > least]
        close = _close_steps(text) or _close_steps(pairs)
        self.step = median(close) if close else 1.3

    def ends_between(self, paragraph: list[Line], before: Line, line: Line) -> bool:
        size = max(before.size, line.size)
        if LEADERS.search(before.text):
            return True
        ratio = line.size / before.size
        if ratio > 1.13 or ratio < 0.88:
            return not _stays_in_line(before, line)
        step = (line.base - before.base) / size
        if step > min(1.25 * self.step, 2.4) + 0.05 or (len(paragraph) > 1 and step > 1.25 * _step(paragraph)):
            goes_on = line.text[:1].islower() and not before.text.endswith(_ENDS) and not is_item(line.text)
            return step > 1.9 or not goes_on
        if before.bold != line.bold and _ends_early(before, line, self.right, 1.0):
            return True
        return is_item(line.text) or self._is_indented(paragraph, before, line) or self._ended(before, line)

    def _is_indented(self, paragraph: list[Line], before: Line, line: Line) -> bool:
        """Whether the line stands further in than the text above it, or comes back out of a block that stood in."""
        shift = (line.x0 - before.x0) / line.size
        if abs(shift) < 0.7 or _is_centred(before, line):
            return False
        if shift > 0:
            hangs = len(paragraph) == 1 and (is_item(before.text) or shift > 4 or _is_section(before, line))
            return not hangs and before.x0 - self.left < 6 * line.size
        return len(paragraph) > 1 and abs(before.x0 - paragraph[0].x0) < 0.5 * line.size

    def _ended(self, before: Line, line: Line) -> bool:
        """Whether the line above ends early enough for the first word of this one."""
        text = before.text
        if text.endswith(_ENDS):
            return _ends_early(before, line, self.right, 1.0)
        if _GOES_ON.search(text):
            return False
        begins = line.text[:1]
        if begins.isdigit() and text[:1].isdigit() and abs(line.x0 - before.x0) < 0.3 * line.size:
            return _ends_early(before, line, self.right, 1.0)
        return (begins.isupper() or begins.isdigit() or is_wide(begins)) and _ends_early(before, line, self.right, 6.0)


def _is_section(before: Line, line: Line) -> bool:
    """Whether a heading with a number goes on in the second line."""
    return before.bold and line.bold and _SECTION.match(before.text) is not None


def _close_steps(pairs: list[tuple[Line, Line]]) -> list[float]:
    """From line to line, in letter heights, but for those with much space between them."""
    steps = ((line.base - before.base) / max(line.size, before.size) for before, line in pairs)
    return [step for step in steps if step < 2.6]


def _step(paragraph: list[Line]) -> float:
    (first, second) = paragraph[-2:]
    return (second.base - first.base) / second.size


def _stays_in_line(before: Line, line: Line) -> bool:
    """Whether a change of size comes from a note's sign or a formula within a line."""
    return line.base - before.base < 0.6 * max(before.size, line.size) and min(line.characters, before.characters) < 6


def _is_centred(before: Line, line: Line) -> bool:
    return abs((before.x0 + before.x1) - (line.x0 + line.x1)) < line.size


def _ends_early(before: Line, line: Line, right: float, slack: float) -> bool:
    """Whether the first word of a line would have had a place on the line above, and so many letters' width more."""
    first = line.words[0]
    width = min(first.x1 - first.x0, 2 * line.size) if is_wide(first.text[0]) else first.x1 - first.x0
    return before.x1 + width + (0.3 + slack) * line.size < right
