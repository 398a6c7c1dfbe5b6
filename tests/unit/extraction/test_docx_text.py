"""What of a paragraph's runs, fields and drawings is seen."""

import pytest
from lxml import etree

from bookwheel.extraction.docx.styles import Styles
from bookwheel.extraction.docx.text import Line, LineReader
from support.docx_parts import DECLARED, run

SEEN = '<w:vanish w:val="0"/>'
GHOST = '<w:rStyle w:val="ghost"/>'


def read(inside: str) -> Line:
    styles = etree.fromstring(
        f'<w:styles {DECLARED}><w:style w:styleId="ghost"><w:rPr><w:vanish/></w:rPr></w:style></w:styles>'
    )
    return LineReader(Styles(styles), lambda kind, note_id: f"[{kind} {note_id}]").read(
        etree.fromstring(f"<w:p {DECLARED}>{inside}</w:p>")
    )


def mark(kind: str, inside: str = "") -> str:
    return f'<w:r><w:fldChar w:fldCharType="{kind}">{inside}</w:fldChar></w:r>'


def field(instruction: str, result: str | None = None, data: str = "") -> str:
    shown = "" if result is None else mark("separate") + run(result)
    return mark("begin", data) + f"<w:r><w:instrText>{instruction}</w:instrText></w:r>" + shown + mark("end")


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        ("<w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t></w:r>", "a\tb\nc"),
        ("<w:r><w:t>co</w:t><w:softHyphen/><w:t>op</w:t><w:noBreakHyphen/><w:t>ed</w:t></w:r>", "coop-ed"),
        ("<w:r><w:t>co\u00adop\u00a0\u200bed</w:t></w:r>", "coop ed"),
        ("<w:r><w:t>pretty\n  printed</w:t></w:r>", "pretty   printed"),
        (f"{run('kept ')}<w:del>{run('gone')}</w:del><w:ins>{run('new')}</w:ins>", "kept new"),
        (f"<w:moveFrom>{run('old place')}</w:moveFrom><w:moveTo>{run('new place')}</w:moveTo>", "new place"),
        (f"{run('a')}{run('hidden', '<w:vanish/>')}{run('b', SEEN)}", "ab"),
        (f"{run('a')}{run('hidden', GHOST)}", "a"),
        (f"<w:hyperlink><w:smartTag>{run('link')}</w:smartTag></w:hyperlink>", "link"),
        ('<w:r><w:sym w:font="Wingdings" w:char="F0FE"/><w:sym w:font="Symbol" w:char="F061"/></w:r>', "☑α"),
        ('<w:r><w:sym w:font="Wingdings" w:char="zz"/><w:sym w:font="Arial" w:char="2713"/></w:r>', "✓"),
        (run("\uf0a3", '<w:rFonts w:ascii="Symbol"/>'), "≤"),
        (
            f"<w:r><w:ruby><w:rt>{run('かんじ')}</w:rt><w:rubyBase>{run('漢字')}</w:rubyBase></w:ruby></w:r>",
            "漢字(かんじ)",
        ),
        ('<w:r><w:footnoteReference w:id="4"/><w:endnoteReference w:id="5"/></w:r>', "[footnote 4][endnote 5]"),
        ("<m:oMath><m:r><m:t>x</m:t></m:r></m:oMath>", "$x$"),
        ("<m:oMathPara><m:oMath><m:r><m:t>x</m:t></m:r></m:oMath></m:oMathPara>", "$$x$$"),
        ('<w:r><w:pict><v:shape><v:textpath string="DRAFT"/></v:shape></w:pict></w:r>', "DRAFT"),
    ],
)
def test_runs_read_as_they_are_seen(inside: str, text: str) -> None:
    assert read(inside).text == text


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        (field(" HYPERLINK &quot;http://a.example&quot; ", "words"), "words"),
        (field(" PAGE ", "12"), ""),
        (field(" PAGEREF _Toc1 ", "12"), "12"),
        ('<w:fldSimple w:instr="NUMPAGES"><w:r><w:t>9</w:t></w:r></w:fldSimple>', ""),
        ('<w:fldSimple w:instr="TITLE"><w:r><w:t>The Title</w:t></w:r></w:fldSimple>', "The Title"),
        (mark("begin") + field("MERGEFIELD x", "no") + mark("separate") + run("yes") + mark("end"), "yes"),
        (mark("begin") + "<w:r><w:instrText>REF a</w:instrText></w:r>" + run("lost"), ""),
        (mark("end") + mark("separate") + run("stray"), "stray"),
        (field(r" EQ \o\ac(○,3) "), "(3)"),
        (field(r" EQ \f(1,2) "), "1/2"),
        (field(r" EQ \* jc2 \* hps10 \o\ad(\s\up 9(zì),字) "), "字(zì)"),
        (field(r" SYMBOL 254 \f Wingdings "), "☑"),
        (field("FORMCHECKBOX", None, "<w:ffData><w:checkBox><w:default w:val='1'/></w:checkBox></w:ffData>"), "☒"),
        (field("FORMCHECKBOX", None, "<w:ffData><w:checkBox/></w:ffData>"), "☐"),
        (
            field(
                "FORMDROPDOWN",
                None,
                "<w:ffData><w:ddList><w:result w:val='1'/><w:listEntry w:val='a'/><w:listEntry w:val='b'/></w:ddList>"
                "</w:ffData>",
            ),
            "b",
        ),
        (field("FORMTEXT", "typed", "<w:ffData><w:textInput/></w:ffData>"), "typed"),
    ],
)
def test_of_fields_the_result_is_read(inside: str, text: str) -> None:
    assert read(inside).text == text


