"""One PDF page: its text layer, what is drawn on it, and whether its text can be trusted or must be recognised.

Recognition takes seconds a page, so it is asked for only where there is something to see and no text that says it: scans,
pages whose fonts tell nothing, slides that are pictures. A page with nothing to see is blank.
"""

import io
from dataclasses import dataclass, field

import PIL.Image
import pypdfium2 as pdfium

from bookwheel.document import Picture
from bookwheel.extraction.notes import Notes
from bookwheel.extraction.pdf.drawing import Drawing, Image, read_drawing
from bookwheel.extraction.pdf.forms import read_writings
from bookwheel.extraction.pdf.legible import is_legible, is_lost
from bookwheel.extraction.pdf.render import render_part, thumbnail
from bookwheel.extraction.pdf.vertical import part_vertical
from bookwheel.extraction.pdf.words import Frame, PageBox, TextLayer, page_box, read_text_layer, turn_box

LITTLE_TEXT = 200
"""Characters on a page, Chinese ones counted twice: with fewer, its images may hold most of its text."""
STAMP = 40
"""Characters of a page's number or a stamp on a scan, which recognition will read with the rest."""
LARGE_SHARE = 1 / 3
"""Of the page, covered by images."""
SCAN_SHARE = 0.8
"""Of the page, covered by images: a scan, whose stamp is recognised with it."""
FEW_IMAGES = 2
"""A scan in more strips than these is recognised as a page."""
LEAST_SHARE = 0.05
"""Of the page, that a single image must cover."""
MOST_SHAPES = 150
"""Drawn shapes on a page with next to no text: with more, its letters may be among them."""
BLANK_DPI = 24
FAINT = 24
"""Of 255: what differs less from the paper is not seen."""
LEAST_INK = 3
"""Pixels, at BLANK_DPI."""
PLAIN_SHARE = 0.45
"""Of an image's pixels, of about one shade: it has a background, as text and drawings have and photographs have not."""
LEAST_LOST = 30
"""Characters without meaning on a page that is legible else, for them to be recognised."""
SMALL = (256, 256)
MOST_IMAGE_PIXELS = 30_000_000


@dataclass
class Page:
    """What was read of a page. `top` and `bottom` are its edges in its main frame; pictures are still to be recognised."""

    number: int
    frames: list[Frame]
    drawing: Drawing
    top: float
    bottom: float
    comments: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    blank: bool = False

    @property
    def anchor(self) -> str:
        return f"page {self.number}"


def read_page(sheet: pdfium.PdfPage, number: int, notes: Notes) -> Page:
    """Read an open page, `number` from 1. Raises PdfiumError."""
    box = page_box(sheet)
    layer = part_vertical(read_text_layer(sheet, box))
    drawing = read_drawing(sheet)
    frames = layer.frames
    angle = frames[0].angle if frames else 0
    lines = 1 + max((word.line for frame in frames for word in frame.words), default=0)
    written = read_writings(sheet, box, angle, lines)
    if written.words:
        frames = [Frame(angle, [*(frames[0].words if frames else []), *written.words]), *frames[1:]]
    _, top, _, bottom = turn_box(angle, *box)
    page = Page(number, frames, drawing, top, bottom, written.comments)
    _judge(page, sheet, box, layer, notes)
    return page


def _judge(page: Page, sheet: pdfium.PdfPage, box: PageBox, layer: TextLayer, notes: Notes) -> None:
    """Decide what becomes of a page: its text, its picture, both or nothing."""
    weight = _weight(page.frames)  # exact only where it is little
    if weight == 0:
        page.blank = not _is_seen(sheet, page.drawing)
        if not page.blank:
            _recognise(page)
    elif not is_legible(layer.text, layer.unmapped):
        if _is_seen(sheet, page.drawing):
            _recognise(page)
    elif weight < LITTLE_TEXT and layer.hidden < 0.5:
        _look_at_images(page, sheet, box, weight, notes)
    else:
        _look_at_lost_words(page, sheet, box, notes)


def _weight(frames: list[Frame]) -> int:
    characters = sum(frame.characters for frame in frames)
    if characters >= LITTLE_TEXT:
        return characters
    return characters + sum(
        character >= "\u2e80" for frame in frames for word in frame.words for character in word.text
    )


