"""From a PDF page's words to lines: what stands side by side with no wider gap than the space between two words.

A gap that is wider parts two columns of text or two cells of a row; in justified lines all gaps are wide, so that a gap
is measured by the others of its line.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import attrgetter

from bookwheel.extraction.pdf.direction import order_from_right, right_brackets, runs_from_right
from bookwheel.extraction.pdf.letters import join_spaced
from bookwheel.extraction.pdf.words import HYPHEN, Word

NUMBER = re.compile(r"[-–—−(+$€£¥]*\d[\d.,  ]*[%)]*|[-–—−]")
CURRENCIES = frozenset(("$", "€", "£", "¥", "￥", "US$", "HK$", "RMB", "Rs.", "₹", "($", "(€"))
TAILS = frozenset((")", "%", ")%", "%)"))
_PREFIXES = CURRENCIES - {"€", "RMB"}
LEADERS = re.compile(r"(?:[ ]?[.·…․]){5,}")
"""Dots from a title to its page number."""
_MARKER = re.compile(r"[•‣◦▪●○■□◆◇▶►➢✓✔✗–—*·]|[\uf000-\uf0ff]|\(?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})[.)]|[①-⑳]|\[\d{1,3}\]")
_SPACED = (0xAC00, 0xD7A3)
"""Hangul: wide, but with spaces between its words."""
_CONTROL = re.compile(r"[\x00\x01\x03-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\ufeff\u200e\u200f\u202a-\u202e]")


@dataclass(slots=True)
class Line:
    """A piece of a line of text, never wider than a column. Not frozen, for there are many."""

    words: list[Word]
    x0: float
    x1: float
    base: float
    size: float
    bold: bool
    _text: str = ""

    @property
    def top(self) -> float:
        return self.base - 0.8 * self.size

    @property
    def bottom(self) -> float:
        return self.base + 0.2 * self.size

    @property
    def text(self) -> str:
        if not self._text:
            self._text = join_words(self.words)
        return self._text

    @property
    def characters(self) -> int:
        return sum(len(word.text) for word in self.words)


def is_wide(character: str) -> bool:
    """Whether it belongs to a script that is written without spaces: Chinese and Japanese, not Korean."""
    code = ord(character)
    return code >= 0x2E80 and not _SPACED[0] <= code <= _SPACED[1] and not 0xD800 <= code <= 0xF8FF


def join_words(words: Sequence[Word]) -> str:
    """The words of one line, with spaces but between characters of a script that has none."""
    if len(words) == 1:
        return words[0].text
    if (spaced := join_spaced(words)) is not None:
        return spaced
    parts = [words[0].text]
    for before, word in pairwise(words):
        if not (
            is_wide(before.text[-1])
            and is_wide(word.text[0])
            and word.x0 - before.x1 < 0.6 * max(word.size, before.size)
        ):
            parts.append(" ")
        parts.append(word.text)
    text = "".join(parts)
    if runs_from_right(text):
        return right_brackets(" ".join(word.text for word in order_from_right(words)))
    return text


def clean(text: str) -> str:
    """A text as it is shown: hyphens of PDFium's back in place, control characters out."""
    if HYPHEN in text:
        text = text.replace(HYPHEN, "-")
    return _CONTROL.sub("", text)


def join_lines(lines: Iterable[str], compounds: frozenset[str] = frozenset()) -> str:
    """Lines as running text, with the hyphens at their ends undone. `compounds` are words known to be hyphenated."""
    text = ""
    for line in lines:
        if not text or not line:
            text += line
        elif text[-1] in "-‐" + HYPHEN and len(text) > 1:
            text = _join_hyphenated(text, line, compounds)
        elif is_wide(text[-1]) and is_wide(line[0]):
            text += line
        else:
            text += " " + line
    return clean(text)


_FIRST_PARTS = frozenset(
    "all cross ex half high long low mid multi non post pre quasi self semi short so two well".split()
)
"""What mostly keeps its hyphen."""
_TAIL = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*$")
_HEAD = re.compile(r"[^\W\d_]+")


def _join_hyphenated(text: str, line: str, compounds: frozenset[str]) -> str:
    before = text[:-1]
    tail, head = _TAIL.search(before), _HEAD.match(line)
    if tail is None or head is None:
        return f"{before}-{line}" if before and not before[-1].isspace() else f"{before}- {line}"
    whole = f"{tail.group()}-{head.group()}".casefold()
    if not head.group()[0].islower() or whole in compounds or tail.group().casefold() in _FIRST_PARTS:
        return f"{before}-{line}"
    return before + line


