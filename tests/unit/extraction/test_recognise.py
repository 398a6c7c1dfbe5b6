"""What a file is, is told by its bytes; its name decides only between kinds of text."""

import io
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bookwheel.extraction.encoding import HEAD_BYTES
from bookwheel.extraction.extract import READERS, TEXT_READERS
from bookwheel.extraction.recognise import IMAGES, FileType, advice, is_readable, recognise, zip_type

DOCUMENTS = Path(__file__).parents[2] / "documents"
CHINESE = "书轮是一种可以转动的读书台，读者坐着不动，就能同时打开许多本书。\n" * 40

OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

BINARIES = {
    "PDF": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", FileType.PDF),
    "PDF behind junk": (b"\x00\x01junk\n%PDF-1.4\n", FileType.PDF),
    "OLE2": (OLE2 + bytes(500), FileType.OLD_OFFICE),
    "PNG": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", FileType.PNG),
    "JPEG": (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01" + bytes(20), FileType.JPEG),
    "GIF": (b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,", FileType.GIF),
    "BMP": (b"BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00", FileType.BMP),
    "TIFF, Intel": (b"II*\x00\x08\x00\x00\x00\x0e\x00\xfe\x00", FileType.TIFF),
    "TIFF, Motorola": (b"MM\x00*\x00\x00\x00\x08\x00\x0e", FileType.TIFF),
    "WEBP": (b"RIFF\x24\x00\x00\x00WEBPVP8 \x18\x00\x00\x00", FileType.WEBP),
    "Word 97": (OLE2 + bytes(500) + "WordDocument".encode("utf-16-le"), FileType.WORD_97),
    "Excel 97": (OLE2 + bytes(500) + "Workbook".encode("utf-16-le"), FileType.EXCEL_97),
    "PowerPoint 97": (OLE2 + bytes(500) + "PowerPoint Document".encode("utf-16-le"), FileType.POWERPOINT_97),
    "PalmDOC": (b"Some_text".ljust(60, b"\0") + b"TEXtREAd" + bytes(20), FileType.MOBI),
    "MOBI": (b"Some_book".ljust(60, b"\0") + b"BOOKMOBI" + bytes(20), FileType.MOBI),
    "gzip": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", FileType.GZIP),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00\x04", FileType.SEVEN_ZIP),
    "RAR": (b"Rar!\x1a\x07\x01\x00", FileType.RAR),
    "tar": (b"folder/file".ljust(257, b"\0") + b"ustar\x0000" + bytes(200), FileType.TAR),
    "ELF": (b"\x7fELF\x02\x01\x01" + bytes(60), FileType.ELF),
    "Windows program": (b"MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff", FileType.WINDOWS_PROGRAM),
    "macOS program": (b"\xcf\xfa\xed\xfe\x07\x00\x00\x01\x03\x00\x00\x00", FileType.MAC_PROGRAM),
    "MP3": (b"ID3\x04\x00\x00\x00\x00\x00\x23TSSE\x00\x00", FileType.MP3),
    "MP4": (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00", FileType.MP4),
    "Ogg": (b"OggS\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00", FileType.OGG),
    "SQLite": (b"SQLite format 3\x00\x10\x00\x01\x01", FileType.SQLITE),
    "RTF": (rb"{\rtf1\ansi\deff0 Hello.}", FileType.RTF),
    "zeros": (bytes(4096), FileType.BINARY),
    "noise": (random.Random(1).randbytes(8192), FileType.BINARY),
    "noise behind a UTF-16 mark": (b"\xff\xfe" + random.Random(2).randbytes(8192), FileType.BINARY),
    "pairs of controls": (b"ab\x01\x02" * 500, FileType.BINARY),
    "little numbers": (b"".join(n.to_bytes(2, "little") for n in range(2000)), FileType.BINARY),
}


@pytest.mark.parametrize("name", BINARIES)
def test_binary_content_is_told_under_any_name(name: str) -> None:
    head, expected = BINARIES[name]
    assert {recognise(head, filename) for filename in ("a.txt", "a.md", "a.json", "a", "a.pdf")} == {expected}


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["[Content_Types].xml", "word/document.xml"], FileType.DOCX),
        (["[Content_Types].xml", "xl/workbook.xml"], FileType.XLSX),
        (["[Content_Types].xml", "ppt/presentation.xml"], FileType.PPTX),
        (["mimetype=application/epub+zip", "META-INF/container.xml"], FileType.EPUB),
        (["mimetype=application/vnd.oasis.opendocument.text", "content.xml"], FileType.OPEN_DOCUMENT),
        (["readme.txt"], FileType.ZIP),
        ([], FileType.ZIP),
    ],
)
def test_what_is_packed_in_a_zip_file_is_told_by_its_entries(entries: list[str], expected: FileType) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for entry in entries:
            name, _, content = entry.partition("=")
            archive.writestr(name, content or "x")
    assert recognise(packed.getvalue(), "a.txt") is expected


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        *(("notes.txt", FileType.TXT), ("notes.md", FileType.MD), ("NOTES.MARKDOWN", FileType.MD)),
        *(("t.csv", FileType.CSV), ("t.TSV", FileType.CSV)),
        *(("d.json", FileType.JSON), ("d.jsonl", FileType.JSON), ("d.ndjson", FileType.JSON)),
        *((name, FileType.TXT) for name in ("README", "server.log", "main.py", "csv", "", ".", "a.docx")),
        ("folder\\\x00/../名字.md", FileType.MD),
    ],
)
def test_the_name_decides_between_kinds_of_text(filename: str, expected: FileType) -> None:
    assert recognise(b"Some words, and more words.\n", filename) is expected
    assert is_readable(expected)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030"])
