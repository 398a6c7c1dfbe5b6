"""From recognised lines to blocks, by the same rules as a PDF page with a text layer.

Recognition gives lines whose heights and places tremble by a pixel or two, where a PDF's are exact. So heights that are
nearly the same are made the same here, and so are the baselines of what stands side by side.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bookwheel.document import Block
from bookwheel.extraction.ocr.lines import Direction, Line
from bookwheel.extraction.ocr.rules import Rules
from bookwheel.extraction.pdf.blocks import Manner, page_blocks
from bookwheel.extraction.pdf.drawing import Drawing, Rule
from bookwheel.extraction.pdf.lines import is_wide
from bookwheel.extraction.pdf.words import Frame, Word

BODY_POINTS = 10.0
"""The size that the letters of most of the text are given: layout measures in points."""
EM = 0.85
"""Of the height of a line's box."""
SAME_SIZE = 1.3
"""Lines whose heights differ by less are of one size: boxes tremble by a fifth."""
SAME_ROW = 0.35
WIDE_GAP = 1.9
WIDER_THAN_USUAL = 2.0
"""Ems from the middle of one character to that of the next, and times the usual distance in the line: what parts cells
even without a space."""
LEAST_LINES_OF_PAGE = 6
PAGE_EDGE = 0.08
_PAGE_NUMBER = re.compile(
    r"[-–—·.\s]*(?:(?:page|第)\s*)?\d{1,4}(?:\s*(?:/|of)\s*\d{1,4})?\s*页?[-–—·.\s]*", re.IGNORECASE
)


class _Place(NamedTuple):
    """A line in its frame, in which it runs to the right and lines go down. Pixels."""

    line: Line
    x0: float
    x1: float
    middle: float
    height: float


def arrange_blocks(lines: Sequence[Line], rules: Rules, width: int, height: int, anchor: str) -> list[Block]:
    """Blocks in reading order. Lines that run downwards or upwards stand apart, after the rest if they are the fewer."""
    kept = [line for line in lines if not (len(lines) >= LEAST_LINES_OF_PAGE and _is_page_number(line, height))]
    ordered = sorted(kept, key=attrgetter("direction"))
    places = {
        direction: [_place(line, width, height) for line in group]
        for direction, group in groupby(ordered, attrgetter("direction"))
    }
    if not places:
        return []
    main = max(places, key=lambda direction: sum(len(place.line.reading.text) for place in places[direction]))
    scale = BODY_POINTS / (EM * _body_height([place for found in places.values() for place in found]))
    frames = [
        Frame(0, list(_words(places[direction], scale))) for direction in sorted(places, key=lambda one: one != main)
    ]
    manner = Manner()
    for frame in frames:
        manner.learn(frame.words)
    manner.settle()
    drawing = _drawing(rules, scale) if main is Direction.RIGHT else _drawing(Rules([], []), scale)
    return list(page_blocks(frames, drawing, manner, anchor))


def _is_page_number(line: Line, height: int) -> bool:
    middle = float(line.corners[:, 1].mean())
    at_edge = middle < PAGE_EDGE * height or middle > (1 - PAGE_EDGE) * height
    return at_edge and _PAGE_NUMBER.fullmatch(line.reading.text) is not None


def _place(line: Line, width: int, height: int) -> _Place:
    xs, ys = line.corners[:, 0], line.corners[:, 1]
    if line.direction is Direction.DOWN:
        xs, ys = ys, width - xs
    elif line.direction is Direction.UP:
        xs, ys = height - ys, xs
    corners = np.stack([xs, ys], axis=1)
    if line.direction is Direction.RIGHT:
        thickness = float(np.linalg.norm(line.corners[3] - line.corners[0]))
    else:
        thickness = float(np.linalg.norm(line.corners[1] - line.corners[0]))
    return _Place(line, float(xs.min()), float(xs.max()), float(corners[:, 1].mean()), thickness)


