"""Recognition of text in pictures: pages that were scanned, photographs, screenshots.

Find the lines, turn the picture if it stands on its side or its head, read each line, put the lines in order. Runs in a
worker process; it reads no files but its models, asks no network and writes nothing.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from bookwheel.document import Block
from bookwheel.extraction.ocr.layout import arrange_blocks
from bookwheel.extraction.ocr.lines import Line, find_boxes, read_lines
from bookwheel.extraction.ocr.models import Detector, Pixels, Reader
from bookwheel.extraction.ocr.orientation import askew_radians, find_turn
from bookwheel.extraction.ocr.pictures import as_pixels
from bookwheel.extraction.ocr.rules import Rules, find_rules

LEAST_CONFIDENCE = 0.5
LEAST_CONFIDENCE_SHORT = 0.7
"""Of one or two characters: specks and lines of a drawing look like some."""
LEAST_SIDE = 8
"""Pixels. Nothing can be read in less."""


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was read in a picture. `lines` and `rules` are in pixels of the picture once it is upright and straight.

    `turned_degrees` is by how much it was turned clockwise: 0, 90, 180 or 270. `confidence` is the mean over the
    characters, 0 where there are none.
    """

    lines: list[Line]
    rules: Rules
    width: int
    height: int
    turned_degrees: int = 0

    @property
    def confidence(self) -> float:
        lengths = [len(line.reading.text) for line in self.lines]
        return float(np.average([line.reading.confidence for line in self.lines], weights=lengths)) if lengths else 0.0

    def blocks(self, anchor: str) -> list[Block]:
        """Paragraphs, headings, lists and tables in reading order."""
        return arrange_blocks(self.lines, self.rules, self.width, self.height, anchor)


class TextRecogniser:
    """Loads the models once: 0.3 s CPU and 150 MB. `threads` is how many each picture may use. Not for two threads at once."""

    def __init__(self, threads: int = 1) -> None:
        cv2.setNumThreads(threads)
        self._detector = Detector(threads)
        self._reader = Reader(threads)

    def recognise(self, image: Image.Image, anchor: str) -> list[Block]:
        """The text of a picture, in reading order. Empty where there is none."""
        return self.read(image).blocks(anchor)

    def read(self, image: Image.Image) -> Recognition:
        """The lines of a picture. About 4 s CPU for a page full of text, 0.4 s for one without."""
        picture = as_pixels(image)
        height, width = picture.shape[:2]
        if min(height, width) < LEAST_SIDE or picture.min() == picture.max():
            return Recognition([], Rules([], []), width, height)
        boxes = find_boxes(self._detector, picture)
        quarters = find_turn(self._reader, picture, boxes)
        if quarters:
            picture = np.ascontiguousarray(np.rot90(picture, quarters))
            boxes = find_boxes(self._detector, picture)
        lines = [line for line in read_lines(self._reader, picture, boxes) if _is_text(line)]
        return _straightened(lines, picture, askew_radians(boxes), 90 * quarters)


def _is_text(line: Line) -> bool:
    text = "".join(line.reading.text.split())
    least = LEAST_CONFIDENCE if len(text) > 2 and any(map(str.isalnum, text)) else LEAST_CONFIDENCE_SHORT
    return bool(text) and line.reading.confidence >= least


def _straightened(lines: list[Line], picture: Pixels, askew: float, turned_degrees: int) -> Recognition:
    """The lines where they would stand if the page were not askew. Only places are turned, which costs nothing."""
    height, width = picture.shape[:2]
    cos, sin = np.cos(askew), np.sin(askew)
    rotation = np.array([[cos, -sin], [sin, cos]], np.float32)
    middle = np.array([width / 2, height / 2], np.float32)
    straight = (
        [Line(line.reading, (line.corners - middle) @ rotation + middle, line.direction) for line in lines]
        if askew
        else lines
    )
    rules = find_rules(picture, askew) if len(lines) > 3 else Rules([], [])
    return Recognition(straight, rules, width, height, turned_degrees)
