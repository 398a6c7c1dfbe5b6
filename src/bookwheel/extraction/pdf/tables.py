"""Tables without rules: rows of a PDF page whose pieces stand in columns.

A run of rows makes a table where most of them have several pieces and white space goes down between the pieces. Running
text in two columns is no table: whoever asks here has parted the columns before.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from bookwheel.extraction.pdf.grids import Box, Table
from bookwheel.extraction.pdf.lines import (
    CURRENCIES,
    LEADERS,
    NUMBER,
    TAILS,
    Line,
    clean,
    join_lines,
    joined_row,
    rows_of,
)

LEAST_ROWS = 3
LEAST_CELLS = 6
MOST_WALLS = 100
LONG_CELL = 30
"""Characters: where cells of several columns are longer on average, they are running text."""


class _Cell(NamedTuple):
    x0: float
    x1: float
    text: str


class _Row(NamedTuple):
    base: float
    size: float
    cells: list[_Cell]


def find_plain_tables(lines: Sequence[Line]) -> tuple[list[Table], list[Line]]:
    """The tables among the lines of one column, and the lines that stand in none."""
    rows = [[joined_row(row)] if _is_entry(row) else row for row in rows_of(lines)]
    tables, left, start = [], [], 0
    for first, last in _runs(rows):
        table = _read([_row(row) for row in rows[first:last]])
        if table is not None:
            inside = [line for row in rows[first:last] for line in row]
            tables.append(Table(table, _box(inside)))
            left += [line for row in rows[start:first] for line in row]
            start = last
    left += [line for row in rows[start:] for line in row]
    return tables, left


def _is_entry(row: list[Line]) -> bool:
    """Whether this is a line of a table of contents: a title, dots, a page number."""
    return len(row) == 2 and len(row[1].text) < 6 and LEADERS.search(row[0].text) is not None


def _box(lines: list[Line]) -> Box:
    return Box(
        min(line.x0 for line in lines),
        min(line.top for line in lines),
        max(line.x1 for line in lines),
        max(line.bottom for line in lines),
    )


def _runs(rows: list[list[Line]]) -> Iterator[tuple[int, int]]:
    """From which row to which a table may go: rows of several pieces, with a few of one piece in between."""
    index = 0
    while index < len(rows):
        if len(rows[index]) < 2:
            index += 1
            continue
        first = last = index
        for index in range(first + 1, len(rows)):
            before, row = rows[index - 1], rows[index]
            if row[0].base - before[0].base > 3.2 * max(row[0].size, before[0].size) or index - last > _most_labels(
                rows[last:index]
            ):
                break
            if len(row) > 1:
                last = index
        index = last + 1
        if last - first + 1 >= LEAST_ROWS:
            yield first, last + 1


def _most_labels(rows: list[list[Line]]) -> int:
    """How many rows of one piece may stand in a table after the first of these: more where they end before its cells."""
    full, *labels = rows
    return 8 if all(row[0].x1 < full[1].x0 for row in labels if len(row) == 1) else 3


def _row(lines: list[Line]) -> _Row:
    """A row with its currency signs beside their numbers."""
    cells: list[_Cell] = []
    sign: _Cell | None = None
    for line in lines:
        cell = _Cell(line.x0, line.x1, line.text)
        if sign is not None:
            cell, sign = (
                _Cell(sign.x0 if cell.x0 - sign.x1 < line.size else cell.x0, cell.x1, sign.text + cell.text),
                None,
            )
        if cell.text in CURRENCIES:
            sign = cell
        elif cell.text in TAILS and cells and cell.x0 - cells[-1].x1 < 1.5 * line.size:
            last = cells.pop()
            cells.append(_Cell(last.x0, last.x1, last.text + cell.text))
        else:
            cells.append(cell)
    return _Row(lines[0].base, max(line.size for line in lines), [*cells, sign] if sign else cells)


def _read(rows: list[_Row]) -> list[list[str]] | None:
    """The rows as a table, None where they are none."""
    full = [row for row in rows if len(row.cells) > 1]
    if len(full) < LEAST_ROWS or len(full) < 0.5 * len(rows):
        return None
    walls = _walls(full)
    if not 0 < len(walls) <= MOST_WALLS:
        return None
    placed = [(row, _place(row, walls)) for row in rows]
    width = _drop_columns([cells for _, cells in placed], len(walls) + 1)
    if not _is_table([cells for _, cells in placed], width):
        return None
    return [[clean(cells.get(column, "")) for column in range(width)] for cells in _join_wrapped(placed)]


def _walls(rows: list[_Row]) -> list[float]:
    """Where white space goes down between the cells of all rows but one in seven."""
    allowed = len(rows) // 7
    events = sorted(
        (place, step) for row in rows for cell in row.cells for place, step in ((cell.x0, 1), (cell.x1, -1))
    )
    size = max(row.size for row in rows)
    walls, depth = [], 0
    for (place, step), (following, _) in pairwise(events):
        depth += step
        if depth <= allowed and following - place > 0.4 * size:
            walls.append((place + following) / 2)
    return _apart(walls, rows)


def _apart(walls: list[float], rows: list[_Row]) -> list[float]:
    """The walls that have a cell on either side; of several in one gap, the first."""
    middles = sorted((cell.x0 + cell.x1) / 2 for row in rows for cell in row.cells)
    kept: list[float] = []
    for wall in walls:
        low = kept[-1] if kept else float("-inf")
        if sum(low < middle <= wall for middle in middles) >= 2:
            kept.append(wall)
    while kept and sum(middle > kept[-1] for middle in middles) < 2:
        kept.pop()
    return kept


def _place(row: _Row, walls: list[float]) -> dict[int, str]:
    """The row's cells by column; a cell over several columns stands in the first one."""
    cells: dict[int, str] = {}
    for cell in row.cells:
        column = bisect_right(walls, cell.x0 + 0.5 * min(row.size, cell.x1 - cell.x0))
        cells[column] = f"{cells[column]} {cell.text}" if column in cells else cell.text
    return cells


