"""Office files that are embedded in others: their words, where they stand in the file around them.

What is embedded is drawn as a picture of lines, which says nothing to a reader of text. Pictures in embedded files, and
files embedded in those, are left out.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from bookwheel.document import Block, BlockKind, Picture
from bookwheel.errors import BadDocument
from bookwheel.extraction.notes import Notes
from bookwheel.extraction.ooxml.package import Package

MOST_BYTES = 64 * 1024 * 1024
MOST_FILES = 50
"""In one document."""
MOST_CHARACTERS = 500_000
"""Of one file: people embed whole workbooks to show a corner of one."""
NOT_READ = "Files that are embedded in it were not read."

Reader = Callable[[Path, Notes], Iterator[Block | Picture]]


class Embedded:
    """Reads the files embedded in one document. `readers` are those for parts whose names end in `.docx` and so on."""

    def __init__(self, package: Package, notes: Notes, readers: Mapping[str, Reader]) -> None:
        self._package = package
        self._notes = notes
        self._readers = readers
        self._left = MOST_FILES

    def can_read(self, name: str) -> bool:
        """Whether the part is a file of a kind that is read."""
        return self._reader(name) is not None

    def _reader(self, name: str) -> Reader | None:
        return self._readers.get(Path(name).suffix.casefold())

    def blocks(self, name: str, anchor: str) -> Iterator[Block]:
        """The blocks of the file in a part, all of them at `anchor`; what heads something in it heads nothing here."""
        read = self._reader(name)
        if read is None or not self._left:
            self._notes.warn(NOT_READ)
            return
        self._left -= 1
        left = MOST_CHARACTERS
        try:
            for block in self._read(read, name):
                left -= len(block.text)
                if left < 0:
                    self._notes.warn("Of files that are embedded in it only the beginning was read.")
                    return
                yield _inside(block, anchor)
        except BadDocument:
            self._notes.warn(NOT_READ)

    def _read(self, read: Reader, name: str) -> Iterator[Block]:
        with TemporaryDirectory(dir=self._notes.folder) as folder:
            path = Path(folder) / "embedded"
            path.write_bytes(self._package.read(name, MOST_BYTES))
            for block in read(path, Notes(Path(folder))):
                if isinstance(block, Block) and block.kind is not BlockKind.MARK:
                    yield block


def _inside(block: Block, anchor: str) -> Block:
    if block.kind is BlockKind.HEADING:
        return Block(BlockKind.PARAGRAPH, block.text.lstrip("# "), anchor)
    return Block(block.kind, block.text, anchor)
