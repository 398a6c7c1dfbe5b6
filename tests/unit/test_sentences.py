"""A text falls into sentences that stand where they say, and a question finds those that bear on it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.sentences import (
    LONGEST_SENTENCE_CHARACTERS,
    Sentence,
    SentenceIndex,
    is_mostly_cjk,
    question_terms,
    split_sentences,
)
from bookwheel.terms import terms_of

TEXTS = st.text(alphabet="ab Z1.!?;,:\n\t\u3000。！？…”’\"') 孔乙己-$", max_size=200) | st.text(max_size=200)

SPLIT = [
    ("", []),
    (" \n\t\n", []),
    ("One sentence without an end", ["One sentence without an end"]),
    ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
    ("第一句。第二句！第三句？第四句", ["第一句。", "第二句！", "第三句？", "第四句"]),
    ("“他走了。”她说。你呢？！好……", ["“他走了。”", "她说。", "你呢？！", "好……"]),
    ("He said “Go.” She went.", ["He said “Go.”", "She went."]),
    ("He met Mr. Young. Then he left.", ["He met Mr. Young.", "Then he left."]),
    ("A. B. Smith read Fig. 3. It was clear.", ["A. B. Smith read Fig. 3.", "It was clear."]),
    ("It cost $1.87 in all, or 1,000.50 yen. She wept.", ["It cost $1.87 in all, or 1,000.50 yen.", "She wept."]),
    ("version 2.0.1 is out.\nRead on", ["version 2.0.1 is out.", "Read on"]),
    ("some fruit, e.g. plums. Eat", ["some fruit, e.g. plums.", "Eat"]),
    ("A line that\nwraps into another\nand ends. Next", ["A line that\nwraps into another\nand ends.", "Next"]),
    ("A line that\r\nwraps. Next", ["A line that", "wraps.", "Next"]),
    ("Title\n\nFirst paragraph", ["Title", "First paragraph"]),
    ("孔乙己\n鲁迅\n\n第一段", ["孔乙己", "鲁迅", "第一段"]),
    ("- plums\n- pears\n- figs", ["- plums", "- pears", "- figs"]),
    ("| a | 1 |\n| b | 2 |", ["| a | 1 |", "| b | 2 |"]),
    ("Read this; then that; done", ["Read this;", "then that;", "done"]),
]
WIDE = "The man who wrote the book went back to see"

ROWS = [
    "id,name,price\n1,plum,0.50\n2,pear,0.75",
    "plum,0.50\npear,0.75\nfig,1",
    'id,note\n1,"ripe, sweet and soft"\n2,"hard, and green",x,y',
    "plum\t3\npear\t4",
    "a|b\nc|d",
    "plum;3;0.5\npear;4;0.7",
    "plums      30\npears      40\nfigs      50",
    "Net sales 163,220 149,351 138,434\nMembership fees 3,541 3,352 3,142\nTotal revenue 166,761 152,703",
    "Loss (1,200) (800)\nGain 3% 4%",
    "163,220\n149,351\nand more",
]
LISTS = [
    "1. plums\n2. pears\n3. figs",
    "1) plums\n2) pears",
    "(1) plums\n(2) pears\n(a) figs",
    "a) plums\nb) pears",
    "i. plums\nii. pears\niv. figs",
    "* plums\n* pears",
    "Plums\nPears\nFigs",
    "Name: John\nAge: 5\nTown: Delft",
]
WRAPPED = [
    "A line that\nwraps into another\nand ends.",
    f"{WIDE}\nPaul and his sister in town.",
    f"{WIDE}\n“Paul” and his sister in town.",
    f"{WIDE} it in the year\n1984.",
    "It was sold for 1,000, and then\nfor 2,000, to him.",
    "as of December 31, 2020\nand 2019, it was",
    "“yes,” he said,\n    and went.",
    "“yes,” he said\nand “no,” she said.",
]


@pytest.mark.parametrize("text", [*ROWS, *LISTS])
def test_each_row_of_a_table_and_each_item_of_a_list_is_a_sentence_of_its_own(text: str) -> None:
    assert [text[s.start : s.end] for s in split_sentences(text)] == text.split("\n")


@pytest.mark.parametrize("text", WRAPPED)
def test_prose_that_is_wrapped_is_one_sentence(text: str) -> None:
    assert [text[s.start : s.end] for s in split_sentences(text)] == [text]


def test_a_long_table_falls_into_its_rows() -> None:
    rows = [f"{number},name of {number},0.50" for number in range(500)]
    text = "\n".join(rows)
    assert [text[s.start : s.end] for s in split_sentences(text)] == rows


@pytest.mark.parametrize(("text", "expected"), SPLIT)
def test_a_text_falls_into_its_sentences(text: str, expected: list[str]) -> None:
    assert [text[s.start : s.end] for s in split_sentences(text)] == expected


@given(TEXTS, st.integers(0, 9))
def test_sentences_stand_in_order_apart_and_without_white_space_around_them(text: str, source: int) -> None:
    sentences = split_sentences(text, source)
    assert_sound(text, sentences)
    assert all(sentence.source == source for sentence in sentences)


@given(TEXTS)
def test_no_character_but_white_space_is_left_out(text: str) -> None:
    assert "".join("".join(text[s.start : s.end] for s in split_sentences(text)).split()) == "".join(text.split())


@pytest.mark.parametrize("text", ["word " * 1000, "字" * 5000, "a" + " " * 5000 + "b"], ids=["words", "signs", "a gap"])
def test_a_sentence_without_an_end_is_cut(text: str) -> None:
    sentences = split_sentences(text)
    assert all(s.end - s.start <= LONGEST_SENTENCE_CHARACTERS for s in sentences)
    assert_sound(text, sentences)


def test_page_marks_are_no_sentences() -> None:
    text = "[page 1]\n\nThe wheel turns.\n\n[page 2]\n\n[slide 3]\n\nAs [page 4] says, it stops.\n"
    assert [text[s.start : s.end] for s in split_sentences(text)] == ["The wheel turns.", "As [page 4] says, it stops."]


QUESTIONS = [
    ("What is the capital of France?", "capital France"),
    ("Please tell me about the magi.", "magi"),
    ("请问孔乙己是谁？", "孔乙己"),
    ("孔乙己有没有还清欠款吗", "孔乙己 还清欠款"),
    ("What is it?", "what is it"),
    ("谁？", "谁"),
    ("", ""),
]


@pytest.mark.parametrize(("question", "meant"), QUESTIONS)
def test_words_that_only_ask_do_not_count_unless_there_are_no_others(question: str, meant: str) -> None:
    assert question_terms(question) == terms_of(meant)


FRUIT = "The plum is a stone fruit. A pear is a pome fruit. The fig is neither. Plum, plum and plum again."


def test_the_sentence_with_the_rarer_term_scores_higher() -> None:
    assert best(FRUIT, "stone fruit") == "The plum is a stone fruit."
    assert best(FRUIT, "pome fruit") == "A pear is a pome fruit."


def test_a_term_that_comes_more_often_scores_higher() -> None:
    assert best(FRUIT, "plum") == "Plum, plum and plum again."


def test_a_shorter_sentence_scores_higher_for_the_same_terms() -> None:
    text = "The fig is a very old and very sweet and very soft fruit of the south. The fig is sweet."
    assert best(text, "fig") == "The fig is sweet."


def test_a_term_weighs_the_more_the_rarer_it_is() -> None:
    index = SentenceIndex([FRUIT])
    assert index.weight("stone") > index.weight("plum") > 0
    assert index.weight("absent") == 0


def test_sentences_that_share_nothing_have_no_score() -> None:
    index = SentenceIndex([FRUIT])
    assert set(index.scores(terms_of("stone plum"))) == {0, 3}
    assert index.scores(terms_of("granite")) == {}
    assert index.scores([]) == {}


def test_a_term_asked_twice_counts_once() -> None:
    index = SentenceIndex([FRUIT])
    assert index.scores(["plum", "plum"]) == index.scores(["plum"])


def test_neighbours_share_a_score_within_their_own_text_only() -> None:
    index = SentenceIndex(["One apple. Two.", "Three. Four."])
    spread = index.scores_with_neighbours(["appl"])
    assert set(spread) == {0, 1}
    assert spread[0] > spread[1] > 0
    assert 2 not in SentenceIndex(["One. Two apples.", "Three."]).scores_with_neighbours(["appl"])


def test_the_share_of_terms_goes_from_none_to_all() -> None:
    index = SentenceIndex([FRUIT])
    stone_and_plum = index.share_of_terms(0, ["stone", "plum"])
    assert stone_and_plum == pytest.approx(1)
    assert index.share_of_terms(2, ["stone", "plum"]) == 0
    assert 0 < index.share_of_terms(0, ["stone", "granit"]) < 0.5  # a term that nobody has counts as the rarest
    assert index.share_of_terms(0, []) == 0


def test_a_sentence_whose_terms_come_again_stands_for_the_texts() -> None:
    index = SentenceIndex(["The heron waits by the mill. So it goes.", "The heron left the mill. Who knows?"])
    again = [index.recurrence(number) for number in range(4)]
    assert min(again[0], again[2]) > max(again[1], again[3]) == 0


def test_what_every_sentence_has_tells_less_of_the_texts_than_what_some_have() -> None:
    everywhere = [f"Heron {number}." for number in ("one", "two", "three", "four", "five", "six")]
    index = SentenceIndex([" ".join([*everywhere[:4], "Heron mill.", "Heron mill."])])
    assert index.recurrence(4) > index.recurrence(0) > 0


def test_a_long_sentence_stands_for_the_texts_by_its_terms_not_by_its_length() -> None:
    filler = " ".join(f"w{number}" for number in range(60))
    index = SentenceIndex([f"A heron. The heron of {filler}. So it goes."])
    assert index.recurrence(0) > index.recurrence(1) > index.recurrence(2) == 0


def test_an_index_of_nothing_answers_nothing() -> None:
    assert SentenceIndex([]).scores(["a"]) == SentenceIndex(["", " \n"]).scores_with_neighbours(["a"]) == {}


@given(st.lists(TEXTS, max_size=4), TEXTS)
def test_scores_are_positive_and_shares_lie_between_none_and_all(texts: list[str], question: str) -> None:
    index = SentenceIndex(texts)
    terms = question_terms(question)
    for number, score in index.scores_with_neighbours(terms).items():
        assert score > 0
        assert 0 <= index.share_of_terms(number, terms) <= 1 + 1e-9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("孔乙己是谁？", True),
        ("Who is 孔乙己?", True),
        ("Who was Kong in the story 故事?", False),
        ("Who?", False),
        ("", False),
    ],
)
def test_a_text_is_mostly_in_one_kind_of_script(text: str, expected: bool) -> None:
    assert is_mostly_cjk(text) is expected


def best(text: str, question: str) -> str:
    """The sentence with the highest score."""
    index = SentenceIndex([text])
    scores = index.scores(terms_of(question))
    sentence = index.sentences[max(scores, key=lambda number: scores[number])]
    return text[sentence.start : sentence.end]


def assert_sound(text: str, sentences: list[Sentence]) -> None:
    end = 0
    for sentence in sentences:
        quoted = text[sentence.start : sentence.end]
        assert quoted
        assert quoted == quoted.strip()
        assert end <= sentence.start < sentence.end <= len(text)
        end = sentence.end
