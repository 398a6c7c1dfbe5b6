"""Builds small PDF files from what stands on their pages."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

WIDTH, HEIGHT = 600, 800
FONTS = {
    "F": b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    "B": b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica-Bold/Encoding/WinAnsiEncoding>>",
    "C": b"<</Type/Font/Subtype/Type0/BaseFont/STSong-Light/Encoding/UniGB-UCS2-H/DescendantFonts[<</Type/Font"
    b"/Subtype/CIDFontType0/BaseFont/STSong-Light/DW 1000/CIDSystemInfo<</Registry(Adobe)/Ordering(GB1)/Supplement 2>>"
    b"/FontDescriptor<</Type/FontDescriptor/FontName/STSong-Light/Flags 6/FontBBox[0 -200 1000 900]/ItalicAngle 0"
    b"/Ascent 880/Descent -120/CapHeight 880/StemV 93>>>>]>>",
}


@dataclass
class Sheet:
    """One page: what is drawn on it, the images it draws, its annotations."""

    content: bytes = b""
    images: dict[str, bytes] = field(default_factory=dict)
    notes: Sequence[str] = ()
    rotate: int = 0
    box: tuple[int, int, int, int] = (0, 0, WIDTH, HEIGHT)


def text(x: float, y: float, words: str, size: float = 10, font: str = "F", mode: int = 0) -> bytes:
    """Words at a place; Chinese in font C."""
    if font == "C":
        shown = "<" + words.encode("utf-16-be").hex() + ">"
    else:
        shown = "(" + words.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)") + ")"
    return f"BT {mode} Tr /{font} {size} Tf {x} {y} Td {shown} Tj ET\n".encode("cp1252")


def lines(x: float, y: float, words: Sequence[str], size: float = 10, step: float = 12, font: str = "F") -> bytes:
    """Lines one below the other."""
    return b"".join(text(x, y - index * step, line, size, font) for index, line in enumerate(words))


def turned(x: float, y: float, words: str, cos: float, sin: float, size: float = 10) -> bytes:
    """Words that run in another direction."""
    return f"BT /F {size} Tf {cos} {sin} {-sin} {cos} {x} {y} Tm ({words}) Tj ET\n".encode()


def rule(x0: float, y0: float, x1: float, y1: float) -> bytes:
    return f"1 w {x0} {y0} m {x1} {y1} l S\n".encode()


def grid(xs: Sequence[float], ys: Sequence[float]) -> bytes:
    """All rules of a table."""
    across = b"".join(rule(xs[0], y, xs[-1], y) for y in ys)
    return across + b"".join(rule(x, ys[0], x, ys[-1]) for x in xs)


def cells(xs: Sequence[float], ys: Sequence[float], rows: Sequence[Sequence[str]], size: float = 10) -> bytes:
    """Words in the cells of a table, `ys` from top to bottom."""
    return b"".join(
        text(x + 4, y - 14, word, size)
        for y, row in zip(ys, rows, strict=False)
        for x, word in zip(xs, row, strict=False)
        if word
    )


def image(name: str, x: float, y: float, width: float, height: float) -> bytes:
    return f"q {width} 0 0 {height} {x} {y} cm /{name} Do Q\n".encode()


def picture(width: int, height: int, pixels: bytes) -> bytes:
    """A grey image as an object."""
    head = f"<</Type/XObject/Subtype/Image/Width {width}/Height {height}/ColorSpace/DeviceGray/BitsPerComponent 8"
    return stream(pixels, head)


def stream(data: bytes, head: str = "<<") -> bytes:
    packed = zlib.compress(data)
    return f"{head}/Filter/FlateDecode/Length {len(packed)}>>stream\n".encode() + packed + b"\nendstream"


def pdf(sheets: Sequence[Sheet], *, catalog: str = "", more: Sequence[bytes] = (), fonts: str = "") -> bytes:
    """A whole file. `more` are objects from number 3 on, which `catalog` the annotations and `fonts` may name."""
    objects = [b"", b"", *more]
    names = [fonts]
    for key, font in FONTS.items():
        objects.append(font)
        names.append(f"/{key} {len(objects)} 0 R")
    kids = []
    for sheet in sheets:
        objects.append(stream(sheet.content))
        content, drawn = len(objects), ""
        for name, data in sheet.images.items():
            objects.append(data)
            drawn += f"/{name} {len(objects)} 0 R"
        objects.append(
            f"<</Type/Page/Parent 2 0 R/MediaBox[{' '.join(map(str, sheet.box))}]/Rotate {sheet.rotate}/Contents {content} 0 R"
            f"/Resources<</Font<<{''.join(names)}>>/XObject<<{drawn}>>>>/Annots[{' '.join(sheet.notes)}]>>".encode()
        )
        kids.append(f"{len(objects)} 0 R")
    objects[0] = f"<</Type/Catalog/Pages 2 0 R{catalog}>>".encode()
    objects[1] = f"<</Type/Pages/Count {len(kids)}/Kids[{' '.join(kids)}]>>".encode()
    return assemble(objects)


def assemble(objects: Sequence[bytes], trailer: str = "") -> bytes:
    """Objects, numbered from 1, as a file whose first object is the catalogue."""
    data, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    trailer = f"trailer<</Size {size}/Root 1 0 R{trailer}>>\nstartxref\n{len(data)}\n%%EOF"
    return data + f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()


_ANY_MAP = (
    b"begincmap 1 begincodespacerange <0000> <ffff> endcodespacerange 1 beginbfrange <0000> <ffff> <0000> endbfrange"
)
_ANY_FONT = (
    b"<</Type/Font/Subtype/Type0/BaseFont/Any/Encoding/Identity-H/ToUnicode 3 0 R/DescendantFonts[<</Type/Font"
    b"/Subtype/CIDFontType2/BaseFont/Any/DW 500/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>>>]>>"
)
ANY_SCRIPT = (stream(_ANY_MAP + b" endcmap"), _ANY_FONT)
"""Objects 3 and 4: a font in which every script can be written, each character half as wide as high."""


def any_text(x: float, y: float, words: str, size: float = 10) -> bytes:
    """Words in whatever script, each character where it stands in the string: from left to right."""
    return f"BT /U {size} Tf {x} {y} Td <{words.encode('utf-16-be').hex()}> Tj ET\n".encode()


def write_pdf(folder: Path, *sheets: Sheet | bytes, catalog: str = "", more: Sequence[bytes] = ()) -> Path:
    """Write a file of sheets, or of what is drawn on them."""
    path = folder / "source"
    path.write_bytes(
        pdf([sheet if isinstance(sheet, Sheet) else Sheet(sheet) for sheet in sheets], catalog=catalog, more=more)
    )
    return path
