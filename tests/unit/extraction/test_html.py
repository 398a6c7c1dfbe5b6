"""A page becomes blocks: what is shown of it, in order, and nothing else."""

import base64
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookwheel.document import Block, BlockKind, Picture
from bookwheel.errors import ParsingError
from bookwheel.extraction.formats.html import read
from bookwheel.extraction.notes import Notes

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8


def items_of(folder: Path, page: str | bytes) -> list[Block | Picture]:
    source = folder / "source"
    source.write_bytes(page.encode() if isinstance(page, str) else page)
    return list(read(source, Notes(folder)))


def blocks_of(folder: Path, page: str | bytes) -> list[Block]:
    return [item for item in items_of(folder, page) if isinstance(item, Block)]


def text_of(folder: Path, page: str | bytes) -> str:
    return "".join(block.text for block in blocks_of(folder, page))


# Blocks


def test_headings_have_levels_and_are_the_anchors_of_what_follows(tmp_path: Path) -> None:
    page = "<h1>Book</h1><p>a<h2>One</h2><p>b<h3>Deep</h3><p>c<h2>Two</h2><p>d"
    assert [(block.text, block.level, block.anchor) for block in blocks_of(tmp_path, page)] == [
        ("# Book\n\n", 1, "Book"),
        ("a\n\n", 0, "Book"),
        ("## One\n\n", 2, "Book > One"),
        ("b\n\n", 0, "Book > One"),
        ("### Deep\n\n", 3, "Book > One > Deep"),
        ("c\n\n", 0, "Book > One > Deep"),
        ("## Two\n\n", 2, "Book > Two"),
        ("d\n\n", 0, "Book > Two"),
    ]


def test_an_anchor_keeps_its_last_title_and_is_never_long(tmp_path: Path) -> None:
    page = "".join(f"<h{level}>{'long title ' * 9}{level}</h{level}>" for level in range(1, 6)) + "<h6>Last</h6><p>x"
    anchor = blocks_of(tmp_path, page)[-1].anchor
    assert len(anchor) <= 130
    assert anchor.endswith(" > Last")


def test_a_page_without_headings_begins_with_its_title(tmp_path: Path) -> None:
    heading, paragraph = blocks_of(tmp_path, "<title>Minutes &mdash; May</title><p>Nobody came.")
    assert (heading.text, heading.level) == ("# Minutes — May\n\n", 1)
    assert paragraph.anchor == "Minutes — May"


def test_a_page_with_a_heading_does_not_say_its_title_twice(tmp_path: Path) -> None:
    assert text_of(tmp_path, "<title>Site: Minutes</title><h1>Minutes</h1><p>x") == "# Minutes\n\nx\n\n"


def test_white_space_is_what_a_browser_shows(tmp_path: Path) -> None:
    page = "<p>one\n  two&nbsp;three<b> four</b><i>five</i> sof\u00adt\u200b end<br>\n next  line"
    assert text_of(tmp_path, page) == "one two three fourfive soft end\nnext line\n\n"


def test_wrapped_lines_of_chinese_are_joined_without_a_space(tmp_path: Path) -> None:
    assert text_of(tmp_path, "<p>読書百遍\n  意自ずから\r\n通ず。\nand then") == "読書百遍意自ずから通ず。 and then\n\n"


def test_two_line_breaks_part_paragraphs(tmp_path: Path) -> None:
    blocks = blocks_of(tmp_path, "<body>first<br>line<br><br>second<br> <br>third")
    assert [block.text for block in blocks] == ["first\nline\n\n", "second\n\n", "third\n\n"]


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<ul><li>a<li>b</ul>", "- a\n- b\n\n"),
        ("<ol start=3><li>a<li value=7>b<li>c</ol>", "3. a\n7. b\n8. c\n\n"),
        ("<ol type=a><li>a<li>b</ol>", "a. a\nb. b\n\n"),
        ("<ol type=I start=9><li>a<li>b</ol>", "IX. a\nX. b\n\n"),
        ("<ul><li>a<ol><li>b<ul><li>c</ul></ol><li>d</ul>", "- a\n  1. b\n    - c\n- d\n\n"),
        ("<ul><li><p>a</p><p>more</p><li>b<br>line</ul>", "- a\n  more\n- b\n  line\n\n"),
        ("<dl><dt>Term<dd>Meaning<dd>Another</dl>", "- Term\n  Meaning\n  Another\n\n"),
        ("<li>alone", "- alone\n\n"),
        ("<ul><li><input type=checkbox checked>done<li><input type=checkbox>open</ul>", "- [x] done\n- [ ] open\n\n"),
        ("<ul><li></ul><p>x", "x\n\n"),
    ],
)
def test_lists_keep_their_marks_and_their_nesting(tmp_path: Path, page: str, text: str) -> None:
    assert text_of(tmp_path, page) == text


