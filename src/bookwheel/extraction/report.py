"""What is said of an extraction, by those who run in the sandbox to those who do not. Shapes and names only.

The server knows the work of the sandbox by these names alone: it never imports a parser.
"""

from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from bookwheel.document import Block, Gap
from bookwheel.extraction.recognise import FileType

Answer = TypeVar("Answer")

TEXT, BLOCKS = "text", "blocks"
"""The names of a whole document's two files in the folder of its extraction."""
GIVEN = "given"
"""The name of a text that came with a question, before it is a document."""
DRAFT = "draft-"
"""Before those names while there are gaps in it."""


class Work(msgspec.Struct, Generic[Answer], frozen=True):
    """A function that workers run, as `module:name`, and the type of its answer. Its last argument is a `notes.Say`."""

    function: str
    answer: type[Answer]


class ExtractionReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was extracted from one file. The document itself stands in the files `text` and `blocks`.

    While there are `gaps`, text of pictures is still missing, and so are the two files: `assemble_document` makes them.
    `pages` counts slides and the frames of an image too.
    """

    file_type: FileType
    encoding: str | None = None
    pages: int | None = None
    sheets: int | None = None
    sections: int | None = None
    ocr_pages: int = 0
    ocr_pictures: int = 0
    blank_pages: int = 0
    characters: int = 0
    tokens: int = 0
    blocks: int = 0
    warnings: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()


class IndexReport(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in an index that was written."""

    passages: int
    sections: int


class RecognisedPicture(msgspec.Struct, frozen=True):
    """The text of a picture, or why there is none."""

    blocks: tuple[Block, ...] = ()
    failure: str = ""


EXTRACT = Work("bookwheel.extraction.extract:extract_document", ExtractionReport)
RECOGNISE = Work("bookwheel.extraction.pictures:recognise_picture", RecognisedPicture)
ASSEMBLE = Work("bookwheel.extraction.pictures:assemble_document", ExtractionReport)
INDEX_FILE = Work("bookwheel.indexing.build:write_index", IndexReport)
INDEX_TEXT = Work("bookwheel.indexing.build:write_text_index", IndexReport)


def recognised_path(folder: Path, number: int) -> Path:
    """Where the text of the picture in a gap is kept until the document is assembled."""
    return folder / f"recognised-{number}"
