"""Opens a PDF. One whose beginning or end is not what it should be is mended first, as far as that is known to work."""

import re
from pathlib import Path

import pypdfium2 as pdfium

MOST_BYTES = 200 * 1024 * 1024
"""A larger file is not mended, for that is done in memory."""
_HEAD, _END = b"%PDF-", b"endobj"
_CATALOG = re.compile(rb"/Type\s{0,9}/Catalog\b")
_OBJECT = re.compile(rb"(\d{1,10})\s{1,9}(\d{1,5})\s{1,9}obj\b")
_REACH = 4_000
"""Bytes from the beginning of a catalogue to its type."""


def open_document(path: Path) -> pdfium.PdfDocument:
    """The open file. Raises PdfiumError."""
    try:
        return pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        if error.err_code != pdfium.raw.FPDF_ERR_FORMAT or path.stat().st_size > MOST_BYTES:
            raise
        mended = mend(path.read_bytes())
        if mended is None:
            raise
    return pdfium.PdfDocument(mended)


def mend(data: bytes) -> bytes | None:
    """A file without what stands before its head, and with a trailer that names its catalogue.

    None where it has neither head nor catalogue, or is encrypted: the key stood in the trailer that it lost.
    """
    start = data.find(_HEAD)
    if start < 0:
        return None
    trailer, end = b"", len(data)
    if b"/Encrypt" not in data:
        for found in list(_CATALOG.finditer(data))[-1:]:
            objects = list(_OBJECT.finditer(data, max(0, found.start() - _REACH), found.start()))
            if objects:
                end = data.rfind(_END) + len(_END) + 1
                trailer = b"\ntrailer<</Root %b %b R>>\n%%%%EOF" % objects[-1].groups()
    return data[start:end] + trailer if trailer or start else None