def test_a_field_that_never_ends_swallows_only_its_own_paragraph() -> None:
    reader = LineReader(Styles(None), lambda _kind, _note: "")
    texts = [
        reader.read(etree.fromstring(f"<w:p {DECLARED}>{inside}</w:p>")).text for inside in (mark("begin"), run("b"))
    ]
    assert texts == ["", "b"]


def test_very_many_open_fields_are_bounded() -> None:
    assert read(mark("begin") * 20_000 + mark("end") * 20_000 + run("after")).text == "after"


def test_what_floats_is_found_and_not_read_here() -> None:
    line = read(
        '<w:r><w:drawing><a:blip r:embed="p1"/><w:txbxContent><w:p><w:r><w:t>box</w:t></w:r></w:p></w:txbxContent>'
        '<c:chart r:id="c1"/><dgm:relIds r:dm="d1"/></w:drawing>'
        '<w:object><o:OLEObject r:id="f1"/></w:object></w:r><w:r><w:commentReference w:id="7"/></w:r>'
    )
    assert line.text == ""
    assert [one.kind for one in line.floating] == ["picture", "box", "chart", "diagram", "file"]
    assert line.comments == ["7"]


def test_words_in_a_drawing_that_is_no_text_box_stand_in_their_paragraph() -> None:
    shapes = "".join(
        f"<a:sp><a:txBody><a:p><a:r><a:t>{word}</a:t></a:r></a:p></a:txBody></a:sp>" for word in ("a", "b")
    )
    assert read(f"{run('see')}<w:r><w:drawing><a:graphic>{shapes}</a:graphic></w:drawing></w:r>").text == "see\na\n\nb"


def test_of_alternatives_the_first_that_says_anything_is_read() -> None:
    options = f"<mc:Choice/><mc:Choice>{run('second')}</mc:Choice><mc:Fallback>{run('third')}</mc:Fallback>"
    assert read(f"<mc:AlternateContent>{options}</mc:AlternateContent>").text == "second"


def test_alternatives_in_alternatives_end() -> None:
    nested = "<mc:AlternateContent><mc:Choice>" * 120 + "</mc:Choice></mc:AlternateContent>" * 120
    assert read(f"<w:r><w:drawing>{nested}</w:drawing></w:r>{run('after')}").text == "after"
