"""RTF inside Word documents gives its words, in whatever encoding, and nothing of how they look."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.extraction.docx import rich_text
from bookwheel.extraction.docx.rich_text import rich_text_paragraphs


@pytest.mark.parametrize(
    ("inside", "paragraphs"),
    [
        (rb"one\par two\par\par three", ["one", "two", "three"]),
        (rb"{\b bold} and {\i italic}, {\fs24\cf1 large}", ["bold and italic, large"]),
        (rb"{\fonttbl{\f0 Arial;}}{\colortbl;\red0;}{\stylesheet{\s1 Head;}}seen", ["seen"]),
        (rb"{\*\generator Writer {inside};}seen{\info{\title T}} too", ["seen too"]),
        (rb"{\field{\*\fldinst HYPERLINK x}{\fldrslt link}}", ["link"]),
        (rb"a\cell b\cell\row c\cell d\row", ["a\tb", "c\td"]),
        (rb"\{x\} a\~b\_c \\ \ldblquote q\rdblquote\emdash", ["{x} a b-c \\ “q”—"]),
        (b"a line\r\ngoes on", ["a linegoes on"]),
        (rb"Gr\'fc\'dfe", ["Grüße"]),
        (rb"\ansicpg932 \'93\'fa\'96\'7b", ["日本"]),
        (rb"\ansicpg65001 \'e2\'82\'ac", ["€"]),
        (rb"\ansicpg99999 caf\'e9", ["café"]),
        (rb"\u26085?\u26412?", ["日本"]),
        (rb"{\uc0\u8364}5 {\uc2\u8364\'a2\'e3}6 \u8364?7", ["€5 €6 €7"]),
        (rb"\u-10179?\u-8704?", ["\U0001f600"]),
        (rb"\u-10179? alone", ["\ufffd alone"]),
    ],
)
def test_paragraphs_read_as_they_are_seen(inside: bytes, paragraphs: list[str]) -> None:
    assert rich_text_paragraphs(b"{\\rtf1\\ansi " + inside + b"}") == paragraphs


def test_deep_groups_and_groups_that_never_open_end() -> None:
    assert rich_text_paragraphs(b"{\\rtf1 " + b"{" * 5000 + b"x" + b"}" * 9000 + b"y") == ["xy"]


def test_of_very_many_tokens_the_first_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rich_text, "MOST_TOKENS", 3)
    assert rich_text_paragraphs(b"{\\rtf1 one\\par two}") == ["one"]


@given(st.binary(max_size=200))
def test_nothing_makes_it_fail(data: bytes) -> None:
    assert all(line.strip() for line in rich_text_paragraphs(b"{\\rtf1 " + data))
