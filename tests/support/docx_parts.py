"""Builds small Word documents from strings of XML."""

import io
import zipfile
from pathlib import Path

OFFICE = "http://schemas.openxmlformats.org/"
SPACES = {
    "w": f"{OFFICE}wordprocessingml/2006/main",
    "r": f"{OFFICE}officeDocument/2006/relationships",
    "a": f"{OFFICE}drawingml/2006/main",
    "c": f"{OFFICE}drawingml/2006/chart",
    "m": f"{OFFICE}officeDocument/2006/math",
    "dgm": f"{OFFICE}drawingml/2006/diagram",
    "mc": f"{OFFICE}markup-compatibility/2006",
    "v": "urn:schemas-microsoft-com:vml",
    "o": "urn:schemas-microsoft-com:office:office",
    "p": f"{OFFICE}presentationml/2006/main",
}
DECLARED = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in SPACES.items())
PNG = b"\x89PNG\r\n\x1a\n" + bytes(2000)

STYLES = "".join(
    f'<w:style w:type="paragraph" w:styleId="Heading{n}"><w:name w:val="heading {n}"/>'
    f'<w:pPr><w:outlineLvl w:val="{n - 1}"/></w:pPr></w:style>'
    for n in range(1, 7)
)

# The keyword of a part: its relation's id, kind and target, and the root that holds its XML.
_PARTS = {
    "styles": ("styles", "styles", "styles.xml", "w:styles"),
    "numbering": ("numbering", "numbering", "numbering.xml", "w:numbering"),
    "footnotes": ("footnotes", "footnotes", "footnotes.xml", "w:footnotes"),
    "endnotes": ("endnotes", "endnotes", "endnotes.xml", "w:endnotes"),
    "comments": ("comments", "comments", "comments.xml", "w:comments"),
    "header1": ("h1", "header", "header1.xml", "w:hdr"),
    "header2": ("h2", "header", "header2.xml", "w:hdr"),
    "footer1": ("f1", "footer", "footer1.xml", "w:ftr"),
    "footer2": ("f2", "footer", "footer2.xml", "w:ftr"),
    "chart": ("chart", "chart", "charts/chart1.xml", "c:chartSpace"),
    "diagram": ("data", "diagramData", "diagrams/data1.xml", "dgm:dataModel"),
    "picture": ("pic", "image", "media/image1.png", ""),
    "chunk": ("chunk", "aFChunk", "chunk.dat", ""),
    "workbook": ("book", "package", "embeddings/book.xlsx", ""),
    "inner": ("inner", "package", "embeddings/inner.docx", ""),
    "object": ("object", "oleObject", "embeddings/oleObject1.bin", ""),
}


def run(text: str, properties: str = "") -> str:
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def p(text: str = "", properties: str = "", runs: str = "") -> str:
    """A paragraph of a text, then of whatever runs there are."""
    return f"<w:p><w:pPr>{properties}</w:pPr>{run(text) if text else ''}{runs}</w:p>"


def heading(text: str, level: int) -> str:
    return p(text, f'<w:pStyle w:val="Heading{level}"/>')


def cell(text: str, properties: str = "") -> str:
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{p(text)}</w:tc>"


def row(*texts: str) -> str:
    return f"<w:tr>{''.join(map(cell, texts))}</w:tr>"


def table(*rows: str) -> str:
    return f"<w:tbl>{''.join(rows)}</w:tbl>"


def relations(entries: list[tuple[str, str, str]]) -> str:
    """A `.rels` part of ids, kinds and targets."""
    inside = "".join(
        f'<Relationship Id="{name}" Type="{OFFICE}officeDocument/2006/relationships/{kind}" Target="{target}"/>'
        for name, kind, target in entries
    )
    return f'<Relationships xmlns="{OFFICE}package/2006/relationships">{inside}</Relationships>'


def write_docx(
    path: Path,
    body: str,
    *,
    main: str = "word/document.xml",
    document: bytes | None | str = "",
    strict: bool = False,
    encoding: str = "utf-8",
    **parts: str | bytes,
) -> None:
    """Write a document. `document` takes the place of the main part, which None leaves out."""
    root = f'<?xml version="1.0" encoding="{encoding}"?><w:document {DECLARED}><w:body>{body}</w:body></w:document>'
    folder, _, name = main.rpartition("/")
    entries = {"_rels/.rels": relations([("r1", "officeDocument", main)]).encode()}
    related = []
    for keyword, content in parts.items():
        relation, kind, target, tag = _PARTS[keyword]
        related.append((relation, kind, target))
        xml = content if isinstance(content, bytes) else f"<{tag} {DECLARED}>{content}</{tag}>".encode()
        entries[f"{folder}/{target}"] = xml
    entries[f"{folder}/_rels/{name}.rels"] = relations(related).encode()
    if document is not None:
        entries[main] = root.encode(encoding) if document == "" else document
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, data in entries.items():
            archive.writestr(entry, as_strict(data) if strict else data)


def workbook_bytes(*texts: str) -> bytes:
    """A workbook of one row."""
    cells = "".join(f'<c t="inlineStr"><is><t>{text}</t></is></c>' for text in texts)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("xl/worksheets/Sales.xml", f"<worksheet><sheetData><row>{cells}</row></sheetData></worksheet>")
    return data.getvalue()


def as_strict(data: bytes) -> bytes:
    """The same XML in the strict namespaces."""
    for kind in (b"wordprocessingml", b"officeDocument", b"drawingml"):
        data = data.replace(f"{OFFICE}".encode() + kind + b"/2006/", b"http://purl.oclc.org/ooxml/" + kind + b"/")
    return data
