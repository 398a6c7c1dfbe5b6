"""Running heads and feet of a PDF: the same line at the same place of many pages stands in the text once.

A page's number in such a line may change with the page. What is nothing but the page's number goes without a trace.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bookwheel.extraction.pdf.words import Word

MANY = 3
"""Pages that make a line a running one."""
MARGIN = 0.11
"""Of a page's height, above and below: where running lines stand."""
SLACK = 3.0
WIDE = 1.5
"""Letter heights between the pieces of a line."""
LEAST_CELLS = 3
"""Of a row that makes it a table's."""
REACH = 3.0
"""Letter heights from one row of a table to the next."""
FIRST, LAST = -1_000_000, 1_000_000
"""Places of a first or last line that is a number, wherever it stands: short pages have theirs right below the text."""
MOST_NUMBERS = 4
MOST_KEYS = 200_000
_NUMBER = re.compile(r"\d{1,5}")
_ROMAN = re.compile(r"[ivxlc]{1,8}")
_ROMAN_VALUES = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}

Key = tuple[str, int]


class MarginLine(NamedTuple):
    """A piece of a line near the upper or lower edge, and the keys it may be known again by."""

    words: list[Word]
    keys: list[Key]
    is_number: bool
    """Whether it has no letters: nothing is lost with it if it is a page's number."""


class RunningLines:
    """Remembers the lines at the edges of the pages of one file."""

    def __init__(self) -> None:
        self._counts: Counter[Key] = Counter()
        self._kept: set[Key] = set()

    def note(self, lines: Sequence[MarginLine]) -> None:
        """Count the lines of a page. To be called for some pages before `repeated` is asked for them."""
        if len(self._counts) < MOST_KEYS:
            self._counts.update({key for line in lines for key in line.keys})

    def repeated(self, lines: Sequence[MarginLine]) -> list[Word]:
        """The words of a page that are to be left out."""
        out: list[Word] = []
        for line in lines:
            running = [key for key in line.keys if self._counts[key] >= MANY]
            if not running:
                continue
            if not self._kept.isdisjoint(running) or (line.is_number and any("#" in text for text, _ in running)):
                out += line.words
            self._kept.update(running)
        return out


def margin_lines(words: Sequence[Word], top: float, bottom: float, page: int) -> list[MarginLine]:
    """The lines near the edges of the page number `page`, which goes from `top` to `bottom`."""
    margin = MARGIN * (bottom - top)
    first, last = min((w.base for w in words), default=0.0), max((w.base for w in words), default=0.0)
    near = [word for word in words if not max(top + margin, first + 1) < word.base < min(bottom - margin, last - 1)]
    lines = []
    pieces = list(_pieces(near))
    heads = _table_heads([piece for piece in pieces if piece[0].base <= top + margin], words)
    for piece in pieces:
        if piece[0].base in heads:
            continue
        text, base = " ".join(word.text for word in piece), piece[0].base
        is_number = not any(map(str.isalpha, text)) or _is_roman(text)
        places = [round((base - top) / SLACK)] if not top + margin < base < bottom - margin else []
        if is_number and base in (first, last):
            places.append(FIRST if base == first else LAST)
        lines.append(MarginLine(piece, [key for place in places for key in _keys(text, place, page)], is_number))
    return lines


def _table_heads(pieces: list[list[Word]], words: Sequence[Word]) -> set[float]:
    """The baselines, among those of a page's top, where a table begins: its cells stand over those of the next row."""
    heads = set()
    for base, count in Counter(piece[0].base for piece in pieces).items():
        if count < LEAST_CELLS:
            continue
        head = [piece for piece in pieces if piece[0].base == base]
        size = head[0][0].size
        below = min((word.base for word in words if 0.5 * size < word.base - base < REACH * size), default=None)
        row = list(_pieces([word for word in words if word.base == below]))
        if len(row) >= LEAST_CELLS and sum(_stands_over(cell, row) for cell in head) >= LEAST_CELLS:
            heads.add(base)
    return heads


def _stands_over(cell: list[Word], row: list[list[Word]]) -> bool:
    left, right = cell[0].x0, cell[-1].x1
    return any(min(abs(left - other[0].x0), abs(right - other[-1].x1)) < SLACK for other in row)


def _pieces(words: list[Word]) -> Iterator[list[Word]]:
    """PDFium's lines, parted where a gap is wide."""
    piece: list[Word] = []
    for word in words:
        last = piece[-1] if piece else word
        if word.line != last.line or word.base != last.base or word.x0 - last.x1 > WIDE * word.size:
            yield piece
            piece = []
        piece.append(word)
    if piece:
        yield piece


def _keys(text: str, height: int, page: int) -> Iterator[Key]:
    """The line as it stands, and once more for each number in it that may be the page's."""
    yield text, height
    if _is_roman(text):
        yield f"#{_roman(text) - page}", height
    for number in list(_NUMBER.finditer(text))[:MOST_NUMBERS]:
        yield f"{text[: number.start()]}#{int(number.group()) - page}{text[number.end() :]}", height


def _is_roman(text: str) -> bool:
    return _ROMAN.fullmatch(text) is not None


def _roman(text: str) -> int:
    values = [_ROMAN_VALUES[letter] for letter in text]
    return sum(-value if value < max(values[index:]) else value for index, value in enumerate(values))
