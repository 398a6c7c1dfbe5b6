"""Lines that were read become blocks in reading order, however their boxes tremble."""

import numpy as np
import pytest

from bookwheel.document import Block, BlockKind
from bookwheel.extraction.ocr.layout import arrange_blocks
from bookwheel.extraction.ocr.lines import Direction, Line
from bookwheel.extraction.ocr.models import Reading
from bookwheel.extraction.ocr.rules import Rules, Segment

WIDTH, HEIGHT = 1_000, 1_400


def line(
    text: str, x: float, y: float, width: float, height: float = 30, direction: Direction = Direction.RIGHT
) -> Line:
    """A line whose box begins at (x, y), its characters evenly spread."""
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]], np.float32)
    places = ((np.arange(len(text)) + 0.5) / max(len(text), 1)).astype(np.float32)
    return Line(Reading(text, 0.99, places), corners, direction)


NO_RULES = Rules([], [])


def blocks(*lines: Line, rules: Rules = NO_RULES) -> list[Block]:
    return arrange_blocks(lines, rules, WIDTH, HEIGHT, "page 2")


def texts(*lines: Line) -> list[str]:
    return [block.text.rstrip("\n") for block in blocks(*lines)]


def test_nothing_is_nothing() -> None:
    assert blocks() == []


def test_lines_of_trembling_height_are_one_paragraph() -> None:
    lines = [
        line("The first line of some text is", 100, 100, 600, 30),
        line("longer than those in print would", 102, 139, 604, 34),
        line("be, and its boxes are not quite", 98, 183, 596, 27),
        line("even.", 101, 221, 80, 31),
    ]
    assert texts(*lines) == [
        "The first line of some text is longer than those in print would be, and its boxes are not quite even."
    ]


def test_a_hyphen_at_the_end_of_a_line_is_undone() -> None:
    lines = [
        line("Some words are too long for their own extrava-", 100, 100, 800),
        line("gant lines of text.", 100, 140, 350),
    ]
    assert texts(*lines) == ["Some words are too long for their own extravagant lines of text."]


def test_chinese_lines_are_joined_without_a_space() -> None:
    lines = [
        line("转轮书架让一位读者同时翻开许多本书而不必离开", 100, 100, 700),
        line("座位灯光照在纸上", 100, 145, 260),
    ]
    assert texts(*lines) == ["转轮书架让一位读者同时翻开许多本书而不必离开座位灯光照在纸上"]


@pytest.mark.parametrize("number", ["7", "- 12 -", "Page 3 of 10", "第 5 页", "3/20"])
def test_a_page_number_at_the_edge_is_dropped(number: str) -> None:
    prose = [line(f"Line {n} says what it has to say", 100, 200 + 40 * n, 600) for n in range(6)]
    assert number not in "".join(texts(*prose, line(number, 480, HEIGHT - 60, 40)))


def test_a_number_that_stands_alone_in_a_picture_is_kept() -> None:
    assert texts(line("42", 480, HEIGHT - 60, 40)) == ["42"]


def test_cells_in_rules_make_a_table() -> None:
    cells = [
        ("Fruit", 110, 110),
        ("Pieces", 310, 112),
        ("Apples", 110, 159),
        ("12", 310, 161),
        ("Pears", 110, 211),
        ("7", 310, 208),
    ]
    rules = Rules([Segment(y, 100, 500) for y in (100, 150, 200, 250)], [Segment(x, 100, 250) for x in (100, 300, 500)])
    [table] = blocks(*(line(text, x, y, 12 * len(text)) for text, x, y in cells), rules=rules)
    assert table == Block(
        BlockKind.TABLE, "| Fruit | Pieces |\n| --- | --- |\n| Apples | 12 |\n| Pears | 7 |\n\n", "page 2"
    )


def test_rows_that_tremble_make_a_table_without_rules() -> None:
    rows = [("Rain", "12.5", "14.0"), ("Snow", "0.3", "1.1"), ("Hail", "0.0", "0.2"), ("Fog", "2.5", "3.0")]
    lines = [
        line(cell, 100 + 250 * column, 100 + 45 * number + 4 * (column % 2), 14 * len(cell))
        for number, row in enumerate(rows)
        for column, cell in enumerate(row)
    ]
    [table] = blocks(*lines)
    assert table.kind is BlockKind.TABLE
    assert table.text.strip().splitlines()[2:] == [
        "| Snow | 0.3 | 1.1 |",
        "| Hail | 0.0 | 0.2 |",
        "| Fog | 2.5 | 3.0 |",
    ]


def test_one_line_over_two_cells_is_parted_where_its_characters_are() -> None:
    """The detector sometimes takes two cells for one line; the places of the characters tell them apart."""
    rows = [("Rain", "12"), ("Snow", "31"), ("Hail", "20"), ("Frost", "25")]
    lines = [
        line(cell, 100 + 300 * column, 100 + 45 * n, 60)
        for n, row in enumerate(rows)
        for column, cell in enumerate(row)
    ]
    places = np.array([0.02, 0.06, 0.1, 0.14, 0.9, 0.96], np.float32)
    corners = np.array([[100, 280], [460, 280], [460, 310], [100, 310]], np.float32)
    [table] = blocks(*lines, Line(Reading("Rime22", 0.99, places), corners))
    assert table.text.strip().splitlines()[-1] == "| Rime | 22 |"


def test_larger_lines_are_headings_and_the_largest_the_first() -> None:
    lines = [
        line("The great wheel", 100, 50, 500, 80),
        line("Its parts", 100, 180, 240, 50),
        *(line("This is a line of the text that goes on", 100, 270 + 40 * n, 700) for n in range(4)),
    ]
    assert [(block.kind, block.level) for block in blocks(*lines)] == [
        (BlockKind.HEADING, 1),
        (BlockKind.HEADING, 2),
        (BlockKind.PARAGRAPH, 0),
    ]


def test_columns_of_upright_characters_go_from_right_to_left() -> None:
    columns = [("轮书架让一位读者", 700), ("同时翻开许多本书", 640), ("而不必离开座位灯", 580)]
    lines = [line(text, x, 100, 40, 320, Direction.DOWN) for text, x in columns]
    assert "".join(texts(*reversed(lines))) == "".join(text for text, _ in columns)


def test_letters_that_are_spaced_out_are_one_word() -> None:
    assert texts(line("目录和索引", 100, 100, 600, 30)) == ["目录和索引"]


def test_a_line_along_the_edge_stands_apart() -> None:
    prose = [line("A line of the text that goes on and on", 200, 100 + 40 * n, 700) for n in range(4)]
    edge = line("arXiv 1911.08947", 20, 300, 30, 500, Direction.UP)
    assert texts(edge, *prose)[-1] == "arXiv 1911.08947"


def test_many_lines_take_little_time() -> None:
    lines = [line(f"word {n}", 20 + 90 * (n % 10), 10 + 3 * (n // 10), 80, 3) for n in range(3_000)]
    assert sum(len(block.text) for block in blocks(*lines)) > 20_000
