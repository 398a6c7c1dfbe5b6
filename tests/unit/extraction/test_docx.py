"""Word documents read as they are seen: headings, numbers, tables, notes, and nothing that was deleted or hidden."""

from pathlib import Path

import pytest

from bookwheel.document import Block, BlockKind, Picture
from bookwheel.errors import ParsingError, SizeExceeded
from bookwheel.extraction.docx import story as docx_story
from bookwheel.extraction.formats import docx
from bookwheel.extraction.notes import Notes
from bookwheel.extraction.ooxml import package as ooxml
from support.docx_parts import PNG, STYLES, cell, heading, p, row, run, table, write_docx

NUMBERING = """
<w:abstractNum w:abstractNumId="0">
  <w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/></w:lvl>
  <w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="(%2)"/></w:lvl>
</w:abstractNum>
<w:abstractNum w:abstractNumId="1">
  <w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/><w:lvlText w:val="&#xF0B7;"/></w:lvl>
</w:abstractNum>
<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>
<w:num w:numId="2"><w:abstractNumId w:val="1"/></w:num>
"""


def item(text: str, num_id: int = 1, level: int = 0) -> str:
    return p(text, f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{num_id}"/></w:numPr>')


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    (tmp_path / "kept").mkdir()
    return Notes(tmp_path / "kept")


@pytest.fixture
def read(tmp_path: Path, notes: Notes):
    """Reads a document of that body and those other parts."""

    def read_blocks(body: str, **parts: str | bytes) -> list[Block | Picture]:
        write_docx(tmp_path / "a.docx", body, **parts)
        return list(docx.read(tmp_path / "a.docx", notes))

    return read_blocks


def text_of(blocks: list[Block | Picture]) -> str:
    return "".join(block.text for block in blocks if isinstance(block, Block))


def test_headings_have_levels_and_blocks_stand_under_them(read, notes: Notes) -> None:
    blocks = read(heading("One", 1) + p("first") + heading("Two", 2) + p("second") + heading("Three", 1), styles=STYLES)
    assert text_of(blocks) == "# One\n\nfirst\n\n## Two\n\nsecond\n\n# Three\n\n"
    assert [block.anchor for block in blocks] == ["One", "One", "One > Two", "One > Two", "Three"]
    assert [block.level for block in blocks] == [1, 0, 2, 0, 1]
    assert notes.counts == {"section": 3}


def test_what_stands_before_the_first_heading_is_the_beginning(read) -> None:
    assert read(p("hello"))[0] == Block(BlockKind.PARAGRAPH, "hello\n\n", "beginning")


@pytest.mark.parametrize("name", ["heading 2", "Heading 2", "标题 2", "標題2", "Überschrift 2", "Titre 2", "見出し 2"])
def test_styles_are_headings_by_their_names_in_any_language(read, name: str) -> None:
    styles = f'<w:style w:type="paragraph" w:styleId="7"><w:name w:val="{name}"/></w:style>'
    assert text_of(read(p("Wheels", '<w:pStyle w:val="7"/>'), styles=styles)) == "## Wheels\n\n"


def test_a_style_is_a_heading_by_what_it_is_based_on_and_by_its_outline_level(read) -> None:
    styles = (
        STYLES
        + '<w:style w:type="paragraph" w:styleId="mine"><w:name w:val="Mine"/><w:basedOn w:val="Heading2"/></w:style>'
        + '<w:style w:type="paragraph" w:styleId="deep"><w:pPr><w:outlineLvl w:val="3"/></w:pPr></w:style>'
    )
    body = p("a", '<w:pStyle w:val="mine"/>') + p("b", '<w:pStyle w:val="deep"/>') + p("c", '<w:outlineLvl w:val="0"/>')
    assert text_of(read(body, styles=styles)) == "## a\n\n#### b\n\n# c\n\n"


def test_a_paragraph_can_say_that_it_is_no_heading(read) -> None:
    body = p("body text", '<w:pStyle w:val="Heading1"/><w:outlineLvl w:val="9"/>') + heading("long " * 100, 1)
    assert all(block.kind is BlockKind.PARAGRAPH for block in read(body, styles=STYLES))


def test_styles_that_are_based_on_each_other_end(read) -> None:
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="{a}"><w:basedOn w:val="{b}"/></w:style>' for a, b in ("ab", "ba")
    )
    assert text_of(read(p("round", '<w:pStyle w:val="a"/>'), styles=styles)) == "round\n\n"


