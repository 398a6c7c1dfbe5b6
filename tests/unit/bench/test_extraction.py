"""The extraction benchmark counts what arrived, and no tool's crash or hang stops it."""

import json
import sys
from pathlib import Path

import pytest

from bench.converting import Conversion, Limits, Tool, convert, make_peers, read_conversion, warm_up_file
from bench.extraction import Result, count_pages, main, measure
from bench.manifest import NO_CRASH, OCR, PASSWORD, TEXT, Expected, fold, read_manifest, score
from bench.tables import TRUTH, best_match, markdown_tables, read_cell, read_tables

DOCUMENTS = Path(__file__).parents[2] / "documents"
LIMITS = Limits(memory_mb=4096, seconds=60)
HEAD = "file\tformat\tsource\tlicence\tbytes\texpect\twhy\tstrings\n"


def expected(expect: str, *strings: str, name: str = "txt/a.txt", size_bytes: int = 10) -> Expected:
    return Expected(name, name.partition("/")[0], size_bytes, expect, strings)


def script(folder: Path, text: str) -> Path:
    """A program in the place of a tool's Python."""
    path = folder / "tool.sh"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_manifest_gives_the_files_and_what_to_expect(tmp_path: Path) -> None:
    (tmp_path / "manifest.tsv").write_text(HEAD + 'pdf/a.pdf\tpdf\tme\tMIT\t12\ttext\tbold\t["one", "二"]\n', "utf-8")
    assert read_manifest(tmp_path) == [Expected("pdf/a.pdf", "pdf", 12, TEXT, ("one", "二"))]


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("| **Total** | 1,234 |", "total 1234"),
        ("ＡＢＣ　１２", "abc12"),
        ("a &amp; b", "a & b"),
        ("see [the site](https://example.org/x)", "see the site"),
        ("line<br>break", "line break"),
        ("co-\noperate", "cooperate"),
    ],
)
def test_markup_width_and_white_space_make_no_difference(text: str, same_as: str) -> None:
    assert fold(text) == fold(same_as)


def test_strings_are_counted_and_all_make_a_file_right() -> None:
    both = expected(TEXT, "One two", "three")
    assert score(both, "one  two and **three**", refused=False).right
    half = score(both, "one two", refused=False)
    assert (half.found, half.strings, half.right) == (1, 2, False)
    assert score(both, None, refused=True).found == 0


@pytest.mark.parametrize(
    ("expect", "text", "refused", "right"),
    [
        (PASSWORD, None, True, True),
        (PASSWORD, "it was read", False, False),
        (PASSWORD, None, False, False),
        (NO_CRASH, None, True, True),
        (NO_CRASH, "", False, True),
        (NO_CRASH, None, False, False),
    ],
)
def test_refusals_are_right_where_they_are_expected_and_crashes_never(
    expect: str, text: str | None, refused: bool, right: bool
) -> None:
    assert score(expected(expect), text, refused=refused).right is right


def test_ours_runs_in_a_process_of_its_own_and_says_what_it_took(tmp_path: Path) -> None:
    ours = Tool("bookwheel", Path(sys.executable))
    found = convert(ours, DOCUMENTS / "notes.md", tmp_path / "md" / "notes.md", LIMITS, None)
    assert found.text is not None
    assert not found.died
    assert found.cpu_seconds > 0
    assert found.peak_mb > 10
    assert (tmp_path / "md" / "notes.md.txt").read_text("utf-8") == found.text
    assert read_conversion(tmp_path / "md" / "notes.md") == found


def test_ours_without_ocr_leaves_the_text_of_pictures_out(tmp_path: Path) -> None:
    tool = Tool("bookwheel-text", Path(sys.executable), ocr="no")
    found = convert(tool, DOCUMENTS / "mixed.pdf", tmp_path / "mixed.pdf", LIMITS, None)
    assert found.text
    assert tool.reads(expected(TEXT, name="pdf/a.pdf"))
    assert not tool.reads(expected(OCR, name="pdf/a.pdf"))
    assert not tool.reads(expected(TEXT, name="image/a.png"))


def test_a_refusal_is_kept_with_its_message(tmp_path: Path) -> None:
    ours = Tool("bookwheel", Path(sys.executable))
    found = convert(ours, DOCUMENTS / "password.pdf", tmp_path / "password.pdf", LIMITS, None)
    assert found.refused
    assert "password" in (tmp_path / "password.pdf.err").read_text("utf-8")


@pytest.mark.parametrize(
    ("does", "why"), [("exit 3", "status 3"), ("kill -SEGV $$", "status -11"), ("sleep 600", "ended after")]
)
def test_a_crash_and_a_hang_are_the_tools_failure(tmp_path: Path, does: str, why: str) -> None:
    target = tmp_path / "out" / "notes.md"
    target.parent.mkdir()
    (tmp_path / "out" / "notes.md.txt").write_text("from an earlier run")
    tool = Tool("broken", script(tmp_path, does))
    found = convert(tool, DOCUMENTS / "notes.md", target, Limits(1024, 0.5), None)
    assert found.died
    assert not found.refused
    assert why in found.error
    assert list(target.parent.iterdir()) == []


def test_every_tool_gets_every_file_that_it_reads(tmp_path: Path) -> None:
    (tmp_path / "md").mkdir()
    (tmp_path / "md" / "notes.md").write_bytes((DOCUMENTS / "notes.md").read_bytes())
    files = [expected(TEXT, "no such words", name="md/notes.md")]
    broken = script(tmp_path, "exit 1")
    tools = [
        Tool("broken", broken),
        Tool("only pdf", broken, frozenset({"pdf"})),
        Tool("only ocr", broken, ocr="only"),
    ]
    results = measure(tools, tmp_path, files, files, tmp_path / "out", LIMITS)
    assert {name: len(found) for name, found in results.items()} == {"broken": 1, "only pdf": 0, "only ocr": 0}
    assert not results["broken"][0].score.right


