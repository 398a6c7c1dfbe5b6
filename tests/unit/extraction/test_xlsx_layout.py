"""What stands together on a sheet stays together; titles, notes and other tables are parted from it."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.document import Block, BlockKind
from bookwheel.extraction.xlsx.cells import Merge, Row, column_letters
from bookwheel.extraction.xlsx.layout import AREA_ROWS, BLOCK_CHARACTERS, BLOCK_ROWS, lay_out, quoted


def grid(text: str) -> list[Row]:
    """Rows drawn as text: columns two or more spaces apart are told by their place, `.` is empty, a blank line is a row."""
    rows = []
    for number, line in enumerate(text.strip("\n").split("\n"), 1):
        cells = {column: word.replace("_", " ") for column, word in enumerate(line.split(), 1) if word != "."}
        if cells:
            rows.append(Row(number, cells))
    return rows


def blocks_of(rows: list[Row], *merges: Merge) -> list[Block]:
    return list(lay_out(rows, merges, "S"))


def shapes(text: str, *merges: Merge) -> list[tuple[str, str]]:
    return [(block.kind.value, block.anchor) for block in blocks_of(grid(text), *merges)]


def test_titles_above_and_notes_below_a_table_are_paragraphs() -> None:
    blocks = blocks_of(grid("Sales_report\nin_millions\n\nYear North South\n2022 1 2\n2023 3 4\n\nSource:_us"))
    assert [block.kind for block in blocks] == [BlockKind.PARAGRAPH, BlockKind.TABLE, BlockKind.PARAGRAPH]
    assert blocks[0].text == "Sales report\nin millions\n\n"
    assert blocks[1].text == "| Year | North | South |\n| --- | --- | --- |\n| 2022 | 1 | 2 |\n| 2023 | 3 | 4 |\n\n"
    assert [block.anchor for block in blocks] == ["S!A1:A2", "S!A4:C6", "S!A8"]


def test_an_empty_row_inside_a_table_does_not_part_it() -> None:
    assert shapes("Item 2022 2023\nRent 5 6\n\nOther\nFood 7 8\n\nTotal 12 14") == [("table", "S!A1:C7")]


def test_a_new_head_after_an_empty_row_begins_a_table_with_its_title() -> None:
    drawn = "Town People\nOslo 7\n\nRivers_of_Norway\n\nRiver Length\nGlomma 600"
    assert shapes(drawn) == [("table", "S!A1:B2"), ("paragraph", "S!A4"), ("table", "S!A6:B7")]


def test_a_wide_gap_parts() -> None:
    assert shapes("1 2\n3 4\n\n\n\n5 6\n7 8") == [("table", "S!A1:B2"), ("table", "S!A6:B7")]


def test_other_columns_after_an_empty_row_part() -> None:
    assert shapes("1 2\n3 4\n\n. . . 5 6\n. . . 7 8") == [("table", "S!A1:B2"), ("table", "S!D4:E5")]


def test_tables_beside_each_other_are_parted_where_they_have_rows_of_their_own() -> None:
    drawn = "Town People . Month Rain\nOslo 7 . May 50\nBergen 3 . June 60\nTromsø 1\nBodø 1"
    assert shapes(drawn) == [("table", "S!A1:B5"), ("table", "S!D1:E3")]


def test_numbers_are_not_torn_from_their_labels_by_an_empty_column() -> None:
    drawn = "Item . 2022 2023\nIncome\nRent . 5 6\nFood . 7 8\nTotal . 12 14"
    [table] = blocks_of(grid(drawn))
    assert table.text.startswith("| Item | 2022 | 2023 |\n")
    assert "| Rent | 5 | 6 |\n" in table.text


def test_a_lower_table_to_the_right_with_a_head_of_its_own_is_parted() -> None:
    drawn = "a b\n1 2\n3 4 . x y\n5 6 . 7 8\n. . . 9 10"
    assert shapes(drawn) == [("table", "S!A1:B4"), ("table", "S!D3:E5")]


def test_a_label_merged_over_rows_stands_in_each_of_them() -> None:
    [table] = blocks_of(grid("Area Town People\nNorth Bodø 1\n. Tromsø 2\nSouth Oslo 7"), Merge(2, 1, 3, 1))
    assert "| North | Tromsø | 2 |\n" in table.text


def test_a_number_merged_over_rows_is_not_counted_twice() -> None:
    [table] = blocks_of(grid("Area Town People\n5 Bodø 1\n. Tromsø 2"), Merge(2, 1, 3, 1))
    assert "|  | Tromsø | 2 |\n" in table.text


def test_a_head_merged_over_columns_stands_over_each_of_them() -> None:
    [table] = blocks_of(grid("Town 2023 . 2024\n. May June May\nOslo 1 2 3"), Merge(1, 2, 1, 3))
    assert table.text.startswith("| Town | 2023 | 2023 | 2024 |\n")


def test_a_title_merged_over_the_table_stands_once() -> None:
    blocks = blocks_of(grid("Title\nA B\n1 2"), Merge(1, 1, 1, 2))
    assert blocks[0].text == "Title\n\n"


def test_long_tables_come_in_blocks_that_say_their_rows() -> None:
    rows = [Row(n, {1: f"row {n}", 2: str(n)}) for n in range(1, 2 * BLOCK_ROWS + 11)]
    blocks = blocks_of(rows)
    assert [block.anchor for block in blocks] == ["S!A1:B50", "S!A51:B100", "S!A101:B110"]
    assert blocks[1].text.startswith("| row 51 | 51 |\n")
    assert [block.text.endswith("\n\n") for block in blocks] == [False, False, True]


def test_a_huge_table_is_one_table_and_passes_a_part_at_a_time() -> None:
    pulled = 0

    def rows() -> Iterator[Row]:
        nonlocal pulled
        for number in range(1, 20 * AREA_ROWS):
            pulled = number
            yield Row(number, {1: "a", 2: str(number)})

    blocks = lay_out(rows(), [], "S")
    next(blocks)
    assert pulled <= 2 * AREA_ROWS
    assert sum("---" in block.text for block in blocks) == 0


def test_a_column_that_shows_up_late_begins_the_table_anew_under_its_head() -> None:
    rows = [Row(n, {1: "name" if n == 1 else "a", 2: "size" if n == 1 else str(n)}) for n in range(1, AREA_ROWS + 10)]
    rows.append(Row(AREA_ROWS + 10, {1: "a", 2: "9", 4: "late"}))
    text = "".join(block.text for block in blocks_of(rows))
    assert text.count("| name | size |  |\n| --- | --- | --- |\n") == 1
    assert text.endswith("| a | 9 | late |\n\n")


def test_cells_far_from_each_other_are_written_cell_by_cell() -> None:
    rows = [Row(n, {1: "a", n * 100: "far"}) for n in range(2, 100)]
    blocks = blocks_of(rows)
    assert {block.kind for block in blocks} == {BlockKind.PARAGRAPH}
    assert "GR2: far\n" in blocks[0].text
    assert sum(len(block.text) for block in blocks) < 10_000


def test_long_lines_are_parted() -> None:
    blocks = blocks_of([Row(1, {1: "word " * 5_000})])
    assert all(len(block.text) <= BLOCK_CHARACTERS + 1 for block in blocks)
    assert {block.anchor for block in blocks} == {"S!A1"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Sales", "Sales"),
        ("销售", "销售"),
        ("Q1.2023", "Q1.2023"),
        ("My sheet", "'My sheet'"),
        ("Bob's", "'Bob''s'"),
        ("2023", "'2023'"),
        ("AB12", "'AB12'"),
        ("R1C1", "'R1C1'"),
        ("", "''"),
    ],
)
def test_sheet_names_are_quoted_as_in_formulas(name: str, expected: str) -> None:
    assert quoted(name) == expected


@pytest.mark.parametrize(("number", "letters"), [(1, "A"), (26, "Z"), (27, "AA"), (702, "ZZ"), (16384, "XFD")])
def test_columns_have_letters(number: int, letters: str) -> None:
    assert column_letters(number) == letters


PLACES = st.dictionaries(
    st.tuples(st.integers(1, 12), st.integers(1, 8)), st.sampled_from(["word", "other", "12", "3.5%"]), max_size=40
)


@given(PLACES, st.lists(st.tuples(*[st.integers(1, 12)] * 4), max_size=3))
def test_no_cell_is_lost_wherever_it_stands(
    places: dict[tuple[int, int], str], corners: list[tuple[int, int, int, int]]
) -> None:
    drawn = {place: f"{text}-{place[0]}-{place[1]}x" for place, text in places.items()}
    rows = [
        Row(number, {column: text for (row, column), text in sorted(drawn.items()) if row == number})
        for number in sorted({row for row, _ in drawn})
    ]
    merges = [Merge(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners]
    text = "".join(block.text for block in lay_out(rows, merges, "S"))
    assert all(cell in text for cell in drawn.values())
