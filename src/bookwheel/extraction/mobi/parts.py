"""The text of a Mobipocket or Kindle book, unpacked, and the pages in it.

Older books are one page of HTML in which marks part the sections. In newer ones (KF8) each page was taken apart: a
table says where its frame (skeleton) stands, another which pieces (fragments) follow and where in it they belong.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from bookwheel.errors import ParsingError, SizeExceeded
from bookwheel.extraction.mobi.compression import MOST_RECORD_BYTES, Huffman, unpack_palmdoc
from bookwheel.extraction.mobi.index import Entry, Index
from bookwheel.extraction.mobi.records import HUFF_CDIC, NONE, PALMDOC, UNPACKED, Header, Records, number_at

MOST_TEXT_BYTES = 128 * 1024 * 1024
MOST_PHRASE_RECORDS = 1_000
MOST_MOVED_BYTES = 2 * 1024 * 1024 * 1024
"""What putting fragments into the midst of frames may move; they stand at the end of them."""
MOST_LINKS = 200_000

_PAGE_BREAK = re.compile(rb"<mbp:pagebreak[^>]*>", re.IGNORECASE)
_FILE_POSITION = re.compile(rb"(<a\s[^<>]*?)\bfilepos=[\"']?(\d{1,10})[\"']?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """One page of a book, or one section of it. `title` is what the table of contents calls it, else empty."""

    data: bytes
    title: str


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a book as bytes. `lost` counts the records that could not be unpacked."""

    data: bytes
    lost: int


def unpack_text(records: Records, header: Header) -> Text:
    """All text of a book. Raises ParsingError where nothing can be unpacked, SizeExceeded where it is too much."""
    unpack = _unpacker(records, header)
    pieces: list[bytes] = []
    size = lost = 0
    for number in range(1, header.text_records + 1):
        record = records[header.base + number][:MOST_RECORD_BYTES]
        try:
            piece = unpack(_without_trailing(record, header.trailing))
        except ParsingError:
            piece = b""
        lost += not piece
        size += len(piece)
        if size > MOST_TEXT_BYTES:
            raise SizeExceeded
        pieces.append(piece)
    if header.text_records and lost == header.text_records:
        raise ParsingError("It is damaged: none of its text can be unpacked.")
    return Text(b"".join(pieces), lost)


def _unpacker(records: Records, header: Header) -> Callable[[bytes], bytes]:
    if header.compression == PALMDOC:
        return unpack_palmdoc
    if header.compression == UNPACKED:
        return bytes
    if header.compression == HUFF_CDIC and header.huff not in (0, NONE):
        first = header.base + header.huff
        count = min(header.huff_count, MOST_PHRASE_RECORDS)
        return Huffman(records[first], [records[first + number] for number in range(1, count)]).unpack
    raise ParsingError("It is damaged: how its text is packed is not known.")


def _without_trailing(data: bytes, flags: int) -> bytes:
    """A record without what stands after its text: an entry for each flag, its size written backwards at its end."""
    size = len(data)
    for _ in range((flags >> 1).bit_count()):
        entry = 0
        for byte in data[max(0, size - 4) : size]:
            entry = (0 if byte & 0x80 else entry << 7) | byte & 0x7F
        size -= entry if entry <= size else 0
    if flags & 1 and size:
        size -= min(size, (data[size - 1] & 3) + 1)
    return data[:size]


# Newer books


def framed_parts(records: Records, header: Header, text: bytes) -> Iterator[Part]:
    """The pages of a newer book, put together; its whole text as one page where the tables do not fit it."""
    text = _first_flow(records, header, text)
    frames = list(Index(records, _record(header, header.skeletons)).entries())
    fragments = list(Index(records, _record(header, header.fragments)).entries())
    if not _fits(frames, len(text)):
        yield Part(text, "")
        return
    titles = _framed_titles(records, header, [fragment.first(3) for fragment in fragments])
    left = iter(fragments)
    moved, end = 0, 0
    for number, frame in enumerate(frames):
        start, size = frame.tags[6][:2]
        page, end = bytearray(text[start : start + size]), start + size
        for fragment in islice(left, max(0, frame.first(1))):
            piece = text[end : end + fragment.tags.get(6, [0, 0])[-1]]
            place = _place(fragment, start, len(page)) if moved < MOST_MOVED_BYTES else len(page)
            moved += len(page) - place
            page[place:place] = piece
            end += len(piece)
        following = frames[number + 1].tags[6][0] if number + 1 < len(frames) else len(text)
        page += text[end:following]
        yield Part(bytes(page), titles.get(number, ""))


def _record(header: Header, number: int) -> int:
    return NONE if number == NONE else header.base + number


def _first_flow(records: Records, header: Header, text: bytes) -> bytes:
    """The pages alone: style sheets and drawings follow them."""
    table = records[_record(header, header.sections)]
    if table[:4] != b"FDST":
        return text
    start, end = number_at(table, 12), number_at(table, 16)
    return text[start:end] if start < end <= len(text) else text


def _fits(frames: list[Entry], size: int) -> bool:
    """Whether frames stand one after the other within the text."""
    end = 0
    for frame in frames:
        place = frame.tags.get(6, [])
        if len(place) < 2 or not end <= place[0] <= size:
            return False
        end = place[0] + place[1]
    return bool(frames) and frames[0].tags[6][0] == 0


def _place(fragment: Entry, start: int, most: int) -> int:
    """Where in its page a fragment begins."""
    place = int(fragment.name) - start if fragment.name.isdigit() and len(fragment.name) < 12 else most
    return place if 0 <= place <= most else most


def _framed_titles(records: Records, header: Header, pages: list[int]) -> dict[int, str]:
    """What the table of contents calls each page; `pages` says to which each fragment belongs."""
    titles: dict[int, str] = {}
    contents = Index(records, _record(header, header.contents))
    for entry in contents.entries():
        fragment = entry.first(6)
        if 0 <= fragment < len(pages):
            titles.setdefault(pages[fragment], _title(contents, entry, header))
    return titles


def _title(contents: Index, entry: Entry, header: Header) -> str:
    return contents.text(entry.first(3)).decode(header.encoding or "cp1252", "replace")


# Older books


def marked_parts(records: Records, header: Header, text: bytes) -> Iterator[Part]:
    """The sections of an older book."""
    contents = Index(records, _record(header, header.contents))
    entries = sorted((entry.first(1), _title(contents, entry, header)) for entry in contents.entries())
    places = [place for place, _ in entries]
    targets = sorted({int(found[2]) for found in islice(_FILE_POSITION.finditer(text), MOST_LINKS)})
    start = 0
    for end in [*(found.end() for found in _PAGE_BREAK.finditer(text)), len(text)]:
        before = bisect_right(places, max(start, end - 1)) - 1
        title = entries[before][1] if before >= 0 else ""
        if text[start:end].strip():
            yield Part(_linked(text, start, end, targets), title)
        start = end


def _linked(text: bytes, start: int, end: int, targets: list[int]) -> bytes:
    """A section with links to places in the text as links to ids, and the ids at those places."""
    pieces, done = [], start
    for target in targets[bisect_right(targets, start - 1) : bisect_right(targets, end - 1)]:
        if text[target : target + 1] == b"<":
            pieces += [text[done:target], b'<a id="filepos%d"></a>' % target]
            done = target
    pieces.append(text[done:end])
    return _FILE_POSITION.sub(lambda found: found[1] + b'href="#filepos%d"' % int(found[2]), b"".join(pieces))
