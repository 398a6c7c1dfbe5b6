"""Words of a trade bring those in which documents state the same."""

import pytest

from bookwheel.retrieval.synonyms import GROUPS, synonyms_of
from bookwheel.terms import terms_of


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("What is the quick ratio?", "current assets"),
        ("CapEx of the year", "purchases of property"),
        ("How much was capital expenditure in FY2023?", "fiscal"),
        ("Who is the CEO?", "chief executive officer"),
        ("What law governs? Give the governing law.", "construed"),
        ("毛利率是多少？", "营业成本"),
        ("公司的营收增长了吗？", "主营业务收入"),
        ("合同何时终止？", "书面通知"),
    ],
)
def test_a_word_of_the_trade_brings_what_documents_say(text: str, stated: str) -> None:
    assert {term for term in terms_of(stated) if len(term) > 1} - {"of"} <= set(synonyms_of(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Where does the heron stand?",
        "The sequel of Epsom",
        "The ceoil and the warrantor",
        "pipes and ships",
        "水车的辐条",
    ],
)
def test_only_whole_words_bring_any(text: str) -> None:
    assert synonyms_of(text) == []


@pytest.mark.parametrize(
    ("written", "otherwise"),
    [
        ("capex", "CAPEX"),
        ("ebitda", "ＥＢＩＴＤＡ"),
        ("自由现金流", "自由現金流"),
        ("资产负债率", "資產負債率"),
        ("营收", "營收"),
        ("违约", "違約"),
    ],
)
def test_neither_case_nor_width_nor_traditional_characters_matter(written: str, otherwise: str) -> None:
    assert synonyms_of(written)
    assert synonyms_of(otherwise) == synonyms_of(written)


def test_what_is_brought_is_no_single_character_and_no_small_word() -> None:
    asked = "quick ratio, gross profit, capex, D&A, PP&E, EPS, return on equity, governing law, party, duration, 毛利率, 营收"
    brought = synonyms_of(asked)
    assert len(set(brought)) > 60
    assert all(len(term) > 1 for term in brought)
    assert not {"and", "of", "the", "in", "by", "to"} & set(brought)


def test_each_group_is_in_the_script_that_it_answers_in() -> None:
    for words, stated in GROUPS:
        assert words.isascii() == stated.isascii(), words
