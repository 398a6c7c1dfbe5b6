"""A citation is a quote that stands in the document at the place it names and supports a sentence of the answer."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.answering.citations import MOST_CITATIONS, cite, line_anchor
from bookwheel.engines.engine import Excerpt, ShownDocument, whole_document

DOCUMENTS = Path(__file__).parents[3] / "demo" / "documents"
CHINESE = whole_document("kong-yiji.txt", (DOCUMENTS / "kong-yiji.txt").read_text("utf-8"), 1, "file-fe-zh")
ENGLISH = whole_document("magi.txt", (DOCUMENTS / "the-gift-of-the-magi.txt").read_text("utf-8"), 1, "file-fe-en")
BOTH = (CHINESE, ENGLISH)


def text_of(document: ShownDocument) -> str:
    return "".join(excerpt.text for excerpt in document.excerpts)


LINES = [line_anchor(text_of(document)) for document in BOTH]

SUPPORTED = [
    ("He sold the watch to buy her combs.", "What did Jim do?", "I sold the watch to get the money to buy your combs."),
    ("The chain was of platinum, simple and chaste in design.", "What is the chain like?", "platinum fob chain"),
    ("They invented the art of giving presents.", "Who were the magi?", "They invented the art of giving"),
    ("孔乙己还欠十九个钱。", "他欠多少？", "孔乙己还欠十九个钱"),
    ("他是站着喝酒而穿长衫的唯一的人。", "他是谁？", "孔乙己是站着喝酒而穿长衫的唯一的人。"),
]


@pytest.mark.parametrize(("answer", "question", "quote"), SUPPORTED)
def test_a_sentence_is_cited_with_the_sentence_it_rests_on(answer: str, question: str, quote: str) -> None:
    [citation] = cite(answer, question, BOTH, LINES)
    assert quote in citation.quote
    assert answer[citation.answer_start : citation.answer_end] == answer
    assert citation.file_id == (ENGLISH.file_id if answer.isascii() else CHINESE.file_id)


UNSUPPORTED = [
    "The reactor melted after the pumps failed.",
    "Photosynthesis converts sunlight into sugar.",
    "火星探测器昨晚顺利着陆。",
    "营业收入同比增长百分之八。",
    "?!",
    "",
]


@pytest.mark.parametrize("answer", UNSUPPORTED)
def test_a_sentence_that_nothing_supports_is_not_cited(answer: str) -> None:
    assert cite(answer, "What happened?", BOTH, LINES) == []


def test_among_several_sentences_only_the_supported_are_cited() -> None:
    answer = "He sold the watch to buy combs. The reactor melted. 孔乙己还欠十九个钱。"
    cited = [answer[c.answer_start : c.answer_end] for c in cite(answer, "What happened?", BOTH, LINES)]
    assert cited == ["He sold the watch to buy combs.", "孔乙己还欠十九个钱。"]


def test_a_quote_is_given_once() -> None:
    citations = cite("He sold the watch to buy combs. To buy combs, he sold the watch.", "What?", BOTH, LINES)
    assert len(citations) == len({citation.start for citation in citations}) == 1


def test_citations_are_bounded() -> None:
    answer = text_of(ENGLISH)
    assert 0 < len(cite(answer, "All of it?", (ENGLISH,), LINES[1:])) <= MOST_CITATIONS


def test_an_answer_over_no_documents_has_no_citations() -> None:
    assert cite("Jim sold his watch.", "What?", (), ()) == []


@given(
    st.text(alphabet="ab .。\n\t字!", max_size=120),
    st.text(alphabet="ab .。\n字!", max_size=60),
    st.text("ab字", max_size=9),
)
def test_every_quote_stands_where_it_says(text: str, answer: str, question: str) -> None:
    for citation in cite(answer, question, (whole_document("t", text, 1),), [line_anchor(text)]):
        assert citation.quote == text[citation.start : citation.end] != ""
        assert 0 <= citation.answer_start < citation.answer_end <= len(answer)
        assert citation.anchor == f"line {text[: citation.start].count(chr(10)) + 1}"


@pytest.mark.parametrize("document", BOTH, ids=lambda d: d.title)
def test_every_quote_of_a_real_document_stands_in_it(document: ShownDocument) -> None:
    citations = cite(text_of(document)[:5000], "", BOTH, LINES)
    assert len(citations) > 10
    for citation in citations:
        assert citation.filename == document.title
        assert text_of(document)[citation.start : citation.end] == citation.quote


def test_a_quote_has_the_anchor_of_its_block() -> None:
    text = "A plum is a fruit. A stone is none.\n"
    citations = cite(
        "A plum is a fruit. A stone is none.",
        "?",
        (whole_document("t", text, 1),),
        [lambda offset: "page 3" if offset < 18 else "page 4"],
    )
    assert [citation.anchor for citation in citations] == ["page 3", "page 4"]


def test_a_quote_from_an_excerpt_stands_at_its_place_in_the_whole_document() -> None:
    text = text_of(ENGLISH)
    start = text.index("I sold the watch")
    excerpts = (Excerpt(text[:200], 0), Excerpt(text[start : start + 300], start, "page 2"))
    shown = ShownDocument("magi.txt", excerpts, 3000, 120, "file-fe-en")
    [citation] = cite("Jim sold the watch to buy the combs.", "What did Jim do?", (shown,), LINES[1:])
    assert text[citation.start : citation.end] == citation.quote
    assert citation.start >= start
    assert citation.anchor == LINES[1](citation.start)