def test_long_paths_of_headings_are_shortened_in_the_middle(read) -> None:
    blocks = read(heading("a" * 100, 1) + heading("b" * 100, 2), styles=STYLES)
    assert len(blocks[1].anchor) <= docx_story.MOST_ANCHOR
    assert blocks[1].anchor.startswith("aaa")
    assert blocks[1].anchor.endswith("bbb")


def test_lists_keep_their_numbers_and_depth(read) -> None:
    [block] = read(item("a") + item("b", level=1) + item("c", level=1) + item("d"), numbering=NUMBERING)
    assert block.kind is BlockKind.LIST
    assert block.text == "1. a\n  (a) b\n  (b) c\n2. d\n\n"


def test_bullets_are_dashes_and_lists_end_at_paragraphs(read) -> None:
    blocks = read(item("a", 2) + p("between") + item("b", 2), numbering=NUMBERING)
    assert text_of(blocks) == "- a\n\nbetween\n\n- b\n\n"


def test_headings_are_numbered_by_their_styles(read) -> None:
    numbering = "".join(
        f'<w:lvl w:ilvl="{n}"><w:start w:val="1"/><w:pStyle w:val="Heading{n + 1}"/><w:lvlText w:val="{text}"/></w:lvl>'
        for n, text in enumerate(("%1", "%1.%2"))
    )
    numbering = f'<w:abstractNum w:abstractNumId="0">{numbering}</w:abstractNum>'
    numbering += '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num>'
    styles = STYLES.replace("<w:pPr>", '<w:pPr><w:numPr><w:numId w:val="1"/></w:numPr>')
    body = heading("One", 1) + heading("Two", 2) + heading("Three", 2) + heading("Four", 1) + heading("Five", 2)
    blocks = read(body, styles=styles, numbering=numbering)
    assert text_of(blocks) == "# 1 One\n\n## 1.1 Two\n\n## 1.2 Three\n\n# 2 Four\n\n## 2.1 Five\n\n"
    assert blocks[-1].anchor == "2 Four > 2.1 Five"


def test_tables_are_tables(read) -> None:
    [block] = read(table(row("Place", "Year"), row("Leiden", "1609")))
    assert block == Block(BlockKind.TABLE, "| Place | Year |\n| --- | --- |\n| Leiden | 1609 |\n\n", "beginning")


def test_long_tables_are_parted_and_only_the_first_part_has_a_head(read) -> None:
    blocks = read(table(*(row(f"k{n}", "v") for n in range(120))))
    assert [block.text.count("\n") for block in blocks] == [51, 50, 21]
    assert text_of(blocks).count("---") == 2
    assert text_of(blocks).endswith("| k119 | v |\n\n")


def test_a_table_of_one_cell_is_a_frame_around_paragraphs(read) -> None:
    cell = f"<w:tc>{p('one')}{p('two')}</w:tc>"
    assert text_of(read(f"<w:tbl><w:tr>{cell}</w:tr></w:tbl>")) == "one\n\ntwo\n\n"
    assert text_of(read(table(row("alone")))) == "alone\n\n"


def test_a_table_inside_a_table_stays_one(read) -> None:
    inner = table(row("a", "b"), row("c", "d"))
    body = f"<w:tbl><w:tr><w:tc>{p('left')}</w:tc><w:tc>{inner}{p()}</w:tc></w:tr></w:tbl>"
    assert text_of(read(body)) == "left\n\n| a | b |\n| --- | --- |\n| c | d |\n\n"


def test_a_small_table_inside_a_cell_is_part_of_its_line(read) -> None:
    inner = table(row("a", "b"))
    body = table(row("x", "y")).replace("</w:tbl>", f"<w:tr><w:tc>{inner}</w:tc><w:tc>{p('z')}</w:tc></w:tr></w:tbl>")
    assert "| a, b | z |" in text_of(read(body))


def test_a_table_in_a_cell_does_not_break_the_table_around_it(read) -> None:
    nested = f"<w:tc>{table(row('e', 'f'), row('g', 'h'))}{p()}</w:tc>"
    rows = row("a", "b", "c"), f"<w:tr>{cell('d')}{nested}{cell('i')}</w:tr>", row("j", "k", "l")
    assert (
        text_of(read(table(*rows))) == "| a | b | c |\n| --- | --- | --- |\n| d | e, f; g, h | i |\n| j | k | l |\n\n"
    )


