"""Tables whose cells are drawn: the grid that rules make on a PDF page, and the words in its cells.

Rules that touch make a grid. Where no rule stands between two cells of the grid, they are one: a head over several
columns, a label for several rows. Its text stands in the first of them, the others stay empty.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

from bookwheel.extraction.pdf.drawing import Rule
from bookwheel.extraction.pdf.lines import NUMBER, find_lines, join_lines, rows_of
from bookwheel.extraction.pdf.words import Word

MOST_RULES = 3_000
MOST_CELLS = 20_000
MOST_GRIDS = 200
"""On one page."""
SAME = 2.0
"""Rules no further apart than this, in points, are one."""
REACH = 3.0
"""Rules that end this near to each other touch."""


class Box(NamedTuple):
    """A place in a frame: `top` and `bottom` are counted downwards."""

    x0: float
    top: float
    x1: float
    bottom: float


class Table(NamedTuple):
    """A table found on a page: its rows, all of one width."""

    rows: list[list[str]]
    box: Box


def find_ruled_tables(
    words: list[Word], horizontals: Iterable[Rule], verticals: Iterable[Rule]
) -> tuple[list[Table], list[Word]]:
    """The tables that rules make, and the words that stand in none of them."""
    across, down = merge_rules(horizontals), merge_rules(verticals)
    if len(across) < 2 or len(down) < 2 or len(across) + len(down) > MOST_RULES:
        return [], words
    tables = []
    for grid in _grids(across, down)[:MOST_GRIDS]:
        inside = [word for word in words if grid.holds(word)]
        table = _read(grid, inside) if len(inside) > 3 else None
        if table is not None:
            taken = set(map(id, inside))
            words = [word for word in words if id(word) not in taken]
            tables.append(table)
    return tables, words


def merge_rules(rules: Iterable[Rule]) -> list[Rule]:
    """Rules without doubles, and those that go on from one another as one."""
    bands: list[list[Rule]] = []
    for rule in sorted(rules):
        if bands and rule.at - bands[-1][0].at <= SAME:
            bands[-1].append(rule)
        else:
            bands.append([rule])
    merged = []
    for band in bands:
        at = sum(rule.at for rule in band) / len(band)
        start, end = None, 0.0
        for rule in sorted(band, key=attrgetter("start")):
            if start is None:
                start, end = rule.start, rule.end
            elif rule.start <= end + REACH:
                end = max(end, rule.end)
            else:
                merged.append(Rule(at, start, end))
                start, end = rule.start, rule.end
        if start is not None:
            merged.append(Rule(at, start, end))
    return merged


def _grids(across: list[Rule], down: list[Rule]) -> "list[_Grid]":
    """Rules that touch, directly or through others, from top to bottom."""
    parent = list(range(len(across) + len(down)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    places = [rule.at for rule in down]
    for index, rule in enumerate(across):
        first, last = bisect_right(places, rule.start - REACH), bisect_right(places, rule.end + REACH)
        for other in range(first, last):
            if down[other].start - REACH <= rule.at <= down[other].end + REACH:
                parent[root(index)] = root(len(across) + other)
    groups: dict[int, tuple[list[Rule], list[Rule]]] = {}
    for index, rule in enumerate((*across, *down)):
        groups.setdefault(root(index), ([], []))[index >= len(across)].append(rule)
    grids = [_Grid(rows, columns) for rows, columns in groups.values() if len(rows) > 1 and len(columns) > 1]
    return sorted((grid for grid in grids if grid.is_table), key=lambda grid: (grid.box.top, grid.box.x0))


class _Grid:
    """A grid of cells, some of which are one because no rule parts them."""

    def __init__(self, across: list[Rule], down: list[Rule]) -> None:
        self.xs = _distinct([*(r.at for r in down), min(r.start for r in across), max(r.end for r in across)])
        self.ys = _distinct([*(r.at for r in across), min(r.start for r in down), max(r.end for r in down)])
        self.columns, self.rows = len(self.xs) - 1, len(self.ys) - 1
        self.box = Box(self.xs[0], self.ys[0], self.xs[-1], self.ys[-1])
        self.is_table = self.columns > 1 and self.rows > 1 and self.columns * self.rows <= MOST_CELLS
        self._owner = self._join_cells(across, down) if self.is_table else []

    def holds(self, word: Word) -> bool:
        x, y = _middle(word)
        return self.box.x0 <= x <= self.box.x1 and self.box.top <= y <= self.box.bottom

    def part(self, word: Word) -> list[Word]:
        """A word that goes through walls as the words of its cells: PDFium joins what stands close in two cells."""
        slack = 0.2 * word.size
        inside = self.xs[bisect_right(self.xs, word.x0 + slack) : bisect_left(self.xs, word.x1 - slack)]
        if not inside or len(word.text) < 2:
            return [word]
        step = (word.x1 - word.x0) / len(word.text)
        parts: dict[int, Word] = {}
        for index, character in enumerate(word.text):
            x0 = word.x0 + index * step
            one = word._replace(text=character, x0=x0, x1=x0 + step)
            cell = self.cell(one)
            last = parts.get(cell)
            parts[cell] = last._replace(text=last.text + character, x1=one.x1) if last else one
        return list(parts.values())

    def cell(self, word: Word) -> int:
        """The first cell of those that make the one the word stands in."""
        x, y = _middle(word)
        column = min(max(bisect_right(self.xs, x) - 1, 0), self.columns - 1)
        row = min(max(bisect_right(self.ys, y) - 1, 0), self.rows - 1)
        return self._owner[row * self.columns + column]

    def _join_cells(self, across: list[Rule], down: list[Rule]) -> list[int]:
        owner = list(range(self.columns * self.rows))

        def root(index: int) -> int:
            while owner[index] != index:
                owner[index] = owner[owner[index]]
                index = owner[index]
            return index

        def join(one: int, other: int) -> None:
            one, other = root(one), root(other)
            owner[max(one, other)] = min(one, other)

        walls, floors = _covered(self.xs, down), _covered(self.ys, across)
        for row in range(self.rows):
            y = (self.ys[row] + self.ys[row + 1]) / 2
            for column in range(self.columns):
                x = (self.xs[column] + self.xs[column + 1]) / 2
                cell = row * self.columns + column
                if column + 1 < self.columns and not _is_covered(walls[column + 1], y):
                    join(cell, cell + 1)
                if row + 1 < self.rows and not _is_covered(floors[row + 1], x):
                    join(cell, cell + self.columns)
        return [root(index) for index in range(len(owner))]


def _distinct(places: list[float]) -> list[float]:
    distinct: list[float] = []
    for place in sorted(places):
        if not distinct or place - distinct[-1] > REACH:
            distinct.append(place)
    return distinct


def _covered(places: list[float], rules: list[Rule]) -> list[list[Rule]]:
    """For each place the rules that run there."""
    found: list[list[Rule]] = [[] for _ in places]
    for rule in rules:
        nearest = min(bisect_right(places, rule.at + REACH) - 1, len(places) - 1)
        if nearest >= 0:
            found[nearest].append(rule)
    return found


def _is_covered(rules: list[Rule], place: float) -> bool:
    return any(rule.start <= place <= rule.end for rule in rules)


def _middle(word: Word) -> tuple[float, float]:
    return (word.x0 + word.x1) / 2, word.base - 0.3 * word.size


def _read(grid: _Grid, words: list[Word]) -> Table | None:
    """The table's rows, None where what is drawn is a frame, a chart or a form rather than a table."""
    cells: dict[int, list[Word]] = {}
    for part in (part for word in words for part in grid.part(word)):
        cells.setdefault(grid.cell(part), []).append(part)
    columns = {cell % grid.columns for cell in cells}
    rows = {cell // grid.columns for cell in cells}
    if len(columns) < 2 or len(rows) < 2 or len(cells) < 4:
        return None
    if _is_sheet(list(cells.values())):
        return None
    lines = {cell: cell_lines(found) for cell, found in cells.items()}
    table = []
    for row in sorted(rows):
        found = {column: lines[cell] for column in sorted(columns) if (cell := row * grid.columns + column) in lines}
        table += [[cells.get(column, "") for column in sorted(columns)] for cells in _part_row(found)]
    return Table(table, grid.box)


def _is_sheet(cells: list[list[Word]]) -> bool:
    """Whether most words stand in cells that hold rows of their own: a table within a frame, a page within a border."""
    sheets = 0
    for words in cells:
        if len(words) > 20:
            rows = rows_of(find_lines(words))
            if len(rows) > 3 and sum(len(row) > 1 for row in rows) > 0.3 * len(rows):
                sheets += len(words)
    return sheets > 0.5 * sum(map(len, cells))


class CellLine(NamedTuple):
    base: float
    size: float
    text: str


def cell_lines(words: list[Word]) -> list[CellLine]:
    """The lines of one cell."""
    return [
        CellLine(row[0].base, row[0].size, " ".join(line.text for line in row)) for row in rows_of(find_lines(words))
    ]


def _part_row(cells: dict[int, list[CellLine]]) -> Iterable[dict[int, str]]:
    """A row as one row, or as many as it holds: many tables have rules around all rows but not between them."""
    if len(cells) > 1 and _holds_rows(list(cells.values())):
        bases = _bases(cells.values())
        for base in bases:
            yield {
                column: join_lines(line.text for line in lines if _nearest(bases, line.base) == base)
                for column, lines in cells.items()
            }
    else:
        yield {column: join_lines(line.text for line in lines) for column, lines in cells.items()}


def _bases(cells: Iterable[Sequence[CellLine]]) -> list[float]:
    return [line.base for line in max(cells, key=len)]


def _nearest(bases: list[float], base: float) -> float:
    return min(bases, key=lambda other: abs(other - base))


def _holds_rows(cells: list[list[CellLine]]) -> bool:
    """Whether every cell has a line at every baseline, and one of them numbers: wrapped text looks different."""
    most = max(map(len, cells))
    if most < 3 or min(map(len, cells)) < 0.7 * most:
        return False
    bases = _bases(cells)
    lines = [line for cell in cells for line in cell]
    if any(abs(_nearest(bases, line.base) - line.base) > 0.3 * line.size for line in lines):
        return False
    return any(sum(NUMBER.fullmatch(line.text) is not None for line in cell) >= 0.7 * len(cell) for cell in cells)
