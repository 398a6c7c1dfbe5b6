"""The words of a PDF page, with their places, as PDFium finds them.

PDFium says which characters stand on a page and where; it joins them into words and lines, leaves doubled glyphs out and
knows nothing of columns, paragraphs or tables. Words that run in one direction make a frame, in whose coordinates they
run from left to right and lines go down, so that whoever lays them out need not know of rotation.
"""

import ctypes
import math
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import NamedTuple

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

HYPHEN = "\x02"
"""PDFium's mark for a hyphen at the end of a line."""
MOST_CHARACTERS = 400_000
"""On one page. A page in small print has 15,000."""
DOWNWARDS = 270
SAMPLE_STEP = 7
"""About every seventh word is asked about more."""
LEAST_SIZE = 0.5
LARGEST_SIZE = 1_000.0
_REPLACED = {code: bytes((code,)).decode("cp1252", "replace") for code in range(0x80, 0xA0)}
_REPLACED |= {0xFFFE: HYPHEN, 0xAD: "-", 0x00: "\ufffd"}
"""One character for one: places in the text must stay what they are. Windows' quotation marks are meant by C1 codes."""
_REPLACEABLE = re.compile("[\x00\x80-\x9f\xad\ufffe]")
_LINE = re.compile(r"[^\r\n]+")
_WORD = re.compile(r"[^\s\x02]+\x02?|\x02")
"""After a hyphen PDFium goes on with the next line, without a space."""
_LATIN = re.compile("[A-Za-z]")
FROM_RIGHT = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe]")
"""Letters of Hebrew, Arabic and their like."""
_BOLD_NAME = re.compile(rb"bold|black|heavy|demi|-medi\b|simhei", re.IGNORECASE)
_NAME_BYTES = 128
_BOLD_WEIGHT = 600


class Word(NamedTuple):
    """What stands between two spaces. Points; `base` is the baseline, counted downwards; `line` PDFium's line."""

    text: str
    x0: float
    x1: float
    base: float
    size: float
    bold: bool
    line: int

    @property
    def top(self) -> float:
        return self.base - 0.8 * self.size

    @property
    def bottom(self) -> float:
        return self.base + 0.2 * self.size


class Frame(NamedTuple):
    """The words of one direction: `angle` in degrees, counter-clockwise, from the page's own left-to-right."""

    angle: int
    words: list[Word]

    @property
    def characters(self) -> int:
        return sum(len(word.text) for word in self.words)


class PageBox(NamedTuple):
    """What is visible of a page, in its own points, counted upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def holds(self, x: float, y: float) -> bool:
        return self.left - 1 <= x <= self.right + 1 and self.bottom - 1 <= y <= self.top + 1

    @property
    def area(self) -> float:
        return max(1.0, (self.right - self.left) * (self.top - self.bottom))


class _Style(NamedTuple):
    """What the characters of one run share. `rise` is the baseline's height over the bottom of their box."""

    size: float
    bold: bool
    angle: int
    rise: float
    height: float


def turn(angle: int, x: float, y: float) -> tuple[float, float]:
    """A page's point in the coordinates of the frame of that angle: to the right, and down."""
    if angle == 0:
        return x, -y
    if angle == 90:
        return y, x
    if angle == 180:
        return -x, y
    if angle == 270:
        return -y, -x
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return x * cos + y * sin, x * sin - y * cos


def turn_box(angle: int, left: float, bottom: float, right: float, top: float) -> tuple[float, float, float, float]:
    """A page's box in a frame's coordinates: left, top, right, bottom, the last counted downwards."""
    if angle == 0:
        return left, -top, right, -bottom
    corners = [turn(angle, x, y) for x in (left, right) for y in (bottom, top)]
    (x0, *_, x1), (y0, *_, y1) = (sorted(values) for values in zip(*corners, strict=True))
    return x0, y0, x1, y1


def page_box(page: pdfium.PdfPage) -> PageBox:
    return PageBox(*page.get_bbox())


class TextLayer(NamedTuple):
    """All words of a page, the direction with most characters first, and what shares of them are suspect."""

    frames: list[Frame]
    unmapped: float
    """Of the words, that begin with a glyph that has no place in Unicode."""
    hidden: float
    """Of the words, that are not painted: they were put over a scan by recognition."""

    @property
    def text(self) -> str:
        return " ".join(word.text for frame in self.frames for word in frame.words)