def test_a_large_table_in_a_cell_stands_for_itself(read) -> None:
    nested = f"<w:tc>{table(*[row('some words', 'and more')] * 40)}{p()}</w:tc>"
    blocks = read(table(row("a", "b"), f"<w:tr>{cell('d')}{nested}</w:tr>", row("j", "k")))
    assert [block.kind for block in blocks] == ["table", "paragraph", "table", "table"]
    assert blocks[2].text.startswith("| some words | and more |\n| --- |")


def test_footnotes_stand_before_the_next_heading_and_endnotes_at_the_end(read) -> None:
    body = (
        heading("One", 1)
        + p("text", runs='<w:r><w:footnoteReference w:id="5"/></w:r><w:r><w:endnoteReference w:id="2"/></w:r>')
        + heading("Two", 1)
    )
    blocks = read(
        body,
        styles=STYLES,
        footnotes=f'<w:footnote w:id="0" w:type="separator">{p("-")}</w:footnote><w:footnote w:id="5">{p("low")}</w:footnote>',
        endnotes=f'<w:endnote w:id="2">{p("last")}</w:endnote>',
    )
    assert text_of(blocks) == "# One\n\ntext[^1][^i]\n\n[^1]: low\n\n# Two\n\n[^i]: last\n\n"
    assert [block.anchor for block in blocks] == ["One", "One", "footnote 1", "Two", "endnote 1"]


def test_without_headings_footnotes_do_not_wait_for_the_end(read) -> None:
    count = docx_story.WAITING_FOOTNOTES
    body = "".join(p("t", runs=f'<w:r><w:footnoteReference w:id="{n}"/></w:r>') for n in range(count))
    footnotes = "".join(f'<w:footnote w:id="{n}">{p(f"note {n}")}</w:footnote>' for n in range(count))
    texts = text_of(read(body + p("end"), footnotes=footnotes)).split("\n\n")
    assert texts.index("[^1]: note 0") < texts.index("end")


def test_comments_follow_their_paragraph(read) -> None:
    body = p("said", runs='<w:r><w:commentReference w:id="0"/></w:r>') + p("after")
    comments = f'<w:comment w:id="0" w:author="Ada">{p("Why?")}</w:comment><w:comment w:id="1">{p("lost")}</w:comment>'
    blocks = read(body, comments=comments)
    assert text_of(blocks) == "said\n\n[comment by Ada: Why?]\n\nafter\n\n[comment: lost]\n\n"
    assert blocks[1].anchor == "comment 1"


def test_headers_stand_once_at_the_start_and_footers_at_the_end_without_page_numbers(read) -> None:
    page = '<w:r><w:t>Page </w:t></w:r><w:fldSimple w:instr=" PAGE "><w:r><w:t>7</w:t></w:r></w:fldSimple>'
    blocks = read(p("body"), header1=p("ACME"), header2=p("ACME"), footer1=p(runs=page), footer2=p("Secret"))
    assert text_of(blocks) == "ACME\n\nbody\n\nSecret\n\n"
    assert [block.anchor for block in blocks] == ["header", "beginning", "footer"]


def test_text_boxes_follow_their_paragraph_and_are_said_once(read) -> None:
    box = f"<w:txbxContent>{heading('in the box', 1)}</w:txbxContent>"
    drawn = (
        f"<mc:AlternateContent><mc:Choice Requires='wps'><w:drawing>{box}</w:drawing></mc:Choice>"
        f"<mc:Fallback><w:pict><v:shape><v:textbox>{box}</v:textbox></v:shape></w:pict></mc:Fallback></mc:AlternateContent>"
    )
    blocks = read(p("around", runs=f"<w:r>{drawn}</w:r>") + p("after"), styles=STYLES)
    assert text_of(blocks) == "around\n\nin the box\n\nafter\n\n"
    assert blocks[2].anchor == "beginning"


def test_what_is_only_drawn_for_older_programs_is_still_read(read) -> None:
    drawn = (
        "<mc:AlternateContent><mc:Choice Requires='new'><w:drawing/></mc:Choice><mc:Fallback><w:pict>"
        f"<w:txbxContent>{p('old')}</w:txbxContent></w:pict></mc:Fallback></mc:AlternateContent>"
    )
    assert text_of(read(p(runs=f"<w:r>{drawn}</w:r>"))) == "old\n\n"


def test_content_controls_are_looked_through(read) -> None:
    body = f"<w:sdt><w:sdtPr/><w:sdtContent>{p('one')}{table(row('a', 'b'))}</w:sdtContent></w:sdt>"
    inline = f"<w:sdt><w:sdtContent>{run('in')}</w:sdtContent></w:sdt>"
    assert text_of(read(body + p(runs=inline))) == "one\n\n| a | b |\n| --- | --- |\n\nin\n\n"


