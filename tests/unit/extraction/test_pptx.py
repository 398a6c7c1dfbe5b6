"""Presentations read slide by slide, as an audience would."""

import zipfile
from pathlib import Path

import pytest

from bookwheel.document import Block, BlockKind, Picture
from bookwheel.errors import PagesExceeded, ParsingError
from bookwheel.extraction import notes as notes_module
from bookwheel.extraction.formats import pptx
from bookwheel.extraction.notes import Notes
from support.docx_parts import DECLARED, PNG, relations

CM = 360_000


def shape(text: str, kind: str = "", at: tuple[int, int] | None = None, paragraphs: str = "") -> str:
    """A shape of a text; `kind` is a placeholder's type, `at` its left and top in centimetres (it is 4 by 2 large)."""
    place = f'<p:ph type="{kind}" idx="1"/>' if kind else ""
    sides = ""
    if at:
        sides = f'<a:xfrm><a:off x="{at[0] * CM}" y="{at[1] * CM}"/><a:ext cx="{4 * CM}" cy="{2 * CM}"/></a:xfrm>'
    words = paragraphs or line(text)
    return f"<p:sp><p:nvSpPr><p:nvPr>{place}</p:nvPr></p:nvSpPr><p:spPr>{sides}</p:spPr><p:txBody>{words}</p:txBody></p:sp>"


def line(text: str, properties: str = "", level: int = 0) -> str:
    return f'<a:p><a:pPr lvl="{level}">{properties}</a:pPr><a:r><a:t>{text}</a:t></a:r></a:p>'


def tree(inside: str, root: str = "p:sld", attributes: str = "") -> str:
    return f"<{root} {DECLARED} {attributes}><p:cSld><p:spTree>{inside}</p:spTree></p:cSld></{root}>"


class Deck:
    """Builds a presentation, slide by slide, and reads it."""

    def __init__(self, folder: Path) -> None:
        (folder / "kept").mkdir()
        self.notes = Notes(folder / "kept")
        self._path = folder / "deck.pptx"
        self._slides: list[tuple[str, list[tuple[str, str, str]]]] = []
        self.parts: dict[str, str | bytes] = {}
        self.order: list[int] | None = None

    def slide(self, inside: str, *related: tuple[str, str, str], attributes: str = "") -> None:
        self._slides.append((tree(inside, attributes=attributes), list(related)))

    def read(self) -> list[Block | Picture]:
        numbers = self.order or range(1, len(self._slides) + 1)
        listed = "".join(f'<p:sldId r:id="s{n}"/>' for n in numbers)
        parts = {
            "_rels/.rels": relations([("r", "officeDocument", "ppt/presentation.xml")]),
            "ppt/presentation.xml": f"<p:presentation {DECLARED}><p:sldIdLst>{listed}</p:sldIdLst></p:presentation>",
            "ppt/_rels/presentation.xml.rels": relations(
                [(f"s{n}", "slide", f"slides/slide{n}.xml") for n in range(1, len(self._slides) + 1)]
                + [("authors", "commentAuthors", "authors.xml")]
            ),
        }
        for number, (xml, related) in enumerate(self._slides, 1):
            parts[f"ppt/slides/slide{number}.xml"] = xml
            parts[f"ppt/slides/_rels/slide{number}.xml.rels"] = relations(related)
        with zipfile.ZipFile(self._path, "w") as archive:
            for name, data in (parts | self.parts).items():
                archive.writestr(name, data)
        return list(pptx.read(self._path, self.notes))

    def text(self) -> str:
        return "".join(block.text for block in self.read() if isinstance(block, Block))


@pytest.fixture
def deck(tmp_path: Path) -> Deck:
    return Deck(tmp_path)


