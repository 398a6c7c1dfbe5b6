"""What a file is, by its first bytes. The name decides only between kinds of text.

Runs in a sandbox worker and, on the first 64 KB of an upload, in the server process: nothing is parsed, nothing is
unpacked, and no bytes make it fail. It says that something is not text only where that is sure.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from pathlib import PurePosixPath

from bookwheel.extraction.encoding import HEAD_BYTES, MOST_CONTROLS, control_share, is_wide_text, sniff_unicode

__all__ = ["HEAD_BYTES", "IMAGES", "FileType", "advice", "is_readable", "recognise", "zip_type"]


class FileType(StrEnum):
    """A type of file, in the words in which a user reads it."""

    TXT = "TXT"
    MD = "MD"
    CSV = "CSV"
    JSON = "JSON"
    PDF = "PDF"
    DOCX = "DOCX"
    XLSX = "XLSX"
    PPTX = "PPTX"
    EPUB = "EPUB"
    MOBI = "MOBI"
    HTML = "HTML"
    RTF = "RTF"
    OPEN_DOCUMENT = "OpenDocument"
    WORD_97 = "Microsoft Word 97-2003 document"
    EXCEL_97 = "Microsoft Excel 97-2003 workbook"
    POWERPOINT_97 = "Microsoft PowerPoint 97-2003 presentation"
    OLD_OFFICE = "Microsoft Office 97-2003 document"
    PNG = "PNG image"
    JPEG = "JPEG image"
    GIF = "GIF image"
    BMP = "BMP image"
    TIFF = "TIFF image"
    WEBP = "WEBP image"
    ZIP = "ZIP archive"
    GZIP = "gzip archive"
    BZIP2 = "bzip2 archive"
    XZ = "xz archive"
    SEVEN_ZIP = "7z archive"
    RAR = "RAR archive"
    TAR = "tar archive"
    ELF = "ELF program"
    WINDOWS_PROGRAM = "Windows program"
    MAC_PROGRAM = "macOS program"
    MP3 = "MP3 audio"
    MP4 = "MP4 video"
    OGG = "Ogg media"
    RIFF = "RIFF media"
    SQLITE = "SQLite database"
    BINARY = "binary data"


READABLE = frozenset(
    {
        *(FileType.TXT, FileType.MD, FileType.CSV, FileType.JSON, FileType.HTML),
        *(FileType.PDF, FileType.DOCX, FileType.XLSX, FileType.PPTX, FileType.EPUB, FileType.MOBI),
        *(FileType.PNG, FileType.JPEG, FileType.GIF, FileType.BMP, FileType.TIFF, FileType.WEBP),
        *(FileType.ZIP, FileType.OLD_OFFICE),  # only the whole file shows what they hold
    }
)
IMAGES = frozenset({FileType.PNG, FileType.JPEG, FileType.GIF, FileType.BMP, FileType.TIFF, FileType.WEBP})

_ADVICE = {
    FileType.WORD_97: "Convert it to DOCX or PDF first.",
    FileType.EXCEL_97: "Convert it to XLSX or CSV first.",
    FileType.POWERPOINT_97: "Convert it to PPTX or PDF first.",
    FileType.OLD_OFFICE: "Convert it to DOCX, XLSX, PPTX or PDF first.",
    FileType.OPEN_DOCUMENT: "Convert it to DOCX, XLSX, PPTX or PDF first.",
    FileType.RTF: "Convert it to DOCX or PDF first.",
    FileType.ZIP: "Unpack it and upload the files in it.",
}

_TEXT_TYPES = {
    ".md": FileType.MD,
    ".markdown": FileType.MD,
    ".csv": FileType.CSV,
    ".tsv": FileType.CSV,
    ".json": FileType.JSON,
    ".jsonl": FileType.JSON,
    ".ndjson": FileType.JSON,
    ".html": FileType.HTML,
    ".htm": FileType.HTML,
    ".xhtml": FileType.HTML,
    ".mht": FileType.HTML,
    ".mhtml": FileType.HTML,
}

# (offset, bytes): no text begins so.
_SURE_SIGNATURES = (
    (0, b"%PDF-", FileType.PDF),
    (0, rb"{\rtf", FileType.RTF),
    (0, b"PK\x03\x04", FileType.ZIP),
    (0, b"PK\x05\x06", FileType.ZIP),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", FileType.OLD_OFFICE),
    (0, b"\x89PNG\r\n\x1a\n", FileType.PNG),
    (0, b"\x1f\x8b\x08", FileType.GZIP),
    (0, b"\xfd7zXZ\x00", FileType.XZ),
    (0, b"7z\xbc\xaf\x27\x1c", FileType.SEVEN_ZIP),
    (0, b"Rar!\x1a\x07", FileType.RAR),
    (0, b"\x7fELF", FileType.ELF),
    (0, b"SQLite format 3\x00", FileType.SQLITE),
)
# Text may begin so: these only name what was found to be no text.
_LIKELY_SIGNATURES = (
    (60, b"BOOKMOBI", FileType.MOBI),
    (60, b"TEXtREAd", FileType.MOBI),
    (0, b"\xff\xd8\xff", FileType.JPEG),
    (0, b"GIF8", FileType.GIF),
    (0, b"BM", FileType.BMP),
    (0, b"II*\x00", FileType.TIFF),
    (0, b"MM\x00*", FileType.TIFF),
    (8, b"WEBP", FileType.WEBP),
    (0, b"RIFF", FileType.RIFF),
    (0, b"BZh", FileType.BZIP2),
    (257, b"ustar", FileType.TAR),
    (0, b"MZ", FileType.WINDOWS_PROGRAM),
    (0, b"\xcf\xfa\xed\xfe", FileType.MAC_PROGRAM),
    (0, b"\xce\xfa\xed\xfe", FileType.MAC_PROGRAM),
    (0, b"\xca\xfe\xba\xbe", FileType.MAC_PROGRAM),
    (0, b"ID3", FileType.MP3),
    (0, b"\xff\xfb", FileType.MP3),
    (0, b"\xff\xf3", FileType.MP3),
    (0, b"\xff\xf2", FileType.MP3),
    (4, b"ftyp", FileType.MP4),
    (0, b"OggS", FileType.OGG),
)
# Names as they stand, uncompressed, in a ZIP file's entry headers.
_ZIP_CHILDREN = (
    (b"mimetypeapplication/epub+zip", FileType.EPUB),
    (b"mimetypeapplication/vnd.oasis.opendocument", FileType.OPEN_DOCUMENT),
    (b"word/", FileType.DOCX),
    (b"xl/", FileType.XLSX),
    (b"ppt/", FileType.PPTX),
    (b"META-INF/container.xml", FileType.EPUB),
)
_ZIP_FOLDERS = {"word": FileType.DOCX, "xl": FileType.XLSX, "ppt": FileType.PPTX}
_EPUB_CONTAINER, _EPUB_PACKAGE = "meta-inf/container.xml", ".opf"
# Names as they stand in the directory of an Office 97 container.
_OLD_OFFICE_CHILDREN = (
    ("WordDocument", FileType.WORD_97),
    ("Workbook", FileType.EXCEL_97),
    ("PowerPoint Document", FileType.POWERPOINT_97),
)
_FLAT_OPC = re.compile(rb"<pkg:package\b|<\?mso-application\s+progid=.Word\.Document")
_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,2000}?-->\s*)*<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL
)
MOST_ZEROS = 0.001
SNIFFED_BYTES = 4 * 1024


def recognise(head: bytes, filename: str) -> FileType:
    """The type of a file from its first bytes; `HEAD_BYTES` of them are enough. Never fails.

    ZIP and OLD_OFFICE say that only the whole file can tell more.
    """
    head = head[:HEAD_BYTES]
    sure = _signature(head, _SURE_SIGNATURES)
    if sure is FileType.ZIP:
        return next((child for name, child in _ZIP_CHILDREN if name in head), FileType.ZIP)
    if sure is FileType.OLD_OFFICE:
        return next((child for name, child in _OLD_OFFICE_CHILDREN if name.encode("utf-16-le") in head), sure)
    if sure is not None:
        return sure
    if _may_be_text(head):
        return _text_type(head, filename)
    if b"%PDF-" in head[:1024]:
        return FileType.PDF
    return _signature(head, _LIKELY_SIGNATURES) or FileType.BINARY


def zip_type(names: Iterable[str]) -> FileType:
    """The type of a ZIP file by the names in it: what lies at its top, not what is embedded further down."""
    for name in names:
        plain = name.replace("\\", "/").lstrip("/").lower()
        kind = _ZIP_FOLDERS.get(plain.partition("/")[0])
        if kind is not None or plain == _EPUB_CONTAINER or plain.endswith(_EPUB_PACKAGE):
            return kind or FileType.EPUB
    return FileType.ZIP


def is_readable(file_type: FileType) -> bool:
    """Whether this version reads such files, or must look at the whole file to know."""
    return file_type in READABLE


def advice(file_type: FileType) -> str:
    """What to do with a file that is not read, as a sentence; empty where there is nothing to say."""
    return _ADVICE.get(file_type, "")


def _text_type(head: bytes, filename: str) -> FileType:
    """The name decides, but markup under the name of a plain text or of no text is known by its beginning."""
    by_name = _TEXT_TYPES.get(PurePosixPath(filename.lower()).suffix)
    if by_name is not None:
        return by_name
    start = head[:SNIFFED_BYTES].removeprefix(b"\xef\xbb\xbf")
    if _FLAT_OPC.search(start):
        return FileType.DOCX
    return FileType.HTML if _HTML.match(start) and not filename.lower().endswith(".txt") else FileType.TXT


def _signature(head: bytes, signatures: tuple[tuple[int, bytes, FileType], ...]) -> FileType | None:
    return next((kind for offset, magic, kind in signatures if head.startswith(magic, offset)), None)


def _may_be_text(head: bytes) -> bool:
    codec = sniff_unicode(head)
    if codec is not None and codec != "utf-8-sig":
        return is_wide_text(head, codec)
    return head.count(0) <= MOST_ZEROS * len(head) and control_share(head.rstrip(b"\x1a")) <= MOST_CONTROLS
