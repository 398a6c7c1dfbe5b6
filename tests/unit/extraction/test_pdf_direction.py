"""Text that runs from right to left is read in that order; Latin words and numbers in it are not turned round."""

from pathlib import Path

import pytest

from bookwheel.document import Block
from bookwheel.extraction.formats.pdf import read
from bookwheel.extraction.notes import Notes
from bookwheel.extraction.pdf.direction import order_from_right, right_brackets, runs_from_right
from bookwheel.extraction.pdf.lines import find_lines
from bookwheel.extraction.pdf.paragraphs import find_paragraphs
from bookwheel.extraction.pdf.words import Word
from support.pdf_parts import ANY_SCRIPT, Sheet, any_text, cells, grid, pdf

RIGHT_EDGE = 500


def from_right(*words: str, base: float = 100, edge: float = RIGHT_EDGE) -> list[Word]:
    """Words as they stand on a line, the first one at the right edge."""
    placed = []
    for word in words:
        placed.append(Word(word, edge - 5 * len(word), edge, base, 10, False, round(base)))
        edge -= 5 * len(word) + 3
    return placed


def text_of(folder: Path, content: bytes) -> str:
    source = folder / "source"
    source.write_bytes(pdf([Sheet(content)], more=ANY_SCRIPT, fonts="/U 4 0 R"))
    return "".join(block.text for block in read(source, Notes(folder)) if isinstance(block, Block))


def drawn(words: str) -> str:
    """A line as it is drawn from left to right, for words that are all of one script."""
    return words[::-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("שלום עולם", True), ("مكتبة", True), ("Ramelli", False), ("1588", False), ("書輪", False), ("Ramelli של", False)],
)
def test_what_runs_from_right_is_told_by_its_letters(text: str, expected: bool) -> None:
    assert runs_from_right(text) is expected


def test_latin_words_within_keep_their_own_order() -> None:
    line = [*from_right("צויר", "בידי"), *from_right("Ramelli", "Agostino", edge=440), *from_right("1588", edge=350)]
    assert [word.text for word in order_from_right(line)] == ["צויר", "בידי", "Agostino", "Ramelli", "1588"]


def test_numbers_in_a_row_go_from_right_to_left() -> None:
    assert [word.text for word in order_from_right(from_right("בשנים", "1588", "1607"))] == ["בשנים", "1588", "1607"]


@pytest.mark.parametrize("text", ["ראה (פרק 12) שם", "ראה )פרק 12( שם"])
def test_brackets_are_set_right(text: str) -> None:
    assert right_brackets(text) == "ראה (פרק 12) שם"


def test_a_lone_bracket_stays_as_it_is() -> None:
    assert right_brackets("א) ספרים") == "א) ספרים"


def test_a_line_is_joined_in_the_order_it_is_read_in() -> None:
    words = from_right("היה", "שולחן", "מסתובב")
    [line] = find_lines(sorted(words, key=lambda word: word.x0))
    assert line.text == "היה שולחן מסתובב"


def test_a_paragraph_ends_where_its_last_line_ends_early_on_the_left() -> None:
    long = ["מסתובבים"] * 8
    lines = find_lines([*from_right(*long, base=100), *from_right("סוף.", base=112), *from_right(*long, base=124)])
    assert [len(paragraph) for paragraph in find_paragraphs(lines)] == [2, 1]


def test_hebrew_is_read_from_a_page(tmp_path: Path) -> None:
    content = any_text(300, 700, drawn("הגלגל היה שולחן מסתובב")) + any_text(310, 686, drawn("ובו ספרים רבים על"))
    assert text_of(tmp_path, content) == "הגלגל היה שולחן מסתובב ובו ספרים רבים על\n\n"


def test_short_words_and_numbers_leave_no_holes_in_a_line(tmp_path: Path) -> None:
    content = any_text(200, 700, drawn("נכתב על ידי מי") + " 1588 " + drawn("בשנת"))
    words = text_of(tmp_path, content)
    assert words == "בשנת 1588 נכתב על ידי מי\n\n"


def test_columns_are_read_from_right_to_left(tmp_path: Path) -> None:
    right, left = (f"{word} היה שולחן מסתובב לקורא" for word in ("ראשון", "שני"))
    content = b"".join(
        any_text(320, 700 - 12 * n, drawn(right)) + any_text(60, 700 - 12 * n, drawn(left)) for n in range(8)
    )
    words = text_of(tmp_path, content)
    assert words.rindex("ראשון") < words.index("שני")


def test_a_table_begins_with_its_right_column(tmp_path: Path) -> None:
    xs, ys = (72, 200, 300), (700, 680, 660)
    content = grid(xs, ys) + cells(xs, ys, [["1588", ""], ["1607", ""]])
    content += any_text(204, 686, drawn("רמלי")) + any_text(204, 666, drawn("זונקה"))
    assert text_of(tmp_path, content) == "| רמלי | 1588 |\n| --- | --- |\n| זונקה | 1607 |\n\n"
