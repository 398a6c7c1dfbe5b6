"""Tables as text (CSV, TSV): one Markdown table, a line a row, its first row as the head.

The delimiter is the one of four that gives most rows of one width. Rows may be ragged, and those without words are left
out; pipes in cells are escaped and line ends in them become spaces. A quote that is never closed is read as a
character, so that no row is lost to it. A first line `sep=;`, which Excel writes, says the delimiter and is no row.
"""

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TextIO

from bookwheel.document import Block, BlockKind

BLOCK_ROWS = 50
BLOCK_CHARACTERS = 8_000
SAMPLE_CHARACTERS = 64 * 1024
SAMPLE_ROWS = 100
RECORD_CHARACTERS = 4 * 1024 * 1024
"""A quoted cell that goes on for longer is taken for a quote that was never closed; a longer line counts as several."""
DELIMITERS = ("\t", ";", "|", ",")
NO_DELIMITER = "\x1f"
"""Stands in no text: each line is one cell."""

_NAMED_DELIMITER = re.compile(r'"?sep=([^\w"\r\n])"?\n', re.IGNORECASE)


def read(path: Path, encoding: str) -> Iterator[Block]:
    """The table in blocks of some rows. Anchors are `row N` or `rows N-M`, the head being row 1."""
    csv.field_size_limit(sys.maxsize)  # RECORD_CHARACTERS is the limit
    with path.open(encoding=encoding, errors="replace") as file:
        sample = file.read(SAMPLE_CHARACTERS)
    named = _NAMED_DELIMITER.match(sample)
    delimiter = named[1] if named else _find_delimiter(sample)
    with path.open(encoding=encoding, errors="replace") as file:
        rows = _rows(file, delimiter, spaced=_is_spaced(sample, delimiter))
        yield from _blocks(islice(rows, 1 if named else 0, None), 2 if named else 1)


def _find_delimiter(sample: str) -> str:
    """The delimiter with the largest share of rows of one width. Tabs and semicolons first: commas stand in numbers."""
    lines = sample.split("\n")
    if len(lines) > 1:
        lines.pop()
    shares = {
        delimiter: _share_of_one_width(lines, delimiter, spaced=_is_spaced(sample, delimiter))
        for delimiter in DELIMITERS
    }
    best = max(shares, key=shares.__getitem__)
    if shares[best] >= 0.5:
        return best
    return "," if any(delimiter in lines[0] for delimiter in DELIMITERS) else NO_DELIMITER


def _is_spaced(sample: str, delimiter: str) -> bool:
    """Whether quotes stand behind spaces: `1, "x, y"` has two cells."""
    return f'{delimiter} "' in sample


def _share_of_one_width(lines: list[str], delimiter: str, *, spaced: bool) -> float:
    """The share of rows that have the commonest number of cells; 0 where that is one."""
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=spaced)
    rows = [row for row in islice(reader, SAMPLE_ROWS) if row]
    (width, count), *_ = Counter(map(len, rows)).most_common(1) or [(1, 0)]
    return count / len(rows) if width > 1 else 0.0


def _rows(file: TextIO, delimiter: str, *, spaced: bool) -> Iterator[list[str]]:
    """The rows of a file; a blank line is an empty row."""
    tape = _Tape(iter(partial(file.readline, RECORD_CHARACTERS), ""))
    while not tape.at_end:
        for row in csv.reader(tape, delimiter=delimiter, skipinitialspace=spaced):
            unclosed = tape.take() if tape.stopped else []
            if unclosed:
                yield from csv.reader(unclosed, delimiter=delimiter, quoting=csv.QUOTE_NONE)
            else:
                yield row
                tape.take()


class _Tape:
    """Lines on their way into a csv reader, held until it has made a row of them.

    The tape stops at the end of the file or when a row takes too many lines: a row that comes after that was cut short
    inside quotes.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._held: list[str] = []
        self._size = 0
        self.stopped = self.at_end = False

    def __iter__(self) -> Iterator[str]:
        self.stopped = False
        for line in self._lines:
            self._held.append(line)
            self._size += len(line)
            yield line
            if self._size > RECORD_CHARACTERS:
                self.stopped = True
                return
        self.stopped = self.at_end = True

    def take(self) -> list[str]:
        """The lines since the last row, which are then forgotten."""
        held, self._held, self._size = self._held, [], 0
        return held


def _blocks(rows: Iterable[list[str]], first_number: int) -> Iterator[Block]:
    text, first, last, head_done = "", 0, 0, False
    for number, cells in enumerate(rows, first_number):
        if not any(map(str.strip, cells)):
            continue
        first, last = first or number, number
        text += _line(cells)
        if not head_done:
            text += "| --- " * len(cells) + "|\n"
            head_done = True
        if last - first >= BLOCK_ROWS - 1 or len(text) >= BLOCK_CHARACTERS:
            yield _block(text, first, last)
            text, first = "", 0
    if text:
        yield _block(text, first, last)


def _line(cells: list[str]) -> str:
    line = " | ".join(cells)
    if "\n" in line or line.count("|") >= len(cells):
        line = " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {line} |\n"


def _block(text: str, first: int, last: int) -> Block:
    return Block(BlockKind.TABLE, text, f"row {first}" if first == last else f"rows {first}-{last}")
