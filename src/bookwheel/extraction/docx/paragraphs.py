"""Paragraphs of Word with what their styles and numbers make of them, and whole containers as one line of text."""

from collections.abc import Callable
from dataclasses import dataclass, field

from lxml import etree

from bookwheel.extraction.docx.numbering import Label, Numbering
from bookwheel.extraction.docx.styles import Style, Styles, is_on, outline_level, value
from bookwheel.extraction.docx.tables import children_of, is_deleted
from bookwheel.extraction.docx.text import Floating, Line, LineReader
from bookwheel.extraction.ooxml.package import W, whole_number

MOST_HEADING = 300
"""Characters. A longer paragraph in a heading's style is a paragraph."""
MOST_NESTED = 10

_NO_LIST = "0"


@dataclass
class Paragraph:
    """A paragraph as it is read. `level` is a heading's depth or 0."""

    line: Line
    level: int
    label: Label | None
    in_contents: bool
    joins_next: bool

    @property
    def text(self) -> str:
        """With its number, where it has one that is no bullet."""
        label = self.label.text if self.label and self.label.text != "- " else ""
        return label + self.line.text if self.line.text else ""


@dataclass
class Flat:
    """What stands in a container, in a line: `floating` and `comments` are what could not be said in it."""

    text: str = ""
    floating: list[Floating] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)


class ParagraphReader:
    """Reads the paragraphs of one part, in the order of the document: numbers are counted on the way."""

    def __init__(self, styles: Styles, numbering: Numbering, note_mark: Callable[[str, str], str]) -> None:
        self.lines = LineReader(styles, note_mark)
        self._styles = styles
        self._numbering = numbering

    def read(self, element: etree._Element) -> Paragraph:
        """One paragraph."""
        properties = element.find(f"{W}pPr")
        style = self._styles.style(None if properties is None else value(properties.find(f"{W}pStyle")))
        own_level = outline_level(properties)
        label = self._label(properties, style)
        line = self.lines.read(element)
        level = style.level if own_level is None else own_level
        return Paragraph(
            line=line,
            level=level if len(line.text) <= MOST_HEADING else 0,
            label=label,
            in_contents=style.in_contents,
            joins_next=properties is not None and is_on(properties.find(f"{W}rPr/{W}del")),
        )

    def _label(self, properties: etree._Element | None, style: Style) -> Label | None:
        own = None if properties is None else properties.find(f"{W}numPr")
        if own is None and style.num_id is None:
            return None
        num_id = style.num_id if own is None else value(own.find(f"{W}numId")) or style.num_id
        if num_id is None or num_id == _NO_LIST:
            return None
        level = None if own is None else own.find(f"{W}ilvl")
        direct = own is not None and own.find(f"{W}numId") is not None
        list_level = whole_number(value(level), 0, 8) if level is not None or direct else None
        return self._numbering.label(num_id, list_level, style)

    def flat(self, container: etree._Element, depth: int = 0) -> Flat:
        """All that stands in a cell, a note or a comment: paragraphs parted by spaces, a table's rows by semicolons."""
        if depth > MOST_NESTED:
            return Flat(" ".join(container.itertext(f"{W}t")))
        whole, texts = Flat(), list[str]()
        for child in children_of(container, f"{W}p", f"{W}tbl"):
            part = self._flat_paragraph(child, depth) if child.tag == f"{W}p" else self._flat_table(child, depth)
            if part.text:
                texts.append(part.text)
            whole.floating += part.floating
            whole.comments += part.comments
        whole.text = " ".join(texts)
        return whole

    def _flat_paragraph(self, element: etree._Element, depth: int) -> Flat:
        paragraph = self.read(element)
        text = paragraph.label.text + paragraph.line.text if paragraph.label and paragraph.line.text else paragraph.text
        boxes = [one.box for one in paragraph.line.floating if one.box is not None]
        found = Flat(
            floating=[one for one in paragraph.line.floating if one.box is None], comments=paragraph.line.comments
        )
        texts = [" ".join(text.split())] if text else []
        for box in boxes:
            inside = self.flat(box, depth + 1)
            texts += [inside.text] if inside.text else []
            found.floating += inside.floating
            found.comments += inside.comments
        found.text = " ".join(texts)
        return found

    def _flat_table(self, table: etree._Element, depth: int) -> Flat:
        found, rows = Flat(), list[str]()
        for row in children_of(table, f"{W}tr"):
            if is_deleted(row):
                continue
            cells = [self.flat(cell, depth + 1) for cell in children_of(row, f"{W}tc")]
            rows.append(", ".join(cell.text for cell in cells if cell.text))
            found.floating += [one for cell in cells for one in cell.floating]
            found.comments += [one for cell in cells for one in cell.comments]
        found.text = "; ".join(filter(None, rows))
        return found
