"""Image files as pictures for recognition: bounded in memory, upright as their EXIF data say, black on white paper.

Whatever a file declares is checked before a pixel is unpacked.
"""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from bookwheel.errors import ParsingError

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "DIB", "TIFF", "WEBP")
MOST_PIXELS = 150_000_000
"""As declared. In memory a pixel takes 4 bytes, while it is converted 8."""
MOST_WORKING_PIXELS = 40_000_000
"""Larger pictures are made smaller: A3 at 400 dpi has 31 million, a screenshot of 20 screens 40."""

BAND_ROWS = 256

BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, ZeroDivisionError, struct.error,
    Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow raises over broken files."""

WHITE, BLACK = (255, 255), (0, 0)
"""The darkest and the lightest pixel of what shows nothing."""
_ORIENTATION = 0x0112
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
UNREADABLE = "It is damaged: it cannot be opened as an image."


def open_picture(path: Path, page: int = 0) -> Image.Image:
    """Frame `page` (from 0) of an image file, upright, in mode L or RGB, of at most MOST_WORKING_PIXELS.

    A file that was cut off is read as far as it goes. Raises ParsingError.
    """
    with opened(path) as image, whatever_is_left():
        try:
            image.seek(page)
            return upright(image)
        except BROKEN:
            raise ParsingError(UNREADABLE) from None


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An image file, not unpacked yet. Raises ParsingError where it is none, or too large."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _no_limit_of_pillows():
            try:
                image = Image.open(path, formats=FORMATS)
            except BROKEN:
                raise ParsingError(UNREADABLE) from None
            with image:
                check_size(image)
                yield image


def check_size(image: Image.Image) -> None:
    """Raise ParsingError where an image declares more pixels than are read."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise ParsingError(f"Its {width} x {height} pixels are more than can be read: make it smaller.")


@contextmanager
def _no_limit_of_pillows() -> Iterator[None]:
    """Pillow's own limit only warns of what is more than ours, and does not say the size."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


@contextmanager
def whatever_is_left() -> Iterator[None]:
    """Inside, images that were cut off are read as far as they go."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def upright(image: Image.Image) -> Image.Image:
    """The present frame of an open image as `open_picture` returns it. Raises one of BROKEN, or ParsingError."""
    check_size(image)
    if image.format == "JPEG":
        image.draft(None, _fitting(image.size))
    turn = _TRANSPOSITIONS.get(_orientation(image))
    image.load()
    plain = _plain(image)
    if plain.width * plain.height > MOST_WORKING_PIXELS:
        plain = plain.resize(_fitting(plain.size), Image.Resampling.BOX, reducing_gap=2.0)
    return plain.transpose(turn) if turn is not None else plain


def as_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """A picture as the networks take it: height x width x 3, blue first."""
    plain = image if image.mode == "RGB" else _plain(image).convert("RGB")
    return np.ascontiguousarray(np.asarray(plain)[:, :, ::-1])


def _fitting(size: tuple[int, int]) -> tuple[int, int]:
    """The size, or the largest of its shape that is not too large."""
    width, height = size
    scale = min(1.0, (MOST_WORKING_PIXELS / (width * height)) ** 0.5)
    return max(int(width * scale), 1), max(int(height * scale), 1)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except BROKEN:
        return 1


def _plain(image: Image.Image) -> Image.Image:
    """In mode L or RGB, whatever the mode was; what is transparent is white."""
    if image.mode in ("L", "RGB"):
        return image.copy() if "transparency" not in image.info else _on_paper(image.convert("RGBA"))
    if image.mode == "1":
        return image.convert("L")
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep(image)
    if image.has_transparency_data:
        return _on_paper(image.convert("RGBA"))
    return image.convert("RGB")


def _on_paper(image: Image.Image) -> Image.Image:
    """On white; on black where nothing would be seen on white, as with white letters on nothing."""
    for paper in ("white", "black"):
        sheet = Image.new("RGB", image.size, paper)
        sheet.paste(image, mask=image.getchannel("A"))
        if sheet.convert("L").getextrema() not in (WHITE, BLACK):
            break
    return sheet


def _from_deep(image: Image.Image) -> Image.Image:
    """Grey of 16 bits or more, in 8, a band at a time: by its own range where it is no plain 16 bits."""
    bands = [(0, top, image.width, min(top + BAND_ROWS, image.height)) for top in range(0, image.height, BAND_ROWS)]
    low, high = (0.0, 65535.0) if image.mode.startswith("I;16") else _range(image, bands)
    plain = Image.new("L", image.size)
    for band in bands:
        values = np.nan_to_num(_values(image, band), nan=low, posinf=high, neginf=low)
        scaled = (values - low) * (255.0 / max(high - low, 1e-6))
        plain.paste(Image.fromarray(np.clip(scaled, 0, 255).astype(np.uint8)), band[:2])
    return plain


def _range(image: Image.Image, bands: list[tuple[int, int, int, int]]) -> tuple[float, float]:
    """The least and the largest value of an image, infinite ones left out."""
    low, high = np.inf, -np.inf
    for band in bands:
        values = _values(image, band)
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (low, high) if low <= high else (0.0, 1.0)


def _values(image: Image.Image, band: tuple[int, int, int, int]) -> NDArray[np.float64]:
    return np.asarray(image.crop(band)).astype(np.float64)
