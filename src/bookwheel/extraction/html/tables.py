"""Tables of a page: which of them are tables and which only lay out a page, and where each cell stands in the grid.

A cell that spans rows is repeated in each, so that a row says all it is about; one that spans columns stands once,
unless it heads some of the columns. Columns that hold nothing, or only a currency or a bracket, go into their
neighbours: pages that were once spreadsheets are full of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from bookwheel.document import Block, BlockKind, Picture
from bookwheel.extraction.tables import table_row, table_rule

BLOCK_ROWS = 50
BLOCK_CHARACTERS = 8_000
STREAMED_ROWS = 300
"""A table that has grown to so many rows is rendered as it goes on."""
MOST_COLUMNS = 200
MOST_ROWS_SPANNED = 10_000
MOST_CELL_CHARACTERS = 2_000
"""A cell that holds more is a part of the page, not of a table."""
MOST_NESTED_CHARACTERS = 500
MOST_REPEATED_CHARACTERS = 200
REPEATED_BUDGET = 500_000
"""Characters that the spans of one table may add to it."""

_BEFORE = frozenset(["$", "€", "£", "¥", "(", "US$", "RMB", "￥", "HK$"])
_AFTER = frozenset([")", "%", ")%", "*", "）"])

Item = Block | Picture


@dataclass(eq=False, slots=True)
class Cell:
    """One cell as it was read. `items` are what stands in it."""

    head: bool = False
    columns: int = 1
    rows: int = 1
    items: list[Item] = field(default_factory=list)

    def text(self) -> str:
        return " ".join(item.text.strip() for item in self.items if isinstance(item, Block))


_EMPTY = Cell()


class Table:
    """Gathers the cells of one table. `put` the rows, then `finish`; either yields what is ready."""

    def __init__(self, *, layout: bool, anchor: str) -> None:
        self._layout = layout
        self._anchor = anchor
        self._rows: list[list[Cell]] = []
        self._spans: dict[int, tuple[Cell, int]] = {}
        self._budget = REPEATED_BUDGET
        self._streaming = False
        self._has_heads = False
        self._first_row = 1
        self._row: list[Cell] = []

    def add(self, cell: Cell) -> None:
        """A cell of the row that is being read."""
        self._has_heads = self._has_heads or cell.head
        if not self._streaming:
            self._layout = self._layout or self._lays_out(cell)
        self._row.append(cell)

    def _lays_out(self, cell: Cell) -> bool:
        kinds = {item.kind for item in cell.items if isinstance(item, Block)}
        size = sum(len(item.text) for item in cell.items if isinstance(item, Block))
        if BlockKind.TABLE in kinds and (not self._has_heads or size > MOST_NESTED_CHARACTERS):
            return True
        return size > MOST_CELL_CHARACTERS or not kinds.isdisjoint((BlockKind.HEADING, BlockKind.CODE))

    def end_row(self) -> Iterator[Item]:
        """The row is complete."""
        row, self._row = self._row, []
        if not row and not self._spans:
            return
        self._rows.append(self._place(row))
        if self._layout or len(self._rows) <= (BLOCK_ROWS if self._streaming else STREAMED_ROWS):
            return
        last = self._rows.pop()  # so that something is left for `finish`
        yield from self._render(head=not self._streaming, end="")
        self._streaming, self._rows = True, [last]

    def finish(self) -> Iterator[Item]:
        """What is left of the table."""
        yield from self.end_row()
        if self._streaming:
            yield from self._render(head=False, end="\n")
        elif self._layout or not self._is_grid():
            yield from self._flow()
        else:
            yield from self._render(head=True, end="\n")

    def _place(self, row: list[Cell]) -> list[Cell]:
        """The row as slots, one a column, those filled that cells of earlier rows span."""
        slots: list[Cell] = []
        cells = iter(row)
        while len(slots) < MOST_COLUMNS:
            spanning, left = self._spans.pop(len(slots), (None, 0))
            if spanning is not None:
                if left > 1:
                    self._spans[len(slots)] = (spanning, left - 1)
                slots.append(spanning)
                continue
            cell = next(cells, None)
            if cell is None and not any(column > len(slots) for column in self._spans):
                break
            self._put(cell or _EMPTY, slots)
        _overflow(cells, slots)
        return slots

    def _put(self, cell: Cell, slots: list[Cell]) -> None:
        for _ in range(min(cell.columns, MOST_COLUMNS - len(slots))):
            if cell.rows > 1:
                self._spans[len(slots)] = (cell, cell.rows - 1)
            slots.append(cell)

    def _is_grid(self) -> bool:
        """Whether it has two columns in use; a table of one is a box around text."""
        used = {column for row in self._rows for column, cell in enumerate(row) if cell.items}
        cells = {cell for row in self._rows for cell in row if cell.items}
        return len(used) > 1 and len(cells) > 1

    def _flow(self) -> Iterator[Item]:
        seen: set[Cell] = set()
        for row in self._rows:
            for cell in row:
                if cell not in seen:
                    seen.add(cell)
                    yield from cell.items
        self._rows = []

    def _render(self, *, head: bool, end: str) -> Iterator[Item]:
        """The rows that are held, in blocks of some rows each."""
        rows, self._rows = self._rows, []
        pictures = list(self._pictures(rows))
        if head:
            rows = _drop_empty_columns(rows)
        filled = [texts for row in rows if any(texts := self._texts(row))]
        width = max(map(len, filled), default=0) if head else 0
        lines = [table_row([*texts, *[""] * (width - len(texts))]) for texts in filled]
        if head and lines:
            lines[0] += table_rule(width)
        while lines:
            part = lines[: _fitting(lines)]
            del lines[: len(part)]
            is_last = not lines
            text = "".join(part) + (end if is_last else "")
            yield Block(BlockKind.TABLE, text, self._part_anchor(len(part), alone=is_last and end != ""))
        yield from pictures

    def _part_anchor(self, rows: int, *, alone: bool) -> str:
        first, self._first_row = self._first_row, self._first_row + rows
        return self._anchor if alone and first == 1 else f"{self._anchor}, rows {first}-{first + rows - 1}".lstrip(", ")

    def _pictures(self, rows: list[list[Cell]]) -> Iterator[Picture]:
        for cell in dict.fromkeys(cell for row in rows for cell in row):
            yield from (item for item in cell.items if isinstance(item, Picture))

    def _texts(self, row: list[Cell]) -> list[str]:
        texts: list[str] = []
        whole = len(set(row)) == 1
        for column, cell in enumerate(row):
            repeats = column > 0 and row[column - 1] is cell
            texts.append("" if repeats and (whole or not cell.head) else self._text_of(cell))
        return texts

    def _text_of(self, cell: Cell) -> str:
        """The cell's text, each time it is asked for, within what repetition may add."""
        text = cell.text() if cell.items else ""
        if cell.columns == cell.rows == 1:
            return text
        self._budget -= len(text)
        if self._budget < 0 or len(text) > MOST_REPEATED_CHARACTERS:
            cell.items = []
        return text


