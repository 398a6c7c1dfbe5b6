"""XML from strangers: no entities, no DTDs, no network, no depth without end."""

import re

from lxml import etree

from bookwheel.errors import ParsingError

HEAD_BYTES = 64 * 1024
_PROLOG = re.compile(rb"\s*(?:<\?.*?\?>|<!--.*?-->|\xef\xbb\xbf|\xff\xfe|\xfe\xff|\s+)*", re.DOTALL)
_DOCTYPE = re.compile(rb"<!DOCTYPE[^>\[]*\[", re.IGNORECASE)
"""A DTD with an internal subset: the only kind that can define entities."""


def xml_parser(*, recover: bool = True) -> etree.XMLParser:
    """A parser that resolves nothing; with `recover`, it makes the most of what is not well-formed."""
    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, recover=recover, huge_tree=True, remove_comments=True
    )


def defines_entities(data: bytes) -> bool:
    """Whether a document that begins with `data` has, or may have, a DTD of its own with entities in it.

    What stands before the root element is read whatever the encoding and however long its comments are; a beginning of
    nothing but comments and the like is not believed.
    """
    plain = data.replace(b"\x00", b"")  # UTF-16 and UTF-32 as ASCII
    prolog = _PROLOG.match(plain)
    start = prolog.end() if prolog else 0
    if plain.startswith((b"<?", b"<!--"), start):  # it has no end
        return True
    return _DOCTYPE.match(plain, start) is not None


def parse_xml(data: bytes, name: str) -> etree._Element:
    """The root of an XML part. Raises ParsingError where it defines entities or is no XML at all."""
    refuse_entities(data, name)
    try:
        root = etree.fromstring(data, xml_parser())
    except etree.XMLSyntaxError:
        root = None
    if root is None:
        raise ParsingError(f"It is damaged: {name} cannot be read.")
    return root


def refuse_entities(head: bytes, name: str) -> None:
    """Raise ParsingError where the XML part that begins with `head` defines entities."""
    if defines_entities(head):
        raise ParsingError(f"{name} defines entities of its own, which is refused.")
