"""A workbook reads as its user sees it, whoever wrote it and whatever is wrong with it."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.document import Block, BlockKind, Picture
from bookwheel.errors import ParsingError, SizeExceeded
from bookwheel.extraction import archive
from bookwheel.extraction.formats.xlsx import read
from bookwheel.extraction.notes import Notes
from bookwheel.extraction.xlsx import cells as xlsx_cells
from bookwheel.extraction.xlsx import package as xlsx_package
from bookwheel.extraction.xlsx import text as xlsx_text
from bookwheel.extraction.xlsx.cells import column_letters

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/spreadsheetml/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
DRAWING = 'xmlns:xdr="urn:xdr" xmlns:a="urn:a" xmlns:r="urn:r" xmlns:c="urn:c" xmlns:mc="urn:mc"'
STYLES = (
    '<numFmts count="1"><numFmt numFmtId="164" formatCode="0.0&quot; kg&quot;"/></numFmts>'
    '<cellStyleXfs><xf numFmtId="9"/></cellStyleXfs>'
    '<cellXfs><xf numFmtId="0"/><xf numFmtId="10"/><xf numFmtId="14"/><xf numFmtId="164"/><xf/></cellXfs>'
)


def relations(targets: Mapping[str, tuple[str, str]]) -> str:
    items = "".join(
        f'<Relationship Id="{id_}" Type="{RELATIONS}/{kind}" Target="{target}"/>'
        for id_, (kind, target) in targets.items()
    )
    return f'<Relationships xmlns="{PACKAGE}">{items}</Relationships>'


def workbook(
    path: Path,
    *sheets: str,
    names: tuple[str, ...] = (),
    states: tuple[str, ...] = (),
    strings: str = "",
    properties: str = "",
    namespace: str = MAIN,
    more: Mapping[str, str | bytes] | None = None,
) -> Path:
    """A workbook of sheets, each given as what stands in its root element."""
    listed = "".join(
        f"<sheet name={quoteattr(names[n] if n < len(names) else f'Sheet{n + 1}')} sheetId='{n + 1}' r:id='s{n}'"
        f" state='{states[n] if n < len(states) else 'visible'}'/>"
        for n in range(len(sheets))
    )
    related = {f"s{n}": ("worksheet", f"worksheets/sheet{n + 1}.xml") for n in range(len(sheets))}
    related |= {"strings": ("sharedStrings", "sharedStrings.xml"), "styles": ("styles", "/xl/styles.xml")}
    parts: dict[str, str | bytes] = {
        "_rels/.rels": relations({"w": ("officeDocument", "xl/workbook.xml")}),
        "xl/_rels/workbook.xml.rels": relations(related | {"people": ("person", "persons/person.xml")}),
        "xl/workbook.xml": f'<workbook xmlns="{namespace}" xmlns:r="{RELATIONS}">{properties}'
        f"<sheets>{listed}</sheets></workbook>",
        "xl/styles.xml": f'<styleSheet xmlns="{namespace}">{STYLES}</styleSheet>',
        "xl/sharedStrings.xml": f'<sst xmlns="{namespace}">{strings}</sst>',
    }
    parts |= {f"xl/worksheets/sheet{n + 1}.xml": sheet_part(text, namespace) for n, text in enumerate(sheets)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in (parts | dict(more or {})).items():
            file.writestr(name, content)
    return path


def sheet_part(text: str, namespace: str = MAIN) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<worksheet xmlns="{namespace}" xmlns:r="{RELATIONS}">{text}</worksheet>'


def rows(*rows_of_cells: str) -> str:
    """Sheet data of rows numbered from 1, each given as its cells."""
    numbered = enumerate(rows_of_cells, 1)
    joined = "".join(f'<row r="{n}">{cells}</row>' for n, cells in numbered)
    return f"<sheetData>{joined}</sheetData>"


def words(reference: str, text: str) -> str:
    return f'<c r="{reference}" t="inlineStr"><is><t>{escape(text)}</t></is></c>'


def items_of(path: Path, notes: Notes | None = None) -> list[Block | Picture]:
    return list(read(path, notes or Notes(path.parent)))


def blocks_of(path: Path) -> list[Block]:
    return [item for item in items_of(path) if isinstance(item, Block)]


def text_of(path: Path) -> str:
    return "".join(block.text for block in blocks_of(path))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


def test_a_sheet_is_a_heading_and_a_table_with_anchors(source: Path) -> None:
    sheet = rows(words("A1", "Place") + words("B1", "People"), words("A2", "Oslo") + '<c r="B2"><v>717710</v></c>')
    heading, table = blocks_of(workbook(source, sheet, names=("Big towns",)))
    assert heading == Block(BlockKind.HEADING, "## Sheet: Big towns\n\n", "'Big towns'", 2)
    assert table.kind is BlockKind.TABLE
    assert table.text == "| Place | People |\n| --- | --- |\n| Oslo | 717710 |\n\n"
    assert table.anchor == "'Big towns'!A1:B2"


def test_hidden_sheets_are_read_and_said_to_be_hidden_and_empty_ones_left_out(source: Path) -> None:
    path = workbook(
        source,
        rows(words("A1", "seen")),
        rows(),
        rows(words("A1", "unseen")),
        rows(words("A1", "deep")),
        states=("visible", "visible", "hidden", "veryHidden"),
    )
    notes = Notes(source.parent)
    text = "".join(item.text for item in items_of(path, notes) if isinstance(item, Block))
    assert text == (
        "## Sheet: Sheet1\n\nseen\n\n## Sheet: Sheet3 (hidden)\n\nunseen\n\n## Sheet: Sheet4 (hidden)\n\ndeep\n\n"
    )
    assert notes.counts == {"sheet": 4}


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("<c r='A1'><v>12</v></c>", "12"),
        ('<c r="A1"><v>12.0</v></c>', "12"),
        ('<c r="A1"><v>0.30000000000000004</v></c>', "0.3"),
        ('<c r="A1" s="1"><v>0.0711</v></c>', "7.11%"),
        ('<c s="1" r="A1"><v>0.0711</v></c>', "7.11%"),
        ('<c r="A1" s="2"><v>40516</v></c>', "2010-12-04"),
        ('<c r="A1" s="3"><v>2.25</v></c>', "2.3 kg"),
        ('<c r="A1" s="4"><v>2.25</v></c>', "2.25"),
        ('<c r="A1" s="99"><v>2.25</v></c>', "2.25"),
        ('<c r="A1" t="b"><v>1</v></c>', "TRUE"),
        ('<c r="A1" t="e"><v>#DIV/0!</v></c>', "#DIV/0!"),
        ('<c r="A1" t="d"><v>2020-01-31T00:00:00Z</v></c>', "2020-01-31"),
        ('<c r="A1" t="d"><v>2020-01-31T12:30:00</v></c>', "2020-01-31 12:30:00"),
        ('<c r="A1" t="s"><v>0</v></c>', "shared & <kept>"),
        ('<c r="A1" t="s"><v>1</v></c>', "rich text"),
        ('<c r="A1" t="s"><v>3</v></c>', "東京"),
        ('<c r="A1" t="s"><v>4</v></c>', "two\nlines"),
        ('<c r="A1" t="s"><v>5</v></c>', "<raw> & more"),
        ('<c r="A1" t="str"><f>A2&amp;""</f><v>x &lt; y</v></c>', "x < y"),
        ('<c r="A1" t="inlineStr"><is><t xml:space="preserve"> in line </t></is></c>', "in line"),
        ('<c r="A1" t="inlineStr"><is><t><![CDATA[a <b> & c]]></t></is></c>', "a <b> & c"),
        ('<c r="A1" t="inlineStr"><is><r><t>two </t></r><r><t>runs</t></r><rPh><t>no</t></rPh></is></c>', "two runs"),
        ("<c><v>5</v></c>", "5"),
        ('\n<c r="A1" s="1">\n  <v>0.5</v>\n</c>\n', "50.00%"),
        ('<c r="A1"><!-- a note --><v>7</v></c>', "7"),
        ('<c r="$A$1" t="str"><v>dollars</v></c>', "dollars"),
    ],
)
def test_a_cell_is_shown_as_its_user_sees_it(source: Path, cell: str, shown: str) -> None:
    strings = (
        "<si><t>shared &amp; &lt;kept&gt;</t></si>"
        "<si><r><rPr><b/></rPr><t>rich </t></r><r><t>text</t></r></si><si/>"
        "<si><t>東京</t><rPh sb='0' eb='2'><t>トウキョウ</t></rPh><phoneticPr/></si>"
        "<si><t>two_x000D_\nlines</t></si><si><t><![CDATA[<raw> & more]]></t></si>"
    )
    text = text_of(workbook(source, rows(cell), strings=strings))
    assert text.replace("\r", "") == f"## Sheet: Sheet1\n\n{shown}\n\n"


def test_line_ends_and_pipes_in_cells_do_not_break_the_table(source: Path) -> None:
    text = text_of(workbook(source, rows(words("A1", "a|b") + words("B1", "c\nd"))))
    assert "| a\\|b | c d |\n" in text


@pytest.mark.parametrize(("properties", "day"), [("", "1900-01-31"), ('<workbookPr date1904="1"/>', "1904-02-01")])
def test_dates_count_from_the_workbooks_own_beginning(source: Path, properties: str, day: str) -> None:
    assert day in text_of(workbook(source, rows('<c r="A1" s="2"><v>31</v></c>'), properties=properties))


def test_formulas_show_their_saved_results_and_stand_as_formulas_where_there_are_none(source: Path) -> None:
    sheet = rows(
        '<c r="A1"><f>1+1</f><v>2</v></c><c r="B1"><f>SUM(A1:A9)&amp;"x"</f><v></v></c><c r="C1"><f>A1</f></c>'
        '<c r="D1" t="str"><f>IF(A1,"","")</f><v></v></c>'
    )
    notes = Notes(source.parent)
    items = items_of(workbook(source, sheet), notes)
    assert isinstance(items[1], Block)
    assert items[1].text.startswith('| 2 | =SUM(A1:A9)&"x" | =A1 |\n')
    assert "without their results" in notes.warnings[0]


@pytest.mark.parametrize("namespace", [MAIN, STRICT])
@pytest.mark.parametrize("prefix", ["", "x:"])
def test_strict_files_and_prefixed_ones_read_alike(source: Path, namespace: str, prefix: str) -> None:
    p = prefix
    declared = f'xmlns:x="{namespace}"' if prefix else f'xmlns="{namespace}"'
    sheet = (
        f'<{p}worksheet {declared}><{p}sheetData><{p}row r="1"><{p}c r="A1" t="s"><{p}v>0</{p}v></{p}c>'
        f'<{p}c r="B1" s="1"><{p}v>0.5</{p}v></{p}c></{p}row><{p}row r="2"><{p}c r="A2" t="s"><{p}v>1</{p}v></{p}c>'
        f'</{p}row></{p}sheetData><{p}mergeCells><{p}mergeCell ref="A2:B2"/></{p}mergeCells></{p}worksheet>'
    )
    strings = f"<{p}sst {declared}><{p}si><{p}t>one</{p}t></{p}si><{p}si><{p}r><{p}t>two</{p}t></{p}r></{p}si></{p}sst>"
    path = workbook(
        source,
        "",
        namespace=namespace,
        more={"xl/worksheets/sheet1.xml": sheet, "xl/sharedStrings.xml": strings},
    )
    assert text_of(path).endswith("| one | 50.00% |\n| --- | --- |\n\ntwo\n\n")


def test_utf_16_is_read(source: Path) -> None:
    part = sheet_part(rows(words("A1", "書名"))).replace("UTF-8", "UTF-16").encode("utf-16")
    assert "書名" in text_of(workbook(source, "", more={"xl/worksheets/sheet1.xml": part}))


def test_rows_and_cells_without_numbers_follow_each_other(source: Path) -> None:
    sheet = "<sheetData><row><c><v>1</v></c><c><v>2</v></c></row><row/><row><c><v>3</v></c><c><v>4</v></c></row></sheetData>"
    table = blocks_of(workbook(source, sheet))[-1]
    assert table.anchor == "Sheet1!A1:B3"
    assert table.text.splitlines()[::2] == ["| 1 | 2 |", "| 3 | 4 |"]


def test_two_far_cells_cost_no_more_than_two_near_ones(source: Path) -> None:
    far = '<row r="1048576"><c r="XFD1048576"><v>2</v></c></row>'
    sheet = f'<sheetData><row r="1"><c r="A1"><v>1</v></c></row>{far}</sheetData>'
    _, first, second = blocks_of(workbook(source, sheet))
    assert (first.text, first.anchor) == ("1\n\n", "Sheet1!A1")
    assert (second.text, second.anchor) == ("2\n\n", "Sheet1!XFD1048576")


def drawn(more: Mapping[str, str | bytes]) -> dict[str, str | bytes]:
    """The parts of a workbook whose first sheet has a drawing, comments and an embedded file."""
    sheet_relations = {
        "d": ("drawing", "../drawings/drawing1.xml"),
        "c": ("comments", "../comments1.xml"),
        "t": ("threadedComment", "../threadedComments/threadedComment1.xml"),
    }
    return {"xl/worksheets/_rels/sheet1.xml.rels": relations(sheet_relations), **more}


def anchored(content: str) -> str:
    at = "<xdr:from><xdr:col>2</xdr:col><xdr:row>4</xdr:row></xdr:from>"
    return f"<xdr:wsDr {DRAWING}><xdr:twoCellAnchor>{at}{content}</xdr:twoCellAnchor></xdr:wsDr>"


def test_text_boxes_are_read_once(source: Path) -> None:
    box = "<xdr:sp><xdr:txBody><a:p><a:r><a:t>In a </a:t></a:r><a:r><a:t>box</a:t></a:r></a:p></xdr:txBody></xdr:sp>"
    twice = f"<mc:AlternateContent><mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent>"
    path = workbook(source, rows(), more=drawn({"xl/drawings/drawing1.xml": anchored(twice)}))
    assert blocks_of(path)[1:] == [Block(BlockKind.PARAGRAPH, "In a box\n\n", "Sheet1!C5")]


def test_a_chart_gives_its_titles_and_series(source: Path) -> None:
    chart = (
        '<c:chartSpace xmlns:c="urn:c" xmlns:a="urn:a"><c:chart><c:title><a:p><a:t>Rain by month</a:t></a:p></c:title>'
        "<c:ser><c:tx><c:strRef><c:v>Bergen</c:v></c:strRef></c:tx></c:ser>"
        "<c:valAx><c:title><a:p><a:t>mm</a:t></a:p></c:title></c:valAx></c:chart></c:chartSpace>"
    )
    parts: dict[str, str | bytes] = {
        "xl/drawings/drawing1.xml": anchored('<xdr:graphicFrame><c:chart r:id="k"/></xdr:graphicFrame>'),
        "xl/drawings/_rels/drawing1.xml.rels": relations({"k": ("chart", "../charts/chart1.xml")}),
        "xl/charts/chart1.xml": chart,
    }
    [_, block] = blocks_of(workbook(source, rows(), more=drawn(parts)))
    assert block == Block(BlockKind.FIGURE, "Chart: Rain by month\nAxes: mm\nSeries: Bergen\n\n", "Sheet1!C5")


def test_pictures_are_kept_with_their_place_each_once(source: Path) -> None:
    blips = '<xdr:pic><a:blip r:embed="p"/></xdr:pic><xdr:pic><a:blip r:embed="p"/><a:blip r:embed="gone"/></xdr:pic>'
    parts: dict[str, str | bytes] = {
        "xl/drawings/drawing1.xml": anchored(blips),
        "xl/drawings/_rels/drawing1.xml.rels": relations(
            {"p": ("image", "../media/image1.png"), "gone": ("image", "x.png")}
        ),
        "xl/media/image1.png": b"\x89PNG" + bytes(5_000),
    }
    items = items_of(workbook(source, rows(words("A1", "above")), more=drawn(parts)))
    assert items[2:] == [Picture("Sheet1!C5", name="picture-1")]
    assert (source.parent / "picture-1").read_bytes().startswith(b"\x89PNG")


def test_comments_say_where_and_by_whom_and_threads_take_the_place_of_their_copies(source: Path) -> None:
    comments = (
        f'<comments xmlns="{MAIN}"><authors><author>Ada</author><author>tc=1</author></authors><commentList>'
        '<comment ref="B2" authorId="0"><text><r><t>Ada:</t></r><r><t>\nIs this right?</t></r></text></comment>'
        '<comment ref="C3" authorId="1"><text><t>[Threaded comment] get a newer version</t></text></comment>'
        "</commentList></comments>"
    )
    threads = (
        '<ThreadedComments xmlns="urn:t"><threadedComment ref="C3" personId="{1}"><text>Why?</text></threadedComment>'
        '<threadedComment ref="C3" personId="{2}"><text>Because.</text></threadedComment></ThreadedComments>'
    )
    parts: dict[str, str | bytes] = {
        "xl/comments1.xml": comments,
        "xl/threadedComments/threadedComment1.xml": threads,
        "xl/persons/person.xml": '<personList xmlns="urn:t"><person id="{1}" displayName="Bo"/></personList>',
    }
    blocks = blocks_of(workbook(source, rows(), more=drawn(parts)))[1:]
    assert [(block.kind, block.anchor) for block in blocks] == [
        (BlockKind.LIST, "Sheet1!C3"),
        (BlockKind.LIST, "Sheet1!C3"),
        (BlockKind.LIST, "Sheet1!B2"),
    ]
    assert "".join(block.text for block in blocks) == (
        "- Comment on C3 by Bo: Why?\n- Comment on C3: Because.\n- Comment on B2 by Ada: Is this right?\n\n"
    )


def test_what_is_printed_around_pages_is_read_without_page_numbers(source: Path) -> None:
    printed = (
        '<headerFooter><oddHeader>&amp;L&amp;"Arial,Bold"&amp;12Q&amp;&amp;A&amp;C&amp;KFF0000Secret</oddHeader>'
        "<oddFooter>&amp;CPage &amp;P of &amp;N</oddFooter><evenFooter>&amp;RNestor</evenFooter></headerFooter>"
    )
    text = text_of(workbook(source, rows(words("A1", "cell")) + printed))
    assert text.endswith("cell\n\nPage header: Q&A Secret\nPage footer: Nestor\n\n")


def test_an_embedded_file_is_told_of(source: Path) -> None:
    more = {"xl/worksheets/_rels/sheet1.xml.rels": relations({"o": ("oleObject", "../embeddings/a.bin")})}
    notes = Notes(source.parent)
    items_of(workbook(source, rows(words("A1", "x")), more=more), notes)
    assert notes.warnings == ["Files that are embedded in the workbook were not read."]


def test_without_a_list_of_sheets_they_are_read_by_their_names(source: Path) -> None:
    notes = Notes(source.parent)
    path = workbook(source, rows(words("A1", "saved")), more={"xl/workbook.xml": "<workbook>"})
    assert "## Sheet: sheet1\n\nsaved" in "".join(
        item.text for item in items_of(path, notes) if isinstance(item, Block)
    )
    assert "could not be read" in notes.warnings[0]


def test_a_zip_without_sheets_is_refused(source: Path) -> None:
    with zipfile.ZipFile(source, "w") as file:
        file.writestr("readme.txt", "no workbook")
    with pytest.raises(ParsingError, match="lists no sheets"):
        items_of(source)


def test_a_binary_workbook_is_refused_with_advice(source: Path) -> None:
    with pytest.raises(ParsingError, match=r"save it as \.xlsx"):
        items_of(workbook(source, rows(), more={"xl/workbook.bin": b"\x83\x01"}))


def long_sheet() -> str:
    return rows(*(words(f"A{n}", f"line {n * 7919}") for n in range(1, 40_001)))


def test_a_damaged_sheet_is_read_up_to_the_damage_and_the_others_whole(source: Path) -> None:
    workbook(source, long_sheet(), rows(words("A1", "second sheet")))
    with zipfile.ZipFile(source) as file:
        entry = file.getinfo("xl/worksheets/sheet1.xml")
    data = bytearray(source.read_bytes())
    middle = entry.header_offset + entry.compress_size // 2
    data[middle : entry.header_offset + entry.compress_size] = b"\xff" * (
        entry.compress_size - entry.compress_size // 2
    )
    source.write_bytes(data)
    notes = Notes(source.parent)
    text = "".join(item.text for item in items_of(source, notes) if isinstance(item, Block))
    assert "line 7919\n" in text
    assert "second sheet" in text
    assert notes.warnings == ["The sheet Sheet1 is damaged: what follows the damage is missing."]


def test_a_file_that_was_cut_off_is_read_up_to_the_cut(source: Path) -> None:
    workbook(source, long_sheet())
    source.write_bytes(source.read_bytes()[:-50_000])
    notes = Notes(source.parent)
    text = "".join(item.text for item in items_of(source, notes) if isinstance(item, Block))
    assert "line 7919\n" in text
    assert notes.warnings[0] == "The file is damaged: some of it could not be read."


def test_a_sheet_that_breaks_off_keeps_its_whole_cells(source: Path) -> None:
    cut = f'<worksheet xmlns="{MAIN}"><sheetData><row r="1">{words("A1", "kept")}<c r="B1"><v>4'
    assert "kept" in text_of(workbook(source, "", more={"xl/worksheets/sheet1.xml": cut}))


def test_a_missing_sheet_is_told_of(source: Path) -> None:
    workbook(source, rows(words("A1", "here")))
    listed = '<sheets><sheet name="A" r:id="s0"/><sheet name="B" r:id="s1"/></sheets>'
    more = {
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}">{listed}</workbook>',
        "xl/_rels/workbook.xml.rels": relations(
            {"s0": ("worksheet", "worksheets/sheet1.xml"), "s1": ("worksheet", "worksheets/sheet9.xml")}
        ),
    }
    notes = Notes(source.parent)
    items_of(workbook(source, rows(words("A1", "here")), more=more), notes)
    assert notes.warnings == ["The sheet B is missing in the file."]


def test_missing_strings_and_wild_numbers_leave_cells_empty(source: Path) -> None:
    cells = "".join(
        f'<c r="{column}1" t="s"><v>{value}</v></c>'
        for column, value in zip("ABC", ("7", "x", "9" * 5000), strict=True)
    )
    assert text_of(workbook(source, rows(cells + words("D1", "left")))) == "## Sheet: Sheet1\n\nleft\n\n"


def test_too_many_cells_are_refused(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workbook(source, rows("".join(f'<c r="A{n}"/><c r="B{n}"></c>' for n in range(50))))
    workbook_class = xlsx_package.Workbook
    monkeypatch.setattr(xlsx_package, "Workbook", lambda sheets: workbook_class(sheets, cells_left=10))
    with pytest.raises(SizeExceeded):
        items_of(path)


def test_a_bomb_is_refused_by_what_it_inflates_to(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 1_000_000)
    bomb = rows(*(f'<c r="A{n}"/>' * 100 for n in range(1, 1_000)))
    with pytest.raises(SizeExceeded):
        items_of(workbook(source, bomb))


def test_a_row_without_end_is_refused(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx_text, "MOST_PIECE_CHARACTERS", 100_000)
    monkeypatch.setattr(xlsx_cells, "AHEAD_CHARACTERS", 1_000)
    with pytest.raises(SizeExceeded):
        items_of(workbook(source, f"<sheetData><row>{'<c><v>1</v></c>' * 50_000}"))


@pytest.mark.parametrize(
    "text",
    [
        "<sheetData>" + "<row>" * 20_000,
        rows(*["".join(f'<c r="{column_letters(2 * n)}1"><v>1</v></c>' for n in range(1, 5_000))] * 10),
        "<sheetData><row>" + "<c>" * 20_000 + "</c></row></sheetData>",
        "<sheetData><row>" + '<c r="A1"' * 20_000 + "</c></row></sheetData>",
        '<sheetData><row r="1"><c r="A1" t="inlineStr"><is>' + "<r>" * 20_000 + "<t>x</t></is></c></row></sheetData>",
        "<sheetData><row><c><v>1</v></c></row></sheetData><mergeCells>" + '<mergeCell ref="A1:XFD1048576"/>' * 20_000,
    ],
)
def test_unclosed_and_nested_tags_end_soon(source: Path, text: str) -> None:
    items_of(workbook(source, text))


def test_entities_are_not_expanded(source: Path) -> None:
    laughs = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
    path = workbook(
        source,
        "",
        more={"xl/worksheets/sheet1.xml": laughs + sheet_part(rows(words("A1", "ok") + "<c><v>&b;</v></c>"))},
    )
    assert "haha" not in text_of(path)


CELL = st.text(alphabet=st.sampled_from("ab <>&|\"'\n_x0041_书🙂\t=1."), min_size=1, max_size=8).filter(str.strip)


@given(st.lists(st.lists(CELL, min_size=2, max_size=4), min_size=1, max_size=6), st.booleans())
def test_every_cell_is_found_again(
    tmp_path_factory: pytest.TempPathFactory, table: list[list[str]], shared: bool
) -> None:
    source = tmp_path_factory.getbasetemp() / "source"
    strings, numbered = "", []
    for number, texts in enumerate(table, 1):
        cells = ""
        for column, text in zip("ABCD", texts, strict=False):
            kept = escape(text.replace("_x0041_", "_x005F_x0041_"))
            index = strings.count("<si>")
            strings += f"<si><t>{kept}</t></si>"
            cells += (
                f'<c r="{column}{number}" t="s"><v>{index}</v></c>'
                if shared
                else f'<c r="{column}{number}" t="inlineStr"><is><t>{kept}</t></is></c>'
            )
        numbered.append(cells)
    found = text_of(workbook(source, rows(*numbered), strings=strings)).partition("\n\n")[2]
    expected = [text.strip().replace("|", "\\|").replace("\n", " ") for texts in table for text in texts]
    assert letters(found) == letters("".join(expected))


def letters(text: str) -> str:
    return "".join(character for character in text if character in "ab<>&x0041书🙂=.\"'")
