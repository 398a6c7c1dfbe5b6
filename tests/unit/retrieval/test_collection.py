"""The passages of several documents are one row of numbers, in which terms are found where they stand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.document import BlockKind, BlockSpan
from bookwheel.indexing.index import Index, build_index, name_key
from bookwheel.indexing.postings import hash_terms
from bookwheel.retrieval.collection import PADDING, Collection, Run
from bookwheel.terms import terms_of

WORDS = ["wheel", "reed", "heron", "潮水"]
BODIES = st.lists(st.lists(st.sampled_from(WORDS), max_size=6), max_size=4)


def index_of(*paragraphs: str, title: str = "a.txt") -> Index:
    """The index of a document in which each paragraph is a page, so a passage of its own."""
    blocks, start, text = [], 0, ""
    for paragraph in paragraphs:
        for kind, part in ((BlockKind.MARK, "[page 1]\n\n"), (BlockKind.PARAGRAPH, paragraph + "\n\n")):
            blocks.append(BlockSpan(start, start + len(part), kind, 0, "page 1"))
            text, start = text + part, start + len(part)
    return build_index(text, blocks, title)


def places(collection: Collection, *terms: str) -> list[list[int]]:
    return [found.places.tolist() for found in collection.occurrences(hash_terms(terms))]


def test_passages_of_all_documents_are_numbered_through_with_room_between_documents() -> None:
    collection = Collection([index_of("wheel", "reed"), index_of("reed and reed")])
    assert collection.first.tolist() == [0, 2 + PADDING]
    assert (collection.size, collection.passages) == (3 + 2 * PADDING, 3)
    assert places(collection, "wheel", "reed", "granit") == [[0], [1, 2 + PADDING], []]
    assert collection.occurrences(hash_terms(["reed"]))[0].counts.tolist() == [1.0, 2.0]


def test_tokens_and_lengths_are_those_of_the_passages_and_none_where_there_is_none() -> None:
    indexes = [index_of("the wheel turns"), index_of("reed")]
    collection = Collection(indexes)
    for row, name in ((collection.tokens, "tokens"), (collection.lengths, "lengths")):
        assert row.dtype == np.float32
        assert row.sum() == sum(int(getattr(index, name).sum()) for index in indexes)
        assert np.count_nonzero(row) == 2
        assert row[collection.first].tolist() == [float(getattr(index, name)[0]) for index in indexes]


def test_a_number_belongs_to_its_document() -> None:
    collection = Collection([index_of("wheel", "reed"), index_of(), index_of("heron")])
    numbers = np.array([0, 1, collection.first[2]])
    assert collection.document_of(numbers).tolist() == [0, 0, 2]
    assert [collection.stretch_of(document) for document in range(3)] == [
        slice(0, 2),
        slice(2 + PADDING, 2 + PADDING),
        slice(2 + 2 * PADDING, 3 + 2 * PADDING),
    ]


@pytest.mark.parametrize("indexes", [[], [index_of()], [index_of(), index_of()]])
def test_a_request_without_any_passage_finds_nothing(indexes: list[Index]) -> None:
    collection = Collection(indexes)
    assert collection.passages == 0
    assert places(collection, "wheel") == [[]]
    for stretches in (collection.heading_occurrences, collection.named):
        assert [found.shape for found in stretches(hash_terms(["wheel"]))] == [(0, 2)]
    assert collection.titled(hash_terms(["wheel", "b"])).shape == (2, len(indexes))
    assert collection.runs([]) == [[] for _ in indexes]


def test_a_heading_holds_the_passages_of_its_section_and_of_those_below() -> None:
    text = "# Wheels\nThey turn.\n## Spokes\nThere are eight.\n# Reeds\nThey stand.\n"
    index = build_index(text, [BlockSpan(0, len(text), BlockKind.PARAGRAPH, 0, "line 1")], "a.txt")
    collection = Collection([index_of("wheel"), index])
    first = 1 + PADDING
    wheels, reeds, none = (
        found.tolist() for found in collection.heading_occurrences(hash_terms(["wheel", "reed", "z"]))
    )
    assert wheels == [[first, first + 1], [first + 1, first + 2]]
    assert reeds == [[first + 2, first + 3]]
    assert none == []


def test_a_name_holds_the_passages_right_under_the_heading_that_is_just_it() -> None:
    text = "# The Wheel (1984)\nIt turns.\n# Wheel and reed\nThey stand.\n"
    index = build_index(text, [BlockSpan(0, len(text), BlockKind.PARAGRAPH, 0, "line 1")], "a.txt")
    collection = Collection([index])
    names = [name_key(terms_of(name)) for name in ("Wheel", "the wheel", "wheel and reed", "reed")]
    assert [found.tolist() for found in collection.named(hash_terms(names))] == [[[0, 1]], [[0, 1]], [[1, 2]], []]


def test_documents_are_told_by_their_titles() -> None:
    collection = Collection([index_of("x", title="Annual report 2023.pdf"), index_of("x", title="reeds.txt")])
    titled = collection.titled(hash_terms(["2023", "reed", "wheel"]))
    assert titled.tolist() == [[True, False], [False, True], [False, False]]


def test_neighbours_of_one_document_make_a_run() -> None:
    collection = Collection([index_of("a", "b", "c", "d"), index_of("e"), index_of("f", "g")])
    second, third = collection.first[1:].tolist()
    assert collection.runs([0, 1, 3, second, third, third + 1]) == [
        [Run(0, 1), Run(3, 3)],
        [Run(0, 0)],
        [Run(0, 1)],
    ]


@given(st.lists(BODIES, max_size=4))
def test_a_term_is_found_in_every_passage_that_has_it(documents: list[list[list[str]]]) -> None:
    bodies = [[" ".join(words) for words in body if words] for body in documents]
    collection = Collection([index_of(*body) for body in bodies])
    for word in WORDS:
        expected = [
            first + number
            for first, body in zip(collection.first.tolist(), bodies, strict=True)
            for number, shown in enumerate(body)
            if word in shown.split()
        ]
        assert places(collection, word) == [expected]
