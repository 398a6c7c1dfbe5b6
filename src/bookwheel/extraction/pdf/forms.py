"""What is written on a PDF page rather than printed: values of form fields, text boxes, comments.

PDFium's text of a page has none of it. Values and text boxes become words at their places on the page, so that they are
read where they stand; comments have no place in the text and follow it.
"""

import ctypes
from collections.abc import Iterator
from typing import Any, NamedTuple

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from bookwheel.extraction.pdf.words import PageBox, Word, turn_box

MOST_NOTES = 2_000
"""On one page."""
MOST_CHARACTERS = 100_000
LARGEST_SIZE = 11.0
LETTER = 0.5
"""A letter's width, in letter heights."""
_SECRET = 1 << 13
"""The flag of a field for a password."""
_VALUES = frozenset(
    (pdfium_c.FPDF_FORMFIELD_TEXTFIELD, pdfium_c.FPDF_FORMFIELD_COMBOBOX, pdfium_c.FPDF_FORMFIELD_LISTBOX)
)
_CHECKS = frozenset((pdfium_c.FPDF_FORMFIELD_CHECKBOX, pdfium_c.FPDF_FORMFIELD_RADIOBUTTON))
_COMMENTS = frozenset(
    (
        pdfium_c.FPDF_ANNOT_TEXT,
        pdfium_c.FPDF_ANNOT_HIGHLIGHT,
        pdfium_c.FPDF_ANNOT_UNDERLINE,
        pdfium_c.FPDF_ANNOT_SQUIGGLY,
        pdfium_c.FPDF_ANNOT_STRIKEOUT,
        pdfium_c.FPDF_ANNOT_CARET,
        pdfium_c.FPDF_ANNOT_SQUARE,
        pdfium_c.FPDF_ANNOT_CIRCLE,
        pdfium_c.FPDF_ANNOT_STAMP,
        pdfium_c.FPDF_ANNOT_INK,
        pdfium_c.FPDF_ANNOT_LINE,
        pdfium_c.FPDF_ANNOT_POLYGON,
        pdfium_c.FPDF_ANNOT_POLYLINE,
        pdfium_c.FPDF_ANNOT_FILEATTACHMENT,
    )
)
_HIDDEN = pdfium_c.FPDF_ANNOT_FLAG_HIDDEN


class Writings(NamedTuple):
    """What was written on a page: words for its main frame, and comments."""

    words: list[Word]
    comments: list[str]


def read_writings(page: pdfium.PdfPage, box: PageBox, angle: int, first_line: int) -> Writings:
    """What is written on a page, for its frame of that angle; PDFium's lines there end before `first_line`."""
    words: list[Word] = []
    comments: list[str] = []
    if angle % 90:
        angle = 0
    for note in _notes(page):
        kind = pdfium_c.FPDFAnnot_GetSubtype(note)
        if pdfium_c.FPDFAnnot_GetFlags(note) & _HIDDEN:
            continue
        if kind in (pdfium_c.FPDF_ANNOT_WIDGET, pdfium_c.FPDF_ANNOT_FREETEXT):
            text = _value(page, note) if kind == pdfium_c.FPDF_ANNOT_WIDGET else _string(note, b"Contents")
            words += _place(text.strip(), note, box, angle, first_line + len(words))
        elif kind in _COMMENTS and (text := _string(note, b"Contents").strip()):
            comments.append(text)
    return Writings(words, comments)


def _notes(page: pdfium.PdfPage) -> Iterator[Any]:
    for index in range(min(pdfium_c.FPDFPage_GetAnnotCount(page), MOST_NOTES)):
        note = pdfium_c.FPDFPage_GetAnnot(page, index)
        if note:
            try:
                yield note
            finally:
                pdfium_c.FPDFPage_CloseAnnot(note)


def _value(page: pdfium.PdfPage, note: Any) -> str:
    """What a field shows: its text, its choice, or a cross where it is ticked."""
    if not page.formenv:
        return ""
    kind = pdfium_c.FPDFAnnot_GetFormFieldType(page.formenv, note)
    if kind in _CHECKS:
        return "[x]" if pdfium_c.FPDFAnnot_IsChecked(page.formenv, note) else ""
    if kind not in _VALUES or pdfium_c.FPDFAnnot_GetFormFieldFlags(page.formenv, note) & _SECRET:
        return ""
    return _text(lambda buffer, size: pdfium_c.FPDFAnnot_GetFormFieldValue(page.formenv, note, buffer, size))


def _string(note: Any, key: bytes) -> str:
    return _text(lambda buffer, size: pdfium_c.FPDFAnnot_GetStringValue(note, key, buffer, size))


def _text(ask: Any) -> str:
    """A string of PDFium's, which says how long it is before it gives it."""
    size = min(ask(None, 0), 2 * MOST_CHARACTERS)
    if size <= 2:
        return ""
    buffer = ctypes.create_string_buffer(size)
    ask(ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)), size)
    return buffer.raw.decode("utf-16-le", "replace").split("\x00", 1)[0]


def _place(text: str, note: Any, box: PageBox, angle: int, line: int) -> Iterator[Word]:
    """The words of a text that stands in a box of the page."""
    rect = pdfium_c.FS_RECTF()
    if not text or not pdfium_c.FPDFAnnot_GetRect(note, ctypes.byref(rect)):
        return
    if not box.holds((rect.left + rect.right) / 2, (rect.bottom + rect.top) / 2):
        return
    x0, top, _, bottom = turn_box(angle, rect.left, rect.bottom, rect.right, rect.top)
    rows = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    size = max(4.0, min(LARGEST_SIZE, 0.75 * (bottom - top) / len(rows)))
    step = max(size, (bottom - top) / len(rows))
    for index, row in enumerate(rows):
        x, base = x0, top + index * step + (step + 0.6 * size) / 2
        for word in row.split():
            width = LETTER * size * len(word)
            yield Word(word, x, x + width, base, size, False, line + index)
            x += width + 0.3 * size
