"""Documents are cut where their own text ends something, into few parts of like size, and nothing is lost between them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.answering.parts import (
    MOST_DOCUMENTS_IN_CALL,
    Part,
    Pieces,
    ReadableDocument,
    cut_into_parts,
    frame_tokens,
    halve_part,
    share_calls,
    span_in_words,
)
from bookwheel.tokens import count_tokens
from support.note_engine import markdown_document, text_of

FRAME = frame_tokens("paper")


async def unread(_: Part) -> str:
    raise AssertionError("cutting reads no text")


def document(tokens: list[int], headings: dict[int, int] | None = None, title: str = "paper") -> ReadableDocument:
    """Passages of these sizes, ten characters each, passages by number beginning with headings of a level."""
    starts = np.arange(len(tokens), dtype=np.uint32) * 10
    levels = np.array([(headings or {}).get(number, 0) for number in range(len(tokens))], np.uint8)
    sizes = np.array(tokens, np.uint16)
    pieces = Pieces(starts, starts + np.uint32(10), sizes, levels, lambda offset: f"page {1 + offset // 100}")
    return ReadableDocument(title, f"key of {title}", pieces, unread)


def test_a_document_that_fits_is_one_whole_part() -> None:
    [part] = cut_into_parts([document([50] * 20)], 1_000 + FRAME)
    assert (part.start, part.end, part.tokens, part.is_whole) == (0, 200, 1_000, True)
    assert part.anchors == "page 1 to page 2"
    assert part.called == "paper (page 1 to page 2)"


def test_parts_of_a_document_are_of_like_size() -> None:
    parts = cut_into_parts([document([50] * 24)], 1_000 + FRAME)
    assert [part.tokens for part in parts] == [600, 600]
    assert not any(part.is_whole for part in parts)


def test_a_part_begins_at_a_heading_near_its_even_share() -> None:
    parts = cut_into_parts([document([50] * 24, {10: 1})], 1_000 + FRAME)
    assert [part.tokens for part in parts] == [500, 700]


def test_a_heading_of_a_chapter_comes_before_one_of_a_section() -> None:
    parts = cut_into_parts([document([50] * 24, {11: 3, 13: 1})], 1_000 + FRAME)
    assert parts[1].first_passage == 13


def test_no_heading_makes_one_more_part_necessary() -> None:
    parts = cut_into_parts([document([50] * 40, {15: 1})], 1_000 + FRAME)
    assert [part.tokens for part in parts] == [1_000, 1_000]


def test_a_passage_larger_than_the_room_is_a_part_by_itself() -> None:
    parts = cut_into_parts([document([50, 900, 50])], 300 + FRAME)
    assert [part.tokens for part in parts] == [50, 900, 50]


def test_an_empty_document_has_no_parts() -> None:
    assert cut_into_parts([document([])], 1_000) == []


def test_what_stands_between_passages_counts() -> None:
    pieces = document([10, 10]).pieces
    apart = Pieces(pieces.starts * 4, pieces.starts * 4 + 10, pieces.tokens, pieces.levels, pieces.anchor_at)
    [part] = cut_into_parts([ReadableDocument("paper", "key", apart, unread)], 1_000)
    assert part.tokens == 10 + 30 // 3 + 10


@given(
    st.lists(st.lists(st.integers(1, 80), max_size=60), max_size=4),
    st.dictionaries(st.integers(0, 60), st.integers(1, 6)),
    st.integers(80, 900),
)
def test_parts_lose_nothing_and_keep_to_the_room(sizes: list[list[int]], headings: dict[int, int], room: int) -> None:
    documents = [document(tokens, headings) for tokens in sizes]
    parts = cut_into_parts(documents, room + FRAME)
    for number, tokens in enumerate(sizes):
        own = [part for part in parts if part.document == number]
        passages = [p for part in own for p in range(part.first_passage, part.end_passage)]
        assert passages == list(range(len(tokens)))
        assert [part.start for part in own] == [0, *(part.end for part in own)][: len(own)]
        assert all(part.tokens <= room for part in own)


def test_small_documents_share_a_call() -> None:
    documents = [document([50], title=f"note {number}") for number in range(40)]
    calls = share_calls(cut_into_parts(documents, 4_000), 4_000)
    assert [len(call) for call in calls] == [MOST_DOCUMENTS_IN_CALL, MOST_DOCUMENTS_IN_CALL, 8]
    assert [part.document for call in calls for part in call] == list(range(40))


def test_a_large_document_keeps_its_calls_to_itself() -> None:
    documents = [document([50], title="a"), document([50] * 30, title="b"), document([50], title="c")]
    calls = share_calls(cut_into_parts(documents, 1_000), 1_000)
    assert sorted([part.title for part in call] for call in calls) == [["a", "c"], ["b"], ["b"]]


@given(st.lists(st.integers(1, 400), max_size=80), st.integers(300, 2_000))
def test_a_shared_call_keeps_to_the_room(sizes: list[int], room: int) -> None:
    documents = [document([size], title="paper") for size in sizes]
    calls = share_calls(cut_into_parts(documents, room), room)
    shared = [call for call in calls if len(call) > 1]
    assert all(sum(part.tokens + FRAME for part in call) <= room for call in shared)
    assert sorted(part.document for call in calls for part in call) == list(range(len(sizes)))


def test_a_part_is_halved_at_a_heading_near_its_middle() -> None:
    readable = document([50] * 60, {11: 2, 33: 1, 47: 1})
    parts = cut_into_parts([readable], 1_000 + FRAME)
    first, second = halve_part(parts[1], readable)
    assert (first.first_passage, second.end_passage) == (parts[1].first_passage, parts[1].end_passage)
    assert (first.start, first.end, second.end) == (parts[1].start, second.start, parts[1].end)
    assert first.tokens + second.tokens == parts[1].tokens
    assert halve_part(parts[0], readable)[1].first_passage == 11


@given(st.lists(st.integers(1, 80), min_size=2, max_size=60))
def test_halves_hold_all_of_a_part(sizes: list[int]) -> None:
    readable = document(sizes)
    [whole] = cut_into_parts([readable], 10_000)
    first, second = halve_part(whole, readable)
    assert 0 < first.end_passage == second.first_passage < second.end_passage == len(sizes)


def test_a_single_passage_is_not_halved() -> None:
    readable = document([50])
    [whole] = cut_into_parts([readable], 10_000)
    assert halve_part(whole, readable) == ()


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [("page 3", "page 9", "page 3 to page 9"), ("page 3", "page 3", "page 3"), ("", "", ""), ("", "row 2", "row 2")],
)
def test_two_anchors_are_said_as_one(first: str, last: str, said: str) -> None:
    assert span_in_words(first, last) == said


async def test_the_parts_of_an_indexed_document_hold_all_of_its_text(tmp_path: Path) -> None:
    chapters = [f"# Chapter {n}\n\n" + f"第{n}章写的是很久以前的事。It was {n} days ago.\n\n" * 30 for n in range(1, 9)]
    readable = markdown_document(tmp_path, "book.md", "".join(chapters))
    parts = cut_into_parts([readable], 1_500)
    whole = (tmp_path / "text").read_text("utf-8")
    assert await text_of(readable, parts) == whole.rstrip()
    assert [await readable.read(part) for part in parts] == [whole[part.start : part.end] for part in parts]


async def test_the_parts_of_a_book_begin_with_its_chapters(tmp_path: Path) -> None:
    chapters = [f"# Chapter {n}\n\n" + f"It was {n} days ago that the ship had left.\n\n" * 60 for n in range(1, 9)]
    readable = markdown_document(tmp_path, "book.md", "".join(chapters))
    parts = cut_into_parts([readable], 2_000)
    texts = [await readable.read(part) for part in parts]
    assert len(parts) > 2
    assert all(text.lstrip().startswith("# Chapter") for text in texts)
    assert all(
        abs(part.tokens - count_tokens(text)) <= 0.1 * part.tokens for part, text in zip(parts, texts, strict=True)
    )
