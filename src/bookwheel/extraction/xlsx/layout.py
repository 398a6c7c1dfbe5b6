"""From a sheet's rows to its blocks: which cells make one table, which are titles and notes around it.

A sheet is a plane on which people put several tables, with titles above and notes below. Rows are parted into areas where
empty rows stand and something new begins, areas into tables that stand side by side; lines of one cell before and after
a table are paragraphs. The spaces that people leave inside one table (an empty row before a total, a narrow empty column)
do not part it: labels must not be torn from their numbers.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from bookwheel.document import Block, BlockKind, part_text
from bookwheel.extraction.tables import table_row, table_rule
from bookwheel.extraction.xlsx.cells import Merge, Row, column_letters

BLOCK_ROWS = 50
BLOCK_CHARACTERS = 8_000
AREA_ROWS = 500
AREA_CELLS = 100_000
"""What is held to find an area's shape; a longer one goes on in the same shape."""
WIDE_GAP = 3
"""So many empty rows always part."""
MOST_TITLE_ROWS = 20
MOST_BESIDE = 20
"""Blocks of columns that are looked at for tables beside each other, from the left."""
MOST_FILLED = 200_000
MOST_NUMBER_CHARACTERS = 40
MOST_REPEATED_CHARACTERS = 100
SPARSE_COLUMNS = 50
SPARSE_SHARE = 0.05
"""A table of more columns with a smaller share of filled cells is written cell by cell."""

_NUMBER = re.compile(r"[-+(]*[^\w\s(]?\s?\d[\d.,\s]*(?:E[+-]?\d+)?\s?[^\w\s]?\)?", re.IGNORECASE)
_YEAR = re.compile(r"(?:19|20)\d\d")
_PLAIN_NAME = re.compile(r"[^\W\d][\w.]*")
_LIKE_REFERENCE = re.compile(r"[A-Z]{1,3}\d+|R\d*|C\d*|R\d*C\d*", re.IGNORECASE)


def quoted(sheet: str) -> str:
    """A sheet's name as Excel writes it before a `!`."""
    if _PLAIN_NAME.fullmatch(sheet) and not _LIKE_REFERENCE.fullmatch(sheet):
        return sheet
    return "'" + sheet.replace("'", "''") + "'"


def lay_out(rows: Iterable[Row], merges: Sequence[Merge], sheet: str) -> Iterator[Block]:
    """The tables and lines of a sheet, whose name is quoted already. Anchors are `Sheet!A1:B2`."""
    spread = _Spread(merges)
    table: _Table | None = None
    for area, goes_on in _areas(rows):
        if table is None:
            first, last = _table_rows(area)
            spread.fill(area)
            if goes_on and last:
                yield from _lines(area[:first], sheet)
                table = _Table(sheet)
                yield from table.add(area[first:])
            else:
                yield from _area_blocks(area, sheet)
        else:
            yield from table.add(area)
        if table is not None and not goes_on:
            yield from table.end()
            table = None


def _areas(rows: Iterable[Row]) -> Iterator[tuple[list[Row], bool]]:
    """The rows of each area, and whether it goes on in the next one because it is long."""
    area: list[Row] = []
    waiting: list[Row] = []
    last = size = 0
    for row in rows:
        gap, last = row.number - last - 1, row.number
        undecided = bool(area) and (gap > 0 or bool(waiting))
        if undecided and gap < WIDE_GAP and len(row.cells) == 1 and len(waiting) < MOST_TITLE_ROWS:
            waiting.append(row)
            continue
        if undecided:
            parts = gap >= WIDE_GAP or len(row.cells) == 1 or _begins_table(row, area)
            before = area if parts and gap < WIDE_GAP else area + waiting
            if parts:
                yield before, False
                area, size = [] if gap >= WIDE_GAP else waiting, 0
            else:
                area = before
            waiting = []
        area.append(row)
        size += len(row.cells)
        if len(area) >= AREA_ROWS or size >= AREA_CELLS:
            yield area, True
            area, size = [], 0
    yield area + waiting, False


def _begins_table(row: Row, area: list[Row]) -> bool:
    """Whether a row after an empty one is the head of a new table: words under numbers, or mostly in other columns."""
    before = next((above for above in reversed(area) if len(above.cells) > 1), None)
    if before is None:
        return False
    columns = set().union(*(above.cells for above in area[-BLOCK_ROWS:]))
    if len(row.cells.keys() - columns) * 2 > len(row.cells):
        return True
    return _is_head(row.cells.values()) and not _is_head(before.cells.values())


