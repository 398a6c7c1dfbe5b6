"""A book's pages in the order of its spine, whatever the shape of the archive around them."""

import zipfile
from pathlib import Path

import pytest

from bookwheel.document import Block, BlockKind, Picture
from bookwheel.errors import ParsingError, SizeExceeded
from bookwheel.extraction import archive
from bookwheel.extraction.formats.epub import read
from bookwheel.extraction.notes import Notes

CONTAINER = '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>{}</rootfiles></container>'
TWINS = "".join(f'<item id="b" href="{name}.xhtml" media-type="application/xhtml+xml"/>' for name in "bc")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8


def page(body: str, title: str = "Book") -> str:
    return f"""<?xml version="1.0" encoding="utf-8"?>
    <!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.1//EN" "http://www.w3.org/TR/xhtml11/DTD/xhtml11.dtd">
    <html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">
    <head><title>{title}</title></head><body>{body}</body></html>"""


def package(items: dict[str, str], spine: str, *, extra: str = "") -> str:
    manifest = "".join(
        f'<item id="{name}" href="{href}" media-type="application/xhtml+xml"/>' for name, href in items.items()
    )
    return (
        f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{manifest}{extra}</manifest>'
        f"<spine>{spine}</spine></package>"
    )


def book(folder: Path, entries: dict[str, str | bytes], opf: str = "OEBPS/book.opf") -> Path:
    path = folder / "book.epub"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        if "META-INF/container.xml" not in entries:
            file.writestr("META-INF/container.xml", CONTAINER.format(f'<rootfile full-path="{opf}"/>'))
        for name, data in entries.items():
            file.writestr(name, data)
    return path


def small_book(folder: Path, body: str, more: dict[str, str | bytes] | None = None, *, extra: str = "") -> Path:
    opf = package({"a": "a.xhtml"}, '<itemref idref="a"/>', extra=extra)
    return book(folder, {"OEBPS/book.opf": opf, "OEBPS/a.xhtml": page(body)} | (more or {}))


def items_of(path: Path, notes: Notes | None = None) -> list[Block | Picture]:
    return list(read(path, notes or Notes(path.parent)))


def blocks_of(path: Path, notes: Notes | None = None) -> list[Block]:
    return [item for item in items_of(path, notes) if isinstance(item, Block)]


def text_of(path: Path, notes: Notes | None = None) -> str:
    return "".join(block.text for block in blocks_of(path, notes))


def test_pages_are_read_in_the_order_of_the_spine_and_what_is_not_linear_at_the_end(tmp_path: Path) -> None:
    items = {"one": "1.xhtml", "two": "2.xhtml", "notes": "n.xhtml", "unread": "u.xhtml"}
    spine = '<itemref idref="notes" linear="no"/><itemref idref="two"/><itemref idref="one"/>'
    entries = {f"OEBPS/{href}": page(f"<h1>{name}</h1>") for name, href in items.items()}
    path = book(tmp_path, {"OEBPS/book.opf": package(items, spine)} | entries)
    notes = Notes(tmp_path)
    assert text_of(path, notes) == "# two\n\n# one\n\n# notes\n\n"
    assert notes.counts == {"section": 3}
    assert notes.all_warnings() == []


@pytest.mark.parametrize(
    "contents",
    [
        """<navMap><navPoint><navLabel><text>Part One</text></navLabel><content src="1.xhtml#x"/>
        <navPoint><navLabel><text>Not first</text></navLabel><content src="1.xhtml#y"/></navPoint></navPoint></navMap>""",
        '<nav><ol><li><a href="1.xhtml">Part <i>One</i></a></li><li><a href="1.xhtml#y">Not first</a></li></ol></nav>',
    ],
)
def test_anchors_are_headings_else_titles_else_names(tmp_path: Path, contents: str) -> None:
    is_ncx = "navMap" in contents
    name = "toc.ncx" if is_ncx else "toc.xhtml"
    extra = f'<item id="toc" href="{name}" properties="{"" if is_ncx else "nav"}"/>'
    spine = '<itemref idref="a"/><itemref idref="b"/>'
    path = book(
        tmp_path,
        {
            "OEBPS/book.opf": package({"a": "1.xhtml", "b": "colophon.xhtml"}, spine, extra=extra),
            f"OEBPS/{name}": f"<root>{contents}</root>",
            "OEBPS/1.xhtml": page("<p>first</p><h1>Start</h1><p>second</p>"),
            "OEBPS/colophon.xhtml": page("<p>third</p>"),
        },
    )
    assert [block.anchor for block in blocks_of(path)] == ["Part One", "Start", "Start", "colophon"]