def _fitting(lines: list[str]) -> int:
    """How many of the lines make a block; one at least."""
    size = 0
    for number, line in enumerate(lines[:BLOCK_ROWS]):
        size += len(line)
        if size > BLOCK_CHARACTERS:
            return max(1, number)
    return BLOCK_ROWS


def _overflow(cells: Iterator[Cell], slots: list[Cell]) -> None:
    """Cells beyond the last column go into it, so that none is lost."""
    for cell in cells:
        last = slots[-1]
        if last is _EMPTY or last.rows > 1:
            last = slots[-1] = Cell()
        last.items.extend(cell.items)


def _drop_empty_columns(rows: list[list[Cell]]) -> list[list[Cell]]:
    """The rows without columns of nothing, of `$` and of `)`: these join the figures they belong to."""
    width = max(map(len, rows), default=0)
    padded = [row + [_EMPTY] * (width - len(row)) for row in rows]
    joins = [_join_of({_own_text(row, column) for row in padded}) for column in range(width)]
    if not any(joins) or all(joins):
        return rows
    return [_joined(row, joins) for row in padded]


def _own_text(row: list[Cell], column: int) -> str:
    cell = row[column]
    return cell.text() if cell.columns == 1 and not cell.head else "" if cell.columns > 1 or not cell.items else "head"


def _join_of(texts: set[str]) -> str:
    """What becomes of a column that holds these texts: `drop`, `before` (the next), `after` (the last), or nothing."""
    held = texts - {""}
    if not held:
        return "drop"
    return "before" if held <= _BEFORE else "after" if held <= _AFTER else ""


def _joined(row: list[Cell], joins: list[str]) -> list[Cell]:
    """A row whose columns are joined as `joins` says."""
    kept: list[Cell] = []
    waiting: list[Cell] = []
    for cell, join in zip(row, joins, strict=True):
        if join == "":
            kept.append(_merge([*waiting, cell]))
            waiting = []
        elif kept and join == "after":
            kept[-1] = _merge([kept[-1], cell])
        elif cell.items and (not kept or kept[-1] is not cell):
            waiting.append(cell)
    if waiting and kept:
        kept[-1] = _merge([kept[-1], *waiting])
    return kept


def _merge(cells: list[Cell]) -> Cell:
    """One cell for several that stand side by side; the same one, where only one holds anything."""
    filled = list(dict.fromkeys(cell for cell in cells if cell.items))
    if len(filled) < 2:
        return filled[0] if filled else _EMPTY
    text = (" " if any(cell.columns > 1 for cell in filled) else "").join(cell.text() for cell in filled)
    anchor = next((item.anchor for cell in filled for item in cell.items), "")
    return Cell(items=[Block(BlockKind.PARAGRAPH, text, anchor)])
