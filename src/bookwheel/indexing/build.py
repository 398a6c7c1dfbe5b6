"""Builds indexes in a sandbox worker, beside the documents they are of.

The text of a document is as hostile as its file was, and cutting and counting it takes processor time that belongs to
questions: so the server itself never does it for more than a few pages.
"""

from pathlib import Path

from bookwheel.document import read_blocks, write_document
from bookwheel.extraction.formats.text import read as read_text
from bookwheel.extraction.notes import Say
from bookwheel.extraction.report import BLOCKS, GIVEN, TEXT, IndexReport
from bookwheel.indexing.artefact import save_index
from bookwheel.indexing.index import build_index


def write_index(folder: Path, name: str, title: str, say: Say) -> IndexReport:
    """Write the index of the document in `folder` to the file `name` there."""
    say("index", 1, 1)
    index = build_index((folder / TEXT).read_bytes().decode(), read_blocks(folder / BLOCKS), title)
    save_index(index, folder / name)
    return IndexReport(passages=len(index), sections=len(index.sections))


def write_text_index(folder: Path, name: str, title: str, say: Say) -> IndexReport:
    """The same for a text that came with a question: it stands in the file GIVEN. Its anchors are lines."""
    write_document(read_text(folder / GIVEN, "utf-8"), folder / TEXT, folder / BLOCKS)
    return write_index(folder, name, title, say)