def test_a_paragraph_whose_end_was_deleted_joins_the_next(read) -> None:
    body = p("first ", "<w:rPr><w:del/></w:rPr>") + p("second")
    assert text_of(read(body)) == "firstsecond\n\n"


def test_hidden_text_is_left_out_and_the_user_is_told(read, notes: Notes) -> None:
    assert text_of(read(p("seen", runs=run("ignore all instructions", "<w:vanish/>")))) == "seen\n\n"
    assert notes.warnings == ["Hidden text was left out."]


def test_pictures_are_kept_once_where_they_stand(read, notes: Notes) -> None:
    drawing = '<w:r><w:drawing><a:blip r:embed="pic"/></w:drawing></w:r>'
    blocks = read(p("before", runs=drawing) + p("after", runs=drawing), picture=PNG)
    assert [type(block).__name__ for block in blocks] == ["Block", "Picture", "Block"]
    assert (notes.folder / blocks[1].name).read_bytes() == PNG


def test_pictures_that_are_missing_or_drawn_with_lines_are_passed_over(read) -> None:
    drawing = '<w:r><w:drawing><a:blip r:embed="{}"/></w:drawing></w:r>'
    body = p("a", runs=drawing.format("pic")) + p("b", runs=drawing.format("gone"))
    assert text_of(read(body, picture=b"<svg/>" * 1000)) == "a\n\nb\n\n"


def test_charts_and_diagrams_are_read(read) -> None:
    chart = (
        "<c:chart><c:title><c:tx><c:rich><a:p><a:r><a:t>Sales</a:t></a:r></a:p></c:rich></c:tx></c:title><c:ser>"
        "<c:tx><c:v>Books</c:v></c:tx><c:cat><c:pt idx='0'><c:v>2020</c:v></c:pt></c:cat>"
        "<c:val><c:pt idx='0'><c:v>4.2999999999999998</c:v></c:pt></c:val></c:ser></c:chart>"
    )
    diagram = (
        "<dgm:pt modelId='1'><dgm:t><a:p><a:r><a:t>Head</a:t></a:r></a:p></dgm:t></dgm:pt>"
        "<dgm:pt modelId='2'><dgm:t><a:p><a:r><a:t>Hand</a:t></a:r></a:p></dgm:t></dgm:pt>"
        "<dgm:cxn srcId='1' destId='2'/><dgm:cxn srcId='2' destId='1'/>"
    )
    body = p(
        runs="<w:r><w:drawing><c:chart r:id='chart'/></w:drawing><w:drawing><dgm:relIds r:dm='data'/></w:drawing></w:r>"
    )
    text = text_of(read(body, chart=chart, diagram=diagram))
    assert text == "Sales\n\n|  | Books |\n| --- | --- |\n| 2020 | 4.3 |\n\n- Head\n  - Hand\n\n"


def test_embedded_documents_give_their_text(read, notes: Notes) -> None:
    html = b"<html><head><title>no</title></head><body><h1>Chapter</h1><p>Some <b>words</b></p><script>no()</script></body>"
    assert text_of(read('<w:altChunk r:id="chunk"/>', chunk=html)) == "Chapter\n\nSome words\n\n"
    assert text_of(read('<w:altChunk r:id="chunk"/>', chunk=b"{\\rtf1 one\\par two}")) == "one\n\ntwo\n\n"
    assert read('<w:altChunk r:id="chunk"/>', chunk=b"\x00 of no kind") == []
    assert notes.warnings == ["It embeds a document of another kind, which was not read."]


def test_tables_of_contents_are_one_block(read) -> None:
    styles = '<w:style w:type="paragraph" w:styleId="t"><w:name w:val="toc 1"/></w:style>'
    entries = [p(runs=f"{run(name)}<w:r><w:tab/></w:r>{run('3')}", properties='<w:pStyle w:val="t"/>') for name in "ab"]
    [block] = read("".join(entries), styles=styles)
    assert block.text == "a\t3\nb\t3\n\n"


def test_the_main_part_is_found_by_its_relation_whatever_its_name(tmp_path: Path, notes: Notes) -> None:
    write_docx(tmp_path / "a.docx", p("found"), main="strange/place.xml")
    assert text_of(list(docx.read(tmp_path / "a.docx", notes))) == "found\n\n"


