"""Numbers are those that Word prints."""

import pytest
from lxml import etree

from bookwheel.extraction.docx.numbering import Numbering
from bookwheel.extraction.docx.styles import Style, Styles
from bookwheel.extraction.ooxml.numbers import format_number
from support.docx_parts import DECLARED


def level(place: int, text: str, inside: str = "", number_format: str = "decimal") -> str:
    return (
        f'<w:lvl w:ilvl="{place}"><w:start w:val="1"/><w:numFmt w:val="{number_format}"/>{inside}'
        f'<w:lvlText w:val="{text}"/></w:lvl>'
    )


def numbering(*levels: str, numbers: str = "", styles: str = "") -> Numbering:
    root = etree.fromstring(
        f'<w:numbering {DECLARED}><w:abstractNum w:abstractNumId="0">{"".join(levels)}</w:abstractNum>'
        f'<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>{numbers}</w:numbering>'
    )
    return Numbering(root, Styles(etree.fromstring(f"<w:styles {DECLARED}>{styles}</w:styles>")))


def labels(of: Numbering, *places: int | tuple[str, int]) -> list[str]:
    """The labels of paragraphs at those levels, of list 1 if no other is named."""
    found = [of.label("1", place, Style()) if isinstance(place, int) else of.label(*place, Style()) for place in places]
    return [label.text if label else "" for label in found]


DECIMAL = (level(0, "%1."), level(1, "%1.%2"), level(2, "%1.%2.%3"))


def test_levels_below_begin_anew() -> None:
    assert labels(numbering(*DECIMAL), 0, 1, 1, 0, 1, 2) == ["1. ", "1.1 ", "1.2 ", "2. ", "2.1 ", "2.1.1 "]


def test_a_level_may_begin_before_those_above_it() -> None:
    assert labels(numbering(*DECIMAL), 2, 0) == ["1.1.1 ", "1. "]


def test_levels_restart_only_where_they_say_so() -> None:
    never = numbering(DECIMAL[0], level(1, "%2", '<w:lvlRestart w:val="0"/>'))
    assert labels(never, 0, 1, 0, 1) == ["1. ", "1 ", "2. ", "2 "]
    after_the_first = numbering(*DECIMAL[:2], level(2, "%3", '<w:lvlRestart w:val="1"/>'))
    assert labels(after_the_first, 0, 1, 2, 1, 2, 0, 2) == ["1. ", "1.1 ", "1 ", "1.2 ", "2 ", "2. ", "1 "]


def test_uses_of_one_list_count_on_unless_they_restart_it() -> None:
    override = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="5"/></w:lvlOverride>'
    numbers = (
        '<w:num w:numId="2"><w:abstractNumId w:val="0"/></w:num>'
        f'<w:num w:numId="3"><w:abstractNumId w:val="0"/>{override}</w:num>'
    )
    assert labels(numbering(*DECIMAL, numbers=numbers), 0, ("2", 0), ("3", 0), ("3", 0)) == ["1. ", "2. ", "5. ", "6. "]


def test_a_use_may_have_levels_of_its_own() -> None:
    own = f'<w:lvlOverride w:ilvl="0">{level(0, "(%1)", number_format="upperRoman")}</w:lvlOverride>'
    numbers = f'<w:num w:numId="2"><w:abstractNumId w:val="0"/>{own}</w:num>'
    assert labels(numbering(*DECIMAL, numbers=numbers), ("2", 0), ("2", 0)) == ["(I) ", "(II) "]


def test_chinese_clauses_have_no_space_where_word_shows_none() -> None:
    clauses = numbering(
        level(0, "第%1章", number_format="chineseCountingThousand"),
        level(1, "%2、", number_format="chineseCounting"),
        level(2, "（%3）", '<w:suff w:val="nothing"/>', "japaneseCounting"),
    )
    assert labels(clauses, 0, 1, 2, 2) == ["第一章 ", "一、", "（一）", "（二）"]