def test_a_list_is_one_block_unless_it_is_long(tmp_path: Path) -> None:
    assert [block.kind for block in blocks_of(tmp_path, "<ul><li>a<li>b</ul><p>x")] == [
        BlockKind.LIST,
        BlockKind.PARAGRAPH,
    ]
    blocks = blocks_of(tmp_path, f"<ul>{'<li>' + 'word ' * 50} {'<li>item' * 3000}</ul>")
    assert len(blocks) > 2
    assert all(len(block.text) <= 8000 for block in blocks)
    assert "".join(block.text for block in blocks).count("- item\n") == 3000


def test_quotes_are_marked(tmp_path: Path) -> None:
    page = "<blockquote><p>a<br>b<blockquote>c</blockquote></blockquote><p>d <q>e</q>"
    assert text_of(tmp_path, page) == "> a\n> b\n\n> > c\n\nd “e”\n\n"


def test_code_keeps_its_white_space(tmp_path: Path) -> None:
    page = "<pre class=x><code>def f():\n\n    <b>return</b> 1 &lt; 2\n</code></pre>"
    [block] = blocks_of(tmp_path, page)
    assert block.kind is BlockKind.CODE
    assert block.text == "```\ndef f():\n\n    return 1 < 2\n```\n\n"


def test_captions_of_figures_are_figures(tmp_path: Path) -> None:
    page = '<figure><img src=x alt="A ship at sea"><figcaption>Fig. 1</figcaption></figure>'
    assert [(block.kind, block.text) for block in blocks_of(tmp_path, page)] == [
        (BlockKind.PARAGRAPH, "A ship at sea\n\n"),
        (BlockKind.FIGURE, "Fig. 1\n\n"),
    ]


def test_a_heading_that_is_never_closed_does_not_swallow_the_page(tmp_path: Path) -> None:
    blocks = blocks_of(tmp_path, "<h2>Title<div>line two</div><ul><li>a</ul><p>text")
    assert [block.text for block in blocks] == ["## Title line two\n\n", "- a\n\n", "text\n\n"]


def test_a_paragraph_made_large_is_no_heading(tmp_path: Path) -> None:
    [block] = blocks_of(tmp_path, f"<h1>{'word ' * 100}</h1>")
    assert block.kind is BlockKind.PARAGRAPH


def test_long_text_comes_in_parts_and_loses_nothing(tmp_path: Path) -> None:
    words = " ".join(f"word{number}." for number in range(20_000))
    blocks = blocks_of(tmp_path, f"<p>{words}</p><pre>{words}</pre>")
    assert max(len(block.text) for block in blocks) <= 8000
    assert "".join(block.text for block in blocks) == f"{words}\n\n```\n{words}\n```\n\n"


# Words


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("10<sup>6</sup> and 1<sup>st</sup>", "10⁶ and 1st"),
        ("H<sub>2</sub>O, x<sup>n+1</sup>, x<sup>2k</sup>, a<sub>i,3</sub>", "H₂O, xⁿ⁺¹, x^(2k), a_(i,3)"),
        ('<img alt="T" src=t.png>he end', "The end"),
        ('<img alt="cover.jpg"><img alt="image"><img alt>x', "x"),
        ('<img aria-hidden=true alt="{\\displaystyle x^{2}}"> y', "$x^{2}$ y"),
        ('<a href="http://example.org/a"></a>', "http://example.org/a"),
        ('<a href="http://example.org/a">words</a>', "words"),
        ('<a href="/share" aria-label="Share"></a><a href="#"></a><a id=x></a>', "Share"),
        ("&eacute;&hellip;&#20013;&#x6587;&amp;&unknown;", "é…中文&&unknown;"),
        ("a<wbr>b<span>c</span>", "abc"),
        ("a < b and c<5", "a < b and c<5"),
        ("<script type='math/tex'>x^2</script>", "$x^2$"),
        ("<svg><title>icon</title><text>Drawn words</text></svg>", "Drawn words"),
        ("<select><option>red<option>blue</select>", "red\n\nblue"),
        ("<details><summary>Question</summary>Answer</details>", "Question\n\nAnswer"),
        ("<button>Why?</button>", "Why?"),
    ],
)
def test_words_are_as_they_are_seen(tmp_path: Path, page: str, text: str) -> None:
    assert text_of(tmp_path, page).strip() == text


