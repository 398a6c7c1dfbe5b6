"""Headings of plain text are found where they are set as such, and lines of prose are left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.indexing.headings import LONGEST_CHARACTERS, find_headings

HEADINGS = [
    ("# Wheels", 1),
    ("### Wheels of the desk ###", 3),
    ("第一章", 2),
    ("第三卷 江上", 1),
    ("第十二节：转轮", 3),
    ("第一百零八回 石碣受天文", 2),
    ("Chapter 3", 2),
    ("Chapter Three", 2),
    ("CHAPTER TWELVE. THE DESK", 2),
    ("Chapter 3: The wheel turns", 2),
    ("Part II", 1),
    ("Book One", 1),
    ("Article IV - Remedies", 2),
    ("Appendix B", 2),
    ("Item 7A. Quantitative Disclosures", 2),
    ("1. Introduction", 3),
    ("2.3 Materials and methods", 4),
    ("2.3.1 Reeds", 5),
    ("3 研究方法", 3),
    ("  THE GIFT OF THE MAGI", 3),
    ("RISK FACTORS", 3),
]


@pytest.mark.parametrize(("line", "level"), HEADINGS)
def test_a_line_that_is_set_as_a_heading_is_one(line: str, level: int) -> None:
    text = f"It ends here.\n{line}\nThe heron stands in the reeds.\n"
    found = list(find_headings(text))
    assert [(text[h.start : h.end].strip(), h.level) for h in found] == [(line.strip(), level)]


PROSE = [
    "The heron stands in the reeds and waits",
    "#hashtag",
    "####### seven",
    "# ",
    "第一次来到这里",
    "Chapter 3, as was said",
    "Section 5 of the Act provides that",
    "part of the whole",
    "chapter 3 of the book",
    "Item 4 was sold;",
    "1. It rained. We stayed",
    "1.5 million people",
    "3 apples",
    "12, 13",
    "I AM A",
    "1,234",
    "$ 3,400",
    "A",
    "",
    "2. Ends like this:",
    "WHEEL " * 30,
    "# " + "long " * 50,
]


@pytest.mark.parametrize("line", PROSE)
def test_other_lines_are_none(line: str) -> None:
    assert list(find_headings(f"It goes on\n{line}\nand on.\n")) == []


def test_a_heading_is_one_line() -> None:
    text = "1. Introduction\nThe wheel turns slowly and\nstops\n"
    assert [text[h.start : h.end] for h in find_headings(text)] == ["1. Introduction"]


@given(st.text(alphabet="#第一章1.2 ABCabc\n\t\u3000:,。-'IVX", max_size=300) | st.text(max_size=300))
def test_headings_are_short_lines_in_order_of_some_level(text: str) -> None:
    end = 0
    for heading in find_headings(text):
        line = text[heading.start : heading.end]
        assert end <= heading.start < heading.end
        assert "\n" not in line.strip("\n")
        assert 0 < len(line.strip()) <= LONGEST_CHARACTERS
        assert heading.level >= 1
        end = heading.end


HOSTILE = [
    "A",
    "A ",
    "1.",
    "1.1 ",
    "#",
    "# ",
    " ",
    "\t",
    "\u3000",
    "第一",
    "chapter ",
    "A-",
    "'",
    "1 Ab ",
    "ABC \n",
    "\n",
]


@pytest.mark.parametrize("unit", HOSTILE)
@pytest.mark.parametrize("ending", ["", "x", "A", "1", ","])
def test_runs_of_what_headings_begin_with_come_to_an_end(unit: str, ending: str) -> None:
    """Backtracking that grew faster than the line would never end on these."""
    long = [h for h in find_headings(unit * 50_000 + ending) if h.end - h.start > 2 * LONGEST_CHARACTERS]
    assert [h for h in long if unit.strip()] == []
