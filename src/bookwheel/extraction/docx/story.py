"""The blocks of a Word document: paragraphs, headings, lists, tables, and what is anchored in them, in reading order.

Where footnotes go: before the next heading, so that they stand near what they explain. Text boxes, pictures and comments
follow the paragraph that holds them. Numbers of clauses and lists are written out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree

from bookwheel.document import Block, BlockKind, Picture
from bookwheel.errors import ParsingError
from bookwheel.extraction.docx.chunks import MOST_BYTES, chunk_paragraphs
from bookwheel.extraction.docx.margin import Margin
from bookwheel.extraction.docx.numbering import Numbering
from bookwheel.extraction.docx.paragraphs import Paragraph, ParagraphReader
from bookwheel.extraction.docx.styles import Styles
from bookwheel.extraction.docx.tables import (
    Grid,
    children_of,
    grid_of,
    is_deleted,
    is_simple,
    is_too_full,
    lay_out,
    row_cells,
    without_empty_columns,
)
from bookwheel.extraction.docx.text import Floating
from bookwheel.extraction.notes import MOST_PICTURE_BYTES, Notes
from bookwheel.extraction.ooxml.blocks import BLOCK_CHARACTERS, cut
from bookwheel.extraction.ooxml.drawing import chart_blocks, diagram_blocks
from bookwheel.extraction.ooxml.embedded import Embedded
from bookwheel.extraction.ooxml.package import Package, W
from bookwheel.extraction.tables import render_table, table_row

BLOCK_ROWS = 50
CELL_CHARACTERS = 3
"""What parts one cell from the next."""
MOST_ANCHOR = 120
MOST_NESTED = 10
"""Text boxes in tables in text boxes. What is deeper is only text."""
WAITING_FOOTNOTES = 20
"""In a document without headings they are not kept for longer."""
BEGINNING = "beginning"


@dataclass
class Book:
    """What the parts of one document share."""

    package: Package
    notes: Notes
    styles: Styles
    numbering: Numbering
    margin: Margin
    embedded: Embedded
    pictures: set[str] = field(default_factory=set)
    sections: int = 0


@dataclass
class _Group:
    """Lines that make one block: items of a list, or of a table of contents."""

    kind: BlockKind
    base: int
    text: str = ""


class Story:
    """Reads one part. `place` is the anchor of all its blocks, or None where the headings give it."""

    def __init__(self, book: Book, part: str, place: str | None = None) -> None:
        self.page_numbers = False
        self._book = book
        self._part = part
        self._place = place
        self.reader = ParagraphReader(book.styles, book.numbering, book.margin.mark)
        self._headings: list[tuple[int, str]] = []
        self._group: _Group | None = None
        self._carried = ""
        self._nested = self._boxes = 0

    @property
    def has_hidden_text(self) -> bool:
        """Whether hidden text was left out."""
        return self.reader.lines.hidden_text

    @property
    def anchor(self) -> str:
        """Where the story is now."""
        return self._place or bounded(" > ".join(text for _, text in self._headings)) or BEGINNING

    def paragraph(self, element: etree._Element) -> Iterator[Block | Picture]:
        """The blocks of one paragraph; a list's items come with the block after it."""
        paragraph = self.reader.read(element)
        line = paragraph.line
        self.page_numbers = self.page_numbers or line.has_page_number
        line.text, self._carried = self._carried + line.text, ""
        if paragraph.joins_next and len(line.text) <= BLOCK_CHARACTERS:
            self._carried = line.text
        else:
            yield from self._words(paragraph)
        yield from self.anchored(line.floating, line.comments)
        if self._book.margin.waiting("footnote") >= WAITING_FOOTNOTES and not self._nested:
            yield from self._footnotes()

    def _words(self, paragraph: Paragraph) -> Iterator[Block]:
        if not paragraph.line.text:
            return
        if paragraph.level and not self._boxes and not self._place:
            yield from self._heading(paragraph)
        elif paragraph.label or paragraph.in_contents:
            yield from self._item(paragraph)
        else:
            yield from self.end_group()
            yield from cut(BlockKind.PARAGRAPH, f"{paragraph.text}\n\n", self.anchor)

    def _heading(self, paragraph: Paragraph) -> Iterator[Block]:
        yield from self.end_group()
        yield from self._footnotes()
        level, text = paragraph.level, " ".join(paragraph.text.split())
        self._headings = [(above, words) for above, words in self._headings if above < level] + [(level, text)]
        self._book.sections += 1
        self._book.notes.reading("section", self._book.sections)
        yield Block(BlockKind.HEADING, f"{'#' * min(level, 6)} {text}\n\n", self.anchor, level)

    def _item(self, paragraph: Paragraph) -> Iterator[Block]:
        kind = BlockKind.PARAGRAPH if paragraph.in_contents else BlockKind.LIST
        level = paragraph.label.level if paragraph.label and kind is BlockKind.LIST else 0
        if self._group and (self._group.kind is not kind or len(self._group.text) > BLOCK_CHARACTERS // 2):
            yield from self.end_group()
        self._group = self._group or _Group(kind, level)
        indent = "  " * max(0, level - self._group.base)
        label = paragraph.label.text if paragraph.label else ""
        self._group.text += f"{indent}{label}{paragraph.line.text.replace(chr(10), chr(10) + indent + '  ')}\n"

    def end_group(self) -> Iterator[Block]:
        """The list that was being read, if there is one."""
        group, self._group = self._group, None
        if group:
            yield from cut(group.kind, f"{group.text}\n", self.anchor)

    def _footnotes(self) -> Iterator[Block]:
        if self._book.margin.waiting("footnote"):
            yield from self.end_group()
            yield from self._book.margin.place_notes("footnote")

    def finish(self) -> Iterator[Block]:
        """What was still held back."""
        carried, self._carried = self._carried, ""
        yield from self.end_group()
        if carried:
            yield from cut(BlockKind.PARAGRAPH, f"{carried}\n\n", self.anchor)
        yield from self._footnotes()

    def container(self, element: etree._Element) -> Iterator[Block | Picture]:
        """The blocks of a text box, a cell or a header."""
        if self._nested >= MOST_NESTED:
            yield from cut(BlockKind.PARAGRAPH, plain_text(element), self.anchor)
            return
        self._nested += 1
        for child in children_of(element, f"{W}p", f"{W}tbl"):
            yield from self.paragraph(child) if child.tag == f"{W}p" else self._table(child)
        self._nested -= 1

    def _table(self, element: etree._Element) -> Iterator[Block | Picture]:
        table = Table(self, element)
        for row in children_of(element, f"{W}tr"):
            yield from table.row(row)
        yield from table.end()

    def anchored(self, floating: list[Floating], comments: list[str]) -> Iterator[Block | Picture]:
        """What is anchored in a paragraph or a table."""
        for one in floating:
            yield from self._floating(one)
        for comment_id in comments:
            for block in self._book.margin.place_comment(comment_id):
                yield from self.end_group()
                yield block

    def _floating(self, floating: Floating) -> Iterator[Block | Picture]:
        if floating.box is not None:
            yield from self._boxed(floating.box)
            return
        name = self._book.package.target(self._part, floating.relation)
        if name is None or name in self._book.pictures:
            return
        self._book.pictures.add(name)
        yield from self.end_group()
        if floating.kind == "picture":
            picture = self._book.notes.keep_picture(self._book.package.picture(name, MOST_PICTURE_BYTES), self.anchor)
            yield from [picture] if picture else []
            return
        if floating.kind == "file":
            yield from self._book.embedded.blocks(name, self.anchor)
            return
        tree = self._book.package.tree(name)
        if tree is not None:
            yield from (chart_blocks if floating.kind == "chart" else diagram_blocks)(tree, self.anchor)

    def _boxed(self, box: etree._Element) -> Iterator[Block | Picture]:
        """A text box: what looks like a heading in it heads nothing outside it."""
        yield from self.end_group()
        self._boxes += 1
        yield from self.container(box)
        self._boxes -= 1
        yield from self.end_group()

    def chunk(self, relation_id: str | None) -> Iterator[Block]:
        """The text of an embedded document."""
        yield from self.end_group()
        name = self._book.package.target(self._part, relation_id)
        if name is None:
            return
        if self._book.embedded.can_read(name):
            yield from self._book.embedded.blocks(name, self.anchor)
            return
        try:
            paragraphs = chunk_paragraphs(name, self._book.package.read(name, MOST_BYTES))
        except ParsingError:
            paragraphs = None
        if paragraphs is None:
            self._book.notes.warn("It embeds a document of another kind, which was not read.")
        for text in paragraphs or ():
            yield from cut(BlockKind.PARAGRAPH, f"{text}\n\n", self.anchor)


class Table:
    """Writes one table, row by row. Rows are held until a block is full."""

    def __init__(self, story: Story, element: etree._Element) -> None:
        """`element` is the table, of which at least what stands before its first row was read."""
        self._story = story
        self._grid: Grid = grid_of(element)
        self._rows: list[list[str]] = []
        self._size = 0
        self._continued = False
        self._floating: list[Floating] = []
        self._comments: list[str] = []

    def row(self, element: etree._Element) -> Iterator[Block | Picture]:
        """Take in a row; blocks that are full come out."""
        if is_deleted(element):
            return
        cells = row_cells(element)
        is_first = not self._grid.rows
        if is_too_full(cells, is_first=is_first) or (len(cells) == 1 and self._is_frame(cells[0].element)):
            yield from self.end()
            for cell in cells:
                yield from self._story.container(cell.element)
                yield from self._story.end_group()
            return
        flat = [self._story.reader.flat(cell.element) for cell in cells]
        row = lay_out(self._grid, cells, [cell.text for cell in flat])
        if row and (len(self._rows) >= BLOCK_ROWS or self._size >= BLOCK_CHARACTERS):
            yield from self._full_block()
        if row:
            self._rows.append(row)
            self._size += sum(map(len, row)) + CELL_CHARACTERS * len(row)
        for inside in flat:
            self._floating += inside.floating
            self._comments += inside.comments

    def _is_frame(self, cell: etree._Element) -> bool:
        """Whether a cell is no more than a frame around paragraphs."""
        return self._grid.columns <= 1 and not is_simple(cell)

    def _full_block(self) -> Iterator[Block]:
        yield from self._story.end_group()
        yield Block(BlockKind.TABLE, self._text(), self._story.anchor)
        self._rows, self._size, self._continued = [], 0, True

    def _text(self) -> str:
        if self._continued:
            return "".join(table_row([*row, *[""] * (self._grid.columns - len(row))]) for row in self._rows)
        return render_table(self._rows)

    def end(self) -> Iterator[Block | Picture]:
        """The rest of the table, and what was anchored in it."""
        yield from self._story.end_group()
        if self._rows and not self._continued:
            self._rows = without_empty_columns(self._rows)
        if len(self._rows) == 1 and not self._continued and len(self._rows[0]) == 1:
            yield from cut(BlockKind.PARAGRAPH, f"{self._rows[0][0]}\n\n", self._story.anchor)
        elif self._rows:
            yield from cut(BlockKind.TABLE, f"{self._text()}\n", self._story.anchor)
        floating, comments = self._floating, self._comments
        self._rows, self._size, self._continued, self._floating, self._comments = [], 0, False, [], []
        self._grid = Grid(self._grid.columns)
        yield from self._story.anchored(floating, comments)


def plain_text(element: etree._Element) -> str:
    """All text in an element, as a paragraph."""
    text = " ".join(element.itertext(f"{W}t")).strip()
    return f"{text}\n\n" if text else ""


def bounded(path: str) -> str:
    """A path of headings, its middle left out where it is long: the last heading says most."""
    if len(path) <= MOST_ANCHOR:
        return path
    return f"{path[: MOST_ANCHOR // 2 - 2]} … {path[-(MOST_ANCHOR // 2 - 2) :]}"