@pytest.mark.parametrize(
    "hidden",
    [
        "<script>no</script>",
        "<style>no</style>",
        "<template><p>no</template>",
        "<noscript>no</noscript>",
        "<p hidden>no</p>",
        '<div style="color:red; display : none"><p>no</div>',
        '<span aria-hidden="true">no</span>',
        "<!-- no -->",
        "<video>no</video>",
        '<td class="linenos">no</td>',
        "<svg><defs><text>no</text></defs></svg>",
    ],
)
def test_what_is_not_shown_is_not_read(tmp_path: Path, hidden: str) -> None:
    assert text_of(tmp_path, f"<p>before</p>{hidden}<p>after</p>") == "before\n\nafter\n\n"


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("<mfrac><mi>a</mi><mrow><mi>b</mi><mo>+</mo><mn>1</mn></mrow></mfrac>", "a/(b + 1)"),
        ("<msup><mi>x</mi><mn>2</mn></msup><mo>=</mo><msqrt><mi>y</mi></msqrt>", "x^2 = √(y)"),
        ("<msubsup><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>0</mn></mrow><mi>n</mi></msubsup>", "∑_(i = 0)^n"),
        ("<mroot><mi>x</mi><mn>3</mn></mroot>", "root(3, x)"),
        ("<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr><mtr><mtd>3</mtd></mtr></mtable>", "1, 2; 3"),
        ("<mi>f</mi><mo>&#x2061;</mo><mfenced><mi>x</mi></mfenced>", "f(x)"),
        (r'<semantics><mi>a</mi><annotation encoding="application/x-tex">\alpha</annotation></semantics>', r"$\alpha$"),
    ],
)
def test_formulas_are_lines_of_text(tmp_path: Path, formula: str, text: str) -> None:
    assert text_of(tmp_path, f"<p>see <math>{formula}</math> here") == f"see {text} here\n\n"


def test_readings_stand_after_their_run_of_characters_and_once_only(tmp_path: Path) -> None:
    word = "<ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp></ruby><ruby>字<rt>じ</rt></ruby>"
    assert text_of(tmp_path, f"<p>{word}を書く。{word}を読む。") == "漢字(かんじ)を書く。漢字を読む。\n\n"
    pinyin = "<ruby>汉<rt>hàn</rt></ruby> <ruby>字<rt>zì</rt></ruby>"
    assert text_of(tmp_path, f"<p>{pinyin}").startswith("汉 字(hàn zì)")


# Footnotes


@pytest.mark.parametrize(
    ("reference", "note", "definition"),
    [
        (
            '<sup><a href="#n">1</a></sup>',
            '<p id="n"><a href="#r">1</a>. The note. <a href="#r">↩</a></p>',
            "[^1]: The note.",
        ),
        ('<a href="#n"><sup>[2]</sup></a>', '<ol><li id="n">The note.</li></ol>', "[^2]: The note."),
        ('<a epub:type="noteref" href="#n">*</a>', '<aside id="n"><p>* The note.</p></aside>', "[^*]: The note."),
        ('<a role="doc-noteref" href="#n">1</a>', '<p><a name="n"></a>1 The note.</p>', "[^1]: The note."),
        (
            '<sup class="reference"><a href="#n">[1]</a></sup>',
            '<ol><li id="n"><a href="#r">^</a> <sup><a href="#r2">a</a></sup> The note.</li></ol>',
            "[^1]: The note.",
        ),
        (
            '<a class="duokan-footnote" href="#n"><img alt="注"/></a>',
            '<ol><li id="n">The note.</ol>',
            "[^1]: The note.",
        ),
    ],
)
def test_footnotes_are_found_by_what_refers_to_them(tmp_path: Path, reference: str, note: str, definition: str) -> None:
    text = text_of(tmp_path, f"<p>Text{reference} goes on.</p><hr>{note}")
    label = definition.partition(":")[0]
    assert text == f"Text{label} goes on.\n\n{definition}\n" + ("" if text.endswith("note.\n") else "\n")


