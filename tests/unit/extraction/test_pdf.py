"""PDF as a user meets it: pages in order, headings, lists, what repeats once, what was filled in, what cannot be read."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bookwheel.document import Block, BlockKind
from bookwheel.errors import PagesExceeded, ParsingError
from bookwheel.extraction.formats.pdf import GROUP_PAGES, read
from bookwheel.extraction.notes import MOST_PAGES, Notes
from support.pdf_parts import HEIGHT, Sheet, assemble, lines, pdf, rule, stream, text, turned, write_pdf

PROSE = [
    "The bookwheel was a desk that turned, so that a reader could",
    "keep many books open at once and go from one to the other",
    "without getting up. It was drawn by Agostino Ramelli in his",
    "book of machines, and few of them were ever built.",
]


def blocks_of(source: Path) -> list[Block]:
    return [block for block in read(source, Notes(source.parent)) if isinstance(block, Block)]


def text_of(source: Path) -> str:
    return "".join(block.text for block in blocks_of(source))


def test_a_page_is_paragraphs(tmp_path: Path) -> None:
    source = write_pdf(tmp_path, lines(72, 700, PROSE) + lines(72, 630, ["A second paragraph."]))
    [first, second] = blocks_of(source)
    assert first == Block(BlockKind.PARAGRAPH, " ".join(PROSE) + "\n\n", "page 1")
    assert second.text == "A second paragraph.\n\n"


def test_pages_have_marks_where_there_are_several(tmp_path: Path) -> None:
    blocks = blocks_of(write_pdf(tmp_path, text(72, 700, "One page."), b"", text(72, 700, "The third.")))
    assert [(block.kind, block.text, block.anchor) for block in blocks] == [
        (BlockKind.MARK, "[page 1]\n\n", "page 1"),
        (BlockKind.PARAGRAPH, "One page.\n\n", "page 1"),
        (BlockKind.MARK, "[page 2]\n\n", "page 2"),
        (BlockKind.MARK, "[page 3]\n\n", "page 3"),
        (BlockKind.PARAGRAPH, "The third.\n\n", "page 3"),
    ]


def test_pages_are_said_and_blank_ones_counted(tmp_path: Path) -> None:
    said: list[tuple[str, int, int]] = []
    notes = Notes(tmp_path, lambda *page: said.append(page))
    list(read(write_pdf(tmp_path, text(72, 700, "Words."), b"", b""), notes))
    assert said == [("page", 1, 3), ("page", 2, 3), ("page", 3, 3)]
    assert notes.blank_pages == 2


def test_a_file_of_blank_pages_yields_nothing(tmp_path: Path) -> None:
    assert list(read(write_pdf(tmp_path, b"", rule(72, 700, 500, 700)), Notes(tmp_path))) == []


def test_more_pages_than_a_group_stay_in_order(tmp_path: Path) -> None:
    count = 2 * GROUP_PAGES + 3
    words = text_of(write_pdf(tmp_path, *(text(72, 400, f"Here stands line {n} alone.") for n in range(count)))).split(
        "\n\n"
    )
    assert [line for line in words if line.startswith("Here")] == [f"Here stands line {n} alone." for n in range(count)]


def test_headings_have_levels_by_their_size(tmp_path: Path) -> None:
    content = (
        text(72, 760, "The Bookwheel", 24, "B")
        + text(72, 720, "How it was made", 16, "B")
        + lines(72, 700, PROSE)
        + text(72, 630, "Of the wheels", 10, "B")
        + lines(72, 610, PROSE)
    )
    blocks = blocks_of(write_pdf(tmp_path, content))
    assert [(block.level, block.text) for block in blocks if block.kind is BlockKind.HEADING] == [
        (1, "# The Bookwheel\n\n"),
        (2, "## How it was made\n\n"),
        (3, "### Of the wheels\n\n"),
    ]


def test_the_outline_gives_headings_their_levels(tmp_path: Path) -> None:
    outline = [
        b"<</First 4 0 R/Last 4 0 R/Count 2>>",
        b"<</Title(Part one)/Parent 3 0 R/First 5 0 R/Last 5 0 R/Count 1>>",
        b"<</Title(Of the wheels)/Parent 4 0 R>>",
    ]
    content = text(72, 700, "Of the wheels", 14, "B") + lines(72, 680, PROSE)
    source = write_pdf(tmp_path, content, catalog="/Outlines 3 0 R", more=outline)
    assert "## Of the wheels\n\n" in text_of(source)


def test_numbers_of_sections_put_them_under_one_another(tmp_path: Path) -> None:
    titles = ["1 Of desks", "1.1 Of their wheels", "1.1.1 Of the spokes", "2 Of books"]
    content = b"".join(text(72, 760 - 120 * n, title, 10, "B") for n, title in enumerate(titles))
    content += b"".join(lines(72, 740 - 120 * n, PROSE) for n in range(4))
    blocks = blocks_of(write_pdf(tmp_path, content))
    assert [block.level for block in blocks if block.kind is BlockKind.HEADING] == [1, 2, 3, 1]


def test_an_annex_in_larger_letters_is_not_all_headings(tmp_path: Path) -> None:
    report = lines(40, 780, PROSE * 15, 8, 10)
    annex = b"".join(lines(72, 760 - 80 * n, [*PROSE[:3], "so it was."], 11, 14) for n in range(8))
    blocks = blocks_of(write_pdf(tmp_path, report, report, annex))
    assert not any(block.kind is BlockKind.HEADING for block in blocks)


@pytest.mark.parametrize(
    "line",
    [
        "9,842.50 EUR",
        "a sentence in large letters that goes on for quite a while and ends with a full stop, as sentences do.",
    ],
)
def test_large_letters_alone_make_no_heading(tmp_path: Path, line: str) -> None:
    source = write_pdf(tmp_path, text(20, 740, line, 12) + lines(72, 700, PROSE))
    assert not any(block.kind is BlockKind.HEADING for block in blocks_of(source))


def test_chinese_lines_are_joined_without_spaces(tmp_path: Path) -> None:
    words = ["古人读书，往往数卷并陈，左图右史，", "轮转以便检阅，谓之书轮。其制始于意", "大利，后传于中土。"]
    [block] = blocks_of(write_pdf(tmp_path, lines(72, 700, words, 12, 18, "C")))
    assert block == Block(BlockKind.PARAGRAPH, "".join(words) + "\n\n", "page 1")


def test_chinese_body_text_makes_no_headings(tmp_path: Path) -> None:
    content = b"".join(
        lines(72, 700 - 80 * n, ["书轮可容八卷，一人", "坐而观之，不必起立。"], 12, 18, "C") for n in range(5)
    )
    assert {block.kind for block in blocks_of(write_pdf(tmp_path, content))} == {BlockKind.PARAGRAPH}


def test_bullets_make_a_list_with_its_depth(tmp_path: Path) -> None:
    content = (
        text(72, 700, "\u2022 wood")
        + text(92, 686, "\u2022 oak")
        + text(92, 672, "\u2022 elm")
        + text(72, 658, "\u2022 brass")
    )
    [block] = blocks_of(write_pdf(tmp_path, content))
    assert block == Block(BlockKind.LIST, "- wood\n  - oak\n  - elm\n- brass\n\n", "page 1")


def test_numbered_items_keep_their_numbers(tmp_path: Path) -> None:
    content = lines(72, 700, ["1. Turn the wheel until the book you", "    want stands before you.", "2. Read."])
    [block] = blocks_of(write_pdf(tmp_path, content))
    assert block.text == "1. Turn the wheel until the book you want stands before you.\n2. Read.\n\n"


def test_a_table_of_contents_keeps_its_lines_without_their_dots(tmp_path: Path) -> None:
    content = lines(72, 700, [f"Chapter {n} {'. ' * 60}{n * 10}" for n in range(1, 5)])
    [block] = blocks_of(write_pdf(tmp_path, content))
    assert block.text.splitlines() == [
        "Chapter 1 ... 10",
        "Chapter 2 ... 20",
        "Chapter 3 ... 30",
        "Chapter 4 ... 40",
        "",
    ]


def test_heads_and_feet_stand_once_and_page_numbers_not_at_all(tmp_path: Path) -> None:
    def sheet(number: int) -> bytes:
        foot = text(72, 30, f"Of Books, {number} of 9") + text(500, 30, str(number + 4))
        return text(72, 770, "A TREATISE OF BOOKS") + text(72, 400, f"Text {'abcdefghi'[number - 1]}.") + foot

    words = text_of(write_pdf(tmp_path, *map(sheet, range(1, 10))))
    assert words.count("A TREATISE OF BOOKS") == 1
    assert words.count("Of Books") == 1
    assert words.count("Text ") == 9
    assert "\n\n5\n\n" not in words


def test_lines_that_differ_are_no_running_heads(tmp_path: Path) -> None:
    sheets = [text(72, 770, f"Total {n * 17} of {n * 31}") + text(72, 400, "Text.") for n in range(1, 7)]
    words = text_of(write_pdf(tmp_path, *sheets))
    assert all(f"Total {n * 17} of {n * 31}" in words for n in range(1, 7))


def test_turned_text_is_read_after_the_rest(tmp_path: Path) -> None:
    content = turned(40, 300, "In the margin", 0.0, 1.0) + lines(72, 700, PROSE) + turned(300, 300, "Askew", 0.94, 0.34)
    blocks = blocks_of(write_pdf(tmp_path, content))
    assert [block.text for block in blocks] == [" ".join(PROSE) + "\n\n", "In the margin\n\n", "Askew\n\n"]


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_a_turned_page_reads_like_an_upright_one(tmp_path: Path, rotate: int) -> None:
    [block] = blocks_of(write_pdf(tmp_path, Sheet(lines(72, 700, PROSE), rotate=rotate)))
    assert block.text == " ".join(PROSE) + "\n\n"


def test_letters_below_one_another_make_a_word(tmp_path: Path) -> None:
    columns = b"".join(lines(x, 700, list(word), 12, 13, "C") for x, word in ((300, "春眠不觉晓"), (280, "处处闻啼鸟")))
    assert text_of(write_pdf(tmp_path, columns)) == "春眠不觉晓处处闻啼鸟\n\n"


def test_doubled_letters_stand_once(tmp_path: Path) -> None:
    source = write_pdf(tmp_path, text(72, 700, "Bold by printing twice") + text(72.3, 700, "Bold by printing twice"))
    assert text_of(source) == "Bold by printing twice\n\n"


def test_what_lies_outside_of_the_page_is_not_read(tmp_path: Path) -> None:
    source = write_pdf(
        tmp_path, text(72, 700, "On the page.") + text(72, HEIGHT + 50, "Above it.") + text(900, 300, "Beside it.")
    )
    assert text_of(source) == "On the page.\n\n"


def test_values_of_fields_stand_at_their_places(tmp_path: Path) -> None:
    fields = [
        b"<</Type/Annot/Subtype/Widget/FT/Tx/T(name)/V(Agostino Ramelli)/Rect[130 696 300 712]/F 4>>",
        b"<</Type/Annot/Subtype/Widget/FT/Tx/T(key)/V(secret)/Ff 8192/Rect[130 656 300 672]/F 4>>",
        b"<</Type/Annot/Subtype/Widget/FT/Btn/T(yes)/V/Yes/AS/Yes/Rect[60 616 70 628]/F 4/AP<</N<</Yes 6 0 R/Off 6 0 R>>>>>>",
        stream(b"", "<</Type/XObject/Subtype/Form/BBox[0 0 10 10]"),
    ]
    content = text(72, 700, "Name:") + text(72, 660, "Password:") + text(80, 620, "Engineer")
    sheet = Sheet(content, notes=("3 0 R", "4 0 R", "5 0 R"))
    source = write_pdf(tmp_path, sheet, catalog="/AcroForm<</Fields[3 0 R 4 0 R 5 0 R]>>", more=fields)
    words = text_of(source)
    assert "Name: Agostino Ramelli" in words
    assert "[x] Engineer" in words
    assert "secret" not in words


def test_text_boxes_are_read_in_place_and_comments_after_the_text(tmp_path: Path) -> None:
    notes = [
        b"<</Type/Annot/Subtype/FreeText/Contents(A box)/Rect[72 650 200 664]/F 4>>",
        b"<</Type/Annot/Subtype/Highlight/Contents(Is that so?)/Rect[72 700 200 712]/F 4>>",
        b"<</Type/Annot/Subtype/Text/Contents(Hidden)/Rect[72 600 90 612]/F 2>>",
    ]
    content = text(72, 700, "Above.") + text(72, 600, "Below.")
    source = write_pdf(tmp_path, Sheet(content, notes=("3 0 R", "4 0 R", "5 0 R")), more=notes)
    assert [block.text for block in blocks_of(source)] == [
        "Above.\n\n",
        "A box\n\n",
        "Below.\n\n",
        "Comment: Is that so?\n\n",
    ]


def test_long_paragraphs_are_parted(tmp_path: Path) -> None:
    content = lines(
        20, 795, ["many words that fill the whole page from edge to edge in the smallest print " * 4] * 260, 3, 3
    )
    blocks = blocks_of(write_pdf(tmp_path, content))
    assert len(blocks) > 1
    assert max(len(block.text) for block in blocks) <= 8_000


def test_a_page_that_cannot_be_read_costs_only_itself(tmp_path: Path) -> None:
    source = tmp_path / "source"
    whole = pdf([Sheet(text(72, 700, "First.")), Sheet(text(72, 700, "Second."))])
    first_page = whole.index(b"/Kids[") + len(b"/Kids[")
    source.write_bytes(whole[:first_page] + b"1" + whole[first_page + 1 :])
    notes = Notes(tmp_path)
    words = "".join(block.text for block in read(source, notes) if isinstance(block, Block))
    assert "Second." in words
    assert notes.warnings == ["Page 1 could not be read."]


def test_a_password_is_asked_to_be_taken_off(tmp_path: Path) -> None:
    locked = "/Encrypt<</Filter/Standard/V 1/R 2/P -4/O<{0}>/U<{0}>>>/ID[<00><00>]".format("41" * 32)
    source = tmp_path / "source"
    source.write_bytes(assemble([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Count 0/Kids[]>>"], locked))
    with pytest.raises(ParsingError, match="protected with a password: save it without one"):
        list(read(source, Notes(tmp_path)))


@pytest.mark.parametrize("data", [b"", b"no PDF at all", b"%PDF-1.7\n", b"%PDF-1.4\n" + bytes(5000)])
def test_what_is_no_pdf_is_refused(tmp_path: Path, data: bytes) -> None:
    source = tmp_path / "source"
    source.write_bytes(data)
    with pytest.raises(ParsingError, match="It is damaged"):
        list(read(source, Notes(tmp_path)))


def test_every_half_of_a_file_is_read_or_refused(tmp_path: Path) -> None:
    whole = pdf([Sheet(lines(72, 700, PROSE))] * 3)
    source = tmp_path / "source"
    for end in range(50, len(whole), 97):
        source.write_bytes(whole[:end])
        try:
            text_of(source)
        except ParsingError as error:
            assert "damaged" in str(error)


@given(places=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=30))
@settings(max_examples=60)
def test_changed_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, places: list[tuple[int, int]]
) -> None:
    data = bytearray(pdf([Sheet(lines(72, 700, PROSE) + rule(72, 600, 300, 600))] * 2))
    for place, byte in places:
        data[place % len(data)] = byte
    source = tmp_path_factory.getbasetemp() / "changed"
    source.write_bytes(data)
    try:
        list(read(source, Notes(source.parent)))
    except ParsingError as error:
        assert str(error).startswith("parsing error. It is")


def test_too_many_pages_are_refused_before_any_is_read(tmp_path: Path) -> None:
    count = MOST_PAGES + 1
    kids = " ".join(["3 0 R"] * count)
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>"
    source = tmp_path / "source"
    tree = f"<</Type/Pages/Count {count}/Kids[{kids}]>>".encode()
    source.write_bytes(assemble([b"<</Type/Catalog/Pages 2 0 R>>", tree, page]))
    said: list[int] = []
    with pytest.raises(PagesExceeded):
        list(read(source, Notes(tmp_path, lambda _, number, __: said.append(number))))
    assert said == []


def test_a_tree_of_pages_that_goes_in_circles_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    tree = b"<</Type/Pages/Count 2/Kids[2 0 R 2 0 R]/Parent 2 0 R>>"
    source.write_bytes(assemble([b"<</Type/Catalog/Pages 2 0 R>>", tree]))
    with pytest.raises(ParsingError, match="It is damaged"):
        list(read(source, Notes(tmp_path)))


def test_an_outline_that_goes_in_circles_does_no_harm(tmp_path: Path) -> None:
    outline = [b"<</First 4 0 R/Last 4 0 R>>", b"<</Title(One)/Parent 3 0 R/Next 4 0 R/First 4 0 R>>"]
    source = write_pdf(tmp_path, text(72, 700, "Text."), catalog="/Outlines 3 0 R", more=outline)
    assert text_of(source) == "Text.\n\n"


def test_a_bomb_of_text_stays_within_its_limits(tmp_path: Path) -> None:
    source = write_pdf(tmp_path, b"BT /F 1 Tf 1 0 0 1 5 5 Tm\n" + b"(aaaaaaaaaa bbbbbbbbbb) Tj\n" * 100_000 + b"ET")
    assert len(text_of(source)) < 1_000_000


def warnings_of(source: Path) -> list[str]:
    notes = Notes(source.parent)
    list(read(source, notes))
    return notes.warnings


def test_attached_files_are_told(tmp_path: Path) -> None:
    files = [b"<</Type/Filespec/F(data.txt)/UF(data.txt)/EF<</F 4 0 R>>>>", stream(b"Hello")]
    names = "/Names<</EmbeddedFiles<</Names[(data.txt) 3 0 R (more.txt) 3 0 R]>>>>"
    source = write_pdf(tmp_path, text(72, 700, "Text."), catalog=names, more=files)
    assert warnings_of(source) == ["It holds 2 attached files that were not read."]


def test_a_form_of_xfa_is_told(tmp_path: Path) -> None:
    source = write_pdf(tmp_path, text(72, 700, "Please wait."), catalog="/AcroForm<</Fields[]/XFA(x)>>")
    assert warnings_of(source) == ["It is an XFA form: only what its pages show without a form program was read."]


@pytest.mark.parametrize("kind", ["Text", "Line", "Polygon", "FileAttachment", "Stamp"])
def test_what_was_said_of_a_place_is_a_comment(tmp_path: Path, kind: str) -> None:
    note = f"<</Type/Annot/Subtype/{kind}/Rect[72 590 200 610]/Contents(See here)>>"
    source = write_pdf(tmp_path, Sheet(text(72, 700, "Text."), notes=[note]))
    assert text_of(source) == "Text.\n\nComment: See here\n\n"
