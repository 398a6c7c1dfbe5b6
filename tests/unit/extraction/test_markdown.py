"""Markdown becomes blocks of its own kinds, and every character of it stays where it was."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.document import Block
from bookwheel.extraction.formats.markdown import BLOCK_CHARACTERS, read

DOCUMENTS = Path(__file__).parents[2] / "documents"
LINES = st.lists(
    st.sampled_from(
        (
            *("", " ", "# Head", "## 标题 ##", "words", "more | words", "---", "===", "--|--", "| a | b |", "- item"),
            *("1. one", "  go on", "```", "~~~~", "````py", "> said", "***", "title: x", "\ttab"),
            *("x" * 9000, "长。" * 5000),
        )
    )
)


def blocks_of(folder: Path, text: str) -> list[Block]:
    source = folder / "source"
    source.write_bytes(text.encode())
    return list(read(source, "utf-8"))


def outline(blocks: list[Block]) -> list[tuple[str, int, str, str]]:
    return [(block.kind.value, block.level, block.anchor, block.text) for block in blocks]


def test_each_kind_of_block_is_told(tmp_path: Path) -> None:
    blocks = list(read(DOCUMENTS / "notes.md", "utf-8"))
    assert outline(blocks) == [
        ("code", 0, "line 1", "---\ntitle: Bookwheel notes\n---\n\n"),
        ("heading", 1, "line 5", "# The bookwheel\n\n"),
        ("paragraph", 0, "line 7", "A desk that turns.\n\n"),
        ("heading", 2, "line 9", "Who used it\n-----------\n\n"),
        ("list", 0, "line 12", "- readers with many books\n- readers who could not walk far\n\n"),
        ("table", 0, "line 15", "| shelf | book |\n|---|---|\n| 1 | Herbals |\n| 2 | Maps |\n\n"),
        ("code", 0, "line 20", "```python\n# not a heading\nturn(degrees=30)\n```\n"),
    ]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("Title\n=====\ntext\n", ["heading", "paragraph"]),
        ("a paragraph\nof two lines\n---\n", ["paragraph", "paragraph"]),
        ("# One\n## Two\ntext\n", ["heading", "heading", "paragraph"]),
        ("#hashtag is no heading\n", ["paragraph"]),
        ("text\n# Head\n", ["paragraph", "heading"]),
        ("- a\n\n- b\n\n  more of b\n\ntext\n", ["list", "paragraph"]),
        ("* * *\ntext\n", ["paragraph", "paragraph"]),
        ("1984 was a year\n", ["paragraph"]),
        ("words\nhead | er\n---|---\n1 | 2\ntext\n", ["paragraph", "table", "paragraph"]),
        ("a | b\nno rule under it\n", ["paragraph"]),
        ("```\n~~~\n``\n```\ntext\n", ["code", "paragraph"]),
        ("~~~ python\n```\n~~~~\n", ["code"]),
        ("```never closed\n# x\n", ["code"]),
        ("some ```code``` here\n```a``` there\n", ["paragraph"]),
        ("\n\n# Head\n", ["heading"]),
        ("---\nno front matter\n", ["paragraph", "paragraph"]),
        ("", []),
    ],
)
def test_what_follows_what_decides_the_kind(tmp_path: Path, text: str, kinds: list[str]) -> None:
    blocks = blocks_of(tmp_path, text)
    assert [block.kind.value for block in blocks] == kinds
    assert "".join(block.text for block in blocks) == text


def test_headings_carry_their_depth(tmp_path: Path) -> None:
    blocks = blocks_of(tmp_path, "# a\n### b\n###### c\nd\n===\ne\n---\n####### text\n")
    assert [(block.kind.value, block.level) for block in blocks] == [
        *(("heading", 1), ("heading", 3), ("heading", 6), ("heading", 1), ("heading", 2), ("paragraph", 0))
    ]


@given(LINES, st.sampled_from(["\n", ""]))
def test_the_blocks_are_the_text(tmp_path_factory: pytest.TempPathFactory, lines: list[str], end: str) -> None:
    text = "\n".join(lines) + end
    blocks = blocks_of(tmp_path_factory.getbasetemp(), text)
    assert "".join(block.text for block in blocks) == text
    assert all(0 < len(block.text) <= BLOCK_CHARACTERS for block in blocks)
    assert all(block.anchor == f"line {text[:start].count(chr(10)) + 1}" for start, block in starts(blocks))


def starts(blocks: list[Block]) -> list[tuple[int, Block]]:
    found, start = [], 0
    for block in blocks:
        found.append((start, block))
        start += len(block.text)
    return found
