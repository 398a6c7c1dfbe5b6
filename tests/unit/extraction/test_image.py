"""Images become pictures to recognise; what is no image, or too large, is refused before it costs anything."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bookwheel.document import Block, BlockKind, Picture
from bookwheel.errors import ParsingError
from bookwheel.extraction.formats import image
from bookwheel.extraction.notes import Notes
from bookwheel.extraction.ocr.pictures import MOST_WORKING_PIXELS, as_pixels, open_picture

ORIENTATION = 0x0112


def drawn(mode: str = "RGB", size: tuple[int, int] = (60, 40)) -> Image.Image:
    """White, with a black square in its upper left corner."""
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).rectangle((5, 5, 15, 15), fill="black")
    return picture.convert(mode)


def saved(folder: Path, picture: Image.Image, kind: str, **options: object) -> Path:
    path = folder / "source"
    picture.save(path, kind, **options)
    return path


def read(path: Path) -> tuple[list[Block | Picture], Notes]:
    folder = path.parent / "kept"
    folder.mkdir(exist_ok=True)
    notes = Notes(folder)
    return list(image.read(path, notes)), notes


def png_that_declares(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_an_image_is_one_picture(tmp_path: Path, kind: str) -> None:
    found, notes = read(saved(tmp_path, drawn(), kind))
    assert found == [Picture("image", page=0, name="frame-1")]
    assert notes.counts == {"page": 1}
    assert notes.all_warnings() == []
    assert open_picture(notes.folder / "frame-1").size == (60, 40)


def test_the_pages_of_a_tiff_file_are_read_one_by_one(tmp_path: Path) -> None:
    pages = [drawn("1"), drawn("L", (80, 50)), drawn("RGB", (70, 30))]
    found, notes = read(saved(tmp_path, pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    marks, pictures = found[::2], found[1::2]
    assert [block.kind for block in marks if isinstance(block, Block)] == [BlockKind.MARK] * 3
    assert pictures == [Picture(f"page {n}", page=n - 1, name=f"frame-{n}") for n in (1, 2, 3)]
    assert [open_picture(notes.folder / f"frame-{n}").size for n in (1, 2, 3)] == [(60, 40), (80, 50), (70, 30)]
    assert notes.counts == {"page": 3}


def test_a_broken_page_costs_itself(tmp_path: Path) -> None:
    pages = [drawn("L", (300, 300)) for _ in range(3)]
    path = saved(tmp_path, pages[0], "TIFF", save_all=True, append_images=pages[1:], compression="tiff_adobe_deflate")
    with Image.open(path) as source:
        source.seek(1)
        start = source.tag_v2[273][0]
    data = bytearray(path.read_bytes())
    data[start : start + 20] = b"\xff" * 20
    path.write_bytes(data)
    found, notes = read(path)
    assert [one.anchor for one in found if isinstance(one, Picture)] == ["page 1", "page 3"]
    assert any("Page 2" in warning for warning in notes.all_warnings())


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_picture_is_read(tmp_path: Path, kind: str) -> None:
    path = saved(tmp_path, drawn(), kind, save_all=True, append_images=[Image.new("RGB", (60, 40), "red")])
    found, notes = read(path)
    assert found == [Picture("image", page=0, name="frame-1")]
    assert notes.all_warnings() == ["It is animated: only its first picture was read."]
    assert open_picture(notes.folder / "frame-1").convert("L").getpixel((10, 10)) < 50


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF"])
def test_what_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path, kind: str) -> None:
    path = saved(tmp_path, Image.effect_noise((300, 300), 60), kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    found, notes = read(path)
    assert found == [Picture("image", page=0, name="frame-1")]
    assert notes.all_warnings() == [image.CUT_OFF]
    assert open_picture(notes.folder / "frame-1").size == (300, 300)


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM" + bytes(60), b"no image"]
)
def test_what_is_no_image_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "source").write_bytes(data)
    with pytest.raises(ParsingError, match="cannot be opened as an image"):
        read(tmp_path / "source")


def test_too_many_pixels_are_refused_with_their_number(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(png_that_declares(50_000, 50_000))
    with pytest.raises(ParsingError, match="Its 50000 x 50000 pixels are more than can be read: make it smaller"):
        read(tmp_path / "source")


def test_a_page_with_too_many_pixels_is_left_out(tmp_path: Path) -> None:
    path = saved(tmp_path, drawn("L"), "TIFF", save_all=True, append_images=[drawn("L"), drawn("L")])
    with Image.open(path) as source:
        source.seek(1)
        entry = source.tag_v2._offset  # where the second directory stands
    data = bytearray(path.read_bytes())
    (count,) = struct.unpack_from("<H", data, entry)
    for place in range(entry + 2, entry + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, place)[0] in (256, 257):
            struct.pack_into("<HI", data, place + 2, 4, 1)
            struct.pack_into("<I", data, place + 8, 40_000)
    path.write_bytes(data)
    found, notes = read(path)
    assert [one.anchor for one in found if isinstance(one, Picture)] == ["page 1", "page 3"]
    assert any("40000 x 40000 pixels" in warning for warning in notes.all_warnings())


def test_large_pictures_are_made_smaller(tmp_path: Path) -> None:
    picture = open_picture(saved(tmp_path, Image.new("1", (9_000, 9_000), 1), "PNG"))
    assert picture.width * picture.height <= MOST_WORKING_PIXELS
    assert picture.width == picture.height > 6_000


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("1", "PNG"), ("L", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("LA", "PNG"), ("P", "GIF"), ("CMYK", "JPEG")]
    + [(mode, "TIFF") for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "F", "YCbCr")],
)
def test_every_mode_ends_as_dark_on_light(tmp_path: Path, mode: str, kind: str) -> None:
    grey = open_picture(saved(tmp_path, drawn(mode), kind)).convert("L")
    assert grey.getpixel((10, 10)) < 40
    assert grey.getpixel((40, 30)) > 215


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_of_16_bits_keeps_its_shades(tmp_path: Path, kind: str) -> None:
    deep = Image.fromarray(np.asarray(drawn("L")).astype(np.uint16) * 128)
    grey = open_picture(saved(tmp_path, deep, kind))
    assert (grey.getpixel((10, 10)), grey.getpixel((40, 30))) == (0, 127)


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
    ImageDraw.Draw(picture).rectangle((5, 5, 15, 15), fill=(0, 0, 0, 255))
    grey = open_picture(saved(tmp_path, picture, "PNG")).convert("L")
    assert (grey.getpixel((10, 10)), grey.getpixel((40, 30))) == (0, 255)


def test_white_on_nothing_is_seen(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (60, 40), (255, 255, 255, 0))
    ImageDraw.Draw(picture).rectangle((5, 5, 15, 15), fill=(255, 255, 255, 255))
    assert open_picture(saved(tmp_path, picture, "PNG")).convert("L").getextrema() == (0, 255)


def test_a_transparent_colour_of_a_palette_is_white(tmp_path: Path) -> None:
    picture = drawn("P")
    path = saved(tmp_path, picture, "GIF", transparency=picture.getpixel((40, 30)))
    assert open_picture(path).convert("L").getpixel((40, 30)) == 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_stands_upright(tmp_path: Path, orientation: int) -> None:
    stored = {1: [], 2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}[orientation]
    picture = drawn()
    for method in stored:
        picture = picture.transpose(Image.Transpose(method))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    upright = open_picture(saved(tmp_path, picture, "JPEG", exif=exif, quality=95))
    assert upright.size == (60, 40)
    assert upright.convert("L").getpixel((10, 10)) < 80


def test_broken_exif_data_do_no_harm(tmp_path: Path) -> None:
    path = saved(tmp_path, drawn(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40)
    assert open_picture(path).size == (60, 40)


def test_pixels_for_the_networks_are_blue_first() -> None:
    assert as_pixels(Image.new("RGB", (2, 1), (1, 2, 3))).tolist() == [[[3, 2, 1], [3, 2, 1]]]
    assert as_pixels(Image.new("L", (1, 1), 7)).tolist() == [[[7, 7, 7]]]


def test_fuzzed_images_end_in_pictures_or_refusals(tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"):
        buffer = io.BytesIO()
        drawn().save(buffer, kind)
        whole = buffer.getvalue()
        for step in range(0, len(whole), max(len(whole) // 40, 1)):
            (tmp_path / "source").write_bytes(whole[:step] + bytes([whole[step] ^ 0xFF]) + whole[step + 1 :])
            try:
                found, _ = read(tmp_path / "source")
            except ParsingError:
                continue
            assert all(isinstance(one, Picture) for one in found)
