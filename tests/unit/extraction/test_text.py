"""Plain text becomes paragraphs, and every character of it stays where it was."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.document import Block, BlockKind, part_text
from bookwheel.extraction.formats.text import BLOCK_CHARACTERS, read

TEXT = st.text(alphabet=st.sampled_from("ab。. \n\t书é😀")) | st.text(
    alphabet=st.characters(exclude_categories=("Cs",), exclude_characters="\r")
)


def blocks_of(folder: Path, text: str, encoding: str = "utf-8") -> list[Block]:
    source = folder / "source"
    source.write_bytes(text.encode(encoding))
    return list(read(source, encoding))


def test_paragraphs_end_at_blank_lines_and_keep_them(tmp_path: Path) -> None:
    blocks = blocks_of(tmp_path, "one\ntwo\n\n \nthree\n\n\nfour")
    assert [block.text for block in blocks] == ["one\ntwo\n\n \n", "three\n\n\n", "four"]
    assert [block.anchor for block in blocks] == ["line 1", "line 5", "line 8"]
    assert {block.kind for block in blocks} == {BlockKind.PARAGRAPH}


def test_blank_lines_at_the_top_belong_to_the_first_paragraph(tmp_path: Path) -> None:
    assert [block.text for block in blocks_of(tmp_path, "\n\nwords\n")] == ["\n\nwords\n"]


@given(TEXT)
def test_the_blocks_are_the_text(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    assert "".join(block.text for block in blocks_of(tmp_path_factory.getbasetemp(), text)) == text


def test_a_long_paragraph_is_cut_at_line_ends(tmp_path: Path) -> None:
    text = "a line of a poem that never ends\n" * 1000
    blocks = blocks_of(tmp_path, text)
    assert len(blocks) > 3
    assert all(len(block.text) <= BLOCK_CHARACTERS and block.text.endswith("\n") for block in blocks)
    assert [block.anchor for block in blocks][:2] == ["line 1", f"line {blocks[0].text.count(chr(10)) + 1}"]


@pytest.mark.parametrize("sentence", ["这是一句很长的话，还没有说完。", "This is a sentence of some words. "])
def test_a_long_line_is_cut_at_sentence_ends(tmp_path: Path, sentence: str) -> None:
    blocks = blocks_of(tmp_path, sentence * 2000)
    assert all(block.text.endswith(sentence) for block in blocks)
    assert all(BLOCK_CHARACTERS // 2 < len(block.text) <= BLOCK_CHARACTERS for block in blocks[:-1])
    assert {block.anchor for block in blocks} == {"line 1"}


def test_a_line_without_any_space_is_cut_where_a_block_is_full(tmp_path: Path) -> None:
    blocks = blocks_of(tmp_path, "x" * (3 * BLOCK_CHARACTERS + 5))
    assert [len(block.text) for block in blocks] == [BLOCK_CHARACTERS] * 3 + [5]


def test_words_are_not_cut_where_there_are_spaces() -> None:
    assert part_text("word " * 30, 101) == 100


def test_an_empty_file_has_no_blocks(tmp_path: Path) -> None:
    assert blocks_of(tmp_path, "") == []


def test_broken_bytes_stand_as_replacement_characters(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"caf\xff!\r\nnext\r")
    assert [block.text for block in read(tmp_path / "source", "utf-8")] == ["caf\ufffd!\nnext\n"]
