"""PDF: page by page, the text layer where it says what the page shows, recognition where it does not.

Pages are read in groups, so that a file of any length passes through bounded memory and what repeats on every page is
known before the first one is given out. The anchor of a block is its page; where a file has several, a mark stands before
each.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pypdfium2 as pdfium

from bookwheel.document import Block, BlockKind, Picture, page_mark
from bookwheel.errors import ParsingError
from bookwheel.extraction.notes import MOST_PAGES, Notes
from bookwheel.extraction.pdf.blocks import Manner, fold_title, page_blocks
from bookwheel.extraction.pdf.opening import open_document
from bookwheel.extraction.pdf.pages import Page, read_page
from bookwheel.extraction.pdf.running import RunningLines, margin_lines
from bookwheel.extraction.pdf.words import Frame

GROUP_PAGES = 32
MOST_TITLES = 5_000
MOST_TITLE_DEPTH = 8
_XFA = (pdfium.raw.FORMTYPE_XFA_FULL, pdfium.raw.FORMTYPE_XFA_FOREGROUND)


def read(path: Path, notes: Notes) -> Iterator[Block | Picture]:
    """The blocks of a PDF, and pictures where its pages must be recognised. Nothing where all pages are blank.

    Raises ParsingError where it is protected or damaged, PagesExceeded where it has too many pages.
    """
    document = _open(path)
    try:
        if len(document) > MOST_PAGES:
            notes.reading("page", len(document), len(document))
        _warn(document, notes)
        yield from _Reader(document, notes).blocks()
    finally:
        document.close()


def _open(path: Path) -> pdfium.PdfDocument:
    try:
        document = open_document(path)
        if document.get_formtype():
            document.init_forms()
    except pdfium.PdfiumError as error:
        if error.err_code == pdfium.raw.FPDF_ERR_PASSWORD:
            raise ParsingError("It is protected with a password: save it without one and upload it again.") from error
        if error.err_code == pdfium.raw.FPDF_ERR_SECURITY:
            raise ParsingError(
                "It is protected in a way that cannot be read: save it without and upload it again."
            ) from error
        raise ParsingError("It is damaged: it cannot be opened as a PDF.") from error
    return document


def _warn(document: pdfium.PdfDocument, notes: Notes) -> None:
    """Say what the file holds beside its pages."""
    if document.get_formtype() in _XFA:
        notes.warn("It is an XFA form: only what its pages show without a form program was read.")
    attached = document.count_attachments()
    if attached:
        files = "an attached file that was" if attached == 1 else f"{attached} attached files that were"
        notes.warn(f"It holds {files} not read.")


class _Reader:
    """Reads one open file."""

    def __init__(self, document: pdfium.PdfDocument, notes: Notes) -> None:
        self._document, self._notes = document, notes
        self._pages = len(document)
        self._manner = Manner(_outline(document))
        self._running = RunningLines()
        self._marks: list[Block] = []
        self._read_any = False

    def blocks(self) -> Iterator[Block | Picture]:
        """All blocks; marks are held back until something follows them, for a blank file has none."""
        given = False
        for start in range(0, self._pages, GROUP_PAGES):
            for page in self._read_group(start):
                if self._pages > 1:
                    self._marks.append(page_mark("page", page.number))
                for block in self._page_blocks(page):
                    yield from self._take_marks()
                    yield block
                    given = True
        if not self._read_any:
            raise ParsingError("It is damaged: none of its pages can be read.")
        if given:
            yield from self._take_marks()

    def _take_marks(self) -> list[Block]:
        marks, self._marks = self._marks, []
        return marks

    def _read_group(self, start: int) -> list[Page]:
        pages = []
        for index in range(start, min(start + GROUP_PAGES, self._pages)):
            self._notes.reading("page", index + 1, self._pages)
            page = self._read_page(index)
            if page is not None:
                pages.append(page)
        self._learn(pages)
        return pages

    def _read_page(self, index: int) -> Page | None:
        try:
            sheet = self._document[index]
        except pdfium.PdfiumError:
            self._notes.warn(f"Page {index + 1} could not be read.")
            return None
        try:
            page = read_page(sheet, index + 1, self._notes)
        except pdfium.PdfiumError:
            self._notes.warn(f"Page {index + 1} could not be read.")
            return None
        finally:
            sheet.close()
        self._read_any = True
        self._notes.blank_pages += page.blank
        return page

    def _learn(self, pages: list[Page]) -> None:
        """Learn what is usual from a group of pages, and take out what repeats on them."""
        margins = [
            margin_lines(page.frames[0].words, page.top, page.bottom, page.number) if page.frames else []
            for page in pages
        ]
        for lines in margins:
            self._running.note(lines)
        for page, lines in zip(pages, margins, strict=True):
            repeated = set(map(id, self._running.repeated(lines)))
            if repeated:
                first = page.frames[0]
                words = [word for word in first.words if id(word) not in repeated]
                page.frames = [Frame(first.angle, words), *page.frames[1:]]
            for frame in page.frames[:1]:
                self._manner.learn(frame.words)
        self._manner.settle()

    def _page_blocks(self, page: Page) -> Iterator[Block | Picture]:
        yield from page_blocks(page.frames, page.drawing, self._manner, page.anchor)
        yield from page.pictures
        for comment in page.comments:
            yield Block(BlockKind.PARAGRAPH, f"Comment: {comment}\n\n", page.anchor)


def _outline(document: pdfium.PdfDocument) -> dict[str, int]:
    """The titles of the outline, folded, with their levels from 1."""
    levels: dict[str, int] = {}
    for bookmark in islice(document.get_toc(max_depth=MOST_TITLE_DEPTH), MOST_TITLES):
        levels.setdefault(fold_title(bookmark.get_title()), bookmark.level + 1)
    levels.pop("", None)
    return levels