def test_text_is_text_wherever_the_head_is_cut(encoding: str) -> None:
    whole = CHINESE.encode(encoding)
    told = {recognise(whole[:end], "a.txt") for end in (*range(8, 200), *range(len(whole) - 8, len(whole)))}
    assert told == {FileType.TXT}


@pytest.mark.parametrize(
    "text",
    [
        b"BM is how a BMP file begins.\n",
        b"MZ-80 computers were sold from 1978 on.\n",
        b"GIF89a is a format of 1989.\n",
        b"ID3 tags hold titles.\n",
        b"RIFF, Ogg and OggS are containers.\n",
        b"The words %PDF-1.7 stand in PDF files.\n",
        b"PK is no ZIP file yet.\n",
        b"\x1b[31mred\x1b[0m in a terminal's log\n",
        b"page one\x0cpage two\x0b\n",
        b"an old file with its end mark\r\n\x1a",
        b"a stray zero \x00 in a long log\n" + b"a line like any other\n" * 200,
        bytes(range(0x80, 0x100)),
        b"",
    ],
)
def test_text_that_looks_like_something_else_stays_text(text: bytes) -> None:
    assert recognise(text, "a.txt") is FileType.TXT


def test_only_the_head_is_looked_at() -> None:
    assert recognise(b"words\n" * HEAD_BYTES + bytes(HEAD_BYTES), "a.txt") is FileType.TXT


def test_every_readable_type_has_its_reader() -> None:
    to_be_looked_into = {FileType.ZIP, FileType.OLD_OFFICE}
    assert {kind for kind in FileType if is_readable(kind)} == {*READERS, *TEXT_READERS} | to_be_looked_into
    assert not set(READERS) & set(TEXT_READERS)
    assert set(READERS) >= IMAGES


@pytest.mark.parametrize("kind", [FileType.WORD_97, FileType.EXCEL_97, FileType.POWERPOINT_97, FileType.RTF])
def test_who_has_an_old_format_is_told_what_to_convert_it_to(kind: FileType) -> None:
    assert not is_readable(kind)
    assert advice(kind).startswith("Convert it to ")


@pytest.mark.parametrize(
    ("text", "filename", "expected"),
    [
        ("<!DOCTYPE html>\n<html><body>Words</body></html>", "page", FileType.HTML),
        ("\ufeff<!-- saved -->\n<HTML lang='en'>", "page.php", FileType.HTML),
        ('<?xml version="1.0"?>\n<html xmlns="http://www.w3.org/1999/xhtml">', "page.xml", FileType.HTML),
        ("<!DOCTYPE html>\n<html>", "how-to-write-html.txt", FileType.TXT),
        ("Write <html> first.", "page", FileType.TXT),
        ('<?xml version="1.0"?>\n<?mso-application progid="Word.Document"?>\n<pkg:package>', "a.xml", FileType.DOCX),
        ('<?xml version="1.0"?>\n<pkg:package xmlns:pkg="p">', "a.docx", FileType.DOCX),
    ],
)
def test_markup_is_known_by_its_beginning(text: str, filename: str, expected: FileType) -> None:
    assert recognise(text.encode(), filename) is expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["ppt/embeddings/book/xl/workbook.xml", "[Content_Types].xml"], FileType.PPTX),
        (["docProps/app.xml", "WORD\\document.xml"], FileType.DOCX),
        (["META-INF/MANIFEST.MF", "Main.class"], FileType.ZIP),
        (["OEBPS/a.xhtml", "meta-inf/container.xml"], FileType.EPUB),
        (["mimetype", "OEBPS/content.opf"], FileType.EPUB),
        ([], FileType.ZIP),
    ],
)
def test_names_at_the_top_of_an_archive_tell_what_it_is(names: list[str], expected: FileType) -> None:
    assert zip_type(names) is expected


@given(st.binary(max_size=400), st.text(max_size=20))
@example(b"\xff\xfe", "a.txt")
@example(b"\xff\xfe\x00\x00", "a.txt")
@example(b"\x00", "a")
def test_no_bytes_and_no_name_make_it_fail(head: bytes, filename: str) -> None:
    assert recognise(head, filename) in FileType


@given(st.text(alphabet=st.characters(exclude_categories=("Cc", "Cs", "Co", "Cn"))), st.text(max_size=12))
def test_text_in_utf_8_is_never_refused(text: str, filename: str) -> None:
    assert is_readable(recognise(("Words: " + text).encode(), filename))


def test_the_picture_under_a_text_file_s_name_is_a_picture() -> None:
    assert recognise((DOCUMENTS / "picture-named.txt").read_bytes(), "picture-named.txt") is FileType.PNG
