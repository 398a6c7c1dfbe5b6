"""A document falls into small passages on natural boundaries that leave nothing out, whatever its text is."""

import base64
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.document import BlockKind, BlockSpan
from bookwheel.indexing.passages import (
    DEEPEST_LEVEL,
    LONGEST_TITLE_CHARACTERS,
    MOST_TOKENS,
    PASSAGE_TOKENS,
    Cutting,
    cut_passages,
)
from bookwheel.tokens import count_for_budget

SENTENCE = "The heron stands in the reeds and waits for the tide. "
KINDS = [kind for kind in BlockKind if kind is not BlockKind.MARK]
PARTS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.text(alphabet="ab Z1.!?,\n\t。，潮水#-", max_size=120) | st.text(max_size=80)),
    max_size=6,
)


def spans(*parts: tuple[BlockKind, str], level: int = 1) -> tuple[str, list[BlockSpan]]:
    """A document of these blocks."""
    made, start = [], 0
    for number, (kind, text) in enumerate(parts):
        depth = level if kind is BlockKind.HEADING else 0
        made.append(BlockSpan(start, start + len(text), kind, depth, f"line {number + 1}"))
        start += len(text)
    return "".join(text for _, text in parts), made


def cut(*parts: tuple[BlockKind, str]) -> tuple[str, Cutting]:
    text, blocks = spans(*parts)
    return text, cut_passages(text, blocks)


def texts(text: str, cutting: Cutting) -> list[str]:
    return [text[p.start : p.end] for p in cutting.passages]


def paragraph(text: str) -> tuple[BlockKind, str]:
    return BlockKind.PARAGRAPH, text


def heading(text: str) -> tuple[BlockKind, str]:
    return BlockKind.HEADING, text


@given(PARTS)
def test_passages_stand_in_order_apart_and_hold_all_that_is_no_white_space(parts: list[tuple[BlockKind, str]]) -> None:
    text, cutting = cut(*parts)
    assert "".join("".join(texts(text, cutting)).split()) == "".join(text.split())
    for passage in cutting.passages:
        shown = text[passage.start : passage.end]
        assert shown
        assert shown == shown.strip()
        assert 0 < passage.tokens <= MOST_TOKENS
        assert 0 <= passage.section < len(cutting.sections)
    assert all(one.end <= next_.start for one, next_ in pairwise(cutting.passages))
    assert all(one.section <= next_.section for one, next_ in pairwise(cutting.passages))


def random_text(kind: str) -> str:
    chance = random.Random(4)
    if kind == "base64":
        return base64.b64encode(chance.randbytes(3_000)).decode()
    alphabets = {
        "digits": "0123456789",
        "hanzi": "".join(map(chr, range(0x4E00, 0x9FA5))),
        "hangul": "".join(map(chr, range(0xAC00, 0xD7A3))),
        "Thai": "".join(map(chr, range(0x0E01, 0x0E2F))),
        "old scripts": "".join(map(chr, range(0x12000, 0x12300))),
        "emoji": "👩👨👧🏽\u200d🎡",
        "anything": "".join(map(chr, range(0x21, 0x2FFF))),
        "half of it spaces": "0 \u3000",
    }
    return "".join(chance.choices(alphabets[kind], k=4_000))


@pytest.mark.parametrize(
    "kind", ["base64", "digits", "hanzi", "hangul", "Thai", "old scripts", "emoji", "anything", "half of it spaces"]
)
def test_no_passage_of_any_text_is_larger_than_it_may_be_and_few_are_small(kind: str) -> None:
    text, cutting = cut(paragraph(random_text(kind)))
    counted = [count_for_budget(shown) for shown in texts(text, cutting)]
    assert max(counted) <= MOST_TOKENS
    assert sum(counted) / len(counted) > PASSAGE_TOKENS / 2


@pytest.mark.parametrize("unit", ["=", "字", "ab", "7", "a", " ", "\n", "\u0300", "﷽", "# \n", ". ", "1\n", "a\n"])
def test_a_line_without_an_end_is_cut(unit: str) -> None:
    text, cutting = cut(paragraph(unit * 20_000))
    assert all(count_for_budget(shown) <= MOST_TOKENS for shown in texts(text, cutting))
    assert sum(p.end - p.start for p in cutting.passages) >= len(text.strip()) // 2


