"""Mobipocket and Kindle books (MOBI, PRC, AZW, AZW3) and PalmDOC texts.

In a file that holds a book in both the older and the newer kind, the newer is read, unless it is the one that was cut
off. Books under DRM are refused.
"""

import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from bookwheel.document import Block, BlockKind, Picture, part_text
from bookwheel.errors import ParsingError
from bookwheel.extraction.html.page import Surroundings
from bookwheel.extraction.html.pictures import is_raster
from bookwheel.extraction.html.source import decode_page, walk_page
from bookwheel.extraction.html.text import tidy
from bookwheel.extraction.html.walk import PageWalk
from bookwheel.extraction.html.writer import join_titles
from bookwheel.extraction.legacy import guess_legacy
from bookwheel.extraction.mobi.parts import Part, Text, framed_parts, marked_parts, unpack_text
from bookwheel.extraction.mobi.records import NONE, Header, Records, read_header
from bookwheel.extraction.notes import Notes

BLOCK_CHARACTERS = 8_000
SAMPLE_BYTES = 64 * 1024
"""Of a book whose encoding is in doubt."""

_SAYS_WESTERN = b"charset=windows-1252\n"

_MARKUP = re.compile(rb"<(?:html|body|p|div|br|h[1-6])[\s/>]", re.IGNORECASE)
_LARGE_AND_BOLD = re.compile(
    r"<p\b[^<>]{0,200}>\s*<font size=\"?([4-7])\"?>\s*<b>([^<>]{1,200})</b>\s*</font>\s*</p>", re.IGNORECASE
)
"""What converters make of headings, which the older kind of book has no element for."""
_LEVEL_OF_SIZE = {"7": 1, "6": 1, "5": 2, "4": 3}
_EMBEDDED = re.compile(r"kindle:embed:([0-9A-V]{1,8})", re.IGNORECASE)
_PARAGRAPH = re.compile(r"(?:[^\n]|\n(?!\s*\n))+\s*")


def read(path: Path, notes: Notes) -> Iterator[Block | Picture]:
    """The blocks of a book. Anchors are the headings above a block, else the title in the table of contents."""
    with Records(path) as records:
        older = read_header(records, 0)
        newer = read_header(records, older.boundary) if older.boundary else older
        if older.is_encrypted or newer.is_encrypted:
            raise ParsingError("It is protected by DRM: upload a copy without it.")
        header, text = _best_text(records, older, newer)
        if records.is_cut_off():
            notes.warn("It is cut off: the end is missing.")
        if text.lost:
            notes.warn(f"{text.lost} of {header.text_records} records of its text are damaged and were left out.")
        if not header.is_mobi and not _MARKUP.search(text.data[:BLOCK_CHARACTERS]):
            yield from _plain_blocks(decode_page(text.data))
            return
        parts = framed_parts if header.version >= 8 else marked_parts
        yield from _read_parts(list(parts(records, header, text.data)), records, older, header, notes)


def _best_text(records: Records, older: Header, newer: Header) -> tuple[Header, Text]:
    """The newer book of a file and its text, or the older one where more is left of that."""
    if newer is older or not newer.is_mobi or newer.version < 8:
        return older, unpack_text(records, older)
    try:
        text = unpack_text(records, newer)
    except ParsingError:
        return older, unpack_text(records, older)
    if text.lost or not text.data:
        try:
            whole = unpack_text(records, older)
        except ParsingError:
            return newer, text
        if whole.lost < text.lost or not text.data:
            return older, whole
    return newer, text


def _read_parts(
    parts: list[Part], records: Records, older: Header, header: Header, notes: Notes
) -> Iterator[Block | Picture]:
    codec = _codec(header, parts)
    picture = partial(_picture, records, older.first_picture, notes, set())
    surroundings = Surroundings(picture=picture, quotes=header.version >= 8)
    for number, part in enumerate(parts, 1):
        notes.reading("section", number, len(parts))
        place = join_titles([tidy(part.title)]) or f"section {number}"
        text = part.data.decode(codec, "replace") if codec else decode_page(part.data)
        if header.version < 8:
            text = _LARGE_AND_BOLD.sub(_as_heading, text)
        yield from walk_page([text], PageWalk(surroundings, "", place))


def _as_heading(paragraph: re.Match[str]) -> str:
    level = _LEVEL_OF_SIZE[paragraph[1]]
    return f"<h{level}>{paragraph[2]}</h{level}>"


def _codec(header: Header, parts: Iterable[Part]) -> str:
    """The codec of a book. Books that say Western are often UTF-8, which proves itself, and some are in other scripts."""
    if header.encoding != "cp1252":
        return header.encoding
    for part in parts:
        try:
            part.data.decode("utf-8")
        except UnicodeDecodeError as error:
            return guess_legacy(_SAYS_WESTERN + part.data[error.start : error.start + SAMPLE_BYTES])
    return "utf-8"


def _picture(records: Records, first: int, notes: Notes, kept: set[int], source: str, anchor: str) -> Picture | None:
    """The picture that a page shows, the first time it is shown. `source` counts pictures from 1."""
    embedded = _EMBEDDED.match(source)
    digits = embedded[1] if embedded else source
    try:
        number = int(digits, 32 if embedded else 10)
    except ValueError:
        return None
    if number < 1 or first == NONE or number in kept:
        return None
    kept.add(number)
    data = records[first + number - 1]
    return notes.keep_picture(data, anchor) if is_raster(data) else None


def _plain_blocks(text: str) -> Iterator[Block]:
    """The paragraphs of a text without markup."""
    line = 1
    for paragraph in _PARAGRAPH.finditer(text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")):
        rest = paragraph[0]
        while rest:
            end = part_text(rest, BLOCK_CHARACTERS) if len(rest) > BLOCK_CHARACTERS else len(rest)
            yield Block(BlockKind.PARAGRAPH, rest[:end], f"line {line}")
            line += rest.count("\n", 0, end)
            rest = rest[end:]
