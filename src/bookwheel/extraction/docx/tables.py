"""Tables of Word as rows of cells: what is merged is laid out so that each row can be read for itself.

A cell merged over several rows stands in each of them (unless its text is long: then once), because a table may be parted
between any two rows and a reader of the later part still needs the group that a row belongs to. A cell merged over several
columns stands once, with empty cells after it, but in the first row, where it heads all of its columns.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree

from bookwheel.extraction.docx.styles import value
from bookwheel.extraction.ooxml.package import MC, W, whole_number

MOST_COLUMNS = 200
REPEATED_CHARACTERS = 80
"""A cell merged over rows is repeated up to this length."""
HEAVY_PARAGRAPHS = 12
HEAVY_CHARACTERS = 2_000
NESTED_CHARACTERS = 400
"""A table in a cell is said in its line up to this length, if other cells have words."""

_TRANSPARENT = frozenset(W + name for name in ("sdt", "sdtContent", "customXml", "ins", "moveTo", "smartTag"))


@dataclass
class Grid:
    """What must be known of a table's rows so far: `above` is the text of each column's open vertical merge."""

    columns: int
    above: dict[int, str] = field(default_factory=dict)
    rows: int = 0


@dataclass(frozen=True)
class Cell:
    """One cell of a row, at its place in the grid."""

    element: etree._Element
    column: int
    span: int
    continues: bool
    begins_merge: bool


def grid_of(table: etree._Element) -> Grid:
    """An empty grid for a table of which at least the beginning was read."""
    grid = table.find(f"{W}tblGrid")
    return Grid(0 if grid is None else min(len(grid), MOST_COLUMNS))


def is_deleted(row: etree._Element) -> bool:
    """Whether a tracked change took the row away."""
    properties = row.find(f"{W}trPr")
    return properties is not None and properties.find(f"{W}del") is not None


def row_cells(row: etree._Element) -> list[Cell]:
    """The cells of a row, those deleted left out."""
    properties = row.find(f"{W}trPr")
    before = None if properties is None else properties.find(f"{W}gridBefore")
    column = whole_number(value(before), 0, MOST_COLUMNS)
    cells: list[Cell] = []
    for element in children_of(row, f"{W}tc"):
        if column >= MOST_COLUMNS:
            break
        cell = _cell(element, column)
        column += cell.span
        cells.append(cell)
    return cells


def _cell(element: etree._Element, column: int) -> Cell:
    properties = element.find(f"{W}tcPr")
    if properties is None:
        return Cell(element, column, 1, continues=False, begins_merge=False)
    span = max(1, whole_number(value(properties.find(f"{W}gridSpan")), 1, MOST_COLUMNS - column))
    merge = properties.find(f"{W}vMerge")
    begins = value(merge) == "restart"
    return Cell(element, column, span, continues=merge is not None and not begins, begins_merge=begins)


def lay_out(grid: Grid, cells: list[Cell], texts: list[str]) -> list[str]:
    """A row's texts, one a column of the grid; empty for a row without a word of its own."""
    columns = max((cell.column + cell.span for cell in cells), default=0)
    row = [""] * columns
    for cell, text in zip(cells, texts, strict=True):
        if cell.continues:
            row[cell.column] = text or grid.above.get(cell.column, "")
            continue
        grid.above.pop(cell.column, None)
        if cell.begins_merge and len(text) <= REPEATED_CHARACTERS:
            grid.above[cell.column] = text
        heads_several = not grid.rows and cell.span < columns and len(text) <= REPEATED_CHARACTERS
        width = cell.span if heads_several else 1
        row[cell.column : cell.column + width] = [text] * width
    grid.columns = max(grid.columns, columns)
    if not any(texts):
        return []
    grid.rows += 1
    return row


def without_empty_columns(rows: list[list[str]]) -> list[list[str]]:
    """The rows without the columns in which no row has a word: traces of merged cells."""
    width = max(map(len, rows), default=0)
    kept = [n for n in range(width) if any(n < len(row) and row[n] for row in rows)]
    return [[row[n] if n < len(row) else "" for n in kept] for row in rows]


def children_of(parent: etree._Element, *tags: str) -> Iterator[etree._Element]:
    """The nearest elements of those tags below `parent`, through content controls and the like."""
    ahead = [iter(parent)]
    while ahead:
        child = next(ahead[-1], None)
        if child is None:
            ahead.pop()
        elif child.tag in tags:
            yield child
        elif child.tag in _TRANSPARENT:
            ahead.append(iter(child))
        elif child.tag == f"{MC}AlternateContent" and len(child):
            ahead.append(iter(child[0]))


def is_too_full(row: list[Cell], *, is_first: bool) -> bool:
    """Whether a row holds more than a line of a table can show: a page of text, a large table, nothing but tables.

    A table in the first row tells that the outer one only lays out what is in it.
    """
    cells = [cell.element for cell in row]
    nested = [cell for cell in cells if any(_is_real(table) for table in children_of(cell, f"{W}tbl"))]
    if nested and (is_first or all(_characters(cell) == 0 for cell in cells if cell not in nested)):
        return True
    return any(_characters(cell) > NESTED_CHARACTERS for cell in nested) or any(map(_is_page, cells))


def _is_page(cell: etree._Element) -> bool:
    paragraphs = sum(1 for _ in children_of(cell, f"{W}p"))
    return paragraphs >= HEAVY_PARAGRAPHS and _characters(cell) > HEAVY_CHARACTERS


def _characters(cell: etree._Element) -> int:
    return sum(map(len, cell.itertext(f"{W}t")))


def _is_real(table: etree._Element) -> bool:
    rows = list(children_of(table, f"{W}tr"))
    return len(rows) > 1 and max(len(list(children_of(row, f"{W}tc"))) for row in rows[:3]) > 1


def is_simple(cell: etree._Element) -> bool:
    """Whether a cell holds no more than one paragraph."""
    children = list(children_of(cell, f"{W}p", f"{W}tbl"))
    return len(children) <= 1 and all(child.tag == f"{W}p" for child in children)
