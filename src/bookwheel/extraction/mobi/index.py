"""Indexes of Kindle books (INDX, TAGX, CNCX): tables of contents, and how the pages of newer books are put together.

Format: MobileRead wiki, "MOBI", index records.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from bookwheel.extraction.mobi.records import NONE, Records, number_at

MOST_ENTRIES = 500_000
MOST_INDEX_RECORDS = 5_000
MOST_VALUES = 1_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of an index: its name, and the values of each of its tags."""

    name: bytes
    tags: dict[int, list[int]]

    def first(self, tag: int, default: int = -1) -> int:
        return self.tags.get(tag, [default])[0]


@dataclass(frozen=True, slots=True)
class _Tag:
    number: int
    values: int
    mask: int
    is_end: bool


class Index:
    """The index whose first record is `number`. What is no index has no entries."""

    def __init__(self, records: Records, number: int) -> None:
        self._records = records
        self._number = number
        head = records[number] if number != NONE else b""
        self._is_index = head[:4] == b"INDX"
        self._count = min(number_at(head, 24), MOST_INDEX_RECORDS) if self._is_index else 0
        self._strings: dict[int, bytes] = {}
        self._control_bytes, self._tags = _tag_table(head, number_at(head, 4))

    def entries(self) -> Iterator[Entry]:
        """The entries in order, those left out that are broken."""
        left = MOST_ENTRIES
        for number in range(self._number + 1, self._number + 1 + self._count):
            record = self._records[number]
            if record[:4] != b"INDX":
                continue
            table = number_at(record, 20) + 4
            for at in range(table, table + 2 * min(number_at(record, 24), left), 2):
                if at + 2 > len(record):
                    break
                left -= 1
                yield self._entry(record, number_at(record, at, 2))

    def _entry(self, record: bytes, at: int) -> Entry:
        start = at + 1 + number_at(record, at, 1)
        return Entry(record[at + 1 : start], self._values(record, start))

    def _values(self, record: bytes, start: int) -> dict[int, list[int]]:
        """The tags that the control bytes announce, with their values, which stand after those bytes."""
        position = start + self._control_bytes
        announced: list[tuple[_Tag, int, int]] = []
        control = start
        for tag in self._tags:
            if tag.is_end:
                control += 1
                continue
            bits = number_at(record, control, 1) & tag.mask
            if bits == tag.mask and tag.mask.bit_count() > 1:
                size, position = _varint(record, position)
                announced.append((tag, 0, size))
            elif bits:
                announced.append((tag, bits // (tag.mask & -tag.mask), 0))
        tags: dict[int, list[int]] = {}
        for tag, count, size in announced:
            values: list[int] = []
            end = position + size
            while position < len(record) and len(values) < MOST_VALUES:
                if len(values) >= count * tag.values if count else position >= end:
                    break
                value, position = _varint(record, position)
                values.append(value)
            if values:
                tags[tag.number] = values
        return tags

    def text(self, offset: int) -> bytes:
        """A string of the index's string records (CNCX)."""
        if offset < 0:
            return b""
        number = self._number + 1 + self._count + (offset >> 16)
        if number not in self._strings:
            self._strings[number] = self._records[number]
        record = self._strings[number]
        size, start = _varint(record, offset & 0xFFFF)
        return record[start : start + size]


def _tag_table(head: bytes, at: int) -> tuple[int, list[_Tag]]:
    if head[at : at + 4] != b"TAGX":
        return 0, []
    table = head[at + 12 : at + min(number_at(head, at + 4), 4096)]
    tags = [_Tag(table[n], table[n + 1], table[n + 2], bool(table[n + 3] & 1)) for n in range(0, len(table) - 3, 4)]
    return number_at(head, at + 8), tags


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, the last byte marked, and where it ends."""
    value = 0
    for byte in data[position : position + 4]:
        position += 1
        value = value << 7 | byte & 0x7F
        if byte & 0x80:
            break
    return value, position