def test_a_raised_link_to_elsewhere_is_no_footnote(tmp_path: Path) -> None:
    page = '<p>x<sup><a href="http://example.org/#a">1</a></sup> y<sup><a href="#long">see below</a></sup>'
    assert text_of(tmp_path, page) == "x¹ ysee below\n\n"


# Web pages


def test_navigation_and_notices_are_left_out_and_prose_is_kept(tmp_path: Path) -> None:
    page = """<body class="cookie-banner-shown">
    <header><a href="/">Home</a> <a href="/shop">Shop</a></header>
    <nav><h2>Menu</h2><ul><li><a href="/a">A</a><li><a href="/b">B</a></ul></nav>
    <div id="cookie-banner">We use cookies. <button>Fine</button></div>
    <main><h1>Story</h1><p>Text.</p><nav><a href="/next">Next part</a></nav></main>
    <aside>A note on the story that is prose.</aside>
    <footer><a href="/imprint">Imprint</a> <a href="/terms">Terms</a></footer>"""
    assert text_of(tmp_path, page) == "# Story\n\nText.\n\nNext part\n\nA note on the story that is prose.\n\n"
    assert blocks_of(tmp_path, page)[1].anchor == "Story"


@pytest.mark.parametrize("begin", ["<nav>", "<div role=navigation>"])
def test_headings_of_navigation_head_nothing_beyond_it(tmp_path: Path, begin: str) -> None:
    page = f"<main><h1>Turing</h1>{begin}<h2>Contents</h2><ol><li><a href='#life'>1 Life</a></ol></nav></div><p>text"
    assert [(block.text, block.anchor) for block in blocks_of(tmp_path, page)][2:] == [
        ("- 1 Life\n\n", "Turing > Contents"),
        ("text\n\n", "Turing"),
    ]


@pytest.mark.parametrize(
    "part",
    [
        "<header><h1><a href='/post'>Only title</a></h1></header>",
        "<nav>Only title, and words that are no links</nav>",
        "<nav><a href='#one'>Only title</a></nav>",
        "<div id='cookies'>Only title</div>",
        f"<div id='cookie-notice'>{'Only title and a policy at length. ' * 60}</div>",
        "<footer>Only title: written in May</footer>",
    ],
)
def test_what_may_be_text_is_kept(tmp_path: Path, part: str) -> None:
    assert "Only title" in text_of(tmp_path, f"{part}<p>x")


def test_pictures_in_the_page_are_kept(tmp_path: Path) -> None:
    url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    [before, picture, after] = items_of(tmp_path, f"<h1>Scan</h1><p><img src='{url}'><p>after")
    assert isinstance(before, Block)
    assert picture == Picture("Scan", name="picture-1")
    assert (tmp_path / "picture-1").read_bytes() == PNG
    assert isinstance(after, Block)


def test_pictures_that_are_none_are_not_kept(tmp_path: Path) -> None:
    sources = ["data:image/svg+xml,%3Csvg/%3E", "http://example.org/a.png", "data:image/png;base64,%%"]
    page = "<p>x" + "".join(f"<img src='{source}'>" for source in sources)
    assert len(items_of(tmp_path, page)) == 1


# Encodings


@pytest.mark.parametrize(
    ("codec", "head"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("utf-16", ""),
        ("gb18030", "<meta charset=gb2312>"),
        ("big5", '<meta http-equiv="Content-Type" content="text/html; charset=big5">'),
        ("shift_jis", "<meta charset=shift_jis>"),
    ],
)
def test_the_encoding_is_found(tmp_path: Path, codec: str, head: str) -> None:
    words = "文字和書籍" * 20
    assert words in text_of(tmp_path, f"<html><head>{head}</head><p>{words}</p>".encode(codec))


def test_xhtml_is_read_as_xhtml(tmp_path: Path) -> None:
    page = """<?xml version="1.0" encoding="utf-8"?>
    <html xmlns="http://www.w3.org/1999/xhtml"><head><title/><script src="x.js"/></head>
    <body><p id="a"/>one<a id="b"/> two &nbsp;<![CDATA[a <b> & c]]></body></html>"""
    assert text_of(tmp_path, page) == "one two a <b> & c\n\n"


