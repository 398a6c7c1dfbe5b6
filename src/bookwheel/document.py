"""A document: what was extracted from one file, as ordered blocks with anchors.

Formats yield blocks one by one, so that a document of any size passes through bounded memory. A document's text is the
concatenation of its blocks' texts: blocks carry their own line ends. On disk a document is two files, `text` (UTF-8) and
`blocks` (a msgpack stream of `BlockSpan`). Nothing here knows formats, storage or settings.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
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
    MARK = "mark"
    """Says where a new page or slide begins: `[page 3]`. It is no text of the file's own."""


class Block(msgspec.Struct, frozen=True, gc=False):
    """One piece of a document, as a format yields it.

    `text` ends with the line ends that part it from the next block. `anchor` says where a reader finds it in the
    original, in words: `line 12`, `page 3`, `row 40`, `$.people[2]`. `level` is a heading's depth from 1, else 0.
    """

    kind: BlockKind
    text: str
    anchor: str
    level: int = 0


_PAGE_MARK = re.compile(r"\[(?:page|slide) [1-9]\d*\]")


def page_mark(unit: str, number: int) -> Block:
    """The block that says where a `page` or `slide` begins, numbered from 1."""
    return Block(BlockKind.MARK, f"[{unit} {number}]\n\n", f"{unit} {number}")


def is_page_mark(text: str) -> bool:
    """Whether a piece of a document's text is a page mark, and so nothing that the file says."""
    return _PAGE_MARK.fullmatch(text) is not None


class Picture(msgspec.Struct, frozen=True, gc=False):
    """A place in a document whose text is still in pixels: blocks take its place once it was recognised.

    It stands under the file name `name` in the folder of the extraction; without a name it is the page `page` of the file
    itself. `page` counts from 0; it is -1 for a picture inside a page or a text. `anchor` is that of the blocks to come.
    """

    anchor: str
    page: int = -1
    name: str = ""

    @property
    def is_page(self) -> bool:
        """Whether it is a whole page of the file, or a frame of an image."""
        return self.page >= 0


class BlockSpan(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Where a block stands in the document's text: `start` (included) and `end` (excluded), in characters."""

    start: int
    end: int
    kind: BlockKind
    level: int
    anchor: str


class Gap(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Where the blocks of a picture will stand: before the block of that number, from 0."""

    before_block: int
    picture: Picture


class DocumentSize(msgspec.Struct, frozen=True):
    """What `write_document` wrote: `blank` is true when there is nothing but white space and marks."""

    characters: int
    blocks: int
    blank: bool
    gaps: tuple[Gap, ...] = ()


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


def write_document(items: Iterable[Block | Picture], text_path: Path, blocks_path: Path) -> DocumentSize:
    """Write a document's two files from its blocks, holding one block at a time. Pictures leave gaps."""
    position = count = 0
    blank = True
    gaps: list[Gap] = []
    encoder = msgspec.msgpack.Encoder()
    with text_path.open("w", encoding="utf-8", errors="replace", newline="") as text, blocks_path.open("wb") as spans:
        for item in items:
            if isinstance(item, Picture):
                gaps.append(Gap(count, item))
                continue
            end = position + len(item.text)
            text.write(item.text)
            packed = encoder.encode(BlockSpan(position, end, item.kind, item.level, item.anchor))
            spans.write(len(packed).to_bytes(4, "little") + packed)
            blank = blank and (item.kind is BlockKind.MARK or not item.text.strip())
            position, count = end, count + 1
    return DocumentSize(characters=position, blocks=count, blank=blank, gaps=tuple(gaps))


def fill_gaps(
    text_path: Path, blocks_path: Path, gaps: Sequence[Gap], blocks_of: Callable[[int], Iterable[Block]]
) -> Iterator[Block]:
    """The blocks of a document that was written, with `blocks_of(N)` in place of the gap N, from 0."""
    spans = read_blocks(blocks_path)
    waiting = deque(enumerate(gaps))
    with text_path.open(encoding="utf-8", newline="") as text:
        for number, span in enumerate(spans):
            while waiting and waiting[0][1].before_block == number:
                yield from blocks_of(waiting.popleft()[0])
            yield Block(span.kind, text.read(span.end - span.start), span.anchor, span.level)
    for gap_number, _ in waiting:
        yield from blocks_of(gap_number)


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
