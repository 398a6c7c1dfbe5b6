"""The rules that are drawn in a picture: the straight lines that the grid of a table is made of."""

from typing import NamedTuple

import cv2
import numpy as np

from bookwheel.extraction.ocr.models import Pixels

LONG_SIDE = 1_400
"""Pixels in which rules are looked for: those of one pixel at 150 dpi are still seen."""
LEAST_LENGTH = 45
MOST_THICKNESS = 8
MOST_RULES = 400
LEAST_CONTRAST = 20
STRAIGHTENS_FROM = 0.003
"""Radians. Under it a rule across a page leaves its row of pixels by no more than its thickness."""


class Segment(NamedTuple):
    """A straight line along an axis: at `at` on the other one, from `start` to `end`, in pixels of the picture."""

    at: float
    start: float
    end: float


class Rules(NamedTuple):
    across: list[Segment]
    down: list[Segment]


def find_rules(picture: Pixels, askew: float) -> Rules:
    """The rules of a picture whose lines go down to the right by `askew` radians, as they stand once it is straight."""
    height, width = picture.shape[:2]
    scale = min(1.0, LONG_SIDE / max(height, width))
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    if abs(askew) > STRAIGHTENS_FROM:
        grey = _straighten(grey, askew)
    ink = _ink(grey)
    across = _segments(ink, (LEAST_LENGTH, 1), scale)
    down = _segments(ink, (1, LEAST_LENGTH), scale)
    return Rules(across, down)


def _straighten(grey: Pixels, askew: float) -> Pixels:
    height, width = grey.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), np.rad2deg(askew), 1.0)
    return np.asarray(
        cv2.warpAffine(grey, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def _ink(grey: Pixels) -> Pixels:
    """What is darker than its surroundings; in a picture that is mostly dark, what is lighter."""
    around = cv2.blur(grey, (31, 31))
    darker = cv2.subtract(around, grey) if np.median(grey) > 127 else cv2.subtract(grey, around)
    return np.asarray(darker > LEAST_CONTRAST, np.uint8)


def _segments(ink: Pixels, kernel: tuple[int, int], scale: float) -> list[Segment]:
    """Runs of ink that are long in one direction and thin in the other."""
    long = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones(kernel[::-1], np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(long, connectivity=8)
    if count > MOST_RULES:
        return []
    segments = []
    for left, top, width, height, _ in stats[1:].tolist():
        (at, thickness), (start, length) = (
            ((top, height), (left, width)) if kernel[0] > 1 else ((left, width), (top, height))
        )
        if thickness <= MOST_THICKNESS:
            segments.append(Segment((at + thickness / 2) / scale, start / scale, (start + length) / scale))
    return segments