def test_legal_numbering_counts_in_digits() -> None:
    mixed = numbering(level(0, "第%1条", number_format="chineseCounting"), level(1, "%1.%2", "<w:isLgl/>"))
    assert labels(mixed, 0, 1) == ["第一条 ", "1.1 "]


def test_a_style_finds_its_own_level() -> None:
    linked = numbering(DECIMAL[0], level(1, "%1.%2", '<w:pStyle w:val="Clause"/>'))
    assert linked.label("1", None, Style(chain=("Derived", "Clause"))).text == "1.1 "
    assert linked.label("1", None, Style(list_level=0)).text == "1. "


def test_a_list_may_be_that_of_a_style() -> None:
    styles = '<w:style w:styleId="S"><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
    numbers = '<w:abstractNum w:abstractNumId="9"><w:numStyleLink w:val="S"/></w:abstractNum>'
    numbers += '<w:num w:numId="8"><w:abstractNumId w:val="9"/></w:num>'
    assert labels(numbering(*DECIMAL, numbers=numbers, styles=styles), 0, ("8", 0)) == ["1. ", "2. "]


def test_lists_that_lead_to_each_other_end() -> None:
    styles = '<w:style w:styleId="S"><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
    assert labels(numbering('<w:numStyleLink w:val="S"/>', styles=styles), 0) == [""]


def test_what_is_not_defined_has_no_label() -> None:
    assert labels(numbering(*DECIMAL), ("77", 0), 8) == ["", ""]
    assert labels(numbering(level(0, "", number_format="none")), 0) == [""]


def test_newer_formats_stand_as_a_choice() -> None:
    choice = (
        '<w:lvl w:ilvl="0"><w:start w:val="1"/><mc:AlternateContent><mc:Choice><w:numFmt w:val="custom" '
        'w:format="001, 002, 003, ..."/></mc:Choice></mc:AlternateContent><w:lvlText w:val="%1"/></w:lvl>'
    )
    assert labels(numbering(choice), 0) == ["01 "]


@pytest.mark.parametrize(
    ("number_format", "numbers"),
    [
        ("lowerLetter", {1: "a", 26: "z", 27: "aa", 53: "aaa"}),
        ("upperRoman", {4: "IV", 1999: "MCMXCIX"}),
        ("decimalZero", {7: "07", 12: "12"}),
        ("ordinal", {1: "1st", 2: "2nd", 11: "11th", 23: "23rd"}),
        ("cardinalText", {21: "Twenty-one", 115: "One hundred fifteen"}),
        ("ordinalText", {1: "First", 20: "Twentieth", 32: "Thirty-second"}),
        ("chineseCounting", {10: "十", 11: "十一", 20: "二十", 105: "一百〇五", 110: "一百一十", 2024: "二千〇二十四"}),
        ("chineseCountingThousand", {10_001: "一万〇一", 12_000: "一万二千"}),
        ("chineseLegalSimplified", {1: "壹", 12: "壹拾贰"}),
        ("ideographDigital", {205: "二〇五"}),
        ("ideographTraditional", {1: "甲", 10: "癸"}),
        ("ideographZodiacTraditional", {1: "甲子", 60: "癸亥"}),
        ("decimalEnclosedCircle", {1: "①", 20: "⑳", 21: "㉑", 36: "㊱", 50: "㊿", 51: "(51)"}),
        ("decimalEnclosedParen", {3: "⑶", 21: "(21)"}),
        ("decimalFullWidth", {12: "１２"}),
        ("iroha", {1: "イ"}),
        ("ganada", {2: "나"}),
        ("koreanCounting", {12: "십이"}),
        ("russianLower", {2: "б"}),
        ("hex", {255: "FF"}),
        ("numberInDash", {3: "- 3 -"}),
        ("somethingNew", {3: "3"}),
        ("none", {3: ""}),
        ("lowerRoman", {0: "0", 10**6: "1000000", -1: "-1"}),
    ],
)
def test_numbers_are_written_in_their_format(number_format: str, numbers: dict[int, str]) -> None:
    assert {number: format_number(number, number_format) for number in numbers} == numbers
