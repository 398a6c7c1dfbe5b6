"""A table stays a table: one row a line, whatever parts its cells."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.document import Block, BlockKind
from bookwheel.extraction.formats import csv_table
from bookwheel.extraction.formats.csv_table import BLOCK_ROWS, read

DOCUMENTS = Path(__file__).parents[2] / "documents"
CELL = st.text(alphabet=st.sampled_from('ab ,;|"\n\t书'), max_size=6)


def blocks_of(folder: Path, text: str) -> list[Block]:
    source = folder / "source"
    source.write_bytes(text.encode())
    return list(read(source, "utf-8"))


def table_of(folder: Path, text: str) -> str:
    return "".join(block.text for block in blocks_of(folder, text))


def test_a_table_has_a_head_a_rule_and_its_rows() -> None:
    [block] = read(DOCUMENTS / "books-shift-jis.csv", "cp932")
    assert block.kind is BlockKind.TABLE
    assert block.anchor == "rows 1-4"
    assert block.text.splitlines() == [
        "| 書名 | 著者 | 初版 | 備考 |",
        "| --- | --- | --- | --- |",
        "| 吾輩は猫である | 夏目漱石 | 1905 | 猫の目から見た 人間の暮らし |",
        "| 羅生門 | 芥川龍之介 | 1915 | 短い |",
        "| 銀河鉄道の夜 | 宮沢賢治 | 1934 | 未完, 没後に刊行 |",
    ]


def test_a_pipe_in_a_cell_is_escaped() -> None:
    [block] = read(DOCUMENTS / "shelves.tsv", "utf-8")
    assert block.text.splitlines()[-1] == r"| 3 | Sermons \| second set | 1204 |"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    rows = [["name", "weight"], ["lead, grey", "11.3"], ["gold; yellow", "19.3"]]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    assert table_of(tmp_path, text.getvalue()) == (
        "| name | weight |\n| --- | --- |\n| lead, grey | 11.3 |\n| gold; yellow | 19.3 |\n"
    )


def test_commas_in_numbers_are_no_delimiters(tmp_path: Path) -> None:
    assert "| 1,5 | 2,5 |" in table_of(tmp_path, "a;b\n1,5;2,5\n3,25;4,0\n")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one\ntwo words\nthree, and more\n", ["| one |", "| --- |", "| two words |", "| three, and more |"]),
        ("a,b\n1\n1,2,3\n", ["| a | b |", "| --- | --- |", "| 1 |", "| 1 | 2 | 3 |"]),
        ("Cups,,\nTeam,City,Cups\n", ["| Cups |  |  |", "| --- | --- | --- |", "| Team | City | Cups |"]),
        ('size,n\n5" pipe,3\n6" pipe,4\n7" pipe,5\n', ["| size | n |", "| --- | --- |"]),
        ('a,b\n"never, closed\n1,2\n', ["| a | b |", "| --- | --- |", '| "never |  closed |', "| 1 | 2 |"]),
        ("x", ["| x |", "| --- |"]),
        ("", []),
        ("\n\n", []),
        ("a,b\n1,2\n,\n, \n", ["| a | b |", "| --- | --- |", "| 1 | 2 |"]),
    ],
)
def test_untidy_tables_stay_readable(tmp_path: Path, text: str, lines: list[str]) -> None:
    assert table_of(tmp_path, text).splitlines()[: len(lines)] == lines


@pytest.mark.parametrize("head", ["sep=;", "SEP=;", '"sep=;"'])
def test_a_first_line_that_says_the_delimiter_is_no_row(tmp_path: Path, head: str) -> None:
    [block] = blocks_of(tmp_path, f"{head}\r\nname;a,b,c\r\nlead;1,5,2\r\n")
    assert block.text == "| name | a,b,c |\n| --- | --- |\n| lead | 1,5,2 |\n"
    assert block.anchor == "rows 2-3"


@pytest.mark.parametrize("head", ["sep=", "sep=ab", 'sep="', "sep"])
def test_a_first_line_that_says_no_delimiter_is_a_row(tmp_path: Path, head: str) -> None:
    assert table_of(tmp_path, f"{head}\n1;2\n3;4\n").startswith(f"| {head}")


def test_quotes_behind_spaces_hold_their_cell_together(tmp_path: Path) -> None:
    table = table_of(tmp_path, 'name, "where, when", n\nlead, "here, now", 3\n')
    assert table.splitlines() == ["| name | where, when | n |", "| --- | --- | --- |", "| lead | here, now | 3 |"]


def test_quotes_inside_cells_lose_no_row(tmp_path: Path) -> None:
    table = table_of(tmp_path, 'size,n\n5" pipe,3\n6" pipe,4\n7" pipe,5\n')
    assert table.splitlines()[2:] == ['| 5" pipe | 3 |', '| 6" pipe | 4 |', '| 7" pipe | 5 |']


def test_a_quote_that_never_closes_swallows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_table, "RECORD_CHARACTERS", 1000)
    text = "a,b\n" + '"open,0\n' + "".join(f"{n},{n * n}\n" for n in range(500)) + '"two\nlines",1\n'
    lines = table_of(tmp_path, text).splitlines()
    assert lines[2:5] == ['| "open | 0 |', "| 0 | 0 |", "| 1 | 1 |"]
    assert lines[-2:] == ["| 499 | 249001 |", "| two lines | 1 |"]


def test_blocks_have_some_rows_and_say_which(tmp_path: Path) -> None:
    blocks = blocks_of(tmp_path, "n,square\n\n" + "".join(f"{n},{n * n}\n" for n in range(3, 121)))
    assert [block.anchor for block in blocks] == [f"rows 1-{BLOCK_ROWS}", "rows 51-100", "rows 101-120"]
    assert blocks[1].text.startswith("| 51 | 2601 |\n")
    assert "---" not in blocks[1].text


def test_a_block_of_one_row_says_so(tmp_path: Path) -> None:
    blocks = blocks_of(tmp_path, "a,b\n" + f"{'long ' * 2000},1\n" * 2)
    assert [block.anchor for block in blocks] == ["rows 1-2", "row 3"]


def test_a_cell_may_be_huge(tmp_path: Path) -> None:
    assert "x" * 1_000_000 in table_of(tmp_path, f"a,b\n1,{'x' * 1_000_000}\n")


@given(st.lists(st.lists(CELL, min_size=2, max_size=4), min_size=1, max_size=8))
def test_every_cell_is_found_again(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    source = tmp_path_factory.getbasetemp() / "source"
    source.write_bytes(text.getvalue().encode())
    table = letters("".join(block.text for block in read(source, "utf-8")))
    assert table == letters("".join("".join(row) for row in rows))


@given(st.text(alphabet=st.sampled_from('a,;|"\n\t \x00\x1f'), max_size=60))
def test_no_quoting_makes_it_fail(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    assert table_of(tmp_path_factory.getbasetemp(), text).count("a") == text.count("a")


def letters(text: str) -> str:
    return "".join(character for character in text if character in "ab书")
