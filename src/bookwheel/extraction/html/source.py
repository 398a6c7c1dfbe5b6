"""From the bytes of a page to the events of a parser: encodings, declarations, depth.

The one parser is lxml's for HTML, for XHTML too: it ends empty elements where XHTML does, knows all named characters,
expands no entity a page defines, and builds no tree, so that a page of any size passes through bounded memory.
"""

import html
import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from lxml import etree

from bookwheel.extraction.encoding import HEAD_BYTES, sniff_unicode
from bookwheel.extraction.html.tables import Item
from bookwheel.extraction.legacy import guess_legacy

PIECE_CHARACTERS = 16 * 1024
MOST_DEPTH = 1_000
"""Elements inside each other. The parser looks through all of them for what an end tag closes; honest pages have 50."""
SAMPLE_BYTES = 256 * 1024

_SUBSET = re.compile(r"<!DOCTYPE[^>\[]*\[[^\]]*\]\s*>", re.IGNORECASE)


class Walk(Protocol):
    """What takes the parser's events. It must call nothing of the parser."""

    @property
    def depth(self) -> int:
        """How many elements are open."""

    def start(self, tag: str, attributes: dict[str, str]) -> None: ...
    def end(self, tag: str) -> None: ...
    def data(self, text: str) -> None: ...
    def close(self) -> None: ...
    def take(self) -> list[Item]:
        """The blocks that are complete, in order."""


def walk_page(text: Iterable[str], walk: Walk) -> Iterator[Item]:
    """The blocks that `walk` makes of a page, whose text may come in parts of any size."""
    parser = _parser(walk)
    for piece in _pieces(text):
        parser.feed(piece.encode("utf-8", "replace"))
        yield from walk.take()
        if walk.depth > MOST_DEPTH:
            parser.close()
            parser = _parser(walk)
    try:
        parser.close()
    except etree.XMLSyntaxError:  # there was nothing at all
        walk.close()
    yield from walk.take()


def _parser(walk: Walk) -> etree.HTMLParser:
    parser = etree.HTMLParser(target=walk, encoding="utf-8", huge_tree=True, no_network=True)
    parser.feed(b"<html>")
    return parser


def _pieces(parts: Iterable[str]) -> Iterator[str]:
    """The page in pieces that end with a tag where they can, without what only declares."""
    held, first = "", True
    for part in parts:
        for start in range(0, len(part), PIECE_CHARACTERS):
            held += part[start : start + PIECE_CHARACTERS].replace("\0", "")
            if first:
                held, first = _SUBSET.sub("", held, count=1), False
            end = held.rfind(">") + 1 or len(held)
            yield _without_cdata(held[:end])
            held = held[end:]
    if held:
        yield _without_cdata(held)


def _without_cdata(piece: str) -> str:
    """The piece with CDATA sections, which only XHTML knows, as the text they are."""
    if "<![CDATA[" not in piece or "]]>" not in piece:
        return piece
    before, *sections = piece.split("<![CDATA[")
    for section in sections:
        words, end, after = section.partition("]]>")
        before += html.escape(words) + after if end else words
    return before


def decode_page(data: bytes) -> str:
    """The text of a page: by its byte order mark, as UTF-8 where it is that, else by what it declares and its letters."""
    wide = sniff_unicode(data[:HEAD_BYTES])
    if wide is not None:
        return data.decode(wide, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if _declares_utf8(data) or (error.end >= len(data) > 0 and error.reason == "unexpected end of data"):
            return data.decode("utf-8", "replace")
        start = max(0, error.start - SAMPLE_BYTES // 4)
        return data.decode(guess_legacy(data[:2048] + data[start : start + SAMPLE_BYTES]), "replace")


def _declares_utf8(data: bytes) -> bool:
    """Whether the head says UTF-8 and most of what is not ASCII is."""
    if not re.search(rb"(?:charset|encoding)\s*=\s*[\"']?utf-?8", data[:2048], re.IGNORECASE):
        return False
    text = data[:SAMPLE_BYTES].decode("utf-8", "replace")
    return text.count("\ufffd") * 4 < sum(not character.isascii() for character in text)