def test_slides_come_in_the_order_of_the_show_with_their_marks(deck: Deck) -> None:
    deck.slide(shape("First", "title") + shape("one"))
    deck.slide(shape("Second", "ctrTitle"))
    deck.order = [2, 1]
    blocks = deck.read()
    assert [(block.kind, block.text, block.anchor, block.level) for block in blocks] == [
        (BlockKind.MARK, "[slide 1]\n\n", "slide 1", 0),
        (BlockKind.HEADING, "# Second\n\n", "slide 1", 1),
        (BlockKind.MARK, "[slide 2]\n\n", "slide 2", 0),
        (BlockKind.HEADING, "## First\n\n", "slide 2", 2),
        (BlockKind.PARAGRAPH, "one\n\n", "slide 2", 0),
    ]
    assert deck.notes.counts == {"slide": 2}


def test_a_single_slide_has_no_mark(deck: Deck) -> None:
    deck.slide(shape("alone"))
    assert deck.text() == "alone\n\n"


def test_shapes_are_read_from_above_and_from_the_left(deck: Deck) -> None:
    deck.slide(
        shape("bottom", at=(0, 9))
        + shape("right", at=(6, 3))
        + shape("left", at=(0, 3))
        + shape("Title", "title", (0, 12))
    )
    assert deck.text().split() == ["##", "Title", "left", "right", "bottom"]


def test_columns_are_read_one_after_the_other(deck: Deck) -> None:
    deck.slide(shape("l1", at=(0, 0)) + shape("r1", at=(6, 1)) + shape("l2", at=(0, 2)) + shape("r2", at=(6, 3)))
    assert deck.text().split() == ["l1", "l2", "r1", "r2"]


def test_placeholders_stand_where_their_layout_has_them(deck: Deck) -> None:
    deck.slide(shape("low", at=(0, 9)) + shape("high", "body"), ("l", "slideLayout", "../slideLayouts/l.xml"))
    deck.parts["ppt/slideLayouts/l.xml"] = tree(shape("", "body", (0, 1)), "p:sldLayout")
    assert deck.text().split() == ["high", "low"]


def test_groups_are_read_together(deck: Deck) -> None:
    group = (
        f'<p:grpSp><p:grpSpPr><a:xfrm><a:off x="0" y="{5 * CM}"/><a:ext cx="{CM}" cy="{CM}"/></a:xfrm></p:grpSpPr>'
        f"{shape('inside 2', at=(0, 99))}{shape('inside 1', at=(0, 0))}</p:grpSp>"
    )
    deck.slide(shape("below", at=(0, 8)) + group + shape("above", at=(0, 1)))
    assert deck.text().split("\n\n") == ["above", "inside 1", "inside 2", "below", ""]


def test_lists_have_bullets_and_numbers(deck: Deck) -> None:
    numbered = '<a:buAutoNum type="{}"/>'
    deck.slide(
        shape("", "body", paragraphs=line("a") + line("b", level=1) + line("plain", "<a:buNone/>"))
        + shape("", paragraphs=line("x", '<a:buChar char="•"/>') + line("y"))
        + shape("", paragraphs="".join(line(t, numbered.format("arabicParenR")) for t in "pq"))
        + shape("", paragraphs=line("r", numbered.format("alphaUcPeriod")) + line("s", numbered.format("ea1ChsPeriod")))
    )
    assert deck.text() == "- a\n  - b\nplain\n\n- x\ny\n\n1) p\n2) q\n\nA. r\n二. s\n\n"


