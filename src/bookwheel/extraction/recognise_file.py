"""What a file is, seen whole: for what its first bytes leave open. In the sandbox only.

The names in a ZIP file stand at its end; and what lies in a container of Office 97 may be a newer document under a
password.
"""

from pathlib import Path

from bookwheel.errors import FormatNotSupported, ParsingError
from bookwheel.extraction.archive import Archive
from bookwheel.extraction.recognise import HEAD_BYTES, FileType, advice, is_readable, recognise, zip_type

CHUNK_BYTES = 1024 * 1024
_IN_ZIP = frozenset({FileType.ZIP, FileType.DOCX, FileType.XLSX, FileType.PPTX, FileType.EPUB})
ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")


def recognise_file(path: Path, filename: str) -> FileType:
    """The type of a file that can be read. Raises FormatNotSupported, ParsingError where it is damaged or under
    a password, SizeExceeded.
    """
    with path.open("rb") as file:
        file_type = recognise(file.read(HEAD_BYTES), filename)
    if file_type in _IN_ZIP and not _is_flat(path):
        file_type = _zip_type(path)
    if file_type is FileType.OLD_OFFICE and _holds(path, ENCRYPTED_PACKAGE):
        raise ParsingError("It is protected with a password: save it without one and upload it again.")
    if not is_readable(file_type) or file_type in (FileType.ZIP, FileType.OLD_OFFICE):
        raise FormatNotSupported(file_type, advice(file_type))
    return file_type


def _is_flat(path: Path) -> bool:
    """Whether it is a document in one XML file, and no archive at all."""
    with path.open("rb") as file:
        return file.read(2) != b"PK"


def _zip_type(path: Path) -> FileType:
    """By the names in the archive. Raises ParsingError, SizeExceeded."""
    with Archive(path) as archive:
        return zip_type(archive.names())


def _holds(path: Path, needle: bytes) -> bool:
    """Whether some bytes stand anywhere in a file."""
    tail = b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            if needle in tail + chunk:
                return True
            tail = chunk[-len(needle) :]
    return False
