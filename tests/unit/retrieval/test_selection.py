"""Passages are picked for all that a question asks, until a budget is spent and never beyond it."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.indexing.postings import hash_terms
from bookwheel.indexing.shelf import IndexedDocument
from bookwheel.retrieval import selection as selection_module
from bookwheel.retrieval.links import Link, Links
from bookwheel.retrieval.scoring import Gains, Scorer
from bookwheel.retrieval.search import Searchable
from bookwheel.retrieval.selection import LEAST_LEFT_TOKENS, Beside, Costs, Selection
from bookwheel.tokens import count_tokens
from support.made_documents import document_of, free_costs

WORDS = ("wheel", "reed", "heron", "潮水")
DOCUMENTS = st.lists(
    st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=20).map(" ".join), max_size=12), max_size=4
)
ALONE = ((0, 1.0),)
PLENTY = 10**6


class Desk:
    """Documents that are picked from, each passage by its own terms alone."""

    def __init__(self, documents: Sequence[IndexedDocument]) -> None:
        self.documents = documents
        self.searchable = Searchable(documents)
        self.scorer = Scorer(self.searchable.collection, ALONE)

    def select(
        self, terms: Sequence[str], costs: Costs | None = None, added: dict[int, float] | None = None
    ) -> Selection:
        gains = self.scorer.gains(hash_terms(terms))
        size = self.searchable.collection.size
        beside = Beside(
            np.zeros(size, np.float32),
            np.ones(size, np.float32),
            self.searchable.unit_sizes,
            self.searchable.sections,
        )
        for number, score in (added or {}).items():
            beside.added[number] = score
        links = Links(self.scorer, self.documents, terms)
        return Selection(
            self.scorer, Gains(gains.rows, gains.weights), beside, links, costs or free_costs(self.documents)
        )

    def cost(self, picked: list[int], costs: Costs) -> float:
        """What it takes to show passages, where all of a document stand at one place."""
        collection = self.searchable.collection
        runs = sum(1 for before, number in pairwise([-2, *picked]) if number != before + 1)
        documents = set(collection.document_of(np.array(picked, np.int64)).tolist())
        frames: float = sum(costs.frames[document] + count_tokens(costs.place(document, 0)) for document in documents)
        return float(collection.tokens[picked].sum()) + costs.mark * runs + frames


def desk_of(*documents: Sequence[str]) -> Desk:
    return Desk([document_of(*parts, title=f"{number}.txt") for number, parts in enumerate(documents)])


def tokens_of(desk: Desk, *passages: int) -> int:
    return int(desk.searchable.collection.tokens[list(passages)].sum())


HERONS = ["a heron stands on one leg", "a reed bends", "a wheel turns at noon", "an old heron waits, and a heron flies"]


def test_the_passages_that_have_most_of_the_question_are_picked() -> None:
    desk = desk_of(HERONS)
    selection = desk.select(["wheel"])
    assert selection.pick(tokens_of(desk, 2), []) == [2]
    assert desk.select(["heron"]).pick(tokens_of(desk, 3), []) == [3]


def test_picks_spread_over_the_terms_of_the_question() -> None:
    wheels, reeds = ["a wheel of granite", "so it is"] * 3, ["a reed bends", "so it is"] * 3
    selection = desk_of([*wheels, *reeds]).select(["wheel", "granit", "reed"])
    selection.pick(PLENTY, [])
    assert selection.picked[0] < len(wheels) <= selection.picked[1]


def test_what_is_picked_comes_in_the_order_of_the_documents() -> None:
    selection = desk_of(HERONS, HERONS).select(["wheel", "heron"])
    picked = selection.pick(PLENTY, [])
    assert picked == sorted(selection.picked)
    assert selection.picked != picked


def test_a_large_budget_is_filled_with_what_is_left() -> None:
    desk = desk_of([*HERONS, "* * *"], HERONS)
    assert desk.select(["wheel"]).pick(PLENTY, []) == np.flatnonzero(desk.scorer.is_passage).tolist()
    assert desk.select([]).pick(PLENTY, []) == np.flatnonzero(desk.scorer.is_passage).tolist()


def test_a_large_budget_is_filled_beyond_the_first_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection_module, "CANDIDATES", 3)
    desk = desk_of([part for number in range(12) for part in (f"# Mile {number}", "so it is")], HERONS)
    assert desk.select(["wheel"]).pick(PLENTY, []) == np.flatnonzero(desk.scorer.is_passage).tolist()


@pytest.mark.parametrize("documents", [[], [[]], [[], []], [["* * *"]]])
def test_of_no_passages_none_is_picked(documents: list[list[str]]) -> None:
    assert desk_of(*documents).select(["wheel"]).pick(PLENTY, []) == []


def test_a_budget_too_small_for_anything_holds_nothing() -> None:
    desk = desk_of(HERONS)
    assert desk.select(["wheel"]).pick(2, []) == []
    assert desk.select(["wheel"]).pick(0, []) == []
    assert desk.select(["wheel"], Costs([PLENTY], 0, lambda document, passage: "")).pick(1_000, []) == []


def test_a_passage_larger_than_the_budget_is_passed_over_for_one_that_fits() -> None:
    desk = desk_of(["wheel " * 70, "a reed bends", "so a heron waits"])
    assert desk.select(["wheel"]).pick(LEAST_LEFT_TOKENS + 5, []) == [1, 2]


def test_the_neighbour_of_a_pick_comes_before_what_is_as_good_elsewhere() -> None:
    parts = ["so it is", "so it was", "so be it", "the wheel turns", "so it is", "so it was"]
    selection = desk_of(parts).select(["wheel"])
    selection.pick(PLENTY, [])
    assert selection.picked[0] == 3
    assert set(selection.picked[1:3]) == {2, 4}


def test_a_neighbour_in_another_section_is_lent_nothing() -> None:
    selection = desk_of(["so it is", "# Wheels", "the wheel turns", "so it was", "# Reeds", "so it is"]).select(
        ["turn"]
    )
    selection.pick(PLENTY, [])
    assert selection.picked[:2] == [1, 2]


def test_a_passage_counts_more_for_what_is_added_to_it() -> None:
    selection = desk_of(HERONS).select(["wheel"], added={0: 100.0})
    selection.pick(PLENTY, [])
    assert selection.picked[0] == 0


def test_a_section_that_the_question_names_comes_before_the_rest() -> None:
    selection = desk_of(["so it is"] * 5).select([])
    selection.pick(PLENTY, [Link("x", np.array([3]), 2.0)])
    assert selection.picked[0] == 3


FAR = [f"On day {number} rain fell and nothing else took place." for number in range(100, 140)]


@pytest.mark.parametrize(
    ("found", "answer", "term"),
    [
        ("The mill was built by Ada Holm.", "Then Ada Holm settled in Delft.", "mill"),
        ("磨坊由作者在《潮水之书》里写到。", "《潮水之书》印于乌镇。", "磨坊"),
    ],
)
def test_what_a_pick_names_is_picked_next(found: str, answer: str, term: str) -> None:
    selection = desk_of([*FAR[:20], found, *FAR[20:]], [*FAR, answer]).select([term])
    selection.pick(PLENTY, [])
    place = int(selection._collection.first[1]) + len(FAR)
    assert selection.picked[0] == 20
    assert selection.picked.index(place) < 5


def test_late_in_a_large_budget_the_rare_terms_of_the_first_picks_are_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = ["The mill of Uffington stood still.", *FAR, "so uffington sleeps", *FAR]
    wanted = len(FAR) + 1

    def rank() -> int:
        selection = desk_of(lines).select(["mill"])
        selection.pick(PLENTY, [])
        return selection.picked.index(wanted)

    monkeypatch.setattr(selection_module, "LINKING_PICKS", 0)
    without = rank()
    monkeypatch.setattr(selection_module, "LATE_TOKENS", 60)
    assert rank() < 8 < without


def costs_of(documents: Sequence[object], frame: int, mark: int, place: str) -> Costs:
    return Costs([frame] * len(documents), mark, lambda document, passage: place)


@given(
    DOCUMENTS,
    st.integers(0, 300),
    st.integers(0, 40),
    st.integers(0, 10),
    st.sampled_from(["", "Marsh, page 3"]),
    st.lists(st.sampled_from(WORDS), unique=True),
)
def test_frames_marks_places_and_passages_keep_to_the_budget(
    documents: list[list[str]], budget_tokens: int, frame: int, mark: int, place: str, terms: list[str]
) -> None:
    desk = desk_of(*documents)
    costs = costs_of(documents, frame, mark, place)
    selection = desk.select(terms, costs)
    picked = selection.pick(budget_tokens, [])
    assert all(desk.scorer.is_passage[picked])
    assert picked == sorted(set(picked))
    assert desk.cost(picked, costs) <= selection.used_tokens <= budget_tokens
    assert desk.select(terms, costs).pick(budget_tokens, []) == picked


@given(DOCUMENTS, st.integers(0, 300))
def test_what_is_left_of_a_budget_holds_no_passage_or_is_little(documents: list[list[str]], budget_tokens: int) -> None:
    desk = desk_of(*documents)
    selection = desk.select(WORDS)
    picked = selection.pick(budget_tokens, [])
    left = budget_tokens - selection.used_tokens
    others = [number for number in np.flatnonzero(desk.scorer.is_passage).tolist() if number not in picked]
    assert left < LEAST_LEFT_TOKENS or all(tokens_of(desk, number) > left for number in others)
