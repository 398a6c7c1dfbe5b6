"""What a file is, by its first bytes. The name decides only between kinds of text.

Runs in a sandbox worker and, on the first 64 KB of an upload, in the server process: nothing is parsed, nothing is
unpacked, and no bytes make it fail. It says that something is not text only where that is sure.
"""

from enum import StrEnum
from pathlib import PurePosixPath

from bookwheel.extraction.encoding import HEAD_BYTES, MOST_CONTROLS, control_share, is_wide_text, sniff_unicode

__all__ = ["HEAD_BYTES", "FileType", "is_readable", "recognise"]


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
    RTF = "RTF"
    OPEN_DOCUMENT = "OpenDocument"
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


READABLE = frozenset({FileType.TXT, FileType.MD, FileType.CSV, FileType.JSON})

_TEXT_TYPES = {
    ".md": FileType.MD,
    ".markdown": FileType.MD,
    ".csv": FileType.CSV,
    ".tsv": FileType.CSV,
    ".json": FileType.JSON,
    ".jsonl": FileType.JSON,
    ".ndjson": FileType.JSON,
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
)
MOST_ZEROS = 0.001


def recognise(head: bytes, filename: str) -> FileType:
    """The type of a file from its first bytes; `HEAD_BYTES` of them are enough. Never fails."""
    head = head[:HEAD_BYTES]
    sure = _signature(head, _SURE_SIGNATURES)
    if sure is FileType.ZIP:
        return next((child for name, child in _ZIP_CHILDREN if name in head), FileType.ZIP)
    if sure is not None:
        return sure
    if _may_be_text(head):
        return _TEXT_TYPES.get(PurePosixPath(filename.lower()).suffix, FileType.TXT)
    if b"%PDF-" in head[:1024]:
        return FileType.PDF
    return _signature(head, _LIKELY_SIGNATURES) or FileType.BINARY


def is_readable(file_type: FileType) -> bool:
    """Whether this version reads such files."""
    return file_type in READABLE


def _signature(head: bytes, signatures: tuple[tuple[int, bytes, FileType], ...]) -> FileType | None:
    return next((kind for offset, magic, kind in signatures if head.startswith(magic, offset)), None)


def _may_be_text(head: bytes) -> bool:
    codec = sniff_unicode(head)
    if codec is not None and codec != "utf-8-sig":
        return is_wide_text(head, codec)
    return head.count(0) <= MOST_ZEROS * len(head) and control_share(head.rstrip(b"\x1a")) <= MOST_CONTROLS