def test_the_rest_of_a_chapter_that_was_split_keeps_its_title(tmp_path: Path) -> None:
    items = {f"i{number}": f"part_{number:04}.html" for number in range(3)}
    spine = "".join(f'<itemref idref="{name}"/>' for name in items)
    ncx = '<ncx><navPoint><navLabel><text>Long</text></navLabel><content src="part_0000.html"/></navPoint></ncx>'
    entries = {f"OEBPS/{href}": page("<p>x</p>") for href in items.values()}
    opf = package(items, spine, extra='<item id="ncx" href="toc.ncx"/>')
    path = book(tmp_path, {"OEBPS/book.opf": opf, "OEBPS/toc.ncx": ncx} | entries)
    assert {block.anchor for block in blocks_of(path)} == {"Long"}


@pytest.mark.parametrize(
    "href",
    ["My%20Chapter%20%E4%B8%80.xhtml", "My Chapter 一.xhtml", "MY CHAPTER 一.XHTML", "./x/../My Chapter 一.xhtml"],
)
def test_links_are_followed_however_they_are_written(tmp_path: Path, href: str) -> None:
    opf = package({"a": href}, '<itemref idref="a"/>')
    path = book(tmp_path, {"OEBPS/book.opf": opf, "OEBPS/My Chapter 一.xhtml": page("<p>found</p>")})
    assert text_of(path) == "found\n\n"


@pytest.mark.parametrize("codec", ["utf-8", "utf-16", "utf-16-le", "gb18030"])
def test_pages_are_read_in_their_encoding(tmp_path: Path, codec: str) -> None:
    text = "三十辐共一毂，当其无，有车之用。" * 10
    data = page(f"<p>{text}</p>").replace("utf-8", codec).encode(codec)
    opf = package({"a": "a.xhtml"}, '<itemref idref="a"/>')
    assert text_of(book(tmp_path, {"OEBPS/book.opf": opf, "OEBPS/a.xhtml": data})) == f"{text}\n\n"


def test_named_characters_need_no_dtd(tmp_path: Path) -> None:
    assert text_of(small_book(tmp_path, "<p>caf&eacute;&nbsp;&mdash; <br/>fin</p>")) == "café —\nfin\n\n"


