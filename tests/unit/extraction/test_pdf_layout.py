"""What stands where on a PDF page becomes what is read after what: columns, tables, joined lines."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.document import Block, BlockKind
from bookwheel.extraction.formats.pdf import read
from bookwheel.extraction.notes import Notes
from bookwheel.extraction.pdf.columns import line_item, regions
from bookwheel.extraction.pdf.drawing import Rule
from bookwheel.extraction.pdf.grids import find_ruled_tables
from bookwheel.extraction.pdf.lines import Line, find_lines, join_lines
from bookwheel.extraction.pdf.paragraphs import find_paragraphs
from bookwheel.extraction.pdf.tables import find_plain_tables
from bookwheel.extraction.pdf.words import HYPHEN, Word
from support.pdf_parts import cells, grid, lines, rule, text, write_pdf

LEFT = [f"left line {n} runs on to the gutter" for n in range(12)]
RIGHT = [f"right line {n} runs on to the edge" for n in range(12)]
XS, YS = (72, 200, 300, 400), (700, 680, 660, 640)
ROWS = [["Book", "Author", "Year"], ["Machines", "Ramelli", "1588"], ["Theatre", "Zonca", "1607"]]
MARKDOWN = (
    "| Book | Author | Year |\n| --- | --- | --- |\n| Machines | Ramelli | 1588 |\n| Theatre | Zonca | 1607 |\n\n"
)


def blocks_of(folder: Path, content: bytes) -> list[Block]:
    return [block for block in read(write_pdf(folder, content), Notes(folder)) if isinstance(block, Block)]


def text_of(folder: Path, content: bytes) -> str:
    return "".join(block.text for block in blocks_of(folder, content))


def tables_of(folder: Path, content: bytes) -> list[str]:
    return [block.text for block in blocks_of(folder, content) if block.kind is BlockKind.TABLE]


def words_of(*places: tuple[str, float, float]) -> list[Word]:
    """Words of ten points at their left edges and baselines, each on a line of its own for PDFium."""
    return [Word(word, x, x + 5 * len(word), y, 10, False, n) for n, (word, x, y) in enumerate(places)]


# Columns


def test_columns_are_read_one_after_the_other(tmp_path: Path) -> None:
    content = b"".join(
        text(60, 700 - 12 * n, left) + text(320, 700 - 12 * n, right)
        for n, (left, right) in enumerate(zip(LEFT, RIGHT, strict=True))
    )
    assert text_of(tmp_path, content).split("\n\n") == [" ".join(LEFT), " ".join(RIGHT), ""]


def test_a_title_over_columns_and_a_note_below_keep_their_places(tmp_path: Path) -> None:
    title, note = (
        "A title that goes over both of the columns of this page",
        "A note that goes over both of the columns too",
    )
    content = text(60, 740, title, 18, "B") + lines(60, 700, LEFT) + lines(320, 700, RIGHT) + text(60, 500, note * 2)
    words = text_of(tmp_path, content)
    assert words.index(title) < words.index(LEFT[-1]) < words.index(RIGHT[0]) < words.index(note)


def test_three_columns_are_read_from_left_to_right(tmp_path: Path) -> None:
    columns = [[f"{name} {n} has some words" for n in range(8)] for name in ("one", "two", "six")]
    content = b"".join(lines(40 + 180 * place, 700 - 3 * place, column) for place, column in enumerate(columns))
    assert text_of(tmp_path, content).split("\n\n")[:-1] == [" ".join(column) for column in columns]


def test_a_rule_across_the_page_ends_the_columns_above_it(tmp_path: Path) -> None:
    content = lines(60, 700, LEFT) + lines(320, 697, RIGHT) + rule(50, 550, 560, 550)
    content += lines(60, 530, LEFT[:6]) + lines(320, 527, RIGHT[:6])
    words = text_of(tmp_path, content)
    assert words.index(RIGHT[-1]) < words.rindex(LEFT[0]) < words.rindex(RIGHT[0])


def test_headings_in_the_margin_stay_with_their_text(tmp_path: Path) -> None:
    content = (
        text(40, 700, "Wheels", 12, "B")
        + lines(130, 680, RIGHT)
        + text(40, 520, "Desks", 12, "B")
        + lines(130, 500, LEFT)
    )
    words = text_of(tmp_path, content)
    assert words.index("Wheels") < words.index(RIGHT[0]) < words.index("Desks") < words.index(LEFT[0])


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 700), st.integers(1, 30)), min_size=1, max_size=60))
def test_no_line_is_lost_on_the_way_through_the_columns(places: list[tuple[int, int, int]]) -> None:
    found = [Line([], x, x + 6 * length, y, 10, False) for x, y, length in places]
    ordered = [item.content for region in regions([line_item(line) for line in found]) for item in region]
    assert sorted(map(id, ordered)) == sorted(map(id, found))


# Tables with rules


def test_rules_make_a_table(tmp_path: Path) -> None:
    content = text(72, 720, "Before.") + grid(XS, YS) + cells(XS, YS, ROWS) + text(72, 600, "After.")
    assert [block.text for block in blocks_of(tmp_path, content)] == ["Before.\n\n", MARKDOWN, "After.\n\n"]


def test_a_cell_over_several_stands_in_the_first_of_them(tmp_path: Path) -> None:
    rules = grid(XS, (680, 660, 640)) + rule(72, 700, 400, 700) + rule(72, 680, 72, 700) + rule(400, 680, 400, 700)
    content = rules + text(76, 686, "Books of machines") + cells(XS, YS[1:], ROWS[1:])
    [table] = tables_of(tmp_path, content)
    assert table.splitlines()[0] == "| Books of machines |  |  |"
    assert table.splitlines()[2] == "| Machines | Ramelli | 1588 |"


def test_lines_of_a_cell_are_joined(tmp_path: Path) -> None:
    content = grid((72, 200, 400), (700, 660, 640)) + lines(
        76, 690, ["The diverse and", "artifi\xadcial ma-", "chines"]
    )
    content += text(204, 690, "Ramelli") + text(76, 646, "Theatre") + text(204, 646, "Zonca")
    [table] = tables_of(tmp_path, content)
    assert table.splitlines()[0] == "| The diverse and artifi-cial machines | Ramelli |"


def test_rows_without_rules_between_them_are_parted(tmp_path: Path) -> None:
    rows = [[f"State {n}", f"{n * 1111:,}"] for n in range(1, 6)]
    content = grid((72, 200, 300), (700, 680, 600)) + text(76, 686, "State") + text(204, 686, "Checks")
    content += b"".join(text(76, 668 - 14 * n, a) + text(204, 668 - 14 * n, b) for n, (a, b) in enumerate(rows))
    [table] = tables_of(tmp_path, content)
    assert table.splitlines()[2:] == [*(f"| {a} | {b} |" for a, b in rows), ""]


def test_boxes_filled_with_colour_make_a_table_too(tmp_path: Path) -> None:
    boxes = b"".join(
        f"0.9 g {x0} {y1} {x1 - x0} {y0 - y1} re f 0 g\n".encode() for x0, x1 in pairwise(XS) for y0, y1 in pairwise(YS)
    )
    assert tables_of(tmp_path, boxes + cells(XS, YS[:3], ROWS)) == [MARKDOWN]


def test_a_frame_around_a_page_is_no_table(tmp_path: Path) -> None:
    content = grid((50, 560), (750, 480)) + lines(60, 700, LEFT) + lines(320, 700, RIGHT)
    assert text_of(tmp_path, content).split("\n\n")[0] == " ".join(LEFT)


def test_a_pipe_in_a_cell_is_escaped(tmp_path: Path) -> None:
    rows = [ROWS[0], ["a|b", "c", "d"]]
    assert "| a\\|b | c | d |" in tables_of(tmp_path, grid(XS, YS[:3]) + cells(XS, YS[:2], rows))[0]


def test_words_that_pdfium_joins_over_a_wall_are_parted() -> None:
    words = [
        Word(text, x0, x1, y, 10, False, n)
        for n, (text, x0, x1, y) in enumerate(
            [("Year", 10, 30, 15), ("No.", 60, 75, 15), ("15887", 35, 63, 35), ("x", 10, 15, 35)]
        )
    ]
    across = [Rule(at, 0, 100) for at in (0, 20, 40)]
    down = [Rule(at, 0, 40) for at in (0, 50, 100)]
    [table], left = find_ruled_tables(words, across, down)
    assert left == []
    assert table.rows[1] == ["x 158", "87"]


def test_so_many_rules_that_they_are_a_drawing_make_no_table() -> None:
    words = words_of(("a", 10, 10), ("b", 60, 10), ("c", 10, 30), ("d", 60, 30))
    rules = [Rule(3.0 * at, 0, 9000) for at in range(2000)]
    assert find_ruled_tables(words, rules, rules) == ([], words)


# Tables without rules


def rows_at(xs: tuple[float, ...], rows: list[list[str]], top: float = 700, step: float = 14) -> bytes:
    return b"".join(
        text(x, top - step * n, word) for n, row in enumerate(rows) for x, word in zip(xs, row, strict=True) if word
    )


def test_columns_of_words_make_a_table(tmp_path: Path) -> None:
    rows = [*ROWS, ["Inventions", "Besson", "1578"]]
    table = tables_of(tmp_path, rows_at((72, 200, 300), rows))
    assert table == [MARKDOWN[:-1] + "| Inventions | Besson | 1578 |\n\n"]


def test_currency_signs_stay_with_their_numbers(tmp_path: Path) -> None:
    rows = [
        ["", "2018", "", "2017"],
        ["Sales", "$", "32,765", "$"],
        ["Costs", "$", "16,682", "$"],
        ["Income", "$", "5,363", "$"],
    ]
    content = rows_at((72, 250, 262, 350), [[row[0], row[1], row[2], row[3]] for row in rows])
    content += text(362, 686, "31,657") + text(362, 672, "16,055") + text(362, 658, "4,869")
    [table] = tables_of(tmp_path, content)
    assert "| Sales | $ 32,765 | $ 31,657 |" in table.replace("$3", "$ 3")


def test_a_label_in_two_lines_is_one_cell(tmp_path: Path) -> None:
    rows = [
        ["Sales", "10", "20"],
        ["Net cash provided by", "", ""],
        ["operating activities", "30", "40"],
        ["Other", "5", "6"],
    ]
    [table] = tables_of(tmp_path, rows_at((72, 300, 400), [["", "2018", "2017"], *rows], step=12))
    assert "| Net cash provided by operating activities | 30 | 40 |" in table


def test_empty_cells_stay_empty(tmp_path: Path) -> None:
    rows = [["Code", "Place", "Seen"], ["A-1", "", "450"], ["A-2", "B-07", ""], ["", "C-15", "778"]]
    [table] = tables_of(tmp_path, rows_at((72, 200, 300), rows))
    assert table.splitlines()[2:5] == ["| A-1 |  | 450 |", "| A-2 | B-07 |  |", "|  | C-15 | 778 |"]


def test_running_text_is_no_table() -> None:
    found = [
        Line(words_of(*((f"{w}{n}", 40 * w, 12.0 * n) for w in range(8))), 0, 300, 12 * n, 10, False) for n in range(20)
    ]
    assert find_plain_tables(found) == ([], found)


def test_a_head_beside_its_column_still_belongs_to_it(tmp_path: Path) -> None:
    rows = [["Note", "2018", "2017"], *([f"Bond {n}", f"{n}99", f"{n}55"] for n in range(1, 9))]
    content = rows_at((72, 250, 350), rows[:1]) + rows_at((72, 290, 390), rows[1:], 686)
    [table] = tables_of(tmp_path, content)
    assert table.splitlines()[0] == "| Note | 2018 | 2017 |"
    assert table.splitlines()[2] == "| Bond 1 | 199 | 155 |"


def test_long_tables_come_in_blocks_with_one_head(tmp_path: Path) -> None:
    rows = [["No.", "Square"], *([str(n), str(n * n)] for n in range(1, 90))]
    content = b"".join(text(72, 790 - 8 * n, a, 6) + text(200, 790 - 8 * n, b, 6) for n, (a, b) in enumerate(rows))
    tables = tables_of(tmp_path, content)
    assert len(tables) == 2
    assert "---" not in tables[1]
    assert "".join(tables).count("\n| ") == 90


# Lines and paragraphs


@pytest.mark.parametrize(
    ("joined", "parts"),
    [
        ("information", [f"infor{HYPHEN}", "mation"]),
        ("information", ["infor-", "mation"]),
        ("information retrieval", ["information", "retrieval"]),
        ("Schwarz-Weiß", ["Schwarz-", "Weiß"]),
        ("self-employed", ["self-", "employed"]),
        ("book-wheel", ["book-", "wheel"]),
        ("pages 12-14", ["pages 12-", "14"]),
        ("a - b", ["a -", "b"]),
        ("轮转以便检阅", ["轮转以便", "检阅"]),
        ("据 Ramelli 所记", ["据 Ramelli", "所记"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("", []),
    ],
)
def test_lines_are_joined_as_they_are_read(joined: str, parts: list[str]) -> None:
    assert join_lines(parts, frozenset({"book-wheel"})) == joined


def test_a_hyphen_seen_within_a_line_is_kept_at_its_end(tmp_path: Path) -> None:
    content = lines(
        72, 700, ["The book-wheel turned, and readers of the book-", "wheel stood still to be inform-", "ed of it."]
    )
    assert "readers of the book-wheel stood still to be informed of it." in text_of(tmp_path, content)


def test_wide_gaps_part_a_line_and_those_of_justified_text_do_not() -> None:
    def line_of(gap: float, count: int) -> list[Word]:
        return [Word("word", n * (20 + gap), n * (20 + gap) + 20, 0, 10, False, 0) for n in range(count)]

    assert len(find_lines(line_of(3, 6))) == 1
    assert len(find_lines(line_of(8.5, 6))) == 1
    assert len(find_lines([*line_of(3, 3), Word("far", 200, 220, 0, 10, False, 0)])) == 2


def test_numbers_side_by_side_are_parted_sooner_than_words() -> None:
    words = [Word("1,234", 0, 25, 0, 10, False, 0), Word("5,678", 31, 56, 0, 10, False, 0)]
    assert [line.text for line in find_lines(words)] == ["1,234", "5,678"]


def test_a_mark_joins_its_text() -> None:
    words = [Word("•", 0, 4, 0, 10, False, 0), Word("wood", 24, 44, 0, 10, False, 1)]
    assert [line.text for line in find_lines(words)] == ["• wood"]


def as_lines(*places: tuple[str, float, float]) -> list[Line]:
    return find_lines([word for words, x, y in places for word in _words(words, x, y)])


def _words(words: str, x: float, y: float) -> Iterator[Word]:
    for word in words.split():
        yield Word(word, x, x + 5 * len(word), y, 10, False, int(y))
        x += 5 * len(word) + 3


FULL = "words that fill the line from one edge to the other"


@pytest.mark.parametrize(
    ("what", "places", "count"),
    [
        ("white space", [(FULL, 0, 0), (FULL, 0, 12), (FULL, 0, 36)], 2),
        ("an indent", [(FULL, 0, 0), (FULL, 0, 12), (FULL, 15, 24), (FULL, 0, 36)], 2),
        ("a line that ends early", [(FULL, 0, 0), ("that ends here.", 0, 12), (FULL, 0, 24)], 2),
        ("none of these", [(FULL, 0, 0), (FULL, 0, 12), (FULL, 0, 24)], 1),
        ("a ragged edge", [(FULL, 0, 0), ("words that fill the line from one edge to", 0, 12), (FULL, 0, 24)], 1),
        ("a first line that stands in", [(FULL, 15, 0), (FULL, 0, 12), (FULL, 0, 24)], 1),
        ("a hanging item", [("1. " + FULL, 0, 0), (FULL, 15, 12), ("2. " + FULL, 0, 24)], 2),
    ],
)
def test_paragraphs_end_where_they_show_it(what: str, places: list[tuple[str, float, float]], count: int) -> None:
    assert len(find_paragraphs(as_lines(*places))) == count, what


def test_labels_in_a_row_do_not_end_a_table(tmp_path: Path) -> None:
    rows = [
        ("Cash", "10", "11"),
        ("Total", "10", "11"),
        ("Commitments",),
        ("Equity",),
        ("Held by owners",),
        ("Of all kinds",),
    ]
    rows += [("Shares", "9", "9"), ("Total equity", "9", "9")]
    content = b"".join(
        text(x, 700 - 12 * n, c) for n, row in enumerate(rows) for x, c in zip((72, 300, 400), row, strict=False)
    )
    [table] = tables_of(tmp_path, content)
    assert [line.count("|") for line in table.splitlines()] == [4] * (len(rows) + 1) + [0]


def test_running_text_ends_a_table(tmp_path: Path) -> None:
    rows: list[tuple[str, ...]] = [("Cash", "10", "11"), ("Debt", "10", "11"), ("Total", "10", "11")]
    prose = [(LEFT[0] + " " + RIGHT[0] + " " + LEFT[1],)] * 4
    places = enumerate([*rows, *prose, *rows])
    content = b"".join(text(x, 700 - 12 * n, c) for n, row in places for x, c in zip((72, 300, 400), row, strict=False))
    assert len(tables_of(tmp_path, content)) == 2


def test_formulas_between_lines_do_not_part_a_paragraph() -> None:
    prose = [(f"prose{n} " * 12, 100.0 + 18 * n) for n in range(4)]
    pieces = [(sign, 180.0 + 7 * n) for n, sign in enumerate("abcdefgh")]
    words = [
        Word(word, 50 + 40 * place, 85 + 40 * place, base, 10, False, n)
        for n, (line, base) in enumerate([*prose, *pieces])
        for place, word in enumerate(line.split())
    ]
    assert len(find_paragraphs(find_lines(words))[0]) == 4


def test_an_item_begins_a_line_of_its_own_even_where_the_one_above_has_no_end() -> None:
    words = words_of(("a)_every_wheel_turns", 50, 100), ("b) it_stands_still", 50, 118))
    words = [part._replace(text=text) for part in words for text in (part.text.replace("_", " "),)]
    assert len(find_paragraphs(find_lines(words))) == 2