def read_text_layer(page: pdfium.PdfPage, box: PageBox) -> TextLayer:
    """The visible words of a page. Raises PdfiumError."""
    textpage = page.get_textpage()
    try:
        reader = _Reader(textpage, box)
        words: dict[int, list[Word]] = {}
        for angle, word in reader.words():
            words.setdefault(angle, []).append(word)
    finally:
        textpage.close()
    frames = sorted((Frame(angle, found) for angle, found in words.items()), key=lambda frame: -frame.characters)
    samples = max(1, reader.samples)
    return TextLayer(frames, reader.unmapped / samples, reader.hidden / samples)


def page_text(textpage: pdfium.PdfTextPage) -> tuple[str, bool]:
    """All characters of a page, and whether PDFium numbers them as its text does: some have no text."""
    count = min(pdfium_c.FPDFText_CountChars(textpage), MOST_CHARACTERS)
    if count <= 0:
        return "", True
    buffer = ctypes.create_string_buffer(4 * (count + 1))
    written = pdfium_c.FPDFText_GetText(textpage, 0, count, ctypes.cast(buffer, ctypes.POINTER(ctypes.c_ushort)))
    units = max(0, written - 1)
    text = buffer.raw[: 2 * units].decode("utf-16-le", "replace")
    direct = units == count
    if _REPLACEABLE.search(text):
        text = text.translate(_REPLACED)
    return text, direct


