"""ZIP files from strangers: what DOCX, XLSX, PPTX and EPUB are made of.

Nothing is believed but what was inflated: every byte counts towards one limit for the whole archive, so that a bomb ends
as `exceeds size limit.` whatever its headers say. Of an archive that was cut off, and so has lost its directory, those
entries are read that are still there.
"""

import mmap
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bookwheel.errors import ParsingError, SizeExceeded

MOST_ENTRIES = 50_000
MOST_BYTES = 1024 * 1024 * 1024
"""Inflated, of everything that is read from one archive."""
MOST_ENTRY_BYTES = 256 * 1024 * 1024
MOST_DIRECTORY_BYTES = 16 * 1024 * 1024
PIECE_BYTES = 256 * 1024

_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    ValueError,
    LookupError,
    struct.error,
)
_HEAD = struct.Struct("<4s5H3I2H")
"""Of an entry: signature, version, flags, method, time, date, CRC, sizes (packed, inflated), lengths (name, extra)."""
_HEAD_SIGNATURE = b"PK\x03\x04"
_DIRECTORY_ENDS = ((b"PK\x05\x06", "<12xI"), (b"PK\x06\x06", "<40xQ"))
"""Where the directory's size stands in the record at its end, and in that of ZIP64."""
_TAIL_BYTES = 66 * 1024
_ENCRYPTED, _SIZES_FOLLOW, _UTF_8 = 1, 8, 0x800
_STORED, _DEFLATED = 0, 8


@dataclass(frozen=True)
class _Entry:
    """Where an entry begins. `packed_bytes` is None where only its own end will tell."""

    name: str
    offset: int
    method: int
    encrypted: bool
    packed_bytes: int | None


class Archive:
    """An open ZIP file. Names are found whatever their case, and with either kind of slash.

    Raises ParsingError where the archive is damaged or encrypted, SizeExceeded where it inflates to too much.
    """

    def __init__(self, path: Path) -> None:
        _check_directory_size(path)
        entries = _read_directory(path)
        self.is_cut_off = entries is None
        """Whether it has lost its directory: entries may be missing, and the last one incomplete."""
        entries = _entries_without_directory(path) if entries is None else entries
        if not entries and self.is_cut_off:
            raise ParsingError("It is damaged: its ZIP directory cannot be read.")
        if len(entries) > MOST_ENTRIES:
            raise SizeExceeded
        self._entries = {_key(entry.name): entry for entry in entries}
        self._bytes_left = MOST_BYTES
        self._file = path.open("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return _key(name) in self._entries

    def names(self) -> list[str]:
        """The names as they stand in the archive, in its order, folders left out."""
        return [entry.name for entry in self._entries.values() if not entry.name.endswith(("/", "\\"))]

    def read(self, name: str, most_bytes: int = MOST_ENTRY_BYTES) -> bytes:
        """An entry, inflated. Raises KeyError where there is none."""
        return b"".join(self.pieces(name, most_bytes))

    def pieces(self, name: str, most_bytes: int = MOST_ENTRY_BYTES) -> Iterator[bytes]:
        """An entry's bytes as they inflate, a piece at a time. Raises KeyError where there is none."""
        entry = self._entries[_key(name)]
        if entry.encrypted:
            raise ParsingError("It is encrypted: save it without a password and upload it again.")
        size = 0
        try:
            for piece in self._inflated(entry):
                size += len(piece)
                self._bytes_left -= len(piece)
                if size > most_bytes or self._bytes_left < 0:
                    raise SizeExceeded
                yield piece
        except _DAMAGED:
            raise ParsingError(f"It is damaged: {entry.name} cannot be unpacked.") from None

    def _inflated(self, entry: _Entry) -> Iterator[bytes]:
        """Checksums are not looked at: text that was read in spite of one is better than none."""
        if entry.method == _STORED:
            yield from self._packed(entry)
            return
        if entry.method != _DEFLATED:
            raise NotImplementedError(entry.method)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        for packed in self._packed(entry):
            while packed and not inflater.eof:
                piece = inflater.decompress(packed, PIECE_BYTES)
                packed = inflater.unconsumed_tail  # noqa: PLW2901
                if piece:
                    yield piece
        while not inflater.eof and (piece := inflater.decompress(b"", PIECE_BYTES)):
            yield piece
        if not inflater.eof:
            raise EOFError

    def _packed(self, entry: _Entry) -> Iterator[bytes]:
        self._file.seek(entry.offset)
        head = _HEAD.unpack(self._file.read(_HEAD.size))
        if head[0] != _HEAD_SIGNATURE:
            raise zipfile.BadZipFile
        position = entry.offset + _HEAD.size + head[9] + head[10]
        left = entry.packed_bytes
        while left is None or left > 0:
            self._file.seek(position)  # others may have read since
            packed = self._file.read(PIECE_BYTES if left is None else min(PIECE_BYTES, left))
            if not packed:
                break
            position += len(packed)
            left = None if left is None else left - len(packed)
            yield packed


def _key(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").casefold()


def _check_directory_size(path: Path) -> None:
    """A directory is held in memory as a whole by what reads it."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _TAIL_BYTES))
        tail = file.read()
    for signature, form in _DIRECTORY_ENDS:
        place = tail.rfind(signature)
        if place >= 0 and len(tail) - place >= struct.calcsize(form):
            (directory_bytes,) = struct.unpack_from(form, tail, place)
            if MOST_DIRECTORY_BYTES < directory_bytes <= size:
                raise SizeExceeded


def _read_directory(path: Path) -> list[_Entry] | None:
    """The entries as the directory lists them; None where there is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [_entry(info) for info in archive.infolist()]
    except _DAMAGED:
        return None


def _entry(info: zipfile.ZipInfo) -> _Entry:
    encrypted = bool(info.flag_bits & _ENCRYPTED)
    return _Entry(info.filename, info.header_offset, info.compress_type, encrypted, info.compress_size)


def _entries_without_directory(path: Path) -> list[_Entry]:
    """The entries that are found by their own heads, the first of each name; none where the file does not begin with one."""
    found: dict[str, _Entry] = {}
    with path.open("rb") as file:
        if file.read(4) != _HEAD_SIGNATURE:
            return []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            offset = 0
            while 0 <= offset <= len(data) - _HEAD.size and len(found) <= MOST_ENTRIES:
                entry, end = _entry_at(data, offset)
                found.setdefault(_key(entry.name), entry)
                offset = data.find(_HEAD_SIGNATURE, end)
    return list(found.values())


def _entry_at(data: mmap.mmap, offset: int) -> tuple[_Entry, int]:
    """The entry that begins at `offset`, and where it ends at the earliest."""
    _, _, flags, method, _, _, _, packed_bytes, _, name_bytes, extra_bytes = _HEAD.unpack_from(data, offset)
    start = offset + _HEAD.size
    name = data[start : start + name_bytes].decode("utf-8" if flags & _UTF_8 else "cp437", "replace")
    start += name_bytes + extra_bytes
    if flags & _SIZES_FOLLOW or start + packed_bytes > len(data):
        end = data.find(_HEAD_SIGNATURE, start)
        stored_bytes = (len(data) if end < 0 else end) - start
        return _Entry(
            name, offset, method, bool(flags & _ENCRYPTED), stored_bytes if method == _STORED else None
        ), start
    return _Entry(name, offset, method, bool(flags & _ENCRYPTED), packed_bytes), start + packed_bytes
