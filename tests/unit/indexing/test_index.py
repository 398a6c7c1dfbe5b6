"""An index says of a document where its passages, sections and terms stand, and is the same for the same document."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.document import BlockKind, BlockSpan
from bookwheel.indexing.index import (
    MOST_NAME_TERMS,
    TOLD_BY_CHARACTERS,
    Index,
    build_index,
    content_key,
    is_conversation,
    name_key,
)
from bookwheel.indexing.postings import hash_terms
from bookwheel.indexing.spellings import skeleton
from bookwheel.terms import terms_of

TEXT = "Wheels 🎡\n\nThe wheel turns, 潮水七点转向。\n\n[page 2]\n\nReeds\n\nThe heron stands at half past nineteen.\n"
KINDS = {"Wheels": BlockKind.HEADING, "Reeds": BlockKind.HEADING, "[page": BlockKind.MARK}


def index_of(text: str = TEXT, title: str = "tide.txt") -> Index:
    """The index of a document whose paragraphs are its blocks, on pages from 1."""
    blocks, start, page = [], 0, 1
    for part in text.split("\n\n"):
        end = min(len(text), start + len(part) + 2)
        kind = KINDS.get(part.partition(" ")[0], BlockKind.PARAGRAPH)
        page += kind is BlockKind.MARK
        blocks.append(BlockSpan(start, end, kind, int(kind is BlockKind.HEADING), f"page {page}"))
        start = end
    return build_index(text, blocks, title)


def places(index: Index, term: str) -> list[int]:
    number = int(index.words.find(hash_terms([term]))[0])
    return index.words.of(number)[0].tolist() if number >= 0 else []


def test_each_passage_is_found_by_its_terms() -> None:
    index = index_of()
    shown = [TEXT[start:end] for start, end in zip(index.starts.tolist(), index.ends.tolist(), strict=True)]
    assert shown == [
        "Wheels 🎡\n\nThe wheel turns, 潮水七点转向。",
        "Reeds\n\nThe heron stands at half past nineteen.",
    ]
    for number, text in enumerate(shown):
        assert all(number in places(index, term) for term in terms_of(text))
        assert index.lengths[number] == len(terms_of(text))
    assert places(index, "19") == [1]
    assert places(index, "granit") == []


def test_passages_stand_at_their_bytes() -> None:
    index, encoded = index_of(), TEXT.encode()
    for number in range(len(index)):
        shown = encoded[int(index.byte_starts[number]) : int(index.byte_ends[number])].decode()
        assert shown == TEXT[int(index.starts[number]) : int(index.ends[number])]


def test_sections_are_found_by_their_headings() -> None:
    index = index_of()
    assert [section.heading_path for section in index.sections] == [(), ("Wheels 🎡",), ("Reeds",)]
    number = int(index.headings.find(hash_terms(terms_of("reed")))[0])
    assert index.headings.of(number)[0].tolist() == [2]
    assert index.section_of.tolist() == [1, 2]


def test_a_place_has_the_anchor_of_its_block() -> None:
    index = index_of()
    assert index.block_at(0) == ("page 1", 0)
    heron = TEXT.index("The heron")
    assert index.block_at(heron + 3) == ("page 2", heron)
    assert index.block_at(len(TEXT) + 100) == ("page 2", heron)


def test_a_place_has_its_passage_or_the_last_before_it() -> None:
    index = index_of()
    assert [index.passage_at(offset) for offset in (0, 5, TEXT.index("Reeds") - 1, TEXT.index("Reeds"), 10**6)] == [
        *(0, 0, 0, 1, 1)
    ]


@pytest.mark.parametrize(
    ("title", "terms"),
    [
        ("Annual Report 2023.pdf", {"annual", "report", "2023"}),
        ("Report v1.2 of the final draft", {"report", "v1.2", "final"}),
        ("2024年报.docx", {"2024", "年报"}),
        ("archive/costs.xlsx", {"archiv", "cost"}),
        ("", set()),
    ],
)
def test_a_document_is_found_by_its_name_without_the_extension(title: str, terms: set[str]) -> None:
    found = set(index_of(title=title).title_terms.tolist())
    assert set(hash_terms(terms).tolist()) <= found
    assert not set(hash_terms(["pdf", "docx", "xlsx"]).tolist()) & found


@pytest.mark.parametrize("text", ["", " \n\n \n"])
def test_a_document_of_nothing_has_an_index_of_nothing(text: str) -> None:
    for blocks in ([], [BlockSpan(0, len(text), BlockKind.PARAGRAPH, 0, "line 1")]):
        index = build_index(text, blocks, "a.txt")
        assert len(index) == 0
        assert places(index, "wheel") == []
        assert index.passage_at(0) == 0
        assert index.block_at(0) == (("line 1", 0) if blocks else ("", 0))
        assert [section.heading_path for section in index.sections] == [()]


def test_the_key_is_that_of_the_text_and_the_title() -> None:
    assert index_of().key == index_of().key == content_key(TEXT, "tide.txt")
    assert len({index_of(title=title).key for title in ("a", "b")} | {index_of("Other").key}) == 3


@given(st.text(alphabet="ab 。潮水🎡\n.", max_size=300))
def test_bytes_and_characters_of_passages_are_of_the_same_text(text: str) -> None:
    index = index_of(text)
    encoded = text.encode()
    for number, (start, end) in enumerate(zip(index.starts.tolist(), index.ends.tolist(), strict=True)):
        assert encoded[int(index.byte_starts[number]) : int(index.byte_ends[number])].decode() == text[start:end]
    assert np.all(index.tokens > 0)


def headed(text: str, *headings: tuple[str, int]) -> Index:
    """The index of a document in which each heading stands above the same text."""
    blocks, whole = [], ""
    for heading, level in headings:
        for kind, part in ((BlockKind.HEADING, heading), (BlockKind.PARAGRAPH, text)):
            shown = part + "\n\n"
            blocks.append(BlockSpan(len(whole), len(whole) + len(shown), kind, level, "page 1"))
            whole += shown
    return build_index(whole, blocks, "a.txt")


def sections_named(index: Index, name: str) -> list[int]:
    number = int(index.names.find(hash_terms([name_key(terms_of(name))]))[0])
    return index.names.of(number)[0].tolist() if number >= 0 else []


@pytest.mark.parametrize(
    ("heading", "names", "no_names"),
    [
        ("The Marsh Heron", ["The Marsh Heron", "marsh herons"], ["heron", "marsh"]),
        ("Marsh heron (bird)", ["Marsh heron", "Marsh heron bird"], ["bird"]),
        ("The Tide （1984）", ["tide", "the tide"], ["1984"]),
        ("1984", ["1984"], []),
        ("A heading of far more words than anything is ever called", [], ["heading", "A heading of"]),
    ],
)
def test_a_section_is_named_by_the_whole_of_its_heading(heading: str, names: list[str], no_names: list[str]) -> None:
    index = headed("They stand.", (heading, 1), ("Others", 1))
    assert all(sections_named(index, name) == [1] for name in names)
    assert all(sections_named(index, name) == [] for name in no_names)
    assert len(terms_of("A heading of far more words than anything")) > MOST_NAME_TERMS


def test_a_chinese_section_is_named_by_the_pairs_of_its_heading() -> None:
    index = headed("立于此。", ("潮水之書", 1))
    assert index.names.find(hash_terms([name_key(["潮水", "水之", "之书"])]))[0] == 0


def test_the_same_name_leads_to_every_section_that_has_it() -> None:
    index = headed("They stand.", ("Herons", 1), ("Reeds", 1), ("Herons", 1))
    assert (sections_named(index, "heron"), sections_named(index, "reed")) == ([1, 3], [2])


def test_a_text_stands_for_itself_with_all_that_is_under_its_outermost_heading() -> None:
    index = headed("They stand.", ("Birds", 1), ("Herons", 2), ("Legs", 3), ("Plants", 1), ("Reeds", 2))
    assert index.units.tolist() == [1, 2, 2, 2, 3, 3]
    assert len(index.units) == len(index.sections)
    assert build_index("", [], "a.txt").units.tolist() == [1]


def test_words_are_found_by_how_they_are_spelled() -> None:
    index = index_of("Zuckerberg met Tchaikovsky.")
    number = int(index.spellings.find(hash_terms([skeleton("zukerburg") or ""]))[0])
    assert index.words.hashes[index.spellings.of(number)[0]].tolist() == hash_terms(["zuckerberg"]).tolist()


TALK = "Ann: So we go on.\nBob: Then we see.\n\n" * 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TALK, True),
        ("安：我们走吧。\n波：再看看。\n" * 3, True),
        ("王局长：我们走吧。\n李处长：再看看。\n" * 3, True),
        (TALK + "They went.\n" * 5, True),
        (TALK + "They went.\n" * 6, False),
        ("Ann: So we go on.\nBob: Then we see.\n" * 2, False),
        ("".join(f"Name {number}: they stand.\n" for number in range(30)), False),
        ("The wheel turns: it is noon.\nIt stops.\n", False),
        (f"{'A rather long way to begin a line of prose'}: it goes on.\n" * 9, False),
        ("", False),
        ("\n \n", False),
    ],
)
def test_a_transcript_is_told_by_those_who_speak(text: str, expected: bool) -> None:
    assert is_conversation(text) is expected
    assert index_of(text).is_conversation is expected


def test_a_transcript_is_told_by_its_beginning() -> None:
    talk = TALK * (1 + TOLD_BY_CHARACTERS // len(TALK))
    assert is_conversation(talk + "They went.\n" * 30_000)
