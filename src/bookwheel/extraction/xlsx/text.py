"""The text level of a workbook's XML: parts as streams of characters, cut at an end tag, and the words in their pieces.

A sheet of millions of cells is no tree that fits into memory, and a parser that calls back for each tag takes ten times as
long as the cells themselves. So parts are cut where a row or a string ends, and what is written the usual way is read
by patterns. Whatever else there is (comments, CDATA, attributes in another order) goes through a real parser, row by row.
"""

import codecs
import html
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import chain

from lxml import etree

from bookwheel.errors import ParsingError, SizeExceeded
from bookwheel.extraction.archive import MOST_BYTES, Archive
from bookwheel.extraction.markup import parse_xml
from bookwheel.extraction.notes import Notes
from bookwheel.extraction.ooxml.package import MOST_MARKUP

MOST_STRINGS = 10_000_000
MOST_PIECE_CHARACTERS = 32 * 1024 * 1024
"""Of one row, one string, or what stands after the last one."""

_ROOT = re.compile(r"<(?:([A-Za-z_][\w.-]{0,30}):)?(?:sst|worksheet|macrosheet|dialogsheet|chartsheet)[\s>]")
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\ufffe\uffff]")
_UTF_16 = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"<\x00", "utf-16-le"), (b"\x00<", "utf-16-be"))


def local(element: etree._Element) -> str:
    """An element's name without its namespace; nothing for what is no element."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def open_part(archive: Archive, part: str) -> tuple[str, Iterator[str]]:
    """The prefix of a part's elements with its colon, usually none, and the part's text in pieces.

    Raises KeyError where there is no such part, ParsingError, also later, where it is damaged, SizeExceeded.
    """
    pieces = _decoded(archive.pieces(part, MOST_BYTES))
    head = next(pieces, "")
    root = _ROOT.search(head)
    prefix = f"{root[1]}:" if root is not None and root[1] else ""
    return prefix, chain((head,), pieces)


def _decoded(pieces: Iterable[bytes]) -> Iterator[str]:
    """Bytes as text: UTF-8, or UTF-16, the only other encoding that OOXML knows."""
    decoder = None
    for piece in pieces:
        if decoder is None:
            name = next((name for mark, name in _UTF_16 if piece.startswith(mark)), "utf-8-sig")
            decoder = codecs.getincrementaldecoder(name)(errors="replace")
        yield decoder.decode(piece)


def in_chunks(pieces: Iterable[str], end_tag: str) -> Iterator[str]:
    """The same text in pieces that end with an end tag, the last one excepted. Raises SizeExceeded."""
    held = ""
    for piece in pieces:
        chunk, tag, rest = piece.rpartition(end_tag)
        if tag:
            yield held + chunk + tag
            held = rest
        else:
            held += piece
        if len(held) > MOST_PIECE_CHARACTERS:
            raise SizeExceeded
    yield held


def read_strings(archive: Archive, part: str, notes: Notes) -> list[str]:
    """The shared strings; of a damaged part those before the damage. Raises SizeExceeded."""
    strings: list[str] = []
    try:
        prefix, pieces = open_part(archive, part)
        end_tag, is_simple = f"</{prefix}si>", _string_pattern(prefix)
        for chunk in in_chunks(pieces, end_tag):
            for item in chunk.split(end_tag):
                if simple := is_simple(item):
                    strings.append(clean(simple[1]))
                else:
                    strings += _strings_of(item, prefix)
            if len(strings) > MOST_STRINGS:
                raise SizeExceeded
    except KeyError:
        pass
    except ParsingError:
        notes.warn("The workbook's texts are damaged: some cells are empty.")
    return strings


@lru_cache(maxsize=4)
def _string_pattern(prefix: str) -> Callable[[str], re.Match[str] | None]:
    p = re.escape(prefix)
    return re.compile(rf'\s*+<{p}si>\s*+<{p}t(?: xml:space="preserve")?+>([^<]*+)</{p}t>\s*+').fullmatch


@lru_cache(maxsize=4)
def _empty_string_pattern(prefix: str) -> re.Pattern[str]:
    return re.compile(rf"<{re.escape(prefix)}si ?/>")


@lru_cache(maxsize=4)
def _text_pattern(prefix: str) -> re.Pattern[str]:
    p = re.escape(prefix)
    return re.compile(rf"<{p}t(?:\s[^<>]*)?>([^<]*)</{p}t>")


def _strings_of(item: str, prefix: str) -> Iterator[str]:
    """The string that ends an item's text, after the empty ones before it, which have no end tag."""
    empty = _empty_string_pattern(prefix)
    yield from [""] * len(empty.findall(item))
    start = empty.sub("", item).rfind(f"<{prefix}si")
    if start >= 0:
        yield rich_text(empty.sub("", item)[start:], prefix)


def rich_text(xml: str, prefix: str) -> str:
    """The words of a string in its XML: its runs, without their phonetic reading."""
    if "<!" in xml:
        return tree_text(fragment(xml, prefix))
    phonetic = f"<{prefix}rPh"
    if phonetic in xml:
        words, *readings = xml.split(phonetic)
        xml = words + "".join(reading.partition(f"</{prefix}rPh>")[2] for reading in readings)
    return clean("".join(_text_pattern(prefix).findall(xml)))


def tree_text(element: etree._Element | None) -> str:
    """The same of a tree."""
    if element is None:
        return ""
    for reading in list(element.iter("{*}rPh")):
        reading.clear()
    return _unescape("".join(found.text or "" for found in element.iter("{*}t"))).strip()


def fragment(xml: str, prefix: str) -> etree._Element | None:
    """A piece of a part, which may have lost its last end tags and the declarations of its prefixes, as a tree.

    Raises SizeExceeded.
    """
    if xml.count("<") > MOST_MARKUP:
        raise SizeExceeded
    declared = f' xmlns:{prefix[:-1]}="fragment"' if prefix else ""
    try:
        return parse_xml(f"<fragment{declared}>{xml}</fragment>".encode("utf-8", "replace"), "A part")
    except ParsingError:
        return None


def clean(text: str) -> str:
    """Text between two tags as characters."""
    if "&" in text:
        text = html.unescape(text)
    return _unescape(text).strip()


def _unescape(text: str) -> str:
    """`_x000D_` and the like as the character they stand for."""
    if "_x" not in text:
        return text
    text = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
    return _CONTROLS.sub("", text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
