"""The text of pictures takes its place in the document; a picture that cannot be read costs only its own text."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from bookwheel.document import Block, BlockKind, Picture, page_mark, read_blocks, write_document
from bookwheel.errors import ContentBlank, ParsingError
from bookwheel.extraction.notes import say_nothing
from bookwheel.extraction.pictures import MOST_FAILURES_TOLD, assemble_document
from bookwheel.extraction.recognise import FileType
from bookwheel.extraction.report import ExtractionReport, RecognisedPicture, recognised_path
from bookwheel.tokens import count_tokens

FAILED = RecognisedPicture(failure="The reader died on it.")
NOTHING = RecognisedPicture()


def found(text: str, anchor: str = "page 2") -> RecognisedPicture:
    return RecognisedPicture((Block(BlockKind.PARAGRAPH, f"{text}\n\n", anchor),))


def draft(folder: Path, items: Sequence[Block | Picture], recognised: Sequence[RecognisedPicture]) -> ExtractionReport:
    """A document with gaps, and what became of its pictures."""
    size = write_document(items, folder / "draft-text", folder / "draft-blocks")
    for number, outcome in enumerate(recognised):
        recognised_path(folder, number).write_bytes(msgspec.msgpack.encode(outcome))
    return ExtractionReport(file_type=FileType.PDF, pages=3, blank_pages=1, gaps=size.gaps, warnings=("Before.",))


def assemble(folder: Path, *outcomes: RecognisedPicture) -> ExtractionReport:
    """Assemble a document of so many scanned pages and nothing else."""
    pictures = [Picture(f"page {number}", page=number - 1) for number in range(1, len(outcomes) + 1)]
    return assemble_document(folder, draft(folder, pictures, outcomes), say_nothing)


def test_recognised_text_stands_where_its_picture_was(tmp_path: Path) -> None:
    items = [
        page_mark("page", 1),
        Block(BlockKind.PARAGRAPH, "First.\n\n", "page 1"),
        page_mark("page", 2),
        Picture("page 2", page=1),
        page_mark("page", 3),
        Picture("page 3", name="picture-1"),
        Block(BlockKind.PARAGRAPH, "Last.\n\n", "page 3"),
    ]
    report = draft(tmp_path, items, [found("第二页"), found("A label", "page 3")])
    report = assemble_document(tmp_path, report, say_nothing)
    text = (tmp_path / "text").read_text("utf-8")
    assert text == "[page 1]\n\nFirst.\n\n[page 2]\n\n第二页\n\n[page 3]\n\nA label\n\nLast.\n\n"
    assert [span.anchor for span in read_blocks(tmp_path / "blocks")] == [
        *("page 1", "page 1", "page 2", "page 2", "page 3", "page 3", "page 3")
    ]
    assert (report.characters, report.tokens, report.blocks) == (len(text), count_tokens(text), 7)
    assert (report.ocr_pages, report.ocr_pictures, report.blank_pages, report.gaps) == (1, 1, 1, ())
    assert report.warnings == ("Before.",)


def test_a_page_without_text_is_blank_and_one_that_failed_is_told(tmp_path: Path) -> None:
    report = assemble(tmp_path, NOTHING, found("words"), FAILED)
    assert (report.ocr_pages, report.blank_pages) == (1, 2)
    assert report.warnings[1:] == ("The text in the picture of page 3 could not be read: The reader died on it.",)


def test_many_failures_are_told_in_few_words(tmp_path: Path) -> None:
    report = assemble(tmp_path, found("words"), *[FAILED] * 40)
    assert len(report.warnings) == 1 + MOST_FAILURES_TOLD + 1
    assert report.warnings[-1] == "35 more pictures could not be read."


def test_a_document_whose_pictures_hold_nothing_is_blank(tmp_path: Path) -> None:
    with pytest.raises(ContentBlank):
        assemble(tmp_path, NOTHING, NOTHING)


def test_a_document_of_pictures_that_all_failed_says_why(tmp_path: Path) -> None:
    with pytest.raises(ParsingError, match=r"The reader died on it\."):
        assemble(tmp_path, NOTHING, FAILED)
