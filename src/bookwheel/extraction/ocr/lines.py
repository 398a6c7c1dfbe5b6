"""Lines of text in a picture: where they stand, whatever the picture's size, and what they say.

The detector sees text best when its letters are 10 to 30 pixels high. It looks at the picture small first, and again
larger where what it finds is small. What is still too large for one look is cut into tiles that overlap.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from bookwheel.extraction.ocr.models import NOTHING_READ, WIDE, Boxes, Corners, Detector, Pixels, Reader, Reading

SHORT_SIDE = 736
"""Pixels of the short side at first sight: letters of 7 points on A4 are still found."""
MOST_ENLARGED = 2.0
SMALL_BOX = 12.0
GOOD_BOX = 18.0
"""Heights of the boxes of lines, in the detector's pixels. Under SMALL_BOX, lines begin to melt into one another."""
SMALL_SHARE = 0.3
"""Of the lines, that makes a second look worth its time."""
LOOKS = 3
HUGE = 0.3
"""Pictures that are first looked at this small, or smaller: plans with nothing but small print are among them."""
MOST_LOOKED_AT = 12_000_000
"""Pixels, over all tiles of one look."""
TILE = 1_280
OVERLAP = 128
AT_EDGE = 12
"""Pixels. A box that comes so near to the edge of its tile may have been cut there."""
SAME_LINE = 0.6
"""Of the lesser height, that the two halves of a line have in common."""

SQUEEZE = 0.75
"""Of its width, at which a line of Chinese is read: with no more errors than at full width, for a quarter less time.
Latin letters are too narrow for it: noisy ones get lost."""
LATIN_DOUBTFUL = 0.985
"""A line of something else that was squeezed, and is read less surely, is read again. So is Chinese below SURE."""
SURE = 0.9
"""A line that is read so surely does not run the other way."""
RULE_ZONE = 0.3
"""Of a line's height, from its edges inwards: where rules may stand that its box took in."""
RULE_SHARE = 0.92
"""Of a row or column of pixels, that is ink where a rule runs. Letters leave more free, for boxes are larger."""
PAPER = 0.3
"""Of the letters' height, that is left above and below them."""
UPRIGHT = 1.5
COLUMN = 2.6
"""Boxes this much higher than wide hold a line that runs downwards or upwards. The first may be a digit as well."""


class Direction(StrEnum):
    """Where a line runs to."""

    RIGHT = "right"
    DOWN = "down"
    UP = "up"


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was read. `corners` are in the picture's pixels, clockwise from its top left one."""

    reading: Reading
    corners: Corners
    direction: Direction = Direction.RIGHT


def find_boxes(detector: Detector, picture: Pixels) -> Boxes:
    """The boxes of all lines in a picture, in its pixels."""
    height, width = picture.shape[:2]
    largest = min(MOST_ENLARGED, (MOST_LOOKED_AT / (width * height)) ** 0.5)
    scale = min(SHORT_SIDE / min(width, height), largest)
    for _ in range(LOOKS):
        boxes = _find_at(detector, picture, scale)
        better = min(_better_scale(boxes, scale), largest)
        if better < 1.15 * scale:
            break
        scale = better
    return boxes


