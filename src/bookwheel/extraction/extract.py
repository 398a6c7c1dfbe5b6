"""From a file's bytes to a document: recognise, find the encoding, read, write, all in one pass and bounded memory.

Runs in a sandbox worker. It knows nothing of accounts, storage or settings, and it leaves no half: what it raises says
why there is no document. Text in pictures is left to `pictures`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from bookwheel.document import Block, Picture
from bookwheel.errors import ContentBlank
from bookwheel.extraction.counting import Counting
from bookwheel.extraction.encoding import detect_encoding
from bookwheel.extraction.formats import (
    csv_table,
    docx,
    epub,
    html,
    image,
    json_data,
    markdown,
    mobi,
    pdf,
    pptx,
    text,
    xlsx,
)
from bookwheel.extraction.notes import Notes, Say
from bookwheel.extraction.recognise import FileType
from bookwheel.extraction.recognise_file import recognise_file
from bookwheel.extraction.report import BLOCKS, DRAFT, TEXT, ExtractionReport

Items = Iterator[Block | Picture]

TEXT_READERS: dict[FileType, Callable[[Path, str], Iterator[Block]]] = {
    FileType.TXT: text.read,
    FileType.MD: markdown.read,
    FileType.CSV: csv_table.read,
    FileType.JSON: json_data.read,
}
READERS: dict[FileType, Callable[[Path, Notes], Items]] = {
    FileType.PDF: pdf.read,
    FileType.DOCX: docx.read,
    FileType.PPTX: pptx.read,
    FileType.XLSX: xlsx.read,
    FileType.EPUB: epub.read,
    FileType.MOBI: mobi.read,
    FileType.HTML: html.read,
    FileType.PNG: image.read,
    FileType.JPEG: image.read,
    FileType.GIF: image.read,
    FileType.BMP: image.read,
    FileType.TIFF: image.read,
    FileType.WEBP: image.read,
}


def extract_document(source: Path, filename: str, folder: Path, say: Say) -> ExtractionReport:
    """Write the document of the file `source`, known to its user as `filename`, to files in `folder`.

    Raises FormatNotSupported, ContentBlank, SizeExceeded, PagesExceeded or ParsingError.
    """
    file_type = recognise_file(source, filename)
    notes = Notes(folder, say)
    encoding = detect_encoding(source) if file_type in TEXT_READERS else None
    items = TEXT_READERS[file_type](source, encoding) if encoding else READERS[file_type](source, notes)
    counting = Counting()
    size = counting.write(items, folder / (DRAFT + TEXT), folder / (DRAFT + BLOCKS))
    if size.blank and not size.gaps:
        raise ContentBlank
    if not size.gaps:
        for name in (TEXT, BLOCKS):
            (folder / (DRAFT + name)).replace(folder / name)
    return ExtractionReport(
        file_type=file_type,
        encoding=encoding,
        pages=notes.counts.get("page") or notes.counts.get("slide"),
        sheets=notes.counts.get("sheet"),
        sections=notes.counts.get("section"),
        blank_pages=notes.blank_pages,
        characters=size.characters,
        tokens=counting.tokens,
        blocks=size.blocks,
        warnings=(*notes.all_warnings(), *_lost_characters(counting, encoding)),
        gaps=size.gaps,
    )


def _lost_characters(counting: Counting, encoding: str | None) -> list[str]:
    if not counting.characters_lost:
        return []
    reason = f"was lost before or could not be read as {encoding}" if encoding else "could not be read"
    return [f"\ufffd stands {counting.characters_lost} times for what {reason}."]
