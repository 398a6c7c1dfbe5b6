"""Workers write the index of a document beside it, and of a text that came with a question."""

from pathlib import Path

import pytest

from bookwheel.document import BlockKind, page_mark, read_blocks, write_document
from bookwheel.extraction.formats.text import read as read_text
from bookwheel.extraction.report import BLOCKS, GIVEN, TEXT
from bookwheel.indexing.artefact import INDEX
from bookwheel.indexing.build import write_index, write_text_index
from bookwheel.indexing.index import content_key
from bookwheel.indexing.shelf import open_indexed

SAID: list[tuple[str, int, int]] = []


def say(unit: str, number: int, total: int) -> None:
    SAID.append((unit, number, total))


def test_the_index_of_a_document_stands_beside_it(tmp_path: Path) -> None:
    original = tmp_path / "original"
    original.write_text("Chapter One\nThe wheel turns.\n", "utf-8")
    write_document([page_mark("page", 1), *read_text(original, "utf-8")], tmp_path / TEXT, tmp_path / BLOCKS)
    report = write_index(tmp_path, INDEX, "tide.txt", say)
    document = open_indexed(tmp_path / INDEX, tmp_path / TEXT)
    assert (report.passages, report.sections) == (len(document.index), len(document.index.sections)) == (1, 2)
    assert document.index.key == content_key(document.whole_text(), "tide.txt")
    assert document.passages_text(0, 0) == "Chapter One\nThe wheel turns."
    assert read_blocks(tmp_path / BLOCKS)[0].kind is BlockKind.MARK
    assert "index" in {unit for unit, _, _ in SAID}


@pytest.mark.parametrize("text", ["", " \n", "The wheel\nturns.\n", "lines\r\nof 潮水\n", "=" * 50_000])
def test_a_text_that_came_with_a_question_is_indexed_as_it_stands(tmp_path: Path, text: str) -> None:
    (tmp_path / GIVEN).write_bytes(text.encode())
    write_text_index(tmp_path, INDEX, "given", say)
    document = open_indexed(tmp_path / INDEX, tmp_path / TEXT)
    shown = document.passages_text(0, len(document.index) - 1) if len(document.index) else ""
    assert shown.split() == text.split()
    assert document.index.title == "given"