def _recognise(page: Page) -> None:
    """Have the page recognised as a whole, which takes the place of its text."""
    page.frames = []
    page.pictures = [Picture(page.anchor, page=page.number - 1)]


def _look_at_images(page: Page, sheet: pdfium.PdfPage, box: PageBox, weight: int, notes: Notes) -> None:
    """See to the images of a page with little text: they may hold the rest."""
    covered = sum(min(image.area, box.area) for image in page.drawing.images) / box.area
    images = [image for image in page.drawing.images if image.area > LEAST_SHARE * box.area]
    if covered < LARGE_SHARE:
        if weight < STAMP and page.drawing.shapes > MOST_SHAPES:
            _recognise(page)
        return
    if covered > SCAN_SHARE and (weight < STAMP or len(page.drawing.images) > FEW_IMAGES):
        _recognise(page)
        return
    for image in images:
        picture = _keep(sheet, image, box.area, page.anchor, notes)
        if picture is not None:
            page.pictures.append(picture)


def _look_at_lost_words(page: Page, sheet: pdfium.PdfPage, box: PageBox, notes: Notes) -> None:
    """Have that part of a page recognised whose font does not tell what its glyphs mean."""
    words = page.frames[0].words
    lost = [word for word in words if is_lost(word.text)]
    if sum(len(word.text) for word in lost) < LEAST_LOST:
        return
    left, right = min(word.x0 for word in lost), max(word.x1 for word in lost)
    top, bottom = min(word.top for word in lost), max(word.bottom for word in lost)
    inside = [
        word for word in words if left <= word.x0 and word.x1 <= right and top <= word.top and word.bottom <= bottom
    ]
    if page.frames[0].angle or sheet.get_rotation() or len(lost) < 0.3 * len(inside):
        return
    view = render_part(sheet, PageBox(left - 4, -bottom - 4, right + 4, -top + 4), box)
    picture = notes.keep_picture(_encode(view), page.anchor)
    if picture is not None:
        taken = set(map(id, inside))
        page.pictures.append(picture)
        page.frames[0] = Frame(0, [word for word in words if id(word) not in taken])


def _has_background(picture: PIL.Image.Image) -> bool:
    """Whether a grey picture is mostly of one shade. Photographs are not."""
    shades = picture.histogram()
    return max(sum(shades[start : start + 32]) for start in range(0, 256, 16)) > PLAIN_SHARE * sum(shades)


def _is_seen(sheet: pdfium.PdfPage, drawing: Drawing) -> bool:
    """Whether there is anything on the page but paper and rules."""
    if not (drawing.images or drawing.shapes or _has_text_objects(sheet)):
        return False
    shades = thumbnail(sheet, BLANK_DPI).histogram()
    paper = max(range(256), key=shades.__getitem__)
    return sum(shades) - sum(shades[max(0, paper - FAINT) : paper + FAINT + 1]) >= LEAST_INK


def _has_text_objects(sheet: pdfium.PdfPage) -> bool:
    """Whether text is drawn that has no characters for PDFium."""
    return any(True for _ in sheet.get_objects(filter=[pdfium.raw.FPDF_PAGEOBJ_TEXT], max_depth=4))


def _keep(sheet: pdfium.PdfPage, image: Image, page_area: float, anchor: str, notes: Notes) -> Picture | None:
    """Keep an image of the page as it is shown there, unless it is a photograph that does not fill the page."""
    if image.number < 0 or not 0 < image.width_pixels * image.height_pixels <= MOST_IMAGE_PIXELS:
        return None
    thing = pdfium.PdfObject(pdfium.raw.FPDFPage_GetObject(sheet, image.number), page=sheet, pdf=sheet.pdf)
    try:
        picture = thing.get_bitmap(render=True).to_pil().convert("RGB")
    except (pdfium.PdfiumError, ValueError, ZeroDivisionError):
        return None
    if image.area < SCAN_SHARE * page_area and not _has_background(picture.resize(SMALL).convert("L")):
        return None
    return notes.keep_picture(_encode(picture), anchor)


def _encode(picture: PIL.Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=90)
    return data.getvalue()
