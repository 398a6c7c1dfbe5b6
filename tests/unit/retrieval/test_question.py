"""A question counts by what it asks about, and a follow-up by what its conversation was about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.retrieval.question import (
    EARLIER_SHARE,
    FOLLOW_UP_SHARE,
    INSTRUCTION_SHARE,
    META_SHARE,
    MOST_EARLIER,
    PART_SHARE,
    QUOTED_SHARE,
    SYNONYM_SHARE,
    Question,
    telling,
    weigh_terms,
)
from bookwheel.terms import terms_of

TEXTS = st.text(alphabet='ab It?.:"“”-2 书轮谁《》', max_size=40)


def shares_of(text: str, *earlier: str) -> dict[str, float]:
    return weigh_terms(Question(text, earlier))


@pytest.mark.parametrize(
    ("text", "asked", "only_asks"),
    [
        ("What is the height of the mill?", {"height", "mill"}, {"what", "is", "the", "of"}),
        ("请问水车有多少根辐条？", {"水车", "辐条"}, {"请问", "多少"}),
        ("請問水車有多少根輻條？", {"水车", "辐条"}, {"请问", "多少"}),
    ],
)
def test_words_that_only_ask_do_not_count(text: str, asked: set[str], only_asks: set[str]) -> None:
    shares = shares_of(text)
    assert all(shares[term] == 1 for term in asked)
    assert not only_asks & shares.keys()


def test_words_that_speak_of_documents_count_little() -> None:
    shares = shares_of("Does the document mention herons?")
    assert shares == {"document": META_SHARE, "mention": META_SHARE, "heron": 1.0}


@pytest.mark.parametrize("text", ["What is it?", "谁？", "the"])
def test_a_question_of_nothing_but_asking_words_is_searched_as_it_stands(text: str) -> None:
    assert shares_of(text) == dict.fromkeys(terms_of(text), 1.0)


@pytest.mark.parametrize("text", ["", " ?!\n"])
def test_a_question_without_words_has_no_terms(text: str) -> None:
    assert shares_of(text) == {}
    assert telling({}) == []


def test_words_that_instruct_count_little_beside_what_is_asked() -> None:
    shares = shares_of("Please answer with great care. How tall is the mill?")
    assert shares["care"] == shares["great"] == INSTRUCTION_SHARE
    assert shares["mill"] == shares["tall"] == 1


def test_a_sentence_that_is_all_there_is_counts_even_if_it_instructs() -> None:
    assert shares_of("List the herons of Uffington.")["heron"] == 1


@pytest.mark.parametrize("quoted", ["“Tidal Wheel”", '"Tidal Wheel"', "«Tidal Wheel»", "「Tidal Wheel」"])
def test_quoted_words_of_an_instruction_count_double(quoted: str) -> None:
    shares = shares_of(f"Highlight the parts, if any, of this lease related to {quoted} that a lawyer reads.")
    assert shares["tidal"] == shares["wheel"] == QUOTED_SHARE
    assert shares["lawyer"] == INSTRUCTION_SHARE
    assert shares_of(f"Who wrote {quoted}?")["wheel"] == 1


def test_what_an_instruction_says_after_its_colon_is_asked_for_itself() -> None:
    shares = shares_of("Answer the following with yes or no: is the mill made of granite?")
    assert shares["granit"] == shares["mill"] == 1
    assert shares["no"] == INSTRUCTION_SHARE


def test_a_hyphenated_word_is_looked_for_as_one_word_too() -> None:
    shares = shares_of("Where are the water-wheels?")
    assert (shares["water"], shares["wheel"], shares["waterwheel"]) == (1, 1, PART_SHARE)


def test_the_year_in_a_word_is_looked_for_too() -> None:
    shares = shares_of("What was paid in FY2023?")
    assert shares["fy2023"] == shares["2023"] == 1
    assert shares_of("Who sells the abc450?")["450"] == 1


@pytest.mark.parametrize(
    ("text", "term"),
    [("What is the quick ratio?", "inventori"), ("速动比率是多少？", "存货"), ("速動比率是多少？", "存货")],
)
def test_synonyms_count_half(text: str, term: str) -> None:
    assert shares_of(text)[term] == SYNONYM_SHARE


def test_a_word_of_the_question_counts_whole_even_where_it_is_a_synonym_too() -> None:
    assert shares_of("Which inventories enter the quick ratio?")["inventori"] == 1


@pytest.mark.parametrize(
    ("text", "before", "term"),
    [
        ("And how old is it?", "Who built the mill of Uffington?", "uffington"),
        ("Why?", "Who built the mill of Uffington?", "uffington"),
        ("What about the heron of the marsh?", "Who built the mill of Uffington?", "uffington"),
        ("它有多少根辐条和轮子？", "乌镇的水车在哪里？", "水车"),
        ("該輪子有多少根輻條？", "烏鎮的水車在哪裡？", "水车"),
        ("那麼輻條的長度是多少？", "烏鎮的水車在哪裡？", "水车"),
    ],
)
def test_a_follow_up_is_searched_with_the_question_before(text: str, before: str, term: str) -> None:
    shares = shares_of(text, before)
    assert shares[term] == FOLLOW_UP_SHARE
    assert shares.items() >= shares_of(text).items()


def test_a_question_that_stands_alone_is_hardly_searched_with_the_one_before() -> None:
    shares = shares_of("Which herons nest near Delft?", "Who built the mill of Uffington?")
    assert (shares["heron"], shares["mill"]) == (1, EARLIER_SHARE)


def test_what_was_asked_longer_ago_counts_less_and_at_last_nothing() -> None:
    keepers = ["anton", "boris", "clark", "david", "ernst", "frank"]
    earlier = [f"Where does {keeper} live?" for keeper in keepers]
    shares = shares_of("Which herons nest near Delft?", *earlier)
    asked = [shares.get(keeper, 0.0) for keeper in reversed(keepers)]
    assert asked[:MOST_EARLIER] == pytest.approx([EARLIER_SHARE ** (n + 1) for n in range(MOST_EARLIER)])
    assert not any(asked[MOST_EARLIER:])


def test_a_word_asked_before_and_again_counts_as_asked_now() -> None:
    assert shares_of("How tall is the mill?", "Who built the mill?")["mill"] == 1


def test_what_tells_is_neither_a_single_character_nor_a_word_of_asking() -> None:
    assert telling(shares_of("Does the document mention 水车?")) == ["水车"]
    assert telling(shares_of("书")) == ["书"]
    assert telling({"document": META_SHARE}) == ["document"]


@given(TEXTS, st.lists(TEXTS, max_size=3))
def test_every_question_with_words_has_terms_and_none_counts_for_more_than_double(
    text: str, earlier: list[str]
) -> None:
    shares = shares_of(text, *earlier)
    assert bool(shares) >= bool(terms_of(text))
    assert all(0 < share <= QUOTED_SHARE for share in shares.values())
    assert set(telling(shares)) <= shares.keys()
