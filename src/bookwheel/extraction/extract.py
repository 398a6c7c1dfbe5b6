"""From a file's bytes to a document: recognise, find the encoding, read, write, all in one pass and bounded memory.

Runs in a sandbox worker. It knows nothing of accounts, storage or settings, and it leaves no half: what it raises says
why there is no document.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from bookwheel.document import Block, write_document
from bookwheel.errors import ContentBlank, FormatNotSupported, SizeExceeded
from bookwheel.extraction.encoding import HEAD_BYTES, detect_encoding
from bookwheel.extraction.formats import csv_table, json_data, markdown, text
from bookwheel.extraction.recognise import FileType, recognise
from bookwheel.tokens import PIECE_CHARACTERS, count_tokens

MOST_CHARACTERS = 500_000_000
"""No honest file of the largest size has more; rendering must not make a gigabyte of a small one."""

READERS: dict[FileType, Callable[[Path, str], Iterator[Block]]] = {
    FileType.TXT: text.read,
    FileType.MD: markdown.read,
    FileType.CSV: csv_table.read,
    FileType.JSON: json_data.read,
}


class ExtractionReport(msgspec.Struct, frozen=True):
    """What was extracted from one file. The document itself stands in the two files."""

    file_type: FileType
    encoding: str
    characters: int
    tokens: int
    blocks: int
    warnings: tuple[str, ...] = ()


def extract_document(source: Path, filename: str, text_path: Path, blocks_path: Path) -> ExtractionReport:
    """Write the document of the file `source`, known to its user as `filename`, to `text_path` and `blocks_path`.

    Raises FormatNotSupported, ContentBlank, SizeExceeded or ParsingError.
    """
    with source.open("rb") as file:
        file_type = recognise(file.read(HEAD_BYTES), filename)
    if file_type not in READERS:
        raise FormatNotSupported(file_type)
    encoding = detect_encoding(source)
    tally = _Tally()
    size = write_document(tally.count(READERS[file_type](source, encoding)), text_path, blocks_path)
    if size.blank:
        raise ContentBlank
    return ExtractionReport(file_type, encoding, size.characters, tally.tokens, size.blocks, tally.warnings(encoding))


class _Tally:
    """Counts what passes through on the way from the reader to the document's files."""

    def __init__(self) -> None:
        self.tokens = 0
        self._characters = 0
        self._undecoded = 0

    def count(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The same blocks. Tokens are counted over many blocks at once: at the end of a text the count may be off by one."""
        texts: list[str] = []
        size = 0
        for block in blocks:
            if size + len(block.text) > PIECE_CHARACTERS:
                self._add("".join(texts))
                texts, size = [], 0
            texts.append(block.text)
            size += len(block.text)
            yield block
        self._add("".join(texts))

    def _add(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > MOST_CHARACTERS:
            raise SizeExceeded
        self.tokens += count_tokens(text)
        self._undecoded += text.count("\ufffd")

    def warnings(self, encoding: str) -> tuple[str, ...]:
        if not self._undecoded:
            return ()
        return (f"\ufffd stands {self._undecoded} times for what was lost before or could not be read as {encoding}.",)