def test_a_short_run_writes_nothing_and_fails_where_ours_died(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "md").mkdir()
    (tmp_path / "md" / "notes.md").write_bytes((DOCUMENTS / "notes.md").read_bytes())
    (tmp_path / "manifest.tsv").write_text(HEAD + 'md/notes.md\tmd\t-\t-\t100\ttext\t-\t["nowhere in it"]\n')
    status = main([str(tmp_path), "--quick", "--tools", "bookwheel", "--out", str(tmp_path / "out")])
    said = capsys.readouterr()
    assert status == 0
    assert "0 of 1" in said.out
    assert "md/notes.md (text): some strings are missing" in said.err
    assert "Not written" in said.out
    assert main([str(tmp_path), "--quick", "--tools", "bookwheel", "--out", str(tmp_path / "out"), "--memory-mb", "1"])


def test_files_are_told_apart_by_whether_they_need_ocr() -> None:
    conversion = Conversion("x", "", died=False, cpu_seconds=1.0, peak_mb=1.0)
    rows = [
        Result(one, conversion, score(one, "x", refused=False), 1).row
        for one in (expected(OCR, name="pdf/a.pdf"), expected(TEXT, name="pdf/b.pdf"))
    ]
    assert rows == ["pdf, OCR", "pdf"]


def test_pages_are_those_of_a_pdf_that_opens() -> None:
    assert count_pages(DOCUMENTS / "bookwheel.pdf") >= 1
    assert count_pages(DOCUMENTS / "password.pdf") == 1
    assert count_pages(DOCUMENTS / "bookwheel.png") == 1


def test_a_tool_is_warmed_up_with_the_smallest_honest_file_alike() -> None:
    files = [
        expected(NO_CRASH, name="pdf/broken.pdf", size_bytes=1),
        expected(TEXT, name="pdf/large.pdf", size_bytes=900),
        expected(TEXT, name="pdf/small.pdf", size_bytes=90),
        expected(OCR, name="pdf/scan.pdf", size_bytes=50),
        expected(TEXT, name="md/notes.md", size_bytes=5),
    ]
    assert warm_up_file(files, files[1]) == "pdf/small.pdf"
    assert warm_up_file(files, files[3]) == "pdf/scan.pdf"
    assert warm_up_file(files, expected(TEXT, name="epub/a.epub")) is None


def test_the_peers_environment_is_made_once(tmp_path: Path) -> None:
    peers = tmp_path / "peers.txt"
    peers.write_text("nothing\n")
    folder = tmp_path / "environment"
    folder.mkdir()
    (folder / "peers.txt").write_text("nothing\n")
    make_peers(folder, peers)
    assert [path.name for path in folder.iterdir()] == ["peers.txt"]


TABLE = "| Item | 2022 | 2023 |\n| --- | ---: | --- |\n| Rent | $1,234 | (5) |\n| Food \\| drink | 12.5% | – |\n"


def cells(*rows: str) -> list[list[object]]:
    return [[read_cell(cell) for cell in row.split(";")] for row in rows]  # type: ignore[misc]


def test_markdown_tables_are_found_with_their_cells() -> None:
    first, second = markdown_tables(f"text\n\n{TABLE}\nmore | text\n\n| a |\n|---|\n")
    assert [cell.words for cell in first[0]] == ["item", "2022", "2023"]
    assert first[2][0].words == "fooddrink"
    assert len(second) == 1


def test_cells_count_only_in_their_row_and_column() -> None:
    assert best_match(cells("Item;2022;2023", "Rent;1,234;(5)"), TABLE) == 6
    assert best_match(cells("Item;2022;2023", "Rent;(5);1,234"), TABLE) == 4
    assert best_match(cells("Rent;1,234", "Item;2022"), TABLE) == 2
    assert best_match(cells("Item", "Rent", "Lost"), TABLE) == 2
    assert best_match(cells("Item;2022"), "no table") == 0


def test_a_table_may_have_more_rows_and_columns_than_are_asked_for() -> None:
    wide = "| x |  | Item |  | 2022 |\n| --- | --- | --- | --- | --- |\n| - | - | - | - | - |\n| y |  | Rent |  | 7 |\n"
    assert best_match(cells("Item;2022", "Rent;7"), wide) == 4


@pytest.mark.parametrize(
    ("true", "read", "same"),
    [
        ("1,234", "$ 1234.00", True),
        ("183.13", "183.129999", True),
        ("183.13", "183.14", False),
        ("7.11%", "0.0711", True),
        ("(5)", "-5", True),
        ("-5", "5", False),
        ("9", "9 apples", False),
        ("Total", "**Total**", True),
        ("", "", False),
    ],
)
def test_a_cell_says_the_same_in_other_digits(true: str, read: str, same: bool) -> None:
    assert read_cell(true).is_in(read_cell(read)) is same


def test_the_true_tables_are_tables() -> None:
    truths = read_tables(TRUTH)
    assert len(truths) >= 10
    assert {Path(truth.file).suffix for truth in truths} == {".pdf", ".docx", ".xlsx"}
    assert all(len({len(row) for row in truth.rows}) == 1 and truth.cells for truth in truths)
    assert len(json.loads(TRUTH.read_text("utf-8"))) == len(truths)
