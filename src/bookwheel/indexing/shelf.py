"""Documents at hand for questions: their index and their text mapped once, shared by all requests, the oldest put away."""

import mmap
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from cachetools import LRUCache

from bookwheel.indexing.artefact import open_index
from bookwheel.indexing.index import Index

MOST_TOGETHER = 8
"""Sets of documents whose common statistics are kept: questions come in rows about the same ones."""
T = TypeVar("T")

LINE = "line "
"""How the anchors of plain text begin; a number follows."""
BYTES_A_PASSAGE = 32
BYTES_AN_OUTLINE_BYTE = 8
"""The outline is unpacked where it is asked for."""


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """A document's index and its text, as UTF-8."""

    index: Index
    text: memoryview

    def passages_text(self, first: int, last: int) -> str:
        """The text from the beginning of one passage to the end of another, by their numbers."""
        start, end = int(self.index.byte_starts[first]), int(self.index.byte_ends[last])
        return str(self.text[start:end], "utf-8")

    def read(self, start: int, end: int) -> str:
        """The text between any two characters of the document. O(what stands from the passage before to the one after)."""
        begin, first_byte = self._before(start)
        return str(self.text[first_byte : self._byte_after(end)], "utf-8")[start - begin : end - begin]

    def anchor_at(self, offset: int) -> str:
        """The anchor of what stands at a character of the document. Lines are counted on from the block's first."""
        anchor, block_start = self.index.block_at(offset)
        if not anchor.startswith(LINE):
            return anchor
        return f"{LINE}{int(anchor.removeprefix(LINE)) + self.read(block_start, offset).count(chr(10))}"

    def whole_text(self) -> str:
        return str(self.text, "utf-8")

    def _before(self, offset: int) -> tuple[int, int]:
        """The start of the last passage that begins at or before a character, in characters and in bytes."""
        number = int(np.searchsorted(self.index.starts, offset, "right")) - 1
        return (int(self.index.starts[number]), int(self.index.byte_starts[number])) if number >= 0 else (0, 0)

    def _byte_after(self, offset: int) -> int:
        """The end of the first passage that ends at or after a character, in bytes."""
        number = int(np.searchsorted(self.index.ends, offset, "left"))
        return int(self.index.byte_ends[number]) if number < len(self.index) else len(self.text)


class Shelf:
    """See the module. At most `most_bytes` stay mapped, what requests hold at the moment apart. Safe for threads."""

    def __init__(self, most_bytes: int) -> None:
        self._documents: LRUCache[str, IndexedDocument] = LRUCache(most_bytes, getsizeof=size_of)
        self._together: LRUCache[tuple[str, ...], Any] = LRUCache(MOST_TOGETHER)
        self._lock = threading.Lock()
        self._removed = 0

    def open(self, key: str, index_path: Path, text_path: Path) -> IndexedDocument:
        """The document under that key, mapped now if it is not yet. Raises FileNotFoundError, IndexDamaged."""
        with self._lock:
            document = self._documents.get(key)
            removed = self._removed
        if document is None:
            document = open_indexed(index_path, text_path)
            with self._lock:
                if removed == self._removed and size_of(document) <= self._documents.maxsize:
                    self._documents[key] = document
        return document

    def remove(self, key: str) -> None:
        """Put a document away, because it is being deleted. Requests that hold it may finish."""
        with self._lock:
            self._removed += 1
            self._documents.pop(key, None)
            self._together.clear()

    def together(self, documents: Sequence[IndexedDocument], make: Callable[[Sequence[IndexedDocument]], T]) -> T:
        """What is made of several documents at once, made once for the same ones and kept while none is put away."""
        key = tuple(document.index.key for document in documents)
        with self._lock:
            made: T | None = self._together.get(key)
            removed = self._removed
        if made is None:
            made = make(documents)
            with self._lock:
                if removed == self._removed:
                    self._together[key] = made
        return made


def open_indexed(index_path: Path, text_path: Path) -> IndexedDocument:
    """Map a document. Its files may be removed while it is mapped. Raises FileNotFoundError, IndexDamaged."""
    return IndexedDocument(open_index(index_path), _map(text_path))


def _map(path: Path) -> memoryview:
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:  # nothing cannot be mapped
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))


def size_of(document: IndexedDocument) -> int:
    """The bytes that a document takes while it is at hand."""
    index = document.index
    arrays = (index.words.hashes, index.words.offsets, index.words.places, index.words.counts, index.anchors)
    own = sum(array.nbytes for array in arrays) + BYTES_A_PASSAGE * len(index)
    return len(document.text) + own + BYTES_AN_OUTLINE_BYTE * index.outline.nbytes