def _is_head(texts: Iterable[str]) -> bool:
    return not any(_is_number(text) and not _YEAR.fullmatch(text) for text in texts)


def _is_number(text: str) -> bool:
    return len(text) <= MOST_NUMBER_CHARACTERS and _NUMBER.fullmatch(text) is not None


def _table_rows(area: list[Row]) -> tuple[int, int]:
    """From and up to which row of an area cells stand beside each other: the table without what is above and below."""
    beside = [index for index, row in enumerate(area) if len(row.cells) > 1]
    return (beside[0], beside[-1] + 1) if beside else (0, 0)


def _area_blocks(area: list[Row], sheet: str) -> Iterator[Block]:
    first, last = _table_rows(area)
    yield from _lines(area[:first], sheet)
    for rows in _side_by_side(area[first:last]):
        top, bottom = _table_rows(rows)
        yield from _lines(rows[:top], sheet)
        table = _Table(sheet)
        yield from table.add(rows[top:bottom])
        yield from table.end()
        yield from _lines(rows[bottom:], sheet)
    yield from _lines(area[last:], sheet)


def _side_by_side(rows: list[Row]) -> list[list[Row]]:
    """The rows of each of the tables that stand beside each other, from left to right."""
    columns: set[int] = set().union(*(row.cells for row in rows))
    starts = sorted(column for column in columns if column - 1 not in columns)
    tables: list[list[Row]] = []
    rest = rows
    for start in reversed(starts[1:MOST_BESIDE]):
        left, right = _cut(rest, start)
        if _is_table_beside(left, right):
            tables.append(right)
            rest = left
    return [rest, *reversed(tables)] if rest else tables


def _cut(rows: list[Row], start: int) -> tuple[list[Row], list[Row]]:
    left, right = [], []
    for row in rows:
        before = {column: text for column, text in row.cells.items() if column < start}
        after = {column: text for column, text in row.cells.items() if column >= start}
        if before:
            left.append(Row(row.number, before))
        if after:
            right.append(Row(row.number, after))
    return left, right


def _is_table_beside(left: list[Row], right: list[Row]) -> bool:
    """Whether what stands to the right is a table of its own: other rows than the left one, and a head or labels."""
    if min(_height(left), _height(right)) < 2:
        return False
    if left[0].number == right[0].number and left[-1].number == right[-1].number:
        return False
    if right[0].number > left[0].number and len(right[0].cells) > 1 and _is_head(right[0].cells.values()):
        return True
    first_column = min(min(row.cells) for row in right)
    labels = [row.cells[first_column] for row in right[1:] if first_column in row.cells]
    words = sum(not _is_number(label) for label in labels)
    return len(labels) * 2 >= len(right) - 1 and words * 2 > len(labels)


def _height(rows: list[Row]) -> int:
    """How many rows have cells beside each other."""
    return sum(len(row.cells) > 1 for row in rows)


def _lines(rows: Sequence[Row], sheet: str) -> Iterator[Block]:
    """Rows of one cell each, a line each, as paragraphs."""
    text, begun = "", 0
    for index, row in enumerate(rows):
        text += "".join(f"{cell}\n" for cell in row.cells.values())
        if len(text) >= BLOCK_CHARACTERS or index == len(rows) - 1:
            anchor = _range(sheet, rows[begun : index + 1])
            yield from _paragraphs(text, anchor)
            text, begun = "", index + 1


def _paragraphs(text: str, anchor: str) -> Iterator[Block]:
    start = 0
    while len(text) - start > BLOCK_CHARACTERS:
        part = text[start : start + BLOCK_CHARACTERS]
        end = part_text(part, BLOCK_CHARACTERS)
        yield Block(BlockKind.PARAGRAPH, part[:end], anchor)
        start += end
    yield Block(BlockKind.PARAGRAPH, f"{text[start:]}\n", anchor)


def _range(sheet: str, rows: Sequence[Row]) -> str:
    columns = [min(min(row.cells) for row in rows), max(max(row.cells) for row in rows)]
    numbers = [min(row.number for row in rows), max(row.number for row in rows)]
    return reference(sheet, columns[0], numbers[0], columns[1], numbers[1])


def reference(sheet: str, left: int, top: int, right: int, bottom: int) -> str:
    """`Sheet!A1:B2`, or `Sheet!A1` for a single cell."""
    first, last = f"{column_letters(left)}{top}", f"{column_letters(right)}{bottom}"
    return f"{sheet}!{first}" if first == last else f"{sheet}!{first}:{last}"


