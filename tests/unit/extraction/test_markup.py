"""XML from strangers brings nothing with it."""

import pytest

from bookwheel.errors import ParsingError
from bookwheel.extraction.markup import HEAD_BYTES, defines_entities, parse_xml

BOMB = '<!DOCTYPE a [<!ENTITY b "bbb">]><a c="&b;">&b;</a>'


@pytest.mark.parametrize(
    "data",
    [
        BOMB.encode(),
        b'<?xml version="1.0"?>\n<!-- <a> -->\n' + BOMB.encode(),
        BOMB.encode("utf-16"),
        BOMB.encode("utf-8-sig"),
        (f"<!--{'<a>' * 30_000}-->" + BOMB).encode(),
        (" " * 100_000 + BOMB).encode(),
        b'<!doctype a SYSTEM "x" [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        b"<!-- without an end " + b"x" * HEAD_BYTES,
    ],
)
def test_entities_of_its_own_are_refused_wherever_they_hide(data: bytes) -> None:
    with pytest.raises(ParsingError, match="entities"):
        parse_xml(data, "a.xml")


@pytest.mark.parametrize(
    "data",
    [
        b"<a>text</a>",
        b'<?xml version="1.0"?><a>&lt;!DOCTYPE a [</a>',
        b'<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "x.dtd"><html>[</html>',
        b"<a><!-- <!DOCTYPE a [ --></a>",
        "<?xml version='1.0' encoding='UTF-16'?><a>书</a>".encode("utf-16"),
    ],
)
def test_honest_documents_are_read(data: bytes) -> None:
    assert not defines_entities(data)
    assert parse_xml(data, "a.xml").tag in ("a", "html")


def test_what_is_not_well_formed_is_made_the_most_of() -> None:
    assert "".join(parse_xml(b"<a>one<b>two</a> & more", "a.xml").itertext()).startswith("onetwo")


@pytest.mark.parametrize("data", [b"", b"no markup", b"\x00\x01"])
def test_what_is_no_xml_is_refused_by_its_name(data: bytes) -> None:
    with pytest.raises(ParsingError, match=r"a\.xml"):
        parse_xml(data, "a.xml")


def test_nesting_ends_before_it_hurts() -> None:
    assert parse_xml(b"<a>" * 100_000, "a.xml").tag == "a"