def test_entities_of_a_pages_own_are_not_expanded(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE html [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><html><body><p>&b;x</p></body></html>'
    assert text_of(small_book(tmp_path, "", {"OEBPS/a.xhtml": bomb})) == "&b;x\n\n"


def test_footnotes_are_found_over_pages(tmp_path: Path) -> None:
    items = {"a": "text/a.xhtml", "n": "notes.xhtml"}
    path = book(
        tmp_path,
        {
            "OEBPS/book.opf": package(items, '<itemref idref="a"/><itemref idref="n"/>'),
            "OEBPS/text/a.xhtml": page('<p>Text<a epub:type="noteref" href="../notes.xhtml#n1">1</a></p>'),
            "OEBPS/notes.xhtml": page('<aside epub:type="footnote" id="n1" hidden="hidden"><p>1. Note</p></aside>'),
        },
    )
    assert text_of(path) == "Text[^1]\n\n[^1]: Note\n\n"


def test_the_contents_page_has_no_numbers_of_its_own(tmp_path: Path) -> None:
    body = (
        '<nav epub:type="toc"><ol><li><a href="a">1. One</a></li></ol></nav><nav hidden=""><ol><li>12</li></ol></nav>'
    )
    assert text_of(small_book(tmp_path, body)) == "- 1. One\n\n"


# Pictures


def test_pictures_are_kept_where_they_stand_and_once(tmp_path: Path) -> None:
    body = """<h1>Plates</h1><p>before<img src="../img/A%201.png" alt="a map of the town"/></p><p>after</p>
    <svg xmlns:xlink="x"><image xlink:href="../img/a 1.PNG"/></svg><img src="small.png"/><img src="drawn.svg"/>"""
    more: dict[str, str | bytes] = {"img/a 1.png": PNG, "OEBPS/small.png": PNG[:99], "OEBPS/drawn.svg": "<svg/>" * 500}
    items = items_of(small_book(tmp_path, body, more))
    assert [item.text if isinstance(item, Block) else item for item in items] == [
        "# Plates\n\n",
        "before a map of the town\n\n",
        Picture("Plates", name="picture-1"),
        "after\n\n",
    ]


def test_a_picture_may_be_a_page(tmp_path: Path) -> None:
    opf = package({"a": "cover.png", "b": "b.svg"}, '<itemref idref="a"/><itemref idref="b"/>')
    svg = '<svg xmlns="http://www.w3.org/2000/svg"><title>t</title><text>Drawn</text></svg>'
    items = items_of(book(tmp_path, {"OEBPS/book.opf": opf, "OEBPS/cover.png": PNG, "OEBPS/b.svg": svg}))
    assert items == [Picture("cover", name="picture-1"), Block(BlockKind.PARAGRAPH, "Drawn\n\n", "b")]


# Broken books


@pytest.mark.parametrize(
    "entries",
    [
        {"META-INF/container.xml": "", "book.opf": "not <xml"},
        {"META-INF/container.xml": CONTAINER.format(""), "x": ""},
        {"META-INF/container.xml": CONTAINER.format('<rootfile full-path="missing.opf"/>'), "x": ""},
        {"META-INF/container.xml": "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "x": ""},
        {"META-INF/container.xml": "\0\1\2", "book.opf": "<package><spine><itemref idref='none'/></spine></package>"},
    ],
)
def test_without_a_table_of_pages_all_pages_are_read(tmp_path: Path, entries: dict[str, str]) -> None:
    pages = {"b.xhtml": page("<p>one</p>"), "a.HTM": page("<p>two</p>"), "c.css": "p {}"}
    notes = Notes(tmp_path)
    assert text_of(book(tmp_path, entries | pages), notes) == "one\n\ntwo\n\n"
    assert any("order of the archive" in warning for warning in notes.all_warnings())


def test_a_book_whose_spine_is_empty_is_read_as_listed(tmp_path: Path) -> None:
    opf = package({"b": "b.xhtml", "a": "a.xhtml"}, "")
    path = book(tmp_path, {"OEBPS/book.opf": opf, "OEBPS/a.xhtml": page("<p>a</p>"), "OEBPS/b.xhtml": page("<p>b</p>")})
    assert text_of(path) == "b\n\na\n\n"


def test_pages_that_are_missing_are_said(tmp_path: Path) -> None:
    opf = package({"a": "a.xhtml", "gone": "gone.xhtml"}, '<itemref idref="gone"/><itemref idref="a"/>')
    notes = Notes(tmp_path)
    assert text_of(book(tmp_path, {"OEBPS/book.opf": opf, "OEBPS/a.xhtml": page("<p>a</p>")}), notes) == "a\n\n"
    assert notes.all_warnings() == ["1 sections that the book names are not in the file."]


def test_pages_of_one_id_are_all_read(tmp_path: Path) -> None:
    opf = package({"a": "a.xhtml"}, '<itemref idref="a"/><itemref idref="b"/>', extra=TWINS)
    pages = {f"OEBPS/{name}.xhtml": page(f"<p>{name}</p>") for name in "abc"}
    assert text_of(book(tmp_path, {"OEBPS/book.opf": opf} | pages)) == "a\n\nb\n\nc\n\n"


@pytest.mark.parametrize(("fallback", "text"), [("a", "for everyone"), ("x", "for few"), ("none", "for few")])
def test_a_page_of_a_rare_kind_is_read_from_what_stands_in_for_it(tmp_path: Path, fallback: str, text: str) -> None:
    rare = f'<item id="x" href="x.xml" media-type="application/x-rare" fallback="{fallback}"/>'
    opf = package({"a": "a.xhtml"}, '<itemref idref="x"/>', extra=rare)
    pages = {"OEBPS/a.xhtml": page("<p>for everyone</p>"), "OEBPS/x.xml": "<rare><words>for few</words></rare>"}
    assert text_of(book(tmp_path, {"OEBPS/book.opf": opf} | pages)).strip() == text


def test_formulas_and_pages_may_have_prefixed_names(tmp_path: Path) -> None:
    body = """<h:html xmlns:h="http://www.w3.org/1999/xhtml" xmlns:m="http://www.w3.org/1998/Math/MathML"><h:body>
    <h:h1>Powers</h:h1><h:p>so <m:math><m:msup><m:mi>a</m:mi><m:mn>2</m:mn></m:msup></m:math></h:p></h:body></h:html>"""
    assert text_of(small_book(tmp_path, "", {"OEBPS/a.xhtml": body})) == "# Powers\n\nso a^2\n\n"


def test_the_first_of_two_renditions_is_read(tmp_path: Path) -> None:
    container = CONTAINER.format('<rootfile full-path="no.opf"/><rootfile full-path="OEBPS/book.opf"/>')
    assert text_of(small_book(tmp_path, "<p>here</p>", {"META-INF/container.xml": container})) == "here\n\n"


def test_page_numbers_in_the_text_part_no_words_and_their_list_is_hidden(tmp_path: Path) -> None:
    body = """<p>a<span epub:type="pagebreak" id="p5" title="5"></span>b</p>
    <nav epub:type="page-list" hidden=""><ol><li><a href="#p5">5</a></li></ol></nav>"""
    assert text_of(small_book(tmp_path, body)) == "ab\n\n"


def test_verses_and_authors_of_talking_books_are_lines(tmp_path: Path) -> None:
    dtbook = """<dtbook xmlns="http://www.daisy.org/z3986/2005/dtbook/"><book><doctitle>Wheels</doctitle>
    <docauthor>A. R.</docauthor><linegroup><line>one</line><line>two</line></linegroup></book></dtbook>"""
    assert text_of(small_book(tmp_path, "", {"OEBPS/a.xhtml": dtbook})).split() == ["Wheels", "A.", "R.", "one", "two"]


def broken_book(folder: Path, *pages: str, whole_bytes: int) -> Path:
    """A book of bare pages, the packed bytes of whose first one make no sense from `whole_bytes` on."""
    path = folder / "book.epub"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for number, text in enumerate(pages):
            file.writestr(f"{number}.xhtml", text)
        size = file.infolist()[0].compress_size
    data = bytearray(path.read_bytes())
    start = 30 + len("0.xhtml")
    data[start + whole_bytes : start + size] = b"\xff" * (size - whole_bytes)
    path.write_bytes(data)
    return path


def test_a_page_that_is_damaged_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    words = " ".join(str(number) for number in range(200_000))
    notes = Notes(tmp_path)
    text = text_of(broken_book(tmp_path, f"<p>{words}</p>", "<p>other words</p>", whole_bytes=100_000), notes)
    assert "other words" in text
    assert text.startswith("0 1 2 3 4 ")
    assert any("1 of 2 sections are damaged" in warning for warning in notes.all_warnings())


def test_a_book_whose_pages_are_all_lost_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParsingError, match=r"0\.xhtml cannot be unpacked"):
        items_of(broken_book(tmp_path, "<p>words and more words", whole_bytes=0))


def test_of_a_book_that_is_cut_off_the_beginning_is_read(tmp_path: Path) -> None:
    path = small_book(tmp_path, "<p>words</p>", {"OEBPS/z.css": "".join(map(str, range(2000)))})
    path.write_bytes(path.read_bytes()[:-1000])
    notes = Notes(tmp_path)
    assert text_of(path, notes) == "words\n\n"
    assert "It is cut off: the end is missing." in notes.all_warnings()


def test_a_book_without_any_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParsingError, match="no pages"):
        items_of(book(tmp_path, {"x.css": ""}))


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "book").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ParsingError):
        items_of(tmp_path / "book")


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 1_000_000)
    with pytest.raises(SizeExceeded):
        items_of(small_book(tmp_path, "x" * 2_000_000))