def _drop_columns(rows: list[dict[int, str]], width: int) -> int:
    """Move what stands in a column of next to nothing to its neighbour, if that has room. Returns the new width."""
    for column in range(width - 1, -1, -1):
        held = [row for row in rows if column in row]
        if len(held) > max(1, len(rows) // 10):
            continue
        targets = [_free_beside(row, column, width) for row in held]
        if None in targets:
            continue
        for row, target in zip(held, targets, strict=True):
            _shift(row, column, target or 0)
        for row in rows:
            moved = {place - (place > column): text for place, text in row.items()}
            row.clear()
            row.update(moved)
        width -= 1
    return width


def _free_beside(row: dict[int, str], column: int, width: int) -> int | None:
    """The nearest column without a cell that the row's cells, from `column` on, can move up to."""
    free = [other for other in range(width) if other not in row]
    return min(free, key=lambda other: (abs(other - column), -other), default=None)


def _shift(row: dict[int, str], column: int, target: int) -> None:
    step = 1 if target > column else -1
    for place in range(target, column, -step):
        row[place] = row.pop(place - step)


def _is_table(rows: list[dict[int, str]], width: int) -> bool:
    columns = [[row[column] for row in rows if column in row] for column in range(width)]
    full = sum(len(row) > 1 for row in rows)
    if full < LEAST_ROWS or full < 0.5 * len(rows):
        return False
    if sum(map(len, columns)) < LEAST_CELLS:
        return False
    long = [sum(map(_length, column)) / len(column) > LONG_CELL for column in columns if column]
    if width == 2:
        numbers = sum(NUMBER.fullmatch(text) is not None for text in columns[1])
        return not long[-1] or numbers >= 0.5 * len(columns[1])
    return sum(long) < max(2, 0.5 * width)


def _length(text: str) -> int:
    return len(text) + sum(character >= "\u2e80" for character in text)


def _join_wrapped(placed: list[tuple[_Row, dict[int, str]]]) -> list[dict[int, str]]:
    """The rows with the lines of one cell joined, where they are plainly the lines of one."""
    joined: list[dict[int, str]] = []
    last_base = float("-inf")
    for row, cells in placed:
        near = row.base - last_base < 1.45 * row.size
        if joined and near and _continues(cells, joined[-1]):
            for column, text in cells.items():
                joined[-1][column] = join_lines((joined[-1][column], text))
        elif joined and near and set(joined[-1]) == {0} and cells.get(0, "")[:1].islower():
            joined[-1] = cells | {0: join_lines((joined[-1][0], cells[0]))}
        else:
            joined.append(dict(cells))
        last_base = row.base
    return joined


def _continues(cells: dict[int, str], last: dict[int, str]) -> bool:
    """Whether these are the second lines of cells of the row above."""
    if not set(cells) <= set(last) or any(NUMBER.fullmatch(text) for text in cells.values()):
        return False
    if 0 in cells:
        return set(cells) == {0} and len(last) > 1 and cells[0][:1].islower()
    return len(last) > len(cells)
