"""Which way up a picture stands: by quarters of a turn, and by the few degrees that a scan is askew.

The reader tells at once whether a line is upside down: it is sure of hardly a character. So a few lines are read both
ways. Chinese and Japanese columns run down the page in pages that are not turned: their characters stand upright, which
shows when they are cut apart and laid side by side.
"""

from collections.abc import Iterator

import cv2
import numpy as np

from bookwheel.extraction.ocr.lines import SQUEEZE, UPRIGHT, cut_out, sides, squeeze
from bookwheel.extraction.ocr.models import Boxes, Pixels, Reader

SAMPLES = 4
MOST_SAMPLE_WIDTH = 480
"""In the reader's pixels: a dozen characters."""
SURE = 0.85
"""Lines that are the right way up are read with 0.95, others with 0.3 to 0.6."""
MARGIN = 0.15
COLUMN = 0.8
"""Upright characters laid side by side are read with 0.85 to 1, those of turned pages with up to 0.7."""
MOST_CELLS = 10
MOST_ASKEW_DEGREES = 20.0
LEAST_SLENDER = 4.0


def find_turn(reader: Reader, picture: Pixels, boxes: Boxes) -> int:
    """By how many quarters the picture is turned clockwise: 0, 1, 2 or 3. Where nothing can be read, 0."""
    widths, heights = sides(boxes)
    tall = heights > UPRIGHT * widths
    slender = tall | (widths > UPRIGHT * heights)
    if not slender.any():
        return 0
    lengths = np.maximum(widths, heights)
    if lengths[tall].sum() > 0.5 * lengths[slender].sum():
        return _turn_of_tall(reader, list(_samples(picture, boxes[tall])))
    flat = [np.ascontiguousarray(piece) for piece in _samples(picture, boxes[slender & ~tall])]
    return 2 if _is_better(reader, flat, 2, 0) else 0


def askew_radians(boxes: Boxes) -> float:
    """The angle by which lines go down to the right, 0 where they do not agree."""
    widths, heights = sides(boxes)
    slender = widths > LEAST_SLENDER * heights
    if slender.sum() < 2:
        return 0.0
    along = boxes[slender, 1] - boxes[slender, 0]
    angles = np.arctan2(along[:, 1], along[:, 0])
    order = np.argsort(angles)
    weights = np.cumsum(widths[slender][order])
    angle = float(angles[order][np.searchsorted(weights, weights[-1] / 2)])
    agree = widths[slender][np.abs(angles - angle) < 0.03].sum() > 0.6 * weights[-1]
    return angle if agree and abs(angle) < np.deg2rad(MOST_ASKEW_DEGREES) else 0.0


def _samples(picture: Pixels, boxes: Boxes) -> Iterator[Pixels]:
    """Some lines: not the longest, which may be rules, nor short ones, which tell little."""
    order = np.argsort(-sides(boxes)[0] - sides(boxes)[1])
    start = len(order) // 4
    for index in order[start : start + SAMPLES]:
        yield cut_out(picture, boxes[index])


def _turn_of_tall(reader: Reader, pieces: list[Pixels]) -> int:
    """A picture most of whose lines run downwards or upwards: turned to either side, or columns of upright characters."""
    down, up = (_confidence(reader, pieces, quarters) for quarters in (1, 3))
    if max(down, up) < SURE - MARGIN:
        return 0
    if up > down + MARGIN:
        return 3
    columns = [reader.read(laid).confidence for piece in pieces if (laid := _lay_side_by_side(piece)) is not None]
    return 0 if columns and float(np.mean(columns)) >= COLUMN else 1


def _is_better(reader: Reader, pieces: list[Pixels], quarters: int, other: int) -> bool:
    confidence = _confidence(reader, pieces, other)
    return confidence < SURE and _confidence(reader, pieces, quarters) > confidence + MARGIN


def _confidence(reader: Reader, pieces: list[Pixels], quarters: int) -> float:
    """How sure the reader is of lines that are turned anticlockwise before, on average."""
    if not pieces:
        return 0.0
    turned = (squeeze(np.ascontiguousarray(np.rot90(piece, quarters)), SQUEEZE) for piece in pieces)
    return float(np.mean([reader.read(_beginning(piece)).confidence for piece in turned]))


def _beginning(piece: Pixels) -> Pixels:
    return piece[:, : MOST_SAMPLE_WIDTH * piece.shape[0] // 48 + 1]


def _lay_side_by_side(column: Pixels) -> Pixels | None:
    """The first characters of a column as a line, None where there is nothing in it."""
    cells = list(_cells(column))
    if not cells:
        return None
    height = max(cell.shape[0] for cell in cells) + 4
    paper = tuple(int(value) for value in np.median(column.reshape(-1, 3), axis=0))
    framed = [
        cv2.copyMakeBorder(
            cell,
            (gap := (height - cell.shape[0]) // 2),
            height - cell.shape[0] - gap,
            2,
            2,
            cv2.BORDER_CONSTANT,
            value=paper,
        )
        for cell in cells
    ]
    return np.concatenate(framed, axis=1)


def _cells(column: Pixels) -> Iterator[Pixels]:
    """The characters of a column, taken to be about as high as it is wide: cut where there is least ink."""
    ink = _ink(column)
    across = np.flatnonzero(ink.any(axis=0))
    rows = ink.sum(axis=1)
    inked = np.flatnonzero(rows)
    if not len(across):
        return
    size, start, end = int(across[-1] - across[0] + 1), int(inked[0]), int(inked[-1])
    for _ in range(MOST_CELLS):
        least, most = start + int(0.75 * size), min(start + int(1.3 * size), len(rows) - 1)
        if start >= end or least >= most:
            return
        cut = least + int(np.argmin(rows[least:most]))
        yield column[start : cut + 1]
        start = cut + 1
        while start < end and not rows[start]:
            start += 1


def _ink(picture: Pixels) -> Pixels:
    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_BGR2GRAY).astype(np.int16)
    contrast = np.abs(grey - np.int16(np.median(grey)))
    return np.asarray(contrast > 0.4 * contrast.max() if contrast.max() else np.zeros_like(grey, bool))
