"""Which PDF pages are recognised from their pixels, and what their pictures look like."""

from pathlib import Path

import pytest

from bookwheel.document import Block, Picture
from bookwheel.extraction.formats.pdf import read
from bookwheel.extraction.notes import Notes
from bookwheel.extraction.pdf.render import MOST_DPI, MOST_PIXELS, USUAL_DPI, best_dpi, render_page
from support.pdf_parts import HEIGHT, WIDTH, Sheet, image, lines, picture, rule, text, write_pdf

PAGE = Picture("page 1", page=0)
PROSE = lines(72, 700, ["A line of running text that says what the page shows, at length."] * 8)


def scan(width: int = 300, height: int = 400) -> bytes:
    """White paper with black strokes on it."""
    row = bytes(255 if column % 40 < 30 else 0 for column in range(width))
    return picture(width, height, b"".join(row if line % 20 < 6 else b"\xff" * width for line in range(height)))


def photograph(size: int = 200) -> bytes:
    """All shades of grey, none of them common."""
    return picture(size, size, bytes((17 * column + 31 * line) % 256 for line in range(size) for column in range(size)))


def paper(shade: int = 250, speckled: bool = False) -> bytes:
    return picture(300, 400, bytes(shade - (3 if speckled and n % 7 == 0 else 0) for n in range(300 * 400)))


def read_all(folder: Path, sheet: Sheet | bytes) -> tuple[list[Block | Picture], Notes]:
    notes = Notes(folder)
    return list(read(write_pdf(folder, sheet), notes)), notes


def full_page(data: bytes, over: bytes = b"") -> Sheet:
    return Sheet(image("I", 0, 0, WIDTH, HEIGHT) + over, {"I": data})


def test_a_scan_is_recognised_as_a_page(tmp_path: Path) -> None:
    found, notes = read_all(tmp_path, full_page(scan()))
    assert found == [PAGE]
    assert notes.blank_pages == 0


@pytest.mark.parametrize("data", [paper(), paper(speckled=True), paper(shade=180), paper(shade=20)])
def test_a_scan_of_nothing_is_blank(tmp_path: Path, data: bytes) -> None:
    found, notes = read_all(tmp_path, full_page(data))
    assert (found, notes.blank_pages) == ([], 1)


def test_rules_alone_are_blank(tmp_path: Path) -> None:
    found, notes = read_all(tmp_path, rule(50, 100, 550, 100) + rule(50, 700, 550, 700))
    assert (found, notes.blank_pages) == ([], 1)


def test_letters_drawn_as_shapes_are_recognised(tmp_path: Path) -> None:
    shapes = b"".join(
        f"{72 + 9 * n} 700 m {75 + 9 * n} 720 {78 + 9 * n} 680 {80 + 9 * n} 700 c f\n".encode() for n in range(40)
    )
    found, _ = read_all(tmp_path, shapes)
    assert found == [PAGE]


def test_text_over_a_scan_that_recognition_put_there_is_taken(tmp_path: Path) -> None:
    hidden = b"".join(text(72, 700 - 12 * n, "Read before, and well.", mode=3) for n in range(3))
    [block], _ = read_all(tmp_path, full_page(scan(), hidden))
    assert isinstance(block, Block)
    assert block.text.startswith("Read before, and well.")


def test_a_stamp_on_a_scan_does_not_hide_it(tmp_path: Path) -> None:
    found, _ = read_all(tmp_path, full_page(photograph(), text(400, 20, "Scanned with a telephone")))
    assert found == [PAGE]


def test_an_image_beside_little_text_is_kept_and_the_text_too(tmp_path: Path) -> None:
    caption = "Figure 1: a wheel for books, with room for eight of them, drawn in 1588."
    sheet = Sheet(image("I", 50, 100, 500, 500) + text(72, 700, caption), {"I": scan(900, 900)})
    [block, kept], notes = read_all(tmp_path, sheet)
    assert isinstance(block, Block)
    assert isinstance(kept, Picture)
    assert block.text == caption + "\n\n"
    assert kept.anchor == "page 1"
    assert (notes.folder / kept.name).read_bytes().startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    "over", [PROSE, text(72, 760, "A photograph of the desk, taken from the side in the evening.")]
)
def test_photographs_are_not_read(tmp_path: Path, over: bytes) -> None:
    found, _ = read_all(tmp_path, Sheet(image("I", 50, 100, 500, 500) + over, {"I": photograph()}))
    assert not any(isinstance(block, Picture) for block in found)


def test_images_beside_much_text_are_not_read(tmp_path: Path) -> None:
    found, _ = read_all(tmp_path, Sheet(image("I", 50, 50, 500, 500) + PROSE, {"I": scan()}))
    assert not any(isinstance(block, Picture) for block in found)


def test_text_of_glyph_numbers_is_recognised_instead(tmp_path: Path) -> None:
    garbled = "".join(
        chr(ord(letter) - 29) for letter in "The_quick_brown_fox_jumps_over_the_lazy_dog" if ord(letter) > 64
    )
    content = b"".join(
        b"BT /F 10 Tf 72 %d Td <%s> Tj ET\n" % (700 - 12 * n, garbled.encode("latin-1").hex().encode())
        for n in range(8)
    )
    found, _ = read_all(tmp_path, content.replace(b"03", b"01"))
    assert found == [PAGE]


def test_a_part_without_meaning_is_recognised_and_the_rest_read(tmp_path: Path) -> None:
    lost = b"".join(b"BT /F 10 Tf 72 %d Td <0405060708 0e0f101112 13141516> Tj ET\n" % (300 - 12 * n) for n in range(4))
    sheet = Sheet(PROSE + image("I", 60, 240, 200, 80) + lost, {"I": scan()})
    [block, kept], _ = read_all(tmp_path, sheet)
    assert isinstance(block, Block)
    assert block.text.startswith("A line of running text")
    assert isinstance(kept, Picture)
    assert kept.name


@pytest.mark.parametrize("rotate", [0, 90])
def test_a_page_is_rendered_as_it_is_shown(tmp_path: Path, rotate: int) -> None:
    black = Sheet(b"0 g 0 700 600 100 re f\n", rotate=rotate)  # a bar along the upper edge
    shown = render_page(write_pdf(tmp_path, black), 0, 36)
    upright = rotate == 0
    assert shown.size == ((300, 400) if upright else (400, 300))
    assert shown.convert("L").getpixel((150, 5) if upright else (395, 150)) == 0
    assert shown.convert("L").getpixel((150, 395) if upright else (5, 150)) == 255


def test_a_huge_page_is_rendered_within_bounds(tmp_path: Path) -> None:
    shown = render_page(write_pdf(tmp_path, Sheet(box=(0, 0, 14_000, 14_000))), 0, 300)
    assert 0.9 * MOST_PIXELS < shown.width * shown.height <= 1.01 * MOST_PIXELS


@pytest.mark.parametrize(("pixels", "dpi"), [((300, 400), 72), ((1_250, 1_667), 150), ((6_000, 8_000), MOST_DPI)])
def test_the_resolution_is_that_of_the_scan(tmp_path: Path, pixels: tuple[int, int], dpi: int) -> None:
    source = write_pdf(tmp_path, full_page(picture(*pixels, bytes(pixels[0] * pixels[1]))))
    assert best_dpi(source, 0) == dpi


def test_the_resolution_of_a_page_without_images_is_the_usual_one(tmp_path: Path) -> None:
    assert best_dpi(write_pdf(tmp_path, text(72, 700, "Words.")), 0) == USUAL_DPI
