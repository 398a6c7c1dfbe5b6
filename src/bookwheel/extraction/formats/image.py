"""Images: PNG, JPEG, GIF, BMP, TIFF, WEBP. Their text is in pixels, so each frame is handed on to be recognised.

What is handed on was opened and unpacked once, so that what is no image, or too large a one, is refused here. A TIFF
file's frames are its pages; of an animation the first picture is read.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from bookwheel.document import Block, Picture, page_mark
from bookwheel.errors import ParsingError
from bookwheel.extraction.notes import Notes
from bookwheel.extraction.ocr.pictures import BROKEN, UNREADABLE, opened, upright, whatever_is_left

JPEG_QUALITY = 90
CUT_OFF = "It is damaged, perhaps cut off: it was read as far as it goes."


def read(path: Path, notes: Notes) -> Iterator[Block | Picture]:
    """A picture for each page. Anchors are `image`, or `page N` where there are several. Raises ParsingError."""
    with opened(path) as image:
        frames = _count_frames(image)
        if image.format == "TIFF" and frames > 1:
            yield from _pages(image, frames, notes)
            return
        if frames > 1 and image.format in ("GIF", "PNG", "WEBP"):
            notes.warn("It is animated: only its first picture was read.")
    notes.reading("page", 1, 1)
    _check(path, notes)
    shutil.copyfile(path, notes.folder / "frame-1")
    yield Picture("image", page=0, name="frame-1")


def _count_frames(image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except BROKEN:
        return 1


def _check(path: Path, notes: Notes) -> None:
    """Unpack an image once to see whether it can be. Raises ParsingError where nothing of it can."""
    try:
        with opened(path) as image:
            upright(image)
    except BROKEN:
        with opened(path) as image, whatever_is_left():
            try:
                upright(image)
            except BROKEN:
                raise ParsingError(UNREADABLE) from None
        notes.warn(CUT_OFF)


def _pages(image: Image.Image, frames: int, notes: Notes) -> Iterator[Block | Picture]:
    """The frames of a TIFF file, each kept as a file of its own. Pages that are broken are left out with a warning."""
    kept = 0
    for index in range(frames):
        notes.reading("page", index + 1, frames)
        name = f"frame-{index + 1}"
        try:
            image.seek(index)
            _keep(image, notes.folder / name)
        except ParsingError as error:
            notes.warn(f"Page {index + 1} could not be read: {error.reason}")
            continue
        except BROKEN:
            notes.warn(f"Page {index + 1} could not be read.")
            continue
        kept += 1
        yield page_mark("page", index + 1)
        yield Picture(f"page {index + 1}", page=index, name=name)
    if not kept:
        raise ParsingError("It is damaged: none of its pages can be read.")


def _keep(image: Image.Image, path: Path) -> None:
    """Keep a page upright, and of a size that recognition takes. Pages of two colours stay sharp."""
    two_colours = image.mode == "1"
    page = upright(image)
    if two_colours:
        page.convert("1").save(path, "PNG", compress_level=1)
    else:
        page.save(path, "JPEG", quality=JPEG_QUALITY)