# Hostile pages


def test_entities_that_a_page_defines_are_not_expanded(tmp_path: Path) -> None:
    page = '<!DOCTYPE html [<!ENTITY a "boom"><!ENTITY b "&a;&a;&a;">]><p>&b; stays'
    assert text_of(tmp_path, page) == "&b; stays\n\n"


@pytest.mark.parametrize(
    "tag", ["div", "ul><li", "blockquote", "table><tr><td", "b", "ruby", "math", "h1", "sup", "a href=x"]
)
def test_depth_without_end_is_read_through(tmp_path: Path, tag: str) -> None:
    assert "after" in text_of(tmp_path, f"<{tag}>" * 30_000 + "</i>" * 1000 + "</math>" * 2 + "<p>after")


@pytest.mark.parametrize(
    "page", ["", " ", "\0\0", "<", "<!--", "<![CDATA[", "<a", "&", "<html></html>", "<table><tr></table>"]
)
def test_pages_without_words_have_no_blocks(tmp_path: Path, page: str) -> None:
    assert text_of(tmp_path, page).strip() in ("", "<", "<a", "&")


@given(
    st.lists(
        st.sampled_from(
            "<p> <b> </b> <ul> <li> </ul> <td> <table> <tr> </table> <h1> </h1> <pre> </pre> <br> x <nav>"
            " <a~href=#x> </a> <sup> </sup> <p~id=x> <ruby> <rt> <math> <mi> </math> <dl> <dd>".split()
        ),
        max_size=40,
    )
)
def test_no_order_of_tags_makes_it_fail(tmp_path_factory: pytest.TempPathFactory, tags: list[str]) -> None:
    page = "".join(tags).replace("~", " ")
    text = text_of(tmp_path_factory.getbasetemp(), page)
    if not {"<math>", "<rt>", "<nav>", "<sup>"} & set(tags):
        assert text.count("x") == tags.count("x")


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail(tmp_path_factory: pytest.TempPathFactory, page: bytes) -> None:
    for block in blocks_of(tmp_path_factory.getbasetemp(), page):
        assert block.text


# Web archives


def archive_of(*parts: tuple[str, str, bytes]) -> bytes:
    lines = [b"MIME-Version: 1.0", b'Content-Type: multipart/related; boundary="edge"', b""]
    for kind, location, data in parts:
        lines += [b"--edge", f"Content-Type: {kind}".encode(), f"Content-Location: {location}".encode()]
        lines += [b"Content-Transfer-Encoding: base64", b"", base64.b64encode(data)]
    return b"\r\n".join([*lines, b"--edge--", b""])


def test_a_web_archive_gives_its_pages_and_their_pictures(tmp_path: Path) -> None:
    archive = archive_of(
        ("text/html", "http://example.org/", b"<title>One</title><p>caf\xc3\xa9<img src='http://example.org/a.png'>"),
        ("image/png", "http://example.org/a.png", PNG),
        ("text/css", "http://example.org/a.css", b"p {}"),
        ("text/html", "http://example.org/frame", b"<p>framed"),
    )
    items = items_of(tmp_path, archive)
    assert [item.text if isinstance(item, Block) else item.name for item in items] == [
        "# One\n\n",
        "café\n\n",
        "picture-1",
        "framed\n\n",
    ]


def test_a_web_archive_nested_without_end_is_refused(tmp_path: Path) -> None:
    bomb = b"".join(b"Content-Type: multipart/related; boundary=x%d\n\n--x%d\n" % (n, n) for n in range(3000))
    with pytest.raises(ParsingError):
        items_of(tmp_path, bomb)


def test_text_passes_through_bounded_memory(tmp_path: Path) -> None:
    """The blocks come while the page is read, not at its end."""
    source = tmp_path / "source"
    source.write_text("<p>paragraph</p>\n" * 200_000)
    blocks = read(source, Notes(tmp_path))
    first = next(blocks)
    assert isinstance(first, Block)
    assert first.text == "paragraph\n\n"
    assert zlib.crc32(b"".join(b"." for _ in blocks)) == zlib.crc32(b"." * 199_999)