class _Reader:
    """Reads the words of one page: two questions to PDFium for each word, some more for each run of one style."""

    def __init__(self, textpage: pdfium.PdfTextPage, box: PageBox) -> None:
        self._raw = textpage.raw
        self._text, self._direct = page_text(textpage)
        self._places = _utf16_places(self._text)
        self._page = box
        self.samples = self.unmapped = self.hidden = 0
        self._first, self._last = pdfium_c.FS_RECTF(), pdfium_c.FS_RECTF()
        self._first_ref, self._last_ref = ctypes.byref(self._first), ctypes.byref(self._last)

    def words(self) -> Iterator[tuple[int, Word]]:
        """The visible words in PDFium's order, each with its angle."""
        text = self._text
        may_turn = FROM_RIGHT.search(text) is not None
        for number, line in enumerate(_LINE.finditer(text)):
            style = None
            from_right = may_turn and FROM_RIGHT.search(text, *line.span()) is not None
            for match in _WORD.finditer(text, *line.span()):
                start, end = match.span()
                first, last = self._index(start), self._index(end - 1)
                pdfium_c.FPDFText_GetLooseCharBox(self._raw, first, self._first_ref)
                pdfium_c.FPDFText_GetLooseCharBox(self._raw, last, self._last_ref)
                if (start + number) % SAMPLE_STEP == 0:
                    self._take_sample(first)
                height = self._first.top - self._first.bottom
                is_torn = (
                    "\u2e80" <= text[start] < "\ud800" and abs(self._last.bottom - self._first.bottom) > 1.3 * height
                ) or (from_right and self._last.left < self._first.left and bool(_LATIN.search(text, start, end)))
                if abs(self._last.top - self._last.bottom - height) > 0.15 * height:
                    style = self._larger_style(first, last)
                elif style is None or abs(height - style.height) > 0.01 * height:
                    style = self._style(first, height)
                if style.angle or is_torn or self._is_torn(end - start, style.size):
                    yield from self._turned(match.group(), start, style, number)
                elif (word := self._word(match.group(), style, number)) is not None:
                    yield 0, word

    def _take_sample(self, index: int) -> None:
        self.samples += 1
        self.unmapped += pdfium_c.FPDFText_HasUnicodeMapError(self._raw, index) > 0
        thing = pdfium_c.FPDFText_GetTextObject(self._raw, index)
        if thing:
            self.hidden += pdfium_c.FPDFTextObj_GetTextRenderMode(thing) == pdfium_c.FPDF_TEXTRENDERMODE_INVISIBLE

    def _index(self, place: int) -> int:
        """PDFium's number of the character at a place of the text."""
        if self._places:
            place = self._places[place]
        return place if self._direct else pdfium_c.FPDFText_GetCharIndexFromTextIndex(self._raw, place)

    def _is_torn(self, length: int, size: float) -> bool:
        """Whether a word of so many characters goes on in another line or another cell, for all PDFium knows."""
        down = self._last.bottom - self._first.bottom
        return abs(float(down)) > 0.7 * size or float(self._last.right - self._first.left) > (1.3 * length + 1) * size

    def _word(self, text: str, style: _Style, line: int) -> Word | None:
        """An upright word between the first box and the last, None where it lies outside of the page."""
        first, last = self._first, self._last
        x0, x1 = first.left, last.right
        if last.left < x0:  # from right to left
            x0, x1 = last.left, max(x1, first.right)
        base = first.bottom + style.rise
        if not self._page.holds((x0 + x1) / 2, base + 0.3 * style.size):
            return None
        return Word(text, x0, x1, -base, style.size, style.bold, line)

    def _turned(self, text: str, start: int, style: _Style, line: int) -> Iterator[tuple[int, Word]]:
        """A word that does not run to the right, or goes on in another line."""
        if style.angle == 0:
            for word in self._pieces(text, start, style, line):
                yield 0, word
            return
        boxes = (self._first, self._last)
        if not any(self._page.holds((box.left + box.right) / 2, (box.bottom + box.top) / 2) for box in boxes):
            return
        x0, base = turn(style.angle, *self._origin(self._index(start)))
        x1, _ = turn(style.angle, *self._origin(self._index(start + len(text) - 1)))
        yield style.angle, Word(text, x0, x1 + 0.5 * style.size, base, style.size, style.bold, line)

    def _pieces(self, text: str, start: int, style: _Style, line: int) -> Iterator[Word]:
        """The parts of a word that stand on one baseline each: single characters where it runs downwards."""
        piece: Word | None = None
        for place, character in enumerate(text, start):
            pdfium_c.FPDFText_GetLooseCharBox(self._raw, self._index(place), self._first_ref)
            self._last.left, self._last.right = self._first.left, self._first.right
            word = self._word(character, style, line)
            if word is None:
                continue
            if piece is not None and _follows(piece, word):
                piece = piece._replace(text=piece.text + character, x1=word.x1)
                continue
            if piece is not None:
                yield piece
            piece = word
        if piece is not None:
            yield piece

    def _larger_style(self, first: int, last: int) -> _Style:
        """The style of a word that begins or ends with a raised or lowered character. Makes both boxes stand alike."""
        a, b = self._first, self._last
        if b.top - b.bottom > a.top - a.bottom:
            a.top, a.bottom = b.top, b.bottom
            return self._style(last, b.top - b.bottom)
        b.top, b.bottom = a.top, a.bottom
        return self._style(first, a.top - a.bottom)

    def _style(self, index: int, height: float) -> _Style:
        matrix = pdfium_c.FS_MATRIX()
        pdfium_c.FPDFText_GetMatrix(self._raw, index, ctypes.byref(matrix))
        size = pdfium_c.FPDFText_GetFontSize(self._raw, index) * math.hypot(matrix.c, matrix.d)
        angle = self._angle(index)
        if angle == 0 and height > 0 and not 0.3 < size / height < 3:
            size = 0.8 * height
        size = min(max(size, LEAST_SIZE), LARGEST_SIZE)
        rise = self._origin(index)[1] - self._first.bottom
        if not 0 <= rise <= height:
            rise = 0.2 * height
        return _Style(size, self._is_bold(index), angle, rise, height)

    def _angle(self, index: int) -> int:
        """In whole degrees, the four right angles being three degrees wide."""
        degrees = (
            round(-math.degrees(pdfium_c.FPDFText_GetCharAngle(self._raw, index))) % 360
        )  # PDFium counts clockwise
        right = 90 * round(degrees / 90)
        return right % 360 if abs(degrees - right) <= 1 else degrees

    def _origin(self, index: int) -> tuple[float, float]:
        x, y = ctypes.c_double(), ctypes.c_double()
        pdfium_c.FPDFText_GetCharOrigin(self._raw, index, ctypes.byref(x), ctypes.byref(y))
        return x.value, y.value

    def _is_bold(self, index: int) -> bool:
        if pdfium_c.FPDFText_GetFontWeight(self._raw, index) >= _BOLD_WEIGHT:
            return True
        name = ctypes.create_string_buffer(_NAME_BYTES)
        pdfium_c.FPDFText_GetFontInfo(self._raw, index, name, _NAME_BYTES, None)
        return bool(_BOLD_NAME.search(name.value))


def _follows(piece: Word, word: Word) -> bool:
    return abs(word.base - piece.base) < 0.3 * word.size and -0.5 < (word.x0 - piece.x1) / word.size < 1.0


def _utf16_places(text: str) -> list[int]:
    """Where each character stands in UTF-16, which PDFium counts in; empty where that is where it stands anyway."""
    if not text or max(text) <= "\uffff":
        return []
    return list(accumulate((1 + (character > "\uffff") for character in text), initial=0))
