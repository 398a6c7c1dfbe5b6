"""The records of a Palm database, and the header of a book in it.

Formats: MobileRead wiki, "PDB" and "MOBI". Numbers are big-endian. What the file says of itself is not believed beyond
its size.
"""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bookwheel.errors import ParsingError

NONE = 0xFFFFFFFF
"""Says in a header that there is no such record."""
MOST_RECORD_BYTES = 64 * 1024 * 1024
READINGS = 4
"""How often a file may be read, all in all: records may be asked for again, but must not be the same bytes."""
UNPACKED, PALMDOC, HUFF_CDIC = 1, 2, 17480
_DATABASE_HEAD = 78
_MOST_HEADER = 0x10000


class Records:
    """The records of an open Palm database. Records that are not there are empty.

    Raises ParsingError where the file is no database of books, or its records are too much alike.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._size = path.stat().st_size
        self._bytes_left = READINGS * self._size
        head = self._file.read(_DATABASE_HEAD)
        if head[60:68] not in (b"BOOKMOBI", b"TEXtREAd"):
            self._file.close()
            raise ParsingError("It is damaged: it does not begin as a Mobipocket or Kindle book does.")
        count = number_at(head, 76, 2)
        table = self._file.read(8 * count)
        self._starts = [number_at(table, at, 4) for at in range(0, len(table) - 7, 8)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, number: int) -> bytes:
        if not 0 <= number < len(self._starts):
            return b""
        start = self._starts[number]
        end = self._starts[number + 1] if number + 1 < len(self._starts) else self._size
        if not start < min(end, self._size):
            return b""
        size = min(end - start, self._size - start, MOST_RECORD_BYTES)
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise ParsingError("It is damaged: its records overlap.")
        self._file.seek(start)
        return self._file.read(size)

    def is_cut_off(self) -> bool:
        """Whether the file ends before its records do."""
        return bool(self._starts) and max(self._starts) >= self._size


def number_at(data: bytes, at: int, size: int = 4) -> int:
    """An unsigned number; 0 beyond the end."""
    return int.from_bytes(data[at : at + size], "big") if at + size <= len(data) else 0


@dataclass(frozen=True, slots=True)
class Header:
    """What the first record of a book says. Numbers of records count from the header's own, `base`."""

    base: int
    compression: int
    text_records: int
    is_encrypted: bool
    is_mobi: bool
    encoding: str
    version: int
    first_picture: int
    huff: int
    huff_count: int
    trailing: int
    contents: int
    sections: int
    fragments: int
    skeletons: int
    boundary: int
    """Where in a file of both kinds the newer one begins, counted from the start of the file; 0 where it is of one."""


def read_header(records: Records, base: int) -> Header:
    """The header in record `base`."""
    data = records[base][:_MOST_HEADER]
    is_mobi = data[16:20] == b"MOBI"
    size = number_at(data, 20) if is_mobi else 0
    version = number_at(data, 36) if is_mobi else 0

    def field(at: int, default: int) -> int:
        return number_at(data, at) if 16 + size >= at + 4 and at + 4 <= len(data) else default

    is_newer = version >= 8
    return Header(
        base=base,
        compression=number_at(data, 0, 2),
        text_records=number_at(data, 8, 2),
        is_encrypted=number_at(data, 12, 2) in (1, 2),
        is_mobi=is_mobi,
        encoding=_codec(field(28, 0)),
        version=version,
        first_picture=field(108, NONE),
        huff=field(112, 0),
        huff_count=field(116, 0),
        trailing=field(240, 0) & 0xFFFF if version >= 5 else 0,
        contents=field(244, NONE),
        sections=field(192, NONE) if is_newer else NONE,
        fragments=field(248, NONE) if is_newer else NONE,
        skeletons=field(252, NONE) if is_newer else NONE,
        boundary=_extended(data, 16 + size, 121) if is_mobi and number_at(data, 128) & 0x40 else 0,
    )


def _codec(page: int) -> str:
    """The codec of a Windows code page; empty where it is none that is known."""
    if page == 65001:
        return "utf-8"
    known = {932, 936, 949, 950, 874, *range(1250, 1259)}
    return {936: "gb18030"}.get(page, f"cp{page}") if page in known else ""


def _extended(data: bytes, at: int, wanted: int) -> int:
    """A number of the extended header (EXTH); 0 where it is missing or says that there is none."""
    if data[at : at + 4] != b"EXTH":
        return 0
    position = at + 12
    for _ in range(min(number_at(data, at + 8), 1000)):
        kind, size = number_at(data, position), number_at(data, position + 4)
        if kind == wanted and size == 12:
            value = number_at(data, position + 8)
            return 0 if value == NONE else value
        position += max(size, 8)
    return 0
