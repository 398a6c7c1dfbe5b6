"""Pages: HTML and XHTML, and web archives (MHTML), whose pages are read one after the other.

What a page shows without its style sheets and its programs is read. Scripts, hidden elements and what surrounds the
text of web pages are left out (`html.boilerplate` says which).
"""

import base64
import binascii
import re
from collections.abc import Iterator
from email import message_from_binary_file, policy
from email.errors import MessageError
from email.message import Message
from functools import partial
from pathlib import Path
from urllib.parse import unquote_to_bytes

from bookwheel.document import Block, BlockKind, Picture
from bookwheel.errors import ParsingError, SizeExceeded
from bookwheel.extraction.encoding import detect_encoding
from bookwheel.extraction.html.page import Surroundings
from bookwheel.extraction.html.source import decode_page, walk_page
from bookwheel.extraction.html.walk import PageWalk
from bookwheel.extraction.notes import Notes

PIECE_CHARACTERS = 256 * 1024
HEAD_BYTES = 4096
MOST_ARCHIVE_BYTES = 256 * 1024 * 1024
MOST_ARCHIVE_PARTS = 5_000
START = "start"
"""The anchor of what stands under no heading, on a page without a title."""

_ARCHIVE_HEAD = re.compile(rb"^content-type:\s*multipart/related", re.IGNORECASE | re.MULTILINE)
_TITLE = re.compile(r"<title[^>]*>([^<]*)", re.IGNORECASE)
_BODY = re.compile(r"<(?:body|svg)[\s>]", re.IGNORECASE)
_HEADING = re.compile(r"<h[1-3][\s>]", re.IGNORECASE)
_DATA_URL = re.compile(r"data:image/(?!svg)[\w.+-]+((?:;[\w=-]+)*),", re.IGNORECASE)


def read(path: Path, notes: Notes) -> Iterator[Block | Picture]:
    """The blocks of a page. Anchors are the headings above a block, else the page's title."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if _ARCHIVE_HEAD.search(head):
        yield from _read_archive(path, notes)
        return
    surroundings = Surroundings(picture=partial(_data_picture, notes), is_web_page=True)
    with path.open(encoding=detect_encoding(path), errors="replace") as file:
        yield from _read_page(iter(partial(file.read, PIECE_CHARACTERS), ""), surroundings, "")


def _read_page(pieces: Iterator[str], surroundings: Surroundings, name: str) -> Iterator[Block | Picture]:
    """The blocks of one page, its title first where no heading stands near its beginning."""
    first = next(pieces, "")
    title = PageWalk(surroundings, name, START)
    found = _TITLE.search(_BODY.split(first, maxsplit=1)[0])
    for _ in walk_page([found[0]] if found else [], title):
        pass
    place = title.title[:120] or START
    if title.title and not _HEADING.search(first):
        yield Block(BlockKind.HEADING, f"# {title.title}\n\n", place, 1)
    yield from walk_page(_chain(first, pieces), PageWalk(surroundings, name, place))


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _data_picture(notes: Notes, source: str, anchor: str) -> Picture | None:
    """A picture that stands in the page itself, as a `data:` URL."""
    url = _DATA_URL.match(source)
    if url is None:
        return None
    data = unquote_to_bytes(source[url.end() :])
    if "base64" in url[1].lower():
        try:
            data = base64.b64decode(data)
        except binascii.Error:
            return None
    return notes.keep_picture(data, anchor)


def _read_archive(path: Path, notes: Notes) -> Iterator[Block | Picture]:
    if path.stat().st_size > MOST_ARCHIVE_BYTES:
        raise SizeExceeded
    try:
        with path.open("rb") as file:
            message: Message = message_from_binary_file(file, policy=policy.compat32)
            parts = [part for _, part in zip(range(MOST_ARCHIVE_PARTS), message.walk(), strict=False)]
    except (MessageError, ValueError, LookupError, RecursionError):
        raise ParsingError("It is damaged: its parts cannot be told apart.") from None
    pictures = {name: part for part in parts if part.get_content_maintype() == "image" for name in _names(part)}
    pages = [part for part in parts if part.get_content_type() in ("text/html", "application/xhtml+xml")]
    surroundings = Surroundings(picture=partial(_part_picture, notes, pictures), is_web_page=True)
    for number, page in enumerate(pages, 1):
        notes.reading("section", number, len(pages))
        name = next(iter(_names(page)), "")
        yield from _read_page(iter([decode_page(_payload(page))]), surroundings, name)


def _names(part: Message) -> Iterator[str]:
    """What other parts call this one."""
    if location := part["Content-Location"]:
        yield str(location).strip()
    if identity := part["Content-ID"]:
        yield "cid:" + str(identity).strip().strip("<>")


def _payload(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _part_picture(notes: Notes, pictures: dict[str, Message], source: str, anchor: str) -> Picture | None:
    part = pictures.get(source)
    if part is None:
        return _data_picture(notes, source, anchor)
    return None if part.get_content_subtype() == "svg+xml" else notes.keep_picture(_payload(part), anchor)
