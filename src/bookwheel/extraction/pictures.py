"""The text of pictures: recognised one by one in the OCR workers, then put in its place in the document.

A picture that cannot be read costs its own text and a warning, not the file.
"""

from functools import cache
from pathlib import Path

import msgspec
from PIL import Image
from pypdfium2 import PdfiumError

from bookwheel.document import Picture, fill_gaps
from bookwheel.errors import ContentBlank, ParsingError
from bookwheel.extraction.counting import Counting
from bookwheel.extraction.notes import Say
from bookwheel.extraction.ocr.pictures import open_picture
from bookwheel.extraction.ocr.recogniser import TextRecogniser
from bookwheel.extraction.pdf.render import best_dpi, render_page
from bookwheel.extraction.report import BLOCKS, DRAFT, TEXT, ExtractionReport, RecognisedPicture, recognised_path

MOST_FAILURES_TOLD = 5


def recognise_picture(source: Path, folder: Path, picture: Picture, threads: int, say: Say) -> RecognisedPicture:
    """The text of a page of the PDF file `source` or of a picture in `folder`. Raises ParsingError."""
    say("picture", 0, 0)
    image = _open(source, folder, picture)
    return RecognisedPicture(tuple(_recogniser(threads).recognise(image, picture.anchor)))


def assemble_document(folder: Path, report: ExtractionReport, say: Say) -> ExtractionReport:
    """Write the document with the text of its pictures in place. Raises ContentBlank, SizeExceeded or ParsingError."""
    say("picture", len(report.gaps), len(report.gaps))
    recognised = [_read_recognised(folder, number) for number in range(len(report.gaps))]
    draft = fill_gaps(
        folder / (DRAFT + TEXT), folder / (DRAFT + BLOCKS), report.gaps, lambda number: recognised[number].blocks
    )
    counting = Counting()
    size = counting.write(draft, folder / TEXT, folder / BLOCKS)
    failures = [found.failure for found in recognised if found.failure]
    if size.blank:
        raise ParsingError(failures[0]) if failures else ContentBlank
    return _count_pictures(
        msgspec.structs.replace(
            report, characters=size.characters, tokens=counting.tokens, blocks=size.blocks, gaps=()
        ),
        [gap.picture for gap in report.gaps],
        recognised,
    )


def _count_pictures(
    report: ExtractionReport, pictures: list[Picture], recognised: list[RecognisedPicture]
) -> ExtractionReport:
    """The report with what became of the pictures."""
    pages = [found for picture, found in zip(pictures, recognised, strict=True) if picture.is_page]
    inside = [found for picture, found in zip(pictures, recognised, strict=True) if not picture.is_page]
    return msgspec.structs.replace(
        report,
        ocr_pages=sum(bool(found.blocks) for found in pages),
        ocr_pictures=sum(bool(found.blocks) for found in inside),
        blank_pages=report.blank_pages + sum(not found.blocks and not found.failure for found in pages),
        warnings=(*report.warnings, *_failures(pictures, recognised)),
    )


def _failures(pictures: list[Picture], recognised: list[RecognisedPicture]) -> list[str]:
    told = [
        f"The text in the picture of {picture.anchor} could not be read: {found.failure}"
        for picture, found in zip(pictures, recognised, strict=True)
        if found.failure
    ]
    more = len(told) - MOST_FAILURES_TOLD
    return [*told[:MOST_FAILURES_TOLD], *([f"{more} more pictures could not be read."] if more > 0 else [])]


def _open(source: Path, folder: Path, picture: Picture) -> Image.Image:
    if picture.name:
        return open_picture(folder / picture.name)
    try:
        return render_page(source, picture.page, best_dpi(source, picture.page))
    except PdfiumError:
        raise ParsingError("It is damaged: the page cannot be drawn.") from None


def _read_recognised(folder: Path, number: int) -> RecognisedPicture:
    return msgspec.msgpack.decode(recognised_path(folder, number).read_bytes(), type=RecognisedPicture)


@cache
def _recogniser(threads: int) -> TextRecogniser:
    """The models are loaded with a worker's first picture."""
    return TextRecogniser(threads)
