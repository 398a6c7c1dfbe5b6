"""Documents embedded in a Word document (`w:altChunk`): the text of HTML, MHT, RTF and plain text, paragraph by paragraph."""

import email
import email.policy
import re
from collections.abc import Iterator

from lxml import etree

from bookwheel.extraction.docx.rich_text import rich_text_paragraphs

MOST_BYTES = 16 * 1024 * 1024

_BLOCKS = frozenset(
    "address article aside blockquote br dd div dl dt figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol"
    " p pre section table td th tr ul".split()
)
_UNSEEN = frozenset("script style head template noscript".split())
_SPACES = re.compile(r"\s+")


def chunk_paragraphs(name: str, data: bytes) -> list[str] | None:
    """The paragraphs of an embedded document; None where its kind is not read."""
    head = data[:4096].replace(b"\x00", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").lower()
    if head.startswith((b"mime-version:", b"from:", b"content-type:")):
        return _mail_paragraphs(data)
    if b"<html" in head or b"<body" in head or head.startswith((b"<p", b"<div", b"<!doctype html")):
        return _html_paragraphs(data)
    if head.startswith(b"{\\rtf"):
        return rich_text_paragraphs(data)
    if name.casefold().endswith(".txt"):
        encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
        return [line for line in data.decode(encoding, "replace").splitlines() if line.strip()]
    return None


def _mail_paragraphs(data: bytes) -> list[str] | None:
    message = email.message_from_bytes(data, policy=email.policy.default)
    for part in message.walk():
        if part.get_content_type() == "text/html":
            payload = part.get_payload(decode=True)
            return _html_paragraphs(payload) if isinstance(payload, bytes) else None
    return None


def _html_paragraphs(data: bytes) -> list[str]:
    try:
        root = etree.fromstring(data, etree.HTMLParser(no_network=True, remove_comments=True, remove_pis=True))
    except etree.XMLSyntaxError:
        root = None
    if root is None:
        return []
    paragraphs = _SPACES.sub(" ", "".join(_html_pieces(root))).split("\x00")
    return [text for paragraph in paragraphs if (text := paragraph.strip())]


def _html_pieces(root: etree._Element) -> Iterator[str]:
    """The text, with a NUL wherever a block begins or ends."""
    hidden: etree._Element | None = None
    for event, element in etree.iterwalk(root, events=("start", "end")):
        if event == "start":
            if hidden is None and element.tag in _UNSEEN:
                hidden = element
            if hidden is None:
                yield "\x00" if element.tag in _BLOCKS else ""
                yield element.text or ""
            continue
        if hidden is element:
            hidden = None
        if hidden is None:
            yield "\x00" if element.tag in _BLOCKS else ""
            yield element.tail or ""
