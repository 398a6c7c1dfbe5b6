"""Merged cells are laid out so that each row can be read for itself."""

from lxml import etree

from bookwheel.extraction.docx import tables as docx_tables
from bookwheel.extraction.docx.tables import MOST_COLUMNS, grid_of, lay_out, row_cells, without_empty_columns
from support.docx_parts import DECLARED, cell, p, row, table

DOWN = '<w:vMerge w:val="restart"/>'
UP = "<w:vMerge/>"


def rows_of(*rows: str, grid: int = 0) -> list[list[str]]:
    """The rows of a table as they are laid out."""
    columns = f"<w:tblGrid>{'<w:gridCol/>' * grid}</w:tblGrid>"
    element = etree.fromstring(f"<w:tbl {DECLARED}>{columns}{''.join(rows)}</w:tbl>")
    state = grid_of(element)
    found = []
    for one in element.iterchildren("{*}tr"):
        cells = row_cells(one)
        found.append(lay_out(state, cells, ["".join(c.element.itertext("{*}t")) for c in cells]))
    return found


def cells(*found: str) -> str:
    return f"<w:tr>{''.join(found)}</w:tr>"


def span(text: str, columns: int | str) -> str:
    return cell(text, f'<w:gridSpan w:val="{columns}"/>')


def test_what_is_merged_over_rows_stands_in_each_of_them() -> None:
    assert rows_of(
        row("Region", "City"), cells(cell("North", DOWN), cell("A")), cells(cell("", UP), cell("B")), row("South", "C")
    ) == [["Region", "City"], ["North", "A"], ["North", "B"], ["South", "C"]]


def test_long_text_that_is_merged_over_rows_stands_once() -> None:
    text = "long " * 40
    assert rows_of(cells(cell(text, DOWN), cell("A")), cells(cell("", UP), cell("B"))) == [[text, "A"], ["", "B"]]


def test_what_is_merged_over_columns_heads_all_of_them_in_the_first_row_only() -> None:
    assert rows_of(
        cells(cell("Year"), span("Sales", 2)), row("2020", "1", "2"), cells(span("Total", 2), cell("3"))
    ) == [["Year", "Sales", "Sales"], ["2020", "1", "2"], ["Total", "", "3"]]


def test_a_title_over_the_whole_table_stands_once() -> None:
    assert rows_of(cells(span("Title", 3)), row("a", "b", "c"))[0] == ["Title", "", ""]


def test_rows_may_begin_later_and_end_earlier() -> None:
    late = f'<w:tr><w:trPr><w:gridBefore w:val="1"/></w:trPr>{cell("b")}</w:tr>'
    assert rows_of(row("x", "y"), late, row("z")) == [["x", "y"], ["", "b"], ["z"]]


def test_rows_without_a_word_are_left_out() -> None:
    assert rows_of(row("", ""), row("a", ""), cells(cell("", UP), cell(""))) == [[], ["a", ""], []]


def test_cells_in_content_controls_are_cells() -> None:
    assert rows_of(cells(cell("a"), f"<w:sdt><w:sdtContent>{cell('b')}</w:sdtContent></w:sdt>")) == [["a", "b"]]


def test_spans_without_end_are_bounded() -> None:
    [found] = rows_of(cells(span("wide", 10**9), cell("lost")), grid=3)
    assert found == ["wide", *[""] * (MOST_COLUMNS - 1)]
    [found] = rows_of(cells(span("a", "x"), span("b", -3), span("c", 0)))
    assert found == ["a", "b", "c"]
    assert len(rows_of(row(*["x"] * 1000))[0]) == MOST_COLUMNS


def test_columns_in_which_no_row_has_a_word_go() -> None:
    assert without_empty_columns([["a", "", "b"], ["c", "", ""], ["d"]]) == [["a", "b"], ["c", ""], ["d", ""]]


def test_rows_that_were_deleted_are_known() -> None:
    deleted = etree.fromstring(f"<w:tr {DECLARED}><w:trPr><w:del/></w:trPr></w:tr>")
    assert docx_tables.is_deleted(deleted)
    assert not docx_tables.is_deleted(etree.fromstring(f"<w:tr {DECLARED}/>"))


def test_rows_that_are_too_full_for_a_line_are_known() -> None:
    def too_full(*insides: str, is_first: bool = False) -> bool:
        filled = "".join(f"<w:tc>{inside}</w:tc>" for inside in insides)
        return docx_tables.is_too_full(
            row_cells(etree.fromstring(f"<w:tr {DECLARED}>{filled}</w:tr>")), is_first=is_first
        )

    label, paragraph = p("label"), p("word " * 50)
    small, large = table(row("a", "b"), row("c", "d")), table(*[row("some words", "and more")] * 40)
    assert too_full(paragraph * 20)
    assert not too_full(paragraph)
    assert too_full(small, small), "side by side, in a table that only lays them out"
    assert too_full(small, p())
    assert too_full(label, large)
    assert not too_full(label, small)
    assert too_full(label, small, is_first=True)
    assert not too_full(label, table(row("a", "b")))
    assert not too_full(table(row("a"), row("b")))