class _Table:
    """A table on its way into blocks of some rows. A column that shows up late begins the table anew under its head."""

    def __init__(self, sheet: str) -> None:
        self._sheet = sheet
        self._columns: list[int] = []
        self._head: dict[int, str] = {}
        self._lines: list[str] = []
        self._size = 0
        self._first = self._last = 0

    def add(self, rows: list[Row]) -> Iterator[Block]:
        used = set(self._columns).union(*(row.cells for row in rows))
        if len(used) > SPARSE_COLUMNS and sum(len(row.cells) for row in rows) < SPARSE_SHARE * len(used) * len(rows):
            yield from self.end()
            yield from _cell_by_cell(rows, self._sheet)
            return
        if len(used) > len(self._columns):
            yield from self._begin(sorted(used), rows[0])
        for row in rows:
            self._write(row)
            if len(self._lines) >= BLOCK_ROWS or self._size >= BLOCK_CHARACTERS:
                yield self._block(last=False)

    def end(self) -> Iterator[Block]:
        if self._lines:
            yield self._block(last=True)
        self._columns = []

    def _begin(self, columns: list[int], first: Row) -> Iterator[Block]:
        """Take these columns; a table that had fewer so far is ended and its head said again."""
        repeated = bool(self._columns)
        yield from self.end()
        self._columns = columns
        if repeated:
            self._put(table_row([self._head.get(column, "") for column in columns]) + table_rule(len(columns)))
        else:
            self._head = first.cells

    def _write(self, row: Row) -> None:
        cells, columns = row.cells, self._columns
        line = table_row(list(cells.values()) if list(cells) == columns else [cells.get(c, "") for c in columns])
        self._put(line + table_rule(len(self._columns)) if cells is self._head else line)
        self._first = self._first or row.number
        self._last = row.number

    def _put(self, line: str) -> None:
        self._lines.append(line)
        self._size += len(line)

    def _block(self, *, last: bool) -> Block:
        text = "".join(self._lines) + ("\n" if last else "")
        anchor = reference(self._sheet, self._columns[0], self._first, self._columns[-1], self._last)
        self._lines, self._size, self._first = [], 0, 0
        return Block(BlockKind.TABLE, text, anchor)


def _cell_by_cell(rows: list[Row], sheet: str) -> Iterator[Block]:
    """Cells that stand far from each other, a line each: `ZZ900: text`."""
    lines = [
        Row(row.number, {column: f"{column_letters(column)}{row.number}: {text}"})
        for row in rows
        for column, text in sorted(row.cells.items())
    ]
    yield from _lines(lines, sheet)


class _Spread:
    """Says the value of merged cells again where it belongs to several rows or columns.

    A label that stands beside several rows is repeated in each, a head that stands over several columns of words in each.
    Elsewhere, and for long texts, merged cells are how the sheet is drawn, and the value stands once.
    """

    def __init__(self, merges: Sequence[Merge]) -> None:
        self._tops: dict[int, list[Merge]] = defaultdict(list)
        for merge in merges:
            self._tops[merge.top].append(merge)
        self._left = MOST_FILLED

    def fill(self, area: list[Row]) -> None:
        """Add the repeated values to the rows of an area."""
        if not self._tops:
            return
        numbers = [row.number for row in area]
        filled: list[tuple[Row, int, str]] = []
        for index, row in enumerate(area):
            for merge in self._tops.get(row.number, ()):
                text = row.cells.get(merge.left)
                if text is None or len(text) > MOST_REPEATED_CHARACTERS or self._left <= 0:
                    continue
                below = area[index + 1 : bisect_left(numbers, merge.bottom + 1, index)]
                under = area[index + 1 + len(below)] if index + 1 + len(below) < len(area) else None
                filled += _down(merge, text, below) if below else _across(merge, text, row, under)
                self._left -= len(below) + 1
        for row, column, text in filled:
            row.cells.setdefault(column, text)
        for row in {id(row): row for row, _, _ in filled}.values():
            ordered = sorted(row.cells.items())
            row.cells.clear()
            row.cells.update(ordered)


def _down(merge: Merge, text: str, below: list[Row]) -> list[tuple[Row, int, str]]:
    if _is_number(text):
        return []
    return [(row, merge.left, text) for row in below]


def _across(merge: Merge, text: str, row: Row, under: Row | None) -> list[tuple[Row, int, str]]:
    """Over each of the columns that have words of their own right below; not from the first one, where titles stand."""
    if under is None or under.number != merge.bottom + 1:
        return []
    if len(row.cells) == 1 and merge.left <= min(under.cells):
        return []
    columns = [column for column in under.cells if merge.left <= column <= merge.right]
    return [(row, column, text) for column in columns if column != merge.left] if len(columns) > 1 else []