def sides(boxes: Boxes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Widths and heights of boxes, along their own sides."""
    widths = np.linalg.norm(boxes[:, 1] - boxes[:, 0], axis=1)
    heights = np.linalg.norm(boxes[:, 3] - boxes[:, 0], axis=1)
    return widths.astype(np.float32), heights.astype(np.float32)


def cut_out(picture: Pixels, corners: Corners) -> Pixels:
    """The picture of one line, upright as its corners say."""
    (widths, heights) = sides(corners[np.newaxis])
    width, height = max(int(widths[0]), 1), max(int(heights[0]), 1)
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    transform = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
    return cv2.warpPerspective(
        picture, transform, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


def read_lines(reader: Reader, picture: Pixels, boxes: Boxes) -> Iterator[Line]:
    """Read what stands in each box. A line is taken to be of the same script as the one before, until it is read."""
    share = 1.0
    for corners in boxes:
        line = read_line(reader, picture, corners, share)
        if line.reading.text:
            share = SQUEEZE if _is_wide_text(line.reading.text) else 1.0
        yield line


def _is_wide_text(text: str) -> bool:
    return sum(character >= WIDE for character in text) > len(text) / 2


def read_line(reader: Reader, picture: Pixels, corners: Corners, share: float = 1.0) -> Line:
    """Read what stands in a box, at first at a share of its width.

    Upright boxes are read downwards, and upwards where that makes no sense.
    """
    whole = cut_out(picture, corners)
    (top, bottom), (left, right) = _trim(whole)
    piece = whole[top:bottom, left:right]
    narrowed = _narrowed(corners, left / whole.shape[1], right / whole.shape[1])
    if whole.shape[0] < UPRIGHT * whole.shape[1]:
        return Line(_read(reader, piece, share), narrowed)
    order = [(Direction.DOWN, np.rot90(piece)), (Direction.UP, np.rot90(piece, -1)), (Direction.RIGHT, piece)]
    if whole.shape[0] < COLUMN * whole.shape[1]:  # one or two characters
        order.insert(0, order.pop())
    best = Line(NOTHING_READ, corners)
    for direction, turned in order:
        line = Line(_read(reader, turned, share), narrowed if direction is Direction.RIGHT else corners, direction)
        if line.reading.confidence >= SURE:
            return line
        best = max(best, line, key=lambda one: one.reading.confidence)
    return best


def _narrowed(corners: Corners, start: float, end: float) -> Corners:
    """The part of a box from one share of its width to another."""
    left, right = corners[[0, 3]], corners[[1, 2]]
    first, last = left + (right - left) * start, left + (right - left) * end
    return np.array([first[0], last[0], last[1], first[1]], np.float32)


def _trim(piece: Pixels) -> tuple[tuple[int, int], tuple[int, int]]:
    """What rows and columns lie within the rules of a table or above the rule under a word, without too much paper."""
    ink = _ink(piece)
    height, width = ink.shape
    top, bottom = _between_rules(ink.mean(axis=1), height * RULE_ZONE)
    left, right = _between_rules(ink.mean(axis=0), height * RULE_ZONE)
    if bottom - top < 0.4 * height or right - left < 0.4 * width:
        return (0, height), (0, width)
    letters = ink[top:bottom, left:right]
    rows, columns = np.flatnonzero(letters.any(axis=1)), np.flatnonzero(letters.any(axis=0))
    if not len(rows):
        return (top, bottom), (left, right)
    paper = round(PAPER * (rows[-1] + 1 - rows[0]))
    return (
        (int(max(top + rows[0] - paper, top)), int(min(top + rows[-1] + 1 + paper, bottom))),
        (int(max(left + columns[0] - paper // 2, left)), int(min(left + columns[-1] + 1 + paper // 2, right))),
    )


def _ink(piece: Pixels) -> Pixels:
    """What is letters and not paper, whichever is darker: the lesser part."""
    grey = cv2.cvtColor(piece, cv2.COLOR_BGR2GRAY)
    level, _ = cv2.threshold(grey, 0, 1, cv2.THRESH_OTSU)
    ink = np.asarray(grey <= level)
    return ink if ink.mean() <= 0.5 else ~ink


def _between_rules(shares: NDArray[np.float64], zone: float) -> tuple[int, int]:
    """The part of a side that lies between the rules near its ends; `shares` is how much of each step is ink."""
    (rules,) = np.nonzero(shares > RULE_SHARE)
    near, far = rules[rules < zone], rules[rules >= len(shares) - zone]
    return (int(near[-1]) + 1 if len(near) else 0), (int(far[0]) if len(far) else len(shares))


def _read(reader: Reader, piece: Pixels, share: float) -> Reading:
    reading = reader.read(squeeze(piece, share))
    if share == 1 or reading.confidence >= (SURE if _is_wide_text(reading.text) else LATIN_DOUBTFUL):
        return reading
    return max(reading, reader.read(squeeze(piece, 1.0)), key=lambda one: one.confidence)


def squeeze(piece: Pixels, share: float) -> Pixels:
    """A line at a share of its width, and never higher than the reader takes it."""
    height, width = piece.shape[:2]
    wanted = min(height, 48)
    size = (max(round(width * share * wanted / height), 1), wanted)
    shrinks = size[0] < width
    return cv2.resize(piece, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _better_scale(boxes: Boxes, scale: float) -> float:
    """The scale at which the small lines would be high enough. Nothing found in a huge picture is worth a second look."""
    if not len(boxes):
        return 2 * scale if scale < HUGE else scale
    heights = np.minimum(*sides(boxes)) * scale
    small = float(np.quantile(heights, SMALL_SHARE))
    return scale * GOOD_BOX / small if small < SMALL_BOX else scale


def _find_at(detector: Detector, picture: Pixels, scale: float) -> Boxes:
    height, width = picture.shape[:2]
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = picture if scale == 1 else cv2.resize(picture, size, interpolation=interpolation)
    found = [_in_tile(detector, scaled, rows, columns) for rows in _spans(size[1]) for columns in _spans(size[0])]
    whole = _join_cut(_join_cut(found, size[0], 0), size[1], 1)
    return np.concatenate([tile.boxes for tile in whole]) * np.array([width / size[0], height / size[1]], np.float32)


def _spans(side: int) -> Iterator[tuple[int, int]]:
    """Where tiles begin and end along a side: none is longer than TILE, and neighbours share OVERLAP pixels."""
    if side <= TILE:
        yield 0, side
        return
    count = -(-(side - OVERLAP) // (TILE - OVERLAP))
    step = (side - OVERLAP) / count
    for index in range(count):
        start = round(index * step)
        yield start, min(round((index + 1) * step) + OVERLAP, side)


@dataclass(slots=True)
class _Tile:
    """A part of a scaled picture, its spans along x and y, and the boxes in it, in the scaled picture's pixels."""

    spans: tuple[tuple[int, int], tuple[int, int]]
    boxes: Boxes


def _in_tile(detector: Detector, picture: Pixels, rows: tuple[int, int], columns: tuple[int, int]) -> _Tile:
    """The boxes in a tile. Of two tiles that share a strip each gives what has its middle in its own half of it."""
    height, width = picture.shape[:2]
    boxes = detector.find_lines(picture[slice(*rows), slice(*columns)])
    boxes += np.array([columns[0], rows[0]], np.float32)
    middles = boxes.mean(axis=1)
    kept = np.ones(len(boxes), bool)
    for axis, (start, end), side in ((0, columns, width), (1, rows, height)):
        half = OVERLAP // 2
        if start > 0:
            kept &= middles[:, axis] >= start + half
        if end < side:
            kept &= middles[:, axis] < end - half
    return _Tile((columns, rows), boxes[kept])


def _join_cut(tiles: list[_Tile], side: int, axis: int) -> list[_Tile]:
    """Make one box of the two that a line has which runs on from one tile into the next along an axis."""
    for tile in tiles:
        _, end = tile.spans[axis]
        following = [next_one for next_one in tiles if _comes_next(tile, next_one, axis)] if end < side else []
        for next_one in following:
            _join_into(tile, next_one, axis)
    return tiles


def _comes_next(tile: _Tile, other: _Tile, axis: int) -> bool:
    """Whether `other` is the tile that shares a strip with the end of `tile` along an axis."""
    start, end = tile.spans[axis]
    beside = tile.spans[1 - axis] == other.spans[1 - axis]
    return beside and start < other.spans[axis][0] < end < other.spans[axis][1]


def _join_into(tile: _Tile, next_one: _Tile, axis: int) -> None:
    """Put the lines that reach into the strip of both tiles before what `next_one` has of them."""
    first = [0, 3] if axis == 0 else [0, 1]
    joined = np.zeros(len(tile.boxes), bool)
    for index, box in enumerate(tile.boxes):
        shares = [_shared(box, rest, 1 - axis) * _is_cut(box, rest, tile, next_one, axis) for rest in next_one.boxes]
        if shares and max(shares) > SAME_LINE:
            next_one.boxes[int(np.argmax(shares))][first] = box[first]
            joined[index] = True
    tile.boxes = tile.boxes[~joined]


def _is_cut(box: Corners, rest: Corners, tile: _Tile, next_one: _Tile, axis: int) -> bool:
    """Whether two boxes overlap along an axis, and one of them ends where its tile does."""
    end, start = box[:, axis].max(), rest[:, axis].min()
    at_edge = end >= tile.spans[axis][1] - AT_EDGE or start <= next_one.spans[axis][0] + AT_EDGE
    return bool(at_edge and start < end)


def _shared(one: Corners, other: Corners, axis: int) -> float:
    """What share of the lesser box's extent along an axis both have."""
    starts, ends = (one[:, axis].min(), other[:, axis].min()), (one[:, axis].max(), other[:, axis].max())
    least = min(ends[0] - starts[0], ends[1] - starts[1])
    return float((min(ends) - max(starts)) / least) if least > 0 else 0.0