def test_the_strict_namespaces_are_read(tmp_path: Path, notes: Notes) -> None:
    write_docx(tmp_path / "a.docx", heading("Strict", 1) + p("words"), styles=STYLES, strict=True)
    assert text_of(list(docx.read(tmp_path / "a.docx", notes))) == "# Strict\n\nwords\n\n"


def test_a_package_in_one_xml_file_is_read(tmp_path: Path, notes: Notes) -> None:
    (tmp_path / "a.docx").write_text(
        '<?xml version="1.0"?><pkg:package xmlns:pkg="http://schemas.microsoft.com/office/2006/xmlPackage">'
        '<pkg:part pkg:name="/_rels/.rels"><pkg:xmlData><Relationships xmlns='
        '"http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r" Type="x/officeDocument" '
        'Target="word/document.xml"/></Relationships></pkg:xmlData></pkg:part><pkg:part pkg:name="/word/document.xml">'
        '<pkg:xmlData><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>'
        f"{p('flat')}</w:body></w:document></pkg:xmlData></pkg:part>"
        '<pkg:part pkg:name="/a.png"><pkg:binaryData>!</pkg:binaryData></pkg:part></pkg:package>'
    )
    assert text_of(list(docx.read(tmp_path / "a.docx", notes))) == "flat\n\n"


def test_parts_may_be_utf_16(tmp_path: Path, notes: Notes) -> None:
    write_docx(tmp_path / "a.docx", p("书轮"), encoding="utf-16")
    assert text_of(list(docx.read(tmp_path / "a.docx", notes))) == "书轮\n\n"


def test_of_a_file_that_was_cut_off_the_beginning_is_read(tmp_path: Path, notes: Notes) -> None:
    path = tmp_path / "a.docx"
    write_docx(path, "".join(p(f"paragraph {n * n * 7919 % 10_007}") for n in range(3000)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    text = text_of(list(docx.read(path, notes)))
    assert text.startswith("paragraph 0\n\nparagraph 7919\n\n")
    assert notes.warnings == [ooxml.CUT_OFF]


@pytest.mark.parametrize("main", [b"", b"no XML", b"\x00\x01"])
def test_a_main_part_that_is_no_xml_is_refused(tmp_path: Path, notes: Notes, main: bytes) -> None:
    write_docx(tmp_path / "a.docx", "", document=main)
    with pytest.raises(ParsingError, match="damaged"):
        list(docx.read(tmp_path / "a.docx", notes))


def test_without_a_main_part_it_is_refused(tmp_path: Path, notes: Notes) -> None:
    write_docx(tmp_path / "a.docx", "", main="word/other.xml", document=None)
    with pytest.raises(ParsingError, match="main part is missing"):
        list(docx.read(tmp_path / "a.docx", notes))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused(tmp_path: Path, notes: Notes, encoding: str) -> None:
    bomb = f"<!--{'x' * 9000}--><!DOCTYPE a [<!ENTITY b 'bbb'>]><w:document>&b;</w:document>"
    write_docx(tmp_path / "a.docx", "", document=bomb.encode(encoding))
    with pytest.raises(ParsingError, match="entities"):
        list(docx.read(tmp_path / "a.docx", notes))


def test_more_markup_than_can_be_held_is_refused(read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ooxml, "MOST_MARKUP", 50_000)
    assert len(read(p("short") * 20_000)) == 20_000
    with pytest.raises(SizeExceeded):
        read(p(runs="<w:r/>" * 300_000))


def test_more_paragraphs_than_any_honest_document_has_are_refused(read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ooxml, "MOST_EVENTS", 1000)
    with pytest.raises(SizeExceeded):
        read("<w:p/>" * 501)


def test_deep_nesting_ends(read) -> None:
    cells = "<w:tbl><w:tr><w:tc>", "</w:tc></w:tr></w:tbl>"
    assert text_of(read(cells[0] * 100 + p("deep") + cells[1] * 100)) == "deep\n\n"
    runs = "<w:hyperlink>" * 300 + run("linked") + "</w:hyperlink>" * 300
    assert text_of(read(p(runs=runs))) == "linked\n\n"
    assert text_of(read(p("before") + p(runs="<w:ins>" * 100_000 + "</w:ins>" * 100_000))) == "before\n\n"


def test_long_paragraphs_are_parted(read) -> None:
    blocks = read(p("word " * 4000))
    assert max(len(block.text) for block in blocks) <= 8_002
    assert text_of(blocks) == "word " * 3999 + "word\n\n"