def find_lines(words: Sequence[Word]) -> list[Line]:
    """The lines of a frame, from top to bottom and from left to right."""
    lines = [line for _, group in groupby(words, attrgetter("line")) for line in _pieces(list(group))]
    return _merge(lines)


def _pieces(words: list[Word]) -> list[Line]:
    """PDFium's line, parted where a gap is too wide or where words do not follow one another."""
    if len(words) == 1:
        return [_line(words)]
    gaps = [_gap(before, word) for before, word in pairwise(words)]
    usual = sorted(gaps)[len(gaps) // 4 if len(gaps) > 6 else 0]
    pieces, start = [], 0
    for index, (gap, (before, word)) in enumerate(zip(gaps, pairwise(words), strict=True), 1):
        if _parts(gap, usual, before, word):
            pieces.append(_line(words[start:index]))
            start = index
    pieces.append(_line(words[start:]))
    return pieces


def _gap(before: Word, word: Word) -> float:
    """Between two words, whichever side the second one stands on."""
    gap = word.x0 - before.x1
    return gap if gap > -before.size else max(before.x0 - word.x1, gap)


def _parts(gap: float, usual: float, before: Word, word: Word) -> bool:
    size = max(before.size, word.size)
    if abs(word.base - before.base) > 0.6 * size or gap < -0.8 * size:
        return True
    if gap > 0.15 * size and word.text in _PREFIXES and NUMBER.fullmatch(before.text):
        return True
    if gap <= 0.4 * size or (_MARKER.fullmatch(before.text) and gap < 3 * size):
        return False
    if before.text in CURRENCIES and NUMBER.fullmatch(word.text):
        return gap > 4 * size
    if _is_amount(word.text) and _is_amount(before.text):
        return word.text not in TAILS or gap > size
    return gap > min(max(0.9 * size, 2.0 * usual), 1.8 * size)


def _is_amount(text: str) -> bool:
    return text in CURRENCIES or text in TAILS or NUMBER.fullmatch(text) is not None


def _line(words: list[Word]) -> Line:
    if len(words) == 1:
        word = words[0]
        return Line(words, word.x0, word.x1, word.base, word.size, word.bold)
    main = _main_word(words)
    bold = sum(len(word.text) if word.bold else -len(word.text) for word in words)
    return Line(words, min(w.x0 for w in words), max(w.x1 for w in words), main.base, main.size, bold > 0)


def _main_word(words: list[Word]) -> Word:
    """A word in the letters that most of the line is set in."""
    first = words[0]
    if all(word.size == first.size for word in words):
        return first
    sizes: dict[float, int] = {}
    for word in words:
        sizes[word.size] = sizes.get(word.size, 0) + len(word.text)
    size = max(sizes, key=lambda size: (sizes[size], size))
    return next(word for word in words if word.size == size)


def joined_row(row: list[Line]) -> Line:
    """All pieces of a row as one line."""
    return row[0] if len(row) == 1 else _line([word for line in row for word in line.words])


def rows_of(lines: Iterable[Line]) -> list[list[Line]]:
    """Lines with one baseline, rows from top to bottom, lines from left to right."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=attrgetter("base")):
        if rows and line.base - rows[-1][0].base <= 0.25 * min(line.size, rows[-1][0].size):
            rows[-1].append(line)
        else:
            rows.append([line])
    for row in rows:
        row.sort(key=attrgetter("x0"))
    return rows


def _merge(lines: list[Line]) -> list[Line]:
    """Join what PDFium took for two lines: a number and its text, words drawn out of order."""
    merged = []
    for row in rows_of(lines):
        last = row[0]
        for line in row[1:]:
            if _joins(last, line):
                last = _line([*last.words, *line.words])
            else:
                merged.append(last)
                last = line
        merged.append(last)
    return merged


def _joins(last: Line, line: Line) -> bool:
    gap, size = line.x0 - last.x1, max(last.size, line.size)
    if last.words[-1].line == line.words[0].line:
        return False
    if -0.3 * size < gap <= 0.4 * size:
        return min(last.size, line.size) > 0.5 * size
    return 0 < gap < 3 * size and len(last.words) == 1 and bool(_MARKER.fullmatch(last.words[0].text))
