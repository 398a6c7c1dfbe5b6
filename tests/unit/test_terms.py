"""What is looked up is the same however it is written: in another case, width, script or inflection, or spelled out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.numerals import number_terms
from bookwheel.spelled_numbers import LARGE, SMALL
from bookwheel.terms import LONGEST_WORD_CHARACTERS, fold, is_single_character, terms_of

TERMS = [
    ("Running runs", ["run", "run"]),
    ("孔乙己", ["孔", "乙", "己", "孔乙", "乙己"]),
    ("ＡＢＣ１２３", ["abc123"]),
    ("STRASSE straße", ["strass", "strass"]),
    ("$1.87, then 1,000.50", ["1.87", "then", "1000.50"]),
    ("2026年", ["2026", "年"]),
    ("snake_case", ["snake", "case"]),
    ("한국 カナ", ["한", "국", "한국", "カ", "ナ", "カナ"]),
    ("佐々木", ["佐", "々", "木", "佐々", "々木"]),
    ("книги книга", ["книг", "книг"]),
    ("ไทย", ["ไ", "ท", "ย", "ไท", "ทย"]),
    ("हिन्दी है।", ["हिन्दी", "है"]),
    ("שָׁלוֹם־עולם", ["שָׁלוֹם", "עולם"]),
    ("—— …… !?", []),
    ("", []),
]


@pytest.mark.parametrize(("text", "expected"), TERMS)
def test_a_text_has_its_terms_in_order(text: str, expected: list[str]) -> None:
    assert terms_of(text) == expected


SAME = [
    ("Café Zürich", "cafe zurich"),
    ("Ἀθῆναι", "αθηναι"),
    ("Việt Nam", "viet nam"),
    ("憂鬱的臺灣烏龜", "忧郁的台湾乌龟"),
    ("ﬁne ①", "fine 1"),
    ("Ⅻ", "xii"),
    ("cafe\u0301", "café"),
    ("１，０００", "1000"),
    ("1,234,567", "1234567"),
]


@pytest.mark.parametrize(("text", "other"), SAME)
def test_two_ways_of_writing_the_same_have_the_same_terms(text: str, other: str) -> None:
    assert terms_of(text) == terms_of(other)


@given(st.text(max_size=100))
def test_upper_and_lower_case_and_width_have_the_same_terms(text: str) -> None:
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
    assert terms_of(wide) == terms_of(text)


@given(st.text(max_size=100))
def test_no_term_of_any_text_is_empty_or_has_white_space(text: str) -> None:
    assert all(term and term == "".join(term.split()) for term in terms_of(text))


def test_a_text_that_is_folded_is_lower_case_and_plain_ascii_stays_what_it_is() -> None:
    assert fold("Plain ASCII_1") == "plain ascii_1"
    assert fold("ÀÉ 國") == "ae 国"


NUMBERS = [
    ("nineteen", "19"),
    ("十九", "19"),
    ("twenty-one", "21"),
    ("half a million", "500000"),
    ("3.5万", "35000"),
    ("3.5萬", "35000"),
    ("$35k", "35000"),
    ("30 percent", "30%"),
    ("百分之三十", "30%"),
    ("second quarter", "q2"),
    ("二〇二三年", "2023"),
    ("on 24 January 1984", "d1984-01-24"),
    ("1984年1月24日", "d1984-01-24"),
    ("1984-01-24", "d01-24"),
    ("dozens of dozen", "12"),
    ("壹萬貳仟", "12000"),
]


@pytest.mark.parametrize(("text", "expected"), NUMBERS)
def test_numbers_and_dates_give_what_they_come_to_besides_their_words(text: str, expected: str) -> None:
    terms = terms_of(text)
    assert expected in terms
    assert len(terms) > 1


@pytest.mark.parametrize("text", ["first", "the third man", "第一", "三个人", "5 of 7", "2nd"])
def test_single_digits_are_not_made_of_words(text: str) -> None:
    assert not {term for term in terms_of(text) if len(term) == 1 and term.isdigit()} - set(text)


@pytest.mark.parametrize("text", ["19", "2023", "1,234.50", "19 and 2023"])
def test_what_stands_in_plain_digits_is_not_repeated(text: str) -> None:
    terms = terms_of(text)
    assert len(terms) == len(set(terms))


@pytest.mark.parametrize("word", [*SMALL, *LARGE])
def test_each_word_that_spells_a_number_is_noticed(word: str) -> None:
    for text in (word, f"A {word} a", f"two hundred {word}", f"{word} percent"):
        assert {number for number in number_terms(text) if len(number) > 1} <= set(terms_of(text))


@given(st.text(alphabet="0159一十百万亿零二第年月日廿%.,- twoenysixhundrjafb", max_size=40))
def test_every_number_of_a_text_is_among_its_terms(text: str) -> None:
    assert {number for number in number_terms(fold(text)) if len(number) > 1} <= set(terms_of(text))


@pytest.mark.parametrize("unit", ["a", "7", "1,", "é", "a\u0301", "ab1"])
def test_a_run_without_an_end_is_cut_to_a_word_of_bounded_length(unit: str) -> None:
    terms = terms_of(unit * 5_000)
    assert all(len(term) <= LONGEST_WORD_CHARACTERS for term in terms)
    assert terms == terms_of(unit * 6_000)


@pytest.mark.parametrize(
    ("term", "is_single"), [("孔", True), ("カ", True), ("孔乙", False), ("a", False), ("1", False)]
)
def test_single_characters_of_unspaced_scripts_are_told_from_other_terms(term: str, is_single: bool) -> None:
    assert is_single_character(term) is is_single