def test_tables_charts_and_diagrams_are_read(deck: Deck) -> None:
    rows = "".join(
        f"<a:tr>{''.join(f'<a:tc {merge}><a:txBody>{line(text)}</a:txBody></a:tc>' for text, merge in row)}</a:tr>"
        for row in (
            [("Place", ""), ("Year", "")],
            [("Leiden", 'rowSpan="2"'), ("1609", "")],
            [("", 'vMerge="1"'), ("1610", "")],
        )
    )
    frame = "<p:graphicFrame><a:graphic><a:graphicData>{}</a:graphicData></a:graphic></p:graphicFrame>"
    deck.slide(
        frame.format(f"<a:tbl>{rows}</a:tbl>")
        + frame.format('<c:chart r:id="c"/>')
        + frame.format('<dgm:relIds r:dm="d"/>'),
        ("c", "chart", "../charts/c.xml"),
        ("d", "diagramData", "../diagrams/d.xml"),
    )
    deck.parts["ppt/charts/c.xml"] = (
        f"<c:chartSpace {DECLARED}><c:ser><c:val><c:pt idx='0'><c:v>7</c:v></c:pt></c:val></c:ser></c:chartSpace>"
    )
    deck.parts["ppt/diagrams/d.xml"] = (
        f"<dgm:dataModel {DECLARED}><dgm:pt modelId='1'>{line('step')}</dgm:pt></dgm:dataModel>"
    )
    assert deck.text() == (
        "| Place | Year |\n| --- | --- |\n| Leiden | 1609 |\n| Leiden | 1610 |\n\n"
        "|  | Series 1 |\n| --- | --- |\n|  | 7 |\n\n- step\n\n"
    )


def test_speaker_notes_and_comments_follow_the_slide(deck: Deck) -> None:
    deck.slide(shape("shown"), ("n", "notesSlide", "../notes/n.xml"), ("c", "comments", "../comments/c.xml"))
    deck.parts["ppt/notes/n.xml"] = tree(shape("7", "sldNum") + shape("said aloud", "body"), "p:notes")
    deck.parts["ppt/comments/c.xml"] = (
        f"<p:cmLst {DECLARED}><p:cm authorId='0'><p:text>Why?</p:text></p:cm>"
        "<n:cm xmlns:n='http://schemas.microsoft.com/office/powerpoint/2018/8/main' authorId='9'>"
        f"<n:txBody>{line('Newer')}</n:txBody></n:cm></p:cmLst>"
    )
    deck.parts["ppt/authors.xml"] = f"<p:cmAuthorLst {DECLARED}><p:cmAuthor id='0' name='Ada'/></p:cmAuthorLst>"
    assert deck.text() == "shown\n\nNotes: said aloud\n\n[comment by Ada: Why?]\n\n[comment: Newer]\n\n"


def test_footers_stand_once_and_slide_numbers_never(deck: Deck) -> None:
    for _ in range(2):
        deck.slide(shape("ACME", "ftr") + shape("3", "sldNum") + shape("1 May", "dt"))
    assert deck.text() == "[slide 1]\n\nACME\n\n[slide 2]\n\n"


def test_what_layouts_and_masters_write_on_slides_stands_once_and_their_prompts_never(deck: Deck) -> None:
    for words in ("one", "two"):
        deck.slide(shape(words), ("l", "slideLayout", "../slideLayouts/l.xml"))
    deck.parts["ppt/slideLayouts/l.xml"] = tree(shape("ACME Ltd") + shape("Click to edit", "title"), "p:sldLayout")
    deck.parts["ppt/slideLayouts/_rels/l.xml.rels"] = relations([("m", "slideMaster", "../slideMasters/m.xml")])
    deck.parts["ppt/slideMasters/m.xml"] = tree(f"<p:grpSp>{shape('Confidential')}</p:grpSp>", "p:sldMaster")
    assert deck.text() == "[slide 1]\n\none\n\nACME Ltd\n\nConfidential\n\n[slide 2]\n\ntwo\n\n"


@pytest.mark.parametrize(
    ("slide", "layout", "text"),
    [('showMasterSp="0"', "", "one\n\n"), ("", 'showMasterSp="0"', "one\n\nof the layout\n\n")],
)
def test_what_a_slide_does_not_show_of_its_master_is_left_out(deck: Deck, slide: str, layout: str, text: str) -> None:
    deck.slide(shape("one"), ("l", "slideLayout", "../slideLayouts/l.xml"), attributes=slide)
    deck.parts["ppt/slideLayouts/l.xml"] = tree(shape("of the layout"), "p:sldLayout", layout)
    deck.parts["ppt/slideLayouts/_rels/l.xml.rels"] = relations([("m", "slideMaster", "../slideMasters/m.xml")])
    deck.parts["ppt/slideMasters/m.xml"] = tree(shape("of the master"), "p:sldMaster")
    assert deck.text() == text


