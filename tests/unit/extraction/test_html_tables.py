"""Tables of pages: every cell in its row and its column, and no table where there is none."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.document import Block, BlockKind
from bookwheel.extraction.formats.html import read
from bookwheel.extraction.html.tables import BLOCK_ROWS, STREAMED_ROWS
from bookwheel.extraction.notes import Notes


def blocks_of(folder: Path, page: str) -> list[Block]:
    source = folder / "source"
    source.write_text(page)
    return [item for item in read(source, Notes(folder)) if isinstance(item, Block)]


def lines_of(folder: Path, table: str) -> list[str]:
    [block] = blocks_of(folder, f"<table>{table}</table>")
    assert block.kind is BlockKind.TABLE
    assert block.text.endswith("|\n\n")
    return block.text.splitlines()[:-1]


def test_a_table_has_a_head_a_rule_and_its_rows(tmp_path: Path) -> None:
    table = "<thead><tr><th>Name<th>Born</tr></thead><tbody><tr><td>Su | Shi<td>1037<tr><td>Du<br>Fu<td>712"
    assert lines_of(tmp_path, table) == ["| Name | Born |", "| --- | --- |", "| Su \\| Shi | 1037 |", "| Du Fu | 712 |"]


def test_a_cell_that_spans_rows_stands_in_each(tmp_path: Path) -> None:
    table = "<tr><th>Year<th>Term<th>Sum<tr><td rowspan=2>2020<td>1<td>5<tr><td>2<td>6<tr><td>2021<td>1<td>7"
    assert lines_of(tmp_path, table)[2:] == ["| 2020 | 1 | 5 |", "| 2020 | 2 | 6 |", "| 2021 | 1 | 7 |"]


def test_a_head_that_spans_columns_stands_above_each(tmp_path: Path) -> None:
    table = "<tr><th rowspan=2>Name<th colspan=2>Sales<tr><th>May<th>June<tr><td>A<td>1<td>2"
    assert lines_of(tmp_path, table) == [
        "| Name | Sales | Sales |",
        "| --- | --- | --- |",
        "| Name | May | June |",
        "| A | 1 | 2 |",
    ]


def test_other_cells_that_span_columns_stand_once(tmp_path: Path) -> None:
    table = "<tr><th>a<th>b<th>c<tr><td colspan=2>wide<td>1<tr><th colspan=3>Section"
    assert lines_of(tmp_path, table)[2:] == ["| wide |  | 1 |", "| Section |  |  |"]


def test_columns_of_signs_go_to_the_figures_they_belong_to(tmp_path: Path) -> None:
    table = """<tr><td></td><td></td><td colspan=3>2020</td><td></td><td colspan=3>2019</td></tr>
    <tr><td>Revenue</td><td></td><td>$</td><td>100</td><td></td><td></td><td>$</td><td>90</td><td></td></tr>
    <tr><td>Loss</td><td></td><td>$</td><td>(5</td><td>)</td><td></td><td>$</td><td>(4</td><td>)</td></tr>
    <tr><td>Share</td><td></td><td></td><td>7</td><td>%</td><td></td><td></td><td>6</td><td>%</td></tr>"""
    assert [line.replace(" ", "") for line in lines_of(tmp_path, table)] == [
        "||2020|2019|",
        "|---|---|---|",
        "|Revenue|$100|$90|",
        "|Loss|$(5)|$(4)|",
        "|Share|7%|6%|",
    ]


def test_a_caption_stands_before_its_table(tmp_path: Path) -> None:
    caption, table = blocks_of(tmp_path, "<table><caption>Poets</caption><tr><th>a<td>b<tr><th>c<td>d</table>")
    assert (caption.text, caption.kind) == ("Poets\n\n", BlockKind.FIGURE)
    assert table.kind is BlockKind.TABLE


@pytest.mark.parametrize(
    "page",
    [
        "<table><tr><td><h2>One</h2><p>first</td><td><p>second</td></tr></table>",
        "<table role=presentation><tr><td>## One</td><td>first</td></tr><tr><td>second</td></tr></table>",
        "<table><tr><td>## One</td></tr><tr><td>first<tr><td>second</table>",
        "<table><tr><td>## One<p>first</p></td><td></td></tr><tr><td>second</table>",
    ],
)
def test_tables_that_lay_out_a_page_are_read_as_text(tmp_path: Path, page: str) -> None:
    blocks = blocks_of(tmp_path, page)
    assert "".join(block.text for block in blocks) == "## One\n\nfirst\n\nsecond\n\n"


def test_a_long_cell_is_text_and_no_part_of_a_table(tmp_path: Path) -> None:
    blocks = blocks_of(tmp_path, f"<table><tr><td>{'prose ' * 500}<td>beside</table>")
    assert [block.kind for block in blocks] == [BlockKind.PARAGRAPH, BlockKind.PARAGRAPH]


def test_a_table_inside_a_laid_out_page_is_a_table(tmp_path: Path) -> None:
    page = "<table><tr><td><h2>Left</h2><td><table><tr><th>a<td>1<tr><th>b<td>2</table></table>"
    heading, table = blocks_of(tmp_path, page)
    assert heading.kind is BlockKind.HEADING
    assert table.text == "| a | 1 |\n| --- | --- |\n| b | 2 |\n\n"


def test_a_small_table_inside_a_table_is_text_of_its_cell(tmp_path: Path) -> None:
    table = "<tr><th>a<th>b<tr><td>1<td><table><tr><td>x</td><td>y</td></tr></table>"
    assert len(lines_of(tmp_path, table)) == 3


def test_lists_in_cells_stay_in_their_cells(tmp_path: Path) -> None:
    assert lines_of(tmp_path, "<tr><th>a<th>b<tr><td>1<td><ul><li>x<li>y</ul>")[2] == "| 1 | - x - y |"


def test_a_table_in_a_list_parts_the_list(tmp_path: Path) -> None:
    page = "<ul><li>before<table><tr><th>a<th>b<tr><td>1<td>2</table><li>after</ul>"
    assert [block.kind for block in blocks_of(tmp_path, page)] == [BlockKind.LIST, BlockKind.TABLE, BlockKind.LIST]


def test_long_tables_come_in_blocks_that_say_their_rows(tmp_path: Path) -> None:
    rows = "".join(f"<tr><td>{number}<td>{number * number}" for number in range(1, 2 * STREAMED_ROWS))
    blocks = blocks_of(tmp_path, f"<h1>Squares</h1><table><tr><th>n<th>square{rows}</table>")[1:]
    assert blocks[0].anchor == f"Squares, rows 1-{BLOCK_ROWS}"
    assert blocks[0].text.startswith("| n | square |\n| --- | --- |\n| 1 | 1 |\n")
    assert blocks[1].anchor == f"Squares, rows {BLOCK_ROWS + 1}-{2 * BLOCK_ROWS}"
    lines = "".join(block.text for block in blocks).splitlines()
    assert lines[2:-1] == [f"| {number} | {number * number} |" for number in range(1, 2 * STREAMED_ROWS)]
    assert blocks[-1].text.endswith("|\n\n")
    assert not any(block.text.endswith("\n\n") for block in blocks[:-1])


def test_wide_rows_make_small_blocks(tmp_path: Path) -> None:
    row = "<tr>" + "<td>" + "x" * 1500 + "<td>" + "y" * 1500
    blocks = blocks_of(tmp_path, f"<table>{row * 10}</table>")
    assert max(len(block.text) for block in blocks) <= 8000


# Hostile tables


def test_spans_that_lie_do_not_grow(tmp_path: Path) -> None:
    rows = "<tr><td colspan=99999 rowspan=99999>x<td>y" * 500
    blocks = blocks_of(tmp_path, f"<table>{rows}</table>")
    text = "".join(block.text for block in blocks)
    assert text.count("y") == 500
    assert len(text) < 2_000_000


def test_what_spans_many_rows_is_repeated_within_a_budget(tmp_path: Path) -> None:
    wide = "".join(f"<td rowspan=9999>{'word ' * 30}" for _ in range(200))
    blocks = blocks_of(tmp_path, f"<table><tr>{wide}{'<tr>' * 5000}</table>")
    assert sum(len(block.text) for block in blocks) < 2_000_000


@pytest.mark.parametrize("span", ["0", "-1", "x", "", "1e9", "99999999999999999999"])
def test_spans_that_are_no_numbers_are_none(tmp_path: Path, span: str) -> None:
    assert lines_of(tmp_path, f"<tr><td colspan='{span}'>a<td>b<tr><td>c<td>d")[0] == "| a | b |"


def test_tables_nested_without_end_lose_nothing(tmp_path: Path) -> None:
    page = "".join(f"<table><tr><td>a{number}." for number in range(3000)) + "<p>after"
    text = "".join(block.text for block in blocks_of(tmp_path, page))
    assert all(f"a{number}." in text for number in range(3000))


@given(
    st.lists(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=4), min_size=2, max_size=5)
)
def test_every_cell_is_found_again(
    tmp_path_factory: pytest.TempPathFactory, spans: list[list[tuple[int, int]]]
) -> None:
    names = [[f"c{row}.{column}." for column in range(len(cells))] for row, cells in enumerate(spans)]
    rows = (
        "".join(f"<td colspan={wide} rowspan={high}>{name}" for name, (wide, high) in zip(labels, cells, strict=True))
        for labels, cells in zip(names, spans, strict=True)
    )
    page = "<table>" + "".join(f"<tr>{row}" for row in rows) + "</table>"
    text = "".join(block.text for block in blocks_of(tmp_path_factory.getbasetemp(), page))
    for labels in names:
        assert all(name in text for name in labels)