def test_tokens_are_those_of_the_text_that_is_shown_line_ends_included() -> None:
    for prose in (
        SENTENCE * 40,
        "one\ntwo\nthree\n" * 60,
        "潮水七点转向。江上无风。\n" * 40,
        "- a\n\n\n- b\n\n\n" * 40,
    ):
        text, cutting = cut(paragraph(prose))
        counted = sum(count_for_budget(shown) for shown in texts(text, cutting))
        assert counted <= sum(p.tokens for p in cutting.passages) <= 1.1 * counted


def test_a_passage_is_of_whole_sentences_and_about_as_large_as_it_should_be() -> None:
    text, cutting = cut(paragraph(SENTENCE * 40))
    shown = texts(text, cutting)
    assert all(passage.startswith("The heron") and passage.endswith("tide.") for passage in shown)
    assert all(PASSAGE_TOKENS / 2 < count_for_budget(passage) <= PASSAGE_TOKENS for passage in shown[:-1])


def test_a_long_sentence_is_cut_at_clauses_else_at_words() -> None:
    clauses, words = "when the tide turns and the wind falls, " * 20, "wheel reed heron " * 80
    text, cutting = cut(paragraph(clauses))
    assert all(shown.endswith("falls,") for shown in texts(text, cutting))
    text, cutting = cut(paragraph(words))
    assert set(" ".join(texts(text, cutting)).split()) == set(words.split())


def test_a_passage_crosses_neither_a_heading_nor_a_page_mark() -> None:
    _, cutting = cut(
        paragraph("One.\n"),
        (BlockKind.MARK, "[page 2]\n\n"),
        paragraph("Two.\n"),
        heading("Three\n"),
        paragraph("Four.\n"),
    )
    assert [p.section for p in cutting.passages] == [0, 0, 1]


def test_short_blocks_are_put_together_and_long_ones_are_not() -> None:
    text, cutting = cut(*[paragraph("A short one.\n\n")] * 3)
    assert texts(text, cutting) == ["A short one.\n\nA short one.\n\nA short one."]
    long = SENTENCE * 3
    text, cutting = cut(paragraph(long + "\n\n"), paragraph("A short one.\n"))
    assert texts(text, cutting) == [long.strip(), "A short one."]


def test_a_heading_stands_with_what_is_under_it() -> None:
    text, cutting = cut(heading("Wheels\n\n"), paragraph("They turn.\n"))
    assert texts(text, cutting) == ["Wheels\n\nThey turn."]
    assert [(s.heading_path, s.level, s.start) for s in cutting.sections] == [((), 0, 0), (("Wheels",), 1, 0)]


def test_headings_of_plain_text_open_sections_and_those_of_code_and_tables_do_not() -> None:
    lines = "# Wheels\nThey turn.\n## Spokes\nThere are eight.\n# Reeds\nThey stand.\n"
    _, cutting = cut(paragraph(lines))
    paths = [(), ("Wheels",), ("Wheels", "Spokes"), ("Reeds",)]
    assert [s.heading_path for s in cutting.sections] == paths
    for kind in (BlockKind.CODE, BlockKind.TABLE):
        assert len(cut((kind, lines))[1].sections) == 1


@pytest.mark.parametrize("parts", [[], [(BlockKind.MARK, "[page 1]\n\n")] * 2, [(BlockKind.PARAGRAPH, " \n\t\n")]])
def test_a_document_of_nothing_has_no_passage(parts: list[tuple[BlockKind, str]]) -> None:
    _, cutting = cut(*parts)
    assert cutting.passages == []
    assert len(cutting.sections) == 1


def test_a_heading_of_any_length_and_depth_gives_a_heading_path_of_bounded_length() -> None:
    parts = [heading(f"{number} {'long ' * 1_000}\n") for number in range(50)]
    text = "".join(shown for _, shown in parts)
    blocks, start = [], 0
    for level, (kind, shown) in enumerate(parts, 1):
        blocks.append(BlockSpan(start, start + len(shown), kind, level, "page 1"))
        start += len(shown)
    cutting = cut_passages(text, blocks)
    assert len(cutting.sections) == len(parts) + 1
    assert max(len(section.heading_path) for section in cutting.sections) <= DEEPEST_LEVEL
    assert all(len(title) <= LONGEST_TITLE_CHARACTERS for section in cutting.sections for title in section.heading_path)
    assert "".join("".join(texts(text, cutting)).split()) == "".join(text.split())
