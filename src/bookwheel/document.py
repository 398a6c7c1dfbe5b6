"""A document: what was extracted from one file, as ordered blocks with anchors.

Formats yield blocks one by one, so that a document of any size passes through bounded memory. A document's text is the
concatenation of its blocks' texts: blocks carry their own line ends. On disk a document is two files, `text` (UTF-8) and
`blocks` (a msgpack stream of `BlockSpan`). Nothing here knows formats, storage or settings.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path

import msgspec

_SENTENCE_ENDS = ("。", "！", "？", "”", "」", ". ", "! ", "? ")


class BlockKind(StrEnum):
    HEADING = "heading"
    PARAGRAPH = "paragraph"
    TABLE = "table"
    LIST = "list"
    CODE = "code"
    FIGURE = "figure"


class Block(msgspec.Struct, frozen=True, gc=False):
    """One piece of a document, as a format yields it.

    `text` ends with the line ends that part it from the next block. `anchor` says where a reader finds it in the
    original, in words: `line 12`, `page 3`, `row 40`, `$.people[2]`. `level` is a heading's depth from 1, else 0.
    """

    kind: BlockKind
    text: str
    anchor: str
    level: int = 0


class BlockSpan(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Where a block stands in the document's text: `start` (included) and `end` (excluded), in characters."""

    start: int
    end: int
    kind: BlockKind
    level: int
    anchor: str


class DocumentSize(msgspec.Struct, frozen=True):
    """What `write_document` wrote: `blank` is true when there is nothing but white space."""

    characters: int
    blocks: int
    blank: bool


class BlockMap:
    """Finds the block at a place in a document's text, in O(log blocks)."""

    def __init__(self, spans: list[BlockSpan]) -> None:
        self._spans = spans
        self._starts = [span.start for span in spans]

    def at(self, offset: int) -> BlockSpan | None:
        """The block that holds the character at `offset`, or None where no block does."""
        index = bisect_right(self._starts, offset) - 1
        if index < 0 or offset >= self._spans[index].end:
            return None
        return self._spans[index]


def part_text(text: str, limit: int) -> int:
    """Where a text longer than `limit` characters is best parted: after a line, else a sentence, else a word."""
    line_end = text.rfind("\n", 0, limit) + 1
    if line_end:
        return line_end
    for marks in (_SENTENCE_ENDS, (" ",)):
        end = max(text.rfind(mark, limit // 2, limit) + len(mark) for mark in marks)
        if end > limit // 2:
            return end
    return limit


def write_document(blocks: Iterable[Block], text_path: Path, blocks_path: Path) -> DocumentSize:
    """Write a document's two files from its blocks, holding one block at a time."""
    position = count = 0
    blank = True
    encoder = msgspec.msgpack.Encoder()
    with text_path.open("w", encoding="utf-8", errors="replace", newline="") as text, blocks_path.open("wb") as spans:
        for block in blocks:
            end = position + len(block.text)
            text.write(block.text)
            packed = encoder.encode(BlockSpan(position, end, block.kind, block.level, block.anchor))
            spans.write(len(packed).to_bytes(4, "little") + packed)
            blank = blank and not block.text.strip()
            position, count = end, count + 1
    return DocumentSize(characters=position, blocks=count, blank=blank)


def read_blocks(blocks_path: Path) -> list[BlockSpan]:
    """All block spans of a document, in order."""
    return list(_unpack(blocks_path.read_bytes()))


def _unpack(packed: bytes) -> Iterator[BlockSpan]:
    decoder = msgspec.msgpack.Decoder(BlockSpan)
    view, position = memoryview(packed), 0
    while position < len(packed):
        start = position + 4
        position = start + int.from_bytes(view[position:start], "little")
        yield decoder.decode(view[start:position])
