"""Tables render as Markdown that no cell can break."""

from hypothesis import given
from hypothesis import strategies as st

from bookwheel.extraction.tables import render_table, table_row, table_rule


def test_the_first_row_is_the_head() -> None:
    assert render_table([["a", "b"], ["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


def test_rows_are_filled_up_to_the_widest() -> None:
    assert render_table([["a"], ["1", "2"], []]) == "| a |  |\n| --- | --- |\n| 1 | 2 |\n|  |  |\n"


def test_no_rows_and_no_cells_are_no_table() -> None:
    assert render_table([]) == ""
    assert render_table([[], []]) == ""


def test_pipes_are_escaped_and_line_ends_are_spaces() -> None:
    assert table_row(["a|b", " c\nd\r"]) == "| a\\|b | c d |\n"


def test_the_rule_has_the_same_columns() -> None:
    assert table_rule(3) == "| --- | --- | --- |\n"


@given(st.lists(st.lists(st.text(alphabet=st.sampled_from("ab |\n\r\v\f"), max_size=5), max_size=4), max_size=5))
def test_every_row_is_one_line_with_as_many_cells(rows: list[list[str]]) -> None:
    lines = render_table(rows).split("\n")[:-1]
    width = max(map(len, rows), default=0)
    assert len(lines) == (len(rows) + 1 if width else 0)
    assert all(line.replace("\\|", "").count("|") == width + 1 for line in lines)