def test_of_alternatives_the_first_with_shapes_is_read(deck: Deck) -> None:
    ink = "<mc:Choice><p:contentPart/></mc:Choice>"
    deck.slide(
        f"<mc:AlternateContent>{ink}<mc:Fallback>{shape('drawn by hand')}</mc:Fallback></mc:AlternateContent>"
        f"<mc:AlternateContent><mc:Choice>{shape('new')}</mc:Choice><mc:Fallback>{shape('old')}</mc:Fallback>"
        f"</mc:AlternateContent><mc:AlternateContent>{ink}</mc:AlternateContent>"
    )
    assert deck.text() == "drawn by hand\n\nnew\n\n"


def test_hidden_slides_are_read_and_the_user_is_told(deck: Deck) -> None:
    deck.slide(shape("seen"))
    deck.slide(shape("spare"), attributes='show="0"')
    assert "spare" in deck.text()
    assert deck.notes.warnings == ["Hidden slides were read too: 2."]


def test_pictures_are_kept_once(deck: Deck) -> None:
    picture = '<p:pic><p:blipFill><a:blip r:embed="i"/></p:blipFill></p:pic>'
    for _ in range(2):
        deck.slide(picture, ("i", "image", "../media/i.png"))
    deck.parts["ppt/media/i.png"] = PNG
    pictures = [block for block in deck.read() if isinstance(block, Picture)]
    assert [picture.anchor for picture in pictures] == ["slide 1"]


def test_equations_and_breaks_stand_in_their_line(deck: Deck) -> None:
    equation = (
        "<mc:AlternateContent><mc:Choice><m:oMath><m:r><m:t>x=1</m:t></m:r></m:oMath></mc:Choice></mc:AlternateContent>"
    )
    words = f"<a:p><a:r><a:t>so</a:t></a:r><a:br/>{equation}<a:fld type='slidenum'><a:t>4</a:t></a:fld></a:p>"
    deck.slide(shape("", paragraphs=words))
    assert deck.text() == "so\n$x=1$\n\n"


def test_a_slide_that_is_missing_costs_only_itself(deck: Deck) -> None:
    deck.slide(shape("one"))
    deck.order = [1, 5, 1]
    assert deck.text() == "[slide 1]\n\none\n\n[slide 2]\n\n"
    assert deck.notes.warnings == ["Slide 2 is damaged and could not be read."]


def test_without_slides_or_a_presentation_nothing_breaks(deck: Deck, tmp_path: Path) -> None:
    assert deck.read() == []
    with zipfile.ZipFile(tmp_path / "empty.pptx", "w") as archive:
        archive.writestr("ppt/other.xml", "<a/>")
    with pytest.raises(ParsingError, match="main part"):
        list(pptx.read(tmp_path / "empty.pptx", deck.notes))


def test_too_many_slides_are_refused(deck: Deck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes_module, "MOST_PAGES", 2)
    for _ in range(3):
        deck.slide(shape("x"))
    with pytest.raises(PagesExceeded):
        deck.read()


def test_groups_in_groups_and_wild_coordinates_end(deck: Deck) -> None:
    wild = '<p:sp><p:spPr><a:xfrm><a:off x="x" y="-9e9"/><a:ext cx="99999999999999999999" cy="1"/></a:xfrm></p:spPr>'
    deck.slide("<p:grpSp>" * 100 + "</p:grpSp>" * 100 + wild + f"<p:txBody>{line('far')}</p:txBody></p:sp>")
    assert deck.text() == "far\n\n"
