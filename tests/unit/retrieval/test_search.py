"""A question finds the passages that answer it, in documents of either language, within its budget."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.indexing.shelf import IndexedDocument
from bookwheel.retrieval.collection import Run
from bookwheel.retrieval.question import Question
from bookwheel.retrieval.scoring import NEAR_WINDOWS, WIDE_WINDOWS
from bookwheel.retrieval.search import WIDE_BUDGET_TOKENS, Search, Searchable, warm_up
from bookwheel.retrieval.selection import Costs
from support.made_documents import document_of, free_costs

RAIN = [f"On day {number} rain fell, and nobody went out to the field or to the mill." for number in range(100, 140)]
SNOW = [f"第{number}天下雪，没有人到田里去，也没有人到河边去。" for number in range(100, 140)]
A_FEW = 120
"""Tokens that hold a few of these passages."""


@dataclass(frozen=True)
class Found:
    """What was picked of each document, and the support."""

    runs: list[list[Run]]
    support: float


def search(searchable: Searchable, question: Question, budget_tokens: int, costs: Costs) -> Found:
    begun = Search(searchable, question, budget_tokens, costs)
    return Found(begun.pick(budget_tokens), begun.support())


def find(documents: Sequence[IndexedDocument], question: str, budget_tokens: int = A_FEW, *earlier: str) -> Found:
    return search(Searchable(documents), Question(question, earlier), budget_tokens, free_costs(documents))


def texts_of(documents: Sequence[IndexedDocument], found: Found) -> list[str]:
    return [
        document.passages_text(number, number)
        for document, runs in zip(documents, found.runs, strict=True)
        for run in runs
        for number in range(run.first, run.last + 1)
    ]


def shown(documents: Sequence[IndexedDocument], question: str, *earlier: str) -> str:
    return "\n".join(texts_of(documents, find(documents, question, A_FEW, *earlier)))


def among(lines: list[str], *parts: str, title: str = "a.txt") -> IndexedDocument:
    return document_of(*lines[:20], *parts, *lines[20:], title=title)


@pytest.mark.parametrize(
    ("lines", "held", "question"),
    [
        (RAIN, "The heron of Uffington stands on one leg.", "Where does the heron stand?"),
        (SNOW, "乌镇的水车有八根辐条。", "请问水车有多少根辐条？"),
        (SNOW, "乌镇的水车有八根辐条。", "水車有幾根輻條？"),
        (RAIN, "The fee for 2023 was 40 crowns.", "What was the fee in FY2023?"),
        (RAIN, "Inventories came to 40 crowns.", "What is the quick ratio?"),
        (RAIN, "There was a waterwheel.", "Who owned a water-wheel?"),
    ],
)
def test_the_passage_that_answers_is_found(lines: list[str], held: str, question: str) -> None:
    assert held in shown([among(lines, held)], question)


def test_a_misspelt_word_finds_the_passage_of_the_right_spelling() -> None:
    document = among(RAIN, "The organizer was Zuckerberg.")
    assert "Zuckerberg" in shown([document], "Who was Zukerberg?")


def test_a_word_that_is_known_is_not_respelled() -> None:
    documents = [document_of(*RAIN[:20], "A certain Zukerberg left.", *RAIN[20:], "Then Zuckerberg came.")]
    passages = texts_of(documents, find(documents, "Who was Zukerberg of Xanadulu?"))
    assert "A certain Zukerberg left." in passages
    assert "Then Zuckerberg came." not in passages


def test_a_word_that_is_spelled_like_too_many_is_not_respelled() -> None:
    many = ["granite", "grandee", "granatt", "grenade", "grenado", "granadi", "granodo"]
    documents = [document_of(*RAIN, *(f"Then {word} came." for word in many))]
    assert "came" not in shown(documents, "What is a gronodi?")


def test_a_question_may_be_answered_in_the_passage_beside() -> None:
    document = among(RAIN, "The heron of Uffington came.", "So it stood on one leg till noon.")
    assert "one leg till noon" in shown([document], "When did the heron of Uffington come?")


def test_the_file_whose_title_is_named_is_preferred() -> None:
    documents = [
        among(RAIN, "The fee was 40 crowns.", title=f"{name} lease.txt") for name in ("Alder", "Birch", "Cedar")
    ]
    assert [bool(runs) for runs in find(documents, "What is the fee in the Birch lease?", 20).runs] == [
        False,
        True,
        False,
    ]


def test_what_stands_under_the_heading_that_is_named_is_found() -> None:
    document = among(RAIN, "# Marsh herons", "They stand on one leg.", "# Reeds", "They stand on none.")
    assert "on one leg" in shown([document], "How do marsh herons stand?")


@pytest.mark.parametrize(
    ("lines", "first", "second", "question"),
    [
        (
            RAIN,
            "The mill was built by Ada Holm.",
            "Ada Holm grew up in Delft.",
            "Which town did the builder of the mill grow in?",
        ),
        (SNOW, "磨坊由《潮水之书》的作者所建。", "《潮水之书》在乌镇印成。", "磨坊的建造者的作品叫什么？"),
    ],
)
def test_a_second_hop_is_found_through_a_name(lines: list[str], first: str, second: str, question: str) -> None:
    documents = [among(lines, first), among(lines, second, title="b.txt")]
    assert {first, second} <= set(texts_of(documents, find(documents, question)))


@pytest.mark.parametrize(
    ("lines", "first", "heading", "second", "question"),
    [
        (RAIN, "The mill was built by Ada Holm.", "# Ada Holm", "She was born in Delft.", "Who built the mill?"),
        (SNOW, "磨坊是霍尔木建造的。", "# 霍尔木", "生于代尔夫特。", "磨坊是谁建造的？"),
    ],
)
def test_a_second_hop_is_found_through_the_heading_of_a_section(
    lines: list[str], first: str, heading: str, second: str, question: str
) -> None:
    documents = [among(lines, first), document_of(*lines, heading, second, title="b.txt")]
    assert second in shown(documents, question)


def test_a_follow_up_finds_what_its_conversation_was_about() -> None:
    mills = [f"The mill of {town} is {height} feet tall." for town, height in (("Gouda", 40), ("Delft", 50))]
    document = document_of(mills[0], *RAIN, mills[1])
    for town, mill in (("Gouda", mills[0]), ("Delft", mills[1])):
        assert texts_of([document], find([document], "How tall is it?", 18, f"Who owns the mill of {town}?")) == [mill]


TALK = [f"Ann: So we go on to matter {number}.\nBob: And then we see." for number in range(100, 200)]
BUDGET = "Ann: The budget.\nBob: A budget?"


def test_in_a_conversation_what_is_said_around_counts() -> None:
    """A budget is spoken of once near the beginning, and three times later on."""
    lines = [*TALK[:20], BUDGET, *TALK[20:60], BUDGET, *TALK[60:63], BUDGET, *TALK[63:66], BUDGET, *TALK[66:]]
    document = document_of(*lines)
    assert document.index.is_conversation
    searchable = Searchable([document])
    assert searchable.in_conversation == [0]
    numbers = numbers_of(search(searchable, Question("What of the budget?"), 400, free_costs([document])))
    late = sum(number > 45 for number in numbers)
    searchable.in_conversation = []
    otherwise = numbers_of(search(searchable, Question("What of the budget?"), 400, free_costs([document])))
    assert late > sum(number > 45 for number in otherwise)
    assert late > 0.8 * len(numbers)


def numbers_of(found: Found) -> list[int]:
    """The passages of the only document that were found."""
    return [number for run in found.runs[0] for number in range(run.first, run.last + 1)]


def test_statistics_are_those_of_the_documents_of_the_request() -> None:
    herons = document_of(*["A heron stands there."] * 30, "A heron and a reed.", title="b.txt")
    document = document_of("A heron came.", "A reed bent.", *RAIN)
    question = "heron reed"
    alone, beside_herons = (find(documents, question, 5).runs[-1] for documents in ([document], [herons, document]))
    assert alone
    assert [run.first for run in beside_herons] in ([1], [])


HELD = among(RAIN, "The heron of Uffington stands on one leg.", "The keeper of Delft sleeps.")


@pytest.mark.parametrize(
    ("question", "least", "most"),
    [
        ("Where does the heron of Uffington stand?", 1, 1),
        ("What is the boiling point of tungsten?", 0, 0),
        ("Is the heron of Uffington purple?", 0.5, 0.9),
        ("磨坊是谁建造的？", 0, 0),
        ("", 0, 0),
    ],
)
def test_support_is_the_share_of_the_question_that_stands_together(question: str, least: float, most: float) -> None:
    assert least <= find([HELD], question).support <= most


def test_what_stands_apart_supports_less_than_what_stands_together() -> None:
    apart = document_of("The heron came.", *RAIN, "The keeper of Uffington came.")
    together = document_of("The heron came to Uffington.", *RAIN)
    question = "Which heron came to Uffington?"
    assert find([apart], question).support < find([together], question).support == 1


@pytest.mark.parametrize("documents", [[], [document_of()], [document_of(), document_of("* * *", title="b.txt")]])
def test_of_no_passages_none_is_found(documents: list[IndexedDocument]) -> None:
    for question in ("Where is the heron?", ""):
        assert find(documents, question) == Found([[] for _ in documents], 0.0)


def test_a_question_without_words_is_shown_as_much_as_there_is_room_for() -> None:
    documents = [document_of(*RAIN)]
    found = find(documents, "?!")
    tokens = documents[0].index.tokens
    spent = sum(int(tokens[run.first : run.last + 1].sum()) for run in found.runs[0])
    assert A_FEW - int(tokens.max()) - 40 < spent <= A_FEW


def test_a_budget_too_small_for_anything_shows_nothing() -> None:
    assert find([HELD], "Where is the heron?", 1).runs == [[]]


def test_a_search_goes_on_with_a_larger_budget_and_keeps_what_it_has() -> None:
    begun = Search(Searchable([HELD]), Question("Where does the heron of Uffington stand?"), A_FEW, free_costs([HELD]))
    picked = [numbers_of(Found(begun.pick(budget_tokens), begun.support())) for budget_tokens in (20, A_FEW, 10**6)]
    assert set(picked[0]) < set(picked[1]) < set(picked[2])
    assert picked[2] == list(range(len(HELD.index)))


def test_a_large_budget_looks_for_paragraphs() -> None:
    searchable = Searchable([HELD])
    small, large = searchable.scorer(WIDE_BUDGET_TOKENS - 1), searchable.scorer(WIDE_BUDGET_TOKENS)
    assert small is searchable.scorer(100)
    assert large is not small
    assert {NEAR_WINDOWS, WIDE_WINDOWS} == {small._windows, large._windows}


def test_a_text_stands_for_itself_under_its_outermost_heading() -> None:
    searchable = Searchable([document_of("# A", "One.", "Two.", "## B", "Three.", "# C", "Four."), document_of(*RAIN)])
    assert searchable.unit_sizes[:4].tolist() == [3, 3, 3, 1]
    assert searchable.unit_sizes[searchable.collection.stretch_of(1)].tolist() == [len(RAIN)] * len(RAIN)
    sections = searchable.sections[searchable.collection.lengths > 0]
    assert np.all(np.diff(sections) >= 0)
    assert len(set(sections.tolist())) == 4
    assert set(searchable.sections[searchable.collection.lengths == 0].tolist()) == {-1}


def test_what_the_first_question_needs_is_made_before() -> None:
    warm_up()
    warm_up()


TEXTS = st.lists(st.text(alphabet="Aa b.C《书》12轮\n", max_size=40), max_size=6)


@given(st.lists(TEXTS, max_size=3), st.text(alphabet="Aa b书轮12?", max_size=12), st.integers(0, 80))
def test_any_question_to_any_documents_is_answered_alike_twice(
    texts: list[list[str]], question: str, budget: int
) -> None:
    documents = [document_of(*parts, title=f"{number}.txt") for number, parts in enumerate(texts)]
    found = find(documents, question, budget)
    assert found == find(documents, question, budget)
    assert len(found.runs) == len(documents)
    assert 0 <= found.support <= 1
    for document, runs in zip(documents, found.runs, strict=True):
        assert all(0 <= run.first <= run.last < len(document.index) for run in runs)
