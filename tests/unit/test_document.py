"""What was extracted from a file is written once and found again: its text, and the block at any place in it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.document import (
    Block,
    BlockKind,
    BlockSpan,
    DocumentSize,
    Picture,
    fill_gaps,
    read_blocks,
    write_document,
)

BLOCKS = st.builds(
    Block,
    kind=st.sampled_from(BlockKind),
    text=st.text(max_size=60),
    anchor=st.text(max_size=20),
    level=st.integers(0, 6),
)


def test_a_document_is_its_text_and_its_blocks(tmp_path: Path) -> None:
    blocks = [
        Block(BlockKind.HEADING, "# 标题\n\n", "line 1", 1),
        Block(BlockKind.PARAGRAPH, "Some words.\n", "line 3"),
    ]
    size, text, spans = write_and_read(tmp_path, blocks)
    assert size == DocumentSize(characters=18, blocks=2, blank=False)
    assert text == "# 标题\n\nSome words.\n"
    assert spans == [
        BlockSpan(0, 6, BlockKind.HEADING, 1, "line 1"),
        BlockSpan(6, 18, BlockKind.PARAGRAPH, 0, "line 3"),
    ]


@given(st.lists(BLOCKS, max_size=20))
def test_every_block_stands_where_its_span_says(tmp_path_factory: pytest.TempPathFactory, blocks: list[Block]) -> None:
    size, text, spans = write_and_read(tmp_path_factory.getbasetemp(), blocks)
    assert text == "".join(block.text for block in blocks)
    assert [text[span.start : span.end] for span in spans] == [block.text for block in blocks]
    assert [(span.kind, span.level, span.anchor) for span in spans] == [(b.kind, b.level, b.anchor) for b in blocks]
    own = "".join(block.text for block in blocks if block.kind is not BlockKind.MARK)
    assert size == DocumentSize(characters=len(text), blocks=len(blocks), blank=not own.strip())


@pytest.mark.parametrize(("texts", "blank"), [([], True), ([" \n", "\t\u3000\n"], True), (["\n", "x"], False)])
def test_white_space_alone_is_a_blank_document(tmp_path: Path, texts: list[str], blank: bool) -> None:
    size, _, _ = write_and_read(tmp_path, [Block(BlockKind.PARAGRAPH, text, "line 1") for text in texts])
    assert size.blank is blank


def test_marks_alone_are_a_blank_document(tmp_path: Path) -> None:
    size, text, _ = write_and_read(tmp_path, [Block(BlockKind.MARK, "[page 1]\n\n", "page 1")])
    assert (size.blank, text) == (True, "[page 1]\n\n")


def test_pictures_leave_gaps_that_blocks_fill_later(tmp_path: Path) -> None:
    first, last = Block(BlockKind.HEADING, "# 一\n", "page 1", 1), Block(BlockKind.PARAGRAPH, "end\n", "page 3")
    pictures = [Picture("page 1", page=0), Picture("page 2", name="a"), Picture("page 2", name="b"), Picture("page 4")]
    items = [pictures[0], first, pictures[1], pictures[2], last, pictures[3]]
    size, _, _ = write_and_read(tmp_path, items)
    assert [(gap.before_block, gap.picture) for gap in size.gaps] == [
        *((0, pictures[0]), (1, pictures[1]), (1, pictures[2]), (2, pictures[3]))
    ]
    found = [[Block(BlockKind.PARAGRAPH, f"{n}é\n", f"gap {n}")] * n for n in range(4)]
    filled = fill_gaps(tmp_path / "text", tmp_path / "blocks", size.gaps, lambda number: found[number])
    assert list(filled) == [first, found[1][0], *found[2], last, *found[3]]


def test_a_document_of_pictures_alone_is_filled_too(tmp_path: Path) -> None:
    size, _, _ = write_and_read(tmp_path, [Picture("page 1", page=0), Picture("page 2", page=1)])
    block = Block(BlockKind.PARAGRAPH, "words\n", "page 1")
    filled = fill_gaps(tmp_path / "text", tmp_path / "blocks", size.gaps, lambda _: [block])
    assert (size.blank, list(filled)) == (True, [block, block])


def test_a_character_that_utf_8_cannot_hold_moves_nothing(tmp_path: Path) -> None:
    blocks = [Block(BlockKind.PARAGRAPH, "a\ud800b", "line 1"), Block(BlockKind.PARAGRAPH, "c", "line 2")]
    _, text, spans = write_and_read(tmp_path, blocks)
    assert [text[span.start : span.end] for span in spans] == ["a?b", "c"]


def test_blocks_are_written_as_they_come(tmp_path: Path) -> None:
    written: list[int] = []

    def blocks_that_look_at_the_file() -> Iterator[Block]:
        for number in range(3):
            written.append((tmp_path / "text").stat().st_size)
            yield Block(BlockKind.PARAGRAPH, "x" * 1_000_000, f"line {number}")

    write_document(blocks_that_look_at_the_file(), tmp_path / "text", tmp_path / "blocks")
    assert written[0] == 0
    assert written[1] > 900_000
    assert written[2] > 1_900_000


def write_and_read(folder: Path, blocks: Sequence[Block | Picture]) -> tuple[DocumentSize, str, list[BlockSpan]]:
    text_path, blocks_path = folder / "text", folder / "blocks"
    size = write_document(blocks, text_path, blocks_path)
    with text_path.open(encoding="utf-8", newline="") as file:
        return size, file.read(), read_blocks(blocks_path)