# DRM


ENCRYPTION = """<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container" xmlns:enc="http://www.w3.org/2001/04/xmlenc#">
<enc:EncryptedData><enc:EncryptionMethod Algorithm="{}"/><enc:CipherData><enc:CipherReference URI="{}"/></enc:CipherData>
</enc:EncryptedData></encryption>"""


def test_a_book_under_drm_is_refused(tmp_path: Path) -> None:
    encryption = ENCRYPTION.format("http://www.w3.org/2001/04/xmlenc#aes128-cbc", "OEBPS/a.xhtml")
    with pytest.raises(ParsingError, match="protected by DRM"):
        items_of(small_book(tmp_path, "<p>x</p>", {"META-INF/encryption.xml": encryption}))


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        ("http://www.idpf.org/2008/embedding", "OEBPS/a.xhtml"),
        ("http://ns.adobe.com/pdf/enc#RC", "OEBPS/font.otf"),
        ("http://www.w3.org/2001/04/xmlenc#aes128-cbc", "OEBPS/font.otf"),
    ],
)
def test_fonts_that_are_obfuscated_are_no_drm(tmp_path: Path, algorithm: str, name: str) -> None:
    more: dict[str, str | bytes] = {
        "META-INF/encryption.xml": ENCRYPTION.format(algorithm, name),
        "OEBPS/font.otf": b"",
    }
    assert text_of(small_book(tmp_path, "<p>x</p>", more)) == "x\n\n"
