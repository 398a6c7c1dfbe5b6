"""Word documents (DOCX, DOCM, DOTX, flat OPC): the body is streamed, its other parts are held.

Read is what a reader of the printed document sees, and comments: hidden and deleted text is left out. Headers stand
once at the beginning, footers, endnotes and comments without a place at the end.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from lxml import etree

from bookwheel.document import Block, Picture
from bookwheel.extraction.docx.headers import header_blocks
from bookwheel.extraction.docx.margin import Margin
from bookwheel.extraction.docx.numbering import Numbering
from bookwheel.extraction.docx.paragraphs import ParagraphReader
from bookwheel.extraction.docx.story import Book, Story, Table
from bookwheel.extraction.docx.styles import Styles
from bookwheel.extraction.formats import xlsx
from bookwheel.extraction.notes import Notes
from bookwheel.extraction.ooxml.embedded import Embedded, Reader
from bookwheel.extraction.ooxml.package import CUT_OFF, MC, M, Package, R, W, XmlStream

_PARAGRAPH, _TABLE, _ROW, _CHUNK, _EQUATION = f"{W}p", f"{W}tbl", f"{W}tr", f"{W}altChunk", f"{M}oMathPara"


def read(path: Path, notes: Notes) -> Iterator[Block | Picture]:
    """The blocks of a document. Anchors are the headings above a block, or `header`, `footnote 3`, `comment 2`."""
    return _read(path, notes, _EMBEDDED)


def read_alone(path: Path, notes: Notes) -> Iterator[Block | Picture]:
    """The same without the files that are embedded in it."""
    return _read(path, notes, {})


_EMBEDDED: dict[str, Reader] = {
    **dict.fromkeys((".docx", ".docm"), read_alone),
    **dict.fromkeys((".xlsx", ".xlsm"), xlsx.read),
}


def _read(path: Path, notes: Notes, readers: Mapping[str, Reader]) -> Iterator[Block | Picture]:
    with Package(path, notes.folder) as package:
        part = package.main_part("wordprocessingml", "word/document.xml")
        book = _open_book(package, part, notes, readers)
        stream = package.stream(part, (_PARAGRAPH, _TABLE, _ROW, _CHUNK, _EQUATION))
        yield from header_blocks(book, part, "header")
        story = Story(book, part)
        yield from _body(stream, story)
        yield from book.margin.place_rest()
        yield from header_blocks(book, part, "footer")
        if stream.damaged or package.is_cut_off:
            notes.warn(CUT_OFF)
        if story.has_hidden_text:
            notes.warn("Hidden text was left out.")


def _open_book(package: Package, part: str, notes: Notes, readers: Mapping[str, Reader]) -> Book:
    styles = Styles(package.related_tree(part, "styles"))
    numbering = Numbering(package.related_tree(part, "numbering"), styles)

    def reader(_part: str) -> ParagraphReader:
        return ParagraphReader(styles, numbering, lambda _kind, _id: "")

    return Book(package, notes, styles, numbering, Margin(package, part, reader), Embedded(package, notes, readers))


def _body(stream: XmlStream, story: Story) -> Iterator[Block | Picture]:
    """Paragraphs and rows as they end, unless they stand in something that will be read with them."""
    paragraphs = tables = 0  # that are open
    table: Table | None = None
    for event, element in stream:
        tag, step = element.tag, 1 if event == "start" else -1
        paragraphs += step * (tag == _PARAGRAPH)
        tables += step * (tag == _TABLE)
        if event == "start" or paragraphs or tables > (tag == _ROW) or _is_fallback(element):
            continue
        if tag == _ROW:
            table = table or Table(story, next(element.iterancestors(_TABLE), element))
            yield from table.row(element)
        elif tag == _TABLE:
            yield from table.end() if table else ()
            table = None
        elif tag == _CHUNK:
            yield from story.chunk(element.get(f"{R}id"))
        elif len(element):
            yield from story.paragraph(element)
        stream.forget(element)
    yield from table.end() if table else ()
    yield from story.finish()


def _is_fallback(element: etree._Element) -> bool:
    """Whether it says again what stands before it, for older programs."""
    return next(element.iterancestors(f"{MC}Fallback"), None) is not None
