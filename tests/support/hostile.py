"""Files that strangers send: bombs, lies, loops, halves and noise. Each is made anew, small on disk and large inside.

`make_hostile(folder)` writes them and returns what must become of each: the words of its error, or `ANYTHING` where text
or any clear error will do.
"""

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

ANYTHING = ""
MB = 1024 * 1024

OOXML = "http://schemas.openxmlformats.org/"
WORD = f'xmlns:w="{OOXML}wordprocessingml/2006/main"'
SHEET = f'xmlns="{OOXML}spreadsheetml/2006/main" xmlns:r="{OOXML}officeDocument/2006/relationships"'
BILLION_LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12))
    + "]>"
)
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
OLE2 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def make_hostile(folder: Path) -> dict[str, str]:
    """Write the files into `folder`; what each must end with, by its name."""
    expected = {}
    for name, (make, error) in HOSTILE.items():
        (folder / name).write_bytes(make())
        expected[name] = error
    return expected


def make_damaged(folder: Path, fixtures: list[Path], copies: int, seed: int = 1) -> list[str]:
    """Halves of every fixture, and copies with some bytes changed. Any honest outcome will do."""
    dice = random.Random(seed)
    names = []
    for fixture in fixtures:
        content = fixture.read_bytes()
        damaged = {"half": content[: len(content) // 2], "tail": content[len(content) // 3 :]}
        damaged |= {f"fuzzed-{number}": fuzz(content, dice) for number in range(copies)}
        for how, data in damaged.items():
            names.append(f"{fixture.stem}-{how}{fixture.suffix}")
            (folder / names[-1]).write_bytes(data)
    return names


def fuzz(content: bytes, dice: random.Random) -> bytes:
    """The bytes with a few changed, doubled, moved or left out."""
    data = bytearray(content)
    for _ in range(dice.randint(1, 12)):
        place, size = dice.randrange(len(data) or 1), dice.randint(1, 64)
        kind = dice.randrange(4)
        if kind == 0:
            data[place : place + 1] = bytes([dice.randrange(256)])
        elif kind == 1:
            del data[place : place + size]
        elif kind == 2:
            data[place:place] = data[place : place + size]
        else:
            data[place : place + size] = dice.randbytes(size)
    return bytes(data)


def pack_parts(parts: dict[str, bytes | str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return packed.getvalue()


def docx(document: str | bytes, more: dict[str, bytes | str] | None = None) -> bytes:
    relations = (
        f'<Relationships xmlns="{OOXML}package/2006/relationships"><Relationship Id="r" '
        f'Type="{OOXML}officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>'
    )
    return pack_parts({"_rels/.rels": relations, "word/document.xml": document} | (more or {}))


def xlsx(sheet: str | bytes) -> bytes:
    relations = (
        f'<Relationships xmlns="{OOXML}package/2006/relationships"><Relationship Id="r" '
        f'Type="{OOXML}officeDocument/2006/'
    )
    return pack_parts(
        {
            "[Content_Types].xml": f'<Types xmlns="{OOXML}package/2006/content-types"/>',
            "_rels/.rels": f'{relations}relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>',
            "xl/workbook.xml": f'<workbook {SHEET}><sheets><sheet name="S" sheetId="1" r:id="r"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": f'{relations}relationships/worksheet" Target="worksheets/s.xml"/></Relationships>',
            "xl/worksheets/s.xml": sheet,
        }
    )


def epub(chapter: str | bytes) -> bytes:
    return pack_parts(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": (
                '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
                '<rootfile full-path="c.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
            ),
            "c.opf": (
                '<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="c" href="c.xhtml" '
                'media-type="application/xhtml+xml"/></manifest><spine><itemref idref="c"/></spine></package>'
            ),
            "c.xhtml": chapter,
        }
    )


def pdf(objects: list[str | bytes], root: int = 1) -> bytes:
    """A PDF file of these objects, numbered from 1."""
    out = io.BytesIO(b"%PDF-1.7\n")
    out.seek(0, 2)
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(out.tell())
        out.write(
            f"{number} 0 obj\n".encode() + (content.encode() if isinstance(content, str) else content) + b"\nendobj\n"
        )
    start = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    out.write(b"".join(f"{offset:010} 00000 n \n".encode() for offset in offsets))
    out.write(f"trailer <</Size {len(objects) + 1} /Root {root} 0 R>>\nstartxref\n{start}\n%%EOF\n".encode())
    return out.getvalue()


def stream(data: bytes, filters: str = "/FlateDecode") -> bytes:
    return f"<</Length {len(data)} /Filter [{filters}]>>\nstream\n".encode() + data + b"\nendstream"


def pdf_of_pages(count: int, *, claimed: int | None = None) -> bytes:
    """Pages that are one and the same object, so that a hundred thousand of them are small on disk."""
    kids = "3 0 R " * count
    page = "<</Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Contents 4 0 R /Resources <</Font <</F 5 0 R>>>>>>"
    text = stream(zlib.compress(b"BT /F 12 Tf 20 100 Td (A page like any other) Tj ET"))
    font = "<</Type /Font /Subtype /Type1 /BaseFont /Helvetica>>"
    pages = f"<</Type /Pages /Kids [{kids}] /Count {claimed or count}>>"
    return pdf(["<</Type /Catalog /Pages 2 0 R>>", pages, page, text, font])


def pdf_bomb() -> bytes:
    """A page whose text is a gigabyte of spaces, compressed twice."""
    inner = zlib.compressobj(9)
    spaces = b" " * MB
    squeezed = b"".join(inner.compress(spaces) for _ in range(1024)) + inner.flush()
    page = "<</Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Contents 4 0 R>>"
    content = stream(zlib.compress(squeezed, 9), "/FlateDecode /FlateDecode")
    return pdf(["<</Type /Catalog /Pages 2 0 R>>", "<</Type /Pages /Kids [3 0 R] /Count 1>>", page, content])


def pdf_loop() -> bytes:
    return pdf(["<</Type /Catalog /Pages 2 0 R>>", "<</Type /Pages /Kids [2 0 R 2 0 R] /Count 9>>"])


def png(width: int, height: int, *, rows: int = 1) -> bytes:
    """A picture that says it is so large, with data for a few rows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(min(rows * (3 * width + 1), 64 * MB)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def word_document(body: str, doctype: str = "") -> str:
    return f'<?xml version="1.0"?>{doctype}<w:document {WORD}><w:body>{body}</w:body></w:document>'


def docx_bomb() -> bytes:
    paragraph = "<w:p><w:r><w:t>" + "the same words again and again " * 30 + "</w:t></w:r></w:p>"
    return docx(word_document(paragraph * (300 * MB // len(paragraph))))


def far_cells() -> bytes:
    rows = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>'
    return xlsx(f"<worksheet {SHEET}><sheetData>{rows}</sheetData></worksheet>")


def many_cells() -> bytes:
    row = "<row>" + "<c><v>7</v></c>" * 100 + "</row>"
    return xlsx(f"<worksheet {SHEET}><sheetData>{row * 250_000}</sheetData></worksheet>")


def nested(opening: str, closing: str, depth: int, inside: str = "words") -> str:
    return opening * depth + inside + closing * depth


def deep_html() -> bytes:
    return ("<html><body>" + nested("<div>", "</div>", 1_000_000)).encode()


def laughing_html() -> bytes:
    return (BILLION_LAUGHS + "<html><body>&l; words</body></html>").encode()


def mobi(records: int, size: int) -> bytes:
    """A book whose header promises records that are not there."""
    head = b"A_book".ljust(32, b"\0") + bytes(28) + b"BOOKMOBI" + bytes(8) + struct.pack(">H", records)
    return head + b"".join(struct.pack(">II", size, number) for number in range(min(records, 4)))


def zip_of_many_entries() -> bytes:
    return docx(word_document("<w:p/>"), {f"word/media/{number}": b"" for number in range(60_000)})


def overlapping_zip() -> bytes:
    """Ten thousand names for one and the same entry that inflates to ten megabytes (D. Fifield, A better zip bomb, 2019)."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = bytes(10 * MB)
    data = packed.compress(content) + packed.flush()
    crc = zlib.crc32(content)
    name = b"word/document.xml"
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 8, 0, 0, crc, len(data), len(content), len(name), 0) + name
    directory = b""
    for number in range(10_000):
        entry = name if number == 0 else b"word/header%d.xml" % number
        fields = (0x02014B50, 20, 20, 0, 8, 0, 0, crc, len(data), len(content), len(entry), 0, 0, 0, 0, 0, 0)
        directory += struct.pack("<IHHHHHHIIIHHHHHII", *fields) + entry
    start = len(local) + len(data)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 10_000, 10_000, len(directory), start, 0)
    return local + data + directory + end


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.pdf": (lambda: b"", "content blank"),
    "empty.docx": (lambda: b"", "content blank"),
    "pages-100000.pdf": (lambda: pdf_of_pages(100_000), "exceeds page limits (15000 pages)"),
    "pages-claimed.pdf": (lambda: pdf_of_pages(3, claimed=2_000_000_000), ANYTHING),
    "bomb.pdf": (pdf_bomb, ANYTHING),
    "loop.pdf": (pdf_loop, ANYTHING),
    "head-only.pdf": (lambda: b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "parsing error"),
    "bomb.docx": (docx_bomb, "exceeds size limit"),
    "laughs.docx": (
        lambda: docx(word_document("<w:p><w:r><w:t>&l;</w:t></w:r></w:p>", BILLION_LAUGHS)),
        "parsing error",
    ),
    "outside.docx": (lambda: docx(word_document("<w:p><w:r><w:t>&a;</w:t></w:r></w:p>", OUTSIDE)), "parsing error"),
    "deep.docx": (lambda: docx(word_document(nested("<w:sdt>", "</w:sdt>", 1_000_000))), ANYTHING),
    "deep-tables.docx": (
        lambda: docx(word_document(nested("<w:tbl><w:tr><w:tc>", "</w:tc></w:tr></w:tbl>", 100_000))),
        ANYTHING,
    ),
    "wide.docx": (
        lambda: docx(
            word_document(
                '<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val="2000000000"/></w:tcPr><w:p><w:r><w:t>wide</w:t></w:r></w:p>'
                "</w:tc></w:tr></w:tbl>"
            )
        ),
        ANYTHING,
    ),
    "entries.docx": (zip_of_many_entries, "exceeds size limit"),
    "overlapping.docx": (overlapping_zip, ANYTHING),
    "no-document.docx": (lambda: pack_parts({"word/media/a": b"x"}), "parsing error"),
    "far-cells.xlsx": (far_cells, ANYTHING),
    "many-cells.xlsx": (many_cells, ANYTHING),
    "laughs.xlsx": (
        lambda: xlsx(BILLION_LAUGHS + f"<worksheet {SHEET}><sheetData>&l;</sheetData></worksheet>"),
        ANYTHING,
    ),
    "bomb.epub": (lambda: epub(b"<html><body><p>" + b"words " * (50 * MB)), "exceeds size limit"),
    "deep.epub": (lambda: epub("<html><body>" + nested("<div>", "</div>", 500_000)), ANYTHING),
    "laughs.epub": (lambda: epub(BILLION_LAUGHS + "<html><body>&l;</body></html>"), ANYTHING),
    "deep.html": (deep_html, ANYTHING),
    "wide.html": (
        lambda: b"<html><table><tr><td colspan=2000000000 rowspan=2000000000>wide</td></tr></table>",
        ANYTHING,
    ),
    "laughs.html": (laughing_html, ANYTHING),
    "deep.json": (lambda: b"[" * 100_000 + b"]" * 100_000, "parsing error"),
    "open.json": (lambda: b"[" * 5_000_000, "parsing error"),
    "records.mobi": (lambda: mobi(65_535, 4_000_000_000), "parsing error"),
    "head-only.mobi": (lambda: mobi(0, 0), "parsing error"),
    "huge.png": (lambda: png(50_000, 50_000), "parsing error"),
    "large.png": (lambda: png(10_000, 10_000, rows=10_000), ANYTHING),
    "speck.png": (lambda: png(1, 1), "content blank"),
    "noise.jpg": (lambda: b"\xff\xd8\xff\xe0" + random.Random(3).randbytes(20_000), "parsing error"),
    "half.gif": (lambda: b"GIF89a\xff\xff\xff\xff\x00\x00\x00,", "parsing error"),
    "password.docx": (lambda: OLE2 + bytes(4096) + "EncryptedPackage".encode("utf-16-le") + bytes(4096), "password"),
    "letter.doc": (lambda: OLE2 + bytes(4096), "format is not supported"),
    "archive.zip": (lambda: pack_parts({"readme.txt": "words"}), "format is not supported"),
    "renamed.pdf": (
        lambda: docx(word_document("<w:p><w:r><w:t>A letter under a wrong name</w:t></w:r></w:p>")),
        ANYTHING,
    ),
    "renamed.docx": (lambda: pdf_of_pages(1), ANYTHING),
}
"""What becomes of each, in the contract's words. What is refused at upload does not stand here."""