def _body_height(places: list[_Place]) -> float:
    """The height of the line in the middle, characters counted."""
    heights = np.array([place.height for place in places])
    weights = np.array([len(place.line.reading.text) for place in places])
    order = np.argsort(heights)
    passed = np.cumsum(weights[order])
    return max(float(heights[order][np.searchsorted(passed, passed[-1] / 2)]), 1.0)


def _words(places: list[_Place], scale: float) -> Iterator[Word]:
    sizes = _even_sizes(places)
    bases = _even_bases(places, sizes)
    for number, (place, size, base) in enumerate(zip(places, sizes, bases, strict=True)):
        for text, x0, x1 in _parts(place, size):
            yield Word(text, x0 * scale, x1 * scale, base * scale, size * scale, False, number)


def _even_sizes(places: list[_Place]) -> list[float]:
    """The size of each line's letters: the body's where it is near enough, else that of other lines near to it."""
    body = _body_height(places)
    sizes = [0.0] * len(places)
    first = 0.0
    for index, place in sorted(enumerate(places), key=lambda one: one[1].height):
        height = place.height
        if body / SAME_SIZE < height < body * SAME_SIZE:
            sizes[index] = EM * body
            continue
        if not first or height > SAME_SIZE * first:
            first = height
        sizes[index] = EM * first
    return sizes


def _even_bases(places: list[_Place], sizes: list[float]) -> list[float]:
    """The baseline of each line: one for what stands in one row."""
    bases = [0.0] * len(places)
    row: list[int] = []
    order = sorted(range(len(places)), key=lambda index: places[index].middle)
    for index in order:
        near = SAME_ROW * min(sizes[index], sizes[row[0]]) if row else 0.0
        if row and places[index].middle - places[row[0]].middle > near:
            _set_base(row, places, sizes, bases)
            row = []
        row.append(index)
    _set_base(row, places, sizes, bases)
    return bases


def _set_base(row: list[int], places: list[_Place], sizes: list[float], bases: list[float]) -> None:
    middle = float(np.mean([places[index].middle for index in row]))
    for index in row:
        bases[index] = middle + 0.3 * sizes[index]


def _parts(place: _Place, size: float) -> Iterator[tuple[str, float, float]]:
    """The words of a line with their places; what is far apart is two words even without a space."""
    text = place.line.reading.text
    middles = place.x0 + place.line.reading.places * (place.x1 - place.x0)
    usual = float(np.median(np.diff(middles))) if len(middles) > 2 else 0.0
    wide = max(WIDE_GAP * size, WIDER_THAN_USUAL * usual)
    start = 0
    for end in range(1, len(text) + 1):
        if end < len(text) and not text[end].isspace() and not text[end - 1].isspace():
            if middles[end] - middles[end - 1] <= wide:
                continue
        elif end < len(text) and text[end].isspace() and text[start].isspace():
            start = end
            continue
        yield from _part(text, middles, start, end, place, size)
        start = end


def _part(
    text: str, middles: NDArray[np.float32], start: int, end: int, place: _Place, size: float
) -> Iterator[tuple[str, float, float]]:
    word = text[start:end].strip()
    if not word:
        return
    first, last = start + len(text[start:end]) - len(text[start:end].lstrip()), end - 1
    while text[last].isspace():
        last -= 1
    x0 = place.x0 if first == 0 else float(middles[first]) - _half(text[first], size)
    x1 = place.x1 if last == len(text) - 1 else float(middles[last]) + _half(text[last], size)
    yield word, x0, max(x1, x0 + 0.1 * size)


def _half(character: str, size: float) -> float:
    return (0.5 if is_wide(character) else 0.27) * size


def _drawing(rules: Rules, scale: float) -> Drawing:
    """Rules in points, counted upwards as on a PDF page."""
    across = [Rule(-at * scale, start * scale, end * scale) for at, start, end in rules.across]
    down = [Rule(at * scale, -end * scale, -start * scale) for at, start, end in rules.down]
    return Drawing(horizontals=across, verticals=down, images=[], shapes=0)
