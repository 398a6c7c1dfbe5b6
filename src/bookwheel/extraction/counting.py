"""Writes a document and counts it on the way, so that its text is gone through once."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from bookwheel.document import Block, DocumentSize, Picture, write_document
from bookwheel.errors import SizeExceeded
from bookwheel.tokens import PIECE_CHARACTERS, count_tokens

MOST_CHARACTERS = 500_000_000
"""No honest file of the largest size has more; rendering must not make a gigabyte of a small one."""
REPLACEMENT = "\ufffd"


class Counting:
    """Counts what passes through on the way from the reader to the document's files."""

    def __init__(self) -> None:
        self.tokens = 0
        self.characters_lost = 0
        self._characters = 0

    def write(self, items: Iterable[Block | Picture], text_path: Path, blocks_path: Path) -> DocumentSize:
        """`write_document`, counted. Raises SizeExceeded."""
        return write_document(self._count(items), text_path, blocks_path)

    def _count(self, items: Iterable[Block | Picture]) -> Iterator[Block | Picture]:
        """The same items. Tokens are counted over many blocks at once: at the end of a text the count may be off by one."""
        texts: list[str] = []
        size = 0
        for item in items:
            if isinstance(item, Block):
                if size + len(item.text) > PIECE_CHARACTERS:
                    self._add("".join(texts))
                    texts, size = [], 0
                texts.append(item.text)
                size += len(item.text)
            yield item
        self._add("".join(texts))

    def _add(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > MOST_CHARACTERS:
            raise SizeExceeded
        self.tokens += count_tokens(text)
        self.characters_lost += text.count(REPLACEMENT)
