"""What is embedded in an Office file is read where it stands: an Excel table in a report is part of the report."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bookwheel.document import Block, BlockKind, Picture
from bookwheel.extraction.formats import docx, pptx
from bookwheel.extraction.notes import Notes
from bookwheel.extraction.ooxml import embedded as ooxml_embedded
from support.docx_parts import DECLARED, PNG, STYLES, heading, p, relations, workbook_bytes, write_docx

NOT_READ = ["Files that are embedded in it were not read."]


def ole(relation: str) -> str:
    return f'<w:r><w:object><v:shape/><o:OLEObject r:id="{relation}"/></w:object></w:r>'


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


def inner_docx(tmp_path: Path, body: str, **parts: str | bytes) -> bytes:
    write_docx(tmp_path / "inner.docx", body, **parts)
    return (tmp_path / "inner.docx").read_bytes()


def texts(blocks: Iterator[Block | Picture] | list[Block | Picture]) -> list[str]:
    return [block.text if isinstance(block, Block) else "PICTURE" for block in blocks]


def test_a_workbook_stands_where_its_picture_does(read, notes: Notes) -> None:
    blocks = read(
        heading("Report", 1) + p("before", runs=ole("book")) + p("after"),
        styles=STYLES,
        workbook=workbook_bytes("north", "south"),
    )
    assert texts(blocks)[1:] == ["before\n\n", "Sheet: Sales\n\n", "| north | south |\n| --- | --- |\n\n", "after\n\n"]
    assert {block.anchor for block in blocks} == {"Report"}
    assert notes.counts == {"section": 1}, "neither the sheet nor the heading in it are the document's own"
    assert notes.warnings == []


def test_a_file_that_is_drawn_twice_is_read_once(read) -> None:
    assert texts(read(p("", runs=ole("book") + ole("book")), workbook=workbook_bytes("x"))) == [
        "Sheet: Sales\n\n",
        "x\n\n",
    ]


def test_an_embedded_document_gives_its_words_without_pictures_and_files_of_its_own(
    read, tmp_path: Path, notes: Notes
) -> None:
    picture = '<w:r><w:drawing><a:blip r:embed="pic"/></w:drawing></w:r>'
    body = heading("Inside", 1) + p("words", runs=picture + ole("book"))
    inner = inner_docx(tmp_path, body, styles=STYLES, picture=PNG, workbook=workbook_bytes("deep"))
    blocks = read(p("", runs=ole("inner")) + p("after"), inner=inner)
    assert texts(blocks) == ["Inside\n\n", "words\n\n", "after\n\n"]
    assert [block.kind for block in blocks if isinstance(block, Block)] == [BlockKind.PARAGRAPH] * 3
    assert list(notes.folder.iterdir()) == []


def test_a_document_that_is_put_in_place_of_text_is_read_as_text(read, tmp_path: Path) -> None:
    inner = inner_docx(tmp_path, p("chapter one"))
    assert texts(read('<w:altChunk r:id="inner"/>' + p("end"), inner=inner)) == ["chapter one\n\n", "end\n\n"]


@pytest.mark.parametrize("relation", ["object", "book"])
def test_what_cannot_be_read_is_told_and_costs_only_itself(read, notes: Notes, relation: str) -> None:
    body = p("", runs=ole(relation)) + p("after")
    assert texts(read(body, object=b"\xd0\xcf\x11\xe0", workbook=b"no archive")) == ["after\n\n"]
    assert notes.warnings == NOT_READ


def test_files_are_read_up_to_a_number_and_each_up_to_a_length(
    read, notes: Notes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ooxml_embedded, "MOST_CHARACTERS", 20)
    inner = inner_docx(tmp_path, p("ten letters") + p("and ten more"))
    assert texts(read(p("", runs=ole("inner")), inner=inner)) == ["ten letters\n\n"]
    assert notes.warnings == ["Of files that are embedded in it only the beginning was read."]
    monkeypatch.setattr(ooxml_embedded, "MOST_FILES", 1)
    body = p("", runs=ole("inner") + ole("book"))
    assert texts(read(body, inner=inner, workbook=workbook_bytes("x"))) == ["ten letters\n\n"]
    assert notes.warnings[1:] == NOT_READ


def test_a_workbook_on_a_slide_is_read_once_although_older_programs_are_told_of_it_again(
    tmp_path: Path, notes: Notes
) -> None:
    told = '<p:oleObj r:id="book"/>'
    frame = f"<mc:AlternateContent><mc:Choice>{told}</mc:Choice><mc:Fallback>{told}</mc:Fallback></mc:AlternateContent>"
    graphic = f"<p:graphicFrame><a:graphic><a:graphicData>{frame}</a:graphicData></a:graphic></p:graphicFrame>"
    with zipfile.ZipFile(tmp_path / "deck.pptx", "w") as archive:
        archive.writestr("_rels/.rels", relations([("r", "officeDocument", "ppt/presentation.xml")]))
        archive.writestr("ppt/presentation.xml", f"<p:presentation {DECLARED}/>")
        archive.writestr("ppt/_rels/presentation.xml.rels", relations([("s", "slide", "slides/slide1.xml")]))
        tree = f"<p:sld {DECLARED}><p:cSld><p:spTree>{graphic}</p:spTree></p:cSld></p:sld>"
        archive.writestr("ppt/slides/slide1.xml", tree)
        archive.writestr("ppt/slides/_rels/slide1.xml.rels", relations([("book", "package", "../embeddings/b.xlsx")]))
        archive.writestr("ppt/embeddings/b.xlsx", workbook_bytes("a", "b"))
    blocks = list(pptx.read(tmp_path / "deck.pptx", notes))
    assert texts(blocks) == ["Sheet: Sales\n\n", "| a | b |\n| --- | --- |\n\n"]
    assert {block.anchor for block in blocks} == {"slide 1"}
