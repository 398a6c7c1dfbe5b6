"""PDF pages as pictures: for recognition at a resolution that suits them, and small, to see whether anything is there."""

import math
from pathlib import Path

import pypdfium2 as pdfium
from PIL import Image

from bookwheel.extraction.pdf.drawing import read_drawing
from bookwheel.extraction.pdf.opening import open_document
from bookwheel.extraction.pdf.words import PageBox

MOST_PIXELS = 40_000_000
LEAST_DPI, USUAL_DPI, MOST_DPI = 72, 150, 300
LEAST_SHARE = 0.3
"""Of the page, that an image must cover for its resolution to count."""
POINTS = 72.0
"""To the inch."""
PART_DPI = 200
MOST_THUMBNAIL_PIXELS = 1_000_000


def render_page(path: Path, page: int, dpi: int) -> Image.Image:
    """Page `page` (from 0) as it is shown, in colour or grey, of at most MOST_PIXELS: by less than `dpi` if need be.

    Raises PdfiumError where it cannot be opened.
    """
    with open_document(path) as document:
        if document.get_formtype():
            document.init_forms()
        return _render(document[page], dpi, MOST_PIXELS, grey=False)


def best_dpi(path: Path, page: int) -> int:
    """The resolution of the largest image on page `page` (from 0), within the limits; USUAL_DPI where none is large.

    Raises PdfiumError where it cannot be opened.
    """
    with open_document(path) as document:
        sheet = document[page]
        area = max(1.0, sheet.get_width() * sheet.get_height())
        images = [image for image in read_drawing(sheet).images if image.area > LEAST_SHARE * area]
    if not images:
        return USUAL_DPI
    largest = max(images, key=lambda image: image.area)
    pixels = max(1, largest.width_pixels * largest.height_pixels)
    dpi = POINTS * math.sqrt(pixels / largest.area)
    return round(min(max(dpi, LEAST_DPI), MOST_DPI))


def thumbnail(page: pdfium.PdfPage, dpi: int) -> Image.Image:
    """An open page, small and grey."""
    return _render(page, dpi, MOST_THUMBNAIL_PIXELS, grey=True)


def render_part(page: pdfium.PdfPage, part: PageBox, whole: PageBox) -> Image.Image:
    """A part of an open page that is not turned."""
    margins = (part.left - whole.left, part.bottom - whole.bottom, whole.right - part.right, whole.top - part.top)
    scale = PART_DPI / POINTS
    if whole.area * scale * scale > MOST_PIXELS:
        scale = (MOST_PIXELS / whole.area) ** 0.5
    bitmap = page.render(scale=scale, crop=tuple(max(0.0, margin) for margin in margins), rev_byteorder=True)
    picture: Image.Image = bitmap.to_pil()
    return picture.convert("RGB")


def _render(page: pdfium.PdfPage, dpi: float, most_pixels: int, *, grey: bool) -> Image.Image:
    scale = dpi / POINTS
    pixels = page.get_width() * page.get_height() * scale * scale
    if pixels > most_pixels:
        scale *= (most_pixels / pixels) ** 0.5
    bitmap = page.render(scale=scale, grayscale=grey, rev_byteorder=not grey)
    picture: Image.Image = bitmap.to_pil()
    return picture.copy()
